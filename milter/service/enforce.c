#include "service/enforce.h"

/* Dormancy asks when a grant was last used; once a month it is told. */
static void mark_use(struct cm_decision *decision, cm_ms now)
{
    int64_t month = cm_time_month(now) - CM_LAST_USE_EPOCH;
    bool by_grant = decision->verdict == CM_VERDICT_ACCEPT && decision->reason == CM_REASON_EXPRESS;
    if (by_grant && month > (int64_t)decision->record.last_use_month && month <= UINT8_MAX) {
        decision->use_month = (uint8_t)month;
    }
}

static struct cm_decision decide_one(const struct cm_registry *registry, const struct cm_subject_records *records,
                                     const struct cm_enforce_question *question, cm_ms now, uint16_t *out_floor)
{
    const struct cm_registry_purpose *purpose = cm_registry_purpose(registry, cm_span_of(question->purpose));
    if (purpose == NULL) {
        return question->purpose_is_fixed ? cm_decision_of(CM_VERDICT_DEFER, CM_REASON_CONFIGURATION)
                                          : cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_PURPOSE_UNKNOWN);
    }
    if (purpose->retired) {
        return cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_PURPOSE_RETIRED);
    }
    struct cm_question law = {
        .path = &purpose->scopes,
        .class = question->class,
        .accept_basis = question->accept_basis,
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
        for (size_t i = 0; i < subject_count * question_count; i++) {
            out[i] = cm_decision_trouble(trouble); /* LAW-2 */
        }
        return trouble;
    }
    context->now = context->at != 0 ? context->at : lookup.now;
    for (size_t s = 0; s < subject_count; s++) {
        for (size_t q = 0; q < question_count; q++) {
            out[s * question_count + q] = decide_one(lookup.registry, &records[s], &questions[q], context->now,
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
    for (size_t from = 0; from < subject_count; from += CM_LIMIT_LOOKUP_BATCH) {
        size_t count = subject_count - from < CM_LIMIT_LOOKUP_BATCH ? subject_count - from : CM_LIMIT_LOOKUP_BATCH;
        enum cm_trouble trouble = enforce_batch(store, subjects + from, count, questions, question_count, arena,
                                                out + from * question_count, context != NULL ? context : &unused, err);
        worst = trouble != CM_TROUBLE_NONE ? trouble : worst;
    }
    return worst;
}
