#include "core/decision.h"

static bool has_lapsed(const struct cm_record *record, cm_ms now)
{
    /* LAW-7: a stored date, compared at the moment of decision. It permits up to and including its second. */
    return record->expiry_s != 0 && now / 1000 > (cm_ms)record->expiry_s;
}

/* What ends the effect of a stop, the hardest last. */
enum lifting {
    BY_SUBJECT,  /* the subject's own newer grant for the purpose. LAW-5 */
    BY_GUARDIAN, /* a guardian's grant for the purpose. LAW-15 */
    BY_ITS_RANK, /* the rank that set it ends it, no grant does. LAW-5 */
    LIFTINGS
};

/* One row a stop; the first that fits is meant. A kind's last row is for any state, so that no stop is without a row.
 */
static const struct stop_row {
    enum cm_kind kind;
    enum cm_state state; /* UNSET: any */
    bool lapses;
    enum lifting lifting;
    enum cm_reason reason;
} stop_rows[] = {
    {CM_KIND_STOP, CM_STATE_REFUSED, false, BY_SUBJECT, CM_REASON_REFUSED},
    {CM_KIND_STOP, CM_STATE_OBJECTED, false, BY_SUBJECT, CM_REASON_OBJECTED},
    {CM_KIND_STOP, CM_STATE_COMPLAINED, false, BY_SUBJECT, CM_REASON_COMPLAINED},
    {CM_KIND_STOP, CM_STATE_UNSET, false, BY_SUBJECT, CM_REASON_WITHDRAWN},
    {CM_KIND_BOUNCED, CM_STATE_UNSET, true, BY_SUBJECT, CM_REASON_BOUNCED}, /* LAW-7 */
    {CM_KIND_ERASED, CM_STATE_UNSET, false, BY_SUBJECT, CM_REASON_ERASED},
    {CM_KIND_RESTRICTED, CM_STATE_MINOR, false, BY_GUARDIAN, CM_REASON_MINOR},
    {CM_KIND_RESTRICTED, CM_STATE_DECEASED, false, BY_ITS_RANK, CM_REASON_DECEASED},
    {CM_KIND_RESTRICTED, CM_STATE_UNSET, false, BY_ITS_RANK, CM_REASON_RESTRICTED},
    {CM_KIND_SUSPENDED, CM_STATE_UNSET, false, BY_ITS_RANK, CM_REASON_SUSPENDED},
};

#define STOP_ROW_COUNT (sizeof(stop_rows) / sizeof(stop_rows[0]))

/* NULL for what is no stop. */
static const struct stop_row *stop_row_of(const struct cm_record *record)
{
    for (size_t i = 0; i < STOP_ROW_COUNT; i++) {
        if (stop_rows[i].kind == record->kind &&
            (stop_rows[i].state == CM_STATE_UNSET || (unsigned)stop_rows[i].state == record->state)) {
            return &stop_rows[i];
        }
    }
    return NULL;
}

/* The stops in force that cover the purpose: for each way to lift them the newest, or NULL. */
struct stops {
    const struct cm_record *newest[LIFTINGS];
};

static bool is_superseded(const struct cm_record *record, const struct cm_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (cm_record_same_key(&records[i], record) && cm_record_supersedes(&records[i], record)) {
            return true;
        }
    }
    return false;
}

/* The order in which stops name the reason; of equally new ones the higher kind does. */
static bool is_newer_stop(const struct cm_record *b, const struct cm_record *a)
{
    if (b->event_at == a->event_at && b->kind != a->kind) {
        return b->kind > a->kind;
    }
    return cm_record_supersedes(b, a);
}

#define BIT(reason) (1U << (unsigned)(reason))
#define EVERY_STOP (~0U)
/* What no request asks away, however new it is. */
#define NEVER_ASKED                                                                                          \
    (BIT(CM_REASON_COMPLAINED) | BIT(CM_REASON_BOUNCED) | BIT(CM_REASON_RESTRICTED) | BIT(CM_REASON_MINOR) | \
     BIT(CM_REASON_DECEASED) | BIT(CM_REASON_SUSPENDED))

/* Of the stops whose reason is in `reasons`. LAW-4: they go down the path; LAW-8: they bind the mailbox family. */
static struct stops find_stops(const struct cm_subject_records *records, const struct cm_question *question,
                               unsigned reasons)
{
    struct stops stops = {{NULL}};
    for (size_t i = 0; i < records->family_count; i++) {
        const struct cm_record *record = &records->family[i];
        const struct stop_row *row = stop_row_of(record);
        if (row == NULL || (BIT(row->reason) & reasons) == 0 || !cm_scope_path_covers(question->path, record->scope) ||
            (record->flags & CM_RECORD_ENDED) != 0 || (row->lapses && has_lapsed(record, question->now)) ||
            is_superseded(record, records->family, records->family_count)) {
            continue;
        }
        const struct cm_record **newest = &stops.newest[row->lifting];
        if (*newest == NULL || is_newer_stop(record, *newest)) {
            *newest = record;
        }
    }
    return stops;
}

/* The stop that names the reason, or NULL. */
static const struct cm_record *hardest(const struct stops *stops)
{
    for (size_t i = LIFTINGS; i-- > 0;) {
        if (stops->newest[i] != NULL) {
            return stops->newest[i];
        }
    }
    return NULL;
}

/* LAW-8: of this exact address, for exactly this purpose. */
static const struct cm_record *find_exact(const struct cm_subject_records *records, uint32_t scope, enum cm_kind kind)
{
    const struct cm_record *found = NULL;
    for (size_t i = 0; i < records->exact_count; i++) {
        const struct cm_record *record = &records->exact[i];
        if (record->scope == scope && record->kind == kind && (found == NULL || cm_record_supersedes(record, found))) {
            found = record;
        }
    }
    return found;
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

static struct cm_decision refused_by(const struct cm_record *stop)
{
    return decision_by(CM_VERDICT_REFUSE, stop_row_of(stop)->reason, stop);
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

/* True if more whole months than the purpose allows have passed since the grant, or since its last use. */
static bool is_dormant(const struct cm_record *grant, const struct cm_question *question)
{
    int64_t used = grant->last_use_month == 0 ? 0 : CM_LAST_USE_EPOCH + (int64_t)grant->last_use_month;
    int64_t given = cm_time_month(grant->event_at);
    int64_t idle = cm_time_month(question->now) - (used > given ? used : given);
    return question->dormancy.act != CM_DORMANCY_OFF && idle > (int64_t)question->dormancy.months;
}

/* Why this record of a basis does not permit, or UNSET if it does. */
static enum cm_reason fault_of(const struct cm_record *record, unsigned bit, const struct cm_question *question)
{
    bool is_express = record->kind == CM_KIND_GRANT;
    if ((question->accept_basis & bit) == 0) {
        return CM_REASON_BASIS_NOT_ACCEPTED;
    }
    if (record->event_at > question->now) {
        return CM_REASON_NOT_YET;
    }
    if (has_lapsed(record, question->now)) {
        return CM_REASON_LAPSED;
    }
    if (is_express && record->statement < question->statement_floor) {
        return CM_REASON_OLDER_STATEMENT; /* LAW-9 */
    }
    if (is_express && question->dormancy.act == CM_DORMANCY_REFUSE && is_dormant(record, question)) {
        return CM_REASON_DORMANT;
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
            struct cm_decision decision = decision_by(CM_VERDICT_ACCEPT, bases[i].reason, record);
            decision.dormant = record->kind == CM_KIND_GRANT && is_dormant(record, question);
            return decision;
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

/* The stop that keeps an express grant from counting, or NULL. LAW-5, LAW-15 */
static const struct cm_record *stop_of_express(const struct stops *stops, const struct cm_record *grant)
{
    const struct cm_record *reopenable = stops->newest[BY_SUBJECT];
    /* A guardian's consent is recorded by the subject's token or by staff; a sender's word lifts no stop. */
    bool by_guardian = grant != NULL && (grant->flags & CM_RECORD_BY_GUARDIAN) != 0 && grant->rank <= CM_RANK_ADMIN;
    bool by_subject = grant != NULL && grant->rank == CM_RANK_SUBJECT;
    if (stops->newest[BY_ITS_RANK] != NULL) {
        return stops->newest[BY_ITS_RANK];
    }
    if (stops->newest[BY_GUARDIAN] != NULL && !by_guardian) {
        return stops->newest[BY_GUARDIAN];
    }
    /* Only a grant newer than every stop of the path re-opens the purpose, so the newest of them is enough to ask. */
    return reopenable != NULL && by_subject && grant->event_at > reopenable->event_at ? NULL : reopenable;
}

/* A consent request may go out only while its request stands. A request newer than a stop asks anew; but nothing asks
 * away a complaint, a dead mailbox, or what only others may lift. LAW-3, LAW-14 */
static struct cm_decision decide_request(const struct cm_subject_records *records, const struct cm_question *question)
{
    struct stops never = find_stops(records, question, NEVER_ASKED);
    struct stops all = find_stops(records, question, EVERY_STOP);
    const struct cm_record *request = find_exact(records, question->path->ids[0], CM_KIND_REQUEST);
    const struct cm_record *stop = hardest(&never);
    if (stop == NULL &&
        (request == NULL || all.newest[BY_SUBJECT] == NULL || request->event_at <= all.newest[BY_SUBJECT]->event_at)) {
        stop = all.newest[BY_SUBJECT];
    }
    if (stop != NULL) {
        return refused_by(stop);
    }
    if (request == NULL || request->event_at > question->now) {
        return decision_by(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT, request);
    }
    if (has_lapsed(request, question->now)) {
        return decision_by(CM_VERDICT_REFUSE, CM_REASON_LAPSED, request);
    }
    return decision_by(CM_VERDICT_ACCEPT, CM_REASON_REQUEST, request);
}

/* LAW-8: a stop binds what it named; of service mail that is what the sender promised to heed. */
static struct cm_decision decide_service(const struct cm_subject_records *records, const struct cm_question *question)
{
    struct stops stops = find_stops(records, question, question->service_stops);
    const struct cm_record *stop = stop_of_express(&stops, find_exact(records, question->path->ids[0], CM_KIND_GRANT));
    return stop != NULL ? refused_by(stop) : cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_SERVICE);
}

struct cm_decision cm_decide(const struct cm_subject_records *records, const struct cm_question *question)
{
    if (question->class == CM_CLASS_CONSENT_REQUEST) {
        return decide_request(records, question);
    }
    if (question->class == CM_CLASS_SERVICE) {
        return decide_service(records, question);
    }
    struct stops stops = find_stops(records, question, EVERY_STOP);
    const struct cm_record *stop = stop_of_express(&stops, find_exact(records, question->path->ids[0], CM_KIND_GRANT));
    if (stop != NULL) {
        return refused_by(stop);
    }
    struct cm_decision decision = decide_by_bases(records, question);
    stop = hardest(&stops);
    if (stop != NULL && decision.verdict == CM_VERDICT_ACCEPT && decision.reason != CM_REASON_EXPRESS) {
        return refused_by(stop); /* LAW-5: a stop is lifted for the grant alone; no weak basis passes in its shadow */
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
