/* How cm_decide looks at records: scopes, fields, limits and what it reports. tests/law holds the law itself. */
#include "core/decision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PURPOSE = 30, PARENT = 20, SENDER = 10, OTHER_PURPOSE = 31 };

#define NOW ((cm_ms)1000000)
#define NOW_S 1000U

static const struct cm_scope_path path = {{PURPOSE, PARENT, SENDER, CM_SCOPE_EVERYBODY}, 4};

static struct cm_record record(uint32_t scope, enum cm_kind kind, cm_ms event_at)
{
    return (struct cm_record){
        .scope = scope,
        .kind = kind,
        .state = kind == CM_KIND_STOP ? CM_STATE_WITHDRAWN : CM_STATE_GIVEN,
        .rank = CM_RANK_SUBJECT,
        .event_at = event_at,
    };
}

static struct cm_question question(void)
{
    return (struct cm_question){
        .path = &path, .class = CM_CLASS_MARKETING, .accept_basis = CM_BASIS_EXPRESS, .now = NOW};
}

static struct cm_decision decide(const struct cm_record *records, size_t count, struct cm_question q)
{
    struct cm_subject_records both = {records, count, records, count};
    return cm_decide(&both, &q);
}

static void expect(const char *name, struct cm_decision got, enum cm_verdict verdict, enum cm_reason reason)
{
    if (got.verdict != verdict || got.reason != reason || got.trouble != CM_TROUBLE_NONE) {
        fail_msg("%s: %s %s", name, cm_verdict_name(got.verdict), cm_reason_name(got.reason));
    }
}

static void zeroed_memory_is_undecided(void **state)
{
    (void)state;
    static const struct cm_decision zero;
    assert_int_equal(zero.verdict, CM_VERDICT_UNDECIDED); /* LAW-1 */
    assert_int_equal(zero.reason, CM_REASON_UNSET);
    assert_int_not_equal(CM_VERDICT_ACCEPT, 0);
}

static void nothing_known_is_refused(void **state)
{
    (void)state;
    static const enum cm_stream_class classes[] = {CM_CLASS_UNSET, CM_CLASS_MARKETING, CM_CLASS_CONSENT_REQUEST};
    for (size_t i = 0; i < COUNT(classes); i++) {
        struct cm_question q = question();
        q.class = classes[i];
        q.accept_basis = CM_BASIS_EXPRESS | CM_BASIS_IMPLIED | CM_BASIS_SOFT_OPTIN | CM_BASIS_ASSERTED;
        struct cm_decision got = decide(NULL, 0, q);
        expect("no records", got, CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT); /* LAW-1 */
        assert_false(got.has_record);
    }
}

static void the_deciding_record_is_reported(void **state)
{
    (void)state;
    struct cm_record records[] = {record(SENDER, CM_KIND_STOP, 5), record(PARENT, CM_KIND_STOP, 7),
                                  record(PURPOSE, CM_KIND_GRANT, 9)};
    records[2].ledger = 77;
    struct cm_decision got = decide(records, 3, question());
    expect("re-opened", got, CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
    assert_true(got.has_record);
    assert_true(got.record.ledger == 77);

    records[2].event_at = 6; /* now the stop of the parent is the newest */
    got = decide(records, 3, question());
    expect("closed by the parent", got, CM_VERDICT_REFUSE, CM_REASON_WITHDRAWN);
    assert_true(got.has_record);
    assert_int_equal(got.record.scope, PARENT);
}

static void an_instant_counts_from_its_millisecond_on(void **state)
{
    (void)state;
    struct cm_record grant = record(PURPOSE, CM_KIND_GRANT, NOW);
    expect("now", decide(&grant, 1, question()), CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
    grant.event_at = NOW + 1;
    expect("one millisecond ahead", decide(&grant, 1, question()), CM_VERDICT_REFUSE, CM_REASON_NOT_YET);
    struct cm_record stop = record(PURPOSE, CM_KIND_STOP, CM_MS_MAX); /* a stop binds whatever its date */
    expect("a stop far ahead", decide(&stop, 1, question()), CM_VERDICT_REFUSE, CM_REASON_WITHDRAWN);
}

/* LAW-7: a stored second permits to its last millisecond. */
static void an_expiry_lasts_to_the_end_of_its_second(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t expiry_s;
        cm_ms now;
        bool want;
    } rows[] = {
        {"never", 0, CM_MS_MAX, true},
        {"its first millisecond", NOW_S, NOW, true},
        {"its last millisecond", NOW_S, NOW + 999, true},
        {"the first millisecond after", NOW_S, NOW + 1000, false},
        {"the second before", NOW_S, NOW - 1, true},
        {"the largest second", UINT32_MAX, (cm_ms)UINT32_MAX * 1000 + 999, true},
        {"after the largest second", UINT32_MAX, (cm_ms)UINT32_MAX * 1000 + 1000, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_record grant = record(PURPOSE, CM_KIND_GRANT, 1);
        struct cm_question q = question();
        grant.expiry_s = rows[i].expiry_s;
        q.now = rows[i].now;
        expect(rows[i].name, decide(&grant, 1, q), rows[i].want ? CM_VERDICT_ACCEPT : CM_VERDICT_REFUSE,
               rows[i].want ? CM_REASON_EXPRESS : CM_REASON_LAPSED);
    }
}

static void the_weightiest_basis_answers(void **state)
{
    (void)state;
    static const struct {
        enum cm_kind kind;
        unsigned bit;
        enum cm_reason reason;
    } bases[] = {{CM_KIND_GRANT, CM_BASIS_EXPRESS, CM_REASON_EXPRESS},
                 {CM_KIND_SOFT_OPTIN, CM_BASIS_SOFT_OPTIN, CM_REASON_SOFT_OPTIN},
                 {CM_KIND_IMPLIED, CM_BASIS_IMPLIED, CM_REASON_IMPLIED},
                 {CM_KIND_ASSERTED, CM_BASIS_ASSERTED, CM_REASON_ASSERTED}};
    for (unsigned present = 0; present < 16; present++) {
        for (unsigned accepted = 0; accepted < 16; accepted++) {
            struct cm_record records[4];
            size_t count = 0;
            enum cm_reason want = present == 0 ? CM_REASON_NO_CONSENT : CM_REASON_BASIS_NOT_ACCEPTED;
            struct cm_question q = question();
            q.accept_basis = accepted;
            for (size_t i = COUNT(bases); i-- > 0;) { /* weakest first; the order of records must not matter */
                if ((present & bases[i].bit) != 0) {
                    records[count++] = record(PURPOSE, bases[i].kind, 1);
                    want = (accepted & bases[i].bit) != 0 ? bases[i].reason : want;
                }
            }
            enum cm_verdict verdict = (present & accepted) != 0 ? CM_VERDICT_ACCEPT : CM_VERDICT_REFUSE; /* LAW-14 */
            expect("basis", decide(records, count, q), verdict, want);
        }
    }
}

static void grants_are_exact_and_stops_are_of_the_family(void **state)
{
    (void)state;
    struct cm_record grant = record(PURPOSE, CM_KIND_GRANT, 10);
    struct cm_record stop = record(PURPOSE, CM_KIND_STOP, 20);
    static const struct {
        const char *name;
        bool grant_exact;
        bool grant_family;
        bool stop_family;
        enum cm_reason want;
    } rows[] = {
        {"a grant of this address", true, false, false, CM_REASON_EXPRESS},
        {"a grant of a relative", false, true, false, CM_REASON_NO_CONSENT},
        {"a stop of the family", true, false, true, CM_REASON_WITHDRAWN},
        {"a stop alone", false, false, true, CM_REASON_WITHDRAWN},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_record exact[2];
        struct cm_record family[2];
        struct cm_subject_records records = {exact, 0, family, 0};
        struct cm_question q = question();
        if (rows[i].grant_exact) {
            exact[records.exact_count++] = grant;
        }
        if (rows[i].grant_family) {
            family[records.family_count++] = grant;
        }
        if (rows[i].stop_family) {
            family[records.family_count++] = stop;
        }
        struct cm_decision got = cm_decide(&records, &q); /* LAW-8 */
        expect(rows[i].name, got, rows[i].want == CM_REASON_EXPRESS ? CM_VERDICT_ACCEPT : CM_VERDICT_REFUSE,
               rows[i].want);
    }
}

static void a_deep_purpose_looks_at_its_whole_path(void **state)
{
    (void)state;
    struct cm_scope_path deep = {.count = CM_SCOPE_PATH_MAX};
    for (uint32_t i = 0; i < CM_SCOPE_PATH_MAX; i++) {
        deep.ids[i] = CM_SCOPE_PATH_MAX - 1 - i;
    }
    for (uint32_t scope = 0; scope < CM_SCOPE_PATH_MAX + 2; scope++) {
        struct cm_record records[] = {record(deep.ids[0], CM_KIND_GRANT, 1), record(scope, CM_KIND_STOP, 2)};
        struct cm_question q = question();
        q.path = &deep;
        bool covered = scope < CM_SCOPE_PATH_MAX; /* LAW-4 */
        expect("stop", decide(records, 2, q), covered ? CM_VERDICT_REFUSE : CM_VERDICT_ACCEPT,
               covered ? CM_REASON_WITHDRAWN : CM_REASON_EXPRESS);
        records[0].scope = scope;
        q.accept_basis = CM_BASIS_EXPRESS;
        bool exact = scope == deep.ids[0];
        expect("grant", decide(records, 1, q), exact ? CM_VERDICT_ACCEPT : CM_VERDICT_REFUSE,
               exact ? CM_REASON_EXPRESS : CM_REASON_NO_CONSENT);
    }
}

static void a_full_set_of_foreign_records_changes_nothing(void **state)
{
    (void)state;
    enum { FOREIGN = 1023 };
    static struct cm_record records[FOREIGN + 1];
    for (uint32_t i = 0; i < FOREIGN; i++) {
        records[i] = record(1000 + i, i % 2 == 0 ? CM_KIND_STOP : CM_KIND_GRANT, 500);
    }
    expect("without", decide(records, FOREIGN, question()), CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT);
    records[FOREIGN] = record(PURPOSE, CM_KIND_GRANT, 1);
    expect("with", decide(records, FOREIGN + 1, question()), CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
}

static void a_seal_is_no_consent(void **state)
{
    (void)state;
    struct cm_record seal = record(PURPOSE, CM_KIND_SEAL, 0);
    expect("seal", decide(&seal, 1, question()), CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT);
}

static void the_builders_say_what_they_are_told(void **state)
{
    (void)state;
    struct cm_decision got = cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_SERVICE);
    expect("service", got, CM_VERDICT_ACCEPT, CM_REASON_SERVICE);
    assert_false(got.has_record);
    got = cm_decision_trouble(CM_TROUBLE_TIMEOUT);
    assert_int_equal(got.verdict, CM_VERDICT_DEFER); /* LAW-2 */
    assert_int_equal(got.reason, CM_REASON_TROUBLE);
    assert_int_equal(got.trouble, CM_TROUBLE_TIMEOUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_memory_is_undecided),
        cmocka_unit_test(nothing_known_is_refused),
        cmocka_unit_test(the_deciding_record_is_reported),
        cmocka_unit_test(an_instant_counts_from_its_millisecond_on),
        cmocka_unit_test(an_expiry_lasts_to_the_end_of_its_second),
        cmocka_unit_test(the_weightiest_basis_answers),
        cmocka_unit_test(grants_are_exact_and_stops_are_of_the_family),
        cmocka_unit_test(a_deep_purpose_looks_at_its_whole_path),
        cmocka_unit_test(a_full_set_of_foreign_records_changes_nothing),
        cmocka_unit_test(a_seal_is_no_consent),
        cmocka_unit_test(the_builders_say_what_they_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
