#include "core/statement.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW 1000

/* LAW-9: grants under a version older than the newest material one in effect stop permitting. */
static void the_floor_is_the_newest_material_version_in_effect(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cm_statement statements[4];
        size_t count;
        uint16_t want;
    } rows[] = {
        {"no statement at all", {{0, false, 0}}, 0, 0},
        {"only editorial versions", {{1, false, 1}, {2, false, 2}}, 2, 0},
        {"the first version is material", {{1, true, 1}}, 1, 1},
        {"in effect since long", {{1, false, 1}, {2, true, 10}}, 2, 2},
        {"in effect one millisecond ago", {{1, false, 1}, {2, true, NOW - 1}}, 2, 2},
        {"in effect from this millisecond on", {{1, false, 1}, {2, true, NOW}}, 2, 2},
        {"in effect in one millisecond", {{1, false, 1}, {2, true, NOW + 1}}, 2, 0},
        {"an editorial version after it changes nothing", {{2, true, 10}, {3, false, 20}}, 2, 2},
        {"the newer of two", {{2, true, 10}, {3, true, 20}}, 2, 3},
        {"the newer of two, listed first", {{3, true, 20}, {2, true, 10}}, 2, 3},
        {"the newest is not in effect yet", {{2, true, 10}, {3, true, NOW + 1}}, 2, 2},
        {"an older version that takes effect later", {{2, true, 500}, {3, true, 20}}, 2, 3},
        {"the largest version", {{65535, true, 0}, {1, true, 0}}, 2, 65535},
        {"rows beyond the count are not read", {{1, true, 1}, {9, true, 1}}, 1, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint16_t got = cm_statement_floor(rows[i].statements, rows[i].count, NOW);
        if (got != rows[i].want) {
            fail_msg("%s: %u", rows[i].name, got);
        }
    }
    assert_int_equal(cm_statement_floor(NULL, 0, NOW), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_floor_is_the_newest_material_version_in_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
