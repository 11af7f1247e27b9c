#include "base/result.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void set_formats(void **state)
{
    (void)state;
    struct cm_err err;
    cm_err_set(&err, "%s:%d: %s", "a.conf", 12, "unknown key");
    assert_string_equal(err.text, "a.conf:12: unknown key");
    cm_err_set(&err, "%s", "");
    assert_string_equal(err.text, "");
}

static void prefixes_stack_from_outside_in(void **state)
{
    (void)state;
    struct cm_err err;
    cm_err_set(&err, "refused");
    cm_err_prefix(&err, "connect to %s", "redis");
    cm_err_prefix(&err, "init");
    assert_string_equal(err.text, "init: connect to redis: refused");
}

static void a_caller_may_not_want_to_know(void **state)
{
    (void)state;
    cm_err_set(NULL, "%d", 1);
    cm_err_prefix(NULL, "%d", 1);
}

static void long_text_is_cut_and_ends(void **state)
{
    (void)state;
    char longest[2 * CM_ERR_BYTES];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    static const struct {
        const char *name;
        size_t set;
        size_t prefix;
        size_t want;
    } rows[] = {
        {"fits to the last byte", CM_ERR_BYTES - 1, 0, CM_ERR_BYTES - 1},
        {"one byte too long", CM_ERR_BYTES, 0, CM_ERR_BYTES - 1},
        {"prefix and text fit to the last byte", CM_ERR_BYTES - 1 - 2 - 10, 10, CM_ERR_BYTES - 1},
        {"prefix and text one byte too long", CM_ERR_BYTES - 2 - 10, 10, CM_ERR_BYTES - 1},
        {"the prefix alone is too long", 5, CM_ERR_BYTES + 7, CM_ERR_BYTES - 1},
        {"the prefix leaves room for one byte", 5, CM_ERR_BYTES - 2, CM_ERR_BYTES - 1},
        {"one byte short of full", CM_ERR_BYTES - 2 - 2 - 10, 10, CM_ERR_BYTES - 2},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct {
            struct cm_err err;
            char behind[8];
        } at = {.behind = "guard"};
        cm_err_set(&at.err, "%.*s", (int)rows[i].set, longest);
        if (rows[i].prefix > 0) {
            cm_err_prefix(&at.err, "%.*s", (int)rows[i].prefix, longest);
        }
        if (strlen(at.err.text) != rows[i].want || strcmp(at.behind, "guard") != 0) {
            fail_msg("%s: %zu bytes", rows[i].name, strlen(at.err.text));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_formats),
        cmocka_unit_test(prefixes_stack_from_outside_in),
        cmocka_unit_test(a_caller_may_not_want_to_know),
        cmocka_unit_test(long_text_is_cut_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
