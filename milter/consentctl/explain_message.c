/* explain --from: one message as the filter would see it, stage by stage. */
#include <string.h>

#include "explain.h"
#include "ops/log.h"
#include "service/offline.h"

static void show_candidate(void *opaque, const struct cm_stream *stream, const char *why)
{
    struct context *context = opaque;
    const char *name = stream != NULL ? stream->name : "-";
    cm_ctl_say(context, "MAIL: it may belong to stream %s: %s", name, why);
    cm_ctl_emit(context,
                json_pack("{s:s, s:s, s:o}", "stage", "mail", "candidate", name, "why", cm_ctl_json_text(why)));
}

static void show_booked(void *opaque, const struct cm_booked *booked)
{
    struct context *context = opaque;
    const struct cm_record_entry *entry = booked->entry;
    const struct cm_decision *decision = &entry->decision;
    char recipient[CM_ADDRESS_MAX + 3];
    (void)cm_copy(recipient, sizeof(recipient), booked->recipient); /* what is longer is cut */
    cm_ctl_say(context, "decision for %s: stream %s, purpose %s", recipient[0] != '\0' ? recipient : "the message",
               entry->row->name, entry->purpose[0] != '\0' ? entry->purpose : "-");
    cm_ctl_say(context, "  because: %s", booked->why);
    cm_ctl_say(context, "  verdict %s%s, reason %s: %s", cm_verdict_name(decision->verdict),
               entry->observed ? " (only observed: it passes)" : "", cm_reason_name(decision->reason),
               cm_reason_explanation(decision->reason));
    cm_ctl_say(context, "  law %u: %s", cm_reason_law(decision->reason), cm_law_text(cm_reason_law(decision->reason)));
    cm_ctl_emit(context, json_pack("{s:s, s:o, s:s, s:s, s:o, s:s, s:s, s:i, s:b}", "stage", "decision", "recipient",
                                   cm_ctl_json_text(recipient), "stream", entry->row->name, "purpose", entry->purpose,
                                   "why", cm_ctl_json_text(booked->why), "verdict", cm_verdict_name(decision->verdict),
                                   "reason", cm_reason_name(decision->reason), "law",
                                   (int)cm_reason_law(decision->reason), "observed", (int)entry->observed));
}

static void show_reply(struct context *context, const char *stage, const struct cm_reply *reply)
{
    bool passes = reply->code == NULL;
    char line[CM_REPLY_TEXT_MAX + 32];
    struct cm_text text = cm_text_over(line, sizeof(line));
    if (!passes) {
        cm_text_add_format(&text, "%s %s %s", reply->code, reply->xcode, reply->text);
    }
    cm_ctl_say(context, "%s: %s", stage, passes ? "passes" : line);
    cm_ctl_emit(context,
                json_pack("{s:s, s:o}", "stage", stage, "reply", passes ? json_null() : cm_ctl_json_text(line)));
}

static void show_answer(void *opaque, struct cm_span recipient, const struct cm_reply *reply)
{
    char stage[CM_ADDRESS_MAX + 16];
    struct cm_text text = cm_text_over(stage, sizeof(stage)); /* what is longer is cut */
    cm_text_add_str(&text, "RCPT ");
    cm_text_add(&text, recipient);
    show_reply(opaque, stage, reply);
}

static void show_end(void *opaque, const struct cm_disposition *disposition)
{
    struct context *context = opaque;
    if (disposition == NULL) {
        cm_ctl_say(context, "end: no recipient is left, there is no message");
        cm_ctl_emit(context, json_pack("{s:s, s:n}", "stage", "end", "reply"));
        return;
    }
    for (size_t i = 0; i < disposition->removed_count; i++) {
        cm_ctl_say(context, "end: recipient %s is removed", disposition->removed[i]);
        cm_ctl_emit(context,
                    json_pack("{s:s, s:o}", "stage", "end", "removed", cm_ctl_json_text(disposition->removed[i])));
    }
    if (disposition->quarantine != NULL) {
        cm_ctl_say(context, "end: held: %s", disposition->quarantine);
        cm_ctl_emit(context,
                    json_pack("{s:s, s:o}", "stage", "end", "quarantine", cm_ctl_json_text(disposition->quarantine)));
    }
    if (disposition->status != NULL) {
        cm_ctl_say(context, "end: added: %s: %s", CM_STATUS_HEADER, disposition->status);
        cm_ctl_emit(context, json_pack("{s:s, s:o}", "stage", "end", "status", cm_ctl_json_text(disposition->status)));
    }
    show_reply(context, "end", &disposition->reply);
}

#define ARGUMENT_BYTES 1024

/* "Name: value"; false after printing. */
static bool read_headers(const struct options *options, struct cm_header out[OPTION_LIST_MAX])
{
    for (size_t i = 0; i < options->header.count; i++) {
        struct cm_span value = cm_span_of(options->header.items[i]);
        struct cm_span name;
        if (!cm_span_next(&value, ':', &name) || name.len == 0 || value.p == NULL) {
            (void)cm_ctl_fail(EX_USAGE, "--header takes 'Name: value'");
            return false;
        }
        out[i] = (struct cm_header){name, value};
    }
    return true;
}

/* As a client writes it: "<ADDRESS>". False after printing. */
static bool bracket(const char *text, char out[ARGUMENT_BYTES], struct cm_span *out_argument)
{
    bool has = text[0] == '<';
    struct cm_text argument = cm_text_over(out, ARGUMENT_BYTES);
    cm_text_add_format(&argument, "%s%s%s", has ? "" : "<", text, has ? "" : ">");
    *out_argument = (struct cm_span){out, argument.len};
    if (argument.truncated) {
        (void)cm_ctl_fail(EX_DATAERR, "an address is longer than any may be");
    }
    return !argument.truncated;
}

int cm_ctl_explain_message(struct context *context)
{
    const struct options *options = context->options;
    struct cm_offline_watcher watcher = {context, show_candidate, show_booked, show_answer, show_end};
    struct cm_header headers[OPTION_LIST_MAX];
    char texts[OPTION_LIST_MAX + 1][ARGUMENT_BYTES];
    struct cm_span recipients[OPTION_LIST_MAX];
    struct cm_span from;
    struct cm_err err;
    if (!read_headers(options, headers)) {
        return EX_USAGE;
    }
    if (!bracket(options->from, texts[0], &from)) {
        return EX_DATAERR;
    }
    for (size_t i = 0; i < options->rcpt.count; i++) {
        if (!bracket(options->rcpt.items[i], texts[i + 1], &recipients[i])) {
            return EX_DATAERR;
        }
    }
    struct cm_offline_message message = {
        .from = from,
        .auth = cm_span_of(options->auth),
        .daemon = cm_span_of(options->daemon),
        .client = cm_span_of(options->client),
        .local = options->local,
        .recipients = recipients,
        .recipient_count = options->rcpt.count,
        .headers = headers,
        .header_count = options->header.count,
    };
    struct cm_settings *settings = cm_settings_load(options->file, &err);
    if (settings == NULL) {
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    cm_log_open("consentctl", true);
    struct cm_offline *offline = cm_offline_new(settings, &context->keys, context->store, &watcher);
    bool ok = offline != NULL && cm_offline_try(offline, &message);
    cm_offline_free(offline);
    return ok ? EX_OK : cm_ctl_fail(EX_OSERR, "out of memory");
}
