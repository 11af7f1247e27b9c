/*
 * Reading what happened: the ledger, kept refusals and daily counters; and writing the last two, which the filter does
 * beside the mail path. The ledger lies in two places: its tail in Redis, and what an archiver took from there in an
 * archive, of which this room only knows that it can be read (struct cm_past). Thread-safe, as the store is.
 */
#ifndef STORE_LEDGER_H
#define STORE_LEDGER_H

#include "core/decision_id.h"
#include "store/store.h"

/* One entry as it lies in the ledger, borrowed and unread. */
struct cm_ledger_raw {
    unsigned partition;
    uint64_t id;
    struct cm_span event;    /* packed; empty: not as the functions write it */
    struct cm_span document; /* sealed; empty: none */
};

/*
 * Where the part of the ledger lies that is no longer in Redis. Calls `each` for the entries of one partition after the
 * ledger id `after`, oldest first; false from `each` ends the reading and is no failure. False and err if it cannot be
 * read.
 */
struct cm_past {
    bool (*read)(void *context, unsigned partition, uint64_t after,
                 bool (*each)(void *each_context, const struct cm_ledger_raw *entry), void *each_context,
                 struct cm_err *err);
    void *context;
    bool is_known; /* the caller has read it as far as `after`: look there only for what was trimmed since */
};

/*
 * Calls `each` for all entries of one partition after `after`, oldest first, each once: first those of `past` (NULL:
 * there is none), then those still in Redis, in pages, so that Redis is never blocked for long. An archiver may move
 * entries meanwhile. Entries that were trimmed and that `past` lacks are trouble (CM_TROUBLE_MALFORMED), told after
 * what is there was handed out. False from `each` ends the reading.
 */
enum cm_trouble cm_ledger_read(struct cm_store *store, const struct cm_past *past, unsigned partition, uint64_t after,
                               bool (*each)(void *context, const struct cm_ledger_raw *entry), void *context,
                               struct cm_err *err);

struct cm_ledger_entry {
    uint64_t id;
    struct cm_event event;
    struct cm_span document; /* evidence, opened; p == NULL: none, erased, changed, or no seal master here */
    bool document_lost;      /* there is one and it could not be opened */
};

/* Calls `each` for all events of one subject, oldest first, as cm_ledger_read does; borrowed for the call. What
 * happened under an older pepper comes before what happened under a newer one. */
enum cm_trouble cm_store_history(struct cm_store *store, const struct cm_past *past, const struct cm_subject *subject,
                                 bool (*each)(void *context, const struct cm_ledger_entry *entry), void *context,
                                 struct cm_err *err);

/* One refusal as it is kept for `explain`; document is JSON without addresses. LAW-13 */
struct cm_refusal {
    char id[CM_DECISION_ID_CHARS + 1];
    uint16_t partition;
    char document[2048];
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

/* Forgets all refusals that are older than this many days of the server's clock. May be repeated. */
enum cm_trouble cm_store_forget_refusals(struct cm_store *store, unsigned days, struct cm_err *err);

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
