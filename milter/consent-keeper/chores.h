/* What the keeper does beside its acts: it has the doctor look at the server, looks whether its connection still tells
 * the truth about the incarnation, marks uses of consent, and gives up old files of the journal. */
#ifndef CONSENT_KEEPER_CHORES_H
#define CONSENT_KEEPER_CHORES_H

#include "service/doctor.h"
#include "service/keeper.h"
#include "settings/settings.h"

struct cm_chores {
    const struct cm_settings *settings;
    struct cm_keys *keys;
    struct cm_store *doctor_store;  /* its own connection; NULL until needed */
    struct cm_incarnation examined; /* that the doctor saw last */
    int64_t doctor_at_ms;
    int64_t compare_at_ms;
    int64_t expire_at_ms;
    int64_t uses_at_ms;
    unsigned uses_from; /* the partition that the next window begins with */
    enum cm_trouble uses_trouble;
    unsigned bad; /* what the last look of the doctor found bad, as a sum of its names: to tell a change */
};

/* Does what is due, while the keeper beats. *store, the keeper's own, is made anew where its connection tells of an
 * incarnation that is no more. */
void cm_chores_do(struct cm_chores *chores, struct cm_keeper *keeper, struct cm_store **store, int64_t now_ms,
                  int64_t now_s);
void cm_chores_done(struct cm_chores *chores);

#endif
