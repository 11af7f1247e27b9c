/*
 * The store as its readers see it: one look-up, one pipeline, three answers.
 *
 * A store object owns a bounded pool of connections (last in, first out) behind a circuit breaker: after a failure it
 * refuses at once and lets one caller probe, so a dead or hung Redis costs mail microseconds instead of timeouts.
 *
 * Every look-up is one pipeline: store facts with the keepers' beats, records, store facts again and the server's TIME.
 * It counts only if both ends show our store id, the same epoch, our layout and our pepper, the doctor has not found
 * this run of the server unfit, and every keeper of the options has beaten for this very incarnation of the store less
 * than CM_BEAT_FRESH_MS ago (or has signed off for it within CM_BEAT_OFF_MS, or was retired); anything else is "don't
 * know". LAW-2, LAW-12 Facts and beats are those of partition 0: one server speaks for all partitions.
 *
 * Thread-safety: all functions may be called by any number of threads on one store, but for new and free.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/histogram.h"
#include "base/result.h"
#include "core/decision.h"
#include "core/subject.h"
#include "store/keys.h"
#include "store/registry.h"

struct cm_tls_context;

/* How a connection proves who is at its other end. All paths name PEM files. When a connection is opened, files that
 * have changed are read again: renewed certificates need no restart. */
struct cm_tls_options {
    bool on;                        /* false: plain, and the rest is not looked at */
    const char *ca_file;            /* NULL: the authorities that the system trusts */
    const char *cert_file;          /* of ours, with the chain behind it; NULL: none is shown */
    const char *key_file;           /* its key, without a password; set if and only if cert_file is */
    const char *server_name;        /* a host name or an address that the certificate must name; NULL: the host */
    struct cm_tls_context *context; /* the store makes it for its own copy; not for callers */
};

struct cm_store_options {
    const char *unix_path; /* NULL: TCP */
    const char *host;      /* a literal, or a name that the system resolves without a deadline of ours */
    const char *port;
    const char *user;          /* NULL: the default user */
    const char *password_file; /* NULL: no AUTH. Read at each connect: a new password needs no restart. */
    unsigned timeout_ms; /* one call, with waiting, connecting and one repetition; a new registry is another call */
    unsigned pool;       /* connections at most */
    struct cm_tls_options tls;
    const char *const *keepers; /* whose beat a look-up needs; at most CM_LIMIT_KEEPERS */
    size_t keeper_count;        /* 0: none. Losing data is then noticed only where Redis itself shows it. */
};

/* One life of the store: a restart makes another run id, a promotion or a lost history another replication id. */
#define CM_INCARNATION_CHARS 40
struct cm_incarnation {
    char run_id[CM_INCARNATION_CHARS + 1]; /* lower-case hex; empty: none is known */
    char replication_id[CM_INCARNATION_CHARS + 1];
};

/* Two that are not known are not equal. */
bool cm_incarnation_is_same(const struct cm_incarnation *a, const struct cm_incarnation *b);

struct cm_store;

/* Connects to nothing yet. Copies the options; borrows `keys` until free, and adds to them what the store tells of new
 * peppers. NULL and err when memory or descriptors lack,
 * or when a file of TLS cannot be used. */
struct cm_store *cm_store_new(const struct cm_store_options *options, struct cm_keys *keys, struct cm_err *err);
/* No call may be running. NULL is harmless. */
void cm_store_free(struct cm_store *store);

struct cm_lookup {
    cm_ms now;                          /* TIME of the server */
    const struct cm_registry *registry; /* as of this look-up; give it back with cm_registry_unref */
};

/*
 * Fetches all records of `count` subjects (at most CM_LIMIT_LOOKUP_BATCH), wherever they stand: while peppers are
 * rotated one record may be told twice. out_records and what it points to live in `arena`. CM_TROUBLE_NONE, or the
 * cause with `err` filled; out_records is then undefined and out_lookup untouched. Subjects that lack their place under
 * a pepper of the store are trouble, CHANGED; cm_keys_in_use has changed too then, and they can be hashed anew.
 */
enum cm_trouble cm_store_lookup(struct cm_store *store, const struct cm_subject *subjects, size_t count,
                                struct cm_arena *arena, struct cm_subject_records *out_records,
                                struct cm_lookup *out_lookup, struct cm_err *err);

/* Whether the last look-up found no verdict of the doctor on its run of the server: mail passes, but nobody has checked
 * that this Redis keeps what it acknowledges. */
bool cm_store_doctor_is_missing(const struct cm_store *store);

/* How it goes with the store, for those who watch. */
struct cm_store_state {
    enum cm_trouble trouble; /* of the last look-up; NONE: it was answered; UNSET: there was none yet */
    bool breaker_is_open;    /* callers are refused at once */
    unsigned open;           /* connections */
    unsigned busy;           /* of them: with a look-up under way */
    unsigned waiting;        /* callers that wait for one, at most until their deadline */
    unsigned max;            /* connections at most */
};
void cm_store_state(struct cm_store *store, struct cm_store_state *out);
/* Asks as a look-up does, but for no subject. NONE if look-ups are answered, or the cause and err. */
enum cm_trouble cm_store_probe(struct cm_store *store, struct cm_err *err);
/* How long look-ups took, whatever their answer. Lives as long as the store. */
const struct cm_histogram *cm_store_latency(const struct cm_store *store);

#endif
