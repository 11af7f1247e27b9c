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

enum { MODE_APPLIED, MODE_OBSERVED, MODE_COUNT };

/* One column a reason, and behind them one a trouble. */
#define COLUMNS (CM_REASON_COUNT + CM_TROUBLE_COUNT)

struct cm_recorder {
    struct cm_store *store;
    const struct cm_settings *settings;
    struct cm_declaration *declaration; /* of the writing thread */
    unsigned partition;                 /* of our counters */
    _Atomic uint64_t *counts;           /* [stream or none][mode][column], since the last flush */
    pthread_t thread;
    bool started;
    enum cm_trouble troubled;   /* of the writing thread: what it warned of last */
    enum cm_trouble undeclared; /* the same for the declaration, as the next */
    enum cm_trouble unleft;     /* for uses */
    pthread_mutex_t mutex;      /* guards all below */
    pthread_cond_t wake;
    struct cm_record_entry *queue; /* ring */
    size_t head;
    size_t count;
    uint64_t lost;
    struct cm_use *uses; /* in no order */
    size_t use_count;
    bool stopping;
};

static size_t row_count(const struct cm_recorder *recorder)
{
    return recorder->settings->streams.count + 1;
}

static _Atomic uint64_t *counter_of(struct cm_recorder *recorder, size_t stream, bool observed, size_t column)
{
    size_t row = stream == CM_NO_STREAM ? recorder->settings->streams.count : stream;
    return &recorder->counts[(row * MODE_COUNT + (observed ? MODE_OBSERVED : MODE_APPLIED)) * COLUMNS + column];
}

struct cm_recorder *cm_recorder_new(struct cm_store *store, const struct cm_settings *settings, uint32_t daemon,
                                    struct cm_err *err)
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
    recorder->settings = settings;
    recorder->partition = daemon % CM_PARTITIONS;
    recorder->counts = calloc(row_count(recorder) * MODE_COUNT * COLUMNS, sizeof(*recorder->counts));
    recorder->queue = calloc(CM_LIMIT_REFUSALS_QUEUED, sizeof(*recorder->queue));
    recorder->uses = calloc(CM_LIMIT_USES_QUEUED, sizeof(*recorder->uses));
    recorder->declaration = cm_declaration_new("consent-milter", settings, err);
    if (recorder->counts == NULL || recorder->queue == NULL || recorder->uses == NULL ||
        recorder->declaration == NULL) {
        if (recorder->declaration != NULL) {
            cm_err_set(err, "out of memory");
        }
        cm_recorder_free(recorder);
        return NULL;
    }
    return recorder;
}

void cm_recorder_add(struct cm_recorder *recorder, const struct cm_record_entry *entry)
{
    atomic_fetch_add(counter_of(recorder, entry->stream, entry->observed, entry->decision.reason), 1);
    if (entry->decision.reason == CM_REASON_TROUBLE) {
        atomic_fetch_add(counter_of(recorder, CM_NO_STREAM, false, CM_REASON_COUNT + (size_t)entry->decision.trouble),
                         1);
    }
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
    }
    (void)pthread_mutex_unlock(&recorder->mutex);
}

void cm_recorder_use(struct cm_recorder *recorder, const struct cm_use *use)
{
    (void)pthread_mutex_lock(&recorder->mutex);
    if (recorder->use_count < CM_LIMIT_USES_QUEUED) {
        recorder->uses[recorder->use_count++] = *use;
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

static const char *stream_name(const struct cm_recorder *recorder, size_t stream)
{
    return stream == CM_NO_STREAM ? "-" : recorder->settings->streams.streams[stream].name;
}

/* The document of a kept refusal. What is not ASCII in a login is replaced: JSON wants UTF-8 and gets it. */
static void format_refusal(const struct cm_recorder *recorder, const struct cm_record_entry *entry,
                           struct cm_refusal *out)
{
    char at[CM_TIME_TEXT_BYTES];
    cm_time_format(entry->id.at, at);
    cm_decision_id_format(&entry->id, out->id);
    out->partition = entry->id.partition;
    out->document[0] = '\0';
    json_t *document = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s}", "at", at, "verdict",
        cm_verdict_name(entry->decision.verdict), "reason", cm_reason_name(entry->decision.reason), "mode",
        entry->observed ? "observe" : "enforce", "stream", stream_name(recorder, entry->stream), "purpose",
        entry->purpose, "subject", entry->subject, "session", entry->session, "queue_id", entry->queue_id, "client",
        entry->client, "auth", entry->auth, "record", record_json(&entry->decision), "configuration",
        recorder->settings->sha256);
    if (document != NULL) {
        size_t len = json_dumpb(document, out->document, sizeof(out->document) - 1, JSON_COMPACT | JSON_ENSURE_ASCII);
        out->document[len < sizeof(out->document) ? len : 0] = '\0';
        json_decref(document);
    }
}

static void name_count(const struct cm_recorder *recorder, size_t row, size_t mode, size_t column, struct cm_text *name)
{
    const char *stream = stream_name(recorder, row == recorder->settings->streams.count ? CM_NO_STREAM : row);
    if (column >= CM_REASON_COUNT) {
        cm_text_add_format(name, "-:trouble:%s", cm_trouble_name((enum cm_trouble)(column - CM_REASON_COUNT)));
        return;
    }
    enum cm_reason reason = (enum cm_reason)column;
    const char *verdict = reason < CM_REASON_NO_CONSENT ? "accept" : reason < CM_REASON_TROUBLE ? "refuse" : "defer";
    cm_text_add_format(name, "%s:%s:%s", stream, mode == MODE_OBSERVED ? "observe" : verdict, cm_reason_name(reason));
}

/* Takes up to `max` counters that are not zero. */
static size_t take_counts(struct cm_recorder *recorder, struct cm_day_count *out, size_t *out_cells, size_t max)
{
    size_t taken = 0;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    size_t cells = row_count(recorder) * MODE_COUNT * COLUMNS;
    for (size_t cell = 0; cell < cells && taken < max; cell++) {
        if (atomic_load(&recorder->counts[cell]) == 0) { /* reading leaves untouched memory untouched */
            continue;
        }
        uint64_t count = atomic_exchange(&recorder->counts[cell], 0);
        struct cm_text name = cm_text_over(out[taken].name, sizeof(out[taken].name));
        cm_time_day((cm_ms)now.tv_sec * 1000, out[taken].day);
        name_count(recorder, cell / COLUMNS / MODE_COUNT, cell / COLUMNS % MODE_COUNT, cell % COLUMNS, &name);
        out[taken].count = count;
        out_cells[taken] = cell;
        taken++;
    }
    return taken;
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
    (void)pthread_mutex_unlock(&recorder->mutex);
}

struct buffers {
    struct cm_record_entry entries[BATCH];
    struct cm_refusal refusals[BATCH];
    struct cm_day_count counts[BATCH];
    size_t cells[BATCH];
    struct cm_use uses[BATCH];
};

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

/* LAW-16: the configuration that we work by, as soon as the store can take it. */
static void declare(struct cm_recorder *recorder)
{
    struct cm_err err = {{0}};
    enum cm_trouble trouble = cm_declaration_write(recorder->declaration, recorder->store, &err);
    if (trouble != CM_TROUBLE_NONE) {
        warn(&recorder->undeclared, trouble, "the declaration of the configuration", &err);
    }
}

/* Writes one batch. True if more may be waiting and writing works. */
static bool flush_batch(struct cm_recorder *recorder, struct buffers *buffers, bool *out_failing)
{
    struct cm_err err;
    size_t refusals = peek_refusals(recorder, buffers->entries, BATCH);
    size_t counts = take_counts(recorder, buffers->counts, buffers->cells, BATCH);
    if (refusals == 0 && counts == 0) {
        return false;
    }
    for (size_t i = 0; i < refusals; i++) {
        format_refusal(recorder, &buffers->entries[i], &buffers->refusals[i]);
    }
    bool sent = false;
    enum cm_trouble trouble = cm_store_record(recorder->store, recorder->partition, buffers->refusals, refusals,
                                              buffers->counts, counts, &sent, &err);
    if (trouble == CM_TROUBLE_NONE) {
        drop_refusals(recorder, refusals);
        recorder->troubled = CM_TROUBLE_NONE;
        return true;
    }
    *out_failing = true;
    warn(&recorder->troubled, trouble, "refusals and counters", &err);
    if (sent) { /* some of it may stand in the store: better lost than counted twice */
        note_lost(recorder, refusals);
        drop_refusals(recorder, refusals);
        return false;
    }
    for (size_t i = 0; i < counts; i++) {
        atomic_fetch_add(&recorder->counts[buffers->cells[i]], buffers->counts[i].count);
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
        declare(recorder);
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
    }
    free(buffers);
    return NULL;
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
    cm_declaration_free(recorder->declaration);
    free(recorder->uses);
    free(recorder->queue);
    free((void *)recorder->counts);
    free(recorder);
}
