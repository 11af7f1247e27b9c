/* The rule of when to decide (DESIGN 4), with a scripted store behind the session. */
#include "session_bench.h"

static const char configuration[] =
    "store: { url = \"unix:/r\"; };\n"
    "contact: { url = \"https://acme.example/p\"; };\n"
    "outgoing: { auth = [\"*\"]; };\n"
    "unmatched: { bulk = \"refuse\"; };\n"
    "streams: (\n"
    "  { name = \"plain\"; match: { auth = [\"plain\"]; }; sender = \"acme\"; purpose = \"newsletter\"; },\n"
    "  { name = \"news\"; match: { auth = [\"both\"]; headers = ({ name = \"List-Id\"; value = \"*news*\"; }); };\n"
    "    sender = \"acme\"; purpose = \"newsletter\"; },\n"
    "  { name = \"offers\"; match: { auth = [\"both\"]; }; sender = \"acme\"; purpose = \"offers\"; },\n"
    "  { name = \"only\"; match: { auth = [\"only\"]; headers = ({ name = \"List-Id\"; value = \"*news*\"; }); };\n"
    "    sender = \"acme\"; purpose = \"newsletter\"; },\n"
    "  { name = \"shop-news\"; match: { auth = [\"shop\"]; headers = ({ name = \"List-Id\"; value = \"*\"; }); };\n"
    "    sender = \"acme\"; purpose = \"newsletter\"; },\n"
    "  { name = \"shop\"; match: { auth = [\"shop\"]; }; sender = \"acme\"; class = \"service\"; },\n"
    "  { name = \"watched\"; match: { auth = [\"watched\"]; }; sender = \"acme\"; purpose = \"newsletter\";\n"
    "    mode = \"observe\"; },\n"
    "  { name = \"watched-headers\"; match: { auth = [\"watched-headers\"];\n"
    "    headers = ({ name = \"List-Id\"; value = \"*news*\"; }); }; sender = \"acme\"; purpose = \"newsletter\";\n"
    "    mode = \"observe\"; },\n"
    "  { name = \"declared\"; match: { auth = [\"declared\"]; }; sender = \"acme\";\n"
    "    purpose_from = \"header:X-Purpose\"; },\n"
    "  { name = \"watched-declared\"; match: { auth = [\"watched-declared\"]; }; sender = \"acme\";\n"
    "    purpose_from = \"header:X-Purpose\"; mode = \"observe\"; },\n"
    "  { name = \"local\"; match: { local = true; }; sender = \"acme\"; purpose = \"newsletter\"; }\n"
    ");\n";

static int set_up(void **state)
{
    return bench_start(state, configuration);
}

static void one_stream_without_headers_decides_at_rcpt(void **state)
{
    struct bench *bench = *state;
    grant(bench, "ann@x.test", FAKE_NEWS);
    mail(bench, "plain");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    assert_string_equal(rcpt(bench, "bob@x.test"), "550");
    unsigned asked = bench->fake.lookups;
    assert_string_equal(end(bench, NULL), "");
    assert_int_equal(bench->fake.lookups, asked); /* nothing was left open */
}

static void candidates_that_all_refuse_refuse_at_rcpt(void **state)
{
    struct bench *bench = *state;
    mail(bench, "both");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "550");
    assert_string_equal(end(bench, NULL), "");
}

static void candidates_that_all_do_not_know_defer_at_rcpt(void **state)
{
    struct bench *bench = *state;
    static const char *const logins[] = {"plain", "both", "only"};
    bench->fake.away = true;
    for (size_t i = 0; i < COUNT(logins); i++) {
        mail(bench, logins[i]);
        assert_string_equal(rcpt(bench, "ann@x.test"), "451");
    }
}

static void what_headers_decide_waits_for_the_end(void **state)
{
    struct bench *bench = *state;
    grant(bench, "ann@x.test", FAKE_NEWS);
    static const struct {
        const char *list_id;
        const char *want;
    } rows[] = {{"<news.acme.example>", ""}, {"<other.example>", "550"}, {NULL, "550"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        mail(bench, "both");
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        if (rows[i].list_id != NULL) {
            header(bench, "List-ID", rows[i].list_id);
        }
        assert_string_equal(end(bench, NULL), rows[i].want);
    }
}

static void a_withdrawal_between_rcpt_and_end_counts(void **state)
{
    struct bench *bench = *state;
    grant(bench, "ann@x.test", FAKE_NEWS);
    mail(bench, "both");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    header(bench, "List-Id", "<news.acme.example>");
    bench->fake.record_count = 0;
    assert_string_equal(end(bench, NULL), "550");
}

static void one_refusal_refuses_the_message_and_names_who(void **state)
{
    struct bench *bench = *state;
    struct cm_reply reply;
    grant(bench, "ann@x.test", FAKE_NEWS);
    mail(bench, "both");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    for (unsigned i = 1; i <= 5; i++) {
        char address[32];
        (void)snprintf(address, sizeof(address), "offers%u@x.test", i); /* fits */
        grant(bench, address, FAKE_OFFERS);
        assert_string_equal(rcpt(bench, address), "");
    }
    header(bench, "List-Id", "<news.acme.example>");
    assert_string_equal(end(bench, &reply), "550");
    assert_non_null(strstr(reply.text, "offers1@x.test"));
    assert_non_null(strstr(reply.text, "offers3@x.test"));
    assert_null(strstr(reply.text, "offers4@x.test"));
    assert_non_null(strstr(reply.text, "and 2 more"));
    assert_null(strstr(reply.text, "ann@x.test"));
}

static void one_don_t_know_defers_the_message(void **state)
{
    struct bench *bench = *state;
    grant(bench, "ann@x.test", FAKE_NEWS);
    grant(bench, "ben@x.test", FAKE_OFFERS);
    mail(bench, "both");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    assert_string_equal(rcpt(bench, "ben@x.test"), "");
    header(bench, "List-Id", "<news.acme.example>");
    bench->fake.away = true;
    fake_order(&bench->fake.redis, 'd');
    assert_string_equal(end(bench, NULL), "451");
}

/* LAW-1 */
static void a_claimed_session_never_falls_through(void **state)
{
    struct bench *bench = *state;
    struct cm_reply reply;
    grant(bench, "ann@x.test", FAKE_NEWS);
    mail(bench, "only");
    assert_string_equal(rcpt(bench, "bob@x.test"), "550"); /* neither the stream nor none would take it */
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    assert_string_equal(end(bench, &reply), "550"); /* without the header it belongs to no stream */
    assert_non_null(strstr(reply.text, "purpose unknown"));
    cm_session_mail(bench->session, CM_SPAN("<>"), CM_SPAN("only"), false);
    assert_string_equal(rcpt(bench, "bob@x.test"), "550"); /* the null sender does not release a claim */
    cm_session_mail(bench->session, CM_SPAN("<not an address"), CM_SPAN("plain"), false);
    assert_string_equal(rcpt(bench, "bob@x.test"), "550");
}

static void a_service_stream_among_the_candidates_keeps_recipients_open(void **state)
{
    struct bench *bench = *state;
    for (unsigned with_header = 0; with_header < 2; with_header++) {
        mail(bench, "shop");
        assert_string_equal(rcpt(bench, "nobody@x.test"), "");
        if (with_header == 1) {
            header(bench, "List-Id", "<anything>");
        }
        assert_string_equal(end(bench, NULL), with_header == 1 ? "550" : "");
    }
    bench->fake.away = true;
    fake_order(&bench->fake.redis, 'd');
    mail(bench, "shop");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    assert_string_equal(end(bench, NULL), ""); /* a receipt, whatever ails the store */
}

static void mail_of_the_sendmail_command_is_never_answered_early(void **state)
{
    struct bench *bench = *state;
    for (unsigned away = 0; away < 2; away++) {
        bench->fake.away = away == 1;
        fake_order(&bench->fake.redis, 'd');
        cm_session_connect(bench->session, CM_SPAN("smtpd"), CM_SPAN("127.0.0.1"), CM_SPAN("mx.acme.example"));
        cm_session_mail(bench->session, CM_SPAN("<news@acme.example>"), NONE, true);
        assert_string_equal(rcpt(bench, "nobody@x.test"), "");
        assert_string_equal(rcpt(bench, "a b@"), "");
        assert_string_equal(end(bench, NULL), away == 1 ? "451" : "550");
    }
}

/* LAW-2 */
static void observing_never_refuses(void **state)
{
    struct bench *bench = *state;
    static const char *const logins[] = {"watched", "watched-headers", "watched-declared"};
    for (size_t i = 0; i < COUNT(logins) * 2; i++) {
        bench->fake.away = i >= COUNT(logins);
        fake_order(&bench->fake.redis, 'd');
        mail(bench, logins[i % COUNT(logins)]);
        assert_string_equal(rcpt(bench, "nobody@x.test"), "");
        assert_string_equal(rcpt(bench, "not an address"), "");
        if (i % 2 == 0) {
            header(bench, "List-Id", "<news.acme.example>");
        }
        assert_string_equal(end(bench, NULL), "");
    }
}

static void observing_everything_never_refuses(void **state)
{
    struct bench *bench = *state;
    static const char *const logins[] = {"plain", "both", "only", "shop", "declared", "somebody", ""};
    close_filter(bench);
    open_filter(bench, "mode = \"observe\";\n");
    for (size_t i = 0; i < COUNT(logins) * 2; i++) {
        bench->fake.away = i >= COUNT(logins);
        fake_order(&bench->fake.redis, 'd');
        mail(bench, logins[i % COUNT(logins)]);
        assert_string_equal(rcpt(bench, "nobody@x.test"), "");
        header(bench, "Precedence", "bulk");
        assert_string_equal(end(bench, NULL), "");
    }
}

static void undeclared_bulk_of_our_own_is_refused_at_the_end(void **state)
{
    struct bench *bench = *state;
    struct cm_reply reply;
    mail(bench, "somebody");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    header(bench, "Precedence", "bulk");
    assert_string_equal(end(bench, &reply), "550");
    assert_non_null(strstr(reply.text, "undeclared bulk"));
    mail(bench, ""); /* not ours: passes untouched */
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    header(bench, "Precedence", "bulk");
    assert_string_equal(end(bench, NULL), "");
    mail(bench, "somebody"); /* nothing of the message before is left */
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    assert_string_equal(end(bench, NULL), "");
    assert_int_equal(bench->fake.lookups, 0);
}

static void what_cannot_be_parsed_is_refused_where_it_matters(void **state)
{
    struct bench *bench = *state;
    mail(bench, "plain");
    assert_string_equal(rcpt(bench, "@"), "550");
    mail(bench, "somebody");
    assert_string_equal(rcpt(bench, "@"), "");
    assert_string_equal(end(bench, NULL), "");
}

static void open_recipients_have_a_ceiling(void **state)
{
    struct bench *bench = *state;
    static const char *const logins[] = {"declared", "watched-declared"};
    for (size_t i = 0; i < COUNT(logins); i++) {
        mail(bench, logins[i]);
        for (unsigned n = 0; n < CM_LIMIT_OPEN_RECIPIENTS; n++) {
            char address[32];
            (void)snprintf(address, sizeof(address), "r%u@x.test", n); /* fits */
            if (rcpt(bench, address)[0] != '\0') {
                fail_msg("recipient %u of %s", n, logins[i]);
            }
        }
        assert_string_equal(rcpt(bench, "onemore@x.test"), i == 0 ? "452" : "");
        assert_string_equal(rcpt(bench, "another@x.test"), i == 0 ? "452" : "");
        header(bench, "X-Purpose", "newsletter");
        assert_string_equal(end(bench, NULL), i == 0 ? "550" : "");
        mail(bench, logins[i]); /* the next message has room again */
        assert_string_equal(rcpt(bench, "onemore@x.test"), "");
    }
}

/* One message with so many headers that streams ask about; its answer. */
static const char *with_headers(struct bench *bench, const char *auth, unsigned count)
{
    mail(bench, auth);
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    for (unsigned i = 0; i < count; i++) {
        header(bench, "List-Id", "<news.acme.example>");
        header(bench, "X-Nobody-Asks", "for this one");
    }
    return end(bench, NULL);
}

static void kept_headers_have_a_ceiling(void **state)
{
    struct bench *bench = *state;
    grant(bench, "ann@x.test", FAKE_NEWS);
    assert_string_equal(with_headers(bench, "both", CM_LIMIT_HEADERS_KEPT), "");
    assert_string_equal(with_headers(bench, "both", CM_LIMIT_HEADERS_KEPT + 1), "452");
    assert_string_equal(with_headers(bench, "both", 1), "");
    assert_string_equal(with_headers(bench, "watched-headers", CM_LIMIT_HEADERS_KEPT + 1), "");
    assert_string_equal(with_headers(bench, "somebody", CM_LIMIT_HEADERS_KEPT + 1),
                        "452"); /* may be bulk: don't know */
}

static void the_settings_may_lower_the_ceilings(void **state)
{
    struct bench *bench = *state;
    bench->settings->limits.recipients = 2;
    bench->settings->limits.header_bytes = 10 * (7 + 19); /* ten headers as with_headers sends them */
    mail(bench, "declared");
    assert_string_equal(rcpt(bench, "r1@x.test"), "");
    assert_string_equal(rcpt(bench, "r2@x.test"), "");
    assert_string_equal(rcpt(bench, "r3@x.test"), "452");
    assert_int_equal(cm_tally_ceilings(bench->tally, CM_CEILING_RECIPIENTS), 1);
    grant(bench, "ann@x.test", FAKE_NEWS);
    assert_string_equal(with_headers(bench, "both", 10), "");
    assert_string_equal(with_headers(bench, "both", 11), "452");
    assert_int_equal(cm_tally_ceilings(bench->tally, CM_CEILING_HEADERS), 1);
    assert_int_equal(cm_tally_ceilings(bench->tally, CM_CEILING_MEMORY), 0);
}

static void a_ceiling_is_nothing_to_mail_that_is_not_ours(void **state)
{
    struct bench *bench = *state;
    assert_string_equal(with_headers(bench, "", CM_LIMIT_HEADERS_KEPT + 1), "");
}

/* LAW-2 */
static void a_ceiling_refuses_nothing_while_everything_is_observed(void **state)
{
    struct bench *bench = *state;
    close_filter(bench);
    open_filter(bench, "mode = \"observe\";\n");
    assert_string_equal(with_headers(bench, "both", CM_LIMIT_HEADERS_KEPT + 1), "");
    assert_string_equal(with_headers(bench, "somebody", CM_LIMIT_HEADERS_KEPT + 1), "");
}

static void long_header_values_are_cut_and_do_not_match_by_their_end(void **state)
{
    struct bench *bench = *state;
    char value[2 * CM_LIMIT_HEADER_VALUE_BYTES];
    grant(bench, "ann@x.test", FAKE_NEWS);
    memset(value, 'x', sizeof(value));
    memcpy(value + sizeof(value) - 8, "<news>", 7);
    mail(bench, "both");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    header(bench, "List-Id", value);
    assert_string_equal(end(bench, NULL), "550");
}

static void a_reset_forgets_the_message(void **state)
{
    struct bench *bench = *state;
    grant(bench, "ann@x.test", FAKE_NEWS);
    mail(bench, "both");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    cm_session_reset(bench->session);
    header(bench, "List-Id", "<news.acme.example>");
    assert_string_equal(end(bench, NULL), "451"); /* no message: nothing to judge by. LAW-1 */
    mail(bench, "plain");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "550");
}

static void the_state_is_told_to_the_stream_s_own_login_only(void **state)
{
    struct bench *bench = *state;
    struct cm_reply reply;
    mail(bench, "plain");
    cm_session_rcpt(bench->session, CM_SPAN("<no@x.test>"), CM_SPAN("no@x.test"), NONE, &reply);
    assert_null(strstr(reply.text, "suppression"));
    cm_session_mail(bench->session, CM_SPAN("<news@acme.example>"), NONE, true);
    assert_string_equal(rcpt(bench, "no@x.test"), "");
    assert_string_equal(end(bench, &reply), "550");
    assert_non_null(strstr(reply.text, "no consent on record, or recipient is in the suppression list"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(one_stream_without_headers_decides_at_rcpt),
        CASE(candidates_that_all_refuse_refuse_at_rcpt),
        CASE(candidates_that_all_do_not_know_defer_at_rcpt),
        CASE(what_headers_decide_waits_for_the_end),
        CASE(a_withdrawal_between_rcpt_and_end_counts),
        CASE(one_refusal_refuses_the_message_and_names_who),
        CASE(one_don_t_know_defers_the_message),
        CASE(a_claimed_session_never_falls_through),
        CASE(a_service_stream_among_the_candidates_keeps_recipients_open),
        CASE(mail_of_the_sendmail_command_is_never_answered_early),
        CASE(observing_never_refuses),
        CASE(observing_everything_never_refuses),
        CASE(undeclared_bulk_of_our_own_is_refused_at_the_end),
        CASE(what_cannot_be_parsed_is_refused_where_it_matters),
        CASE(open_recipients_have_a_ceiling),
        CASE(kept_headers_have_a_ceiling),
        CASE(the_settings_may_lower_the_ceilings),
        CASE(a_ceiling_is_nothing_to_mail_that_is_not_ours),
        CASE(a_ceiling_refuses_nothing_while_everything_is_observed),
        CASE(long_header_values_are_cut_and_do_not_match_by_their_end),
        CASE(a_reset_forgets_the_message),
        CASE(the_state_is_told_to_the_stream_s_own_login_only),
    };
    cm_log_open("test", false); /* thousands of decisions are not for the eyes */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
