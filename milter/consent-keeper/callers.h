/* Who calls, and with which rank: told by the kernel and the configuration, never by the caller. LAW-6 */
#ifndef CONSENT_KEEPER_CALLERS_H
#define CONSENT_KEEPER_CALLERS_H

#include "settings/settings.h"

struct cm_caller {
    char name[64];     /* login, or the uid in digits */
    enum cm_rank rank; /* UNSET: not to be served */
};

/* False if the kernel does not tell who is at the other end of this unix socket. Asks the user database, so users and
 * groups may change while the keeper runs; what it cannot tell makes nobody a member of anything. */
bool cm_caller_of(int fd, const struct cm_keeper_settings *settings, struct cm_caller *out);

#endif
