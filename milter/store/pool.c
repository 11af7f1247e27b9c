#include "pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 500 /* service is back within a second of the store */

struct cm_pool {
    const struct cm_store_options *options;
    int trip_fd;           /* readable while the breaker is open */
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t freed;  /* a connection or a place for one came free */
    struct cm_connection **idle;
    unsigned idle_count;
    unsigned open_count; /* idle and in use */
    unsigned waiting_count;
    bool breaker_open;
    bool probing;
    unsigned backoff_ms;
    int64_t retry_at_ms;
    unsigned jitter_seed;
    enum cm_trouble cause;
    struct cm_err cause_err;
};

/* What a caller holds while it runs its request. */
struct lease {
    struct cm_connection *connection;
    bool reused;
    bool probe;
};

struct cm_pool *cm_pool_new(const struct cm_store_options *options, struct cm_err *err)
{
    struct cm_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL) {
        cm_err_set(err, "out of memory");
        return NULL;
    }
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* valid arguments: cannot fail, as the next two */
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_cond_init(&pool->freed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    pool->options = options;
    pool->jitter_seed = (unsigned)cm_clock_monotonic_ms() ^ (unsigned)getpid();
    pool->idle = calloc(options->pool, sizeof(*pool->idle));
    pool->trip_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->idle == NULL || pool->trip_fd < 0) {
        cm_err_set(err, "out of memory or file descriptors");
        cm_pool_free(pool);
        return NULL;
    }
    return pool;
}

static void close_idle(struct cm_pool *pool)
{
    while (pool->idle_count > 0) {
        cm_connection_close(pool->idle[--pool->idle_count]);
        pool->open_count--;
    }
}

void cm_pool_free(struct cm_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    close_idle(pool);
    if (pool->trip_fd >= 0) {
        (void)close(pool->trip_fd); /* an eventfd holds nothing to lose */
    }
    (void)pthread_cond_destroy(&pool->freed);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool->idle);
    free(pool);
}

/* The troubles that a connection or the whole server has; others are answers of a healthy one. */
static bool opens_breaker(enum cm_trouble trouble)
{
    switch (trouble) {
    case CM_TROUBLE_UNREACHABLE:
    case CM_TROUBLE_TIMEOUT:
    case CM_TROUBLE_CONNECTION_LOST:
    case CM_TROUBLE_MAX_CLIENTS:
    case CM_TROUBLE_AUTHENTICATION:
    case CM_TROUBLE_PASSWORD_FILE:
    case CM_TROUBLE_NO_PERMISSION:
    case CM_TROUBLE_LOADING:
    case CM_TROUBLE_BUSY:
    case CM_TROUBLE_NOT_MASTER:
    case CM_TROUBLE_TLS:
    case CM_TROUBLE_PROTOCOL: return true;
    case CM_TROUBLE_UNSET:
    case CM_TROUBLE_NONE:
    case CM_TROUBLE_POOL_EXHAUSTED:
    case CM_TROUBLE_CLUSTER:
    case CM_TROUBLE_NO_FUNCTION:
    case CM_TROUBLE_CANNOT_WRITE:
    case CM_TROUBLE_ERROR_REPLY:
    case CM_TROUBLE_MALFORMED:
    case CM_TROUBLE_NO_STORE:
    case CM_TROUBLE_FOREIGN:
    case CM_TROUBLE_SCHEMA:
    case CM_TROUBLE_WRONG_PEPPER:
    case CM_TROUBLE_CHANGED:
    case CM_TROUBLE_CLOCK:
    case CM_TROUBLE_REGISTRY:
    case CM_TROUBLE_BEAT_MISSING:
    case CM_TROUBLE_BEAT_STALE:
    case CM_TROUBLE_INCARNATION:
    case CM_TROUBLE_DOCTOR:
    case CM_TROUBLE_MEMORY:
    case CM_TROUBLE_INTERNAL:
    case CM_TROUBLE_COUNT: break;
    }
    return false;
}

/* With the mutex held. Idle connections go too: whatever ails Redis, they would meet it one by one. */
static void open_breaker(struct cm_pool *pool, enum cm_trouble cause, const struct cm_err *err)
{
    unsigned backoff = pool->backoff_ms == 0 ? BACKOFF_FIRST_MS : pool->backoff_ms * 2;
    pool->backoff_ms = backoff < BACKOFF_MAX_MS ? backoff : BACKOFF_MAX_MS;
    unsigned jitter = (unsigned)rand_r(&pool->jitter_seed) % (pool->backoff_ms / 2 + 1);
    pool->retry_at_ms = cm_clock_monotonic_ms() + pool->backoff_ms - jitter;
    pool->cause = cause;
    pool->cause_err = *err;
    if (!pool->breaker_open) {
        pool->breaker_open = true;
        uint64_t one = 1;
        (void)!write(pool->trip_fd, &one, sizeof(one)); /* an eventfd at 0 takes a 1 */
    }
    close_idle(pool);
    (void)pthread_cond_broadcast(&pool->freed); /* those who wait for a connection need not */
}

/* With the mutex held. */
static void close_breaker(struct cm_pool *pool)
{
    pool->backoff_ms = 0;
    if (pool->breaker_open) {
        uint64_t drained = 0;
        pool->breaker_open = false;
        (void)!read(pool->trip_fd, &drained, sizeof(drained)); /* never blocks; empty is as good */
    }
}

/* With the mutex held: waits for an idle connection or a place to open one. */
static enum cm_trouble wait_for_place(struct cm_pool *pool, int64_t deadline_ms, struct cm_err *err)
{
    struct timespec until = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    int result = 0;
    pool->waiting_count++;
    while (result == 0 && !pool->breaker_open && pool->idle_count == 0 && pool->open_count >= pool->options->pool) {
        result = pthread_cond_timedwait(&pool->freed, &pool->mutex, &until);
    }
    pool->waiting_count--;
    if (result != 0) {
        cm_err_set(err, "all %u connections stayed busy", pool->options->pool);
    }
    return result == 0 ? CM_TROUBLE_NONE : CM_TROUBLE_POOL_EXHAUSTED;
}

/* Takes an idle connection, or the right to open one (connection NULL). Refuses at once while the breaker is open. */
static enum cm_trouble acquire(struct cm_pool *pool, int64_t deadline_ms, struct lease *out, struct cm_err *err)
{
    *out = (struct lease){0};
    (void)pthread_mutex_lock(&pool->mutex);
    enum cm_trouble trouble = wait_for_place(pool, deadline_ms, err);
    if (trouble == CM_TROUBLE_NONE && pool->breaker_open) {
        if (pool->probing || cm_clock_monotonic_ms() < pool->retry_at_ms) {
            trouble = pool->cause;
            *err = pool->cause_err;
        } else {
            pool->probing = true;
            out->probe = true;
        }
    }
    if (trouble == CM_TROUBLE_NONE) {
        if (pool->idle_count > 0) {
            out->connection = pool->idle[--pool->idle_count];
            out->reused = true;
        } else {
            pool->open_count++;
        }
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return trouble;
}

static void release(struct cm_pool *pool, const struct lease *lease, enum cm_trouble trouble, const struct cm_err *err)
{
    struct cm_connection *dead = NULL;
    (void)pthread_mutex_lock(&pool->mutex);
    if (lease->probe) {
        pool->probing = false;
    }
    if (opens_breaker(trouble)) {
        open_breaker(pool, trouble, err);
    } else if (!pool->breaker_open || lease->probe) {
        close_breaker(pool);
    }
    if (lease->connection != NULL && !lease->connection->dead && !pool->breaker_open) {
        pool->idle[pool->idle_count++] = lease->connection;
    } else {
        dead = lease->connection;
        pool->open_count--;
    }
    (void)pthread_cond_signal(&pool->freed);
    (void)pthread_mutex_unlock(&pool->mutex);
    cm_connection_close(dead);
}

/* The first error reply that speaks of the connection or the server rather than of the command. */
static enum cm_trouble server_trouble(redisReply *const *replies, size_t count, struct cm_err *err)
{
    for (size_t i = 0; i < count; i++) {
        enum cm_trouble trouble = cm_reply_trouble(replies[i], err);
        if (opens_breaker(trouble)) {
            return trouble;
        }
    }
    return CM_TROUBLE_NONE;
}

/* How far a request got: whether some try may have been carried out, whatever was answered later. */
struct progress {
    bool sent;      /* the last try went out */
    bool sent_lost; /* an earlier try went out and its answer was lost */
};

/* Runs the request on the leased connection, or on a new one. */
static enum cm_trouble run_leased(struct cm_pool *pool, struct lease *lease, const struct cm_request *request,
                                  const struct cm_call *call, redisReply **out_replies, struct progress *progress,
                                  struct cm_err *err)
{
    int trip_fd = lease->probe ? -1 : pool->trip_fd;
    if (lease->reused && !call->fresh) {
        enum cm_trouble trouble = cm_connection_call(lease->connection, request, call->deadline_ms, trip_fd,
                                                     out_replies, err);
        progress->sent = lease->connection->sent;
        if (trouble != CM_TROUBLE_CONNECTION_LOST || (progress->sent && !call->may_repeat)) {
            return trouble;
        }
        *progress = (struct progress){.sent_lost = progress->sent};
    }
    cm_connection_close(lease->connection); /* if Redis restarted, its old connections are no news */
    lease->connection = NULL;
    enum cm_trouble trouble = cm_connection_open(pool->options, call->deadline_ms, &lease->connection, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_connection_call(lease->connection, request, call->deadline_ms, trip_fd, out_replies, err);
        progress->sent = lease->connection->sent;
    }
    return trouble;
}

enum cm_trouble cm_pool_call(struct cm_pool *pool, const struct cm_request *request, struct cm_call *call,
                             redisReply **out_replies, struct cm_err *err)
{
    struct cm_err local_err = {{0}};
    struct lease lease;
    struct progress progress = {0};
    if (call->deadline_ms == 0) {
        call->deadline_ms = cm_clock_monotonic_ms() + pool->options->timeout_ms;
    }
    enum cm_trouble trouble = acquire(pool, call->deadline_ms, &lease, &local_err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = run_leased(pool, &lease, request, call, out_replies, &progress, &local_err);
        bool answered = trouble == CM_TROUBLE_NONE;
        if (answered) {
            trouble = server_trouble(out_replies, request->commands, &local_err);
            call->incarnation = lease.connection->incarnation; /* before somebody else may close it */
        }
        release(pool, &lease, trouble, &local_err);
        if (answered && trouble != CM_TROUBLE_NONE) {
            cm_replies_free(out_replies, request->commands);
            progress.sent = false; /* an error reply of this sort is the server's word that it did nothing */
        }
    }
    if (trouble != CM_TROUBLE_NONE && err != NULL) {
        *err = local_err;
    }
    call->sent = progress.sent || progress.sent_lost;
    return trouble;
}

void cm_pool_state(struct cm_pool *pool, struct cm_store_state *out)
{
    (void)pthread_mutex_lock(&pool->mutex);
    *out = (struct cm_store_state){
        .breaker_is_open = pool->breaker_open,
        .open = pool->open_count,
        .busy = pool->open_count - pool->idle_count,
        .waiting = pool->waiting_count,
        .max = pool->options->pool,
    };
    (void)pthread_mutex_unlock(&pool->mutex);
}
