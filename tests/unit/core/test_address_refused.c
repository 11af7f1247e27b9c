/* What core/address refuses, and where its limits lie. */
#include "core/address.h"

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A64 A63 "a"
#define LABELS_189  \
    A63 "." A63 "." \
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 63 + 1 + 63 + 1 + 61 */
#define DOMAIN_253 LABELS_189 "." A63
#define DOMAIN_254 LABELS_189 "a." A63

/* ---- Parsing: forms that are refused ---- */

struct refused {
    struct cm_span raw;
    enum cm_address_status status;
};

static const struct refused refused[] = {
    {CM_SPAN(""), CM_ADDRESS_EMPTY},
    {CM_SPAN("  "), CM_ADDRESS_EMPTY},
    {CM_SPAN("<>"), CM_ADDRESS_EMPTY},
    {CM_SPAN("< >"), CM_ADDRESS_EMPTY},
    {CM_SPAN("<(only a comment)>"), CM_ADDRESS_EMPTY},
    {CM_SPAN("Foo <>"), CM_ADDRESS_EMPTY},
    {CM_SPAN("<grp:;>"), CM_ADDRESS_EMPTY},
    {CM_SPAN("<<>>"), CM_ADDRESS_EMPTY},
    {CM_SPAN("<@a.test:>"), CM_ADDRESS_SYNTAX},

    /* not one address */
    {CM_SPAN("<us er@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<us(c)er@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a\"b\"c@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a\"b\"@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a,b@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test,b@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test b@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test>,<b@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test><b@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test> b@dom.test"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("Foo <a@dom.test> Bar <b@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test <b@dom.test>>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<grp:a@dom.test,b@dom.test;>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<grp:a@dom.test,;>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<grp:sub:a@dom.test;;>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<grp:a@dom.test; grp:b@dom.test;>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@b.test:c@dom.test;>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<:a@dom.test;>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<grp:a@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test;>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("a@dom.test,"), CM_ADDRESS_SYNTAX},

    /* unbalanced */
    {CM_SPAN("<a@dom.test"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("a@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<<a@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test>>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<"), CM_ADDRESS_SYNTAX},
    {CM_SPAN(">"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("><"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<\"a@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<\"a\\\"@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a\"@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test (c>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test c)>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test (c\\)>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@dom.test\\>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@[192.0.2.1>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<a@192.0.2.1]>"), CM_ADDRESS_SYNTAX},

    /* no local part */
    {CM_SPAN("<@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<@>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<\"\"@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<\"\">"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<(c)@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<@a.test:@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<[192.0.2.1]@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<@\"a\":b@dom.test>"), CM_ADDRESS_SYNTAX},

    /* control characters */
    {CM_SPAN("<us\0er@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<user@dom.test>\0"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("\0"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<user@dom.test>\r\n"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<us\x1fzr@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<us\x7fzr@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<\"us\ter\"@dom.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<us\\\ter@dom.test>"), CM_ADDRESS_SYNTAX},

    /* no UTF-8, and code points that no mailbox may hold */
    {CM_SPAN("<\xff@dom.test>"), CM_ADDRESS_BAD_UTF8},
    {CM_SPAN("<j\xfcrgen@dom.test>"), CM_ADDRESS_BAD_UTF8},
    {CM_SPAN("<a\xc3@dom.test>"), CM_ADDRESS_BAD_UTF8},
    {CM_SPAN("<\xc0\xaf@dom.test>"), CM_ADDRESS_BAD_UTF8},         /* overlong */
    {CM_SPAN("<\xed\xa0\x80@dom.test>"), CM_ADDRESS_BAD_UTF8},     /* surrogate */
    {CM_SPAN("<\xf4\x90\x80\x80@dom.test>"), CM_ADDRESS_BAD_UTF8}, /* above U+10FFFF */
    {CM_SPAN("<u@dom.test (\xff)>"), CM_ADDRESS_BAD_UTF8},
    {CM_SPAN("<u@\xff.test>"), CM_ADDRESS_BAD_UTF8},
    {CM_SPAN("<a\xc2\x80@dom.test>"), CM_ADDRESS_BAD_UTF8},     /* U+0080, C1 */
    {CM_SPAN("<a\xc2\x9f@dom.test>"), CM_ADDRESS_BAD_UTF8},     /* U+009F, C1 */
    {CM_SPAN("<a\xcd\xb8@dom.test>"), CM_ADDRESS_BAD_UTF8},     /* U+0378, unassigned */
    {CM_SPAN("<a\xef\xbf\xbf@dom.test>"), CM_ADDRESS_BAD_UTF8}, /* U+FFFF, no character */
    {CM_SPAN("<a\xd8\x9c@dom.test>"), CM_ADDRESS_BAD_UTF8},     /* U+061C, Arabic letter mark */
    {CM_SPAN("<a\xe2\x80\x8e@dom.test>"), CM_ADDRESS_BAD_UTF8}, /* U+200E, left-to-right mark */
    {CM_SPAN("<a\xe2\x80\xae@dom.test>"), CM_ADDRESS_BAD_UTF8}, /* U+202E, override */
    {CM_SPAN("<a\xe2\x81\xa6@dom.test>"), CM_ADDRESS_BAD_UTF8}, /* U+2066, isolate */
    {CM_SPAN("<a\xe2\x80\xa8@dom.test>"), CM_ADDRESS_BAD_UTF8}, /* U+2028, line separator */
    {CM_SPAN("<a\xe2\x80\xa9@dom.test>"), CM_ADDRESS_BAD_UTF8}, /* U+2029, paragraph separator */
    {CM_SPAN("<\"a\xe2\x80\xae\"@dom.test>"), CM_ADDRESS_BAD_UTF8},

    /* domains */
    {CM_SPAN("<u@>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@(c)>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@.>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@.dom.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@dom..test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@dom.test..>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@-dom.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@dom-.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@do_m.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@do%m.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@do/m.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@do_m.münchen.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@mü%nchen.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@\xe2\x84\x80.test>"), CM_ADDRESS_BAD_DOMAIN},   /* U+2100, which IDNA maps to a/c */
    {CM_SPAN("<u@a\xef\xbc\xa0z.test>"), CM_ADDRESS_BAD_DOMAIN}, /* full-width at sign */
    {CM_SPAN("<u@a\xe2\x80\xaez.test>"), CM_ADDRESS_BAD_DOMAIN}, /* bidi override */
    {CM_SPAN("<u@münchen.test\xe3\x80\x82>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@xn--.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@xn--a.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@xn--dom-.test>"), CM_ADDRESS_BAD_DOMAIN}, /* decodes to plain "dom" */
    {CM_SPAN("<u@xn--Mnchen-3ya-.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@xn--99999999.test>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@xn--mnchen-psa.test>"), CM_ADDRESS_BAD_DOMAIN}, /* decodes to a capital umlaut: no canonical name */
    {CM_SPAN("<u@xn--a-pca.test>"), CM_ADDRESS_BAD_DOMAIN},      /* decodes to a feminine ordinal, which maps to "aa" */
    {CM_SPAN("<u@xn--a-vca.test>"), CM_ADDRESS_BAD_DOMAIN},      /* decodes to a soft hyphen, which maps to nothing */
    {CM_SPAN("<u@\"dom.test\">"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<u@do\\m.test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<u@\\[192.0.2.1\\]>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<u@dom test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<u@[192.0.2.1].test>"), CM_ADDRESS_SYNTAX},
    {CM_SPAN("<u@[]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[192.0.2]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[192.0.2.256]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[192.0.02.1]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[ 192.0.2.1 ]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[::1]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[IPv6:]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[IPv6:1::2::3]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[IPv6:fe80::1%eth0]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[x400:c=us]>"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("<u@[dom.test]>"), CM_ADDRESS_BAD_DOMAIN},

    /* lengths, the first that does not fit */
    {CM_SPAN(A64 "a@dom.test"), CM_ADDRESS_TOO_LONG},
    {CM_SPAN("\"" A64 "a\"@dom.test"), CM_ADDRESS_TOO_LONG},
    {CM_SPAN(A64 "a"), CM_ADDRESS_TOO_LONG},
    {CM_SPAN("u@" A64 ".test"), CM_ADDRESS_BAD_DOMAIN},
    {CM_SPAN("u@" DOMAIN_254), CM_ADDRESS_TOO_LONG},
    {CM_SPAN("u@" DOMAIN_254 "."), CM_ADDRESS_TOO_LONG},
    {CM_SPAN("u@" DOMAIN_254 "." A64), CM_ADDRESS_TOO_LONG},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct cm_address a;
        memset(&a, 'u', sizeof(a));
        struct cm_address untouched = a;
        enum cm_address_status status = cm_address_parse(refused[i].raw, &a);
        if (status != refused[i].status) {
            fail_msg("%.*s: %s, not %s", (int)refused[i].raw.len, refused[i].raw.p, cm_address_status_name(status),
                     cm_address_status_name(refused[i].status));
        }
        assert_memory_equal(&a, &untouched, sizeof(a));
    }
    struct cm_address a;
    assert_int_equal(cm_address_parse((struct cm_span){NULL, 0}, &a), CM_ADDRESS_EMPTY);
}

/* Storage of exactly the given length, so that a read beyond it is seen by the sanitizer. */
static enum cm_address_status parse_repeated(const char *head, char fill, size_t total, const char *tail)
{
    struct cm_address a;
    char *raw = malloc(total);
    assert_non_null(raw);
    memset(raw, fill, total);
    memcpy(raw, head, strlen(head));
    memcpy(raw + total - strlen(tail), tail, strlen(tail));
    enum cm_address_status status = cm_address_parse((struct cm_span){raw, total}, &a);
    free(raw);
    return status;
}

static void test_limits_of_the_raw_text(void **state)
{
    (void)state;
    assert_int_equal(parse_repeated("(", 'c', CM_ADDRESS_INPUT_MAX, ")u@dom.test"), CM_ADDRESS_OK);
    assert_int_equal(parse_repeated("(", 'c', CM_ADDRESS_INPUT_MAX + 1, ")u@dom.test"), CM_ADDRESS_TOO_LONG);
    assert_int_equal(parse_repeated("", '.', CM_ADDRESS_INPUT_MAX, "@d"), CM_ADDRESS_TOO_LONG);
    assert_int_equal(parse_repeated("", '(', CM_ADDRESS_INPUT_MAX, "("), CM_ADDRESS_SYNTAX);
    assert_int_equal(parse_repeated("<", '\\', 1999, ">"), CM_ADDRESS_SYNTAX);
    assert_int_equal(parse_repeated("", 'a', 1 << 20, ""), CM_ADDRESS_TOO_LONG);
}

static void test_comments_nest_to_a_ceiling(void **state)
{
    (void)state;
    for (size_t depth = 32; depth <= 33; depth++) {
        char raw[128];
        struct cm_address a;
        memset(raw, '(', depth);
        memset(raw + depth, ')', depth);
        memcpy(raw + 2 * depth, "u@d", 4);
        assert_int_equal(cm_address_parse(cm_span_of(raw), &a), depth == 32 ? CM_ADDRESS_OK : CM_ADDRESS_SYNTAX);
    }
}

/* U+0958 has no composed form in NFC: three bytes become six. */
static void test_limits_hold_after_nfc(void **state)
{
    (void)state;
    static const struct {
        const char *rest; /* behind ten of them */
        enum cm_address_status status;
    } rows[] = {
        {"1234@dom.test", CM_ADDRESS_OK},
        {"12345@dom.test", CM_ADDRESS_TOO_LONG},
        {"\xe0\xa5\x98@dom.test", CM_ADDRESS_TOO_LONG},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char raw[128];
        struct cm_address a;
        struct cm_text text = cm_text_over(raw, sizeof(raw));
        for (size_t k = 0; k < 10; k++) {
            cm_text_add_str(&text, "\xe0\xa5\x98");
        }
        cm_text_add_str(&text, rows[i].rest);
        assert_int_equal(cm_address_parse(cm_span_of(raw), &a), rows[i].status);
    }
}

static void test_status_names(void **state)
{
    (void)state;
    assert_string_equal(cm_address_status_name(CM_ADDRESS_SYNTAX), "syntax");
    assert_string_equal(cm_address_status_name(CM_ADDRESS_BAD_DOMAIN), "bad_domain");
    for (int a = CM_ADDRESS_UNSET; a <= CM_ADDRESS_BAD_DOMAIN; a++) {
        for (int b = CM_ADDRESS_UNSET; b < a; b++) {
            assert_string_not_equal(cm_address_status_name((enum cm_address_status)a),
                                    cm_address_status_name((enum cm_address_status)b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits_of_the_raw_text),
        cmocka_unit_test(test_comments_nest_to_a_ceiling),
        cmocka_unit_test(test_limits_hold_after_nfc),
        cmocka_unit_test(test_status_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
