/* What the files of this room share about the store object. */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include <pthread.h>

#include "pool.h"

#define CM_SCHEMA_VERSION "1"
#define CM_REGISTRY_TAG "{p000}" /* the registry lives in one slot */
#define CM_KEY_BYTES 48

struct cm_store {
    struct cm_store_options options; /* texts are owned */
    struct cm_keys *keys;
    struct cm_pool *pool;
    struct cm_request look_up_head; /* of every look-up: facts, doctor's verdict, beats */
    struct cm_request look_up_tail; /* facts again, TIME */
    /* While the beats are of another incarnation a new connection is tried, but not by every look-up: when to, by
     * CLOCK_MONOTONIC in ms. */
    _Atomic int64_t renew_at_ms;
    _Atomic bool doctor_is_missing;
    _Atomic enum cm_trouble trouble; /* of the last look-up */
    struct cm_histogram latency;
    pthread_mutex_t registry_mutex;     /* guards `registry` and its reloading; taken before the pool's, never after */
    const struct cm_registry *registry; /* NULL until first needed */
};

/* "c:{p01f}:03a2", "l:{p01f}", ... `letter` is the room of DESIGN 6; bucket < 0: none. */
struct cm_span cm_store_key(char out[CM_KEY_BYTES], char letter, unsigned partition, int bucket);

/* Runs a request that may be repeated, frees it, and hands out its replies. */
enum cm_trouble cm_store_run(struct cm_store *store, struct cm_request *request, redisReply **out_replies,
                             struct cm_err *err);
/* As cm_store_run with one command whose reply is an error or not. */
enum cm_trouble cm_store_command(struct cm_store *store, const struct cm_span *args, size_t count,
                                 redisReply **out_reply, struct cm_err *err);

/* Runs a pipeline of one command for each partition and checks every reply for an error. */
enum cm_trouble cm_store_for_all_partitions(struct cm_store *store,
                                            void (*add)(struct cm_request *request, unsigned partition,
                                                        const void *context),
                                            const void *context, struct cm_err *err);
/* What stands in the first and the last partition: nothing, ours, or trouble. Facts are written in order, so both ends
 * together say whether an interrupted init must go on. */
enum cm_trouble cm_store_look_at_ends(struct cm_store *store, struct cm_err *err);

/* What a look-up asks before and after the records; made once, in `store`. False without memory. */
bool cm_frame_prepare(struct cm_store *store);
/* Whether the replies to them let the records between them count, by the incarnation of the connection that brought
 * them: NONE, or why not. LAW-12 */
struct cm_frame {
    cm_ms now;
    uint64_t epoch;
    uint64_t registry;
    bool doctor_is_missing;
    uint32_t peppers; /* bit N: a subject must have been looked up under pepper N, too */
};
enum cm_trouble cm_frame_check(const struct cm_store *store, const struct cm_incarnation *incarnation,
                               redisReply *const *head, redisReply *const *tail, struct cm_frame *out,
                               struct cm_err *err);
#define CM_FRAME_HEAD_REPLIES 1
#define CM_FRAME_TAIL_REPLIES 2

/* Reads a reply to TIME. */
enum cm_trouble cm_time_read(const redisReply *reply, cm_ms *out_now, struct cm_err *err);

/* Asks for the facts of the store in one partition, at the beginning and at the end of a pipeline. */
void cm_store_ask_facts(struct cm_request *request, unsigned partition);
void cm_store_ask_end_facts(struct cm_request *request, unsigned partition);
enum { CM_FACT_STORE, CM_FACT_EPOCH, CM_FACT_SCHEMA, CM_FACT_CANON, CM_FACT_PEPPERS, CM_FACT_COUNT };
/* NONE if these replies are the facts of our store, in our layout, under our peppers. */
enum cm_trouble cm_store_check_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                     struct cm_err *err);
enum cm_trouble cm_store_check_end_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                         uint64_t *out_registry, struct cm_err *err);

/* Whether all peppers under which records may stand are known here and the store's: NONE, or WRONG_PEPPER and err.
 * Reads from the key directory what is new. *out_in_use is for cm_keys_use; *out_needed has bit N for each pepper N
 * that a look-up must read under. */
enum cm_trouble cm_peppers_check(struct cm_keys *keys, struct cm_span text, uint32_t *out_in_use, uint32_t *out_needed,
                                 struct cm_err *err);

/* Fetches a new snapshot (reference of the caller). */
enum cm_trouble cm_registry_fetch(struct cm_store *store, const struct cm_registry **out, struct cm_err *err);
/* The epoch that a snapshot was read in. */
uint64_t cm_registry_epoch(const struct cm_registry *registry);
/* The cached snapshot if it is of this epoch and at least `version`, or a new one; reference of the caller. */
enum cm_trouble cm_store_registry(struct cm_store *store, uint64_t epoch, uint64_t version,
                                  const struct cm_registry **out, struct cm_err *err);

/* One page of a partition's ledger and then its marks: two commands; and their replies checked. */
struct cm_archive_mark;
void cm_tail_ask(struct cm_request *request, unsigned partition, uint64_t after, unsigned limit);
enum cm_trouble cm_tail_check(redisReply *const replies[2], unsigned limit, struct cm_archive_mark *out_mark,
                              struct cm_err *err);

/* XINFO STREAM of one partition's ledger, and its reply; all zero if there is none yet. */
struct cm_tail_facts;
void cm_tail_ask_facts(struct cm_request *request, unsigned partition);
enum cm_trouble cm_tail_read_facts(const redisReply *reply, struct cm_tail_facts *out, struct cm_err *err);

/* Decodes the packed value of one field into `arena`. A nil reply is no records. */
enum cm_trouble cm_records_decode(const redisReply *reply, struct cm_arena *arena, const struct cm_record **out_records,
                                  size_t *out_count, struct cm_err *err);

#endif
