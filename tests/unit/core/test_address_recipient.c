/* cm_address_recipient: the argument of RCPT against the MTA's {rcpt_addr}. */
#include "core/address.h"

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A64 A63 "a"
#define LABELS_189  \
    A63 "." A63 "." \
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" /* 63 + 1 + 63 + 1 + 61 */
#define DOMAIN_253 LABELS_189 "." A63
#define DOMAIN_254 LABELS_189 "a." A63

/* ---- The argument against the MTA's reading ---- */

static const char own[] = "mx.probe.test";

struct recipient {
    const char *argument;
    const char *rcpt_addr; /* NULL: no macro */
    const char *exact;     /* NULL: refused */
    enum cm_recipient_status status;
    enum cm_address_status why; /* on refusal */
};

#define TAKEN(argument, rcpt_addr, exact)                             \
    {                                                                 \
        argument, rcpt_addr, exact, CM_RECIPIENT_OK, CM_ADDRESS_UNSET \
    }
#define AMBIGUOUS(argument, rcpt_addr, why)                    \
    {                                                          \
        argument, rcpt_addr, NULL, CM_RECIPIENT_AMBIGUOUS, why \
    }
#define UNPARSABLE(argument, rcpt_addr, why)                    \
    {                                                           \
        argument, rcpt_addr, NULL, CM_RECIPIENT_UNPARSABLE, why \
    }

static const struct recipient recipients[] = {
    /* Postfix, every row that was measured */
    TAKEN("<User@Dom.Test>", "user@dom.test", "user@dom.test"),
    TAKEN("<\"a b\"@dom.test>", "\"a b\"@dom.test", "\"a b\"@dom.test"),
    TAKEN("<\"simple\"@dom.test>", "simple@dom.test", "simple@dom.test"),
    TAKEN("<@a.test:b@c.test>", "b@c.test", "b@c.test"),
    TAKEN("<@a.test,@b.test:F9@x.test>", "f9@x.test", "f9@x.test"),
    TAKEN("<nodomain>", "nodomain@mx.probe.test", "nodomain@mx.probe.test"),
    TAKEN("<postmaster>", "postmaster@mx.probe.test", "postmaster@mx.probe.test"),
    TAKEN("<Postmaster>", "postmaster@corp.test", "postmaster@corp.test"),
    TAKEN("<user@dom.test.>", "user@dom.test", "user@dom.test"),
    TAKEN("<user+tag@dom.test>", "user+tag@dom.test", "user+tag@dom.test"),
    TAKEN("<list-bounces+joe=far.test@dom.test>", "list-bounces+joe=far.test@dom.test",
          "list-bounces+joe=far.test@dom.test"),
    TAKEN("<joe%far.test@dom.test>", "joe%far.test@dom.test", "joe%far.test@dom.test"),
    TAKEN("<far.test!joe@dom.test>", "far.test!joe@dom.test", "far.test!joe@dom.test"),
    TAKEN("<user@far.test@dom.test>", "\"user@far.test\"@dom.test", "\"user@far.test\"@dom.test"),
    TAKEN("<\"user@far.test\"@dom.test>", "\"user@far.test\"@dom.test", "\"user@far.test\"@dom.test"),
    TAKEN("user@nobracket.test", "user@nobracket.test", "user@nobracket.test"),
    TAKEN("<user@space.test>", "user@space.test", "user@space.test"),
    TAKEN("<other@dom.test (comment)>", "other@dom.test", "other@dom.test"),
    TAKEN("<(c1)third(c2)@(c3)dom.test>", "third@dom.test", "third@dom.test"),
    TAKEN("<Foo <fourth@dom.test>>", "fourth@dom.test", "fourth@dom.test"),
    TAKEN("<grp:sixth@dom.test;>", "sixth@dom.test", "sixth@dom.test"),
    TAKEN("<us\\er@dom.test>", "user@dom.test", "user@dom.test"),
    TAKEN("<user @ dom5.test>", "user@dom5.test", "user@dom5.test"),
    TAKEN("<.dot@dom.test>", "\".dot\"@dom.test", "\".dot\"@dom.test"),
    TAKEN("<user@[IPv6:::1]>", "user@[ipv6:::1]", "user@[ipv6:::1]"),
    TAKEN("<jürgen@dom.test>", "jürgen@dom.test", "jürgen@dom.test"),
    TAKEN("<user@münchen.test>", "user@münchen.test", "user@xn--mnchen-3ya.test"),
    TAKEN("<user@MÜNCHEN.test>", "user@münchen.test", "user@xn--mnchen-3ya.test"),
    TAKEN("<user@xn--mnchen-3ya.test>", "user@xn--mnchen-3ya.test", "user@xn--mnchen-3ya.test"),
    TAKEN("<n1@dom.test>", "n1@dom.test", "n1@dom.test"),
    TAKEN("User@Dom.Test", "User@Dom.Test", "user@dom.test"), /* pickup: no brackets, case kept */

    /* Postfix folds its macro by full case folding; the identity stays the argument's */
    TAKEN("<JÜRGEN@dom.test>", "jürgen@dom.test", "jÜrgen@dom.test"),
    TAKEN("<Straße@dom.test>", "strasse@dom.test", "straße@dom.test"),
    TAKEN("<Ju\xcc\x88rgen@dom.test>", "ju\xcc\x88rgen@dom.test", "jürgen@dom.test"),
    TAKEN("<\xce\xa3\xcf\x82@dom.test>", "\xcf\x83\xcf\x83@dom.test", "\xce\xa3\xcf\x82@dom.test"),
    AMBIGUOUS("<\xc4\xb1@dom.test>", "i@dom.test", CM_ADDRESS_OK), /* dotless i is not i in any case */

    /* Sendmail keeps case and quotes, and gives no domain to mailboxes of its own host */
    TAKEN("<User@Dom.Test>", "User@Dom.Test", "user@dom.test"),
    TAKEN("<\"simple\"@dom.test>", "\"simple\"@dom.test", "simple@dom.test"),
    TAKEN("<alias@mx.probe.test>", "alias", "alias@mx.probe.test"),
    TAKEN("<alias>", "alias", "alias@mx.probe.test"),
    UNPARSABLE("<us er@dom.test>", "us.er@dom.test", CM_ADDRESS_SYNTAX),
    AMBIGUOUS("<alias@mx.probe.test>", "550 5.1.1 User unknown", CM_ADDRESS_SYNTAX),

    /* domains that the MTA completes */
    TAKEN("<u@host>", "u@host.corp.test", "u@host.corp.test"),
    TAKEN("<u@host.>", "u@host.corp.test", "u@host.corp.test"),
    TAKEN("<a.b+x@gmail>", "a.b+x@gmail.com", "a.b+x@gmail.com"),
    AMBIGUOUS("<u@host>", "u@hostage.corp.test", CM_ADDRESS_OK),
    AMBIGUOUS("<u@host.corp.test>", "u@host", CM_ADDRESS_OK),
    AMBIGUOUS("<u@corp.test>", "u@host.corp.test", CM_ADDRESS_OK),

    /* the MTA read another mailbox, or none */
    AMBIGUOUS("<u@dom.test>", "v@dom.test", CM_ADDRESS_OK),
    AMBIGUOUS("<u@dom.test>", "u@other.test", CM_ADDRESS_OK),
    AMBIGUOUS("<u@dom.test>", "u+x@dom.test", CM_ADDRESS_OK),
    AMBIGUOUS("<u@dom.test>", "blocked", CM_ADDRESS_OK),
    AMBIGUOUS("<joe%far.test>", "joe@far.test", CM_ADDRESS_OK), /* the percent hack at home */
    AMBIGUOUS("<far.test!joe>", "joe@far.test", CM_ADDRESS_OK), /* a bang path at home */
    AMBIGUOUS("<u@straße.test>", "u@strasse.test", CM_ADDRESS_OK),
    AMBIGUOUS("<blocked@rej.test>", "Recipient address rejected: blocked here", CM_ADDRESS_SYNTAX),
    AMBIGUOUS("<u@dom.test>", "", CM_ADDRESS_EMPTY),
    AMBIGUOUS("<u@dom.test>", "u@do_m.test", CM_ADDRESS_BAD_DOMAIN),
    AMBIGUOUS("<u@dom.test>", "\xff@dom.test", CM_ADDRESS_BAD_UTF8),

    /* the argument is no address, whatever the MTA says */
    UNPARSABLE("<>", "", CM_ADDRESS_EMPTY),
    UNPARSABLE("", NULL, CM_ADDRESS_EMPTY),
    UNPARSABLE("<a\"b\"c@dom.test>", "abc@dom.test", CM_ADDRESS_SYNTAX),
    UNPARSABLE("<a,b@dom.test>", "b@dom.test", CM_ADDRESS_SYNTAX),
    UNPARSABLE("<a@dom.test,b@dom.test>", "a@dom.test", CM_ADDRESS_SYNTAX),
    UNPARSABLE("<u@do_m.test>", "u@do_m.test", CM_ADDRESS_BAD_DOMAIN),
    UNPARSABLE("<\xff@dom.test>", "\xff@dom.test", CM_ADDRESS_BAD_UTF8),
    UNPARSABLE("<" A64 "a@dom.test>", A64 "a@dom.test", CM_ADDRESS_TOO_LONG),

    /* no macro */
    TAKEN("<User@Dom.Test>", NULL, "user@dom.test"),
    TAKEN("<nodomain>", NULL, "nodomain@mx.probe.test"),
    TAKEN("<\"a b\">", NULL, "\"a b\"@mx.probe.test"),
};

static void test_recipients(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(recipients); i++) {
        const struct recipient *row = &recipients[i];
        struct cm_address a;
        memset(&a, 'u', sizeof(a));
        struct cm_address untouched = a;
        enum cm_address_status why = CM_ADDRESS_UNSET;
        enum cm_recipient_status status = cm_address_recipient(cm_span_of(row->argument), cm_span_of(row->rcpt_addr),
                                                               cm_span_of(own), &a, &why);
        if (status != row->status || why != row->why) {
            fail_msg("%s with %s: %d %s", row->argument, row->rcpt_addr != NULL ? row->rcpt_addr : "no macro",
                     (int)status, cm_address_status_name(why));
        }
        if (row->exact != NULL) {
            assert_string_equal(a.exact, row->exact);
        } else {
            assert_memory_equal(&a, &untouched, sizeof(a));
        }
        /* The reason is optional. */
        assert_int_equal(
            cm_address_recipient(cm_span_of(row->argument), cm_span_of(row->rcpt_addr), cm_span_of(own), &a, NULL),
            row->status);
    }
}

static void test_family_follows_a_completed_domain(void **state)
{
    (void)state;
    struct cm_address a;
    assert_int_equal(cm_address_recipient(CM_SPAN("<a.b+x@gmail>"), CM_SPAN("a.b+x@gmail.com"), CM_SPAN(""), &a, NULL),
                     CM_RECIPIENT_OK);
    assert_string_equal(a.family, "ab@gmail.com");
    assert_int_equal(cm_address_recipient(CM_SPAN("<a.b>"), CM_SPAN("a.b"), CM_SPAN("GoogleMail.com."), &a, NULL),
                     CM_RECIPIENT_OK);
    assert_string_equal(a.exact, "a.b@googlemail.com");
    assert_string_equal(a.family, "ab@gmail.com");
}

static void test_own_domain(void **state)
{
    (void)state;
    static const struct {
        struct cm_span own_domain;
        const char *exact;
        enum cm_address_status why;
    } rows[] = {
        {CM_SPAN("MX.Probe.Test"), "u@mx.probe.test", CM_ADDRESS_UNSET},
        {CM_SPAN("münchen.test"), "u@xn--mnchen-3ya.test", CM_ADDRESS_UNSET},
        {CM_SPAN("[192.0.2.1]"), "u@[192.0.2.1]", CM_ADDRESS_UNSET},
        {{NULL, 0}, NULL, CM_ADDRESS_NO_DOMAIN},
        {CM_SPAN(""), NULL, CM_ADDRESS_NO_DOMAIN},
        {CM_SPAN("mx_probe"), NULL, CM_ADDRESS_BAD_DOMAIN},
        {CM_SPAN("mx probe"), NULL, CM_ADDRESS_BAD_DOMAIN},
        {CM_SPAN("mx\0probe"), NULL, CM_ADDRESS_BAD_DOMAIN},
        {CM_SPAN("mx\0ü"), NULL, CM_ADDRESS_BAD_DOMAIN},
        {CM_SPAN("\xff"), NULL, CM_ADDRESS_BAD_DOMAIN},
        {CM_SPAN("["), NULL, CM_ADDRESS_BAD_DOMAIN},
        {CM_SPAN("[192.0.2.1\0]"), NULL, CM_ADDRESS_BAD_DOMAIN},
        {CM_SPAN(DOMAIN_254), NULL, CM_ADDRESS_TOO_LONG},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_address a;
        enum cm_address_status why = CM_ADDRESS_UNSET;
        enum cm_recipient_status status = cm_address_recipient(CM_SPAN("<u>"), (struct cm_span){NULL, 0},
                                                               rows[i].own_domain, &a, &why);
        assert_int_equal(status, rows[i].exact != NULL ? CM_RECIPIENT_OK : CM_RECIPIENT_UNPARSABLE);
        assert_int_equal(why, rows[i].why);
        if (rows[i].exact != NULL) {
            assert_string_equal(a.exact, rows[i].exact);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recipients),
        cmocka_unit_test(test_family_follows_a_completed_domain),
        cmocka_unit_test(test_own_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
