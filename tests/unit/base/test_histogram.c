/* Where a time is counted: at both sides of every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/histogram.h"

static void a_time_belongs_to_the_first_step_that_holds_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < CM_HISTOGRAM_STEPS; i++) {
        struct cm_histogram at = {0};
        struct cm_histogram past = {0};
        cm_histogram_add(&at, cm_histogram_steps_ns[i]);
        cm_histogram_add(&past, cm_histogram_steps_ns[i] + 1);
        assert_int_equal(at.counts[i], 1);
        assert_int_equal(past.counts[i + 1], 1);
        assert_int_equal(past.sum_ns, cm_histogram_steps_ns[i] + 1);
        assert_true(i == 0 || cm_histogram_steps_ns[i] > cm_histogram_steps_ns[i - 1]);
    }
}

static void sums_add_up(void **state)
{
    struct cm_histogram histogram = {0};
    (void)state;
    cm_histogram_add(&histogram, 0);
    cm_histogram_add(&histogram, 60000);
    cm_histogram_add(&histogram, UINT64_C(6000000000));
    assert_int_equal(histogram.counts[0], 1);
    assert_int_equal(histogram.counts[1], 1);
    assert_int_equal(histogram.counts[CM_HISTOGRAM_STEPS], 1);
    assert_int_equal(histogram.sum_ns, UINT64_C(6000060000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_belongs_to_the_first_step_that_holds_it),
        cmocka_unit_test(sums_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
