/*
 * The control socket of a daemon: a unix stream socket that takes one line, a JSON object, answers with one line, and
 * closes. Both ends are here.
 */
#ifndef OPS_CONTROL_H
#define OPS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/result.h"

#define CM_CONTROL_REQUEST_BYTES 4096  /* one more is answered with an error */
#define CM_CONTROL_ANSWER_BYTES 262144 /* with its line end */
#define CM_CONTROL_TIMEOUT_MS 15000    /* of a caller: a reload reads files and a drain waits */

/* Asks and waits. `request` is one line without its end; *out_answer, without its line end, is the caller's to free.
 * False and err if nobody answers there. Thread-safe. */
bool cm_control_ask(const char *path, const char *request, char **out_answer, struct cm_err *err);

struct cm_control;

/* Answers one request of `caller`, "LOGIN (uid N)" as the kernel knows them: an allocated line without its end, or NULL
 * without memory. Called by the control thread, one request at a time. */
typedef char *cm_control_answer(void *context, const char *caller, const char *request);

/* Opens the socket; the thread is cm_control_start's, because a daemon changes its user in between. */
struct cm_control *cm_control_new(const char *path, unsigned mode, const char *group, cm_control_answer *answer,
                                  void *context, struct cm_err *err);
bool cm_control_start(struct cm_control *control, struct cm_err *err);
/* Ends the thread and removes the socket. NULL is harmless. */
void cm_control_free(struct cm_control *control);

#endif
