/*
 * Bytes to and from Redis with a deadline: over a plain socket (transport.c), or with TLS on it (transport_tls.c).
 *
 * Deadlines are instants of CLOCK_MONOTONIC in milliseconds. `trip_fd`, if not -1, ends a wait early once it becomes
 * readable: the circuit breaker has opened meanwhile, and waiting longer would only starve other mail.
 * A transport belongs to one thread at a time.
 */
#ifndef STORE_TRANSPORT_H
#define STORE_TRANSPORT_H

#include <stdint.h>
#include <sys/types.h>

#include "store/store.h"

enum cm_io { CM_IO_UNSET = 0, CM_IO_DONE, CM_IO_CLOSED, CM_IO_TIMEOUT, CM_IO_TRIPPED, CM_IO_TLS };

struct cm_transport;
struct cm_tls;

/* CM_IO_TLS: the two ends no longer agree about TLS; cm_tls_explain tells why. */
struct cm_transport_ops {
    /* All of `bytes`, or why not. */
    enum cm_io (*send)(struct cm_transport *transport, struct cm_span bytes, int64_t deadline_ms, int trip_fd);
    /* At least one byte into `out`; *out_len tells how many. */
    enum cm_io (*receive)(struct cm_transport *transport, char *out, size_t size, size_t *out_len, int64_t deadline_ms,
                          int trip_fd);
    /* DONE if nothing waits to be read, CLOSED if the other end has gone; UNSET if bytes wait that nobody asked for. */
    enum cm_io (*quiet)(const struct cm_transport *transport);
    void (*close)(struct cm_transport *transport);
};

struct cm_transport {
    const struct cm_transport_ops *ops; /* NULL: not open */
    int fd;
    struct cm_tls *tls; /* NULL: plain; owned */
};

/* NONE, UNREACHABLE, TIMEOUT, and with TLS also CONNECTION_LOST, TLS and MEMORY; err is filled for all but the first.
 */
enum cm_trouble cm_transport_open(const struct cm_store_options *options, int64_t deadline_ms, struct cm_transport *out,
                                  struct cm_err *err);

/* For the transports themselves: DONE once the socket is ready for `events` (of poll). */
enum cm_io cm_transport_wait(int fd, short events, int64_t deadline_ms, int trip_fd);

#endif
