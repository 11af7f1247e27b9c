#include "service/keeper_state.h"

static bool is_following(const struct cm_keeper_state *state)
{
    return state->incarnation.run_id[0] != '\0';
}

static bool has_acts_left(const struct cm_keeper_state *state)
{
    return state->last != 0 && state->next <= state->last;
}

void cm_keeper_begin(struct cm_keeper_state *state, const struct cm_keeper_past *past, int64_t now_ms)
{
    *state = (struct cm_keeper_state){
        .first = past->first,
        .last = past->last,
        .next = past->first,
        .must_look = true,
        .off_may_stand = past->off_may_stand,
        .begun_ms = now_ms,
        .was_lost = past->was_lost,
        .trouble = CM_TROUBLE_UNSET,
        .last_beat_ms = now_ms,
        .elsewhere_ms = now_ms,
        .beat_due_ms = now_ms,
        .retry_at_ms = now_ms,
    };
}

static struct cm_keeper_step wait_until(int64_t until_ms)
{
    return (struct cm_keeper_step){.kind = CM_KEEPER_WAIT, .until_ms = until_ms};
}

struct cm_keeper_step cm_keeper_next(const struct cm_keeper_state *state, int64_t now_ms)
{
    int64_t quiet_at_ms = state->elsewhere_ms + CM_KEEPER_QUIET_MS;
    if (now_ms < state->retry_at_ms) {
        return wait_until(state->retry_at_ms);
    }
    if (state->must_look) {
        return (struct cm_keeper_step){.kind = CM_KEEPER_LOOK};
    }
    /* A retired keeper, or one without its past, still writes what it is told: only its beat would be a lie. */
    if (has_acts_left(state)) {
        return (struct cm_keeper_step){.kind = CM_KEEPER_REPLAY, .number = state->next};
    }
    if (state->refusal != CM_KEEPER_ACCEPTED) {
        int64_t look_at_ms = state->seen_at_ms + CM_KEEPER_RELOOK_MS;
        return now_ms < look_at_ms ? wait_until(look_at_ms) : (struct cm_keeper_step){.kind = CM_KEEPER_LOOK};
    }
    if (now_ms < quiet_at_ms) {
        return wait_until(quiet_at_ms);
    }
    if (now_ms < state->beat_due_ms) {
        return wait_until(state->beat_due_ms);
    }
    bool time_is_old = now_ms - state->seen_at_ms > CM_KEEPER_TIME_OLD_MS;
    return (struct cm_keeper_step){.kind = time_is_old ? CM_KEEPER_LOOK : CM_KEEPER_BEAT};
}

void cm_keeper_journaled(struct cm_keeper_state *state, uint64_t first, uint64_t last)
{
    if (state->last == 0 || state->next < first) {
        state->next = first;
    }
    state->first = first;
    state->last = last;
}

void cm_keeper_replay_all(struct cm_keeper_state *state)
{
    state->next = state->first;
    state->is_beating = false;
}

/* From here on only this incarnation counts; beats for any other may be trusted for a while. */
static void follow(struct cm_keeper_state *state, const struct cm_incarnation *incarnation)
{
    state->incarnation = *incarnation;
    state->elsewhere_ms = state->last_beat_ms;
    cm_keeper_replay_all(state);
}

static void doubt(struct cm_keeper_state *state, enum cm_trouble trouble, int64_t now_ms)
{
    state->must_look = true;
    state->is_beating = false;
    state->trouble = trouble;
    state->retry_at_ms = now_ms + CM_KEEPER_RETRY_MS;
}

static bool is_another_store(enum cm_trouble trouble)
{
    return trouble == CM_TROUBLE_FOREIGN || trouble == CM_TROUBLE_NO_STORE || trouble == CM_TROUBLE_WRONG_PEPPER ||
           trouble == CM_TROUBLE_SCHEMA;
}

/* Whether this keeper may beat in the store that shows this beat of it. */
static enum cm_keeper_refusal judge(struct cm_keeper_state *state, const struct cm_keeper_look *look)
{
    const struct cm_kept_beat *own = look->own;
    if (own == NULL) {
        state->was_lost = false; /* a new store, or readmitted by `store accept` */
        return CM_KEEPER_ACCEPTED;
    }
    if (own->state == CM_BEAT_RETIRED) {
        return CM_KEEPER_RETIRED;
    }
    state->was_lost = state->was_lost || own->journal > look->journal;
    return state->was_lost ? CM_KEEPER_LOST : CM_KEEPER_ACCEPTED;
}

/* Whether a sign-off of an earlier process stands in another incarnation than the one found, where it cannot be
 * replaced by a beat. It was made before this process began. */
static void judge_sign_off(struct cm_keeper_state *state, const struct cm_keeper_look *look)
{
    const struct cm_kept_beat *own = look->own;
    bool stands_here = own != NULL && own->state == CM_BEAT_OFF &&
                       cm_incarnation_is_same(&own->incarnation, &look->incarnation);
    if (state->off_may_stand && !stands_here) {
        state->off_until_ms = state->begun_ms + CM_KEEPER_OFF_QUIET_MS;
    }
}

void cm_keeper_looked(struct cm_keeper_state *state, const struct cm_keeper_look *look, int64_t now_ms)
{
    if (look->trouble != CM_TROUBLE_NONE) {
        doubt(state, look->trouble, now_ms);
        if (is_another_store(look->trouble)) {
            state->refusal = CM_KEEPER_FOREIGN;
            state->retry_at_ms = now_ms + CM_KEEPER_RELOOK_MS;
        }
        return;
    }
    enum cm_keeper_refusal before = state->refusal;
    state->must_look = false;
    state->seen_time = look->now;
    state->seen_at_ms = now_ms;
    state->refusal = judge(state, look);
    judge_sign_off(state, look);
    bool is_readmitted = before != CM_KEEPER_ACCEPTED && state->refusal != before;
    if (is_readmitted || !cm_incarnation_is_same(&state->incarnation, &look->incarnation)) {
        follow(state, &look->incarnation);
    }
    if (!state->is_write_failing || !has_acts_left(state)) { /* else it would come and go with every try */
        state->trouble = CM_TROUBLE_NONE;
    }
}

bool cm_keeper_is_followed(const struct cm_keeper_state *state, const struct cm_incarnation *incarnation)
{
    return cm_incarnation_is_same(&state->incarnation, incarnation);
}

void cm_keeper_wrote(struct cm_keeper_state *state, uint64_t number)
{
    if (number >= state->next) {
        state->next = number + 1;
    }
    if (!state->must_look) {
        state->is_write_failing = false;
        state->trouble = CM_TROUBLE_NONE;
    }
}

void cm_keeper_not_written(struct cm_keeper_state *state, enum cm_trouble trouble, int64_t now_ms)
{
    doubt(state, trouble, now_ms);
    state->is_write_failing = true;
}

cm_ms cm_keeper_deadline(const struct cm_keeper_state *state)
{
    return state->seen_time + CM_KEEPER_DEADLINE_MS;
}

void cm_keeper_beat_sent(struct cm_keeper_state *state, int64_t now_ms)
{
    state->last_beat_ms = now_ms;
    state->beat_due_ms = now_ms + CM_KEEPER_BEAT_EVERY_MS;
}

void cm_keeper_beat_answered(struct cm_keeper_state *state, const struct cm_beat_result *result, int64_t now_ms)
{
    state->is_beating = result->status == CM_BEAT_DONE;
    switch (result->status) {
    case CM_BEAT_DONE:
        state->off_may_stand = state->off_may_stand && now_ms < state->off_until_ms;
        state->seen_time = result->at;
        state->seen_at_ms = state->last_beat_ms; /* sent before the server read its clock */
        break;
    case CM_BEAT_LATE: /* it was not written: with a newer TIME it may be */
        state->beat_due_ms = now_ms;
        state->must_look = true;
        break;
    case CM_BEAT_ROLLBACK: follow(state, &state->incarnation); break;
    case CM_BEAT_KEEPER_RETIRED: state->refusal = CM_KEEPER_RETIRED; break;
    case CM_BEAT_FOREIGN: state->refusal = CM_KEEPER_FOREIGN; break;
    case CM_BEAT_OTHER_INCARNATION: state->must_look = true; break;
    case CM_BEAT_TROUBLE:
    case CM_BEAT_STATUS_UNSET: doubt(state, result->trouble, now_ms); break;
    }
}

void cm_keeper_signed_off(struct cm_keeper_state *state)
{
    state->off_may_stand = true;
    state->is_beating = false;
}

bool cm_keeper_is_in_effect(const struct cm_keeper_state *state, uint64_t number, int64_t now_ms)
{
    if (state->refusal == CM_KEEPER_RETIRED) {
        return false; /* filters do not ask for the beat of a retired keeper: it can promise nothing */
    }
    if (now_ms < state->off_until_ms) {
        return false;
    }
    if (is_following(state) && number < state->next) {
        return now_ms - state->elsewhere_ms >= CM_KEEPER_QUIET_MS;
    }
    return !state->off_may_stand && now_ms - state->last_beat_ms >= CM_KEEPER_QUIET_MS;
}

bool cm_keeper_is_drained(const struct cm_keeper_state *state)
{
    return is_following(state) && !state->must_look && state->refusal != CM_KEEPER_FOREIGN && !has_acts_left(state);
}

bool cm_keeper_is_writing(const struct cm_keeper_state *state)
{
    return is_following(state) && !state->must_look && !state->is_write_failing;
}

cm_ms cm_keeper_estimate(const struct cm_keeper_state *state, int64_t now_ms)
{
    return state->seen_time == 0 ? 0 : state->seen_time + (now_ms - state->seen_at_ms);
}

const char *cm_keeper_word(const struct cm_keeper_state *state)
{
    static const char *const refusals[] = {
        [CM_KEEPER_ACCEPTED] = NULL,
        [CM_KEEPER_LOST] = "journal_lost",
        [CM_KEEPER_RETIRED] = "retired",
        [CM_KEEPER_FOREIGN] = "foreign_store",
    };
    if (refusals[state->refusal] != NULL) {
        return refusals[state->refusal];
    }
    if (state->trouble != CM_TROUBLE_NONE) {
        return is_following(state) || state->trouble != CM_TROUBLE_UNSET ? "cut_off" : "starting";
    }
    if (has_acts_left(state)) {
        return "replaying";
    }
    return state->is_beating ? "beating" : "waiting";
}
