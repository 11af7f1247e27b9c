/*
 * A small HTTP server for answers that are made at once: GET and HEAD, no bodies, one answer a connection. For loopback
 * addresses and unix sockets only: whoever may connect may read. libmicrohttpd does the work, in one thread of its own.
 *
 * Limits: CM_HTTP_CONNECTIONS at once (others wait in the backlog), 5 s for a request, 16 KiB for its head.
 */
#ifndef OPS_HTTP_H
#define OPS_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/result.h"

#define CM_HTTP_CONNECTIONS 16

struct cm_http_answer {
    unsigned status;  /* of HTTP */
    const char *type; /* of the body; outlives the answer */
    char *body;       /* allocated; the server frees it */
    size_t len;
};

/* Answers a GET or HEAD of one path. False: there is no such page (404). Called by the server's thread, one at a time.
 */
typedef bool cm_http_handler(void *context, const char *path, struct cm_http_answer *out);

struct cm_http;

/* Opens "unix:PATH" (mode 0660), "A.B.C.D:PORT" or "[ADDRESS]:PORT". The thread is cm_http_start's, because a daemon
 * changes its user in between. NULL and err; `setting` names what to change. */
struct cm_http *cm_http_new(const char *listen, const char *setting, cm_http_handler *handler, void *context,
                            struct cm_err *err);
bool cm_http_start(struct cm_http *http, struct cm_err *err);
/* Ends the thread and removes the socket. NULL is harmless. */
void cm_http_free(struct cm_http *http);

#endif
