/* What a keeper does when something is due: look who the store is, write an act, beat. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "keeper_internal.h"
#include "ops/log.h"

#define RESEAL_TRIES 3

static bool is_written(enum cm_write_status status)
{
    return status == CM_WRITE_APPLIED || status == CM_WRITE_STALE || status == CM_WRITE_DUPLICATE;
}

/* --- looking and beating --- */

static bool look(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err)
{
    struct cm_beats *beats = malloc(sizeof(*beats));
    struct cm_keeper_look found = {.trouble = CM_TROUBLE_MEMORY};
    uint64_t first = 0;
    struct cm_err trouble_err; /* the state tells what it was */
    int64_t asked_ms = cm_keeper_now(
        keeper); /* the answer is at least as old: an estimate must not fall behind. LAW-3 */
    if (beats != NULL) {
        found.trouble = keeper->options.store.beats(keeper->options.store.context, beats, &trouble_err);
    }
    cm_journal_range(keeper->journal, &first, &found.journal);
    if (beats != NULL && found.trouble == CM_TROUBLE_NONE) {
        found.now = beats->now;
        found.incarnation = beats->incarnation;
        for (size_t i = 0; i < beats->count; i++) {
            if (strcmp(beats->beats[i].keeper, keeper->options.name) == 0) {
                found.own = &beats->beats[i];
            }
        }
    }
    cm_keeper_looked(&keeper->state, &found, asked_ms);
    free(beats);
    return cm_keeper_add_notes(keeper, now_s, err);
}

static void send_beat(struct cm_keeper *keeper, enum cm_beat_state kind, struct cm_beat_result *out, struct cm_err *err)
{
    uint64_t first = 0;
    struct cm_beat beat = {
        .keeper = keeper->options.name,
        .state = kind,
        .incarnation = keeper->state.incarnation,
        .deadline = cm_keeper_deadline(&keeper->state),
        .partition = keeper->mark_partition,
        .mark = keeper->mark,
    };
    cm_journal_range(keeper->journal, &first, &beat.journal);
    keeper->has_beaten = true;
    cm_keeper_beat_sent(&keeper->state, cm_keeper_now(keeper));
    keeper->options.store.beat(keeper->options.store.context, &beat, out, err);
    cm_keeper_beat_answered(&keeper->state, out, cm_keeper_now(keeper));
    if (out->status == CM_BEAT_ROLLBACK) {
        cm_log(CM_LOG_ERROR, "the store has lost what was written into it: all of the journal is written again");
    }
}

static bool beat(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err)
{
    struct cm_beat_result result;
    struct cm_err beat_err; /* the state tells what it was */
    if (keeper->has_uncommitted && !cm_keeper_commit(keeper, now_s, err)) {
        return false;
    }
    send_beat(keeper, CM_BEAT_ON, &result, &beat_err);
    return cm_keeper_add_notes(keeper, now_s, err);
}

/* --- writing --- */

/* The request for one act: the first try of a live act is dated by the store, any later one by the journal. LAW-3 */
static void prepare(const struct cm_keeper *keeper, const struct cm_keeper_row *row, struct cm_keeper_act *act)
{
    struct cm_write *write = &act->write;
    bool is_late = row->number <= keeper->late_through;
    /* The numbers of a journal that the store does not know say nothing there. */
    write->keeper = keeper->state.refusal == CM_KEEPER_LOST ? NULL : keeper->options.name;
    write->mark = row->number;
    write->is_replay = is_late || row->is_tried;
    write->ledger = row->ledger;
    act->document.was_standing = act->document.was_standing || write->is_replay; /* it may have been erased since */
    if (is_written(row->status)) {
        write->record.event_at = row->event_at;
    } else if (write->is_replay && write->record.event_at == 0) {
        write->record.event_at = act->estimate;
    }
}

/* A document that was sealed without the store, or before the seal was dropped, is sealed anew. */
static void write_act(const struct cm_keeper *keeper, struct cm_keeper_act *act, struct cm_write_result *out,
                      struct cm_err *err)
{
    const struct cm_keeper_store *store = &keeper->options.store;
    store->write(store->context, &act->write, &act->document, out, err);
    for (unsigned i = 0; i < RESEAL_TRIES && out->status == CM_WRITE_OTHER_SEAL; i++) {
        enum cm_trouble trouble = store->reseal(store->context, &act->write, &act->document, err);
        if (trouble == CM_TROUBLE_INTERNAL && cm_keeper_forbids(act->write.act)) {
            cm_log(CM_LOG_ERROR, "act %" PRIu64 " is written without its evidence: %s", act->write.mark, err->text);
            act->document.sealed.len = 0;
        } else if (trouble != CM_TROUBLE_NONE) {
            *out = (struct cm_write_result){
                .status = trouble == CM_TROUBLE_INTERNAL ? CM_WRITE_REFUSED : CM_WRITE_NOT_DONE, .trouble = trouble};
            return;
        }
        store->write(store->context, &act->write, &act->document, out, err);
    }
    if (out->status == CM_WRITE_REFUSED && out->is_full && act->write.act == CM_ACT_WITHDRAW &&
        act->write.record.scope != CM_SCOPE_EVERYBODY) {
        /* One stop more than a subject can have: nobody's mail may wait for it, and it must bind. So it binds all mail.
         */
        cm_log(CM_LOG_WARNING, "act %" PRIu64 " is one stop too many for its subject: it is kept as one for everybody",
               act->write.mark);
        act->write.record.scope = CM_SCOPE_EVERYBODY;
        store->write(store->context, &act->write, &act->document, out, err);
    }
    if (out->status == CM_WRITE_OTHER_SEAL) {
        *out = (struct cm_write_result){.status = CM_WRITE_NOT_DONE, .trouble = CM_TROUBLE_ERROR_REPLY};
    }
}

static bool keep_outcome(struct cm_keeper *keeper, struct cm_keeper_row *row, const struct cm_write_result *result,
                         int64_t now_s, struct cm_err *err)
{
    struct cm_keeper_outcome outcome = {
        .number = row->number, .status = result->status, .ledger = result->ledger, .event_at = result->event_at};
    bool is_news = row->status == CM_WRITE_UNSET || row->ledger != result->ledger;
    if (is_news && !cm_keeper_add_outcome(keeper, &outcome, err)) {
        return false;
    }
    /* What was not done must never be tried again, not even after a crash; what was done may be. */
    if (is_news && !is_written(result->status) && !cm_keeper_commit(keeper, now_s, err)) {
        return false;
    }
    row->ledger = result->ledger;
    row->event_at = result->event_at;
    if (row->status == CM_WRITE_UNSET) {
        row->status = result->status;
    }
    return true;
}

static void settle(const struct cm_keeper *keeper, const struct cm_keeper_row *row,
                   const struct cm_write_result *result, const struct cm_err *err)
{
    if (!row->is_old && keeper->options.settled != NULL) {
        keeper->options.settled(keeper->options.settled_context, row->number, result, err);
    }
}

/* Complains once an act, not once a try. */
static void alarm(struct cm_keeper *keeper, const struct cm_keeper_row *row, const struct cm_err *err)
{
    if (keeper->alarmed != row->number) {
        keeper->alarmed = row->number;
        cm_log(CM_LOG_ERROR,
               "the store refuses act %" PRIu64 ", which was acknowledged: mail is deferred until it takes "
               "it. %s",
               row->number, err->text);
    }
}

/* The server's answer to this one act, which says nothing of its health. */
static bool is_about_the_act(enum cm_trouble trouble)
{
    return trouble == CM_TROUBLE_CANNOT_WRITE || trouble == CM_TROUBLE_NO_PERMISSION ||
           trouble == CM_TROUBLE_NO_FUNCTION || trouble == CM_TROUBLE_MALFORMED;
}

/* Whether an act that was not written need not be tried again. Stops that somebody was told of always must be. */
static bool is_given_up(const struct cm_keeper *keeper, const struct cm_keeper_row *row,
                        const struct cm_write_result *result)
{
    bool was_told = row->is_old || row->number <= keeper->told_through;
    if (result->status == CM_WRITE_REFUSED) {
        return !(row->forbids && was_told);
    }
    bool is_undone = result->status == CM_WRITE_NOT_DONE && !row->is_tried;
    return !row->forbids && (is_undone || (result->status == CM_WRITE_NOT_DONE && is_about_the_act(result->trouble)));
}

/* Takes the result of one try to row, journal and state. */
static bool conclude(struct cm_keeper *keeper, struct cm_keeper_row *row, struct cm_write_result *result, int64_t now_s,
                     const struct cm_err *write_err, struct cm_err *err)
{
    static const struct cm_err nothing = {{0}};
    bool is_first = row->status == CM_WRITE_UNSET;
    if (is_written(result->status)) {
        if (!cm_keeper_is_followed(&keeper->state, &result->incarnation)) {
            row->is_tried = true; /* written, but into another incarnation than the one that all else is in */
            cm_keeper_not_written(&keeper->state, CM_TROUBLE_INCARNATION, cm_keeper_now(keeper));
            return true;
        }
        if (!keep_outcome(keeper, row, result, now_s, err)) {
            return false;
        }
    } else if (!is_first && !row->forbids && result->status != CM_WRITE_UNCERTAIN &&
               (result->status == CM_WRITE_REFUSED || is_about_the_act(result->trouble))) {
        cm_log(CM_LOG_WARNING, "act %" PRIu64 ", which only permits, could not be written again: %s", row->number,
               write_err->text);
    } else if (is_first && is_given_up(keeper, row, result)) {
        if (row->is_tried && result->status == CM_WRITE_NOT_DONE) {
            result->status = CM_WRITE_UNCERTAIN; /* an earlier try may have got through */
        }
        if (!keep_outcome(keeper, row, result, now_s, err)) {
            return false;
        }
    } else {
        row->is_tried = row->is_tried || result->status == CM_WRITE_UNCERTAIN;
        if (result->status == CM_WRITE_REFUSED || is_about_the_act(result->trouble)) {
            alarm(keeper, row, write_err);
        }
        cm_keeper_not_written(&keeper->state, result->trouble, cm_keeper_now(keeper));
        return true;
    }
    if (result->status == CM_WRITE_NOT_DONE && result->trouble != CM_TROUBLE_NONE &&
        !is_about_the_act(result->trouble)) {
        cm_keeper_not_written(&keeper->state, result->trouble, cm_keeper_now(keeper));
    }
    cm_keeper_wrote(&keeper->state, row->number);
    if (is_first) {
        settle(keeper, row, result, is_written(result->status) ? &nothing : write_err);
    }
    return true;
}

/* Refused or given up: whoever asked was told so. */
static bool is_over(const struct cm_keeper_row *row)
{
    return row->status != CM_WRITE_UNSET && !is_written(row->status);
}

bool cm_keeper_write_next(struct cm_keeper *keeper, uint64_t number, int64_t now_s, struct cm_err *err)
{
    struct cm_write_result result;
    struct cm_err write_err = {{0}};
    size_t at = cm_keeper_index_from(&keeper->index, number);
    while (at < keeper->index.count && is_over(&keeper->index.rows[at])) {
        cm_keeper_wrote(&keeper->state, keeper->index.rows[at].number);
        at++;
    }
    if (at == keeper->index.count) {
        cm_keeper_wrote(&keeper->state, keeper->state.last);
        return true;
    }
    struct cm_keeper_row *row = &keeper->index.rows[at];
    struct cm_keeper_act *act = malloc(sizeof(*act));
    struct cm_span content = cm_keeper_queue_get(&keeper->queue, keeper->journal, row->number, err);
    if (act == NULL || content.p == NULL || !cm_keeper_unpack_act(content, act)) {
        if (content.p != NULL) {
            cm_err_set(err, "act %" PRIu64 " cannot be read, or memory ran out", row->number);
        }
        free(act);
        return false;
    }
    prepare(keeper, row, act);
    write_act(keeper, act, &result, &write_err);
    if (is_written(result.status)) {
        keeper->mark_partition = result.moved ? result.partition : act->write.subject.partition;
        keeper->mark = row->number;
    }
    bool ok = conclude(keeper, row, &result, now_s, &write_err, err);
    free(act);
    return ok;
}

bool cm_keeper_work(struct cm_keeper *keeper, int64_t now_s, int64_t budget_ms, int64_t *out_due_ms, struct cm_err *err)
{
    int64_t now_ms = cm_keeper_now(keeper);
    int64_t until_ms = now_ms + budget_ms;
    bool ok = true;
    struct cm_keeper_step step = cm_keeper_next(&keeper->state, now_ms);
    while (ok && step.kind != CM_KEEPER_WAIT && now_ms <= until_ms) {
        switch (step.kind) {
        case CM_KEEPER_LOOK: ok = look(keeper, now_s, err); break;
        case CM_KEEPER_REPLAY: ok = cm_keeper_write_next(keeper, step.number, now_s, err); break;
        case CM_KEEPER_BEAT: ok = beat(keeper, now_s, err); break;
        case CM_KEEPER_WAIT:
        case CM_KEEPER_STEP_UNSET: break;
        }
        cm_keeper_log_state(keeper);
        now_ms = cm_keeper_now(keeper);
        step = cm_keeper_next(&keeper->state, now_ms);
    }
    keeper->told_through = keeper->state.last;
    if (!cm_keeper_is_writing(&keeper->state)) {
        keeper->late_through = keeper->state.last; /* what only this turn had no time for is still live. LAW-3 */
    }
    *out_due_ms = step.kind == CM_KEEPER_WAIT ? step.until_ms : now_ms;
    return ok;
}

bool cm_keeper_sign_off(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err)
{
    struct cm_beat_result result;
    if (!look(keeper, now_s, err)) { /* the deadline needs a fresh TIME */
        return false;
    }
    if (!cm_keeper_is_drained(&keeper->state) || !keeper->state.is_beating ||
        keeper->state.refusal != CM_KEEPER_ACCEPTED) {
        cm_err_set(err, "it is not beating (%s)", cm_keeper_word(&keeper->state));
        return false;
    }
    /* The journal first: a keeper that is started again must know that its silence tells filters nothing. */
    keeper->state.off_may_stand = true;
    if (!cm_keeper_add_notes(keeper, now_s, err)) {
        return false;
    }
    send_beat(keeper, CM_BEAT_OFF, &result, err);
    cm_keeper_signed_off(&keeper->state);
    return result.status == CM_BEAT_DONE;
}
