/* The families of service/metrics.h: how many series there are at most, and that none goes back. */
#include "session_bench.h"

#include "service/metrics.h"

static const char configuration[] = "store: { url = \"unix:/unused\"; };\n"
                                    "outgoing: { auth = [\"*\"]; };\n"
                                    "streams: ( { name = \"news\"; match: { auth = [\"acme\"]; }; sender = \"acme\"; "
                                    "purpose = \"news\"; class = \"marketing\"; } );\n";

static int set_up(void **state)
{
    return bench_start(state, configuration);
}

static struct cm_metrics *open_metrics(struct bench *bench, struct cm_alarm *alarm)
{
    const struct cm_metrics_parts parts = {.filter = bench->filter,
                                           .tally = bench->tally,
                                           .store = bench->store,
                                           .recorder = bench->recorder,
                                           .alarm = alarm};
    struct cm_metrics *metrics = cm_metrics_new(&parts);
    assert_non_null(metrics);
    return metrics;
}

static char *write_all(struct cm_metrics *metrics)
{
    struct cm_exposition exposition;
    size_t len = 0;
    cm_exposition_begin(&exposition);
    cm_metrics_write(metrics, &exposition);
    char *text = cm_exposition_end(&exposition, &len);
    assert_non_null(text);
    return text;
}

static size_t count_series(const char *text, const char *start)
{
    size_t count = 0;
    for (const char *p = strstr(text, start); p != NULL; p = strstr(p + 1, start)) {
        count += p == text || p[-1] == '\n' ? 1 : 0;
    }
    return count;
}

static void refuse(struct bench *bench, const char *stream, enum cm_reason reason, unsigned times)
{
    struct cm_decision decision = cm_decision_of(cm_reason_verdict(reason), reason);
    struct cm_tally_row *row = cm_tally_row(bench->tally, stream);
    for (unsigned i = 0; i < times; i++) {
        cm_tally_count(bench->tally, row, &decision, false);
    }
}

static void expect_line(const char *text, const char *line)
{
    if (strstr(text, line) == NULL) {
        fail_msg("%s is not in\n%s", line, text);
    }
}

static void series_past_the_ceiling_are_told_as_other(void **state)
{
    struct bench *bench = *state;
    struct cm_alarm *alarm = cm_alarm_new(900, 60);
    struct cm_metrics *metrics = open_metrics(bench, alarm);
    char name[16];
    for (unsigned i = 0; i < CM_METRICS_SERIES_MAX + 50; i++) {
        (void)snprintf(name, sizeof(name), "s%03u", i); /* fits */
        refuse(bench, name, CM_REASON_NO_CONSENT, 2);
    }
    char *text = write_all(metrics);
    assert_int_equal(count_series(text, "consent_milter_decisions_total{"), CM_METRICS_SERIES_MAX - 5);
    expect_line(text, "{stream=\"s193\",verdict=\"refuse\",reason=\"no_consent\",mode=\"enforce\"} 2\n");
    expect_line(text, "{stream=\"other\",verdict=\"refuse\",reason=\"other\",mode=\"enforce\"} 112\n");
    free(text);
    /* Whatever counts later, in whatever row, those that were told are told again, and none becomes smaller. */
    refuse(bench, "s000", CM_REASON_WITHDRAWN, 3);
    text = write_all(metrics);
    expect_line(text, "{stream=\"s193\",verdict=\"refuse\",reason=\"no_consent\",mode=\"enforce\"} 2\n");
    expect_line(text, "{stream=\"other\",verdict=\"refuse\",reason=\"other\",mode=\"enforce\"} 115\n");
    assert_int_equal(count_series(text, "consent_milter_decisions_total{"), CM_METRICS_SERIES_MAX - 5);
    free(text);
    cm_metrics_free(metrics);
    cm_alarm_free(alarm);
}

static void troubles_and_ceilings_are_there_from_the_start(void **state)
{
    struct bench *bench = *state;
    struct cm_alarm *alarm = cm_alarm_new(900, 60);
    struct cm_metrics *metrics = open_metrics(bench, alarm);
    cm_tally_count_ceiling(bench->tally, CM_CEILING_HEADERS);
    char *text = write_all(metrics);
    assert_int_equal(count_series(text, "consent_milter_store_troubles_total{"),
                     CM_TROUBLE_COUNT - CM_TROUBLE_NONE - 1);
    expect_line(text, "consent_milter_message_limits_reached_total{limit=\"headers\"} 1\n");
    expect_line(text, "consent_milter_message_limits_reached_total{limit=\"recipients\"} 0\n");
    expect_line(text, "consent_milter_store_up 1\n");
    expect_line(text, "consent_milter_config_generation 1\n");
    expect_line(text, "consent_milter_streams 1\n");
    expect_line(text, "consent_milter_canary_recipients_total 0\n");
    free(text);
    cm_metrics_free(metrics);
    cm_alarm_free(alarm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(series_past_the_ceiling_are_told_as_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(troubles_and_ceilings_are_there_from_the_start, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
