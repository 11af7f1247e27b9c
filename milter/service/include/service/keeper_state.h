/*
 * What a keeper may say and do next (LAW-12; facts/law-12-model.md section 4, set B), as a pure machine: it knows no
 * clock, no socket and no journal, and is told of them.
 *
 * A keeper follows one incarnation of the store at a time. Into a new one it replays its whole journal, entries in
 * flight included, and only then beats, once a second. It also beats only 5 s after it has sent a beat for another
 * incarnation, or was started: until then filters may still trust that other one. While an entry of the journal is not
 * in the store it never beats; so 5 s after its last beat no filter trusts a look-up, and the entry is in effect though
 * only the journal has it. A sign-off counts longer (CM_BEAT_OFF_MS): whoever signed off in one incarnation and finds
 * another promises nothing until that time is over.
 *
 * The caller asks cm_keeper_next what to do, does it, tells the result, and asks again.
 *
 * Instants named `now_ms` are of CLOCK_BOOTTIME; cm_ms are the server's. Not thread-safe.
 */
#ifndef SERVICE_KEEPER_STATE_H
#define SERVICE_KEEPER_STATE_H

#include "store/beat.h"
#include "store/write.h"

#define CM_KEEPER_BEAT_EVERY_MS 1000
/* A beat may arrive this much later than the server's TIME that was seen last. */
#define CM_KEEPER_DEADLINE_MS 1500
/* So long after a beat was sent it counts nowhere any more: CM_BEAT_FRESH_MS, the deadline, and slack. */
#define CM_KEEPER_QUIET_MS 5000
/* An older TIME leaves a beat too little of its deadline: ask again before. */
#define CM_KEEPER_TIME_OLD_MS 1200
/* So long a sign-off may be trusted where nobody can beat any more: CM_BEAT_OFF_MS, and slack. */
#define CM_KEEPER_OFF_QUIET_MS (CM_BEAT_OFF_MS + 5000)
#define CM_KEEPER_RETRY_MS 250   /* after trouble */
#define CM_KEEPER_RELOOK_MS 2000 /* while refused: somebody may set it right */

enum cm_keeper_refusal {
    CM_KEEPER_ACCEPTED = 0,
    CM_KEEPER_LOST,    /* the store has seen numbers that this journal does not have: acknowledged acts may be gone */
    CM_KEEPER_RETIRED, /* by `store accept` */
    CM_KEEPER_FOREIGN, /* another store answers, or none */
};

enum cm_keeper_step_kind {
    CM_KEEPER_STEP_UNSET = 0,
    CM_KEEPER_WAIT,   /* nothing is due before `until_ms` */
    CM_KEEPER_LOOK,   /* ask the store who it is: cm_store_beats, then cm_keeper_looked */
    CM_KEEPER_REPLAY, /* write the act `number`, then cm_keeper_wrote */
    CM_KEEPER_BEAT,   /* cm_keeper_beat_sent, beat, cm_keeper_beat_answered */
};

struct cm_keeper_step {
    enum cm_keeper_step_kind kind;
    int64_t until_ms;
    uint64_t number;
};

/* Place it anywhere; read through the functions. */
struct cm_keeper_state {
    uint64_t first;                    /* number of the first act in the journal; 0: none */
    uint64_t last;                     /* of the last one */
    uint64_t next;                     /* all acts before this number are in the followed incarnation */
    struct cm_incarnation incarnation; /* that is followed; empty: none yet */
    bool must_look;                    /* who answers is in doubt */
    bool is_write_failing;             /* the last write was not taken */
    bool is_beating;                   /* its last beat was answered, and nothing came between */
    bool off_may_stand; /* it signed off, and has not beaten since: its silence then tells filters nothing */
    int64_t begun_ms;
    int64_t off_until_ms; /* it had signed off for an incarnation other than the one it found: filters that stayed there
                             trust it until then; 0: no */
    bool was_lost;        /* the journal remembers that it is not the one that the store knows */
    enum cm_keeper_refusal refusal;
    enum cm_trouble trouble; /* why the store did not answer; NONE if it did */
    int64_t last_beat_ms;    /* when it was sent; before the first, the start: an earlier process may have beaten */
    int64_t elsewhere_ms;    /* the same for incarnations other than the followed one */
    int64_t beat_due_ms;
    int64_t retry_at_ms;
    cm_ms seen_time; /* the server's TIME; 0: never seen */
    int64_t seen_at_ms;
};

/* What the journal says at the start. */
struct cm_keeper_past {
    uint64_t first; /* as above */
    uint64_t last;
    bool off_may_stand;
    bool was_lost;
};

void cm_keeper_begin(struct cm_keeper_state *state, const struct cm_keeper_past *past, int64_t now_ms);

struct cm_keeper_step cm_keeper_next(const struct cm_keeper_state *state, int64_t now_ms);

/* The journal's acts are these by now: some were added, or its oldest are gone. */
void cm_keeper_journaled(struct cm_keeper_state *state, uint64_t first, uint64_t last);

/* The answer to LOOK: `trouble`, or what was found. `own` is the kept beat of this keeper; NULL: there is none. */
struct cm_keeper_look {
    enum cm_trouble trouble;
    cm_ms now;
    struct cm_incarnation incarnation;
    const struct cm_kept_beat *own;
    uint64_t journal; /* last number of the journal, whatever it is of */
};
void cm_keeper_looked(struct cm_keeper_state *state, const struct cm_keeper_look *look, int64_t now_ms);

/* Whether the answer to a write came from the followed incarnation; if not, the act is as good as not written. */
bool cm_keeper_is_followed(const struct cm_keeper_state *state, const struct cm_incarnation *incarnation);
/* The act `number`, which REPLAY named, is over: in the followed incarnation, or never to be written. */
void cm_keeper_wrote(struct cm_keeper_state *state, uint64_t number);
/* It could not be written; `trouble` as far as known. */
void cm_keeper_not_written(struct cm_keeper_state *state, enum cm_trouble trouble, int64_t now_ms);

/* The deadline to beat with. */
cm_ms cm_keeper_deadline(const struct cm_keeper_state *state);
void cm_keeper_beat_sent(struct cm_keeper_state *state, int64_t now_ms);
void cm_keeper_beat_answered(struct cm_keeper_state *state, const struct cm_beat_result *result, int64_t now_ms);
/* The last beat, which signed off, was answered. */
void cm_keeper_signed_off(struct cm_keeper_state *state);

/* All is to be written once more; no beat until then. */
void cm_keeper_replay_all(struct cm_keeper_state *state);

/* LAW-12: whether no filter permits any more what the stop `number` forbids. */
bool cm_keeper_is_in_effect(const struct cm_keeper_state *state, uint64_t number, int64_t now_ms);
/* Whether all of the journal is in the followed incarnation, which answered when it was asked last. */
bool cm_keeper_is_drained(const struct cm_keeper_state *state);
/* Whether the followed store takes writes, as far as known: what is left then only waits for its turn. */
bool cm_keeper_is_writing(const struct cm_keeper_state *state);
/* The server's time by its last answer and the time passed since; 0: it never answered. LAW-3 */
cm_ms cm_keeper_estimate(const struct cm_keeper_state *state, int64_t now_ms);

/* One word for people: "starting", "cut_off", "replaying", "waiting", "beating", "journal_lost", "retired",
 * "foreign_store". */
const char *cm_keeper_word(const struct cm_keeper_state *state);

#endif
