/* explain: of a decision that was kept, and of one recipient on one stream. */
#include "explain.h"

#include <string.h>

#include "store/ledger.h"

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

static void say_law(const struct context *context, enum cm_reason reason)
{
    cm_ctl_say(context, "  explanation: %s", cm_reason_explanation(reason));
    cm_ctl_say(context, "  law %u: %s", cm_reason_law(reason), cm_law_text(cm_reason_law(reason)));
}

/* Whether what decided is what stands in the file now. */
static void say_configuration(const struct context *context, json_t *refusal)
{
    const char *then = json_string_value(json_object_get(refusal, "configuration"));
    bool same = then != NULL && strcmp(then, context->settings->sha256) == 0;
    cm_ctl_say(context, "  %s is %s since", context->settings->file, same ? "the same" : "another one");
    (void)json_object_set_new(refusal, "configuration_is_present", json_boolean(same));
}

/* A refusal of a whole message, or of an older version, names no whole key. */
static void say_events(struct context *context, json_t *refusal, cm_ms at)
{
    const char *family = json_string_value(json_object_get(refusal, "family"));
    struct cm_subject subject = {.pepper = (uint8_t)json_integer_value(json_object_get(refusal, "pepper"))};
    if (subject.pepper != 0 && family != NULL &&
        cm_hex_decode(cm_span_of(family), subject.family, sizeof(subject.family)) &&
        cm_subject_read(cm_span_of(json_string_value(json_object_get(refusal, "subject"))), &subject)) {
        (void)json_object_set_new(refusal, "events",
                                  json_integer((json_int_t)cm_ctl_explain_seen(context, &subject, at)));
    }
}

static int explain_unknown(const struct context *context, const char *id, const struct cm_decision_id *parts)
{
    char at[CM_TIME_TEXT_BYTES];
    cm_time_format(parts->at, at);
    return cm_ctl_fail(EX_DATAERR,
                       "no refusal %s is kept (the id says: decided at %s). Ids stand at the end of each reply and in "
                       "each line of the log. Refusals are written within a second and kept for %u days, the newest "
                       "10000 of each partition; deferrals and acceptances are in the log only: with --rcpt ADDRESS "
                       "and --stream or --purpose they are derived again from the ledger",
                       id, at, context->settings->explain_days);
}

static int explain_id(struct context *context)
{
    const char *id = context->options->words[0];
    char text[sizeof(((struct cm_refusal *)NULL)->document)];
    bool found = false;
    struct cm_err err;
    struct cm_decision_id parts;
    if (!cm_decision_id_parse(cm_span_of(id), &parts)) {
        return cm_ctl_fail(EX_DATAERR,
                           "%s is not a decision id: 26 characters of a-z and 2-7, as in the reply and the log", id);
    }
    if (context->options->rcpt.count > 0) {
        return cm_ctl_explain_past(context, &parts);
    }
    enum cm_trouble trouble = cm_store_find_refusal(context->store, cm_span_of(id), text, sizeof(text), &found, &err);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    json_t *refusal = found ? json_loads(text, 0, NULL) : NULL;
    if (refusal == NULL) {
        return explain_unknown(context, id, &parts);
    }
    enum cm_reason reason = CM_REASON_UNSET;
    (void)cm_reason_by_name(cm_span_of(json_string_value(json_object_get(refusal, "reason"))),
                            &reason); /* UNSET explains itself */
    cm_ctl_say(context, "decision %s", id);
    print_fields(context, refusal, "");
    say_configuration(context, refusal);
    say_law(context, reason);
    say_events(context, refusal, parts.at);
    (void)json_object_set_new(refusal, "id", json_string(id));
    cm_ctl_emit(context, refusal);
    return EX_OK;
}

const struct cm_stream *cm_ctl_find_stream(const struct cm_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->streams.count; i++) {
        if (strcmp(settings->streams.streams[i].name, name) == 0) {
            return &settings->streams.streams[i];
        }
    }
    return NULL;
}

struct cm_enforce_question cm_ctl_question_of(const struct cm_stream_table *table, const struct cm_stream *stream,
                                              const char *purpose)
{
    return (struct cm_enforce_question){.purpose = purpose,
                                        .class = stream->class,
                                        .accept_basis = stream->accept_basis,
                                        .service_stops = table->service_stops,
                                        .purpose_is_fixed = stream->purpose_from == CM_PURPOSE_FIXED};
}

void cm_ctl_say_decision(const struct context *context, const struct cm_decision *decision, unsigned statement_floor)
{
    cm_ctl_say(context, "verdict %s, reason %s: %s", cm_verdict_name(decision->verdict),
               cm_reason_name(decision->reason), cm_reason_explanation(decision->reason));
    cm_ctl_say(context, "law %u: %s", cm_reason_law(decision->reason), cm_law_text(cm_reason_law(decision->reason)));
    if (decision->has_record) {
        char at[CM_TIME_TEXT_BYTES];
        cm_time_format(decision->record.event_at, at);
        cm_ctl_say(context, "decided by record: %s %s of scope %u, dated %s, statement %u (oldest permitted %u)",
                   cm_kind_name(decision->record.kind), cm_state_name(decision->record.kind, decision->record.state),
                   decision->record.scope, at, decision->record.statement, statement_floor);
    }
}

/* Tries one recipient on one stream, by the same decision as the filter's. */
static int explain_recipient(struct context *context)
{
    const struct options *options = context->options;
    const struct cm_stream_table *table = &context->settings->streams;
    struct cm_address address;
    struct cm_subject subject;
    struct cm_arena arena;
    struct cm_decision decision = {0};
    struct cm_enforce_context when = {0};
    struct cm_err err = {{0}};
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1] = "";
    char key[CM_SUBJECT_TEXT_BYTES];
    const struct cm_stream *stream = cm_ctl_find_stream(context->settings, options->stream);
    if (stream == NULL) {
        return cm_ctl_fail(EX_DATAERR, "there is no stream %s in %s", options->stream, context->settings->file);
    }
    int code = cm_ctl_read_subject(context, options->rcpt.items[0], &address, &subject);
    if (code != EX_OK) {
        return code;
    }
    cm_subject_format(&subject, key);
    cm_ctl_say(context, "address %s, mailbox family %s, subject %s", address.exact, address.family, key);
    bool has_purpose = cm_stream_purpose(stream, CM_SPAN(""), NULL, 0, purpose) == CM_PURPOSE_FOUND;
    if (stream->class == CM_CLASS_SERVICE && table->service_stops == 0) {
        decision = cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_SERVICE);
        purpose[0] = '\0';
    } else if (!has_purpose && stream->class != CM_CLASS_SERVICE) {
        return cm_ctl_fail(EX_DATAERR,
                           "stream %s takes its purpose from each message: use `consentctl check` with a purpose",
                           stream->name);
    } else {
        const char *asked = has_purpose ? purpose : stream->sender;
        struct cm_enforce_question question = cm_ctl_question_of(table, stream, asked);
        cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
        (void)cm_enforce(context->store, &subject, 1, &question, 1, &arena, &decision, &when,
                         &err); /* the decision says it */
        cm_arena_done(&arena);
    }
    cm_ctl_say(context, "stream %s, purpose %s, mode %s", stream->name, purpose[0] != '\0' ? purpose : "-",
               stream->mode == CM_MODE_OBSERVE ? "observe" : "enforce");
    cm_ctl_say_decision(context, &decision, when.statement_floor);
    cm_ctl_emit(context,
                json_pack("{s:s, s:s, s:s, s:s, s:s}", "subject", key, "stream", stream->name, "purpose", purpose,
                          "verdict", cm_verdict_name(decision.verdict), "reason", cm_reason_name(decision.reason)));
    return decision.reason == CM_REASON_TROUBLE ? cm_ctl_fail_trouble(decision.trouble, &err) : EX_OK;
}

int cm_ctl_explain(struct context *context)
{
    const struct options *options = context->options;
    bool of_message = options->auth != NULL || options->daemon != NULL || options->client != NULL || options->local ||
                      options->header.count > 0;
    bool derives = options->rcpt.count == 1 && (options->stream != NULL || options->purpose != NULL);
    if (options->word_count == 1 && options->from == NULL && !of_message &&
        (derives || (options->rcpt.count == 0 && options->stream == NULL && options->purpose == NULL))) {
        return explain_id(context);
    }
    if (options->word_count == 0 && options->from != NULL && options->rcpt.count > 0 && options->stream == NULL &&
        options->purpose == NULL) {
        return cm_ctl_explain_message(context);
    }
    if (options->word_count == 0 && options->from == NULL && !of_message && options->rcpt.count == 1 &&
        options->stream != NULL && options->purpose == NULL) {
        return explain_recipient(context);
    }
    return cm_ctl_fail(EX_USAGE, "explain takes DECISION-ID, DECISION-ID --rcpt ADDRESS with --stream or --purpose, "
                                 "--rcpt ADDRESS --stream NAME, or --from ADDRESS --rcpt ADDRESS");
}
