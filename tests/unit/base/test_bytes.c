#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    uint64_t value;
    size_t bytes;
    uint8_t packed[8];
} rows[] = {
    {"nothing in one byte", 0, 1, {0}},
    {"the largest byte", 0xff, 1, {0xff}},
    {"two bytes, high one first", 0x0102, 2, {1, 2}},
    {"four bytes with the top bit", 0x80000001U, 4, {0x80, 0, 0, 1}},
    {"48 bits, full", 0xffffffffffffULL, 6, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    {"48 bits, each byte its own", 0x010203040506ULL, 6, {1, 2, 3, 4, 5, 6}},
    {"64 bits, full", UINT64_MAX, 8, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    {"64 bits, top bit alone", 1ULL << 63, 8, {0x80}},
};

static void each_width_packs_and_unpacks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t out[10];
        memset(out, 0x5a, sizeof(out));
        cm_put_be(out + 1, rows[i].value, rows[i].bytes);
        bool bounds_kept = out[0] == 0x5a && out[1 + rows[i].bytes] == 0x5a;
        if (!bounds_kept || memcmp(out + 1, rows[i].packed, rows[i].bytes) != 0 ||
            cm_get_be(out + 1, rows[i].bytes) != rows[i].value) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void what_does_not_fit_is_the_high_part(void **state)
{
    (void)state;
    uint8_t out[2];
    cm_put_be(out, 0x123456, 2);
    assert_int_equal(cm_get_be(out, 2), 0x3456);
}

static void no_bytes_are_zero_and_touch_nothing(void **state)
{
    (void)state;
    uint8_t out[1] = {7};
    cm_put_be(out, 0xff, 0);
    assert_int_equal(out[0], 7);
    assert_int_equal(cm_get_be(out, 0), 0);
}

static void zero_is_zero_in_every_byte(void **state)
{
    (void)state;
    uint8_t bytes[5] = {0};
    assert_true(cm_is_zero(bytes, sizeof(bytes)));
    assert_true(cm_is_zero(bytes, 0));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = 0x80;
        assert_false(cm_is_zero(bytes, sizeof(bytes)));
        assert_true(cm_is_zero(bytes, i));
        bytes[i] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_width_packs_and_unpacks),
        cmocka_unit_test(zero_is_zero_in_every_byte),
        cmocka_unit_test(what_does_not_fit_is_the_high_part),
        cmocka_unit_test(no_bytes_are_zero_and_touch_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
