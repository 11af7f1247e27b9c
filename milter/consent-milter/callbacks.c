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

#include "base/clock.h"
#include "macros.h"
#include "negotiation.h"
#include "ops/log.h"
#include "service/session.h"
#include "stages.h"

/* libmilter gives callbacks no context of their own, so the one filter of the process stands here. Set before
 * smfi_main. */
static struct {
    struct cm_filter *filter;
    const struct cm_store *store;
    atomic_bool missed_doctor; /* what the log was last told of cm_store_doctor_is_missing */
    atomic_int transactions;   /* messages with a recipient, until their end, for a clean stop */
    atomic_int running;        /* callbacks on their way, for freeing nothing under them */
    atomic_bool stopping;      /* transactions that begin now are deferred */
    atomic_bool closed;        /* what callbacks use may be gone */
    _Atomic uint64_t sessions; /* connections that were negotiated and not closed */
    _Atomic uint64_t sessions_total;
    _Atomic uint64_t sessions_refused; /* past the ceiling */
    _Atomic uint64_t messages_total;
    _Atomic uint64_t rcpts_total;
} door;

/* Made at negotiation, which is the first callback of every connection. */
struct connection {
    struct cm_generation *generation; /* that it was negotiated by */
    struct cm_session *session;       /* made at CONNECT; NULL: out of memory, or the MTA would not send our macros */
    struct cm_negotiation negotiated;
    bool is_too_many; /* past limits.sessions: it is deferred */
    bool in_transaction;
    bool refused_to_begin; /* its first recipient came while we were stopping */
    bool is_outgrown;      /* the configuration of now needs more of the MTA than was negotiated, and has for long */
};

/* False while we are stopping. Counted before that is looked at, so that a stop either waits for it or is seen. */
static bool begin_transaction(struct connection *connection)
{
    connection->in_transaction = true;
    atomic_fetch_add(&door.transactions, 1);
    return !atomic_load(&door.stopping);
}

static void end_transaction(struct connection *connection)
{
    if (connection->in_transaction) {
        connection->in_transaction = false;
        atomic_fetch_sub(&door.transactions, 1);
    }
}

/* With all that hangs on it. */
static void close_connection(struct connection *connection)
{
    if (connection != NULL) {
        end_transaction(connection);
        atomic_fetch_sub(&door.sessions, 1);
        cm_session_free(connection->session);
        cm_generation_unref(connection->generation);
        free(connection);
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

static sfsistat leave_stage(enum cm_stage stage, uint64_t began_ns, sfsistat result)
{
    cm_stage_took(stage, began_ns);
    return leave(result);
}

/* A stage whose reply nobody waits for must not get one: libmilter would log each as an error. */
static sfsistat no_reply(const struct connection *connection, unsigned long bit)
{
    return connection != NULL && (connection->negotiated.steps & bit) != 0 ? SMFIS_NOREPLY : SMFIS_CONTINUE;
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
    uint64_t began_ns = cm_clock_monotonic_ns();
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
    if (connection->is_too_many) {
        return leave(no_reply(connection, SMFIP_NR_CONN)); /* RCPT defers */
    }
    connection->session = cm_session_new(door.filter, connection->generation);
    if (connection->session != NULL) {
        cm_session_connect(connection->session, cm_macro_read(ctx, CM_MACRO_DAEMON), cm_span_of(text),
                           cm_macro_read(ctx, CM_MACRO_J));
    } else {
        cm_log(CM_LOG_ERROR, "out of memory for a new session; it is deferred");
    }
    return leave_stage(CM_STAGE_CONNECT, began_ns, no_reply(connection, SMFIP_NR_CONN));
}

/* Mail of the sendmail command, as Postfix shows it: the queue id is there at MAIL already and no mailer is. */
static bool is_local(SMFICTX *ctx)
{
    return cm_macro_read(ctx, CM_MACRO_ID_AT_MAIL).len > 0 && cm_macro_read(ctx, CM_MACRO_MAILER).p == NULL;
}

/* The session of a connection, if there is one to judge with. */
static struct cm_session *session_of(const struct connection *connection)
{
    return connection != NULL ? connection->session : NULL;
}

/* Whether a connection has gone by an old configuration for too long. One that only observes may: nothing is missed. */
static bool is_outgrown(const struct connection *connection)
{
    if (cm_filter_generation_number(door.filter) == connection->generation->number) {
        return false;
    }
    struct cm_generation *now = cm_filter_generation(door.filter);
    int64_t age_ms = (int64_t)(cm_clock_monotonic_ns() / 1000000) - now->since_ms;
    bool result = cm_filter_mode(door.filter, now, CM_NO_STREAM) != CM_MODE_OBSERVE &&
                  cm_negotiation_is_outgrown(&connection->negotiated, &now->settings->streams, age_ms);
    cm_generation_unref(now);
    if (result && !connection->is_outgrown) {
        cm_log(CM_LOG_NOTICE,
               "a connection negotiated by generation %u is deferred until it ends: it lacks what the "
               "configuration of now needs",
               connection->generation->number);
    }
    return result;
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
    uint64_t began_ns = cm_clock_monotonic_ns();
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && session_of(connection) != NULL) { /* else RCPT defers: at MAIL nobody waits for a reply */
        end_transaction(connection);
        atomic_fetch_add_explicit(&door.messages_total, 1, memory_order_relaxed);
        (void)cm_macro_read(ctx, CM_MACRO_MAIL_ADDR); /* only counted: whether the MTA heeds what we ask for */
        connection->refused_to_begin = false;
        connection->is_outgrown = is_outgrown(connection);
        cm_session_mail(connection->session, cm_span_of(argv[0]), cm_macro_read(ctx, CM_MACRO_AUTH), is_local(ctx));
    }
    return leave_stage(CM_STAGE_MAIL, began_ns, no_reply(connection, SMFIP_NR_MAIL));
}

/* What is said when there is no session to judge with, or no time. LAW-2: nothing is deferred in observe mode. */
static struct cm_reply blind_reply(const struct connection *connection)
{
    if (connection != NULL && !connection->is_outgrown &&
        cm_filter_mode(door.filter, connection->generation, CM_NO_STREAM) == CM_MODE_OBSERVE) {
        return (struct cm_reply){0};
    }
    return (struct cm_reply){.code = "451", .xcode = "4.3.0", .text = "consent cannot be checked now, try again later"};
}

static bool can_serve(const struct connection *connection)
{
    return session_of(connection) != NULL && !connection->refused_to_begin && !connection->is_outgrown;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
    uint64_t began_ns = cm_clock_monotonic_ns();
    struct connection *connection = smfi_getpriv(ctx);
    if (!enter()) {
        return leave(SMFIS_TEMPFAIL);
    }
    struct cm_reply reply;
    atomic_fetch_add_explicit(&door.rcpts_total, 1, memory_order_relaxed);
    bool begins = session_of(connection) != NULL && !connection->in_transaction;
    if (begins) {
        connection->refused_to_begin = !begin_transaction(connection);
    }
    if (can_serve(connection)) {
        cm_session_rcpt(connection->session, cm_span_of(argv[0]), cm_macro_read(ctx, CM_MACRO_RCPT),
                        cm_macro_read(ctx, CM_MACRO_ID_AT_RCPT), &reply);
    } else {
        reply = blind_reply(connection);
    }
    if (begins && (reply.code != NULL || !can_serve(connection))) {
        end_transaction(connection);
    }
    return leave_stage(CM_STAGE_RCPT, began_ns, answer(ctx, &reply));
}

static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && can_serve(connection)) {
        cm_session_header(connection->session, cm_span_of(name), cm_span_of(value));
    }
    return leave(no_reply(connection, SMFIP_NR_HDR));
}

static unsigned abilities_of(const struct connection *connection)
{
    return ((connection->negotiated.actions & SMFIF_DELRCPT) != 0 ? (unsigned)CM_CAN_REMOVE : 0U) |
           ((connection->negotiated.actions & SMFIF_QUARANTINE) != 0 ? (unsigned)CM_CAN_QUARANTINE : 0U);
}

/* Removals first: whatever happens after them, nobody gets what he must not get. */
static bool change_envelope(SMFICTX *ctx, const struct cm_disposition *disposition)
{
    for (size_t i = 0; i < disposition->removed_count; i++) {
        if (smfi_delrcpt(ctx, (char *)disposition->removed[i]) != MI_SUCCESS) {
            return false;
        }
    }
    return disposition->quarantine == NULL || smfi_quarantine(ctx, (char *)disposition->quarantine) == MI_SUCCESS;
}

/* From the last to the first, so that no deletion changes the number of those that follow. An MTA that lets us change
 * no headers keeps them as they are: they say something, but decide nothing. */
static bool change_headers(SMFICTX *ctx, const struct connection *connection, const struct cm_disposition *disposition)
{
    size_t forged = (connection->negotiated.actions & SMFIF_CHGHDRS) != 0 ? disposition->forged : 0;
    for (size_t i = forged; i > 0; i--) {
        if (smfi_chgheader(ctx, (char *)CM_STATUS_HEADER, (int)i, NULL) != MI_SUCCESS) {
            return false;
        }
    }
    return disposition->status == NULL || (connection->negotiated.actions & SMFIF_ADDHDRS) == 0 ||
           smfi_addheader(ctx, (char *)CM_STATUS_HEADER, (char *)disposition->status) == MI_SUCCESS;
}

/* LAW-2: what was to be done and could not be done is no reason to let a message through, unless it is only observed.
 */
static void change_message(SMFICTX *ctx, const struct connection *connection, struct cm_disposition *disposition)
{
    if (disposition->reply.code != NULL ||
        (change_envelope(ctx, disposition) && change_headers(ctx, connection, disposition))) {
        return;
    }
    if (disposition->observed) {
        cm_log(CM_LOG_WARNING, "the mail server did not take a change of an observed message; it goes as it is");
        return;
    }
    cm_log(CM_LOG_ERROR, "the mail server did not take a change of a message; it is deferred");
    disposition->reply = (struct cm_reply){
        .code = "451", .xcode = "4.3.0", .text = "consent cannot be enforced now, try again later"};
}

static sfsistat on_end(SMFICTX *ctx)
{
    uint64_t began_ns = cm_clock_monotonic_ns();
    struct connection *connection = smfi_getpriv(ctx);
    if (!enter()) {
        return leave(SMFIS_TEMPFAIL);
    }
    struct cm_disposition disposition;
    if (can_serve(connection)) {
        cm_session_end(connection->session, cm_macro_read(ctx, CM_MACRO_ID_AT_END), abilities_of(connection),
                       &disposition);
        change_message(ctx, connection, &disposition);
        end_transaction(connection);
    } else {
        disposition = (struct cm_disposition){.reply = blind_reply(connection)};
    }
    return leave_stage(CM_STAGE_END, began_ns, answer(ctx, &disposition.reply));
}

/*
 * RSET, a client that vanished, and once more after QUIT: must be harmless at any time. Sendmail sends it only to
 * filters that reply to MAIL, which we do not: there the next MAIL, or the close, ends what RSET ended. So a message
 * is under way only from its first recipient that was let pass: a client refused them all may say RSET and stay.
 */
static sfsistat on_abort(SMFICTX *ctx)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && session_of(connection) != NULL) {
        cm_session_reset(connection->session);
        end_transaction(connection);
    }
    return leave(SMFIS_CONTINUE);
}

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

/* May be the only callback ever called: a probe that connects and goes. */
static sfsistat on_close(SMFICTX *ctx)
{
    struct connection *connection = smfi_getpriv(ctx);
    if (enter() && connection != NULL) {
        close_connection(connection);
        (void)smfi_setpriv(ctx, NULL); /* the context ends with this callback */
        tell_about_doctor();
    }
    return leave(SMFIS_CONTINUE);
}

/* The new connection, counted and held to limits.sessions; NULL without memory. */
static struct connection *open_connection(unsigned long actions, unsigned long steps)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL) {
        return NULL;
    }
    connection->generation = cm_filter_generation(door.filter);
    const struct cm_settings *settings = connection->generation->settings;
    connection->negotiated = cm_negotiate(&settings->streams, actions, steps);
    atomic_fetch_add(&door.sessions_total, 1);
    connection->is_too_many = atomic_fetch_add(&door.sessions, 1) >= settings->limits.sessions;
    if (connection->is_too_many && atomic_fetch_add(&door.sessions_refused, 1) % 1000 == 0) {
        cm_log(CM_LOG_WARNING, "more than %u sessions at once, the others are deferred; raise limits.sessions",
               settings->limits.sessions);
    }
    return connection;
}

static sfsistat on_negotiate(SMFICTX *ctx, unsigned long actions, unsigned long offered, unsigned long unused0,
                             unsigned long unused1, unsigned long *out_actions, unsigned long *out_steps,
                             unsigned long *out_unused0, unsigned long *out_unused1)
{
    static const struct cm_stream_table nothing = {.count = 0};
    struct cm_negotiation least = cm_negotiate(&nothing, actions, offered);
    (void)unused0;
    (void)unused1;
    *out_actions = 0;
    *out_steps = least.steps;
    *out_unused0 = 0;
    *out_unused1 = 0;
    if (!enter()) {
        return leave(SMFIS_CONTINUE);
    }
    struct connection *connection = cm_negotiate_macros(ctx) ? open_connection(actions, offered) : NULL;
    if (connection != NULL && smfi_setpriv(ctx, connection) != MI_SUCCESS) {
        close_connection(connection);
        connection = NULL;
    }
    if (connection != NULL) {
        *out_actions = connection->negotiated.actions;
        *out_steps = connection->negotiated.steps;
    } else {
        cm_log(CM_LOG_ERROR, "out of memory for a new session; it is deferred");
    }
    return leave(SMFIS_CONTINUE);
}

bool cm_door_register(struct cm_filter *filter, const struct cm_store *store)
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

struct cm_door_counts cm_door_counts(void)
{
    return (struct cm_door_counts){.sessions = atomic_load(&door.sessions),
                                   .sessions_total = atomic_load(&door.sessions_total),
                                   .sessions_refused = atomic_load(&door.sessions_refused),
                                   .messages_total = atomic_load(&door.messages_total),
                                   .rcpts_total = atomic_load(&door.rcpts_total)};
}

bool cm_door_is_stopping(void)
{
    return atomic_load(&door.stopping);
}

void cm_door_resume(void)
{
    atomic_store(&door.stopping, false);
}

void cm_door_stop(void)
{
    atomic_store(&door.stopping, true);
}

void cm_door_close(void)
{
    atomic_store(&door.closed, true);
}
