/* What the files of the verification share. */
#ifndef SERVICE_VERIFY_INTERNAL_H
#define SERVICE_VERIFY_INTERNAL_H

#include "core/fold.h"
#include "service/verify.h"

/* The folded records of one field, packed and sorted as the store keeps them. */
struct cm_folded {
    uint8_t field[CM_FIELD_BYTES];
    uint8_t *records;
    uint16_t count;
    bool seen; /* by the comparison that is under way */
};

struct cm_folded_bucket {
    struct cm_folded *subjects;
    uint32_t count;
    uint32_t size;
    bool is_touched; /* an event came since the flag was cleared */
};

/* One partition while it is being judged. */
struct cm_folded_partition {
    struct cm_folded_bucket *buckets; /* CM_BUCKETS */
    uint64_t last;                    /* ledger id folded up to */
    uint64_t events;
    uint64_t last_given;   /* last ledger id that Redis has ever given, when it was asked last; 0: not yet */
    uint64_t marked;       /* how many of them the archive must hold */
    uint64_t note;         /* ledger id of the last note */
    cm_ms newest_grant_at; /* the newest that was applied */
};

struct cm_verify_run {
    struct cm_store *store;
    const struct cm_verify_options *options;
    struct cm_verify_sums sums;
    uint64_t added[CM_PARTITIONS]; /* entries that Redis has ever added, when it was asked */
    unsigned first;                /* the group of partitions at hand: first, and one after the last */
    unsigned end;
    bool first_pass; /* only then the archive's own damage is told */
    bool out_of_memory;
    struct cm_folded_partition *partitions; /* of the group */
    struct cm_record *scratch;              /* CM_LIMIT_RECORDS */
};

void cm_verify_tell(struct cm_verify_run *run, enum cm_fault fault, int partition, uint64_t ledger, uint64_t segment,
                    const char *format, ...) __attribute__((format(printf, 6, 7)));
/* "p01f/03a2/0123456789abcdef", as `show` prints subjects. */
void cm_verify_subject(unsigned partition, unsigned bucket, const uint8_t field[CM_FIELD_BYTES],
                       char out[CM_SUBJECT_TEXT_BYTES]);

/* verify_fold.c. Folds one entry and judges it by itself; false without memory. */
bool cm_verify_fold(struct cm_verify_run *run, const struct cm_ledger_raw *entry);
bool cm_folded_init(struct cm_folded_partition *partition);
void cm_folded_done(struct cm_folded_partition *partition);
/* NULL if no event ever touched that field. */
struct cm_folded *cm_folded_find(const struct cm_folded_partition *partition, unsigned bucket,
                                 const uint8_t field[CM_FIELD_BYTES]);

/* verify_partition.c. Compares a partition whose archived entries are folded: the tail, the records, the counters. */
enum cm_trouble cm_verify_partition(struct cm_verify_run *run, unsigned partition, struct cm_err *err);
/* verify_counters.c. *out_stable is false if an event came in between. */
enum cm_trouble cm_verify_counters(struct cm_verify_run *run, unsigned partition, bool *out_stable, struct cm_err *err);

#endif
