/*
 * The archiver: moves the ledger from Redis into the archive, and trims in Redis what is old enough.
 *
 * Always in this order: read from Redis, append to the archive and sync, write the marks into Redis, trim. So a crash
 * at any point loses nothing, and since each start goes on after the last entry of the archive itself, nothing is
 * archived twice. A Redis that was rolled back is told by alarm; the archive never goes back with it.
 *
 * It needs the archiver's key and the store id: no pepper, no seal master. One at a time; belongs to one thread.
 */
#ifndef SERVICE_ARCHIVER_H
#define SERVICE_ARCHIVER_H

#include "service/archive.h"
#include "store/archive.h"

struct cm_archiver;

struct cm_archiver_options {
    struct cm_archive_site where;                   /* borrowed, with a key that can sign */
    cm_ms keep_for_ms;                              /* how long an archived entry stays in Redis as well */
    void (*alarm)(void *context, const char *text); /* something is wrong that a person must look at; told once */
    void *alarm_context;
};

struct cm_archiver_sums {
    uint64_t archived;
    uint64_t trimmed;
    uint64_t cut_bytes; /* of a torn end, at the opening */
    unsigned alarms;
};

/* Opens the archive and compares it with the marks in Redis. NULL, the cause and err if one of them fails. */
struct cm_archiver *cm_archiver_open(struct cm_store *store, const struct cm_archiver_options *options,
                                     struct cm_archive_end *out_end, struct cm_err *err);
void cm_archiver_close(struct cm_archiver *archiver); /* NULL is harmless */

/* One round over all partitions. *out_more: there was more than one round takes. True, or false with the cause. */
bool cm_archiver_round(struct cm_archiver *archiver, cm_ms now, bool *out_more, struct cm_archive_end *out_end,
                       struct cm_err *err);
/* Trims by age and compares Redis' own count of entries with ours, in all partitions; seals the segment if asked to.
 * To be called at the end of a run and once in a while. */
bool cm_archiver_tidy(struct cm_archiver *archiver, cm_ms now, bool seal, struct cm_archive_end *out_end,
                      struct cm_err *err);
struct cm_archiver_sums cm_archiver_sums(const struct cm_archiver *archiver);

#endif
