/* grant, withdraw, restrict, erase. */
#include "service/consent.h"

#include <string.h>

#include "consentctl.h"
#include "service/writer_keeper.h"

/* What every act begins with: who is meant, by whom, and the registry as it is. */
struct beginning {
    struct cm_deed deed;
    const struct cm_registry *registry; /* to be given back */
    struct cm_writer writer;            /* may point into `link`: do not copy */
    struct cm_keeper_link link;         /* to the keeper of this host, if one is configured; else socket NULL */
};

static bool read_source(const char *text, enum cm_source *out)
{
    *out = text != NULL ? cm_source_by_name(cm_span_of(text)) : CM_SOURCE_UNSET;
    if (text == NULL || *out != CM_SOURCE_UNSET) {
        return true;
    }
    char names[256];
    struct cm_text list = cm_text_over(names, sizeof(names));
    for (unsigned i = 1; i < CM_SOURCE_COUNT; i++) {
        cm_text_add_format(&list, " %s", cm_source_name((enum cm_source)i));
    }
    (void)cm_ctl_fail(EX_USAGE, "--source: %s is none of%s", text, names);
    return false;
}

/* By way of the keeper, if there is one: it may say "in effect". LAW-12 */
static void choose_writer(struct context *context, struct beginning *out)
{
    const struct cm_keeper_settings *keeper = &context->settings->keeper;
    if (keeper->name == NULL) {
        out->writer = cm_writer_direct(context->store);
        return;
    }
    out->link = (struct cm_keeper_link){.socket = keeper->socket, .wait_ms = CM_WRITER_WAIT_MS, .is_in_effect = true};
    out->writer = cm_writer_keeper(&out->link);
}

/* The scope that needs no registry: who wants no mail at all is heard even while the store is away. */
static bool is_everybody(const char *scope)
{
    return strcmp(scope, "everybody") == 0 || strcmp(scope, "all") == 0;
}

/* The registry, and the subject's records at one place: the keeper knows no other. */
static int ask_store(struct context *context, struct beginning *out)
{
    struct cm_err err;
    int code = cm_ctl_read_registry(context, &out->registry);
    if (code != EX_OK || out->link.socket == NULL) {
        return code;
    }
    enum cm_trouble trouble = cm_store_gather(context->store, &out->deed.subject, &err);
    if (trouble == CM_TROUBLE_NONE) {
        return EX_OK;
    }
    cm_registry_unref(out->registry);
    return cm_ctl_fail_trouble(trouble, &err);
}

/* EX_OK, or the code after printing; then nothing is to be given back. What forbids everybody's mail needs no store,
 * only the keeper: a stop counts at whichever place of the subject it stands. */
static int begin(struct context *context, bool forbids, struct beginning *out)
{
    const struct options *options = context->options;
    struct cm_address address;
    choose_writer(context, out);
    if (options->officer && out->link.socket != NULL) {
        return cm_ctl_fail(EX_USAGE, "--officer: by way of the keeper the rank is that of your login");
    }
    out->deed = (struct cm_deed){
        .rank = options->officer ? CM_RANK_OFFICER : CM_RANK_ADMIN,
        .actor = cm_span_of(context->actor),
        .evidence = cm_span_of(options->evidence),
        .language = cm_span_of(options->lang),
        .ref = cm_span_of(options->ref),
    };
    if (!read_source(options->source, &out->deed.source) || !cm_ctl_read_time("at", options->at, &out->deed.at)) {
        return EX_USAGE;
    }
    int code = cm_ctl_read_subject(context, options->words[0], &address, &out->deed.subject);
    bool needs_store = out->link.socket == NULL || !forbids || !is_everybody(options->words[1]);
    return code == EX_OK && needs_store ? ask_store(context, out) : code;
}

static const struct {
    const char *name;
    enum cm_kind kind;
} bases[] = {
    {"express", CM_KIND_GRANT},
    {"implied", CM_KIND_IMPLIED},
    {"soft_optin", CM_KIND_SOFT_OPTIN},
    {"asserted", CM_KIND_ASSERTED},
};

/* --basis express|soft_optin|asserted|implied:purchase|implied:contract|implied:membership|implied:inquiry */
static bool read_basis(const char *text, struct cm_grant *grant)
{
    struct cm_span rest = cm_span_of(text != NULL ? text : "express");
    struct cm_span name;
    (void)cm_span_next(&rest, ':', &name); /* a text always has a first part */
    grant->basis = CM_KIND_UNSET;
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        if (cm_span_equal(name, cm_span_of(bases[i].name))) {
            grant->basis = bases[i].kind;
        }
    }
    if (grant->basis == CM_KIND_IMPLIED && rest.p != NULL) {
        grant->implied_by = (enum cm_state)cm_state_by_name(CM_KIND_IMPLIED, rest);
        rest.p = NULL;
    }
    if (grant->basis == CM_KIND_UNSET || rest.p != NULL ||
        (grant->basis == CM_KIND_IMPLIED && grant->implied_by == CM_STATE_UNSET)) {
        (void)cm_ctl_fail(EX_USAGE,
                          "--basis: %s is none of express, soft_optin, asserted, implied:purchase, implied:contract, "
                          "implied:membership, implied:inquiry",
                          text);
        return false;
    }
    return true;
}

static bool read_grant(const struct options *options, struct cm_grant *out)
{
    uint64_t statement = 0;
    if (options->statement != NULL &&
        (!cm_parse_u64(cm_span_of(options->statement), UINT16_MAX, &statement) || statement == 0)) {
        (void)cm_ctl_fail(EX_USAGE, "--statement: %s is not a version number", options->statement);
        return false;
    }
    if (options->ref != NULL && strlen(options->ref) > CM_LIMIT_REF_BYTES) {
        (void)cm_ctl_fail(EX_USAGE, "--ref: at most %d bytes", CM_LIMIT_REF_BYTES);
        return false;
    }
    out->statement = (uint16_t)statement;
    out->by_guardian = options->guardian;
    return read_basis(options->basis, out) && cm_ctl_read_time("anchor", options->anchor, &out->anchor_at);
}

/* What the keeper says beyond the result. LAW-12 */
static const char *effect_of(const struct cm_keeper_link *link)
{
    if (link->socket == NULL) {
        return "";
    }
    if (link->is_in_effect) {
        return link->is_received_only ? ": in effect, though the store is away" : ": in effect";
    }
    return ": RECEIVED, not in effect yet: the keeper has it and will write it";
}

/* Tells the result of an act; returns the exit code. */
static int report(const struct context *context, const struct cm_act_result *result, const struct cm_keeper_link *link,
                  const char *act, const struct cm_err *err)
{
    const struct cm_write_result *write = &result->write;
    const char *scope = context->options->words[1];
    static const char *const words[] = {
        [CM_WRITE_UNSET] = "unset",         [CM_WRITE_APPLIED] = "applied",     [CM_WRITE_STALE] = "stale",
        [CM_WRITE_DUPLICATE] = "duplicate", [CM_WRITE_REFUSED] = "refused",     [CM_WRITE_OTHER_SEAL] = "other_seal",
        [CM_WRITE_NOT_DONE] = "not_done",   [CM_WRITE_UNCERTAIN] = "uncertain",
    };
    char ledger[CM_LEDGER_ID_TEXT_BYTES];
    char at[CM_TIME_TEXT_BYTES];
    if (write->status == CM_WRITE_REFUSED) {
        return cm_ctl_fail(EX_DATAERR, "%s refused: %s", act, err->text);
    }
    if (write->status == CM_WRITE_NOT_DONE) {
        return cm_ctl_fail_trouble(write->trouble, err);
    }
    if (write->status == CM_WRITE_UNCERTAIN) {
        return cm_ctl_fail(
            EX_TEMPFAIL,
            "%s UNCERTAIN, it may or may not be recorded: %s\n  See `consentctl history` before you repeat it.", act,
            err->text);
    }
    const char *word = link->is_received_only ? "received" : words[write->status];
    if (link->is_received_only) { /* date and ledger id come when it is written */
        cm_ctl_say(context, "%s %s%s", act, scope, effect_of(link));
        cm_ctl_emit(context, json_pack("{s:s, s:s, s:s, s:s, s:b}", "act", act, "scope", scope, "status", word, "kind",
                                       cm_kind_name(result->kind), "effect", (int)link->is_in_effect));
        return EX_OK;
    }
    cm_ledger_id_format(write->ledger, ledger);
    cm_time_format(write->event_at, at);
    cm_ctl_say(context, "%s %s: %s, dated %s, ledger %s%s", act, scope, word, at, ledger, effect_of(link));
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "act", act, "scope", scope, "status", word, "kind",
                            cm_kind_name(result->kind), "at", at, "ledger", ledger);
    if (row != NULL && link->socket != NULL) {
        (void)json_object_set_new(row, "effect", json_boolean(link->is_in_effect)); /* without memory it is left out */
    }
    cm_ctl_emit(context, row);
    return EX_OK;
}

/* A grant that a stop covers is recorded and yet permits nothing: whoever records it should know at once. LAW-5 */
static void warn_if_stopped(struct context *context, const struct cm_subject *subject, const char *purpose,
                            enum cm_kind kind)
{
    struct cm_arena arena;
    struct cm_decision decision = {0};
    struct cm_err err;
    struct cm_enforce_question question = {
        .purpose = purpose,
        .class = CM_CLASS_MARKETING,
        .accept_basis = kind == CM_KIND_GRANT ? CM_BASIS_EXPRESS
                                              : CM_BASIS_IMPLIED | CM_BASIS_SOFT_OPTIN | CM_BASIS_ASSERTED,
    };
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    (void)cm_enforce(context->store, subject, 1, &question, 1, &arena, &decision, NULL,
                     &err); /* it told, or we do not know */
    if (decision.verdict == CM_VERDICT_REFUSE) {
        (void)cm_ctl_fail(EX_OK, "note: nothing may be sent yet: %s", cm_reason_explanation(decision.reason));
    }
    cm_arena_done(&arena);
}

int cm_ctl_grant(struct context *context)
{
    const struct options *options = context->options;
    struct beginning beginning = {0};
    struct cm_act_result result;
    struct cm_err err;
    struct cm_grant grant = {0};
    if (!read_grant(options, &grant)) {
        return EX_USAGE;
    }
    int code = begin(context, false, &beginning);
    if (code != EX_OK) {
        return code;
    }
    grant.deed = beginning.deed;
    grant.purpose = cm_ctl_find_purpose(beginning.registry, options->words[1]);
    if (grant.purpose == NULL) {
        code = EX_DATAERR;
    } else if (!cm_consent_grant(&beginning.writer, &grant, &result, &err)) {
        code = cm_ctl_fail(EX_DATAERR, "%s", err.text);
    } else {
        if (result.downgraded) {
            (void)cm_ctl_fail(EX_OK,
                              "note: recorded as asserted: express consent needs --source, --statement and --evidence");
        }
        code = report(context, &result, &beginning.link, "grant", &err);
        if (code == EX_OK) {
            warn_if_stopped(context, &grant.deed.subject, options->words[1], result.kind);
        }
    }
    cm_registry_unref(beginning.registry);
    return code;
}

/* SENDER/PURPOSE, SENDER, or everybody, which erase and restrict call "all". False after printing. */
static bool read_scope(const struct cm_registry *registry, const char *text, uint32_t *out_scope, uint32_t *out_sender)
{
    *out_scope = CM_SCOPE_EVERYBODY;
    *out_sender = CM_SCOPE_EVERYBODY;
    if (is_everybody(text)) {
        return true;
    }
    if (strchr(text, '/') != NULL) {
        const struct cm_registry_purpose *purpose = cm_ctl_find_purpose(registry, text);
        if (purpose != NULL) {
            *out_scope = purpose->scopes.ids[0];
            *out_sender = purpose->scopes.ids[purpose->scopes.count - 2];
        }
        return purpose != NULL;
    }
    const struct cm_registry_sender *sender = cm_registry_sender(registry, cm_span_of(text));
    if (sender == NULL) {
        (void)cm_ctl_fail(EX_DATAERR, "sender %s is not registered: see `consentctl sender list`", text);
        return false;
    }
    *out_scope = sender->id;
    *out_sender = sender->id;
    return true;
}

/* Runs a stop whose act, kind and state are given. */
static int run_stop(struct context *context, struct cm_stop *stop, const char *word)
{
    struct beginning beginning = {0};
    struct cm_act_result result;
    struct cm_err err;
    const char *scope = context->options->words[1];
    int code = begin(context, stop->act != CM_ACT_END, &beginning);
    if (code != EX_OK) {
        return code;
    }
    stop->deed = beginning.deed;
    if (!read_scope(beginning.registry, scope, &stop->scope, &stop->sender_scope)) {
        code = EX_DATAERR;
    } else if (!cm_consent_stop(&beginning.writer, stop, &result, &err)) {
        code = cm_ctl_fail(EX_DATAERR, "%s", err.text);
    } else {
        code = report(context, &result, &beginning.link, word, &err);
    }
    cm_registry_unref(beginning.registry);
    return code;
}

int cm_ctl_withdraw(struct context *context)
{
    const char *how = context->options->reason != NULL ? context->options->reason : "withdrawn";
    struct cm_stop stop = {
        .act = CM_ACT_WITHDRAW, .kind = CM_KIND_STOP, .state = cm_state_by_name(CM_KIND_STOP, cm_span_of(how))};
    if (stop.state == CM_STATE_UNSET) {
        return cm_ctl_fail(EX_USAGE, "--reason: %s is none of withdrawn, objected, complained, refused", how);
    }
    return run_stop(context, &stop, "withdraw");
}

/* What others hold against the subject's mail: restrictions and suspensions, and their end. LAW-5, LAW-15 */
int cm_ctl_restrict(struct context *context)
{
    static const struct {
        enum cm_kind kind;
        enum cm_act act;
    } rows[] = {{CM_KIND_RESTRICTED, CM_ACT_RESTRICT}, {CM_KIND_SUSPENDED, CM_ACT_SUSPEND}};
    const struct options *options = context->options;
    struct cm_stop stop = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && stop.state == CM_STATE_UNSET; i++) {
        stop = (struct cm_stop){.act = options->end ? CM_ACT_END : rows[i].act,
                                .kind = rows[i].kind,
                                .state = cm_state_by_name(rows[i].kind, cm_span_of(options->reason))};
    }
    if (stop.state == CM_STATE_UNSET) {
        return cm_ctl_fail(EX_USAGE, "--reason: %s is none of minor, legal, deceased, dispute, case",
                           options->reason != NULL ? options->reason : "nothing");
    }
    return run_stop(context, &stop, options->end ? "end" : "restrict");
}

int cm_ctl_erase(struct context *context)
{
    struct beginning beginning = {0};
    struct cm_act_result result;
    struct cm_err err;
    uint32_t scope = CM_SCOPE_EVERYBODY;
    uint32_t sender = CM_SCOPE_EVERYBODY;
    const char *word = context->options->words[1];
    if (strchr(word, '/') != NULL) {
        return cm_ctl_fail(EX_USAGE, "erase takes a SENDER or all: one purpose is withdrawn, not erased");
    }
    int code = begin(context, false, &beginning);
    if (code != EX_OK) {
        return code;
    }
    if (!read_scope(beginning.registry, word, &scope, &sender)) {
        code = EX_DATAERR;
    } else if (!cm_consent_erase(&beginning.writer, &beginning.deed, scope, beginning.registry, &result, &err)) {
        code = cm_ctl_fail(EX_DATAERR, "%s", err.text);
    } else {
        code = report(context, &result, &beginning.link, "erase", &err);
    }
    cm_registry_unref(beginning.registry);
    return code;
}
