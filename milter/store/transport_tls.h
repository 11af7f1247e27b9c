/*
 * TLS to Redis: version 1.2 or 1.3, the other end always verified against its name, no renegotiation, no early data.
 *
 * What the connections of a store have in common is read in transport_tls_context.c. Only these two files know
 * OpenSSL's TLS.
 */
#ifndef STORE_TRANSPORT_TLS_H
#define STORE_TRANSPORT_TLS_H

#include "transport.h"

/*
 * The handshake over a connected, non-blocking socket, with the context of the options. With NONE *out is an open
 * transport that owns `fd`; else `fd` stays the caller's, and the answer is TIMEOUT, CONNECTION_LOST, TLS or MEMORY.
 */
enum cm_trouble cm_tls_open(const struct cm_store_options *options, int fd, int64_t deadline_ms,
                            struct cm_transport *out, struct cm_err *err);

/* Why the last operation ended with CM_IO_TLS. */
void cm_tls_explain(const struct cm_tls *tls, struct cm_err *err);

/* What OpenSSL says of its last failure in this thread: the first of its errors is the cause, those after it tell who
 * noticed. */
const char *cm_tls_first_error(void);

#endif
