/*
 * The store as its readers see it: one look-up, one pipeline, three answers.
 *
 * A store object owns a bounded pool of connections (last in, first out) behind a circuit breaker: after a failure it
 * refuses at once and lets one caller probe, so a dead or hung Redis costs mail microseconds instead of timeouts.
 *
 * Every look-up is one pipeline: store facts, records, store facts again and the server's TIME. It counts only if both
 * ends show our store id, the same epoch, our layout and our pepper; anything else is "don't know". LAW-2, LAW-12
 * The facts are those of the first subject's partition: on a single server one speaks for all.
 *
 * Thread-safety: all functions may be called by any number of threads on one store, but for new and free.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/result.h"
#include "core/decision.h"
#include "core/subject.h"
#include "store/keys.h"
#include "store/registry.h"

struct cm_store_options {
    const char *unix_path; /* NULL: TCP */
    const char *host;      /* a literal, or a name that the system resolves without a deadline of ours */
    const char *port;
    const char *user;          /* NULL: the default user */
    const char *password_file; /* NULL: no AUTH. Read at each connect: a new password needs no restart. */
    unsigned timeout_ms; /* one call, with waiting, connecting and one repetition; a new registry is another call */
    unsigned pool;       /* connections at most */
};

struct cm_store;

/* Connects to nothing yet. Copies the options; borrows `keys` until free. NULL and err when memory or descriptors lack.
 */
struct cm_store *cm_store_new(const struct cm_store_options *options, const struct cm_keys *keys, struct cm_err *err);
/* No call may be running. NULL is harmless. */
void cm_store_free(struct cm_store *store);

struct cm_lookup {
    cm_ms now;                          /* TIME of the server */
    const struct cm_registry *registry; /* as of this look-up; give it back with cm_registry_unref */
};

/*
 * Fetches all records of `count` subjects (at most CM_LIMIT_LOOKUP_BATCH). out_records and what it points to live in
 * `arena`. CM_TROUBLE_NONE, or the cause with `err` filled; out_records is then undefined and out_lookup untouched.
 */
enum cm_trouble cm_store_lookup(struct cm_store *store, const struct cm_subject *subjects, size_t count,
                                struct cm_arena *arena, struct cm_subject_records *out_records,
                                struct cm_lookup *out_lookup, struct cm_err *err);

#endif
