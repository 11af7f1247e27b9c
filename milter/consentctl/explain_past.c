/* explain ID --rcpt: nothing is kept of an acceptance, but the ledger tells what stood when it was made. */
#include <stdlib.h>
#include <string.h>

#include "core/fold.h"
#include "explain.h"
#include "ledger.h"
#include "store/ledger.h"

#define FOLDS (2 * CM_PEPPERS_READABLE) /* exact and family under each pepper */

/* The records under one field as they were. */
struct side {
    uint16_t bucket;
    uint8_t field[CM_FIELD_BYTES];
    struct cm_fold fold;
    struct cm_record records[CM_LIMIT_RECORDS];
};

struct past {
    const struct context *context;
    const struct cm_registry *registry;
    cm_ms at;
    struct side *sides; /* FOLDS */
    size_t side_count;
    size_t events;
    size_t later;
    bool failed;
};

static bool is_below(void *opaque, uint32_t scope, uint32_t above)
{
    const struct past *past = opaque;
    size_t count = cm_registry_below(past->registry, above, NULL, 0);
    uint32_t *below = calloc(count + 1, sizeof(*below));
    bool found = false;
    count = below != NULL ? cm_registry_below(past->registry, above, below, count) : 0;
    for (size_t i = 0; i < count && !found; i++) {
        found = below[i] == scope;
    }
    free(below);
    return found;
}

/* The side of this field, made if there is none; NULL: there is no room. */
static struct side *side_of(struct past *past, uint16_t bucket, const uint8_t field[CM_FIELD_BYTES])
{
    for (size_t i = 0; i < past->side_count; i++) {
        struct side *side = &past->sides[i];
        if (side->bucket == bucket && memcmp(side->field, field, CM_FIELD_BYTES) == 0) {
            return side;
        }
    }
    if (past->side_count == FOLDS) {
        return NULL;
    }
    struct side *side = &past->sides[past->side_count++];
    side->bucket = bucket;
    memcpy(side->field, field, CM_FIELD_BYTES);
    side->fold = (struct cm_fold){.records = side->records, .size = CM_LIMIT_RECORDS};
    return side;
}

static bool take_event(void *opaque, const struct cm_ledger_entry *entry)
{
    struct past *past = opaque;
    const struct cm_event *event = &entry->event;
    if ((cm_ms)(entry->id >> 16) > past->at) {
        past->later++;
        return true;
    }
    struct side *side = side_of(past, event->bucket, event->field);
    past->failed = side == NULL || !cm_fold_apply(&side->fold, event, entry->id, is_below, past);
    past->events++;
    if (!past->failed) {
        char recorded[CM_TIME_TEXT_BYTES];
        char scope[160];
        cm_time_format((cm_ms)(entry->id >> 16), recorded);
        cm_registry_scope_name(past->registry, event->record.scope, scope);
        cm_ctl_say(past->context, "  %s %s: %s %s %s, %s, statement %u", recorded, cm_act_name(event->act), scope,
                   cm_kind_name(event->record.kind), cm_state_name(event->record.kind, event->record.state),
                   cm_outcome_name(event->outcome), event->record.statement);
    }
    return !past->failed;
}

/* Adds what stood at one place, unless it had moved on. */
static void add_side(const struct past *past, uint16_t bucket, const uint8_t field[CM_FIELD_BYTES],
                     struct cm_record *records, size_t *count)
{
    for (size_t i = 0; i < past->side_count; i++) {
        const struct side *side = &past->sides[i];
        if (side->bucket != bucket || memcmp(side->field, field, CM_FIELD_BYTES) != 0 || side->fold.count == 0 ||
            side->records[0].kind == CM_KIND_FORWARD) {
            continue;
        }
        memcpy(records + *count, side->records, side->fold.count * sizeof(*records));
        *count += side->fold.count;
    }
}

static struct cm_decision decide(const struct past *past, const struct cm_subject *subject,
                                 const struct cm_enforce_question *question, uint16_t *out_floor)
{
    struct cm_subject_place places[CM_PEPPERS_READABLE];
    size_t place_count = cm_subject_places(subject, places);
    struct cm_record *records = calloc((size_t)FOLDS * CM_LIMIT_RECORDS, sizeof(*records));
    if (records == NULL) {
        return cm_decision_trouble(CM_TROUBLE_MEMORY);
    }
    struct cm_subject_records all = {.exact = records};
    for (size_t i = 0; i < place_count; i++) {
        add_side(past, places[i].bucket, places[i].exact, records, &all.exact_count);
    }
    all.family = records;
    all.family_count = all.exact_count;
    if (cm_subject_has_family(subject)) {
        struct cm_record *family = records + (size_t)CM_PEPPERS_READABLE * CM_LIMIT_RECORDS;
        all.family = family;
        all.family_count = 0;
        for (size_t i = 0; i < place_count; i++) {
            add_side(past, places[i].bucket, places[i].family, family, &all.family_count);
        }
    }
    struct cm_decision decision = cm_enforce_records(past->registry, &all, question, past->at, out_floor);
    free(records);
    return decision;
}

/* What the command line asks about; the purpose is borrowed. False after printing. */
static bool read_question(const struct context *context, char purpose[CM_LIMIT_PURPOSE_BYTES + 1],
                          struct cm_enforce_question *out)
{
    const struct options *options = context->options;
    const struct cm_stream_table *table = &context->settings->streams;
    const struct cm_stream *stream = options->stream != NULL ? cm_ctl_find_stream(context->settings, options->stream)
                                                             : NULL;
    if (options->stream != NULL && stream == NULL) {
        (void)cm_ctl_fail(EX_DATAERR, "there is no stream %s in %s", options->stream, context->settings->file);
        return false;
    }
    if (options->purpose != NULL) {
        if (!cm_copy(purpose, CM_LIMIT_PURPOSE_BYTES + 1, cm_span_of(options->purpose))) {
            (void)cm_ctl_fail(EX_DATAERR, "that is no purpose: it is too long");
            return false;
        }
    } else if (stream == NULL) {
        (void)cm_ctl_fail(EX_USAGE, "say which purpose: --stream NAME or --purpose SENDER/PURPOSE");
        return false;
    } else if (cm_stream_purpose(stream, CM_SPAN(""), NULL, 0, purpose) != CM_PURPOSE_FOUND) {
        (void)cm_ctl_fail(EX_DATAERR, "stream %s takes its purpose from each message: say which with --purpose",
                          stream->name);
        return false;
    }
    *out = stream != NULL ? cm_ctl_question_of(table, stream, purpose)
                          : (struct cm_enforce_question){
                                .purpose = purpose, .class = CM_CLASS_MARKETING, .accept_basis = CM_BASIS_EXPRESS};
    return true;
}

/* Reads the ledger up to the decision; EX_OK, or the code after printing. */
static int read_past(struct context *context, const struct cm_subject *subject, struct past *past)
{
    struct ledger_site where;
    struct cm_err err;
    if (!cm_ctl_archive_site(context, false, &where, &err)) {
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    struct cm_past archive = cm_archive_past(&where.site, false);
    enum cm_trouble trouble = cm_store_history(context->store, &archive, subject, take_event, past, &err);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    return past->failed ? cm_ctl_fail(EX_SOFTWARE, "the ledger holds more records of this subject than there may be")
                        : EX_OK;
}

/* That the id is of this address is as likely as its partition tells: one in 1024 others fits as well. */
static bool fits(const struct cm_subject *subject, const struct cm_decision_id *id)
{
    struct cm_subject_place places[CM_PEPPERS_READABLE];
    size_t count = cm_subject_places(subject, places);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        found = found || places[i].partition == id->partition;
    }
    return found;
}

static int derive(struct context *context, const struct cm_subject *subject, struct past *past)
{
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1] = "";
    char at[CM_TIME_TEXT_BYTES];
    struct cm_enforce_question question;
    uint16_t floor = 0;
    if (!read_question(context, purpose, &question)) {
        return EX_DATAERR;
    }
    cm_time_format(past->at, at);
    cm_ctl_say(context, "decision %s, made at %s by daemon's clock; the events of the address up to then:",
               context->options->words[0], at);
    int code = read_past(context, subject, past);
    if (code != EX_OK) {
        return code;
    }
    struct cm_decision decision = decide(past, subject, &question, &floor);
    cm_ctl_say(context, "%zu events, and %zu since. Derived again from the ledger, for purpose %s:", past->events,
               past->later, purpose);
    cm_ctl_say_decision(context, &decision, floor);
    cm_ctl_say(context, "Not derived: registry, halts and configuration are those of now, and when a grant was last "
                        "used is not in the ledger");
    cm_ctl_emit(context,
                json_pack("{s:s, s:s, s:b, s:s, s:s, s:s, s:i, s:i, s:i}", "id", context->options->words[0], "at", at,
                          "derived", 1, "purpose", purpose, "verdict", cm_verdict_name(decision.verdict), "reason",
                          cm_reason_name(decision.reason), "law", (int)cm_reason_law(decision.reason), "events",
                          (int)past->events, "later", (int)past->later));
    return EX_OK;
}

size_t cm_ctl_explain_seen(struct context *context, const struct cm_subject *subject, cm_ms at)
{
    struct past past = {.context = context, .at = at};
    past.sides = calloc(FOLDS, sizeof(*past.sides));
    cm_ctl_say(context, "  the events of the subject up to then:");
    if (past.sides != NULL && cm_ctl_read_registry(context, &past.registry) == EX_OK) {
        (void)read_past(context, subject, &past); /* it says what is wrong; the refusal itself is told */
        cm_ctl_say(context, "  %zu, and %zu since", past.events, past.later);
    }
    free(past.sides);
    cm_registry_unref(past.registry);
    return past.events;
}

int cm_ctl_explain_past(struct context *context, const struct cm_decision_id *id)
{
    struct cm_address address;
    struct cm_subject subject;
    struct past past = {.context = context, .at = id->at};
    int code = cm_ctl_read_subject(context, context->options->rcpt.items[0], &address, &subject);
    if (code == EX_OK && !fits(&subject, id)) {
        code = cm_ctl_fail(EX_DATAERR, "decision %s was not about this address: their partitions differ",
                           context->options->words[0]);
    }
    if (code == EX_OK) {
        code = cm_ctl_read_registry(context, &past.registry);
    }
    if (code != EX_OK) {
        return code;
    }
    past.sides = calloc(FOLDS, sizeof(*past.sides));
    code = past.sides != NULL ? derive(context, &subject, &past) : cm_ctl_fail(EX_OSERR, "out of memory");
    free(past.sides);
    cm_registry_unref(past.registry);
    return code;
}
