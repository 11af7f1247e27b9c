/*
 * What the filter has decided since it started: one row of counters for each stream name, so that a reload neither
 * loses nor moves them. The recorder makes the day counters of it, the metrics tell it as it is.
 *
 * Thread-safe but for new and free: counting takes no lock.
 */
#ifndef SERVICE_TALLY_H
#define SERVICE_TALLY_H

#include <stdatomic.h>
#include <stdint.h>

#include "core/decision.h"

struct cm_tally;

#define CM_TALLY_NO_STREAM "-" /* the row of mail that belongs to no stream */

#define CM_TALLY_NAME_BYTES 64

struct cm_tally_row {
    char name[CM_TALLY_NAME_BYTES]; /* of the stream; "-": mail that belongs to none */
    atomic_bool has_grown; /* set by each count; the recorder clears it, so that it need not look at all rows */
    _Atomic uint64_t applied[CM_REASON_COUNT];
    _Atomic uint64_t observed[CM_REASON_COUNT]; /* what would have been, had the stream not only observed */
};

/* Ceilings of one message; those of sessions are the door's. */
enum cm_ceiling {
    CM_CEILING_NONE = 0,
    CM_CEILING_RECIPIENTS, /* limits.recipients */
    CM_CEILING_HEADERS,    /* limits.header_bytes, or their number */
    CM_CEILING_MEMORY,     /* what one message may hold */
    CM_CEILING_COUNT,
};
/* The word in metrics; never NULL. */
const char *cm_ceiling_name(enum cm_ceiling ceiling);

/* NULL without memory. */
struct cm_tally *cm_tally_new(void);
void cm_tally_free(struct cm_tally *tally);

/* The row of this name, made if there is none; past CM_TALLY_ROWS_MAX names they share the row "other". NULL without
 * memory. Rows live as long as the tally. */
#define CM_TALLY_ROWS_MAX 8192
struct cm_tally_row *cm_tally_row(struct cm_tally *tally, const char *name);

void cm_tally_count(struct cm_tally *tally, struct cm_tally_row *row, const struct cm_decision *decision,
                    bool observed);

/* All rows in the order they were made: `index` from 0; NULL: there are no more. */
struct cm_tally_row *cm_tally_at(struct cm_tally *tally, size_t index);
/* Decisions that some trouble of the store made "don't know". */
uint64_t cm_tally_troubles(const struct cm_tally *tally, enum cm_trouble trouble);

/* How often a ceiling was reached. */
void cm_tally_count_ceiling(struct cm_tally *tally, enum cm_ceiling ceiling);
uint64_t cm_tally_ceilings(const struct cm_tally *tally, enum cm_ceiling ceiling);

#endif
