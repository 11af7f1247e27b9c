/*
 * When a library runs out of memory an address is neither accepted nor called bad: it is undecided. The functions of
 * libidn2 and libunistring that may allocate are replaced here; a program's own definition comes before a library's.
 */
#include "core/address.h"

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>
#include <unicase.h>
#include <uninorm.h>

enum call { TO_ASCII, TO_UNICODE, NORMALIZE, CASEFOLD, CALLS };

/* How many calls still succeed; all others fail. */
static int budget[CALLS];

static void allow(int to_ascii, int to_unicode, int normalize, int casefold)
{
    budget[TO_ASCII] = to_ascii;
    budget[TO_UNICODE] = to_unicode;
    budget[NORMALIZE] = normalize;
    budget[CASEFOLD] = casefold;
}

static bool may(enum call call)
{
    return budget[call]-- > 0;
}

int idn2_to_ascii_8z(const char *input, char **output, int flags)
{
    (void)flags;
    if (!may(TO_ASCII)) {
        return IDN2_MALLOC;
    }
    *output = strdup(strcmp(input, "m\xc3\xbcnchen.test") == 0 ? "xn--mnchen-3ya.test" : input);
    return IDN2_OK;
}

int idn2_to_unicode_8z8z(const char *input, char **output, int flags)
{
    (void)flags;
    (void)input;
    if (!may(TO_UNICODE)) {
        return IDN2_MALLOC;
    }
    *output = strdup("m\xc3\xbcnchen.test");
    return IDN2_OK;
}

uint8_t *u8_normalize(uninorm_t nf, const uint8_t *s, size_t n, uint8_t *resultbuf, size_t *lengthp)
{
    (void)nf;
    if (!may(NORMALIZE)) {
        return NULL;
    }
    memcpy(resultbuf, s, n);
    *lengthp = n;
    return resultbuf;
}

/* Allocates its result, as the library does when the caller's storage is too short. */
uint8_t *u8_casefold(const uint8_t *s, size_t n, const char *iso639_language, uninorm_t nf, uint8_t *resultbuf,
                     size_t *lengthp)
{
    (void)iso639_language;
    (void)nf;
    (void)resultbuf;
    if (!may(CASEFOLD)) {
        return NULL;
    }
    uint8_t *made = malloc(n);
    assert_non_null(made);
    memcpy(made, s, n);
    *lengthp = n;
    return made;
}

static enum cm_address_status parse(const char *raw)
{
    struct cm_address a;
    return cm_address_parse(cm_span_of(raw), &a);
}

static void test_the_replacements_are_in_place(void **state)
{
    (void)state;
    allow(9, 9, 9, 9);
    assert_int_equal(parse("<j\xc3\xbcrgen@m\xc3\xbcnchen.test>"), CM_ADDRESS_OK);
    assert_int_equal(budget[TO_ASCII], 7);
    assert_int_equal(budget[TO_UNICODE], 8);
    assert_int_equal(budget[NORMALIZE], 7);
}

static void test_plain_addresses_need_no_library(void **state)
{
    (void)state;
    allow(0, 0, 0, 0);
    assert_int_equal(parse("<User+Tag@gmail.com>"), CM_ADDRESS_OK);
    assert_int_equal(parse("<\"a b\"@[IPv6:::1]>"), CM_ADDRESS_OK);
    for (enum call call = TO_ASCII; call < CALLS; call++) {
        assert_int_equal(budget[call], 0);
    }
}

static void test_parsing_is_undecided(void **state)
{
    (void)state;
    allow(0, 9, 9, 9);
    assert_int_equal(parse("<u@m\xc3\xbcnchen.test>"), CM_ADDRESS_UNSET);
    allow(1, 9, 9, 9);
    assert_int_equal(parse("<u@m\xc3\xbcnchen.test>"), CM_ADDRESS_UNSET); /* on the way back */
    allow(9, 0, 9, 9);
    assert_int_equal(parse("<u@xn--mnchen-3ya.test>"), CM_ADDRESS_UNSET);
    allow(9, 9, 0, 9);
    assert_int_equal(parse("<j\xc3\xbcrgen@dom.test>"), CM_ADDRESS_UNSET);
    allow(9, 9, 1, 9);
    assert_int_equal(parse("<j\xc3\xbcrgen@dom.test>"), CM_ADDRESS_UNSET);
}

static enum cm_recipient_status decide(const char *argument, const char *rcpt_addr, const char *own_domain)
{
    struct cm_address a;
    enum cm_address_status why = CM_ADDRESS_OK;
    memset(&a, 'u', sizeof(a));
    struct cm_address untouched = a;
    enum cm_recipient_status status = cm_address_recipient(cm_span_of(argument), cm_span_of(rcpt_addr),
                                                           cm_span_of(own_domain), &a, &why);
    if (status != CM_RECIPIENT_OK) {
        assert_memory_equal(&a, &untouched, sizeof(a));
        assert_int_equal(why, CM_ADDRESS_UNSET);
    }
    return status;
}

/* LAW-2: it is never told as a refusal of the recipient. */
static void test_recipient_is_undecided(void **state)
{
    (void)state;
    allow(0, 0, 0, 0);
    assert_int_equal(decide("<j\xc3\xbcrgen@dom.test>", NULL, NULL), CM_RECIPIENT_UNSET);
    assert_int_equal(decide("<u@dom.test>", "u@m\xc3\xbcnchen.test", NULL), CM_RECIPIENT_UNSET);
    assert_int_equal(decide("<u>", "u", "m\xc3\xbcnchen.test"), CM_RECIPIENT_UNSET);
    allow(0, 0, 9, 0);
    assert_int_equal(decide("<\xc3\xbc@dom.test>", "u@dom.test", NULL), CM_RECIPIENT_UNSET);
    allow(0, 0, 9, 1);
    assert_int_equal(decide("<\xc3\xbc@dom.test>", "u@dom.test", NULL), CM_RECIPIENT_UNSET);
    allow(0, 0, 9, 9);
    assert_int_equal(decide("<\xc3\xbc@dom.test>", "\xc3\xbc@dom.test", NULL), CM_RECIPIENT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_replacements_are_in_place),
        cmocka_unit_test(test_plain_addresses_need_no_library),
        cmocka_unit_test(test_parsing_is_undecided),
        cmocka_unit_test(test_recipient_is_undecided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
