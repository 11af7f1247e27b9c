/*
 * The door: what libmilter asks, in our words. Each callback reads the MTA's macros, hands texts to the session and
 * turns its reply into a milter answer. libmilter moves a connection between threads, so all state hangs on
 * smfi_setpriv; every callback must live without it.
 */
#include "callbacks.h"

#include <arpa/inet.h>
#include <libmilter/mfapi.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "ops/log.h"
#include "service/session.h"

/* libmilter gives callbacks no context of their own, so the one filter of the process stands here. Set before
 * smfi_main. */
static struct {
    struct cm_filter *filter;
    const struct cm_settings *settings;
    const struct cm_store *store;
    atomic_bool missed_doctor; /* what the log was last told of cm_store_doctor_is_missing */
    atomic_int transactions;   /* messages between MAIL and their end, for a clean stop */
    atomic_int running;        /* callbacks on their way, for freeing nothing under them */
    atomic_bool stopping;      /* transactions that begin now are deferred */
    atomic_bool closed;        /* what callbacks use may be gone */
} door;

/* Made at negotiation, which is the first callback of every connection. */
struct connection {
    struct cm_session *session; /* made at CONNECT; NULL: out of memory, or the MTA would not send our macros */
    unsigned long steps;        /* what was negotiated */
    bool in_transaction;
    bool refused_to_begin; /* the transaction began while we were stopping */
};

static struct cm_span macro(SMFICTX *ctx, const char *name)
{
    return cm_span_of(smfi_getsymval(ctx, (char *)name));
}

static void end_transaction(struct connection *connection)
{
    if (connection->in_transaction) {
        connection->in_transaction = false;
        atomic_fetch_sub(&door.transactions, 1);
    }
}

/* Every callback begins with enter and ends with leave. False once nothing may be touched any more: libmilter's workers
 * may still call while the process ends. */
static bool enter(void)
{
    atomic_fetch_add(&door.running, 1);
    return !atomic_load(&door.closed);
}

static sfsistat leave(sfsistat result)
{
    atomic_fetch_sub(&door.running, 1);
    return result;
}

/* A stage whose reply nobody waits for must not get one: libmilter would log each as an error. */
static sfsistat no_reply(const struct connection *connection, unsigned long bit)
{
    return connection != NULL && (connection->steps & bit) != 0 ? SMFIS_NOREPLY : SMFIS_CONTINUE;
}

/* Sets the reply immediately before it is used: libmilter keeps old ones, also across messages. */
static sfsistat answer(SMFICTX *ctx, const struct cm_reply *reply)
{
    char text[2 * CM_REPLY_TEXT_MAX + 1];
    if (reply->code == NULL) {
        return SMFIS_CONTINUE;
    }
    cm_reply_escape(reply->text, text, sizeof(text));
    if (smfi_setreply(ctx, (char *)reply->code, (char *)reply->xcode, text) != MI_SUCCESS) {
        cm_log(CM_LOG_ERROR, "libmilter did not take the reply %s %s", reply->code, reply->xcode);
    }
    return reply->code[0] == '5' ? SMFIS_REJECT : SMFIS_TEMPFAIL;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    char text[INET6_ADDRSTRLEN] = "";
    const void *ip = NULL;
    struct connection *connection = smfi_getpriv(ctx);
    (void)host; /* a name from DNS is no fact to decide by */
    if (!enter() || connection == NULL) {
        return leave(no_reply(connection, SMFIP_NR_CONN));
    }
    if (address != NULL && address->sa_family == AF_INET) {
        ip = &((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (address != NULL && address->sa_family == AF_INET6) {
        ip = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    }
    if (ip != NULL && inet_ntop(address->sa_family, ip, text, sizeof(text)) == NULL) {
        text[0] = '\0';
    }
    connection->session = cm_session_new(door.filter);
    if (connection->session != NULL) {
        cm_session_connect(connection->session, macro(ctx, "{daemon_name}"), cm_span_of(text), macro(ctx, "j"));
    } else {
        cm_log(CM_LOG_ERROR, "out of memory for a new session; it is deferred");
    }
    return leave(no_reply(connection, SMFIP_NR_CONN));
}

/* Mail of the sendmail command, as Postfix shows it: the queue id is there at MAIL already and no mailer is. */
static bool is_local(SMFICTX *ctx)
{
    return macro(ctx, "i").len > 0 && macro(ctx, "{mail_mailer}").p == NULL;
}

/* The session of a connection, if there is one to judge with. */
static struct cm_session *session_of(const struct connection *connection)
{
    return connection != NULL ? connection->session : NULL;
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && session_of(connection) != NULL) { /* else RCPT defers: at MAIL nobody waits for a reply */
        end_transaction(connection);
        connection->refused_to_begin = atomic_load(&door.stopping);
        if (!connection->refused_to_begin) {
            connection->in_transaction = true;
            atomic_fetch_add(&door.transactions, 1);
        }
        cm_session_mail(connection->session, cm_span_of(argv[0]), macro(ctx, "{auth_authen}"), is_local(ctx));
    }
    return leave(no_reply(connection, SMFIP_NR_MAIL));
}

/* What is said when there is no session to judge with, or no time. LAW-2: nothing is deferred in observe mode. */
static struct cm_reply blind_reply(void)
{
    if (door.settings->streams.mode == CM_MODE_OBSERVE) {
        return (struct cm_reply){0};
    }
    return (struct cm_reply){.code = "451", .xcode = "4.3.0", .text = "consent cannot be checked now, try again later"};
}

static bool can_serve(const struct connection *connection)
{
    return session_of(connection) != NULL && !connection->refused_to_begin;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (!enter()) {
        return leave(SMFIS_TEMPFAIL);
    }
    struct cm_reply reply = blind_reply();
    if (can_serve(connection)) {
        cm_session_rcpt(connection->session, cm_span_of(argv[0]), macro(ctx, "{rcpt_addr}"), macro(ctx, "i"), &reply);
    }
    return leave(answer(ctx, &reply));
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && can_serve(connection)) {
        cm_session_header(connection->session, cm_span_of(name), cm_span_of(value));
    }
    return leave(no_reply(connection, SMFIP_NR_HDR));
}

static sfsistat on_end(SMFICTX *ctx)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (!enter()) {
        return leave(SMFIS_TEMPFAIL);
    }
    struct cm_reply reply = blind_reply();
    if (can_serve(connection)) {
        cm_session_end(connection->session, macro(ctx, "i"), &reply);
        end_transaction(connection);
    }
    return leave(answer(ctx, &reply));
}

/* RSET, a client that vanished, and once more after QUIT: must be harmless at any time. */
static sfsistat on_abort(SMFICTX *ctx)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && session_of(connection) != NULL) {
        cm_session_reset(connection->session);
        end_transaction(connection);
    }
    return leave(SMFIS_CONTINUE);
}

/* May be the only callback ever called: a probe that connects and goes. */
/* Once for each run of Redis that nobody has examined, not for each message. */
static void tell_about_doctor(void)
{
    bool is_missing = cm_store_doctor_is_missing(door.store);
    if (atomic_exchange(&door.missed_doctor, is_missing) == is_missing) {
        return;
    }
    if (is_missing) {
        cm_log(CM_LOG_WARNING, "nobody has examined this run of Redis: run consentctl doctor, or start consent-keeper");
    } else {
        cm_log(CM_LOG_NOTICE, "this run of Redis was examined and found fit");
    }
}

static sfsistat on_close(SMFICTX *ctx)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && connection != NULL) {
        end_transaction(connection);
        cm_session_free(connection->session);
        free(connection);
        (void)smfi_setpriv(ctx, NULL); /* the context ends with this callback */
        tell_about_doctor();
    }
    return leave(SMFIS_CONTINUE);
}

/* The macros each stage needs, asked for by name: an administrator's own list cannot take them away. {mail_addr} is
 * never empty-handed, so that MAIL always brings a packet: without one libmilter would answer with the last message's
 * macros. */
static const struct {
    int stage;
    const char *names;
} wanted_macros[] = {
    {SMFIM_CONNECT, "j {daemon_name}"},
    {SMFIM_ENVFROM, "i {auth_authen} {mail_mailer} {mail_addr}"},
    {SMFIM_ENVRCPT, "i {rcpt_addr}"},
    {SMFIM_EOM, "i"},
};

/* False without memory: a session without our macros might not be claimed, so it must not be judged. */
static bool ask_for_macros(SMFICTX *ctx)
{
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof(wanted_macros) / sizeof(wanted_macros[0]); i++) {
        ok = smfi_setsymlist(ctx, wanted_macros[i].stage, (char *)wanted_macros[i].names) == MI_SUCCESS;
    }
    return ok;
}

/*
 * Asks for no more stages, replies and macros than the configuration needs: round trips cost more than anything we do
 * in them. A stage whose reply is not waited for must never be refused in, so only CONNECT, MAIL and headers are such.
 */
static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long offered, unsigned long unused0,
                             unsigned long unused1, unsigned long *out_actions, unsigned long *out_steps,
                             unsigned long *out_unused0, unsigned long *out_unused1)
{
    unsigned long steps = SMFIP_NOHELO | SMFIP_NODATA | SMFIP_NOBODY | SMFIP_NOUNKNOWN | SMFIP_NOEOH | SMFIP_NR_CONN |
                          SMFIP_NR_MAIL | SMFIP_NR_HDR;
    (void)actions;
    (void)unused0;
    (void)unused1;
    if (!cm_stream_table_needs_headers(&door.settings->streams)) {
        steps |= SMFIP_NOHDRS;
    }
    *out_actions = 0; /* we change nothing in a message */
    *out_steps = steps & offered;
    *out_unused0 = 0;
    *out_unused1 = 0;
    if (!enter()) {
        return leave(SMFIS_CONTINUE);
    }
    struct connection *connection = ask_for_macros(ctx) ? calloc(1, sizeof(*connection)) : NULL;
    if (connection != NULL) {
        connection->steps = *out_steps;
        if (smfi_setpriv(ctx, connection) != MI_SUCCESS) {
            free(connection);
            connection = NULL;
        }
    }
    if (connection == NULL) {
        cm_log(CM_LOG_ERROR, "out of memory for a new session; it is deferred");
    }
    return leave(SMFIS_CONTINUE);
}

bool cm_door_register(struct cm_filter *filter, const struct cm_settings *settings, const struct cm_store *store)
{
    struct smfiDesc description = {
        .xxfi_name = (char *)"consent-milter",
        .xxfi_version = SMFI_VERSION,
        .xxfi_flags = 0,
        .xxfi_connect = on_connect,
        .xxfi_envfrom = on_mail,
        .xxfi_envrcpt = on_rcpt,
        .xxfi_header = on_header,
        .xxfi_eom = on_end,
        .xxfi_abort = on_abort,
        .xxfi_close = on_close,
        .xxfi_negotiate = on_negotiate,
    };
    door.filter = filter;
    door.settings = settings;
    door.store = store;
    return smfi_register(description) == MI_SUCCESS;
}

int cm_door_transactions(void)
{
    return atomic_load(&door.transactions);
}

int cm_door_running(void)
{
    return atomic_load(&door.running);
}

void cm_door_stop(void)
{
    atomic_store(&door.stopping, true);
}

void cm_door_close(void)
{
    atomic_store(&door.closed, true);
}
