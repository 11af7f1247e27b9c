/* What a message brings after its recipients: headers, and the end, where all open recipients are decided. */
#include <string.h>

#include "session_internal.h"

/* True if what was not kept at a ceiling might have decided: recipients of the sendmail command, or bulk marks. */
static bool limit_matters(const struct cm_session *session, bool claimed)
{
    return session->limit == CM_LIMIT_REACHED &&
           (claimed ? session->local : !cm_prospect_of_none(session, false).known);
}

/* Mail that is not ours is not kept, not even its headers. */
static bool wants_headers(const struct cm_session *session)
{
    const struct cm_stream_table *table = &session->filter->parts.settings->streams;
    return session->in_message && session->limit == CM_LIMIT_UNREACHED &&
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
    const struct cm_stream_table *table = &session->filter->parts.settings->streams;
    if (!wants_headers(session) || !cm_stream_table_wants_header(table, name)) {
        return;
    }
    void *items = session->headers;
    struct cm_header header = {cm_arena_copy(&session->arena, name), unfold(&session->arena, value)};
    if (header.name.p == NULL || header.value.p == NULL ||
        !cm_make_room(&session->arena, &items, sizeof(*session->headers), session->header_count, &session->header_room,
                      CM_LIMIT_HEADERS_KEPT)) {
        session->limit = CM_LIMIT_REACHED; /* what we did not keep might decide: don't know */
        return;
    }
    session->headers = items;
    session->headers[session->header_count++] = header;
}

/* The prospect of each open recipient, now that the headers are known. NULL without memory. */
static struct cm_prospect *final_prospects(struct cm_session *session)
{
    const struct cm_stream_table *table = &session->filter->parts.settings->streams;
    struct cm_prospect *prospects = cm_arena_array(&session->scratch, session->open_count + 1, sizeof(*prospects));
    if (prospects == NULL || session->limit == CM_LIMIT_REACHED) {
        for (size_t i = 0; prospects != NULL && i < session->open_count; i++) {
            prospects[i] = cm_prospect_of_limit(session);
        }
        return prospects;
    }
    size_t stream = cm_stream_select(table, session->candidates, session->candidate_count, session->headers,
                                     session->header_count);
    if (stream != CM_NO_STREAM) {
        cm_prospects_of_stream(session, stream, true, session->open, session->open_count, prospects);
    }
    for (size_t i = 0; stream == CM_NO_STREAM && i < session->open_count; i++) {
        prospects[i] = cm_prospect_of_none(session, true);
    }
    return prospects;
}

/* mixed = reject: one don't-know defers the message, else one refusal refuses it for all. DESIGN 4 */
static enum cm_verdict message_verdict(const struct cm_prospect *prospects, size_t count)
{
    enum cm_verdict verdict = CM_VERDICT_ACCEPT;
    for (size_t i = 0; i < count; i++) {
        if (cm_prospect_lets_pass(&prospects[i])) {
            continue;
        }
        if (prospects[i].decision.verdict == CM_VERDICT_DEFER) {
            return CM_VERDICT_DEFER;
        }
        verdict = CM_VERDICT_REFUSE;
    }
    return verdict;
}

/* Books every open recipient and makes one reply that names the first who stand in the way. */
static void conclude(struct cm_session *session, struct cm_prospect *prospects, struct cm_span queue_id,
                     struct cm_reply *out)
{
    enum cm_verdict verdict = message_verdict(prospects, session->open_count);
    char first_id[CM_DECISION_ID_CHARS + 1] = "";
    const struct cm_prospect *first = NULL;
    struct cm_reply_facts facts = {.url = session->filter->parts.settings->url, .decision_id = first_id};
    for (size_t i = 0; i < session->open_count; i++) {
        char id[CM_DECISION_ID_CHARS + 1];
        struct cm_prospect *prospect = &prospects[i];
        bool stands_in_the_way = !cm_prospect_lets_pass(prospect) && prospect->decision.verdict == verdict;
        if (verdict != CM_VERDICT_ACCEPT && !prospect->observed && prospect->decision.verdict == CM_VERDICT_ACCEPT) {
            prospect->decision.verdict = verdict;
            prospect->decision.reason = CM_REASON_OTHER_RECIPIENT;
        }
        cm_book(session, &(struct cm_booking){prospect, &session->open[i], queue_id}, id);
        if (!stands_in_the_way) {
            continue;
        }
        if (first == NULL) {
            first = prospect;
            memcpy(first_id, id, sizeof(first_id));
        }
        if (facts.recipient_count < CM_REPLY_NAMED_RECIPIENTS) {
            facts.recipients[facts.recipient_count++] = session->open[i].argument;
        } else {
            facts.more++;
        }
    }
    if (first != NULL) {
        facts.decision = &first->decision;
        facts.purpose = first->purpose;
        facts.tell_state = cm_session_is_own_sender(session, first->stream);
        cm_reply_make(&facts, out);
    }
}

/* Mail that no stream claims, and that carries the marks of bulk mail. It is judged as one message. LAW-14 */
static void conclude_unclaimed(struct cm_session *session, struct cm_span queue_id, struct cm_reply *out)
{
    char id[CM_DECISION_ID_CHARS + 1];
    struct cm_prospect prospect = cm_prospect_of_none(session, true);
    if (prospect.decision.verdict == CM_VERDICT_ACCEPT) {
        return;
    }
    cm_book(session, &(struct cm_booking){&prospect, NULL, queue_id}, id);
    if (!cm_prospect_lets_pass(&prospect)) {
        struct cm_reply_facts facts = {
            .decision = &prospect.decision, .decision_id = id, .url = session->filter->parts.settings->url};
        cm_reply_make(&facts, out);
    }
}

void cm_session_end(struct cm_session *session, struct cm_span queue_id, struct cm_reply *out)
{
    *out = (struct cm_reply){0};
    cm_arena_reset(&session->scratch);
    if (!cm_session_can_judge(session)) {
        cm_conclude_blind(session, CM_SPAN(""), queue_id, out);
        cm_session_reset(session);
        return;
    }
    bool claimed = session->claim.claimed || session->candidate_count > 0;
    struct cm_prospect *prospects = session->open_count > 0 ? final_prospects(session) : NULL;
    if (prospects != NULL) {
        conclude(session, prospects, queue_id, out);
    } else if (session->open_count > 0) {
        cm_conclude_limit(session, &session->open[0], queue_id, out);
    } else if (limit_matters(session, claimed)) {
        cm_conclude_limit(session, &(struct cm_recipient){0}, queue_id, out);
    } else if (!claimed) {
        conclude_unclaimed(session, queue_id, out);
    }
    cm_session_reset(session);
}
