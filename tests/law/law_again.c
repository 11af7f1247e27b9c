/*
 * The law once more, written from DESIGN.md over the bare events and not over records, by other means than the
 * decision: the two must agree.
 */
#include "random_world.h"

/* The newest event of a kind for exactly this purpose, as the law has it; events of the family are other mailboxes'. */
static const struct cm_record *newest_exact(const struct world *w, enum cm_kind kind)
{
    const struct cm_record *newest = NULL;
    for (size_t i = 0; i < w->count; i++) {
        const struct cm_record *r = &w->events[i].record;
        if (w->events[i].field != WORLD_FAMILY && r->kind == kind && r->scope == WORLD_PURPOSE &&
            (newest == NULL || cm_record_supersedes(r, newest))) {
            newest = r;
        }
    }
    return newest;
}

/* True unless the same rank ended the same restriction later. */
static bool still_stands(const struct world *w, const struct cm_record *restriction)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct cm_record *r = &w->events[i].record;
        if (w->events[i].field != WORLD_EXACT && cm_record_same_key(r, restriction) && has_flag(r, CM_RECORD_ENDED) &&
            r->event_at > restriction->event_at) {
            return false;
        }
    }
    return true;
}

/* What is said against the purpose, over the bare events. */
struct against {
    bool absolutely;
    bool minor;
    bool asking; /* a complaint or a dead mailbox, which no request asks away */
    cm_ms until; /* only a grant newer than this re-opens; -1: nothing to re-open */
};

/* A newer stop of the same key takes a stop's place, and its state with it. */
static bool is_replaced(const struct world *w, const struct cm_record *stop)
{
    for (size_t i = 0; i < w->count; i++) {
        const struct cm_record *r = &w->events[i].record;
        if (w->events[i].field != WORLD_EXACT && cm_record_same_key(r, stop) && cm_record_supersedes(r, stop)) {
            return true;
        }
    }
    return false;
}

static struct against against_purpose(const struct world *w)
{
    struct against all = {.until = -1};
    for (size_t i = 0; i < w->count; i++) {
        const struct cm_record *r = &w->events[i].record;
        if (w->events[i].field == WORLD_EXACT || !cm_scope_path_covers(&world_path, r->scope) || !forbids(r)) {
            continue;
        }
        if (may_end(r->kind)) {
            bool is_minor = r->kind == CM_KIND_RESTRICTED && r->state == CM_STATE_MINOR;
            all.minor = all.minor || (is_minor && still_stands(w, r));
            all.absolutely = all.absolutely || (!is_minor && still_stands(w, r));
        } else if (r->kind != CM_KIND_BOUNCED || w->question.now < ((cm_ms)r->expiry_s + 1) * 1000) {
            bool is_complaint = r->kind == CM_KIND_STOP && r->state == CM_STATE_COMPLAINED;
            all.until = r->event_at > all.until ? r->event_at : all.until;
            all.asking = all.asking || ((is_complaint || r->kind == CM_KIND_BOUNCED) && !is_replaced(w, r));
        }
    }
    return all;
}

static int month_of(cm_ms at)
{
    char day[9];
    cm_time_day(at, day);
    return ((day[0] - '0') * 1000 + (day[1] - '0') * 100 + (day[2] - '0') * 10 + (day[3] - '0')) * 12 +
           (day[4] - '0') * 10 + (day[5] - '0');
}

/* LAW-7, LAW-9, LAW-14, and dormancy */
static bool is_in_force(const struct cm_record *r, unsigned bit, const struct cm_question *q)
{
    bool is_old = r->kind == CM_KIND_GRANT && (r->statement < q->statement_floor ||
                                               (q->dormancy.act == CM_DORMANCY_REFUSE &&
                                                month_of(q->now) - month_of(r->event_at) > (int)q->dormancy.months));
    return (q->accept_basis & bit) != 0 && r->event_at <= q->now && !is_old &&
           (r->expiry_s == 0 || q->now < ((cm_ms)r->expiry_s + 1) * 1000);
}

/* The law once more, said over the bare events: marketing may go out if and only if a basis that the stream accepts is
 * in force, and nothing is against it that this basis does not lift. LAW-5, LAW-15 */
enum outcome marketing_goes_out_as_the_law_says(const struct world *w)
{
    static const struct {
        enum cm_kind kind;
        unsigned bit;
    } bases[] = {{CM_KIND_GRANT, CM_BASIS_EXPRESS},
                 {CM_KIND_IMPLIED, CM_BASIS_IMPLIED},
                 {CM_KIND_SOFT_OPTIN, CM_BASIS_SOFT_OPTIN},
                 {CM_KIND_ASSERTED, CM_BASIS_ASSERTED}};
    struct against against = against_purpose(w);
    bool want = false;
    if (w->question.class != CM_CLASS_MARKETING) {
        return VACUOUS;
    }
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        const struct cm_record *r = newest_exact(w, bases[i].kind);
        if (r == NULL) {
            continue;
        }
        bool is_guardians = r->kind == CM_KIND_GRANT && has_flag(r, CM_RECORD_BY_GUARDIAN) &&
                            (r->rank == CM_RANK_SUBJECT || r->rank == CM_RANK_OFFICER || r->rank == CM_RANK_ADMIN);
        bool is_subjects = r->kind == CM_KIND_GRANT && r->rank == CM_RANK_SUBJECT && r->event_at > against.until;
        bool open = !against.absolutely && (!against.minor || is_guardians) && (against.until < 0 || is_subjects);
        want = want || (open && is_in_force(r, bases[i].bit, &w->question));
    }
    return holds_if(permits(ask(w)) == want);
}

/* LAW-14: asking needs a live request, newer than whatever it could answer, and nothing that no request asks away. */
enum outcome asking_goes_out_as_the_law_says(const struct world *w)
{
    struct against against = against_purpose(w);
    const struct cm_record *r = newest_exact(w, CM_KIND_REQUEST);
    if (w->question.class != CM_CLASS_CONSENT_REQUEST) {
        return VACUOUS;
    }
    bool want = r != NULL && r->event_at <= w->question.now && r->event_at > against.until && !against.absolutely &&
                !against.minor && !against.asking &&
                (r->expiry_s == 0 || w->question.now < ((cm_ms)r->expiry_s + 1) * 1000);
    return holds_if(permits(ask(w)) == want);
}
