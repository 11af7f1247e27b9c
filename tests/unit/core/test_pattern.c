#include "core/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct row {
    const char *pattern;
    const char *text;
    bool want;
    const char *want_purpose; /* NULL: the pattern holds none */
};

static const struct row rows[] = {
    /* literals */
    {"", "", true, NULL},
    {"", "a", false, NULL},
    {"a", "", false, NULL},
    {"abc", "abc", true, NULL},
    {"abc", "ABC", true, NULL},
    {"ABC", "abc", true, NULL},
    {"abc", "abcd", false, NULL},
    {"abc", "xabc", false, NULL},
    {"\xc3\xa4", "\xc3\x84", false, NULL}, /* no case beyond ASCII */
    {"a.c", "abc", false, NULL},           /* no regular expression */
    {"a?c", "abc", false, NULL},
    {"[ab]", "a", false, NULL},
    {"a\\*", "a*", false, NULL}, /* no escapes either */
    /* stars */
    {"*", "", true, NULL},
    {"*", "anything at all", true, NULL},
    {"**", "", true, NULL},
    {"**", "ab", true, NULL},
    {"a*", "a", true, NULL},
    {"a*", "ab", true, NULL},
    {"a*", "ba", false, NULL},
    {"*a", "a", true, NULL},
    {"*a", "ba", true, NULL},
    {"*a", "ab", false, NULL},
    {"*@news.acme.example", "x@news.acme.example", true, NULL},
    {"*@news.acme.example", "x@news.acme.example.evil.example", false, NULL},
    {"*@news.acme.example", "x@evilnews.acme.example", false, NULL},
    {"*<news.acme.example>*", "News <news.acme.example>", true, NULL},
    {"*<news.acme.example>*", "news.acme.example", false, NULL},
    {"a*b*c", "abc", true, NULL},
    {"a*b*c", "a-b-c", true, NULL},
    {"a*b*c", "acb", false, NULL},
    {"a*a", "a", false, NULL}, /* head and tail may not share a byte */
    {"ab*ba", "aba", false, NULL},
    {"ab*ba", "abba", true, NULL},
    {"*ab*ab*", "ab", false, NULL},
    {"*ab*ab*", "aabb-ab-", true, NULL},
    {"*aab", "aaab", true, NULL},
    {"x*aab*y", "xaaaby", true, NULL},
    {"*abc*bcd", "abcd", false, NULL},
    {"*abc*bcd", "abcbcd", true, NULL},
    {"a*b*b", "ab", false, NULL},
    {"a*b*b", "abb", true, NULL},
    /* {purpose} */
    {"{purpose}", "news", true, "news"},
    {"{purpose}", "", false, NULL},
    {"{purpose}", "a b", false, NULL},
    {"{purpose}", "a/b", false, NULL},
    {"{purpose}@x.example", "news@x.example", true, "news"},
    {"{purpose}@x.example", "NEWS@x.example", true, "NEWS"},
    {"{purpose}@x.example", "@x.example", false, NULL},
    {"{purpose}@x.example", "a+b@x.example", false, NULL},
    {"{purpose}@x.example", "a@b@x.example", false, NULL},
    {"news-{purpose}@x.example", "news-a.b_c-d9@x.example", true, "a.b_c-d9"},
    {"news-{purpose}@x.example", "news-@x.example", false, NULL},
    {"news-{purpose}@x.example", "new", false, NULL},
    {"{purpose}-news@x.example", "offers-news@x.example", true, "offers"},
    {"{purpose}-news@x.example", "a-news-news@x.example", true, "a-news"}, /* the longest */
    {"{purpose}*@x.example", "offers+tag@x.example", true, "offers"},
    {"{purpose}*", "abc", true, "abc"},
    {"{purpose}*c", "abc", true, "ab"},
    {"{purpose}*abc", "abcabc", true, "abc"},
    {"{purpose}+*@x.example", "offers+1+2@x.example", true, "offers"},
    {"{purpose}+*@x.example", "offers@x.example", false, NULL},
    {"{purpose}-*-b", "a-b-b-b", true, "a-b"}, /* the longest that leaves the rest its share */
    {"{purpose}a", "a", false, NULL},
    {"{purpose}a", "aa", true, "a"},
    {"{purpose}a*a", "aa", false, NULL},
    {"{purpose}a*a", "aaa", true, "a"},
    /* refused by cm_pattern_problem, and matching nothing all the same */
    {"*{purpose}", "news", false, NULL},
    {"{purpose}{purpose}", "news", false, NULL},
};

static void patterns_match_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct row *row = &rows[i];
        struct cm_span purpose = {NULL, 0};
        bool got = cm_pattern_match(row->pattern, cm_span_of(row->text), &purpose);
        if (got != row->want || (got && !cm_span_equal(purpose, cm_span_of(row->want_purpose)))) {
            fail_msg("\"%s\" on \"%s\": %d, purpose \"%.*s\"", row->pattern, row->text, got, (int)purpose.len,
                     purpose.p);
        }
        assert_int_equal(cm_pattern_match(row->pattern, cm_span_of(row->text), NULL), row->want);
    }
}

static void a_nul_is_an_ordinary_byte(void **state)
{
    (void)state;
    assert_false(cm_pattern_match("a", CM_SPAN("a\0b"), NULL));
    assert_true(cm_pattern_match("a*b", CM_SPAN("a\0b"), NULL));
    assert_false(cm_pattern_match("{purpose}", CM_SPAN("a\0b"), NULL));
    assert_true(cm_pattern_match("*", (struct cm_span){NULL, 0}, NULL));
    assert_false(cm_pattern_match("{purpose}", (struct cm_span){NULL, 0}, NULL));
}

/* The plainest way to say what a pattern means; its time is not bounded, so the texts are short. */
static bool plain_match(const char *pattern, const char *text)
{
    if (*pattern == '\0') {
        return *text == '\0';
    }
    if (*pattern == '*') {
        return plain_match(pattern + 1, text) || (*text != '\0' && plain_match(pattern, text + 1));
    }
    return *text != '\0' && *pattern == *text && plain_match(pattern + 1, text + 1);
}

static void write_digits(size_t number, const char *alphabet, char *out)
{
    size_t base = strlen(alphabet);
    size_t len = 0;
    for (; number > 0; number = (number - 1) / base) {
        out[len++] = alphabet[(number - 1) % base];
    }
    out[len] = '\0';
}

static void all_short_patterns_agree_with_the_plain_definition(void **state)
{
    (void)state;
    for (size_t p = 0; p < 1093; p++) { /* all of up to 6 letters of a, b and star */
        char pattern[16];
        write_digits(p, "ab*", pattern);
        for (size_t t = 0; t < 255; t++) { /* all of up to 7 letters */
            char text[16];
            write_digits(t, "ab", text);
            if (cm_pattern_match(pattern, cm_span_of(text), NULL) != plain_match(pattern, text)) {
                fail_msg("\"%s\" on \"%s\"", pattern, text);
            }
        }
    }
}

/* The longest first part that is a purpose and leaves the rest a match. */
static size_t plain_capture(const char *rest, const char *text)
{
    for (size_t len = strspn(text, "abc"); len > 0; len--) {
        if (plain_match(rest, text + len)) {
            return len;
        }
    }
    return 0;
}

static void all_short_captures_agree_with_the_plain_definition(void **state)
{
    (void)state;
    for (size_t p = 0; p < 364; p++) { /* rests of up to 5 letters */
        char rest[16];
        char pattern[32];
        write_digits(p, "a@*", rest);
        (void)snprintf(pattern, sizeof(pattern), "{purpose}%s", rest);
        for (size_t t = 0; t < 255; t++) {
            char text[16];
            struct cm_span purpose = {NULL, 0};
            write_digits(t, "a@", text);
            bool got = cm_pattern_match(pattern, cm_span_of(text), &purpose);
            size_t want = plain_capture(rest, text);
            if (got != (want > 0) || purpose.len != want) {
                fail_msg("\"%s\" on \"%s\": %zu, not %zu", pattern, text, purpose.len, want);
            }
        }
    }
}

/* A matcher that tries again would take years here. */
static void the_worst_pattern_is_quick(void **state)
{
    (void)state;
    static char text[60000];
    char pattern[CM_LIMIT_PATTERN_BYTES + 1];
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i + 1 < sizeof(pattern); i++) {
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    }
    pattern[sizeof(pattern) - 2] = 'b';
    pattern[sizeof(pattern) - 1] = '\0';
    assert_false(cm_pattern_match(pattern, (struct cm_span){text, sizeof(text)}, NULL));
    pattern[0] = 'b';
    assert_false(cm_pattern_match(pattern, (struct cm_span){text, sizeof(text)}, NULL));
}

static const struct {
    const char *pattern;
    bool purpose_allowed;
    const char *want; /* part of the problem; NULL: none */
} problem_rows[] = {
    {"", false, NULL},
    {"*", false, NULL},
    {"**", false, NULL},
    {"a}b", false, NULL},
    {"{purpose}@x", true, NULL},
    {"a{purpose}*", true, NULL},
    {"{purpose}@x", false, "holds {purpose}"},
    {"{Purpose}@x", true, "does not begin {purpose}"},
    {"{sender}@x", true, "does not begin {purpose}"},
    {"{purpose", true, "does not begin {purpose}"},
    {"{", false, "does not begin {purpose}"},
    {"{purpose}{purpose}", true, "twice"},
    {"{purpose}-{purpose}", true, "twice"},
    {"*{purpose}", true, "ambiguous"},
    {"a*b{purpose}", true, "ambiguous"},
};

static void problems_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(problem_rows); i++) {
        const char *got = cm_pattern_problem(problem_rows[i].pattern, problem_rows[i].purpose_allowed);
        const char *want = problem_rows[i].want;
        if ((got == NULL) != (want == NULL) || (got != NULL && strstr(got, want) == NULL)) {
            fail_msg("\"%s\": %s", problem_rows[i].pattern, got != NULL ? got : "no problem");
        }
    }
}

static void the_length_has_a_limit(void **state)
{
    (void)state;
    char pattern[CM_LIMIT_PATTERN_BYTES + 2];
    memset(pattern, 'a', sizeof(pattern));
    pattern[CM_LIMIT_PATTERN_BYTES + 1] = '\0';
    assert_string_equal(cm_pattern_problem(pattern, false), "is longer than 255 bytes; write '*' for a part of it");
    pattern[CM_LIMIT_PATTERN_BYTES] = '\0';
    assert_null(cm_pattern_problem(pattern, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_as_the_table_says),
        cmocka_unit_test(a_nul_is_an_ordinary_byte),
        cmocka_unit_test(all_short_patterns_agree_with_the_plain_definition),
        cmocka_unit_test(all_short_captures_agree_with_the_plain_definition),
        cmocka_unit_test(the_worst_pattern_is_quick),
        cmocka_unit_test(problems_are_found),
        cmocka_unit_test(the_length_has_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
