#include "world.h"

#include <assert.h>

const struct cm_scope_path world_path = {
    {WORLD_PURPOSE, WORLD_PARENT, WORLD_AREA, WORLD_TOP, WORLD_SENDER, WORLD_EVERYBODY}, 6};

const char *const world_flags[3] = {"evidence", "guardian", "ended"};

static void fold_into(struct cm_record *records, size_t *count, const struct cm_record *event)
{
    for (size_t i = 0; i < *count; i++) {
        if (cm_record_same_key(&records[i], event)) {
            if (cm_record_supersedes(event, &records[i])) {
                records[i] = *event;
            }
            return;
        }
    }
    assert(*count < WORLD_EVENTS_MAX);
    records[(*count)++] = *event;
}

void world_fold(struct world_records *out, const struct world_event *event)
{
    if (event->field != WORLD_FAMILY) {
        fold_into(out->exact, &out->exact_count, &event->record);
    }
    if (event->field != WORLD_EXACT) {
        fold_into(out->family, &out->family_count, &event->record);
    }
}

struct cm_decision world_ask(const struct world_records *records, const struct cm_question *question)
{
    struct cm_subject_records subject = {records->exact, records->exact_count, records->family, records->family_count};
    return cm_decide(&subject, question);
}

const char *world_scope_name(uint32_t scope)
{
    switch ((enum world_scope)scope) {
    case WORLD_EVERYBODY: return "everybody";
    case WORLD_SENDER: return "sender";
    case WORLD_OTHER_SENDER: return "other_sender";
    case WORLD_TOP: return "top";
    case WORLD_AREA: return "area";
    case WORLD_PARENT: return "parent";
    case WORLD_COUSIN: return "cousin";
    case WORLD_PURPOSE: return "purpose";
    case WORLD_SIBLING: return "sibling";
    case WORLD_CHILD: return "child";
    case WORLD_GRANDCHILD: return "grandchild";
    case WORLD_OTHER_SENDERS_PURPOSE: return "other_senders_purpose";
    }
    return NULL;
}

void world_print_event(FILE *to, const struct world_event *event)
{
    static const char *const fields[] = {"", "exact:", "family:"};
    const struct cm_record *r = &event->record;
    (void)fprintf(to, "%s%s.%s@%s t=%lld.%03lld by=%s", fields[event->field], cm_kind_name(r->kind),
                  cm_state_name(r->kind, r->state), world_scope_name(r->scope), (long long)(r->event_at / 1000),
                  (long long)(r->event_at % 1000), cm_rank_name(r->rank));
    if (r->expiry_s != 0) {
        (void)fprintf(to, " expiry=%u", (unsigned)r->expiry_s);
    }
    if (r->statement != 0) {
        (void)fprintf(to, " statement=%u", (unsigned)r->statement);
    }
    if (r->source != CM_SOURCE_UNSET) {
        (void)fprintf(to, " source=%s", cm_source_name(r->source));
    }
    if (r->last_use_month != 0) {
        unsigned month = CM_LAST_USE_EPOCH + r->last_use_month;
        (void)fprintf(to, " used=%04u-%02u", 1970 + month / 12, month % 12 + 1);
    }
    for (size_t i = 0; i < sizeof(world_flags) / sizeof(world_flags[0]); i++) {
        (void)fprintf(to, "%s%s", (r->flags & 1U << i) != 0 ? " " : "",
                      (r->flags & 1U << i) != 0 ? world_flags[i] : "");
    }
}

void world_print_question(FILE *to, const struct cm_question *q)
{
    static const char *const acts[] = {"off", "warn", "refuse"};
    (void)fprintf(to, "class=%s accept=0x%x floor=%u dormancy=%s:%u now=%lld.%03lld",
                  q->class == CM_CLASS_CONSENT_REQUEST ? "consent_request" : "marketing", q->accept_basis,
                  (unsigned)q->statement_floor, acts[q->dormancy.act], q->dormancy.months, (long long)(q->now / 1000),
                  (long long)(q->now % 1000));
}
