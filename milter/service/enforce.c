#include "service/enforce.h"

#include <string.h>

#include "base/clock.h"

/* Dormancy asks when a grant was last used; once a month it is told. */
static void mark_use(struct cm_decision *decision, cm_ms now)
{
    int64_t month = cm_time_month(now) - CM_LAST_USE_EPOCH;
    bool by_grant = decision->verdict == CM_VERDICT_ACCEPT && decision->reason == CM_REASON_EXPRESS;
    if (by_grant && month > (int64_t)decision->record.last_use_month && month <= UINT8_MAX) {
        decision->use_month = (uint8_t)month;
    }
}

/* Service mail of a stream that names no purpose is the sender's: stops for the sender and for everybody cover it. */
static struct cm_decision decide_by_sender(const struct cm_registry *registry, const struct cm_subject_records *records,
                                           const struct cm_enforce_question *question, cm_ms now)
{
    const struct cm_registry_sender *sender = cm_registry_sender(registry, cm_span_of(question->purpose));
    if (sender == NULL) {
        return cm_decision_of(CM_VERDICT_DEFER, CM_REASON_CONFIGURATION);
    }
    const struct cm_scope_path path = {.ids = {sender->id, CM_SCOPE_EVERYBODY}, .count = 2};
    struct cm_question law = {
        .path = &path, .class = question->class, .service_stops = question->service_stops, .now = now};
    return cm_decide(records, &law);
}

struct cm_decision cm_enforce_records(const struct cm_registry *registry, const struct cm_subject_records *records,
                                      const struct cm_enforce_question *question, cm_ms now, uint16_t *out_floor)
{
    bool is_service = question->class == CM_CLASS_SERVICE;
    if (is_service && strchr(question->purpose, '/') == NULL) {
        return decide_by_sender(registry, records, question, now);
    }
    const struct cm_registry_purpose *purpose = cm_registry_purpose(registry, cm_span_of(question->purpose));
    if (purpose == NULL) {
        return question->purpose_is_fixed ? cm_decision_of(CM_VERDICT_DEFER, CM_REASON_CONFIGURATION)
                                          : cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_PURPOSE_UNKNOWN);
    }
    if (purpose->halted && !is_service) {
        return cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_HALTED);
    }
    if (purpose->retired && !is_service) {
        return cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_PURPOSE_RETIRED);
    }
    struct cm_question law = {
        .path = &purpose->scopes,
        .class = question->class,
        .accept_basis = question->accept_basis,
        .service_stops = question->service_stops,
        .statement_floor = cm_statement_floor(purpose->statements, purpose->statement_count, now),
        .dormancy = purpose->dormancy,
        .now = now,
    };
    *out_floor = law.statement_floor;
    struct cm_decision decision = cm_decide(records, &law);
    if (decision.verdict == CM_VERDICT_REFUSE && decision.reason == CM_REASON_NOT_YET) {
        /* No function dates a grant ahead of the server's clock (LAW-3), so that clock went back: don't know. */
        return cm_decision_trouble(CM_TROUBLE_CLOCK);
    }
    if (purpose->dormancy.act != CM_DORMANCY_OFF) {
        mark_use(&decision, now);
    }
    return decision;
}

/* LAW-2 */
static void defer_all(enum cm_trouble trouble, size_t count, struct cm_decision *out)
{
    for (size_t i = 0; i < count; i++) {
        out[i] = cm_decision_trouble(trouble);
    }
}

static enum cm_trouble enforce_batch(struct cm_store *store, const struct cm_subject *subjects, size_t subject_count,
                                     const struct cm_enforce_question *questions, size_t question_count,
                                     struct cm_arena *arena, struct cm_decision *out,
                                     struct cm_enforce_context *context, struct cm_err *err)
{
    struct cm_lookup lookup;
    struct cm_subject_records *records = cm_arena_array(arena, subject_count, sizeof(*records));
    enum cm_trouble trouble = CM_TROUBLE_MEMORY;
    if (records == NULL) {
        cm_err_set(err, "out of memory for %zu recipients", subject_count);
    } else {
        trouble = cm_store_lookup(store, subjects, subject_count, arena, records, &lookup, err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        defer_all(trouble, subject_count * question_count, out);
        return trouble;
    }
    context->now = context->at != 0 ? context->at : lookup.now;
    for (size_t s = 0; s < subject_count; s++) {
        for (size_t q = 0; q < question_count; q++) {
            out[s * question_count + q] = cm_enforce_records(lookup.registry, &records[s], &questions[q], context->now,
                                                             &context->statement_floor);
        }
    }
    cm_registry_unref(lookup.registry);
    return CM_TROUBLE_NONE;
}

enum cm_trouble cm_enforce(struct cm_store *store, const struct cm_subject *subjects, size_t subject_count,
                           const struct cm_enforce_question *questions, size_t question_count, struct cm_arena *arena,
                           struct cm_decision *out, struct cm_enforce_context *context, struct cm_err *err)
{
    struct cm_enforce_context unused = {0};
    enum cm_trouble worst = CM_TROUBLE_NONE;
    context = context != NULL ? context : &unused;
    for (size_t from = 0; from < subject_count; from += CM_LIMIT_LOOKUP_BATCH) {
        size_t count = subject_count - from < CM_LIMIT_LOOKUP_BATCH ? subject_count - from : CM_LIMIT_LOOKUP_BATCH;
        struct cm_decision *answers = out + from * question_count;
        enum cm_trouble trouble = CM_TROUBLE_TIMEOUT;
        if (context->deadline_ms != 0 && cm_clock_monotonic_ms() >= context->deadline_ms) {
            cm_err_set(err, "no time is left to ask about %zu of %zu recipients", subject_count - from, subject_count);
            defer_all(trouble, (subject_count - from) * question_count, answers);
            return trouble;
        }
        trouble = enforce_batch(store, subjects + from, count, questions, question_count, arena, answers, context, err);
        worst = trouble != CM_TROUBLE_NONE ? trouble : worst;
    }
    return worst;
}
