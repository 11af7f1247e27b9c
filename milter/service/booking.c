#include <string.h>

#include "base/clock.h"
#include "ops/log.h"
#include "session_internal.h"
#include "why.h"

void cm_warn_trouble(struct cm_filter *filter, enum cm_trouble trouble, const struct cm_err *err)
{
    int64_t now_s = cm_clock_wall_ms() / 1000;
    int64_t last = atomic_exchange(&filter->warned_at_s[trouble], now_s);
    if (last != now_s) {
        cm_log(CM_LOG_WARNING, "store: trouble=%s: %s. %s", cm_trouble_name(trouble), err->text,
               cm_trouble_advice(trouble));
    }
}

bool cm_session_is_own_sender(const struct cm_session *session, size_t stream)
{
    return stream != CM_NO_STREAM && session->auth[0] != '\0' && session->table->streams[stream].session.auth.count > 0;
}

static void add_rest_of_key(const struct cm_subject *subject, struct cm_text *line)
{
    if (cm_subject_has_family(subject)) {
        cm_text_add_str(line, " family=");
        cm_text_add_hex(line, subject->family, CM_FIELD_BYTES);
    }
    cm_text_add_format(line, " pepper=%u", subject->pepper);
}

static void log_decision(const struct cm_session *session, const struct cm_booking *booking, const char *id,
                         const char *subject)
{
    const struct cm_settings *settings = session->settings;
    const struct cm_prospect *prospect = booking->prospect;
    const struct cm_decision *decision = &prospect->decision;
    const char *stream = prospect->stream == CM_NO_STREAM ? "-" : settings->streams.streams[prospect->stream].name;
    char storage[CM_LOG_LINE_BYTES];
    struct cm_text line = cm_text_over(storage, sizeof(storage));
    cm_log_begin(&line, booking->queue_id);
    cm_log_add(&line, "session", cm_span_of(session->id));
    cm_log_add(&line, "id", cm_span_of(id));
    cm_log_add(&line, "verdict", cm_span_of(cm_verdict_name(decision->verdict)));
    cm_log_add(&line, "reason", cm_span_of(cm_reason_name(decision->reason)));
    if (decision->reason == CM_REASON_TROUBLE) {
        cm_log_add(&line, "trouble", cm_span_of(cm_trouble_name(decision->trouble)));
    }
    if (prospect->observed) {
        cm_log_add(&line, "mode", CM_SPAN("observe"));
    }
    if (booking->action != NULL) {
        cm_log_add(&line, "action", cm_span_of(booking->action));
    }
    if (decision->dormant) {
        cm_log_add(&line, "dormant", CM_SPAN("yes")); /* it passed, but the purpose wishes to know */
    }
    cm_log_add(&line, "stream", cm_span_of(stream));
    cm_text_add_format(&line, " generation=%u", session->generation->number);
    cm_log_add(&line, "purpose", cm_span_of(prospect->purpose[0] != '\0' ? prospect->purpose : "-"));
    cm_log_add(&line, "subject", cm_span_of(subject[0] != '\0' ? subject : "-"));
    if (subject[0] != '\0') { /* with these two the key is whole: `consentctl replay` can ask the store again */
        add_rest_of_key(&booking->recipient->subject, &line);
    }
    cm_log_add(&line, "client", cm_span_of(session->local ? "local" : session->client));
    cm_log_add(&line, "auth", cm_span_of(session->auth[0] != '\0' ? session->auth : "-"));
    if (settings->log_addresses && booking->recipient != NULL) {
        cm_log_add(&line, "rcpt", booking->recipient->argument);
    }
    cm_log_line(CM_LOG_INFO, (struct cm_span){storage, line.len});
}

/* What is kept must be UTF-8 whatever a client calls itself; printable ASCII is, also when it was cut. */
static void copy_clean(char *out, size_t size, struct cm_span text)
{
    (void)cm_copy(out, size, text); /* a long value is cut */
    for (; *out != '\0'; out++) {
        if (*out < ' ' || *out > '~') {
            *out = '?';
        }
    }
}

/* At all places where the grant may stand: marking it where it does not is harmless. No use is what was accepted but
 * does not pass because of another recipient. */
static void leave_use(struct cm_recorder *recorder, const struct cm_subject *subject,
                      const struct cm_decision *decision)
{
    struct cm_subject_place places[CM_PEPPERS_READABLE];
    bool is_used = decision->verdict == CM_VERDICT_ACCEPT && decision->use_month != 0;
    size_t count = is_used ? cm_subject_places(subject, places) : 0;
    for (size_t i = 0; i < count; i++) {
        struct cm_use use = {.partition = places[i].partition,
                             .bucket = places[i].bucket,
                             .scope = decision->record.scope,
                             .month = decision->use_month};
        memcpy(use.field, places[i].exact, sizeof(use.field));
        cm_recorder_use(recorder, &use);
    }
}

/* What is kept of a refusal beside its decision; what is too long is cut. */
static void fill_entry(const struct cm_session *session, const struct cm_booking *booking,
                       struct cm_record_entry *entry)
{
    char why[CM_WHY_BYTES];
    (void)cm_copy(entry->purpose, sizeof(entry->purpose), cm_span_of(booking->prospect->purpose));
    (void)cm_copy(entry->session, sizeof(entry->session), cm_span_of(session->id));
    copy_clean(entry->queue_id, sizeof(entry->queue_id), booking->queue_id);
    (void)cm_copy(entry->client, sizeof(entry->client), cm_span_of(session->local ? "local" : session->client));
    memcpy(entry->configuration, session->settings->sha256, sizeof(entry->configuration));
    copy_clean(entry->auth, sizeof(entry->auth), cm_span_of(session->auth));
    copy_clean(entry->daemon, sizeof(entry->daemon), cm_span_of(session->daemon));
    entry->local = session->local;
    cm_session_why(session, booking->prospect->stream, why);
    copy_clean(entry->why, sizeof(entry->why), cm_span_of(why));
}

/* Instead of all that a decision leaves behind. */
static void show(const struct cm_session *session, const struct cm_booking *booking, struct cm_record_entry *entry)
{
    const struct cm_filter_parts *parts = &session->filter->parts;
    fill_entry(session, booking, entry);
    parts->observe(parts->context,
                   &(struct cm_booked){
                       .entry = entry,
                       .stream = booking->prospect->stream,
                       .recipient = booking->recipient != NULL ? booking->recipient->argument : CM_SPAN(""),
                       .why = entry->why,
                   });
}

void cm_session_raise_alarm(const struct cm_session *session, unsigned canary, struct cm_span queue_id)
{
    const struct cm_stream *stream = NULL;
    for (size_t i = 0; stream == NULL && i < session->candidate_count; i++) {
        const struct cm_stream *candidate = &session->table->streams[session->candidates[i]];
        stream = candidate->class != CM_CLASS_SERVICE ? candidate : NULL;
    }
    if (stream == NULL) {
        return; /* whom a service writes to is its own affair */
    }
    struct cm_alarm_report report = {.line = canary};
    copy_clean(report.stream, sizeof(report.stream), cm_span_of(stream->name));
    copy_clean(report.session, sizeof(report.session), cm_span_of(session->id));
    copy_clean(report.queue_id, sizeof(report.queue_id), queue_id);
    copy_clean(report.client, sizeof(report.client), cm_span_of(session->local ? "local" : session->client));
    copy_clean(report.auth, sizeof(report.auth), cm_span_of(session->auth));
    copy_clean(report.daemon, sizeof(report.daemon), cm_span_of(session->daemon));
    cm_alarm_raise(session->filter->parts.alarm, session->settings, &report);
}

void cm_book(struct cm_session *session, const struct cm_booking *booking, char out_id[CM_DECISION_ID_CHARS + 1])
{
    struct cm_filter *filter = session->filter;
    const struct cm_recipient *recipient = booking->recipient;
    bool has_subject = recipient != NULL && recipient->status == CM_RECIPIENT_OK;
    struct cm_record_entry entry = {
        .id = {.at = cm_clock_wall_ms(),
               .daemon = filter->parts.daemon,
               .counter = atomic_fetch_add(&filter->decisions, 1),
               .partition = has_subject ? recipient->subject.partition : 0},
        .decision = booking->prospect->decision,
        .observed = booking->prospect->observed,
        .row = cm_generation_row(session->generation, booking->prospect->stream),
        .generation = session->generation->number,
    };
    if (has_subject) {
        struct cm_text family = cm_text_over(entry.family, sizeof(entry.family));
        cm_subject_format(&recipient->subject, entry.subject);
        cm_text_add_hex(&family, recipient->subject.family, CM_FIELD_BYTES);
        entry.pepper = recipient->subject.pepper;
    }
    cm_decision_id_format(&entry.id, out_id);
    if (filter->parts.observe != NULL) {
        show(session, booking, &entry);
        return;
    }
    log_decision(session, booking, out_id, entry.subject);
    if (entry.decision.verdict == CM_VERDICT_REFUSE) { /* only refusals are kept */
        fill_entry(session, booking, &entry);
    }
    if (has_subject && !entry.observed && booking->action == NULL) {
        leave_use(filter->parts.recorder, &recipient->subject, &entry.decision);
    }
    cm_recorder_add(filter->parts.recorder, &entry);
}
