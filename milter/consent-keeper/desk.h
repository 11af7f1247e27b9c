/*
 * The desk at the keeper's socket: callers, their lines, and the answers that wait (service/keeper_wire.h).
 *
 * Callers may be hostile: a line, the requests under way, the answers not read and the connections have ceilings, and
 * who is silent or slow is sent away. An answer that waits blocks nobody but the requests behind it on its connection.
 */
#ifndef CONSENT_KEEPER_DESK_H
#define CONSENT_KEEPER_DESK_H

#include <poll.h>

#include "service/keeper.h"
#include "settings/settings.h"

#define CM_DESK_CLIENTS 256 /* connections; one more takes the place of the one that is idle longest */

struct cm_desk;

/* Listens at `path`. The settings are borrowed. NULL and err. */
struct cm_desk *cm_desk_open(const char *path, const struct cm_keeper_settings *settings, struct cm_err *err);
/* Closes all connections and removes the socket. NULL is harmless. */
void cm_desk_close(struct cm_desk *desk);

/* What to poll for, at most CM_DESK_CLIENTS + 1; returns how many. */
size_t cm_desk_poll_fds(struct cm_desk *desk, struct pollfd *out);
/* Takes connections and requests; `now_ms` is of CLOCK_BOOTTIME. Acts go to the keeper, not yet committed. */
void cm_desk_read(struct cm_desk *desk, const struct pollfd *fds, size_t count, struct cm_keeper *keeper,
                  int64_t now_ms);
/* No more connections and requests. */
void cm_desk_stop_reading(struct cm_desk *desk);
/* Tells a waiting answer what became of its act; as cm_keeper_options.settled, with the desk as context. */
void cm_desk_settled(void *context, uint64_t number, const struct cm_write_result *result, const struct cm_err *err);
/* Answers what can be answered; with `is_last` everything. Sends, and sends away who is idle or slow. */
void cm_desk_answer(struct cm_desk *desk, const struct cm_keeper *keeper, int64_t now_ms, bool is_last);
/* Whether some answer waits; and whether there are requests that were read and not taken yet. */
bool cm_desk_is_waiting(const struct cm_desk *desk);
bool cm_desk_has_more(const struct cm_desk *desk);

#endif
