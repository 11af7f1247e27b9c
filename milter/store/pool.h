/*
 * The pool and its circuit breaker.
 *
 * Last in, first out: few connections stay warm, the pool grows to its ceiling only under need, and a caller waits for
 * a free one at most until its deadline. After a failure to connect or a timeout the breaker opens: callers are refused
 * at once with the cause, those in flight stop waiting (`trip_fd`), and after a back-off with jitter one caller at a
 * time is let through as a probe. Its success closes the breaker. Thread-safe.
 */
#ifndef STORE_POOL_H
#define STORE_POOL_H

#include "connection.h"

struct cm_pool;

/* Borrows the options. NULL and err without memory or descriptors. */
struct cm_pool *cm_pool_new(const struct cm_store_options *options, struct cm_err *err);
void cm_pool_free(struct cm_pool *pool);

/* How one request is to be run, and how it went. */
struct cm_call {
    /* Asked: */
    bool may_repeat; /* sent once more, on a new connection, if its answer was lost with the old one (a restart): only
                        reads and writes with an event id may be. What never went out is sent in any case. */
    bool fresh;      /* on a new connection, in the place of an idle one: what an old one was told may be outdated */
    int64_t deadline_ms; /* of CLOCK_MONOTONIC; 0: the options' timeout from now, and filled in */
    /* Told: */
    bool sent;                         /* on trouble: the request may have reached Redis */
    struct cm_incarnation incarnation; /* of the connection that answered; written on NONE only */
};

/* Runs one request on some connection. out_replies as in cm_connection_call. */
enum cm_trouble cm_pool_call(struct cm_pool *pool, const struct cm_request *request, struct cm_call *call,
                             redisReply **out_replies, struct cm_err *err);

/* All of it but the trouble. */
void cm_pool_state(struct cm_pool *pool, struct cm_store_state *out);

#endif
