/*
 * What the filter remembers of its decisions, beside the mail path: refusals for `explain`, and daily counters.
 *
 * Adding takes a lock for a moment and never waits for the store. A thread of its own writes about once a second over
 * its own connection, so that trouble with writing never opens the breaker of the look-ups. While the store is away
 * things wait; what exceeds CM_LIMIT_REFUSALS_QUEUED is counted as lost and logged. LAW-13
 */
#ifndef SERVICE_RECORDER_H
#define SERVICE_RECORDER_H

#include "core/decision_id.h"
#include "service/generation.h"
#include "store/uses.h"

struct cm_recorder;
struct cm_declaration;

struct cm_record_entry {
    struct cm_decision_id id;
    struct cm_decision decision;
    bool observed;            /* not applied: the stream only observes */
    struct cm_tally_row *row; /* of the stream */
    unsigned generation;      /* of the configuration, and its SHA-256 */
    char configuration[65];
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1];
    char subject[CM_SUBJECT_TEXT_BYTES]; /* empty: none */
    char family[2 * CM_FIELD_BYTES + 1]; /* hex, and the pepper: with them the key is whole */
    uint8_t pepper;
    char session[24];
    char queue_id[32];
    char client[48];
    char auth[64];
    char daemon[64]; /* name of the listener */
    char why[256];   /* the stream was chosen */
    bool local;      /* mail of the sendmail command */
};

/* `store` must be the recorder's own. Borrows the tally, which must outlive it. */
struct cm_recorder *cm_recorder_new(struct cm_store *store, struct cm_tally *tally, uint32_t daemon,
                                    struct cm_err *err);
/* How long refusals are kept, in days of Redis' clock; 0, as it begins: no time is set. Thread-safe; NULL is harmless.
 */
void cm_recorder_keep(struct cm_recorder *recorder, unsigned days);
/* Begins writing; apart from new, because a daemon forks in between. */
bool cm_recorder_start(struct cm_recorder *recorder, struct cm_err *err);
/* Leaves a use for the keeper to mark. One that finds no room is left by a later mail. Thread-safe. */
void cm_recorder_use(struct cm_recorder *recorder, const struct cm_use *use);
/* Leaves a note for the ledger: what we go by, as soon as the store can take it. Takes it over; NULL is harmless. What
 * finds no room is logged. Thread-safe. LAW-16 */
void cm_recorder_note(struct cm_recorder *recorder, struct cm_declaration *declaration);
/* Counts every decision and keeps the refusals. Thread-safe. */
void cm_recorder_add(struct cm_recorder *recorder, const struct cm_record_entry *entry);
/* What waits for the store now, and what found no room since the start. Thread-safe. */
struct cm_recorder_state {
    size_t refusals;
    size_t uses;
    size_t notes;
    uint64_t lost_refusals;
    uint64_t lost_uses;
    uint64_t lost_notes;
};
void cm_recorder_state(struct cm_recorder *recorder, struct cm_recorder_state *out);
/* Writes what is left (one try), stops and frees. NULL is harmless. */
void cm_recorder_free(struct cm_recorder *recorder);

#endif
