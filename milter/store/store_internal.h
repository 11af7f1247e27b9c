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
    const struct cm_keys *keys;
    struct cm_pool *pool;
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

/* Asks for the facts of the store in one partition, at the beginning and at the end of a pipeline. */
void cm_store_ask_facts(struct cm_request *request, unsigned partition);
void cm_store_ask_end_facts(struct cm_request *request, unsigned partition);
/* NONE if these replies are the facts of our store, in our layout, under our pepper. */
enum cm_trouble cm_store_check_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                     struct cm_err *err);
enum cm_trouble cm_store_check_end_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                         uint64_t *out_registry, struct cm_err *err);

/* Fetches a new snapshot (reference of the caller). */
enum cm_trouble cm_registry_fetch(struct cm_store *store, const struct cm_registry **out, struct cm_err *err);
/* The epoch that a snapshot was read in. */
uint64_t cm_registry_epoch(const struct cm_registry *registry);
/* The cached snapshot if it is of this epoch and at least `version`, or a new one; reference of the caller. */
enum cm_trouble cm_store_registry(struct cm_store *store, uint64_t epoch, uint64_t version,
                                  const struct cm_registry **out, struct cm_err *err);

/* Decodes the packed value of one field into `arena`. A nil reply is no records. */
enum cm_trouble cm_records_decode(const redisReply *reply, struct cm_arena *arena, const struct cm_record **out_records,
                                  size_t *out_count, struct cm_err *err);

#endif
