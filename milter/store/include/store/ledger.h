/*
 * Reading what happened: the ledger of one subject, kept refusals and daily counters; and writing the last two, which
 * the filter does beside the mail path. Thread-safe, as the store is.
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "core/decision_id.h"
#include "store/store.h"

struct cm_ledger_entry {
    uint64_t id;
    struct cm_event event;
    struct cm_span document; /* evidence, opened; p == NULL: none, erased, changed, or no seal master here */
    bool document_lost;      /* there is one and it could not be opened */
};

/*
 * Calls `each` for all events of one subject, oldest first; borrowed for the call. Reads the partition in pages, so
 * Redis is never blocked for long. Stops early when `each` answers false.
 */
enum cm_trouble cm_store_history(struct cm_store *store, const struct cm_subject *subject,
                                 bool (*each)(void *context, const struct cm_ledger_entry *entry), void *context,
                                 struct cm_err *err);

/* One refusal as it is kept for `explain`; document is JSON without addresses. LAW-13 */
struct cm_refusal {
    char id[CM_DECISION_ID_CHARS + 1];
    uint16_t partition;
    char document[1024];
};

/* One counter of one day: "stream:verdict:reason". */
struct cm_day_count {
    char day[9]; /* YYYYMMDD, UTC */
    char name[160];
    uint64_t count;
};

/* Writes both in one pipeline; `counter_partition` is the writer's own. Never repeats itself, for counts would double:
 * on trouble *out_sent tells whether any of it may have been written. */
enum cm_trouble cm_store_record(struct cm_store *store, unsigned counter_partition, const struct cm_refusal *refusals,
                                size_t refusal_count, const struct cm_day_count *counts, size_t count_count,
                                bool *out_sent, struct cm_err *err);

/* The kept refusal with this id as JSON in `out`; *out_found tells whether there is one. */
enum cm_trouble cm_store_find_refusal(struct cm_store *store, struct cm_span id, char *out, size_t size,
                                      bool *out_found, struct cm_err *err);

/* Calls `each` for every counter of a day (summed by the caller: several writers may have counted the same). */
enum cm_trouble cm_store_day_counts(struct cm_store *store, const char day[9],
                                    void (*each)(void *context, struct cm_span name, uint64_t count), void *context,
                                    struct cm_err *err);
/* The same for the store's own counters: "SCOPE:KIND:STATE" numbers of records, and "events". */
enum cm_trouble cm_store_record_counts(struct cm_store *store,
                                       void (*each)(void *context, struct cm_span name, uint64_t count), void *context,
                                       struct cm_err *err);

#endif
