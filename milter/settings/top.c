#include "core/decision.h"
#include "internal.h"

enum { BULK_PASS = 1, BULK_REFUSE };

static const struct cm_word words_of_bulk[] = {{"refuse", BULK_REFUSE}, {"pass", BULK_PASS}, {NULL, 0}};

static const struct cm_word words_of_honesty[] = {
    {"refuse", CM_HONESTY_REFUSE},
    {"log", CM_HONESTY_LOG},
    {"off", CM_HONESTY_OFF},
    {NULL, 0},
};

static const struct cm_word words_of_stops[] = {
    {"withdrawn", 1U << CM_REASON_WITHDRAWN},
    {"objected", 1U << CM_REASON_OBJECTED},
    {"complained", 1U << CM_REASON_COMPLAINED},
    {"refused", 1U << CM_REASON_REFUSED},
    {"bounced", 1U << CM_REASON_BOUNCED},
    {"restricted", 1U << CM_REASON_RESTRICTED},
    {"suspended", 1U << CM_REASON_SUSPENDED},
    {"erased", 1U << CM_REASON_ERASED},
    {NULL, 0},
};
_Static_assert(CM_REASON_ERASED < 32, "service_stops has a bit for each stop");

static const char *problem_of_file_or_none(const char *text)
{
    return text[0] == '\0' ? NULL : cm_problem_of_file(text);
}

#define IN_DRAFT(member) offsetof(struct cm_draft, member)

static const struct cm_key top_keys[] = {
    {.path = "store.url",
     .type = CM_KEY_PARSED,
     .required = true,
     .may_hold_secret = true,
     .min = 1,
     .max = 300,
     .offset = IN_DRAFT(settings.store),
     .right = "text such as \"unix:/run/redis/redis.sock\" or \"rediss://HOST:PORT\"",
     .parse = cm_parse_store_url},
    {.path = "store.user",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 128,
     .offset = IN_DRAFT(settings.store.user),
     .right = "a Redis user, such as \"milter\"",
     .problem = cm_problem_of_store_user},
    {.path = "store.password_file",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 1023,
     .offset = IN_DRAFT(settings.store.password_file),
     .right = "the path of a file that holds the password",
     .problem = cm_problem_of_file},
    {.path = "store.tls.ca_file",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 1023,
     .offset = IN_DRAFT(settings.store.tls.ca_file),
     .right = "the path of a file of certificates",
     .problem = cm_problem_of_file},
    {.path = "store.tls.cert_file",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 1023,
     .offset = IN_DRAFT(settings.store.tls.cert_file),
     .right = "the path of a certificate",
     .problem = cm_problem_of_file},
    {.path = "store.tls.key_file",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 1023,
     .offset = IN_DRAFT(settings.store.tls.key_file),
     .right = "the path of a key",
     .problem = cm_problem_of_file},
    {.path = "store.tls.server_name",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 253,
     .offset = IN_DRAFT(settings.store.tls.server_name),
     .right = "a host name or an address, as Redis' certificate names it",
     .problem = cm_problem_of_server_name},
    {.path = "store.timeout",
     .type = CM_KEY_DURATION,
     .min = 10,
     .max = 10000,
     .offset = IN_DRAFT(settings.store.timeout_ms),
     .number = 800},
    {.path = "store.pool",
     .type = CM_KEY_COUNT,
     .min = 1,
     .max = 1024,
     .offset = IN_DRAFT(settings.store.pool),
     .number = 64},
    {.path = "keys",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 1023,
     .offset = IN_DRAFT(settings.keys),
     .text = "/etc/consent-milter/keys",
     .right = "the path of a directory",
     .problem = cm_problem_of_file},
    {.path = "state",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 1023,
     .offset = IN_DRAFT(settings.state),
     .text = "/var/lib/consent-milter",
     .right = "the path of a directory",
     .problem = cm_problem_of_file},
    {.path = "keepers",
     .type = CM_KEY_PATTERNS,
     .max = CM_LIMIT_KEEPERS,
     .offset = IN_DRAFT(keepers.names),
     .right = "a list of keepers' names, as in [\"mx1\", \"mx2\"]",
     .problem = cm_problem_of_keeper},
    {.path = "keeper.socket",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 107,
     .offset = IN_DRAFT(settings.keeper.socket),
     .text = "/run/consent-milter/keeper.sock",
     .right = "the path of a unix socket",
     .problem = cm_problem_of_file},
    {.path = "keeper.name",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = CM_LIMIT_KEEPER_NAME_BYTES,
     .offset = IN_DRAFT(settings.keeper.name),
     .right = "a name of its own, such as \"mx1\"",
     .problem = cm_problem_of_keeper},
    {.path = "keeper.mode", .type = CM_KEY_OCTAL, .offset = IN_DRAFT(settings.keeper.mode), .number = 0660},
    {.path = "keeper.group",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 32,
     .offset = IN_DRAFT(settings.keeper.group),
     .right = "a group name, such as \"consent\"",
     .problem = cm_problem_of_group},
    {.path = "keeper.callers",
     .type = CM_KEY_LIST,
     .offset = IN_DRAFT(keepers.callers),
     .right = "a list of groups, as in callers = ( { user = \"consent-web\"; rank = \"subject\"; } );"},
    {.path = "keeper.retain",
     .type = CM_KEY_DAYS,
     .min = 1,
     .max = 3650,
     .offset = IN_DRAFT(settings.keeper.retain_days),
     .number = 35},
    {.path = "milter.socket",
     .type = CM_KEY_PARSED,
     .min = 1,
     .max = 300,
     .offset = IN_DRAFT(settings.milter.socket),
     .text = "unix:/var/spool/postfix/consent-milter/consent-milter.sock",
     .right = "text such as \"unix:PATH\" or \"inet:8891@127.0.0.1\"",
     .parse = cm_parse_socket},
    {.path = "milter.mode", .type = CM_KEY_OCTAL, .offset = IN_DRAFT(settings.milter.mode), .number = 0660},
    {.path = "milter.group",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 32,
     .offset = IN_DRAFT(settings.milter.group),
     .right = "a group name, such as \"postfix\"",
     .problem = cm_problem_of_group},
    {.path = "contact.officer",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 254,
     .offset = IN_DRAFT(settings.officer),
     .right = "a mail address",
     .problem = cm_problem_of_officer},
    {.path = "contact.url",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 120,
     .offset = IN_DRAFT(settings.url),
     .right = "a web address",
     .problem = cm_problem_of_url},
    {.path = "outgoing.auth",
     .type = CM_KEY_PATTERNS,
     .offset = IN_DRAFT(settings.streams.outgoing.auth),
     .problem = cm_problem_of_session_pattern},
    {.path = "outgoing.daemon",
     .type = CM_KEY_PATTERNS,
     .offset = IN_DRAFT(settings.streams.outgoing.daemon),
     .problem = cm_problem_of_session_pattern},
    {.path = "outgoing.client", .type = CM_KEY_NETWORKS, .offset = IN_DRAFT(settings.streams.outgoing.client)},
    {.path = "outgoing.local", .type = CM_KEY_FLAG, .offset = IN_DRAFT(settings.streams.outgoing.local)},
    {.path = "unmatched.bulk",
     .type = CM_KEY_WORD,
     .offset = IN_DRAFT(bulk),
     .number = BULK_PASS,
     .words = words_of_bulk},
    {.path = "mode",
     .type = CM_KEY_WORD,
     .offset = IN_DRAFT(mode),
     .number = CM_MODE_ENFORCE,
     .words = cm_words_of_mode},
    {.path = "log_addresses", .type = CM_KEY_FLAG, .offset = IN_DRAFT(settings.log_addresses)},
    {.path = "streams",
     .type = CM_KEY_LIST,
     .offset = IN_DRAFT(streams),
     .right = "a list of groups, as in streams: ( { name = ...; }, { name = ...; } );"},
    {.path = "service_stops",
     .type = CM_KEY_WORDS,
     .offset = IN_DRAFT(settings.streams.service_stops),
     .right = "a list, as in [\"complained\", \"bounced\"]",
     .words = words_of_stops},
    {.path = "service_honesty",
     .type = CM_KEY_WORD,
     .offset = IN_DRAFT(honesty),
     .number = CM_HONESTY_REFUSE,
     .words = words_of_honesty},
    {.path = "control.socket",
     .type = CM_KEY_TEXT,
     .max = 107,
     .offset = IN_DRAFT(settings.control.socket),
     .text = "/run/consent-milter/control.sock",
     .right = "the path of a unix socket, or \"\" for none",
     .problem = problem_of_file_or_none},
    {.path = "control.mode", .type = CM_KEY_OCTAL, .offset = IN_DRAFT(settings.control.mode), .number = 0660},
    {.path = "control.group",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 32,
     .offset = IN_DRAFT(settings.control.group),
     .right = "a group name, such as \"adm\"",
     .problem = cm_problem_of_group},
    {.path = "metrics.listen",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 128,
     .offset = IN_DRAFT(settings.metrics_listen),
     .right = "unix:PATH, 127.0.0.1:PORT or [::1]:PORT",
     .problem = cm_problem_of_loopback},
    {.path = "mail.server",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 262,
     .offset = IN_DRAFT(settings.mail.server),
     .right = "HOST:PORT, such as \"127.0.0.1:25\"",
     .problem = cm_problem_of_mail_server},
    {.path = "mail.from",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 254,
     .offset = IN_DRAFT(settings.mail.from),
     .right = "a mail address",
     .problem = cm_problem_of_officer},
    {.path = "canaries",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = 1023,
     .offset = IN_DRAFT(settings.canaries_file),
     .right = "the path of a file with one address a line",
     .problem = cm_problem_of_file},
    {.path = "explain_days",
     .type = CM_KEY_DAYS,
     .min = 1,
     .max = 400,
     .offset = IN_DRAFT(settings.explain_days),
     .number = 30},
    {.path = "limits.sessions",
     .type = CM_KEY_COUNT,
     .min = 1,
     .max = CM_LIMIT_SESSIONS,
     .offset = IN_DRAFT(settings.limits.sessions),
     .number = 10000},
    {.path = "limits.recipients",
     .type = CM_KEY_COUNT,
     .min = 1,
     .max = CM_LIMIT_OPEN_RECIPIENTS,
     .offset = IN_DRAFT(settings.limits.recipients),
     .number = CM_LIMIT_OPEN_RECIPIENTS},
    {.path = "limits.header_bytes",
     .type = CM_KEY_COUNT,
     .min = 1024,
     .max = CM_LIMIT_HEADER_BYTES,
     .offset = IN_DRAFT(settings.limits.header_bytes),
     .number = CM_LIMIT_HEADER_BYTES},
};

static const struct cm_key_table top_table = {
    .keys = top_keys, .count = sizeof(top_keys) / sizeof(top_keys[0]), .name = ""};

static bool weigh_tls(const struct cm_reader *reader, const config_setting_t *root,
                      const struct cm_store_settings *store)
{
    const struct cm_store_tls_settings *tls = &store->tls;
    const config_setting_t *group = cm_reader_member(root, "store.tls");
    if (store->scheme != CM_STORE_TLS && cm_reader_has(root, "store.tls")) {
        return cm_reader_fail(reader, group, "store.tls",
                              "is not used: store.url does not begin with rediss://; change that, or take this out");
    }
    if (tls->cert_file != NULL && tls->key_file == NULL) {
        return cm_reader_fail(reader, cm_reader_member(root, "store.tls.cert_file"), "store.tls.cert_file",
                              "has no key; write store.tls.key_file too");
    }
    if (tls->key_file != NULL && tls->cert_file == NULL) {
        return cm_reader_fail(reader, cm_reader_member(root, "store.tls.key_file"), "store.tls.key_file",
                              "has no certificate; write store.tls.cert_file too");
    }
    return true;
}

/* LAW-2: an answer at RCPT is due within the budget, whatever the store does. */
static bool weigh_budget(const struct cm_reader *reader, const config_setting_t *root,
                         const struct cm_settings *settings)
{
    return settings->store.timeout_ms <= CM_BUDGET_RCPT_MS ||
           cm_reader_fail(reader, cm_reader_member(root, "store.timeout"), "store.timeout",
                          "leaves no time: a recipient is to be answered within %u ms; write at most \"%ums\"",
                          CM_BUDGET_RCPT_MS, CM_BUDGET_RCPT_MS);
}

/* Mail to the officer needs a server, a sender and an officer. */
static bool weigh_mail(const struct cm_reader *reader, const config_setting_t *root, const struct cm_settings *settings)
{
    const struct cm_mail_settings *mail = &settings->mail;
    const char *key = mail->server != NULL ? "mail.server" : "mail.from";
    const char *lacks = NULL;
    if (mail->server == NULL && mail->from == NULL) {
        return true;
    }
    if (mail->server == NULL || mail->from == NULL) {
        lacks = mail->server == NULL ? "mail.server" : "mail.from";
    } else if (settings->officer == NULL) {
        lacks = "contact.officer";
    }
    return lacks == NULL ||
           cm_reader_fail(reader, cm_reader_member(root, key), key, "is of no use without %s; write that too", lacks);
}

static bool weigh_top(const struct cm_reader *reader, const config_setting_t *root, struct cm_draft *draft)
{
    struct cm_settings *settings = &draft->settings;
    const struct cm_session_conditions *outgoing = &settings->streams.outgoing;
    bool any_outgoing = outgoing->auth.count > 0 || outgoing->daemon.count > 0 || outgoing->client.count > 0 ||
                        outgoing->local;
    if (settings->store.user != NULL && settings->store.password_file == NULL) {
        return cm_reader_fail(reader, cm_reader_member(root, "store.user"), "store.user",
                              "has no password; write store.password_file too");
    }
    if (!weigh_tls(reader, root, &settings->store)) {
        return false;
    }
    if (draft->bulk == BULK_REFUSE && !any_outgoing) {
        return cm_reader_fail(
            reader, cm_reader_member(root, "unmatched.bulk"), "unmatched.bulk",
            "is \"refuse\", but outgoing names no session of your own users; write outgoing: { auth = "
            "[\"*\"]; } or similar");
    }
    if (!weigh_budget(reader, root, settings) || !weigh_mail(reader, root, settings)) {
        return false;
    }
    settings->streams.service_honesty = (enum cm_honesty)draft->honesty;
    settings->streams.refuse_unmatched_bulk = draft->bulk == BULK_REFUSE;
    settings->streams.mode = (enum cm_mode)draft->mode;
    return true;
}

bool cm_top_read(const struct cm_reader *reader, const config_setting_t *root, struct cm_draft *draft)
{
    return cm_reader_group(reader, root, &top_table, draft) && weigh_top(reader, root, draft) &&
           cm_keepers_read(reader, root, &draft->keepers, &draft->settings) &&
           cm_canaries_read(reader, root, &draft->settings);
}
