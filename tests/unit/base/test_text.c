/* Tables for base/text: both sides of every boundary. */
#include "base/text.h"

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NO_SPAN ((struct cm_span){NULL, 0})

static void assert_span(struct cm_span s, const char *want)
{
    assert_int_equal(s.len, strlen(want));
    assert_memory_equal(s.len > 0 ? s.p : "", want, s.len);
}

/* ---- Spans ---- */

static void test_span_of(void **state)
{
    (void)state;
    assert_null(cm_span_of(NULL).p);
    assert_int_equal(cm_span_of(NULL).len, 0);
    assert_non_null(cm_span_of("").p);
    assert_span(cm_span_of("abc"), "abc");
    assert_int_equal(CM_SPAN("a\0b").len, 3);
    assert_int_equal(CM_SPAN("").len, 0);
}

static void test_span_equal(void **state)
{
    (void)state;
    static const struct {
        struct cm_span a;
        struct cm_span b;
        bool same;
        bool same_nocase;
    } rows[] = {
        {{NULL, 0}, {NULL, 0}, true, true},
        {{NULL, 0}, CM_SPAN(""), true, true},
        {CM_SPAN("a"), CM_SPAN(""), false, false},
        {CM_SPAN("abc"), CM_SPAN("abc"), true, true},
        {CM_SPAN("abc"), CM_SPAN("abd"), false, false},
        {CM_SPAN("abc"), CM_SPAN("ab"), false, false},
        {CM_SPAN("abc"), CM_SPAN("aBC"), false, true},
        {CM_SPAN("AZ"), CM_SPAN("az"), false, true},
        {CM_SPAN("@["), CM_SPAN("`{"), false, false}, /* the neighbours of A and Z */
        {CM_SPAN("a\0b"), CM_SPAN("a\0b"), true, true},
        {CM_SPAN("a\0b"), CM_SPAN("a\0B"), false, true},
        {CM_SPAN("a\0b"), CM_SPAN("a\0c"), false, false},
        {CM_SPAN("\xc3\xa4"), CM_SPAN("\xc3\x84"), false, false}, /* umlauts: ASCII only is folded */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(cm_span_equal(rows[i].a, rows[i].b), rows[i].same);
        assert_int_equal(cm_span_equal(rows[i].b, rows[i].a), rows[i].same);
        assert_int_equal(cm_span_equal_nocase(rows[i].a, rows[i].b), rows[i].same_nocase);
        assert_int_equal(cm_span_equal_nocase(rows[i].b, rows[i].a), rows[i].same_nocase);
    }
}

static void test_span_starts_with(void **state)
{
    (void)state;
    assert_true(cm_span_starts_with(CM_SPAN("abc"), ""));
    assert_true(cm_span_starts_with(CM_SPAN("abc"), "ab"));
    assert_true(cm_span_starts_with(CM_SPAN("abc"), "abc"));
    assert_false(cm_span_starts_with(CM_SPAN("abc"), "abcd"));
    assert_false(cm_span_starts_with(CM_SPAN("abc"), "b"));
    assert_false(cm_span_starts_with(CM_SPAN("abc"), "AB"));
    assert_false(cm_span_starts_with(CM_SPAN(""), "a"));
    assert_false(cm_span_starts_with((struct cm_span){"abc", 2}, "abc"));
    assert_false(cm_span_starts_with(NO_SPAN, "a"));
}

static void test_span_trim(void **state)
{
    (void)state;
    assert_span(cm_span_trim(CM_SPAN("abc")), "abc");
    assert_span(cm_span_trim(CM_SPAN(" \t\r\nabc \t\r\n")), "abc");
    assert_span(cm_span_trim(CM_SPAN(" a b ")), "a b");
    assert_span(cm_span_trim(CM_SPAN(" \t\r\n")), "");
    assert_span(cm_span_trim(CM_SPAN("")), "");
    assert_span(cm_span_trim(CM_SPAN("\va\v")), "\va\v"); /* no other blanks */
    assert_int_equal(cm_span_trim(CM_SPAN(" \0 ")).len, 1);
    assert_int_equal(cm_span_trim(NO_SPAN).len, 0);
}

static void test_span_next(void **state)
{
    (void)state;
    static const struct {
        struct cm_span text;
        const char *parts[4];
    } rows[] = {
        {CM_SPAN("a,b,c"), {"a", "b", "c", NULL}},
        {CM_SPAN("a"), {"a", NULL}},
        {CM_SPAN(""), {"", NULL}},
        {CM_SPAN(","), {"", "", NULL}},
        {CM_SPAN("a,"), {"a", "", NULL}},
        {CM_SPAN(",a"), {"", "a", NULL}},
        {CM_SPAN("a,,b"), {"a", "", "b", NULL}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_span rest = rows[i].text;
        struct cm_span part;
        for (size_t k = 0; rows[i].parts[k] != NULL; k++) {
            assert_true(cm_span_next(&rest, ',', &part));
            assert_span(part, rows[i].parts[k]);
        }
        assert_false(cm_span_next(&rest, ',', &part));
        assert_false(cm_span_next(&rest, ',', &part));
    }
    struct cm_span none = NO_SPAN;
    struct cm_span part;
    assert_false(cm_span_next(&none, ',', &part));
    struct cm_span with_nul = CM_SPAN("a\0b");
    assert_true(cm_span_next(&with_nul, '\0', &part));
    assert_span(part, "a");
    assert_span(with_nul, "b");
}

/* ---- Characters ---- */

static void test_every_character(void **state)
{
    (void)state;
    for (int i = -128; i < 128; i++) {
        char c = (char)i;
        bool upper = i >= 'A' && i <= 'Z';
        bool lower = i >= 'a' && i <= 'z';
        bool digit = i >= '0' && i <= '9';
        assert_int_equal(cm_ascii_lower(c), upper ? i + 32 : i);
        assert_int_equal(cm_ascii_is_digit(c), digit);
        assert_int_equal(cm_ascii_is_alnum(c), upper || lower || digit);
    }
}

/* ---- Builder ---- */

static void test_text_fits_to_the_last_byte(void **state)
{
    (void)state;
    char storage[5];
    memset(storage, 'x', sizeof(storage));
    struct cm_text t = cm_text_over(storage, 4);
    assert_string_equal(storage, "");
    cm_text_add_str(&t, "ab");
    cm_text_add_char(&t, 'c');
    assert_string_equal(storage, "abc");
    assert_int_equal(t.len, 3);
    assert_false(t.truncated);
    cm_text_add(&t, NO_SPAN);
    cm_text_add_str(&t, "");
    cm_text_add_str(&t, NULL);
    assert_false(t.truncated);
    cm_text_add_char(&t, 'd');
    assert_true(t.truncated);
    assert_string_equal(storage, "abc");
    assert_int_equal(t.len, 3);
    assert_int_equal(storage[4], 'x');
}

static void test_text_cuts_in_the_middle_and_remembers(void **state)
{
    (void)state;
    char storage[4];
    struct cm_text t = cm_text_over(storage, sizeof(storage));
    cm_text_add_str(&t, "abcdef");
    assert_string_equal(storage, "abc");
    assert_true(t.truncated);
    cm_text_add_str(&t, "");
    assert_true(t.truncated);
}

static void test_text_of_one_byte_holds_nothing(void **state)
{
    (void)state;
    char storage[1];
    struct cm_text t = cm_text_over(storage, sizeof(storage));
    assert_string_equal(storage, "");
    cm_text_add_format(&t, "%s", "");
    assert_false(t.truncated);
    cm_text_add_format(&t, "%d", 1);
    assert_true(t.truncated);
    assert_string_equal(storage, "");
    assert_int_equal(t.len, 0);
}

static void test_text_holds_nuls(void **state)
{
    (void)state;
    char storage[8];
    struct cm_text t = cm_text_over(storage, sizeof(storage));
    cm_text_add(&t, CM_SPAN("a\0b"));
    assert_int_equal(t.len, 3);
    assert_memory_equal(storage, "a\0b\0", 4);
}

static void test_text_format(void **state)
{
    (void)state;
    for (size_t size = 6; size <= 7; size++) {
        char storage[8];
        struct cm_text t = cm_text_over(storage, size);
        cm_text_add_char(&t, 'a');
        cm_text_add_format(&t, "%d-%s", 12, "cd"); /* 5 more */
        assert_int_equal(t.truncated, size == 6);
        assert_string_equal(storage, size == 6 ? "a12-c" : "a12-cd");
        assert_int_equal(t.len, strlen(storage));
        cm_text_add_format(&t, "%s", "");
        assert_int_equal(t.len, strlen(storage));
    }
}

static void test_text_hex(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x0f, 0xf0, 0xff, 0x9a};
    char storage[11];
    struct cm_text t = cm_text_over(storage, sizeof(storage));
    cm_text_add_hex(&t, bytes, sizeof(bytes));
    assert_string_equal(storage, "000ff0ff9a");
    assert_false(t.truncated);
    cm_text_add_hex(&t, bytes, 0);
    assert_false(t.truncated);
    cm_text_add_hex(&t, bytes, 1);
    assert_true(t.truncated);
}

static void test_copy(void **state)
{
    (void)state;
    char out[4];
    assert_true(cm_copy(out, sizeof(out), CM_SPAN("abc")));
    assert_string_equal(out, "abc");
    assert_false(cm_copy(out, sizeof(out), CM_SPAN("defg")));
    assert_string_equal(out, "def");
    assert_true(cm_copy(out, sizeof(out), NO_SPAN));
    assert_string_equal(out, "");
    assert_true(cm_copy(out, 1, CM_SPAN("")));
    assert_false(cm_copy(out, 1, CM_SPAN("a")));
    assert_string_equal(out, "");
}

/* ---- Numbers ---- */

static void test_parse_u64(void **state)
{
    (void)state;
    static const struct {
        struct cm_span text;
        uint64_t max;
        bool good;
        uint64_t value;
    } rows[] = {
        {CM_SPAN("0"), 0, true, 0},
        {CM_SPAN("1"), 0, false, 0},
        {CM_SPAN("5"), 3, false, 0},
        {CM_SPAN("3"), 3, true, 3},
        {CM_SPAN("4"), 3, false, 0},
        {CM_SPAN("9"), 9, true, 9},
        {CM_SPAN("10"), 9, false, 0},
        {CM_SPAN("10"), 10, true, 10},
        {CM_SPAN("11"), 10, false, 0},
        {CM_SPAN("19"), 18, false, 0},
        {CM_SPAN("0007"), 7, true, 7},
        {CM_SPAN("0008"), 7, false, 0},
        {CM_SPAN("00000000000000000000000000000000012"), 12, true, 12},
        {CM_SPAN("65535"), 65535, true, 65535},
        {CM_SPAN("65536"), 65535, false, 0},
        {CM_SPAN("18446744073709551615"), UINT64_MAX, true, UINT64_MAX},
        {CM_SPAN("18446744073709551616"), UINT64_MAX, false, 0},
        {CM_SPAN("18446744073709551620"), UINT64_MAX, false, 0},
        {CM_SPAN("99999999999999999999"), UINT64_MAX, false, 0},
        {CM_SPAN("184467440737095516150"), UINT64_MAX, false, 0},
        {CM_SPAN("18446744073709551614"), UINT64_MAX - 1, true, UINT64_MAX - 1},
        {CM_SPAN("18446744073709551615"), UINT64_MAX - 1, false, 0},
        {CM_SPAN(""), 9, false, 0},
        {{NULL, 0}, 9, false, 0},
        {CM_SPAN("+1"), 9, false, 0},
        {CM_SPAN("-1"), UINT64_MAX, false, 0},
        {CM_SPAN(" 1"), 9, false, 0},
        {CM_SPAN("1 "), 9, false, 0},
        {CM_SPAN("1\0"), 9, false, 0},
        {CM_SPAN("/"), 99, false, 0}, /* the neighbours of 0 and 9 */
        {CM_SPAN(":"), 99, false, 0},
        {CM_SPAN("0x1"), 99, false, 0},
        {CM_SPAN("1.0"), 99, false, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t value = 4711;
        bool good = cm_parse_u64(rows[i].text, rows[i].max, &value);
        if (good != rows[i].good) {
            fail_msg("%.*s", (int)rows[i].text.len, rows[i].text.p);
        }
        assert_int_equal(value, good ? rows[i].value : 4711); /* written on success only */
    }
}

/* ---- Base32 and hex ---- */

static void test_base32_of_rfc_4648(void **state)
{
    (void)state;
    static const struct {
        struct cm_span bytes;
        const char *text;
    } rows[] = {
        {CM_SPAN(""), ""},
        {CM_SPAN("f"), "my"},
        {CM_SPAN("fo"), "mzxq"},
        {CM_SPAN("foo"), "mzxw6"},
        {CM_SPAN("foob"), "mzxw6yq"},
        {CM_SPAN("fooba"), "mzxw6ytb"},
        {CM_SPAN("foobar"), "mzxw6ytboi"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[17];
        uint8_t back[8];
        memset(text, '#', sizeof(text));
        cm_base32((const uint8_t *)rows[i].bytes.p, rows[i].bytes.len * 8, text);
        assert_string_equal(text, rows[i].text);
        assert_true(cm_base32_decode(text, strlen(text), back));
        assert_memory_equal(back, rows[i].bytes.p, rows[i].bytes.len);
    }
}

static void test_base32_of_odd_bits(void **state)
{
    (void)state;
    static const uint8_t ones[] = {0xff, 0xff, 0xff};
    static const char *const want[] = {"", "q", "y", "4", "6", "7", "7q", "7y", "74", "76", "77", "77q"};
    for (size_t bits = 0; bits < COUNT(want); bits++) {
        char text[8];
        memset(text, '#', sizeof(text));
        cm_base32(ones, bits, text);
        assert_string_equal(text, want[bits]);
        assert_int_equal(text[strlen(want[bits]) + 1], '#');
    }
}

/* 26 characters carry the 16 bytes of a decision id. Storage of the exact size shows an overrun to the sanitizer. */
static void test_base32_of_16_bytes(void **state)
{
    (void)state;
    uint8_t bytes[16];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + 11);
    }
    char *text = malloc(27);
    uint8_t *back = malloc(16);
    assert_non_null(text);
    assert_non_null(back);
    cm_base32(bytes, 128, text);
    assert_int_equal(strlen(text), 26);
    assert_true(cm_base32_decode(text, 26, back));
    assert_memory_equal(back, bytes, sizeof(bytes));
    free(text);
    free(back);
}

static void test_base32_decode_refuses_foreign_characters(void **state)
{
    (void)state;
    static const struct cm_span foreign[] = {
        CM_SPAN("aaaaaaa1"), CM_SPAN("aaaaaaa0"), CM_SPAN("8aaaaaaa"), CM_SPAN("aaaaaaa="),  CM_SPAN("Aaaaaaaa"),
        CM_SPAN("aaaa aaa"), CM_SPAN("aaaaaaa`"), CM_SPAN("aaaaaaa{"), CM_SPAN("aaa\0aaaa"), CM_SPAN("aaaaaa\xc3\xa4")};
    uint8_t out[5];
    for (size_t i = 0; i < COUNT(foreign); i++) {
        assert_false(cm_base32_decode(foreign[i].p, foreign[i].len, out));
    }
    assert_true(cm_base32_decode("abyz2357", 8, out));
    assert_true(cm_base32_decode("", 0, out));
}

static void test_hex_decode(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x00, 0x9a, 0xff, 0xAF};
    static const struct cm_span bad[] = {CM_SPAN("009affa"),  CM_SPAN("009affaff"), CM_SPAN("009affaff0"),
                                         CM_SPAN(""),         CM_SPAN("009affag"),  CM_SPAN("009aff/f"),
                                         CM_SPAN("009aff:f"), CM_SPAN("009aff@f"),  CM_SPAN("009aff`f"),
                                         CM_SPAN("0x9affaf"), CM_SPAN("009aff f"),  CM_SPAN("009aff\0f")};
    uint8_t out[4];
    assert_true(cm_hex_decode(CM_SPAN("009affaf"), out, sizeof(out)));
    assert_memory_equal(out, want, sizeof(want));
    assert_true(cm_hex_decode(CM_SPAN("009AfFaF"), out, sizeof(out)));
    assert_memory_equal(out, want, sizeof(want));
    assert_true(cm_hex_decode(CM_SPAN(""), out, 0));
    assert_true(cm_hex_decode(NO_SPAN, out, 0));
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(cm_hex_decode(bad[i], out, sizeof(out)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span_of),
        cmocka_unit_test(test_span_equal),
        cmocka_unit_test(test_span_starts_with),
        cmocka_unit_test(test_span_trim),
        cmocka_unit_test(test_span_next),
        cmocka_unit_test(test_every_character),
        cmocka_unit_test(test_text_fits_to_the_last_byte),
        cmocka_unit_test(test_text_cuts_in_the_middle_and_remembers),
        cmocka_unit_test(test_text_of_one_byte_holds_nothing),
        cmocka_unit_test(test_text_holds_nuls),
        cmocka_unit_test(test_text_format),
        cmocka_unit_test(test_text_hex),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_parse_u64),
        cmocka_unit_test(test_base32_of_rfc_4648),
        cmocka_unit_test(test_base32_of_odd_bits),
        cmocka_unit_test(test_base32_of_16_bytes),
        cmocka_unit_test(test_base32_decode_refuses_foreign_characters),
        cmocka_unit_test(test_hex_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
