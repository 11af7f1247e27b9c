/* init, sender, purpose, statement. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consentctl.h"
#include "store/admin.h"
#include "store/archive_key.h"

int cm_ctl_init(struct context *context)
{
    char fingerprint[17];
    struct cm_err err;
    bool fresh = false;
    const char *directory = context->settings->keys;
    if (!cm_keys_create(directory, &context->keys, &fresh, &err) || !cm_archive_key_create(directory, &err)) {
        return cm_ctl_fail(EX_CANTCREAT, "%s", err.text);
    }
    enum cm_init_status status = cm_store_init(context->store, fresh, &err);
    if (status == CM_INIT_FAILED) {
        return cm_ctl_fail(EX_UNAVAILABLE, "%s", err.text);
    }
    if (fresh && !cm_keys_commit(directory, &err)) {
        return cm_ctl_fail(EX_CANTCREAT, "%s", err.text);
    }
    unsigned pepper = CM_IN_USE_CURRENT(cm_keys_in_use(&context->keys));
    cm_key_fingerprint(context->keys.peppers[pepper].bytes, fingerprint);
    cm_ctl_say(context, "store %s %s, functions loaded", context->keys.store_id,
               status == CM_INIT_MADE ? "made" : "present");
    cm_ctl_say(context, "pepper %s/pepper.%u, fingerprint %s", directory, pepper, fingerprint);
    cm_ctl_say(context, "BACK UP THE PEPPER: without it every record in the store is lost.");
    cm_ctl_emit(context, json_pack("{s:s, s:b, s:s}", "store", context->keys.store_id, "made", status == CM_INIT_MADE,
                                   "pepper_fingerprint", fingerprint));
    return EX_OK;
}

int cm_ctl_read_registry(struct context *context, const struct cm_registry **out)
{
    struct cm_err err;
    enum cm_trouble trouble = cm_store_read_registry(context->store, out, &err);
    return trouble == CM_TROUBLE_NONE ? EX_OK : cm_ctl_fail_trouble(trouble, &err);
}

/* Tells the outcome of a change; returns the exit code. */
static int report(const struct context *context, enum cm_registry_outcome outcome, const char *what, const char *name,
                  const struct cm_err *err)
{
    switch (outcome) {
    case CM_REGISTRY_CHANGED:
    case CM_REGISTRY_PRESENT: break;
    case CM_REGISTRY_REFUSED: return cm_ctl_fail(EX_DATAERR, "%s %s: %s", what, name, err->text);
    case CM_REGISTRY_TROUBLE: return cm_ctl_fail(EX_TEMPFAIL, "%s %s: %s", what, name, err->text);
    case CM_REGISTRY_UNSET: return cm_ctl_fail(EX_SOFTWARE, "%s %s: no outcome", what, name);
    }
    bool changed = outcome == CM_REGISTRY_CHANGED;
    cm_ctl_say(context, "%s %s: %s", what, name, changed ? "done" : "present already");
    cm_ctl_emit(context, json_pack("{s:s, s:b}", what, name, "changed", changed));
    return EX_OK;
}

int cm_ctl_sender_add(struct context *context)
{
    struct cm_err err;
    const char *sender = context->options->words[0];
    if (!cm_purpose_path_is_valid(cm_span_of(sender)) || strchr(sender, '/') != NULL) {
        return cm_ctl_fail(EX_DATAERR, "sender %s: use only a-z, 0-9, '.', '_' and '-'", sender);
    }
    const char *title = context->options->title != NULL ? context->options->title : sender;
    enum cm_registry_outcome outcome = cm_registry_add_sender(context->store, context->actor, sender, title, &err);
    return report(context, outcome, "sender", sender, &err);
}

/* MONTHS:warn, MONTHS:refuse or off. False after printing. */
static bool read_dormancy(const char *text, struct cm_dormancy *out)
{
    struct cm_span rest = cm_span_of(text != NULL ? text : "off");
    struct cm_span word;
    uint64_t months = 0;
    *out = (struct cm_dormancy){.act = CM_DORMANCY_OFF};
    (void)cm_span_next(&rest, ':', &word); /* a text always has a first part */
    if (rest.p == NULL && cm_span_equal(word, CM_SPAN("off"))) {
        return true;
    }
    bool warns = rest.p != NULL && cm_span_equal(rest, CM_SPAN("warn"));
    bool refuses = rest.p != NULL && cm_span_equal(rest, CM_SPAN("refuse"));
    if ((!warns && !refuses) || !cm_parse_u64(word, CM_DORMANCY_MONTHS_MAX, &months) || months == 0) {
        (void)cm_ctl_fail(EX_USAGE, "dormancy: %s is not MONTHS:warn, MONTHS:refuse (1 to %d months) or off", text,
                          CM_DORMANCY_MONTHS_MAX);
        return false;
    }
    *out = (struct cm_dormancy){(unsigned)months, warns ? CM_DORMANCY_WARN : CM_DORMANCY_REFUSE};
    return true;
}

int cm_ctl_purpose_add(struct context *context)
{
    struct cm_dormancy dormancy;
    struct cm_err err;
    const char *path = context->options->words[0];
    if (!cm_purpose_path_is_valid(cm_span_of(path)) || strchr(path, '/') == NULL) {
        return cm_ctl_fail(EX_DATAERR, "purpose %s: write sender/purpose with only a-z, 0-9, '.', '_' and '-'", path);
    }
    if (!read_dormancy(context->options->dormancy, &dormancy)) {
        return EX_USAGE;
    }
    const char *title = context->options->title != NULL ? context->options->title : path;
    enum cm_registry_outcome outcome = cm_registry_add_purpose(context->store, context->actor, path, title, &dormancy,
                                                               &err);
    return report(context, outcome, "purpose", path, &err);
}

int cm_ctl_purpose_dormancy(struct context *context)
{
    struct cm_err err;
    struct cm_dormancy dormancy;
    const char *path = context->options->words[0];
    if (!read_dormancy(context->options->words[1], &dormancy)) {
        return EX_USAGE;
    }
    enum cm_registry_outcome outcome = cm_registry_set_dormancy(context->store, context->actor, path, &dormancy, &err);
    return report(context, outcome, "purpose", path, &err);
}

int cm_ctl_purpose_retire(struct context *context)
{
    struct cm_err err;
    const char *path = context->options->words[0];
    return report(context, cm_registry_retire_purpose(context->store, context->actor, path, &err), "purpose", path,
                  &err);
}

int cm_ctl_statement_publish(struct context *context)
{
    const struct options *options = context->options;
    struct cm_err err;
    uint64_t version = 0;
    unsigned published = 0;
    struct cm_statement_text statement = {
        .purpose = cm_span_of(options->words[0]),
        .language = options->lang != NULL ? options->lang : "en",
        .material = options->material,
    };
    if (options->version != NULL &&
        (!cm_parse_u64(cm_span_of(options->version), UINT16_MAX, &version) || version == 0)) {
        return cm_ctl_fail(EX_USAGE, "--version: %s is not a number from 1 to 65535", options->version);
    }
    if (!cm_ctl_read_time("effective", options->effective, &statement.effective_at)) {
        return EX_USAGE;
    }
    char *text = cm_ctl_read_file(options->words[1], CM_LIMIT_STATEMENT_BYTES, &statement.text.len);
    if (text == NULL) {
        return EX_NOINPUT;
    }
    statement.text.p = text;
    statement.version = (unsigned)version;
    enum cm_registry_outcome outcome = statement.text.len == 0 ? CM_REGISTRY_REFUSED
                                                               : cm_registry_publish(context->store, context->actor,
                                                                                     &statement, &published, &err);
    if (statement.text.len == 0) {
        cm_err_set(&err, "the text is empty");
    }
    free(text);
    char name[CM_LIMIT_PURPOSE_BYTES + 16];
    (void)snprintf(name, sizeof(name), "%s version %u", options->words[0], published); /* cut only in a message */
    return report(context, outcome, "statement", name, &err);
}

int cm_ctl_daemon_halt(struct context *context)
{
    struct cm_err err;
    const char *scope = context->options->words[0];
    if (context->options->reason == NULL) {
        return cm_ctl_fail(EX_USAGE, "halt: --reason is needed, for the ledger");
    }
    enum cm_registry_outcome outcome = cm_registry_set_halt(context->store, context->actor, scope,
                                                            !context->options->end, context->options->reason, &err);
    return report(context, outcome, context->options->end ? "end of halt" : "halt", scope, &err);
}

static const char *const dormancy_words[] = {
    [CM_DORMANCY_OFF] = "off", [CM_DORMANCY_WARN] = "warn", [CM_DORMANCY_REFUSE] = "refuse"};

static json_t *sender_json(const struct cm_registry_sender *sender)
{
    return json_pack("{s:s, s:s, s:I, s:b}", "sender", sender->name, "title", sender->title, "id",
                     (json_int_t)sender->id, "halted", sender->halted);
}

static json_t *statements_json(const struct cm_registry_purpose *purpose)
{
    json_t *list = json_array();
    for (size_t i = 0; i < purpose->statement_count; i++) {
        const struct cm_statement *statement = &purpose->statements[i];
        (void)json_array_append_new(list, json_pack("{s:i, s:b, s:o}", "version", (int)statement->version, "material",
                                                    statement->material, "effective",
                                                    cm_ctl_json_time(statement->effective_at)));
    }
    return list;
}

static json_t *purpose_json(const struct cm_registry_purpose *purpose)
{
    return json_pack("{s:s, s:s, s:I, s:b, s:b, s:s, s:i, s:o}", "purpose", purpose->path, "title", purpose->title,
                     "id", (json_int_t)purpose->scopes.ids[0], "retired", purpose->retired, "halted", purpose->halted,
                     "dormancy", dormancy_words[purpose->dormancy.act], "months", (int)purpose->dormancy.months,
                     "statements", statements_json(purpose));
}

int cm_ctl_sender_list(struct context *context)
{
    const struct cm_registry *registry = NULL;
    size_t count = 0;
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    const struct cm_registry_sender *senders = cm_registry_senders(registry, &count);
    for (size_t i = 0; i < count; i++) {
        cm_ctl_say(context, "%-20s %s%s", senders[i].name, senders[i].title, senders[i].halted ? " (halted)" : "");
        cm_ctl_emit(context, sender_json(&senders[i]));
    }
    cm_registry_unref(registry);
    return EX_OK;
}

int cm_ctl_sender_show(struct context *context)
{
    const struct cm_registry *registry = NULL;
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    const struct cm_registry_sender *sender = cm_registry_sender(registry, cm_span_of(context->options->words[0]));
    if (sender == NULL) {
        code = cm_ctl_fail(EX_DATAERR, "sender %s is not registered", context->options->words[0]);
    } else {
        cm_ctl_say(context, "%s: %s (scope %u)%s", sender->name, sender->title, sender->id,
                   sender->halted ? ", halted" : "");
        cm_ctl_emit(context, sender_json(sender));
    }
    cm_registry_unref(registry);
    return code;
}

int cm_ctl_purpose_list(struct context *context)
{
    const struct cm_registry *registry = NULL;
    size_t count = 0;
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    const struct cm_registry_purpose *purposes = cm_registry_purposes(registry, &count);
    for (size_t i = 0; i < count; i++) {
        cm_ctl_say(context, "%-30s %s%s%s", purposes[i].path, purposes[i].title,
                   purposes[i].retired ? " (retired)" : "", purposes[i].halted ? " (halted)" : "");
        cm_ctl_emit(context, purpose_json(&purposes[i]));
    }
    cm_registry_unref(registry);
    return EX_OK;
}

/* purpose show and statement show: the same facts, both with the versions. */
int cm_ctl_purpose_show(struct context *context)
{
    const struct cm_registry *registry = NULL;
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    const struct cm_registry_purpose *purpose = cm_ctl_find_purpose(registry, context->options->words[0]);
    if (purpose == NULL) {
        cm_registry_unref(registry);
        return EX_DATAERR;
    }
    cm_ctl_say(context, "%s: %s (scope %u)%s%s", purpose->path, purpose->title, purpose->scopes.ids[0],
               purpose->retired ? ", retired" : "", purpose->halted ? ", halted" : "");
    if (purpose->dormancy.act != CM_DORMANCY_OFF) {
        cm_ctl_say(context, "  dormant after %u months without use: %s", purpose->dormancy.months,
                   dormancy_words[purpose->dormancy.act]);
    }
    for (size_t i = 0; i < purpose->statement_count; i++) {
        char at[CM_TIME_TEXT_BYTES];
        cm_time_format(purpose->statements[i].effective_at, at);
        cm_ctl_say(context, "  statement %u, effective %s%s", purpose->statements[i].version, at,
                   purpose->statements[i].material ? ", material" : "");
    }
    cm_ctl_emit(context, purpose_json(purpose));
    cm_registry_unref(registry);
    return EX_OK;
}

/* The text of one version in one language. */
int cm_ctl_statement_show(struct context *context)
{
    const struct options *options = context->options;
    const struct cm_registry *registry = NULL;
    const char *language = options->lang != NULL ? options->lang : "en";
    uint64_t version = 0;
    char *text = NULL;
    struct cm_err err;
    if (options->version != NULL && !cm_parse_u64(cm_span_of(options->version), UINT16_MAX, &version)) {
        return cm_ctl_fail(EX_USAGE, "--version: %s is not a number", options->version);
    }
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    const struct cm_registry_purpose *purpose = cm_ctl_find_purpose(registry, options->words[0]);
    if (purpose == NULL) {
        cm_registry_unref(registry);
        return EX_DATAERR;
    }
    if (version == 0 && purpose->statement_count > 0) {
        version = purpose->statements[purpose->statement_count - 1].version;
    }
    enum cm_trouble trouble = cm_registry_statement_text(context->store, purpose->scopes.ids[0], (unsigned)version,
                                                         language, &text, &err);
    cm_registry_unref(registry);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    if (text == NULL) {
        return cm_ctl_fail(EX_DATAERR, "%s has no statement version %u in language %s", options->words[0],
                           (unsigned)version, language);
    }
    if (!context->options->quiet && !context->options->json) {
        (void)puts(text); /* the text itself, with its lines */
    }
    cm_ctl_emit(context, json_pack("{s:s, s:i, s:s, s:s}", "purpose", options->words[0], "version", (int)version,
                                   "language", language, "text", text));
    free(text);
    return EX_OK;
}
