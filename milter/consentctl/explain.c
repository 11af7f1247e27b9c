/* explain, stats. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consentctl.h"
#include "store/ledger.h"

#define COUNTS_MAX 512

/* The reason behind a word of the log. */
static enum cm_reason reason_by_name(const char *name)
{
    for (unsigned i = 0; name != NULL && i < CM_REASON_COUNT; i++) {
        if (strcmp(name, cm_reason_name((enum cm_reason)i)) == 0) {
            return (enum cm_reason)i;
        }
    }
    return CM_REASON_UNSET;
}

static void print_fields(const struct context *context, json_t *object, const char *prefix)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (json_is_object(value)) {
            print_fields(context, value, name);
        } else if (json_is_string(value) && json_string_length(value) > 0) {
            cm_ctl_say(context, "  %s%s%s: %s", prefix, prefix[0] != '\0' ? " " : "", name, json_string_value(value));
        } else if (json_is_integer(value)) {
            cm_ctl_say(context, "  %s%s%s: %lld", prefix, prefix[0] != '\0' ? " " : "", name,
                       (long long)json_integer_value(value));
        }
    }
}

static int explain_id(struct context *context)
{
    const char *id = context->options->words[0];
    char text[1024];
    bool found = false;
    struct cm_err err;
    struct cm_decision_id parts;
    if (!cm_decision_id_parse(cm_span_of(id), &parts)) {
        return cm_ctl_fail(EX_DATAERR,
                           "%s is not a decision id: 26 characters of a-z and 2-7, as in the reply and the log", id);
    }
    enum cm_trouble trouble = cm_store_find_refusal(context->store, cm_span_of(id), text, sizeof(text), &found, &err);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    json_t *refusal = found ? json_loads(text, 0, NULL) : NULL;
    if (refusal == NULL) {
        char at[CM_TIME_TEXT_BYTES];
        cm_time_format(parts.at, at);
        return cm_ctl_fail(EX_DATAERR,
                           "no refusal %s is kept (decided at %s). Refusals are written within a second; deferrals and "
                           "acceptances are in the log only",
                           id, at);
    }
    cm_ctl_say(context, "decision %s", id);
    print_fields(context, refusal, "");
    cm_ctl_say(context, "  explanation: %s",
               cm_reason_explanation(reason_by_name(json_string_value(json_object_get(refusal, "reason")))));
    (void)json_object_set_new(refusal, "id", json_string(id));
    cm_ctl_emit(context, refusal);
    return EX_OK;
}

static const struct cm_stream *find_stream(const struct cm_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->streams.count; i++) {
        if (strcmp(settings->streams.streams[i].name, name) == 0) {
            return &settings->streams.streams[i];
        }
    }
    return NULL;
}

/* Tries one recipient on one stream, by the same decision as the filter's. */
static int explain_recipient(struct context *context)
{
    const struct options *options = context->options;
    struct cm_address address;
    struct cm_subject subject;
    struct cm_arena arena;
    struct cm_decision decision = {0};
    struct cm_enforce_context when = {0};
    struct cm_err err = {{0}};
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1];
    char key[CM_SUBJECT_TEXT_BYTES];
    const struct cm_stream *stream = find_stream(context->settings, options->stream);
    if (stream == NULL) {
        return cm_ctl_fail(EX_DATAERR, "there is no stream %s in %s", options->stream, context->settings->file);
    }
    int code = cm_ctl_read_subject(context, options->rcpt, &address, &subject);
    if (code != EX_OK) {
        return code;
    }
    cm_subject_format(&subject, key);
    cm_ctl_say(context, "address %s, mailbox family %s, subject %s", address.exact, address.family, key);
    if (stream->class == CM_CLASS_SERVICE) {
        decision = cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_SERVICE);
        purpose[0] = '\0';
    } else if (cm_stream_purpose(stream, CM_SPAN(""), NULL, 0, purpose) != CM_PURPOSE_FOUND) {
        return cm_ctl_fail(EX_DATAERR,
                           "stream %s takes its purpose from each message: use `consentctl check` with a purpose",
                           stream->name);
    } else {
        struct cm_enforce_question question = {
            .purpose = purpose, .class = stream->class, .accept_basis = stream->accept_basis, .purpose_is_fixed = true};
        cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
        (void)cm_enforce(context->store, &subject, 1, &question, 1, &arena, &decision, &when,
                         &err); /* the decision says it */
        cm_arena_done(&arena);
    }
    cm_ctl_say(context, "stream %s, purpose %s, mode %s", stream->name, purpose[0] != '\0' ? purpose : "-",
               stream->mode == CM_MODE_OBSERVE ? "observe" : "enforce");
    cm_ctl_say(context, "verdict %s, reason %s: %s", cm_verdict_name(decision.verdict), cm_reason_name(decision.reason),
               cm_reason_explanation(decision.reason));
    if (decision.has_record) {
        char at[CM_TIME_TEXT_BYTES];
        cm_time_format(decision.record.event_at, at);
        cm_ctl_say(context, "decided by record: %s %s of scope %u, dated %s, statement %u (oldest permitted %u)",
                   cm_kind_name(decision.record.kind), cm_state_name(decision.record.kind, decision.record.state),
                   decision.record.scope, at, decision.record.statement, when.statement_floor);
    }
    cm_ctl_emit(context,
                json_pack("{s:s, s:s, s:s, s:s, s:s}", "subject", key, "stream", stream->name, "purpose", purpose,
                          "verdict", cm_verdict_name(decision.verdict), "reason", cm_reason_name(decision.reason)));
    return decision.reason == CM_REASON_TROUBLE ? cm_ctl_fail_trouble(decision.trouble, &err) : EX_OK;
}

int cm_ctl_explain(struct context *context)
{
    const struct options *options = context->options;
    if (options->word_count == 1 && options->rcpt == NULL && options->stream == NULL) {
        return explain_id(context);
    }
    if (options->word_count == 0 && options->rcpt != NULL && options->stream != NULL) {
        return explain_recipient(context);
    }
    return cm_ctl_fail(EX_USAGE, "explain takes DECISION-ID, or --rcpt ADDRESS --stream NAME");
}

struct counts {
    struct {
        char name[160];
        uint64_t count;
    } rows[COUNTS_MAX];
    size_t count;
    bool overflow;
};

static void add_count(void *opaque, struct cm_span name, uint64_t count)
{
    struct counts *counts = opaque;
    for (size_t i = 0; i < counts->count; i++) {
        if (cm_span_equal(name, cm_span_of(counts->rows[i].name))) {
            counts->rows[i].count += count;
            return;
        }
    }
    if (counts->count == COUNTS_MAX) {
        counts->overflow = true;
        return;
    }
    (void)cm_copy(counts->rows[counts->count].name, sizeof(counts->rows[0].name), name); /* names of ours fit */
    counts->rows[counts->count++].count = count;
}

/* "SCOPE:KIND:STATE" as words. */
static void name_record_count(const struct cm_registry *registry, const char *name, char out[224])
{
    uint64_t scope = 0;
    uint64_t kind = 0;
    uint64_t state = 0;
    char scope_name[160];
    struct cm_text text = cm_text_over(out, 224);
    struct cm_span rest = cm_span_of(name);
    struct cm_span part;
    if (!cm_span_next(&rest, ':', &part) || !cm_parse_u64(part, UINT32_MAX, &scope) ||
        !cm_span_next(&rest, ':', &part) || !cm_parse_u64(part, 15, &kind) || !cm_parse_u64(rest, 15, &state) ||
        cm_state_name((enum cm_kind)kind, (unsigned)state) == NULL) {
        cm_text_add_str(&text, name); /* "events", or a stream's decisions */
        return;
    }
    cm_registry_scope_name(registry, (uint32_t)scope, scope_name);
    cm_text_add_format(&text, "%s:%s:%s", scope_name, cm_kind_name((enum cm_kind)kind),
                       cm_state_name((enum cm_kind)kind, (unsigned)state));
}

static void print_counts(const struct context *context, const struct cm_registry *registry, const struct counts *counts,
                         const char *what)
{
    json_t *object = json_object();
    cm_ctl_say(context, "%s", what);
    for (size_t i = 0; i < counts->count; i++) {
        char name[224];
        if (strcmp(counts->rows[i].name, "newest_grant") == 0) {
            continue; /* a date, kept beside the counters */
        }
        name_record_count(registry, counts->rows[i].name, name);
        cm_ctl_say(context, "  %-48s %12llu", name, (unsigned long long)counts->rows[i].count);
        (void)json_object_set_new(object, name, json_integer((json_int_t)counts->rows[i].count));
    }
    if (counts->overflow) {
        cm_ctl_say(context, "  (more than %d counters; the rest is not shown)", COUNTS_MAX);
    }
    cm_ctl_emit(context, json_pack("{s:o}", what, object));
}

/* Both kinds of counters; `records` and `decisions` are zeroed. */
static int print_stats(struct context *context, struct counts *records, struct counts *decisions)
{
    struct cm_err err;
    const struct cm_registry *registry = NULL;
    char today[9];
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    cm_time_day((cm_ms)time(NULL) * 1000, today);
    enum cm_trouble trouble = cm_store_record_counts(context->store, add_count, records, &err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_day_counts(context->store, today, add_count, decisions, &err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        print_counts(context, registry, records, "records");
        print_counts(context, registry, decisions, "decisions today");
    } else {
        code = cm_ctl_fail_trouble(trouble, &err);
    }
    cm_registry_unref(registry);
    return code;
}

int cm_ctl_stats(struct context *context)
{
    struct counts *counts = calloc(2, sizeof(*counts));
    if (counts == NULL) {
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    int code = print_stats(context, &counts[0], &counts[1]);
    free(counts);
    return code;
}
