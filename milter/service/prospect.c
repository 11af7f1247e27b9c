#include "session_internal.h"

bool cm_prospect_lets_pass(const struct cm_prospect *prospect)
{
    return prospect->observed || prospect->decision.verdict == CM_VERDICT_ACCEPT;
}

static bool has_bulk_mark(const struct cm_session *session)
{
    for (size_t i = 0; i < session->header_count; i++) {
        if (cm_header_marks_bulk(&session->headers[i])) {
            return true;
        }
    }
    return false;
}

struct cm_prospect cm_prospect_of_none(const struct cm_session *session, bool headers_known)
{
    const struct cm_stream_table *table = session->table;
    struct cm_prospect prospect = {.stream = CM_NO_STREAM, .known = true};
    if (session->claim.claimed) { /* LAW-1: it never falls through */
        prospect.observed = session->claim.observed;
        prospect.decision = cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_PURPOSE_UNKNOWN);
        return prospect;
    }
    prospect.observed = table->mode == CM_MODE_OBSERVE;
    prospect.decision = cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_NOT_OURS);
    if (table->refuse_unmatched_bulk && session->claim.outgoing) { /* LAW-14 */
        prospect.known = headers_known;
        if (has_bulk_mark(session)) {
            prospect.decision = cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_UNDECLARED_BULK);
        }
    }
    return prospect;
}

static struct cm_decision decision_of_unread(const struct cm_recipient *recipient)
{
    if (recipient->status == CM_RECIPIENT_AMBIGUOUS) {
        return cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_RECIPIENT_AMBIGUOUS);
    }
    if (recipient->status == CM_RECIPIENT_UNPARSABLE) {
        return cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_RECIPIENT_UNPARSABLE);
    }
    return cm_decision_trouble(CM_TROUBLE_MEMORY); /* a library of ours failed: the address was never judged */
}

/* One question for all recipients that have a subject; the answers are in their order. */
static enum cm_trouble ask_once(struct cm_session *session, const struct cm_enforce_question *question,
                                const struct cm_recipient *recipients, size_t count, struct cm_subject *subjects,
                                struct cm_decision *decisions, struct cm_err *err)
{
    size_t asked = 0;
    for (size_t i = 0; i < count; i++) {
        if (recipients[i].status == CM_RECIPIENT_OK) {
            subjects[asked++] = recipients[i].subject;
        }
    }
    struct cm_enforce_context context = {.deadline_ms = session->deadline_ms};
    return asked > 0 ? cm_enforce(session->filter->parts.store, subjects, asked, question, 1, &session->scratch,
                                  decisions, &context, err)
                     : CM_TROUBLE_NONE;
}

/* Fills the decisions of all recipients that have a subject; the prospects are in the same order as the recipients. */
static void ask_store(struct cm_session *session, const struct cm_stream *stream, struct cm_recipient *recipients,
                      size_t count, struct cm_prospect *out)
{
    struct cm_subject *subjects = cm_arena_array(&session->scratch, count, sizeof(*subjects));
    struct cm_decision *decisions = cm_arena_array(&session->scratch, count, sizeof(*decisions));
    struct cm_err err = {"out of memory for the recipients of one message"};
    enum cm_trouble trouble = CM_TROUBLE_MEMORY;
    if (subjects != NULL && decisions != NULL) {
        struct cm_enforce_question question = {
            .purpose = out[0].purpose,
            .class = stream->class,
            .accept_basis = stream->accept_basis,
            .service_stops = session->table->service_stops,
            .purpose_is_fixed = stream->purpose_from == CM_PURPOSE_FIXED,
        };
        trouble = ask_once(session, &question, recipients, count, subjects, decisions, &err);
        if (trouble == CM_TROUBLE_CHANGED && cm_session_rehash(session, recipients, count)) {
            trouble = ask_once(session, &question, recipients, count, subjects, decisions, &err);
        }
    }
    if (trouble != CM_TROUBLE_NONE) {
        cm_warn_trouble(session->filter, trouble, &err);
    }
    size_t answer = 0;
    for (size_t i = 0; i < count; i++) {
        if (recipients[i].status != CM_RECIPIENT_OK) {
            out[i].decision = decision_of_unread(&recipients[i]);
        } else if (subjects == NULL || decisions == NULL) {
            out[i].decision = cm_decision_trouble(CM_TROUBLE_MEMORY);
        } else {
            out[i].decision = decisions[answer++];
        }
    }
}

/* The stream's view of a message before its recipients: undecided if the store must be asked. */
static struct cm_prospect prospect_of_message(const struct cm_session *session, size_t index, bool headers_known,
                                              bool *out_ask)
{
    const struct cm_stream *stream = &session->table->streams[index];
    static const struct cm_header no_headers;
    const struct cm_header *kept = session->headers != NULL ? session->headers : &no_headers;
    const struct cm_header *headers = headers_known ? kept : NULL;
    struct cm_prospect prospect = {.stream = index, .known = true, .observed = stream->mode == CM_MODE_OBSERVE};
    enum cm_purpose_status status = cm_stream_purpose(stream, cm_span_of(session->mail_from), headers,
                                                      session->header_count, prospect.purpose);
    *out_ask = false;
    if (stream->class == CM_CLASS_SERVICE && session->table->service_stops == 0) { /* LAW-2: asks the store nothing */
        prospect.decision = cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_SERVICE);
    } else if (status == CM_PURPOSE_FOUND) {
        *out_ask = true;
    } else if (status == CM_PURPOSE_NEEDS_HEADERS) {
        prospect.known = false;
    } else if (stream->class == CM_CLASS_SERVICE) { /* it names no purpose: the sender's stops count */
        *out_ask = cm_copy(prospect.purpose, sizeof(prospect.purpose), cm_span_of(stream->sender));
    } else {
        prospect.decision = cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_PURPOSE_UNKNOWN);
    }
    return prospect;
}

void cm_prospects_of_stream(struct cm_session *session, size_t index, bool headers_known,
                            struct cm_recipient *recipients, size_t count, struct cm_prospect *out)
{
    bool ask = false;
    struct cm_prospect prospect = prospect_of_message(session, index, headers_known, &ask);
    for (size_t i = 0; i < count; i++) {
        out[i] = prospect;
    }
    if (ask && count > 0) {
        ask_store(session, &session->table->streams[index], recipients, count, out);
    }
}

static bool marks_campaign(const struct cm_session *session)
{
    for (size_t i = 0; i < session->header_count; i++) {
        if (cm_header_marks_campaign(&session->headers[i])) {
            return true;
        }
    }
    return false;
}

bool cm_message_is_dishonest(const struct cm_session *session, size_t stream)
{
    return stream != CM_NO_STREAM && session->table->streams[stream].class == CM_CLASS_SERVICE &&
           session->table->service_honesty != CM_HONESTY_OFF && marks_campaign(session);
}

bool cm_message_may_have_fault(const struct cm_session *session, size_t stream)
{
    const struct cm_stream *of = &session->table->streams[stream];
    return of->class == CM_CLASS_SERVICE ? session->table->service_honesty == CM_HONESTY_REFUSE
                                         : of->list_id.count > 0 || of->from.count > 0;
}

bool cm_prospect_of_fault(const struct cm_session *session, size_t stream, struct cm_prospect *out)
{
    bool ask = false;
    enum cm_reason reason = CM_REASON_UNSET;
    struct cm_prospect prospect = prospect_of_message(session, stream, true, &ask);
    if (!cm_message_may_have_fault(session, stream)) {
        return false;
    }
    if (session->table->streams[stream].class == CM_CLASS_SERVICE) {
        reason = cm_message_is_dishonest(session, stream) ? CM_REASON_SERVICE_DISHONEST : CM_REASON_UNSET;
    } else if (ask && !cm_stream_agrees(&session->table->streams[stream], prospect.purpose, session->headers,
                                        session->header_count)) {
        reason = CM_REASON_CONTRADICTED;
    }
    prospect.decision = cm_decision_of(CM_VERDICT_REFUSE, reason);
    if (reason != CM_REASON_UNSET) {
        *out = prospect;
    }
    return reason != CM_REASON_UNSET;
}
