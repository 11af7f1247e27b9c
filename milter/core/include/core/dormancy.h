/*
 * Dormancy: express consent that was not used for so many whole calendar months (UTC) may be warned of or refused, as
 * each purpose says; off by default (AG Munich 161 C 12736/22: consent that is not used lapses). The month of the grant
 * and that of its last use do not count: with 1 month, consent used in January is dormant from March on. Pure values.
 */
#ifndef CORE_DORMANCY_H
#define CORE_DORMANCY_H

#define CM_DORMANCY_MONTHS_MAX 240

enum cm_dormancy_act { CM_DORMANCY_OFF = 0, CM_DORMANCY_WARN, CM_DORMANCY_REFUSE };

struct cm_dormancy {
    unsigned months; /* 1 to CM_DORMANCY_MONTHS_MAX; 0 when off */
    enum cm_dormancy_act act;
};

#endif
