/* The callbacks of libmilter. See callbacks.c. */
#ifndef CONSENT_MILTER_CALLBACKS_H
#define CONSENT_MILTER_CALLBACKS_H

#include <stdbool.h>

#include "service/session.h"

/* Registers the filter with libmilter. The arguments are borrowed until the process ends. Call once. `store` is the one
 * of the look-ups. */
bool cm_door_register(struct cm_filter *filter, const struct cm_store *store);
/* From now on transactions that begin are deferred and not counted; those under way go on. */
void cm_door_stop(void);
/* From now on callbacks touch nothing: wait for cm_door_running to be 0 before freeing what they use. */
void cm_door_close(void);
/* Takes cm_door_stop back. */
void cm_door_resume(void);
bool cm_door_is_stopping(void);

/* Since the start, but for the first. Thread-safe. */
struct cm_door_counts {
    uint64_t sessions; /* now */
    uint64_t sessions_total;
    uint64_t sessions_refused; /* past limits.sessions */
    uint64_t messages_total;
    uint64_t rcpts_total;
};
struct cm_door_counts cm_door_counts(void);

/* Messages that have begun and not ended. Thread-safe. */
int cm_door_transactions(void);
/* Callbacks that have begun and not returned. Thread-safe. */
int cm_door_running(void);

#endif
