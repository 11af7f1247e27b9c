/* grant, withdraw. */
#include "service/consent.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consentctl.h"

/* What every act begins with: who is meant, by whom, and the registry as it is. */
struct beginning {
    struct cm_subject subject;
    const struct cm_registry *registry; /* to be given back */
    char actor[80];                     /* for the ledger: the login behind this process */
};

/* EX_OK, or the code after printing; then nothing is to be given back. */
static int begin(struct context *context, struct beginning *out)
{
    struct cm_address address;
    const struct passwd *user = getpwuid(getuid());
    (void)snprintf(out->actor, sizeof(out->actor), "%s (consentctl)",
                   user != NULL ? user->pw_name : "unknown"); /* a long name is cut */
    int code = cm_ctl_read_subject(context, context->options->words[0], &address, &out->subject);
    return code == EX_OK ? cm_ctl_read_registry(context, &out->registry) : code;
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
    out->evidence = cm_span_of(options->evidence);
    out->ref = cm_span_of(options->ref);
    return read_basis(options->basis, out) && read_source(options->source, &out->source) &&
           cm_ctl_read_time("at", options->at, &out->at) &&
           cm_ctl_read_time("anchor", options->anchor, &out->anchor_at);
}

/* Tells the result of an act; returns the exit code. */
static int report(const struct context *context, const struct cm_act_result *result, const char *act, const char *scope,
                  const struct cm_err *err)
{
    const struct cm_write_result *write = &result->write;
    static const char *const words[] = {
        [CM_WRITE_UNSET] = "unset",         [CM_WRITE_APPLIED] = "applied", [CM_WRITE_STALE] = "stale",
        [CM_WRITE_DUPLICATE] = "duplicate", [CM_WRITE_REFUSED] = "refused", [CM_WRITE_NOT_DONE] = "not_done",
        [CM_WRITE_UNCERTAIN] = "uncertain",
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
    cm_ledger_id_format(write->ledger, ledger);
    cm_time_format(write->event_at, at);
    cm_ctl_say(context, "%s %s: %s, dated %s, ledger %s", act, scope, words[write->status], at, ledger);
    cm_ctl_emit(context,
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "act", act, "scope", scope, "status", words[write->status],
                          "kind", cm_kind_name(result->basis), "at", at, "ledger", ledger));
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
    struct cm_grant grant = {.rank = CM_RANK_ADMIN};
    struct cm_writer writer = cm_writer_direct(context->store);
    if (!read_grant(options, &grant)) {
        return EX_USAGE;
    }
    int code = begin(context, &beginning);
    if (code != EX_OK) {
        return code;
    }
    grant.subject = beginning.subject;
    grant.purpose = cm_ctl_find_purpose(beginning.registry, options->words[1]);
    grant.actor = cm_span_of(beginning.actor);
    if (grant.purpose == NULL) {
        code = EX_DATAERR;
    } else if (!cm_consent_grant(&writer, &grant, &result, &err)) {
        code = cm_ctl_fail(EX_DATAERR, "%s", err.text);
    } else {
        if (result.downgraded) {
            (void)cm_ctl_fail(EX_OK,
                              "note: recorded as asserted: express consent needs --source, --statement and --evidence");
        }
        code = report(context, &result, "grant", options->words[1], &err);
        if (code == EX_OK) {
            warn_if_stopped(context, &grant.subject, options->words[1], result.basis);
        }
    }
    cm_registry_unref(beginning.registry);
    return code;
}

/* SENDER/PURPOSE, SENDER or everybody. */
static bool read_scope(const struct cm_registry *registry, const char *text, struct cm_withdrawal *out)
{
    if (strcmp(text, "everybody") == 0) {
        out->scope = CM_SCOPE_EVERYBODY;
        out->sender_scope = CM_SCOPE_EVERYBODY;
        return true;
    }
    if (strchr(text, '/') != NULL) {
        const struct cm_registry_purpose *purpose = cm_ctl_find_purpose(registry, text);
        if (purpose != NULL) {
            out->scope = purpose->scopes.ids[0];
            out->sender_scope = purpose->scopes.ids[purpose->scopes.count - 2];
        }
        return purpose != NULL;
    }
    const struct cm_registry_sender *sender = cm_registry_sender(registry, cm_span_of(text));
    if (sender == NULL) {
        (void)cm_ctl_fail(EX_DATAERR, "sender %s is not registered: see `consentctl sender list`", text);
        return false;
    }
    out->scope = sender->id;
    out->sender_scope = sender->id;
    return true;
}

int cm_ctl_withdraw(struct context *context)
{
    const struct options *options = context->options;
    struct beginning beginning = {0};
    struct cm_act_result result;
    struct cm_err err;
    const char *how = options->reason != NULL ? options->reason : "withdrawn";
    struct cm_withdrawal withdrawal = {.rank = CM_RANK_ADMIN,
                                       .how = (enum cm_state)cm_state_by_name(CM_KIND_STOP, cm_span_of(how))};
    struct cm_writer writer = cm_writer_direct(context->store);
    if (withdrawal.how == CM_STATE_UNSET) {
        return cm_ctl_fail(EX_USAGE, "--reason: %s is none of withdrawn, objected, complained, refused", how);
    }
    if (!read_source(options->source, &withdrawal.source) || !cm_ctl_read_time("at", options->at, &withdrawal.at)) {
        return EX_USAGE;
    }
    int code = begin(context, &beginning);
    if (code != EX_OK) {
        return code;
    }
    withdrawal.subject = beginning.subject;
    withdrawal.actor = cm_span_of(beginning.actor);
    if (!read_scope(beginning.registry, options->words[1], &withdrawal)) {
        code = EX_DATAERR;
    } else if (!cm_consent_withdraw(&writer, &withdrawal, &result, &err)) {
        code = cm_ctl_fail(EX_DATAERR, "%s", err.text);
    } else {
        code = report(context, &result, "withdraw", options->words[1], &err);
    }
    cm_registry_unref(beginning.registry);
    return code;
}
