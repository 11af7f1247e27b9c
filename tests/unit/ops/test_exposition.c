/* The text that Prometheus reads, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/exposition.h"

static void families_and_samples(void **state)
{
    struct cm_exposition exposition;
    size_t len = 0;
    (void)state;
    cm_exposition_begin(&exposition);
    cm_exposition_family(&exposition, "a_total", CM_METRIC_COUNTER, "What is counted.");
    cm_exposition_count(&exposition, CM_NO_LABELS, UINT64_MAX);
    cm_exposition_count(&exposition, CM_LABELS({"x", "1"}, {"y", "2"}), 0);
    cm_exposition_family(&exposition, "b_seconds", CM_METRIC_GAUGE, "When.");
    cm_exposition_value(&exposition, CM_NO_LABELS, 0.25);
    char *text = cm_exposition_end(&exposition, &len);
    assert_string_equal(text, "# HELP a_total What is counted.\n# TYPE a_total counter\n"
                              "a_total 18446744073709551615\na_total{x=\"1\",y=\"2\"} 0\n"
                              "# HELP b_seconds When.\n# TYPE b_seconds gauge\nb_seconds 0.25\n");
    assert_int_equal(len, strlen(text));
    free(text);
}

static void label_values_are_escaped(void **state)
{
    struct cm_exposition exposition;
    size_t len = 0;
    (void)state;
    cm_exposition_begin(&exposition);
    cm_exposition_family(&exposition, "a", CM_METRIC_GAUGE, "A.");
    cm_exposition_count(&exposition, CM_LABELS({"x", "q\" b\\ n\n %s\x80"}), 1);
    char *text = cm_exposition_end(&exposition, &len);
    assert_non_null(strstr(text, "a{x=\"q\\\" b\\\\ n\\n %s\x80\"} 1\n"));
    free(text);
}

static void a_histogram_is_cumulative(void **state)
{
    struct cm_histogram histogram = {0};
    struct cm_exposition exposition;
    size_t len = 0;
    (void)state;
    cm_histogram_add(&histogram, 50000);
    cm_histogram_add(&histogram, 2000000);
    cm_histogram_add(&histogram, UINT64_C(7000000000));
    cm_exposition_begin(&exposition);
    cm_exposition_family(&exposition, "t_seconds", CM_METRIC_HISTOGRAM, "T.");
    cm_exposition_histogram(&exposition, CM_LABELS({"stage", "rcpt"}), &histogram);
    cm_exposition_family(&exposition, "u_seconds", CM_METRIC_HISTOGRAM, "U.");
    cm_exposition_histogram(&exposition, NULL, &histogram);
    char *text = cm_exposition_end(&exposition, &len);
    static const char *const lines[] = {
        "t_seconds_bucket{stage=\"rcpt\",le=\"5e-05\"} 1\n",
        "t_seconds_bucket{stage=\"rcpt\",le=\"0.001\"} 1\n",
        "t_seconds_bucket{stage=\"rcpt\",le=\"0.0025\"} 2\n",
        "t_seconds_bucket{stage=\"rcpt\",le=\"5\"} 2\n",
        "t_seconds_bucket{stage=\"rcpt\",le=\"+Inf\"} 3\n",
        "t_seconds_sum{stage=\"rcpt\"} 7.00205\n",
        "t_seconds_count{stage=\"rcpt\"} 3\n",
        "u_seconds_bucket{le=\"+Inf\"} 3\n",
        "u_seconds_count 3\n",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (strstr(text, lines[i]) == NULL) {
            fail_msg("%s is not in\n%s", lines[i], text);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_and_samples),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(a_histogram_is_cumulative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
