/*
 * What a verification reads of one partition besides its ledger: all its records and its counters, as they lie there.
 * Thread-safe, as the store is.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include "store/archive.h"

#define CM_BUCKET_GROUP 128 /* milliseconds of Redis at a hundred million records */

/* Some whole buckets, at most CM_BUCKET_GROUP. */
struct cm_bucket_dump {
    void *replies[CM_BUCKET_GROUP];
    size_t count;
};

/* Reads them, and in the same pipeline after them whether the partition's ledger has gone on: *out_quiet tells that no
 * entry after `after` was added or trimmed, so that these records are as of then. */
enum cm_trouble cm_buckets_read(struct cm_store *store, unsigned partition, const uint16_t *buckets, size_t count,
                                uint64_t after, struct cm_bucket_dump *out, bool *out_quiet, struct cm_err *err);
void cm_bucket_dump_free(struct cm_bucket_dump *dump);
/* Number of subjects in the bucket that was asked for as the i-th; false if there is something else than a bucket. */
bool cm_bucket_size(const struct cm_bucket_dump *dump, size_t i, size_t *out_count);
/* Borrowed from the dump. */
void cm_bucket_subject(const struct cm_bucket_dump *dump, size_t i, size_t subject, struct cm_span *out_field,
                       struct cm_span *out_records);

/* The counters, each with its name and value, and after them what Redis says of the ledger. */
enum cm_trouble cm_counters_read(struct cm_store *store, unsigned partition,
                                 bool (*each)(void *context, struct cm_span name, struct cm_span value), void *context,
                                 struct cm_tail_facts *out_facts, struct cm_err *err);

#endif
