/* Reasons and their replies: every enumerator is complete, and says what its verdict says. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/reply.h"

/* The verdict that each reason comes with, in the order of the enum; the compiler finds a reason without one. */
static enum cm_verdict verdict_of(enum cm_reason reason)
{
    switch (reason) {
    case CM_REASON_UNSET:
    case CM_REASON_COUNT: return CM_VERDICT_UNDECIDED;
    case CM_REASON_EXPRESS:
    case CM_REASON_IMPLIED:
    case CM_REASON_SOFT_OPTIN:
    case CM_REASON_ASSERTED:
    case CM_REASON_REQUEST:
    case CM_REASON_SERVICE:
    case CM_REASON_NOT_OURS: return CM_VERDICT_ACCEPT;
    case CM_REASON_NO_CONSENT:
    case CM_REASON_REQUEST_OPEN:
    case CM_REASON_LAPSED:
    case CM_REASON_OLDER_STATEMENT:
    case CM_REASON_BASIS_NOT_ACCEPTED:
    case CM_REASON_NOT_YET:
    case CM_REASON_DORMANT:
    case CM_REASON_RESTRICTED:
    case CM_REASON_DECEASED:
    case CM_REASON_MINOR:
    case CM_REASON_SUSPENDED:
    case CM_REASON_REFUSED:
    case CM_REASON_WITHDRAWN:
    case CM_REASON_OBJECTED:
    case CM_REASON_COMPLAINED:
    case CM_REASON_BOUNCED:
    case CM_REASON_ERASED:
    case CM_REASON_PURPOSE_UNKNOWN:
    case CM_REASON_PURPOSE_RETIRED:
    case CM_REASON_UNDECLARED_BULK:
    case CM_REASON_HALTED:
    case CM_REASON_CONTRADICTED:
    case CM_REASON_SERVICE_DISHONEST:
    case CM_REASON_TOO_MANY_RECIPIENTS:
    case CM_REASON_RECIPIENT_UNPARSABLE:
    case CM_REASON_RECIPIENT_AMBIGUOUS:
    case CM_REASON_OTHER_RECIPIENT: return CM_VERDICT_REFUSE;
    case CM_REASON_TROUBLE:
    case CM_REASON_CONFIGURATION:
    case CM_REASON_LIMIT: return CM_VERDICT_DEFER;
    }
    return CM_VERDICT_UNDECIDED;
}

static struct cm_reply reply_to(enum cm_verdict verdict, enum cm_reason reason, bool tell_state)
{
    struct cm_decision decision = cm_decision_of(verdict, reason);
    struct cm_reply reply;
    struct cm_reply_facts facts = {
        .decision = &decision,
        .recipients = {CM_SPAN("ada@example.org")},
        .recipient_count = 1,
        .purpose = "acme/news",
        .decision_id = "abuiezbfl332w353yaaaaaafxd",
        .url = "https://mail.acme.example/privacy",
        .tell_state = tell_state,
    };
    cm_reply_make(&facts, &reply);
    return reply;
}

/* What `explain` tells of the law: every reason that can be given has one, with a text. LAW-13 */
static void every_reason_applies_a_law(void **state)
{
    static const struct {
        enum cm_reason reason;
        unsigned law;
    } rows[] = {
        {CM_REASON_EXPRESS, 8},   {CM_REASON_NO_CONSENT, 8},       {CM_REASON_WITHDRAWN, 4},
        {CM_REASON_MINOR, 15},    {CM_REASON_OLDER_STATEMENT, 9},  {CM_REASON_LAPSED, 7},
        {CM_REASON_SUSPENDED, 5}, {CM_REASON_TROUBLE, 2},          {CM_REASON_PURPOSE_UNKNOWN, 1},
        {CM_REASON_HALTED, 16},   {CM_REASON_UNDECLARED_BULK, 14}, {CM_REASON_UNSET, 0},
        {CM_REASON_COUNT, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(rows[i].law, cm_reason_law(rows[i].reason));
    }
    for (unsigned i = 1; i < CM_REASON_COUNT; i++) {
        enum cm_reason found = CM_REASON_UNSET;
        assert_true(cm_law_text(cm_reason_law((enum cm_reason)i))[0] != '\0');
        assert_true(cm_reason_by_name(cm_span_of(cm_reason_name((enum cm_reason)i)), &found));
        assert_int_equal(i, found);
    }
    assert_string_equal("", cm_law_text(0));
    assert_string_equal("", cm_law_text(17));
}

static void every_reason_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CM_REASON_COUNT; a++) {
        const char *name = cm_reason_name((enum cm_reason)a);
        assert_non_null(name);
        assert_true(name[0] != '\0');
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name)); /* needs no quotes in a log line */
        for (unsigned b = 0; b < a; b++) {
            assert_string_not_equal(name, cm_reason_name((enum cm_reason)b));
        }
    }
}

static void every_reason_has_an_explanation_of_its_own(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CM_REASON_COUNT; a++) {
        const char *text = cm_reason_explanation((enum cm_reason)a);
        assert_non_null(text);
        if (strlen(text) < 10 || text[strlen(text) - 1] != '.') {
            fail_msg("%s: \"%s\" is no sentence", cm_reason_name((enum cm_reason)a), text);
        }
        for (unsigned b = 0; b < a; b++) {
            assert_string_not_equal(text, cm_reason_explanation((enum cm_reason)b));
        }
    }
}

static void values_out_of_range_are_unknown(void **state)
{
    (void)state;
    assert_string_equal(cm_reason_name(CM_REASON_COUNT), "unknown");
    assert_string_equal(cm_reason_name((enum cm_reason)255), "unknown");
    assert_string_equal(cm_reason_explanation(CM_REASON_COUNT), "");
    assert_string_equal(cm_verdict_name((enum cm_verdict)4), "unknown");
    assert_string_equal(cm_verdict_name(CM_VERDICT_UNDECIDED), "undecided"); /* LAW-1 */
    assert_string_equal(cm_verdict_name(CM_VERDICT_ACCEPT), "accept");
    assert_string_equal(cm_verdict_name(CM_VERDICT_REFUSE), "refuse");
    assert_string_equal(cm_verdict_name(CM_VERDICT_DEFER), "defer");
}

static void the_reply_fits_the_verdict(void **state)
{
    (void)state;
    for (unsigned a = 0; a <= CM_REASON_COUNT; a++) {
        enum cm_reason reason = (enum cm_reason)a;
        enum cm_verdict verdict = verdict_of(reason);
        assert_int_equal(cm_reason_verdict(reason), verdict);
        struct cm_reply reply = reply_to(verdict, reason, true);
        if (verdict == CM_VERDICT_ACCEPT) {
            if (reply.code != NULL || reply.xcode != NULL || reply.text[0] != '\0') {
                fail_msg("%s is answered %s %s", cm_reason_name(reason), reply.code, reply.text);
            }
            continue;
        }
        char class = verdict == CM_VERDICT_REFUSE ? '5' : '4';
        if (reply.code == NULL || reply.xcode == NULL || reply.code[0] != class || reply.xcode[0] != class ||
            strlen(reply.code) != 3 || strstr(reply.text, "ada@example.org") != reply.text) {
            fail_msg("%s %s is answered %s %s %s", cm_verdict_name(verdict), cm_reason_name(reason), reply.code,
                     reply.xcode, reply.text);
        }
    }
}

/* LAW-2: whatever stands beside it, a deferral is never told as a refusal, for that would be "no consent". */
static void a_deferral_is_never_answered_for_good(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CM_REASON_COUNT; a++) {
        struct cm_reply reply = reply_to(CM_VERDICT_DEFER, (enum cm_reason)a, true);
        if (reply.code == NULL || reply.code[0] != '4' || reply.xcode[0] != '4') {
            fail_msg("defer %s is answered %s %s", cm_reason_name((enum cm_reason)a), reply.code, reply.text);
        }
    }
}

static void the_codes_are_those_of_the_design(void **state)
{
    (void)state;
    static const struct {
        enum cm_reason reason;
        const char *code;
        const char *xcode;
    } rows[] = {
        {CM_REASON_NO_CONSENT, "550", "5.7.1"},
        {CM_REASON_REQUEST_OPEN, "550", "5.7.1"},
        {CM_REASON_LAPSED, "550", "5.7.1"},
        {CM_REASON_OLDER_STATEMENT, "550", "5.7.1"},
        {CM_REASON_BASIS_NOT_ACCEPTED, "550", "5.7.1"},
        {CM_REASON_NOT_YET, "550", "5.7.1"},
        {CM_REASON_REFUSED, "550", "5.7.1"},
        {CM_REASON_WITHDRAWN, "550", "5.7.1"},
        {CM_REASON_OBJECTED, "550", "5.7.1"},
        {CM_REASON_COMPLAINED, "550", "5.7.1"},
        {CM_REASON_DORMANT, "550", "5.7.1"},
        {CM_REASON_RESTRICTED, "550", "5.7.1"},
        {CM_REASON_DECEASED, "550", "5.7.1"},
        {CM_REASON_MINOR, "550", "5.7.1"},
        {CM_REASON_SUSPENDED, "550", "5.7.1"},
        {CM_REASON_BOUNCED, "550", "5.7.1"}, /* not 5.1.1: we did not try the mailbox */
        {CM_REASON_ERASED, "550", "5.7.1"},
        {CM_REASON_PURPOSE_UNKNOWN, "550", "5.7.1"},
        {CM_REASON_PURPOSE_RETIRED, "550", "5.7.1"},
        {CM_REASON_UNDECLARED_BULK, "550", "5.7.1"},
        {CM_REASON_HALTED, "550", "5.7.1"},
        {CM_REASON_CONTRADICTED, "550", "5.7.1"},
        {CM_REASON_SERVICE_DISHONEST, "550", "5.7.1"},
        {CM_REASON_TOO_MANY_RECIPIENTS, "550", "5.7.1"},
        {CM_REASON_RECIPIENT_UNPARSABLE, "550", "5.1.3"},
        {CM_REASON_RECIPIENT_AMBIGUOUS, "550", "5.7.1"},
        {CM_REASON_TROUBLE, "451", "4.3.0"},
        {CM_REASON_CONFIGURATION, "451", "4.3.5"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_reply reply = reply_to(verdict_of(rows[i].reason), rows[i].reason, false);
        assert_string_equal(reply.code, rows[i].code);
        assert_string_equal(reply.xcode, rows[i].xcode);
    }
}

static void every_trouble_is_deferred(void **state)
{
    (void)state;
    for (unsigned a = 0; a < CM_TROUBLE_COUNT; a++) { /* LAW-2 */
        struct cm_decision decision = cm_decision_trouble((enum cm_trouble)a);
        struct cm_reply reply;
        struct cm_reply_facts facts = {.decision = &decision, .decision_id = "id"};
        cm_reply_make(&facts, &reply);
        assert_int_equal(decision.verdict, CM_VERDICT_DEFER);
        assert_int_equal(decision.trouble, a);
        assert_false(decision.has_record);
        assert_string_equal(reply.code, "451");
        assert_string_equal(reply.xcode, "4.3.0");
        assert_null(strstr(reply.text, "consent on record")); /* don't know is never told as no */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_applies_a_law),
        cmocka_unit_test(every_reason_has_a_word_of_its_own),
        cmocka_unit_test(every_reason_has_an_explanation_of_its_own),
        cmocka_unit_test(values_out_of_range_are_unknown),
        cmocka_unit_test(the_reply_fits_the_verdict),
        cmocka_unit_test(a_deferral_is_never_answered_for_good),
        cmocka_unit_test(the_codes_are_those_of_the_design),
        cmocka_unit_test(every_trouble_is_deferred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
