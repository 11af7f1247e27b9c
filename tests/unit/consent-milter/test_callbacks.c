/*
 * The door at the end of a message, where libmilter may fail to do what we ask of it. Around it stand a libmilter and a
 * session of our own: the first takes what it is told to take and notes it, the second says what is to be done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "callbacks.h"
#include "macros.h"
#include "negotiation.h"
#include "ops/log.h"
#include "stages.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEADERS ((unsigned long)(SMFIF_ADDHDRS | SMFIF_CHGHDRS))
#define ALL (HEADERS | SMFIF_DELRCPT | SMFIF_QUARANTINE)

static const struct cm_settings settings = {.limits = {.sessions = 10}};
static struct cm_generation generation = {.settings = &settings, .number = 1};

static struct {
    struct smfiDesc door;
    void *connection;
    const char *refuses; /* the call that fails */
    char calls[256];     /* in their order */
    char reply[256];
    char log[256];
    struct cm_disposition disposition; /* what the session wants done */
    unsigned abilities;                /* what the session was told that can be done */
} mta;

/* --- libmilter --- */

static int take(const char *call, const char *text)
{
    char all[128];
    size_t len = strlen(mta.calls);
    (void)snprintf(all, sizeof(all), "%s %s", call, text);                 /* fits */
    (void)snprintf(mta.calls + len, sizeof(mta.calls) - len, "%s; ", all); /* cut, it is not what is expected */
    return mta.refuses != NULL && strcmp(mta.refuses, all) == 0 ? MI_FAILURE : MI_SUCCESS;
}

int smfi_register(struct smfiDesc door)
{
    mta.door = door;
    return MI_SUCCESS;
}

int smfi_setpriv(SMFICTX *ctx, void *connection)
{
    (void)ctx;
    mta.connection = connection;
    return MI_SUCCESS;
}

void *smfi_getpriv(SMFICTX *ctx)
{
    (void)ctx;
    return mta.connection;
}

struct cm_span cm_macro_read(SMFICTX *ctx, enum cm_macro macro)
{
    (void)ctx;
    (void)macro;
    return (struct cm_span){NULL, 0};
}

int smfi_setreply(SMFICTX *ctx, char *code, char *xcode, char *text)
{
    (void)ctx;
    (void)snprintf(mta.reply, sizeof(mta.reply), "%s %s %s", code, xcode, text); /* fits */
    return MI_SUCCESS;
}

int smfi_delrcpt(SMFICTX *ctx, char *recipient)
{
    (void)ctx;
    return take("delrcpt", recipient);
}

int smfi_quarantine(SMFICTX *ctx, char *reason)
{
    (void)ctx;
    return take("quarantine", reason);
}

int smfi_chgheader(SMFICTX *ctx, char *name, int index, char *value)
{
    char number[16];
    (void)ctx;
    assert_string_equal(name, "X-Consent-Status");
    assert_null(value);                                  /* which deletes it */
    (void)snprintf(number, sizeof(number), "%d", index); /* fits */
    return take("chgheader", number);
}

int smfi_addheader(SMFICTX *ctx, char *name, char *value)
{
    (void)ctx;
    assert_string_equal(name, "X-Consent-Status");
    return take("addheader", value);
}

/* --- the session, and what else the door stands on --- */

struct cm_session *cm_session_new(struct cm_filter *filter, struct cm_generation *of)
{
    (void)filter;
    (void)of;
    return (struct cm_session *)&mta; /* never looked into */
}

void cm_session_free(struct cm_session *session)
{
    (void)session;
}

void cm_session_connect(struct cm_session *session, struct cm_span daemon, struct cm_span client, struct cm_span domain)
{
    (void)session;
    (void)daemon;
    (void)client;
    (void)domain;
}

void cm_session_mail(struct cm_session *session, struct cm_span argument, struct cm_span auth, bool local)
{
    (void)session;
    (void)argument;
    (void)auth;
    (void)local;
}

void cm_session_rcpt(struct cm_session *session, struct cm_span argument, struct cm_span rcpt_addr, struct cm_span id,
                     struct cm_reply *out)
{
    (void)session;
    (void)argument;
    (void)rcpt_addr;
    (void)id;
    *out = (struct cm_reply){0};
}

void cm_session_header(struct cm_session *session, struct cm_span name, struct cm_span value)
{
    (void)session;
    (void)name;
    (void)value;
}

void cm_session_end(struct cm_session *session, struct cm_span id, unsigned abilities, struct cm_disposition *out)
{
    (void)session;
    (void)id;
    mta.abilities = abilities;
    *out = mta.disposition;
}

void cm_session_reset(struct cm_session *session)
{
    (void)session;
}

struct cm_generation *cm_filter_generation(struct cm_filter *filter)
{
    (void)filter;
    return &generation;
}

unsigned cm_filter_generation_number(const struct cm_filter *filter)
{
    (void)filter;
    return generation.number;
}

enum cm_mode cm_filter_mode(struct cm_filter *filter, const struct cm_generation *of, size_t stream)
{
    (void)filter;
    (void)of;
    (void)stream;
    return CM_MODE_ENFORCE;
}

void cm_generation_unref(struct cm_generation *of)
{
    assert_ptr_equal(of, &generation);
}

bool cm_store_doctor_is_missing(const struct cm_store *store)
{
    (void)store;
    return false;
}

struct cm_negotiation cm_negotiate(const struct cm_stream_table *table, unsigned long actions, unsigned long steps)
{
    (void)table;
    return (struct cm_negotiation){.offered_actions = actions, .offered_steps = steps, .actions = actions};
}

bool cm_negotiation_is_outgrown(const struct cm_negotiation *had, const struct cm_stream_table *table, int64_t age_ms)
{
    (void)had;
    (void)table;
    (void)age_ms;
    return false;
}

bool cm_negotiate_macros(SMFICTX *ctx)
{
    (void)ctx;
    return true;
}

void cm_stage_took(enum cm_stage stage, uint64_t began_ns)
{
    (void)stage;
    (void)began_ns;
}

void cm_log(enum cm_log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int len = snprintf(mta.log, sizeof(mta.log), "%d ", (int)level);
    (void)vsnprintf(mta.log + len, sizeof(mta.log) - (size_t)len, format, arguments); /* cut, it is compared in part */
    va_end(arguments);
}

/* --- a message --- */

/* One connection with one message; what was answered to its end. */
static sfsistat send_message(unsigned long actions, const char *refuses, const struct cm_disposition *disposition)
{
    char argument[] = "<ann@door.test>";
    char *argv[] = {argument, NULL};
    unsigned long out[4];
    memset(&mta, 0, sizeof(mta));
    mta.refuses = refuses;
    mta.disposition = *disposition;
    assert_true(cm_door_register(NULL, NULL));
    assert_int_equal(mta.door.xxfi_negotiate(NULL, actions, 0, 0, 0, &out[0], &out[1], &out[2], &out[3]),
                     SMFIS_CONTINUE);
    assert_int_equal(mta.door.xxfi_connect(NULL, NULL, NULL), SMFIS_CONTINUE);
    assert_int_equal(mta.door.xxfi_envfrom(NULL, argv), SMFIS_CONTINUE);
    assert_int_equal(mta.door.xxfi_envrcpt(NULL, argv), SMFIS_CONTINUE);
    assert_int_equal(cm_door_transactions(), 1);
    sfsistat result = mta.door.xxfi_eom(NULL);
    assert_int_equal(cm_door_transactions(), 0);
    assert_int_equal(mta.door.xxfi_close(NULL), SMFIS_CONTINUE);
    assert_null(mta.connection);
    return result;
}

static const char *const removed[] = {"<a@b.test>", "<c@d.test>"};

static const struct cm_disposition everything = {
    .removed = removed, .removed_count = COUNT(removed), .quarantine = "mixed", .status = "yes", .forged = 2};

#define TO_A "delrcpt <a@b.test>; "
#define TO_C TO_A "delrcpt <c@d.test>; "
#define HELD TO_C "quarantine mixed; "
#define CLEANED HELD "chgheader 2; chgheader 1; "

/* LAW-2: a change that is not taken defers the message, and nothing more is tried; an observed one goes. */
static void a_change_that_is_not_taken(void **state)
{
    static const struct {
        const char *refuses;
        const char *calls;
    } rows[] = {
        {"delrcpt <a@b.test>", TO_A}, {"delrcpt <c@d.test>", TO_C},
        {"quarantine mixed", HELD},   {"chgheader 2", HELD "chgheader 2; "},
        {"chgheader 1", CLEANED},     {"addheader yes", CLEANED "addheader yes; "},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_disposition disposition = everything;
        assert_int_equal(send_message(ALL, rows[i].refuses, &disposition), SMFIS_TEMPFAIL);
        assert_string_equal(mta.calls, rows[i].calls);
        assert_string_equal(mta.reply, "451 4.3.0 consent cannot be enforced now, try again later");
        assert_string_equal(mta.log, "1 the mail server did not take a change of a message; it is deferred");
        disposition.observed = true;
        assert_int_equal(send_message(ALL, rows[i].refuses, &disposition), SMFIS_CONTINUE);
        assert_string_equal(mta.calls, rows[i].calls);
        assert_string_equal(mta.reply, "");
        assert_non_null(strstr(mta.log, "2 the mail server did not take a change of an observed message"));
    }
}

/* What was not negotiated is not tried, and the session knows what can be done. */
static void what_the_mail_server_does_not_offer(void **state)
{
    static const struct {
        unsigned long actions;
        unsigned abilities;
        const char *calls;
    } rows[] = {
        {ALL, CM_CAN_REMOVE | CM_CAN_QUARANTINE, CLEANED "addheader yes; "},
        {ALL & ~(unsigned long)SMFIF_CHGHDRS, CM_CAN_REMOVE | CM_CAN_QUARANTINE, HELD "addheader yes; "},
        {ALL & ~(unsigned long)SMFIF_ADDHDRS, CM_CAN_REMOVE | CM_CAN_QUARANTINE, CLEANED},
        {SMFIF_DELRCPT, CM_CAN_REMOVE, HELD},
        {SMFIF_QUARANTINE, CM_CAN_QUARANTINE, HELD},
        {0, 0, HELD}, /* a session that was told so does not ask for it */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(send_message(rows[i].actions, NULL, &everything), SMFIS_CONTINUE);
        assert_string_equal(mta.calls, rows[i].calls);
        assert_int_equal(mta.abilities, rows[i].abilities);
        assert_string_equal(mta.log, "");
    }
}

static void a_message_that_does_not_go_is_not_changed(void **state)
{
    static const struct {
        struct cm_reply reply;
        sfsistat answer;
        const char *said;
    } rows[] = {
        {{.code = "550", .xcode = "5.7.1", .text = "no 100%"}, SMFIS_REJECT, "550 5.7.1 no 100%%"},
        {{.code = "451", .xcode = "4.3.0", .text = "later"}, SMFIS_TEMPFAIL, "451 4.3.0 later"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_disposition disposition = everything;
        disposition.reply = rows[i].reply;
        assert_int_equal(send_message(ALL, NULL, &disposition), rows[i].answer);
        assert_string_equal(mta.calls, "");
        assert_string_equal(mta.reply, rows[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_that_is_not_taken),
        cmocka_unit_test(what_the_mail_server_does_not_offer),
        cmocka_unit_test(a_message_that_does_not_go_is_not_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
