/*
 * Beats: a keeper's word, once a second, that all it was told is in this incarnation of the store (LAW-12;
 * facts/law-12-model.md section 4, set B). They stand in `m:{p000}`, field `beat:NAME`, as
 * `STATE RUNID REPLID MS JOURNAL`; filters read them within each look-up (store.h), keepers write them here.
 *
 * A keeper has a store object of its own with a pool of 1, so that it follows one server at a time over one connection;
 * every answer tells which incarnation gave it. Thread-safe, as the store is.
 */
#ifndef STORE_BEAT_H
#define STORE_BEAT_H

#include "store/store.h"

#define CM_BEAT_FRESH_MS 3000 /* a beat counts while the server's clock shows less than this since it */
#define CM_BEAT_OFF_MS \
    600000              /* and a sign-off so long: a filter at an isolated old master must not trust it for ever */
#define CM_BEATS_MAX 64 /* beats that cm_store_beats hands out; of more the number is told */

enum cm_beat_state {
    CM_BEAT_UNSET = 0, /* a beat that cannot be read */
    CM_BEAT_ON,        /* beating */
    /* Signed off: counts for CM_BEAT_OFF_MS in the same incarnation. So whoever starts again must beat ON before
     * waiting for filters to lose trust can mean anything, and where it starts in another incarnation it may only say
     * received until that time is over. */
    CM_BEAT_OFF,
    CM_BEAT_RETIRED, /* by `store accept`: no longer needed, so it too may only say received */
};

/* "on", "off", "retired"; NULL for UNSET. */
const char *cm_beat_state_name(enum cm_beat_state state);

/* --- writing --- */

struct cm_beat {
    const char *keeper;
    enum cm_beat_state state;          /* ON or OFF */
    struct cm_incarnation incarnation; /* into which the whole journal was replayed */
    cm_ms deadline;                    /* by the server's clock: last seen TIME + 1500 */
    uint16_t partition;                /* that this keeper wrote last; 0 if none */
    uint64_t mark;                     /* the mark it knows there; 0: none */
    uint64_t journal;                  /* the last number of its journal */
};

enum cm_beat_status {
    CM_BEAT_STATUS_UNSET = 0,
    CM_BEAT_DONE,
    CM_BEAT_LATE,              /* it arrived after its deadline and was not written */
    CM_BEAT_ROLLBACK,          /* the store has lost what this keeper wrote: replay, then beat again */
    CM_BEAT_KEEPER_RETIRED,    /* `store accept` has retired this keeper */
    CM_BEAT_FOREIGN,           /* another store answers, or none */
    CM_BEAT_OTHER_INCARNATION, /* not the one that the beat names answered, so no filter counts it: replay there first
                                */
    CM_BEAT_TROUBLE,           /* `trouble` tells; it may or may not have been written */
};

struct cm_beat_result {
    enum cm_beat_status status;
    enum cm_trouble trouble;           /* of TROUBLE; else NONE */
    cm_ms at;                          /* DONE: the server's TIME, as written */
    struct cm_incarnation incarnation; /* that answered; empty if none did */
};

/* Beats once. Fills the result in every case, and err unless the status is DONE. */
void cm_store_beat(struct cm_store *store, const struct cm_beat *beat, struct cm_beat_result *out, struct cm_err *err);

/* --- reading --- */

struct cm_kept_beat {
    char keeper[CM_LIMIT_KEEPER_NAME_BYTES + 1]; /* cut where it is longer; then the state is UNSET */
    enum cm_beat_state state;
    struct cm_incarnation incarnation; /* empty for RETIRED */
    cm_ms at;                          /* server's TIME when it was written */
    uint64_t journal;
};

/* Reads the value of a beat's field; all of `out` but the keeper. False if it is none. */
bool cm_beat_parse(struct cm_span text, struct cm_kept_beat *out);

struct cm_beats {
    cm_ms now;                         /* the server's TIME */
    struct cm_incarnation incarnation; /* that answered */
    struct cm_kept_beat beats[CM_BEATS_MAX];
    size_t count; /* of those in `beats` */
    size_t left_off;
};

/* All beats, by whatever keeper, with the time and the incarnation: what a keeper asks first of a server, and `status`
 * always. Checks the facts of the store, but neither beats nor doctor. `out` is written on NONE only. */
enum cm_trouble cm_store_beats(struct cm_store *store, struct cm_beats *out, struct cm_err *err);

#endif
