#include "service/keeper.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "keeper_internal.h"
#include "ops/log.h"

int64_t cm_keeper_now(const struct cm_keeper *keeper)
{
    return keeper->options.clock(keeper->options.clock_context);
}

/* --- the journal --- */

struct scan {
    struct cm_keeper *keeper;
    struct cm_keeper_act *act; /* room to read one */
    struct cm_err *err;
    bool failed;
};

static bool scan_act(struct scan *scan, uint64_t number, struct cm_span content)
{
    struct cm_keeper *keeper = scan->keeper;
    if (!cm_keeper_unpack_act(content, scan->act)) {
        return false;
    }
    struct cm_keeper_row row = {
        .number = number, .forbids = cm_keeper_forbids(scan->act->write.act), .is_old = true, .is_tried = true};
    return cm_keeper_index_add(&keeper->index, &row);
}

static void scan_note(struct cm_keeper *keeper, enum cm_keeper_note note)
{
    switch (note) {
    case CM_KEEPER_NOTE_OFF: keeper->noted_off = true; break;
    case CM_KEEPER_NOTE_ON: keeper->noted_off = false; break;
    case CM_KEEPER_NOTE_LOST: keeper->noted_lost = true; break;
    case CM_KEEPER_NOTE_KNOWN: keeper->noted_lost = false; break;
    case CM_KEEPER_NOTE_UNSET: break;
    }
}

static bool scan_record(void *context, uint64_t number, int64_t at_s, struct cm_span content)
{
    struct scan *scan = context;
    struct cm_keeper_outcome outcome;
    enum cm_keeper_note note = CM_KEEPER_NOTE_UNSET;
    (void)at_s; /* only the journal's own business */
    if (cm_keeper_unpack_outcome(content, &outcome)) {
        struct cm_keeper_row *row = cm_keeper_index_find(&scan->keeper->index, outcome.number);
        if (row != NULL) { /* its act may have been removed with an older file */
            row->status = outcome.status;
            row->ledger = outcome.ledger;
            row->event_at = outcome.event_at;
        }
    } else if (cm_keeper_unpack_note(content, &note)) {
        scan_note(scan->keeper, note);
    } else if (!scan_act(scan, number, content)) {
        cm_err_set(scan->err, "record %" PRIu64 " of the journal is none that this version knows, or memory ran out",
                   number);
        scan->failed = true;
    }
    return !scan->failed;
}

static bool scan_journal(struct cm_keeper *keeper, struct cm_err *err)
{
    struct scan scan = {.keeper = keeper, .act = malloc(sizeof(*scan.act)), .err = err};
    if (scan.act == NULL) {
        cm_err_set(err, "out of memory");
        return false;
    }
    bool ok = cm_journal_read(keeper->journal, 1, scan_record, &scan, err) && !scan.failed;
    free(scan.act);
    return ok;
}

static uint64_t first_act(const struct cm_keeper *keeper)
{
    return keeper->index.count > 0 ? keeper->index.rows[0].number : 0;
}

static uint64_t last_act(const struct cm_keeper *keeper)
{
    return keeper->index.count > 0 ? keeper->index.rows[keeper->index.count - 1].number : 0;
}

enum cm_journal_status cm_keeper_open(const struct cm_keeper_options *options, struct cm_keeper **out,
                                      struct cm_err *err)
{
    size_t cut = 0;
    struct cm_journal_options journal_options = {options->directory, options->file_bytes};
    struct cm_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        cm_err_set(err, "out of memory");
        return CM_JOURNAL_FAILED;
    }
    keeper->options = *options;
    enum cm_journal_status status = cm_journal_open(&journal_options, &keeper->journal, &cut, err);
    if (status == CM_JOURNAL_OK && !scan_journal(keeper, err)) {
        status = CM_JOURNAL_FAILED;
    }
    if (status != CM_JOURNAL_OK) {
        cm_keeper_close(keeper);
        return status;
    }
    if (cut > 0) {
        cm_log(CM_LOG_WARNING,
               "the journal ended in %zu bytes that were torn by a crash and are cut off: nobody was "
               "answered for them",
               cut);
    }
    struct cm_keeper_past past = {.first = first_act(keeper),
                                  .last = last_act(keeper),
                                  .off_may_stand = keeper->noted_off,
                                  .was_lost = keeper->noted_lost};
    keeper->late_through = past.last;
    keeper->told_through = past.last;
    cm_keeper_begin(&keeper->state, &past, cm_keeper_now(keeper));
    *out = keeper;
    return CM_JOURNAL_OK;
}

void cm_keeper_close(struct cm_keeper *keeper)
{
    if (keeper != NULL) {
        cm_keeper_queue_clear(&keeper->queue);
        free(keeper->index.rows);
        cm_journal_close(keeper->journal);
        free(keeper);
    }
}

bool cm_keeper_add_outcome(struct cm_keeper *keeper, const struct cm_keeper_outcome *outcome, struct cm_err *err)
{
    uint8_t packed[CM_JOURNAL_RECORD_MAX];
    uint64_t unused = 0; /* outcomes are found by the number of their act */
    size_t len = cm_keeper_pack_outcome(outcome, packed);
    keeper->has_uncommitted = true;
    return cm_journal_add(keeper->journal, (struct cm_span){(const char *)packed, len}, &unused, err);
}

static bool add_note(struct cm_keeper *keeper, enum cm_keeper_note note, int64_t now_s, struct cm_err *err)
{
    uint8_t packed[CM_JOURNAL_RECORD_MAX];
    uint64_t unused = 0; /* nothing refers to a note */
    size_t len = cm_keeper_pack_note(note, packed);
    scan_note(keeper, note);
    return cm_journal_add(keeper->journal, (struct cm_span){(const char *)packed, len}, &unused, err) &&
           cm_keeper_commit(keeper, now_s, err);
}

bool cm_keeper_add_notes(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err)
{
    const struct cm_keeper_state *state = &keeper->state;
    if (state->was_lost != keeper->noted_lost &&
        !add_note(keeper, state->was_lost ? CM_KEEPER_NOTE_LOST : CM_KEEPER_NOTE_KNOWN, now_s, err)) {
        return false;
    }
    return state->off_may_stand == keeper->noted_off ||
           add_note(keeper, state->off_may_stand ? CM_KEEPER_NOTE_OFF : CM_KEEPER_NOTE_ON, now_s, err);
}

bool cm_keeper_commit(struct cm_keeper *keeper, int64_t now_s, struct cm_err *err)
{
    if (!cm_journal_commit(keeper->journal, now_s, err)) {
        return false;
    }
    keeper->has_uncommitted = false;
    cm_keeper_journaled(&keeper->state, first_act(keeper), last_act(keeper));
    return true;
}

bool cm_keeper_expire(struct cm_keeper *keeper, int64_t before_s, struct cm_err *err)
{
    uint64_t first = 0;
    uint64_t last = 0;
    /* Notes that still hold must not go, and neither must what the store may not have. */
    if (!cm_keeper_is_drained(&keeper->state) || keeper->noted_off || keeper->noted_lost) {
        return true;
    }
    cm_journal_range(keeper->journal, &first, &last);
    if (last == 0 || !cm_journal_expire(keeper->journal, before_s, last + 1, err)) {
        return last == 0;
    }
    cm_journal_range(keeper->journal, &first, &last);
    cm_keeper_index_drop_before(&keeper->index, first);
    cm_keeper_journaled(&keeper->state, first_act(keeper), last_act(keeper));
    return true;
}

/* --- acts --- */

static bool decline(struct cm_keeper_answer *out, enum cm_keeper_status status, enum cm_trouble trouble,
                    const char *text)
{
    *out = (struct cm_keeper_answer){.status = status, .trouble = trouble};
    cm_err_set(&out->err, "%s", text);
    return false;
}

/* Under the standing seal, or without the store under a new one, which the entry keeps. */
static bool seal(struct cm_keeper *keeper, const struct cm_write *write, struct cm_sealed_document *out,
                 struct cm_keeper_answer *answer)
{
    const struct cm_keeper_store *store = &keeper->options.store;
    struct cm_err err = {{0}};
    out->was_standing = false;
    if (write->document.len == 0) {
        out->sealed.len = 0;
        return true;
    }
    if (cm_keeper_is_drained(&keeper->state)) {
        enum cm_trouble trouble = store->seal(store->context, write, out, &err);
        if (trouble == CM_TROUBLE_NONE) {
            return true;
        }
        if (trouble == CM_TROUBLE_INTERNAL) {
            return decline(answer, CM_KEEPER_REFUSED, trouble, err.text);
        }
        cm_keeper_not_written(&keeper->state, trouble, cm_keeper_now(keeper));
    }
    return store->seal_newly(store->context, write, out, &err) ||
           decline(answer, CM_KEEPER_REFUSED, CM_TROUBLE_INTERNAL, err.text);
}

static bool journal_act(struct cm_keeper *keeper, const struct cm_keeper_act *act, uint64_t *out_number,
                        struct cm_keeper_answer *answer)
{
    uint8_t packed[CM_JOURNAL_RECORD_MAX];
    struct cm_err err = {{0}};
    struct cm_span content = {(const char *)packed, cm_keeper_pack_act(act, packed)};
    if (!cm_journal_add(keeper->journal, content, out_number, &err)) {
        return decline(answer, CM_KEEPER_NOT_DONE, CM_TROUBLE_INTERNAL, err.text);
    }
    keeper->has_uncommitted = true;
    struct cm_keeper_row row = {.number = *out_number, .forbids = cm_keeper_forbids(act->write.act)};
    if (!cm_keeper_index_add(&keeper->index, &row)) {
        return decline(answer, CM_KEEPER_UNCERTAIN, CM_TROUBLE_MEMORY, "out of memory");
    }
    cm_keeper_queue_push(&keeper->queue, *out_number, content);
    return true;
}

bool cm_keeper_take(struct cm_keeper *keeper, const struct cm_write *write, uint64_t *out_number,
                    struct cm_keeper_answer *out_answer)
{
    const char *objection = cm_keeper_objection(write, write->document.len > 0);
    if (objection != NULL) {
        return decline(out_answer, CM_KEEPER_REFUSED, CM_TROUBLE_NONE, objection);
    }
    struct cm_keeper_act *act = malloc(sizeof(*act));
    if (act == NULL) {
        return decline(out_answer, CM_KEEPER_NOT_DONE, CM_TROUBLE_MEMORY, "out of memory");
    }
    act->write = *write;
    act->write.record.rank = write->rank;
    act->estimate = cm_keeper_estimate(&keeper->state, cm_keeper_now(keeper));
    bool ok = seal(keeper, write, &act->document, out_answer);
    if (ok && !cm_keeper_forbids(write->act) && !cm_keeper_is_drained(&keeper->state)) {
        enum cm_trouble trouble = keeper->state.trouble;
        ok = decline(out_answer, CM_KEEPER_NOT_DONE, trouble > CM_TROUBLE_NONE ? trouble : CM_TROUBLE_UNREACHABLE,
                     "the store is away, or being written anew: only what forbids is taken meanwhile");
    }
    ok = ok && journal_act(keeper, act, out_number, out_answer);
    free(act);
    return ok;
}

bool cm_keeper_act_is_in_effect(const struct cm_keeper *keeper, uint64_t number)
{
    return cm_keeper_is_in_effect(&keeper->state, number, cm_keeper_now(keeper));
}

bool cm_keeper_is_cut_off(const struct cm_keeper *keeper)
{
    return keeper->state.trouble != CM_TROUBLE_NONE || keeper->state.refusal == CM_KEEPER_FOREIGN;
}

bool cm_keeper_has_written_all(const struct cm_keeper *keeper)
{
    return cm_keeper_is_drained(&keeper->state);
}

void cm_keeper_write_all_again(struct cm_keeper *keeper)
{
    cm_keeper_replay_all(&keeper->state);
}

/* --- telling --- */

void cm_keeper_log_state(struct cm_keeper *keeper)
{
    const struct cm_keeper_state *state = &keeper->state;
    const char *word = cm_keeper_word(state);
    char text[CM_LOG_LINE_BYTES];
    if (keeper->logged_word == word) { /* words are constants */
        return;
    }
    keeper->logged_word = word;
    enum cm_log_level level = state->refusal != CM_KEEPER_ACCEPTED ? CM_LOG_ERROR
                              : state->trouble > CM_TROUBLE_NONE   ? CM_LOG_WARNING
                                                                   : CM_LOG_NOTICE;
    struct cm_text line = cm_text_over(text, sizeof(text));
    cm_text_add_str(&line, "state");
    cm_log_add(&line, "keeper", cm_span_of(keeper->options.name));
    cm_log_add(&line, "state", cm_span_of(word));
    if (state->trouble > CM_TROUBLE_NONE) {
        cm_log_add(&line, "trouble", cm_span_of(cm_trouble_name(state->trouble)));
    }
    cm_log_add(&line, "run", cm_span_of(state->incarnation.run_id));
    cm_text_add_format(&line, " acts=%zu next=%" PRIu64 " last=%" PRIu64, keeper->index.count, state->next,
                       state->last);
    cm_log_line(level, (struct cm_span){line.p, line.len});
    if (state->refusal == CM_KEEPER_LOST) {
        cm_log(CM_LOG_ERROR,
               "this journal is not the one that the store knows of keeper %s: acts that it acknowledged "
               "may be lost. Restore the journal, or accept the loss: consentctl store accept",
               keeper->options.name);
    }
}

void cm_keeper_describe(const struct cm_keeper *keeper, struct cm_keeper_report *out)
{
    const struct cm_keeper_state *state = &keeper->state;
    *out = (struct cm_keeper_report){
        .incarnation = state->incarnation,
        .beat_age_ms = keeper->has_beaten ? cm_keeper_now(keeper) - state->last_beat_ms : -1,
        .acts = keeper->index.count,
    };
    (void)cm_copy(out->keeper, sizeof(out->keeper), cm_span_of(keeper->options.name)); /* the settings bound it */
    (void)cm_copy(out->state, sizeof(out->state), cm_span_of(cm_keeper_word(state)));  /* known words fit */
    if (state->trouble > CM_TROUBLE_NONE) {
        (void)cm_copy(out->trouble, sizeof(out->trouble), cm_span_of(cm_trouble_name(state->trouble)));
    }
    cm_journal_range(keeper->journal, &out->first, &out->last);
    for (size_t i = cm_keeper_index_from(&keeper->index, state->next); i < keeper->index.count; i++) {
        out->pending++;
    }
}

bool cm_keeper_is_beating(const struct cm_keeper *keeper, struct cm_incarnation *out_incarnation)
{
    *out_incarnation = keeper->state.incarnation;
    return keeper->state.is_beating;
}

/* --- the real store --- */

static struct cm_store *store_at(void *context)
{
    return *(struct cm_store **)context;
}

static enum cm_trouble real_beats(void *context, struct cm_beats *out, struct cm_err *err)
{
    return cm_store_beats(store_at(context), out, err);
}

static void real_beat(void *context, const struct cm_beat *beat, struct cm_beat_result *out, struct cm_err *err)
{
    cm_store_beat(store_at(context), beat, out, err);
}

static enum cm_trouble real_seal(void *context, const struct cm_write *write, struct cm_sealed_document *out,
                                 struct cm_err *err)
{
    return cm_store_seal(store_at(context), write, out, err);
}

static bool real_seal_newly(void *context, const struct cm_write *write, struct cm_sealed_document *out,
                            struct cm_err *err)
{
    return cm_store_seal_newly(store_at(context), write, out, err);
}

static enum cm_trouble real_reseal(void *context, const struct cm_write *write, struct cm_sealed_document *document,
                                   struct cm_err *err)
{
    return cm_store_reseal(store_at(context), write, document, err);
}

static void real_write(void *context, const struct cm_write *write, const struct cm_sealed_document *document,
                       struct cm_write_result *out, struct cm_err *err)
{
    cm_store_write_sealed(store_at(context), write, document, out, err);
}

struct cm_keeper_store cm_keeper_store_of(struct cm_store **store)
{
    return (struct cm_keeper_store){real_beats, real_beat, real_seal, real_seal_newly, real_reseal, real_write, store};
}
