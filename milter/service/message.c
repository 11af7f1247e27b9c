/* What a message brings after its recipients: headers, and the end, where all open recipients are decided. */
#include <string.h>

#include "base/clock.h"
#include "ops/log.h"
#include "session_internal.h"

/* True if what was not kept at a ceiling might have decided: recipients of the sendmail command, or headers. */
static bool limit_matters(const struct cm_session *session, bool claimed)
{
    bool matters = claimed ? session->local : !cm_prospect_of_none(session, false).known;
    for (size_t i = 0; i < session->candidate_count; i++) {
        matters = matters || cm_message_may_have_fault(session, session->candidates[i]);
    }
    return session->is_over && matters;
}

/* Mail that is not ours is not kept, not even its headers. */
static bool wants_headers(const struct cm_session *session)
{
    const struct cm_stream_table *table = session->table;
    return session->in_message && !session->is_over &&
           (session->candidate_count > 0 ||
            (!session->claim.claimed && session->claim.outgoing && table->refuse_unmatched_bulk));
}

/* A copy without folds: each run of line end and blanks becomes one blank. RFC 5322 2.2.3 */
static struct cm_span unfold(struct cm_arena *arena, struct cm_span value)
{
    bool cut = value.len > CM_LIMIT_HEADER_VALUE_BYTES;
    value.len = cut ? CM_LIMIT_HEADER_VALUE_BYTES : value.len;
    struct cm_span copy = cm_arena_copy(arena, value);
    if (copy.p == NULL || cut) {
        return copy; /* whole, so that its length still tells that it was cut */
    }
    char *out = (char *)copy.p;
    size_t len = 0;
    for (size_t i = 0; i < copy.len; i++) {
        if (copy.p[i] != '\n' && copy.p[i] != '\r') {
            out[len++] = copy.p[i];
            continue;
        }
        while (i + 1 < copy.len && strchr("\r\n\t ", copy.p[i + 1]) != NULL && copy.p[i + 1] != '\0') {
            i++;
        }
        out[len++] = ' ';
    }
    return cm_span_trim((struct cm_span){out, len});
}

void cm_session_header(struct cm_session *session, struct cm_span name, struct cm_span value)
{
    if (cm_span_equal_nocase(cm_span_trim(name), CM_SPAN(CM_STATUS_HEADER))) {
        session->forged++;
    }
    if (!wants_headers(session) || !cm_stream_table_wants_header(session->table, name)) {
        return;
    }
    void *items = session->headers;
    struct cm_header header = {cm_arena_copy(&session->arena, name), unfold(&session->arena, value)};
    session->header_bytes += header.name.len + header.value.len;
    if (session->header_bytes > session->settings->limits.header_bytes || header.name.p == NULL ||
        header.value.p == NULL ||
        !cm_make_room(&session->arena, &items, sizeof(*session->headers), session->header_count, &session->header_room,
                      CM_LIMIT_HEADERS_KEPT)) {
        bool is_memory = session->header_bytes <= session->settings->limits.header_bytes &&
                         session->header_count < CM_LIMIT_HEADERS_KEPT;
        cm_session_reach(session, is_memory ? CM_CEILING_MEMORY : CM_CEILING_HEADERS);
        session->is_over = true; /* what we did not keep might decide: don't know */
        return;
    }
    session->headers = items;
    session->headers[session->header_count++] = header;
}

/* The stream of the message, now that the headers are known. */
static size_t final_stream(const struct cm_session *session)
{
    return cm_stream_select(session->table, session->candidates, session->candidate_count, session->headers,
                            session->header_count);
}

/* The prospect of each open recipient. NULL without memory. */
static struct cm_prospect *final_prospects(struct cm_session *session, size_t stream, const struct cm_prospect *fault)
{
    struct cm_prospect *prospects = cm_arena_array(&session->scratch, session->open_count + 1, sizeof(*prospects));
    if (prospects == NULL) {
        return NULL;
    }
    if (fault == NULL && !session->is_over && stream != CM_NO_STREAM) {
        cm_prospects_of_stream(session, stream, true, session->open, session->open_count, prospects);
        return prospects;
    }
    struct cm_prospect all = cm_prospect_of_none(session, true);
    if (session->is_over) {
        all = cm_prospect_of_limit(session);
    } else if (fault != NULL) {
        all = *fault;
    }
    for (size_t i = 0; i < session->open_count; i++) {
        prospects[i] = all;
    }
    return prospects;
}

/* A message judged as one, because of what its headers say. */
static void conclude_whole(struct cm_session *session, const struct cm_prospect *prospect, struct cm_span queue_id,
                           struct cm_reply *out)
{
    char id[CM_DECISION_ID_CHARS + 1];
    cm_book(session, &(struct cm_booking){.prospect = prospect, .queue_id = queue_id}, id);
    cm_session_note(session, prospect, id, session->passed);
    if (!cm_prospect_lets_pass(prospect)) {
        struct cm_reply_facts facts = {.decision = &prospect->decision,
                                       .purpose = prospect->purpose,
                                       .decision_id = id,
                                       .url = session->settings->url};
        cm_reply_make(&facts, out);
    }
}

/* Mail that no stream claims may carry the marks of bulk mail. LAW-14 */
static void conclude_unclaimed(struct cm_session *session, struct cm_span queue_id, struct cm_reply *out)
{
    struct cm_prospect prospect = cm_prospect_of_none(session, true);
    if (prospect.decision.verdict != CM_VERDICT_ACCEPT) {
        conclude_whole(session, &prospect, queue_id, out);
    }
}

static void warn_of_dishonesty(const struct cm_session *session, size_t stream, struct cm_span queue_id)
{
    if (session->table->service_honesty == CM_HONESTY_LOG && cm_message_is_dishonest(session, stream)) {
        cm_log(CM_LOG_WARNING, "%.*s: session=%s stream=%s: a service message carries the marks of bulk mail",
               (int)queue_id.len, queue_id.p, session->id, session->table->streams[stream].name);
    }
}

/* Mail that some stream claims: its recipients still open, and what the headers say of all of it. */
static void conclude_claimed(struct cm_session *session, unsigned abilities, struct cm_span queue_id,
                             struct cm_disposition *disposition)
{
    size_t stream = session->is_over ? CM_NO_STREAM : final_stream(session);
    struct cm_prospect fault = {0};
    bool has_fault = stream != CM_NO_STREAM && cm_prospect_of_fault(session, stream, &fault);
    warn_of_dishonesty(session, stream, queue_id);
    if (session->open_count == 0) {
        if (has_fault) {
            conclude_whole(session, &fault, queue_id, &disposition->reply);
        }
        return;
    }
    struct cm_conclusion conclusion = {.prospects = final_prospects(session, stream, has_fault ? &fault : NULL),
                                       .is_whole = has_fault,
                                       .abilities = abilities,
                                       .queue_id = queue_id};
    if (conclusion.prospects != NULL) {
        cm_conclude_open(session, &conclusion, disposition);
    } else {
        cm_conclude_limit(session, &session->open[0], queue_id, &disposition->reply);
    }
}

void cm_session_end(struct cm_session *session, struct cm_span queue_id, unsigned abilities,
                    struct cm_disposition *disposition)
{
    bool claimed = session->claim.claimed || session->candidate_count > 0;
    *disposition = (struct cm_disposition){0};
    cm_arena_reset(&session->scratch);
    session->deadline_ms = cm_clock_monotonic_ms() + CM_BUDGET_END_MS;
    if (!cm_session_can_judge(session)) {
        cm_conclude_blind(session, CM_SPAN(""), queue_id, &disposition->reply);
    } else if (session->open_count == 0 && limit_matters(session, claimed)) {
        cm_conclude_limit(session, &(struct cm_recipient){0}, queue_id, &disposition->reply);
    } else if (claimed) {
        conclude_claimed(session, abilities, queue_id, disposition);
    } else {
        conclude_unclaimed(session, queue_id, &disposition->reply);
    }
    if (disposition->reply.code == NULL) {
        cm_dispose_headers(session, disposition);
    }
    cm_session_forget(session);
    if (disposition->removed_count == 0) {
        cm_arena_reset(&session->scratch);
    }
}
