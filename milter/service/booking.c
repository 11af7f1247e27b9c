#include <string.h>
#include <time.h>

#include "ops/log.h"
#include "session_internal.h"

static cm_ms wall_clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (cm_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void cm_warn_trouble(struct cm_filter *filter, enum cm_trouble trouble, const struct cm_err *err)
{
    int64_t now_s = wall_clock_ms() / 1000;
    int64_t last = atomic_exchange(&filter->warned_at_s[trouble], now_s);
    if (last != now_s) {
        cm_log(CM_LOG_WARNING, "store: trouble=%s: %s. %s", cm_trouble_name(trouble), err->text,
               cm_trouble_advice(trouble));
    }
}

bool cm_session_is_own_sender(const struct cm_session *session, size_t stream)
{
    return stream != CM_NO_STREAM && session->auth[0] != '\0' &&
           session->filter->parts.settings->streams.streams[stream].session.auth.count > 0;
}

static void log_decision(const struct cm_session *session, const struct cm_booking *booking, const char *id,
                         const char *subject)
{
    const struct cm_settings *settings = session->filter->parts.settings;
    const struct cm_prospect *prospect = booking->prospect;
    const struct cm_decision *decision = &prospect->decision;
    const char *stream = prospect->stream == CM_NO_STREAM ? "-" : settings->streams.streams[prospect->stream].name;
    char storage[CM_LOG_LINE_BYTES];
    struct cm_text line = cm_text_over(storage, sizeof(storage));
    cm_text_add(&line, booking->queue_id.len > 0 ? booking->queue_id : CM_SPAN("NOQUEUE"));
    cm_text_add_char(&line, ':');
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
    if (decision->dormant) {
        cm_log_add(&line, "dormant", CM_SPAN("yes")); /* it passed, but the purpose wishes to know */
    }
    cm_log_add(&line, "stream", cm_span_of(stream));
    cm_log_add(&line, "purpose", cm_span_of(prospect->purpose[0] != '\0' ? prospect->purpose : "-"));
    cm_log_add(&line, "subject", cm_span_of(subject[0] != '\0' ? subject : "-"));
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

void cm_book(struct cm_session *session, const struct cm_booking *booking, char out_id[CM_DECISION_ID_CHARS + 1])
{
    struct cm_filter *filter = session->filter;
    const struct cm_recipient *recipient = booking->recipient;
    bool has_subject = recipient != NULL && recipient->status == CM_RECIPIENT_OK;
    struct cm_record_entry entry = {
        .id = {.at = wall_clock_ms(),
               .daemon = filter->parts.daemon,
               .counter = atomic_fetch_add(&filter->decisions, 1),
               .partition = has_subject ? recipient->subject.partition : 0},
        .decision = booking->prospect->decision,
        .observed = booking->prospect->observed,
        .stream = booking->prospect->stream,
    };
    if (has_subject) {
        cm_subject_format(&recipient->subject, entry.subject);
    }
    cm_decision_id_format(&entry.id, out_id);
    log_decision(session, booking, out_id, entry.subject);
    if (entry.decision.verdict == CM_VERDICT_REFUSE) { /* only refusals are kept; what is too long is cut */
        (void)cm_copy(entry.purpose, sizeof(entry.purpose), cm_span_of(booking->prospect->purpose));
        (void)cm_copy(entry.session, sizeof(entry.session), cm_span_of(session->id));
        copy_clean(entry.queue_id, sizeof(entry.queue_id), booking->queue_id);
        (void)cm_copy(entry.client, sizeof(entry.client), cm_span_of(session->local ? "local" : session->client));
        copy_clean(entry.auth, sizeof(entry.auth), cm_span_of(session->auth));
    }
    if (has_subject && !entry.observed) {
        leave_use(filter->parts.recorder, &recipient->subject, &entry.decision);
    }
    cm_recorder_add(filter->parts.recorder, &entry);
}
