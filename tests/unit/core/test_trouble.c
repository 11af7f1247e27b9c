#include "core/trouble.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_trouble_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CM_TROUBLE_COUNT; a++) {
        const char *name = cm_trouble_name((enum cm_trouble)a);
        assert_non_null(name);
        assert_true(name[0] != '\0');
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name)); /* needs no quotes in a log line */
        for (unsigned b = 0; b < a; b++) {
            assert_string_not_equal(name, cm_trouble_name((enum cm_trouble)b));
        }
    }
}

static void every_trouble_has_advice(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CM_TROUBLE_COUNT; a++) {
        const char *advice = cm_trouble_advice((enum cm_trouble)a);
        assert_non_null(advice);
        if (a != CM_TROUBLE_NONE && (strlen(advice) < 10 || strchr(".?", advice[strlen(advice) - 1]) == NULL)) {
            fail_msg("%s: \"%s\" is no sentence", cm_trouble_name((enum cm_trouble)a), advice);
        }
    }
}

static void a_value_out_of_range_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(cm_trouble_name(CM_TROUBLE_COUNT), "unknown");
    assert_string_equal(cm_trouble_advice(CM_TROUBLE_COUNT), "");
    assert_string_equal(cm_trouble_name((enum cm_trouble)255), "unknown");
    assert_string_equal(cm_trouble_advice((enum cm_trouble)255), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_trouble_has_a_word_of_its_own),
        cmocka_unit_test(every_trouble_has_advice),
        cmocka_unit_test(a_value_out_of_range_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
