#include "core/decision_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The texts were computed by another program from the documented layout. */
static const struct {
    struct cm_decision_id id;
    const char *text;
} known[] = {
    {{0, 0, 0, 0}, "aaaaaaaaaaaaaaaaaaaaaaaaaa"},
    {{1795456800123, 0xdeadbeef, 5, 739}, "abuiezbfl332w353yaaaaaafxd"},
    {{(cm_ms)1 << 47, 1, 1ULL << 37, 512}, "eaaaaaaaaaaaaaaamaaaaaaaqa"},
    {{CM_MS_MAX, UINT32_MAX, (1ULL << 38) - 1, 1023}, "h7777777777777777777777777"},
};

static void known_ids_go_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(known); i++) {
        char text[CM_DECISION_ID_CHARS + 2];
        struct cm_decision_id id;
        memset(text, '#', sizeof(text));
        cm_decision_id_format(&known[i].id, text);
        assert_string_equal(text, known[i].text);
        assert_int_equal(text[CM_DECISION_ID_CHARS + 1], '#');
        assert_true(cm_decision_id_parse(cm_span_of(text), &id));
        assert_true(id.at == known[i].id.at);
        assert_true(id.daemon == known[i].id.daemon);
        assert_true(id.counter == known[i].id.counter);
        assert_int_equal(id.partition, known[i].id.partition);
    }
}

static void each_bit_has_a_place_of_its_own(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 128; bit++) {
        struct cm_decision_id in = {0};
        struct cm_decision_id out;
        char text[CM_DECISION_ID_CHARS + 1];
        if (bit < 48) {
            in.at = (cm_ms)1 << bit;
        } else if (bit < 80) {
            in.daemon = (uint32_t)1 << (bit - 48);
        } else if (bit < 118) {
            in.counter = (uint64_t)1 << (bit - 80);
        } else {
            in.partition = (uint16_t)(1U << (bit - 118));
        }
        cm_decision_id_format(&in, text);
        assert_true(cm_decision_id_parse(cm_span_of(text), &out));
        if (out.at != in.at || out.daemon != in.daemon || out.counter != in.counter || out.partition != in.partition) {
            fail_msg("bit %u", bit);
        }
    }
}

static void what_is_too_large_is_kept_in_its_place(void **state)
{
    (void)state;
    struct cm_decision_id in = {.at = 0, .daemon = 0, .counter = UINT64_MAX, .partition = 0xffff};
    struct cm_decision_id out;
    char text[CM_DECISION_ID_CHARS + 1];
    cm_decision_id_format(&in, text);
    assert_true(cm_decision_id_parse(cm_span_of(text), &out));
    assert_true(out.at == 0);
    assert_true(out.daemon == 0);
    assert_true(out.counter == (1ULL << 38) - 1);
    assert_int_equal(out.partition, 1023);
}

static void ids_sort_by_time(void **state)
{
    (void)state;
    struct cm_decision_id early = {.at = 999, .daemon = UINT32_MAX, .counter = 77, .partition = 1023};
    struct cm_decision_id late = {.at = 1000};
    uint8_t bits[17];
    char a[CM_DECISION_ID_CHARS + 1];
    char b[CM_DECISION_ID_CHARS + 1];
    cm_decision_id_format(&early, a);
    cm_decision_id_format(&late, b);
    assert_true(cm_base32_decode(a, CM_DECISION_ID_CHARS, bits));
    uint8_t early_bits[17];
    memcpy(early_bits, bits, 16);
    assert_true(cm_base32_decode(b, CM_DECISION_ID_CHARS, bits));
    assert_true(memcmp(early_bits, bits, 16) < 0);
}

static void what_is_no_id_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cm_span text;
    } rows[] = {
        {"empty", {"", 0}},
        {"null", {NULL, 0}},
        {"one character short", {"aaaaaaaaaaaaaaaaaaaaaaaaa", 25}},
        {"one character long", {"aaaaaaaaaaaaaaaaaaaaaaaaaaa", 27}},
        {"upper case", {"aaaaaaaaaaaaaaaaaaaaaaaaaA", 26}},
        {"the digit 0", {"aaaaaaaaaaaaaaaaaaaaaaaaa0", 26}},
        {"the digit 1", {"aaaaaaaaaaaaaaaaaaaaaaaaa1", 26}},
        {"the digit 8", {"aaaaaaaaaaaaaaaaaaaaaaaaa8", 26}},
        {"a NUL at the end", {"aaaaaaaaaaaaaaaaaaaaaaaaa\0", 26}},
        {"a NUL at the start", {"\0aaaaaaaaaaaaaaaaaaaaaaaaa", 26}},
        {"a blank", {"aaaaaaaaaaaa aaaaaaaaaaaaa", 26}},
        {"8-bit",
         {"aaaaaaaaaaaa\xe4"
          "aaaaaaaaaaaaa",
          26}},
        {"padding", {"aaaaaaaaaaaaaaaaaaaaaaaaa=", 26}},
        {"the first of the two leading bits", {"qaaaaaaaaaaaaaaaaaaaaaaaaa", 26}},
        {"the second of the two leading bits", {"iaaaaaaaaaaaaaaaaaaaaaaaaa", 26}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_decision_id id = {.at = 42};
        if (cm_decision_id_parse(rows[i].text, &id) || id.at != 42) {
            fail_msg("%s", rows[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_ids_go_both_ways),
        cmocka_unit_test(each_bit_has_a_place_of_its_own),
        cmocka_unit_test(what_is_too_large_is_kept_in_its_place),
        cmocka_unit_test(ids_sort_by_time),
        cmocka_unit_test(what_is_no_id_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
