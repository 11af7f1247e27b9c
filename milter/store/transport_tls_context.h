/*
 * What all TLS connections of a store have in common: authorities, our certificate, the name that is asked for.
 *
 * Reading the authorities of a system takes some 40 ms, far too much for each connection of a pool that comes back
 * after a restart of Redis. So it is done once, and again when a file has changed. Thread-safe but for new and free.
 */
#ifndef STORE_TRANSPORT_TLS_CONTEXT_H
#define STORE_TRANSPORT_TLS_CONTEXT_H

#include "store/store.h"

struct ssl_st;
struct cm_tls_context;

/* Reads all files. Borrows the options until free. NULL and err, which names the file, if one of them cannot be used.
 */
struct cm_tls_context *cm_tls_context_new(const struct cm_store_options *options, struct cm_err *err);
/* NULL is harmless. */
void cm_tls_context_free(struct cm_tls_context *context);

/* The client's end of one connection, without a socket; the caller frees it (SSL_free). NULL and err if a file has
 * changed and can no longer be used, or without memory. */
struct ssl_st *cm_tls_context_begin(struct cm_tls_context *context, struct cm_err *err);

#endif
