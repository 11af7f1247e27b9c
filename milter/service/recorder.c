#include "service/recorder.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/log.h"
#include "service/declaration.h"
#include "store/ledger.h"

#define FLUSH_EVERY_MS 1000
#define BATCH 256

#define NOTES_MAX 64
#define FORGET_EVERY_S 3600 /* what is too old goes within the hour */

/* How far the day counters have come of one row of the tally. */
struct flushed_row {
    uint64_t applied[CM_REASON_COUNT];
    uint64_t observed[CM_REASON_COUNT];
};

struct cm_recorder {
    struct cm_store *store;
    struct cm_tally *tally;
    unsigned partition;           /* of our counters */
    struct flushed_row **flushed; /* one a row of the tally, made when it is needed; of the writing thread */
    uint64_t flushed_troubles[CM_TROUBLE_COUNT];
    pthread_t thread;
    bool started;
    enum cm_trouble troubled;    /* of the writing thread: what it warned of last */
    enum cm_trouble undeclared;  /* the same for notes */
    enum cm_trouble unleft;      /* for uses */
    enum cm_trouble unforgotten; /* for what is to be forgotten */
    time_t forgot_at;            /* monotonic; 0: never yet */
    _Atomic unsigned keep_days;  /* 0: not told */
    pthread_mutex_t mutex;       /* guards all below */
    pthread_cond_t wake;
    struct cm_record_entry *queue; /* ring */
    size_t head;
    size_t count;
    uint64_t lost; /* since the log was last told */
    uint64_t lost_ever;
    uint64_t lost_uses;
    uint64_t lost_notes;
    struct cm_use *uses; /* in no order */
    size_t use_count;
    struct cm_declaration *notes[NOTES_MAX]; /* oldest first; taken out by the writing thread only */
    size_t note_count;
    bool stopping;
};

struct cm_recorder *cm_recorder_new(struct cm_store *store, struct cm_tally *tally, uint32_t daemon, struct cm_err *err)
{
    struct cm_recorder *recorder = calloc(1, sizeof(*recorder));
    if (recorder == NULL) {
        cm_err_set(err, "out of memory");
        return NULL;
    }
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* valid arguments: cannot fail, as the next two */
    (void)pthread_cond_init(&recorder->wake, &attributes);
    (void)pthread_mutex_init(&recorder->mutex, NULL);
    (void)pthread_condattr_destroy(&attributes);
    recorder->store = store;
    recorder->tally = tally;
    recorder->partition = daemon % CM_PARTITIONS;
    recorder->flushed = calloc(CM_TALLY_ROWS_MAX + 1, sizeof(struct flushed_row *));
    recorder->queue = calloc(CM_LIMIT_REFUSALS_QUEUED, sizeof(*recorder->queue));
    recorder->uses = calloc(CM_LIMIT_USES_QUEUED, sizeof(*recorder->uses));
    if (recorder->flushed == NULL || recorder->queue == NULL || recorder->uses == NULL) {
        cm_err_set(err, "out of memory");
        cm_recorder_free(recorder);
        return NULL;
    }
    return recorder;
}

void cm_recorder_add(struct cm_recorder *recorder, const struct cm_record_entry *entry)
{
    cm_tally_count(recorder->tally, entry->row, &entry->decision, entry->observed);
    if (entry->decision.verdict != CM_VERDICT_REFUSE) {
        return;
    }
    (void)pthread_mutex_lock(&recorder->mutex);
    if (recorder->count < CM_LIMIT_REFUSALS_QUEUED) {
        recorder->queue[(recorder->head + recorder->count) % CM_LIMIT_REFUSALS_QUEUED] = *entry;
        recorder->count++;
        if (recorder->count == CM_LIMIT_REFUSALS_QUEUED / 2) {
            (void)pthread_cond_signal(&recorder->wake); /* under load a second is too long to wait */
        }
    } else {
        recorder->lost++;
        recorder->lost_ever++;
    }
    (void)pthread_mutex_unlock(&recorder->mutex);
}

void cm_recorder_keep(struct cm_recorder *recorder, unsigned days)
{
    if (recorder != NULL) {
        atomic_store(&recorder->keep_days, days);
    }
}

void cm_recorder_note(struct cm_recorder *recorder, struct cm_declaration *declaration)
{
    (void)pthread_mutex_lock(&recorder->mutex);
    bool fits = declaration != NULL && recorder->note_count < NOTES_MAX;
    if (fits) {
        recorder->notes[recorder->note_count++] = declaration;
    }
    recorder->lost_notes += declaration != NULL && !fits ? 1 : 0;
    (void)pthread_mutex_unlock(&recorder->mutex);
    if (declaration != NULL && !fits) {
        cm_log(CM_LOG_WARNING, "a note of what changed here is lost to the ledger: too many wait for the store");
        cm_declaration_free(declaration);
    }
}

void cm_recorder_use(struct cm_recorder *recorder, const struct cm_use *use)
{
    (void)pthread_mutex_lock(&recorder->mutex);
    if (recorder->use_count < CM_LIMIT_USES_QUEUED) {
        recorder->uses[recorder->use_count++] = *use;
    } else {
        recorder->lost_uses++;
    }
    (void)pthread_mutex_unlock(&recorder->mutex);
}

static json_t *record_json(const struct cm_decision *decision)
{
    char ledger[CM_LEDGER_ID_TEXT_BYTES];
    char at[CM_TIME_TEXT_BYTES];
    const struct cm_record *record = &decision->record;
    if (!decision->has_record) {
        return json_null();
    }
    cm_ledger_id_format(record->ledger, ledger);
    cm_time_format(record->event_at, at);
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:i, s:I, s:s}", "scope", (json_int_t)record->scope, "kind",
                     cm_kind_name(record->kind), "state", cm_state_name(record->kind, record->state), "rank",
                     cm_rank_name(record->rank), "at", at, "statement", (int)record->statement, "expires",
                     (json_int_t)record->expiry_s, "ledger", ledger);
}

/* The document of a kept refusal. What is not ASCII in a login is replaced: JSON wants UTF-8 and gets it. */
static void format_refusal(const struct cm_record_entry *entry, struct cm_refusal *out)
{
    char at[CM_TIME_TEXT_BYTES];
    cm_time_format(entry->id.at, at);
    cm_decision_id_format(&entry->id, out->id);
    out->partition = entry->id.partition;
    out->document[0] = '\0';
    json_t *document = json_pack(
        "{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:o, s:s, s:i}", "at",
        at, "verdict", cm_verdict_name(entry->decision.verdict), "reason", cm_reason_name(entry->decision.reason),
        "law", (int)cm_reason_law(entry->decision.reason), "mode", entry->observed ? "observe" : "enforce", "stream",
        entry->row->name, "purpose", entry->purpose, "subject", entry->subject, "family", entry->family, "pepper",
        (int)entry->pepper, "session", entry->session, "queue_id", entry->queue_id, "client", entry->client, "auth",
        entry->auth, "daemon", entry->daemon, "local", (int)entry->local, "why", entry->why, "record",
        record_json(&entry->decision), "configuration", entry->configuration, "generation", (int)entry->generation);
    if (document != NULL) {
        size_t len = json_dumpb(document, out->document, sizeof(out->document) - 1, JSON_COMPACT | JSON_ENSURE_ASCII);
        out->document[len < sizeof(out->document) ? len : 0] = '\0';
        json_decref(document);
    }
}

/* One counter that has grown since it was flushed. */
struct growth {
    uint64_t *flushed; /* to move on by `count`, once it is written */
    uint64_t count;
    struct cm_tally_row *row; /* NULL: of no row */
};

struct buffers {
    struct cm_record_entry entries[BATCH];
    struct cm_refusal refusals[BATCH];
    struct cm_day_count counts[BATCH];
    struct growth growths[BATCH];
    size_t count;
    struct cm_use uses[BATCH];
};

/* Adds a counter if it has grown. False if the buffers are full. */
static bool take_growth(struct buffers *buffers, uint64_t now, uint64_t *flushed, struct cm_tally_row *row,
                        const char *verdict, const char *reason)
{
    if (now == *flushed) {
        return true;
    }
    if (buffers->count == BATCH) {
        return false;
    }
    struct cm_day_count *out = &buffers->counts[buffers->count];
    struct cm_text name = cm_text_over(out->name, sizeof(out->name));
    cm_text_add_format(&name, "%s:%s:%s", row != NULL ? row->name : CM_TALLY_NO_STREAM, verdict, reason);
    out->count = now - *flushed;
    buffers->growths[buffers->count++] = (struct growth){flushed, out->count, row};
    return true;
}

static bool take_row(struct buffers *buffers, struct cm_tally_row *row, struct flushed_row *flushed)
{
    bool fits = true;
    for (size_t i = 0; fits && i < CM_REASON_COUNT; i++) {
        enum cm_reason reason = (enum cm_reason)i;
        const char *name = cm_reason_name(reason);
        fits = take_growth(buffers, atomic_load(&row->applied[i]), &flushed->applied[i], row,
                           cm_verdict_name(cm_reason_verdict(reason)), name) &&
               take_growth(buffers, atomic_load(&row->observed[i]), &flushed->observed[i], row, "observe", name);
    }
    return fits;
}

/* Fills the buffers with the counters that have grown; what finds no room or memory is taken the next time. */
static void take_counts(struct cm_recorder *recorder, struct buffers *buffers)
{
    struct timespec now;
    struct cm_tally_row *row;
    bool fits = true;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    buffers->count = 0;
    for (size_t i = 0; fits && (row = cm_tally_at(recorder->tally, i)) != NULL; i++) {
        if (recorder->flushed[i] == NULL) {
            recorder->flushed[i] = calloc(1, sizeof(struct flushed_row));
        }
        if (recorder->flushed[i] != NULL && atomic_exchange(&row->has_grown, false)) {
            fits = take_row(buffers, row, recorder->flushed[i]);
            atomic_store(&row->has_grown, !fits || atomic_load(&row->has_grown));
        }
    }
    for (size_t i = 0; fits && i < CM_TROUBLE_COUNT; i++) {
        enum cm_trouble trouble = (enum cm_trouble)i;
        fits = take_growth(buffers, cm_tally_troubles(recorder->tally, trouble), &recorder->flushed_troubles[i], NULL,
                           "trouble", cm_trouble_name(trouble));
    }
    for (size_t i = 0; i < buffers->count; i++) {
        cm_time_day((cm_ms)now.tv_sec * 1000, buffers->counts[i].day);
    }
}

static void counts_are_written(struct buffers *buffers)
{
    for (size_t i = 0; i < buffers->count; i++) {
        *buffers->growths[i].flushed += buffers->growths[i].count;
    }
}

static void counts_are_not_written(struct buffers *buffers)
{
    for (size_t i = 0; i < buffers->count; i++) {
        if (buffers->growths[i].row != NULL) {
            atomic_store(&buffers->growths[i].row->has_grown, true);
        }
    }
}

static size_t peek_refusals(struct cm_recorder *recorder, struct cm_record_entry *out, size_t max)
{
    (void)pthread_mutex_lock(&recorder->mutex);
    size_t n = recorder->count < max ? recorder->count : max;
    for (size_t i = 0; i < n; i++) {
        out[i] = recorder->queue[(recorder->head + i) % CM_LIMIT_REFUSALS_QUEUED];
    }
    (void)pthread_mutex_unlock(&recorder->mutex);
    return n;
}

static void drop_refusals(struct cm_recorder *recorder, size_t n)
{
    (void)pthread_mutex_lock(&recorder->mutex);
    recorder->head = (recorder->head + n) % CM_LIMIT_REFUSALS_QUEUED;
    recorder->count -= n;
    uint64_t lost = recorder->lost;
    recorder->lost = 0;
    (void)pthread_mutex_unlock(&recorder->mutex);
    if (lost > 0) {
        cm_log(CM_LOG_WARNING, "%llu refusals were not kept for explain; they are in the log only",
               (unsigned long long)lost);
    }
}

static void note_lost(struct cm_recorder *recorder, size_t n)
{
    (void)pthread_mutex_lock(&recorder->mutex);
    recorder->lost += n;
    recorder->lost_ever += n;
    (void)pthread_mutex_unlock(&recorder->mutex);
}

/* Warns once, until it works again or fails otherwise. */
static void warn(enum cm_trouble *last, enum cm_trouble trouble, const char *what, const struct cm_err *err)
{
    if (*last != trouble) {
        *last = trouble;
        cm_log(CM_LOG_WARNING, "%s cannot be kept: trouble=%s: %s. %s", what, cm_trouble_name(trouble), err->text,
               cm_trouble_advice(trouble));
    }
}

/* One batch of uses; what cannot be written is left by later mail. True if more are waiting. */
static bool leave_uses(struct cm_recorder *recorder, struct cm_use *batch)
{
    struct cm_err err;
    (void)pthread_mutex_lock(&recorder->mutex);
    size_t count = recorder->use_count < BATCH ? recorder->use_count : BATCH;
    recorder->use_count -= count;
    memcpy(batch, recorder->uses + recorder->use_count, count * sizeof(*batch));
    bool more = recorder->use_count > 0;
    (void)pthread_mutex_unlock(&recorder->mutex);
    enum cm_trouble trouble = count > 0 ? cm_store_leave_uses(recorder->store, batch, count, &err) : CM_TROUBLE_NONE;
    if (trouble != CM_TROUBLE_NONE) {
        warn(&recorder->unleft, trouble, "uses of consent", &err);
    } else if (count > 0) {
        recorder->unleft = CM_TROUBLE_NONE;
    }
    return more && trouble == CM_TROUBLE_NONE;
}

/* LAW-16: what we go by, oldest first, as soon as the store can take it. */
static void write_notes(struct cm_recorder *recorder)
{
    struct cm_err err = {{0}};
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    while (trouble == CM_TROUBLE_NONE) {
        (void)pthread_mutex_lock(&recorder->mutex);
        struct cm_declaration *first = recorder->note_count > 0 ? recorder->notes[0] : NULL;
        (void)pthread_mutex_unlock(&recorder->mutex);
        if (first == NULL) {
            return;
        }
        trouble = cm_declaration_write(first, recorder->store, &err);
        if (trouble != CM_TROUBLE_NONE) {
            warn(&recorder->undeclared, trouble, "the declaration of the configuration", &err);
            return;
        }
        recorder->undeclared = CM_TROUBLE_NONE;
        (void)pthread_mutex_lock(&recorder->mutex);
        recorder->note_count--;
        memmove(recorder->notes, recorder->notes + 1, recorder->note_count * sizeof(struct cm_declaration *));
        (void)pthread_mutex_unlock(&recorder->mutex);
        cm_declaration_free(first);
    }
}

/* Refusals that are older than the configuration says, of all daemons; whoever comes first does it. */
static void forget_refusals(struct cm_recorder *recorder)
{
    struct timespec now;
    struct cm_err err = {{0}};
    unsigned days = atomic_load(&recorder->keep_days);
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    if (days == 0 || (recorder->forgot_at != 0 && now.tv_sec - recorder->forgot_at < FORGET_EVERY_S)) {
        return;
    }
    recorder->forgot_at = now.tv_sec; /* also on failure: it is not urgent */
    enum cm_trouble trouble = cm_store_forget_refusals(recorder->store, days, &err);
    if (trouble != CM_TROUBLE_NONE) {
        warn(&recorder->unforgotten, trouble, "the time of explain_days", &err);
    } else {
        recorder->unforgotten = CM_TROUBLE_NONE;
    }
}

/* Writes one batch. True if more may be waiting and writing works. */
static bool flush_batch(struct cm_recorder *recorder, struct buffers *buffers, bool *out_failing)
{
    struct cm_err err;
    size_t refusals = peek_refusals(recorder, buffers->entries, BATCH);
    take_counts(recorder, buffers);
    if (refusals == 0 && buffers->count == 0) {
        return false;
    }
    for (size_t i = 0; i < refusals; i++) {
        format_refusal(&buffers->entries[i], &buffers->refusals[i]);
    }
    bool sent = false;
    enum cm_trouble trouble = cm_store_record(recorder->store, recorder->partition, buffers->refusals, refusals,
                                              buffers->counts, buffers->count, &sent, &err);
    if (trouble == CM_TROUBLE_NONE) {
        drop_refusals(recorder, refusals);
        counts_are_written(buffers);
        recorder->troubled = CM_TROUBLE_NONE;
        return true;
    }
    *out_failing = true;
    warn(&recorder->troubled, trouble, "refusals and counters", &err);
    if (sent) { /* some of it may stand in the store: better lost than counted twice */
        note_lost(recorder, refusals);
        drop_refusals(recorder, refusals);
        counts_are_written(buffers);
    } else {
        counts_are_not_written(buffers);
    }
    return false;
}

static void *run(void *context)
{
    struct cm_recorder *recorder = context;
    struct buffers *buffers = calloc(1, sizeof(*buffers));
    bool stopping = buffers == NULL;
    bool failing = false; /* then a full queue is no reason to hurry */
    while (!stopping) {
        write_notes(recorder);
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail for this clock */
        until.tv_sec += FLUSH_EVERY_MS / 1000;
        (void)pthread_mutex_lock(&recorder->mutex);
        while (!recorder->stopping && (failing || recorder->count < CM_LIMIT_REFUSALS_QUEUED / 2) &&
               pthread_cond_timedwait(&recorder->wake, &recorder->mutex, &until) == 0) {
        }
        stopping = recorder->stopping;
        (void)pthread_mutex_unlock(&recorder->mutex);
        failing = false;
        while (flush_batch(recorder, buffers, &failing)) {
        }
        while (leave_uses(recorder, buffers->uses)) {
        }
        forget_refusals(recorder);
    }
    free(buffers);
    return NULL;
}

void cm_recorder_state(struct cm_recorder *recorder, struct cm_recorder_state *out)
{
    (void)pthread_mutex_lock(&recorder->mutex);
    *out = (struct cm_recorder_state){
        .refusals = recorder->count,
        .uses = recorder->use_count,
        .notes = recorder->note_count,
        .lost_refusals = recorder->lost_ever,
        .lost_uses = recorder->lost_uses,
        .lost_notes = recorder->lost_notes,
    };
    (void)pthread_mutex_unlock(&recorder->mutex);
}

bool cm_recorder_start(struct cm_recorder *recorder, struct cm_err *err)
{
    if (pthread_create(&recorder->thread, NULL, run, recorder) != 0) {
        cm_err_set(err, "cannot start the thread that keeps refusals");
        return false;
    }
    recorder->started = true;
    return true;
}

void cm_recorder_free(struct cm_recorder *recorder)
{
    if (recorder == NULL) {
        return;
    }
    if (recorder->started) {
        (void)pthread_mutex_lock(&recorder->mutex);
        recorder->stopping = true;
        (void)pthread_cond_signal(&recorder->wake);
        (void)pthread_mutex_unlock(&recorder->mutex);
        (void)pthread_join(recorder->thread, NULL); /* the thread exists and is joined once */
    }
    (void)pthread_cond_destroy(&recorder->wake);
    (void)pthread_mutex_destroy(&recorder->mutex);
    for (size_t i = 0; i < recorder->note_count; i++) {
        cm_declaration_free(recorder->notes[i]);
    }
    for (size_t i = 0; recorder->flushed != NULL && i <= CM_TALLY_ROWS_MAX; i++) {
        free(recorder->flushed[i]);
    }
    free(recorder->flushed);
    free(recorder->uses);
    free(recorder->queue);
    free(recorder);
}
