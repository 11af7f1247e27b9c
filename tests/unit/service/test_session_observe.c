/* Observing: nothing is refused, everything is told; and modes that are set while the daemon runs. */
#include "session_bench.h"

static const char configuration[] =
    "store: { url = \"unix:/r\"; };\n"
    "outgoing: { auth = [\"*\"]; };\n"
    "unmatched: { bulk = \"refuse\"; };\n"
    "streams: (\n"
    "  { name = \"watched\"; match: { auth = [\"watched\"]; }; sender = \"acme\"; purpose = \"newsletter\";\n"
    "    mode = \"observe\"; },\n"
    "  { name = \"plain\"; match: { auth = [\"plain\"]; }; sender = \"acme\"; purpose = \"newsletter\"; },\n"
    "  { name = \"only\"; match: { auth = [\"only\"]; headers = ({ name = \"List-Id\"; value = \"*news*\"; }); };\n"
    "    sender = \"acme\"; purpose = \"newsletter\"; }\n"
    ");\n";

static int set_up(void **state)
{
    return bench_start(state, configuration);
}

static void what_was_let_pass_is_told_in_a_header(void **state)
{
    struct bench *bench = *state;
    struct cm_disposition got;
    grant(bench, "ann@x.test", FAKE_NEWS);
    for (unsigned away = 0; away < 2; away++) {
        bench->fake.away = away == 1;
        fake_order(&bench->fake.redis, 'd');
        mail(bench, "watched");
        assert_string_equal(rcpt(bench, "nobody@x.test"), "");
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        assert_string_equal(rcpt(bench, "nemo@x.test"), "");
        end_with(bench, 0, &got);
        assert_null(got.reply.code);
        assert_true(got.observed);
        assert_non_null(got.status);
        const char *want = away == 1 ? "observe; verdict=defer; reason=trouble; id="
                                     : "observe; verdict=refuse; reason=no_consent; id=";
        assert_memory_equal(got.status, want, strlen(want));
        assert_non_null(strstr(got.status, away == 1 ? "; recipients=3" : "; recipients=2"));
        assert_null(strchr(got.status, '@'));
    }
}

static void who_consented_gets_no_header(void **state)
{
    struct bench *bench = *state;
    struct cm_disposition got;
    grant(bench, "ann@x.test", FAKE_NEWS);
    mail(bench, "watched");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    end_with(bench, 0, &got);
    assert_null(got.status);
}

static void forged_copies_of_claimed_mail_are_counted(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *auth;
        size_t want;
    } rows[] = {{"watched", 2}, {"plain", 2}, {"somebody", 0}, {"", 0}};
    grant(bench, "ann@x.test", FAKE_NEWS);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_disposition got;
        mail(bench, rows[i].auth);
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        header(bench, "X-Consent-Status", "enforce; verdict=accept");
        header(bench, "x-consent-STATUS", "observe");
        header(bench, "X-Consent-Status-Not", "observe");
        end_with(bench, 0, &got);
        assert_null(got.reply.code);
        assert_int_equal(got.forged, rows[i].want);
    }
}

/* Each message is judged by one mode, that of its MAIL. */
static void a_mode_set_at_run_time_counts_from_the_next_message(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *stream;
        enum cm_mode mode;
        const char *plain;
        const char *watched;
    } rows[] = {
        {"plain", CM_MODE_OBSERVE, "", ""},     {"watched", CM_MODE_ENFORCE, "", "550"},
        {"plain", CM_MODE_UNSET, "550", "550"}, {NULL, CM_MODE_OBSERVE, "", ""},
        {"plain", CM_MODE_ENFORCE, "550", ""},  {NULL, CM_MODE_ENFORCE, "550", "550"},
        {NULL, CM_MODE_UNSET, "550", ""},       {"no such stream", CM_MODE_OBSERVE, "550", ""},
    };
    const char *before = "550";
    for (size_t i = 0; i < COUNT(rows); i++) {
        mail(bench, "plain");
        assert_true(cm_filter_override(bench->filter, rows[i].stream, rows[i].mode));
        assert_string_equal(rcpt(bench, "nobody@x.test"), before);
        mail(bench, "plain");
        assert_string_equal(rcpt(bench, "nobody@x.test"), rows[i].plain);
        assert_int_equal(cm_filter_mode(bench->filter, bench->generation, 1),
                         rows[i].plain[0] == '\0' ? CM_MODE_OBSERVE : CM_MODE_ENFORCE);
        mail(bench, "watched");
        assert_string_equal(rcpt(bench, "nobody@x.test"), rows[i].watched);
        before = rows[i].plain;
    }
}

/* LAW-1, LAW-2: also what belongs to no stream follows the mode of those that claim it. */
static void a_claim_follows_the_mode_of_run_time(void **state)
{
    struct bench *bench = *state;
    mail(bench, "only");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "550");
    assert_true(cm_filter_override(bench->filter, "only", CM_MODE_OBSERVE));
    mail(bench, "only");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    assert_string_equal(end(bench, NULL), "");
}

static void a_mode_of_run_time_outlives_a_reload(void **state)
{
    struct bench *bench = *state;
    struct cm_session *old = bench->session;
    struct cm_settings *settings = load(bench, "");
    assert_true(cm_filter_override(bench->filter, "plain", CM_MODE_OBSERVE));
    mail(bench, "plain");
    struct cm_generation *second = cm_generation_new(settings, 2, bench->tally);
    assert_non_null(second);
    cm_filter_install(bench->filter, second);
    bench->session = cm_session_new(bench->filter, second);
    cm_generation_unref(second);
    assert_non_null(bench->session);
    mail(bench, "plain");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    cm_session_free(bench->session);
    bench->session = old; /* goes on by its own */
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    mail(bench, "plain");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(what_was_let_pass_is_told_in_a_header),     CASE(who_consented_gets_no_header),
        CASE(forged_copies_of_claimed_mail_are_counted), CASE(a_mode_set_at_run_time_counts_from_the_next_message),
        CASE(a_claim_follows_the_mode_of_run_time),      CASE(a_mode_of_run_time_outlives_a_reload),
    };
    cm_log_open("test", false); /* decisions are not for the eyes */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
