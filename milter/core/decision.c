#include "core/decision.h"

static bool has_lapsed(const struct cm_record *record, cm_ms now)
{
    /* LAW-7: a stored date, compared at the moment of decision. It permits up to and including its second. */
    return record->expiry_s != 0 && now / 1000 > (cm_ms)record->expiry_s;
}

static enum cm_reason stop_reason(unsigned state)
{
    switch ((enum cm_state)state) {
    case CM_STATE_REFUSED: return CM_REASON_REFUSED;
    case CM_STATE_WITHDRAWN: return CM_REASON_WITHDRAWN;
    case CM_STATE_OBJECTED: return CM_REASON_OBJECTED;
    case CM_STATE_COMPLAINED: return CM_REASON_COMPLAINED;
    case CM_STATE_UNSET: break;
    }
    return CM_REASON_WITHDRAWN; /* decoding lets no other state in; if it did, the stop would still be a stop */
}

/* The newest stop that covers the purpose, or NULL. LAW-4: stops go down the path; LAW-8: of the mailbox family. */
static const struct cm_record *newest_stop(const struct cm_subject_records *records, const struct cm_scope_path *path)
{
    const struct cm_record *newest = NULL;
    for (size_t i = 0; i < records->family_count; i++) {
        const struct cm_record *record = &records->family[i];
        if (!cm_kind_is_stop(record->kind) || !cm_scope_path_covers(path, record->scope)) {
            continue;
        }
        if (newest == NULL || cm_record_supersedes(record, newest)) {
            newest = record;
        }
    }
    return newest;
}

/* LAW-8: of this exact address, for exactly this purpose. */
static const struct cm_record *find_exact(const struct cm_subject_records *records, uint32_t scope, enum cm_kind kind)
{
    for (size_t i = 0; i < records->exact_count; i++) {
        if (records->exact[i].scope == scope && records->exact[i].kind == kind) {
            return &records->exact[i];
        }
    }
    return NULL;
}

static struct cm_decision decision_by(enum cm_verdict verdict, enum cm_reason reason, const struct cm_record *record)
{
    struct cm_decision decision = cm_decision_of(verdict, reason);
    if (record != NULL) {
        decision.has_record = true;
        decision.record = *record;
    }
    return decision;
}

/* What permits, in the order of their weight, and the bit that accept_basis needs for it. LAW-14 */
static const struct {
    enum cm_kind kind;
    unsigned bit;
    enum cm_reason reason;
} bases[] = {
    {CM_KIND_GRANT, CM_BASIS_EXPRESS, CM_REASON_EXPRESS},
    {CM_KIND_SOFT_OPTIN, CM_BASIS_SOFT_OPTIN, CM_REASON_SOFT_OPTIN},
    {CM_KIND_IMPLIED, CM_BASIS_IMPLIED, CM_REASON_IMPLIED},
    {CM_KIND_ASSERTED, CM_BASIS_ASSERTED, CM_REASON_ASSERTED},
};

#define BASIS_COUNT (sizeof(bases) / sizeof(bases[0]))

/* Why this record of a basis does not permit, or UNSET if it does. */
static enum cm_reason fault_of(const struct cm_record *record, unsigned bit, const struct cm_question *question)
{
    if ((question->accept_basis & bit) == 0) {
        return CM_REASON_BASIS_NOT_ACCEPTED;
    }
    if (record->event_at > question->now) {
        return CM_REASON_NOT_YET;
    }
    if (has_lapsed(record, question->now)) {
        return CM_REASON_LAPSED;
    }
    if (record->kind == CM_KIND_GRANT && record->statement < question->statement_floor) {
        return CM_REASON_OLDER_STATEMENT; /* LAW-9 */
    }
    return CM_REASON_UNSET;
}

/* The answer of the bases alone, no stop considered. */
static struct cm_decision decide_by_bases(const struct cm_subject_records *records, const struct cm_question *question)
{
    struct cm_decision refusal = cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT);
    for (size_t i = 0; i < BASIS_COUNT; i++) {
        const struct cm_record *record = find_exact(records, question->path->ids[0], bases[i].kind);
        if (record == NULL) {
            continue;
        }
        enum cm_reason fault = fault_of(record, bases[i].bit, question);
        if (fault == CM_REASON_UNSET) {
            return decision_by(CM_VERDICT_ACCEPT, bases[i].reason, record);
        }
        if (refusal.reason == CM_REASON_NO_CONSENT) {
            refusal = decision_by(CM_VERDICT_REFUSE, fault, record);
        }
    }
    const struct cm_record *request = find_exact(records, question->path->ids[0], CM_KIND_REQUEST);
    if (refusal.reason == CM_REASON_NO_CONSENT && request != NULL) {
        /* LAW-7: a request never permits marketing, and lapses. */
        bool lapsed = has_lapsed(request, question->now);
        return decision_by(CM_VERDICT_REFUSE, lapsed ? CM_REASON_LAPSED : CM_REASON_REQUEST_OPEN, request);
    }
    return refusal;
}

/* LAW-5: only a grant made by the subject, newer than every stop that covers the purpose, re-opens it. */
static bool is_reopened(const struct cm_subject_records *records, const struct cm_record *stop, uint32_t scope)
{
    const struct cm_record *grant = find_exact(records, scope, CM_KIND_GRANT);
    return grant != NULL && grant->rank == CM_RANK_SUBJECT && grant->event_at > stop->event_at;
}

/* A consent request may go out only while its request stands and is newer than every stop that covers the purpose. The
 * state of the stop must not count: a newer stop takes the place of a complaint in the same scope, and no stop may ever
 * permit more than the one before it. LAW-3, LAW-14 */
static struct cm_decision decide_request(const struct cm_subject_records *records, const struct cm_question *question)
{
    const struct cm_record *stop = newest_stop(records, question->path);
    const struct cm_record *request = find_exact(records, question->path->ids[0], CM_KIND_REQUEST);
    if (stop != NULL && (request == NULL || request->event_at <= stop->event_at)) {
        return decision_by(CM_VERDICT_REFUSE, stop_reason(stop->state), stop);
    }
    if (request == NULL || request->event_at > question->now) {
        return decision_by(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, request);
    }
    if (has_lapsed(request, question->now)) {
        return decision_by(CM_VERDICT_REFUSE, CM_REASON_LAPSED, request);
    }
    return decision_by(CM_VERDICT_ACCEPT, CM_REASON_REQUEST, request);
}

struct cm_decision cm_decide(const struct cm_subject_records *records, const struct cm_question *question)
{
    if (question->class == CM_CLASS_CONSENT_REQUEST) {
        return decide_request(records, question);
    }
    const struct cm_record *stop = newest_stop(records, question->path);
    if (stop != NULL && !is_reopened(records, stop, question->path->ids[0])) {
        return decision_by(CM_VERDICT_REFUSE, stop_reason(stop->state), stop);
    }
    struct cm_decision decision = decide_by_bases(records, question);
    if (stop != NULL && decision.verdict == CM_VERDICT_ACCEPT && decision.reason != CM_REASON_EXPRESS) {
        /* LAW-5: the stop is lifted for the subject's own grant alone; no weak basis passes in its shadow. */
        return decision_by(CM_VERDICT_REFUSE, stop_reason(stop->state), stop);
    }
    return decision;
}

struct cm_decision cm_decision_of(enum cm_verdict verdict, enum cm_reason reason)
{
    return (struct cm_decision){.verdict = verdict, .reason = reason, .trouble = CM_TROUBLE_NONE};
}

struct cm_decision cm_decision_trouble(enum cm_trouble trouble)
{
    return (struct cm_decision){.verdict = CM_VERDICT_DEFER, .reason = CM_REASON_TROUBLE, .trouble = trouble};
}
