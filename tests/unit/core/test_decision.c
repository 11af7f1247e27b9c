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

static void seals_and_forwards_are_no_consent_and_no_stop(void **state)
{
    (void)state;
    static const enum cm_kind kinds[] = {CM_KIND_SEAL, CM_KIND_FORWARD};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct cm_record records[] = {record(PURPOSE, kinds[i], 0), record(CM_SCOPE_EVERYBODY, kinds[i], 0),
                                      record(PURPOSE, CM_KIND_GRANT, 1)};
        expect("alone", decide(records, 2, question()), CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT);
        expect("beside a grant", decide(records, 3, question()), CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
    }
}

/* Every state of every kind that forbids has a reason, and a grant is kept out by each. */
static void every_stop_stops(void **state)
{
    (void)state;
    static const struct {
        enum cm_kind kind;
        enum cm_reason reasons[4];
    } rows[] = {
        {CM_KIND_STOP, {CM_REASON_REFUSED, CM_REASON_WITHDRAWN, CM_REASON_OBJECTED, CM_REASON_COMPLAINED}},
        {CM_KIND_BOUNCED, {CM_REASON_BOUNCED, CM_REASON_BOUNCED}},
        {CM_KIND_RESTRICTED, {CM_REASON_MINOR, CM_REASON_RESTRICTED, CM_REASON_DECEASED}},
        {CM_KIND_SUSPENDED, {CM_REASON_SUSPENDED, CM_REASON_SUSPENDED}},
        {CM_KIND_ERASED, {CM_REASON_ERASED}},
    };
    size_t stops = 0;
    for (unsigned kind = 0; kind < 16; kind++) {
        stops += cm_kind_is_stop((enum cm_kind)kind) ? 1 : 0;
    }
    assert_int_equal(stops, COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(cm_kind_is_stop(rows[i].kind));
        for (unsigned value = 1; cm_state_name(rows[i].kind, value) != NULL; value++) {
            struct cm_record records[] = {record(SENDER, rows[i].kind, 7), record(PURPOSE, CM_KIND_GRANT, 1)};
            records[0].state = value;
            struct cm_decision got = decide(records, 2, question());
            expect(cm_state_name(rows[i].kind, value), got, CM_VERDICT_REFUSE, rows[i].reasons[value - 1]);
            assert_int_equal(got.record.kind, rows[i].kind);
            assert_int_equal(got.record.scope, SENDER);
        }
    }
}

/* During the rotation of a pepper a key may stand at two places; the record that supersedes counts, wherever it is. */
static void of_one_key_that_stands_twice_the_superseding_record_counts(void **state)
{
    (void)state;
    struct cm_record grant = record(PURPOSE, CM_KIND_GRANT, 100);
    struct cm_record older_statement = grant;
    struct cm_record minor = record(SENDER, CM_KIND_RESTRICTED, 50);
    struct cm_record minor_over = minor;
    struct cm_record bounced = record(SENDER, CM_KIND_BOUNCED, 50);
    struct cm_record bounced_before = bounced;
    struct cm_record request = record(PURPOSE, CM_KIND_REQUEST, 100);
    struct cm_record request_before = request;
    older_statement.event_at = 99;
    older_statement.expiry_s = 1;
    minor_over.event_at = 51;
    minor_over.flags = CM_RECORD_ENDED;
    bounced.expiry_s = NOW_S - 1;
    bounced_before.event_at = 49;
    bounced_before.expiry_s = NOW_S;
    request_before.event_at = 99;
    request_before.expiry_s = 1;
    const struct {
        const char *name;
        struct cm_record a;
        struct cm_record b;
        enum cm_stream_class class;
        enum cm_reason want;
    } rows[] = {
        {"the newer grant", grant, older_statement, CM_CLASS_MARKETING, CM_REASON_EXPRESS},
        {"the end of a restriction", minor, minor_over, CM_CLASS_MARKETING, CM_REASON_EXPRESS},
        {"the newer bounce, although it lapsed", bounced, bounced_before, CM_CLASS_MARKETING, CM_REASON_EXPRESS},
        {"the newer request", request, request_before, CM_CLASS_CONSENT_REQUEST, CM_REASON_REQUEST},
        {"a key that stands twice alike", minor, minor, CM_CLASS_MARKETING, CM_REASON_MINOR},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int swapped = 0; swapped < 2; swapped++) {
            struct cm_record records[] = {swapped == 1 ? rows[i].b : rows[i].a, swapped == 1 ? rows[i].a : rows[i].b,
                                          grant};
            struct cm_question q = question();
            q.class = rows[i].class;
            assert_int_equal(decide(records, 3, q).reason, rows[i].want);
        }
    }
}

static void records_beyond_the_count_are_not_read(void **state)
{
    (void)state;
    struct cm_record records[] = {record(SENDER, CM_KIND_RESTRICTED, 50), record(SENDER, CM_KIND_RESTRICTED, 51),
                                  record(PURPOSE, CM_KIND_GRANT, 1)};
    records[1].flags = CM_RECORD_ENDED;
    expect("the restriction", decide(records, 1, question()), CM_VERDICT_REFUSE, CM_REASON_MINOR);
    expect("and its end", decide(records, 2, question()), CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT);
    expect("and a grant", decide(records, 3, question()), CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
}

/* Months of the calendar: the month of the grant, or of its last use, and so many whole months after it. */
static void dormancy_counts_whole_months(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *given;
        uint8_t last_use; /* months since 2020-01 */
        const char *now;
        unsigned months;
        bool want;
    } rows[] = {
        {"the last millisecond of the last month", "2026-01-01", 0, "2026-02-28T23:59:59.999Z", 1, false},
        {"the first millisecond after", "2026-01-01", 0, "2026-03-01", 1, true},
        {"given at the end of its month", "2026-01-31T23:59:59.999Z", 0, "2026-02-28T23:59:59.999Z", 1, false},
        {"over the turn of the year", "2025-12-31", 0, "2026-02-01", 1, true},
        {"36 months, not over", "2023-11-23", 0, "2026-11-30T23:59:59.999Z", 36, false},
        {"36 months, over", "2023-11-23", 0, "2026-12-01", 36, true},
        {"used later", "2023-11-23", 12, "2026-12-01", 70, false},
        {"use counts from its own month", "2019-01-01", 12, "2021-02-28", 1, false},
        {"use is over too", "2019-01-01", 12, "2021-03-01", 1, true},
        {"a use before the grant does not make it older", "2026-01-01", 1, "2026-02-01", 1, false},
        {"the first month there is", "1970-01-01", 0, "1970-03-01", 1, true},
        {"never used is not used in 2020", "2015-01-01", 0, "2020-03-01", 2, true},
        {"the last month that a record can hold", "2020-01-01", 255, "2041-05-01", 1, false},
        {"the longest wait", "2020-01-01", 0, "2040-01-31", CM_DORMANCY_MONTHS_MAX, false},
        {"the longest wait, over", "2020-01-01", 0, "2040-02-01", CM_DORMANCY_MONTHS_MAX, true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_record grant = record(PURPOSE, CM_KIND_GRANT, 0);
        struct cm_question q = question();
        assert_true(cm_time_parse(cm_span_of(rows[i].given), &grant.event_at));
        assert_true(cm_time_parse(cm_span_of(rows[i].now), &q.now));
        grant.last_use_month = rows[i].last_use;
        q.dormancy = (struct cm_dormancy){rows[i].months, CM_DORMANCY_REFUSE};
        expect(rows[i].name, decide(&grant, 1, q), rows[i].want ? CM_VERDICT_REFUSE : CM_VERDICT_ACCEPT,
               rows[i].want ? CM_REASON_DORMANT : CM_REASON_EXPRESS);
        q.dormancy.act = CM_DORMANCY_WARN;
        struct cm_decision got = decide(&grant, 1, q);
        expect(rows[i].name, got, CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
        assert_int_equal(got.dormant, rows[i].want);
        q.dormancy.act = CM_DORMANCY_OFF;
        got = decide(&grant, 1, q);
        expect(rows[i].name, got, CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
        assert_false(got.dormant);
    }
}

static void only_express_consent_grows_dormant(void **state)
{
    (void)state;
    static const enum cm_kind kinds[] = {CM_KIND_IMPLIED, CM_KIND_SOFT_OPTIN, CM_KIND_ASSERTED};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct cm_record weak = record(PURPOSE, kinds[i], 1);
        struct cm_question q = question();
        q.accept_basis = CM_BASIS_IMPLIED | CM_BASIS_SOFT_OPTIN | CM_BASIS_ASSERTED;
        q.now = CM_MS_MAX;
        for (unsigned act = CM_DORMANCY_OFF; act <= CM_DORMANCY_REFUSE; act++) {
            q.dormancy = (struct cm_dormancy){1, (enum cm_dormancy_act)act};
            struct cm_decision got = decide(&weak, 1, q);
            assert_int_equal(got.verdict, CM_VERDICT_ACCEPT);
            assert_false(got.dormant);
        }
    }
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
        cmocka_unit_test(seals_and_forwards_are_no_consent_and_no_stop),
        cmocka_unit_test(every_stop_stops),
        cmocka_unit_test(of_one_key_that_stands_twice_the_superseding_record_counts),
        cmocka_unit_test(records_beyond_the_count_are_not_read),
        cmocka_unit_test(dormancy_counts_whole_months),
        cmocka_unit_test(only_express_consent_grows_dormant),
        cmocka_unit_test(the_builders_say_what_they_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
