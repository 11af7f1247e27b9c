#include "core/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct cm_record sample(void)
{
    return (struct cm_record){
        .scope = 0x01020304,
        .kind = CM_KIND_IMPLIED,
        .state = CM_STATE_INQUIRY,
        .rank = CM_RANK_SENDER,
        .flags = CM_RECORD_HAS_EVIDENCE,
        .source = CM_SOURCE_COMPLAINT_REPORT,
        .statement = 0x0506,
        .event_at = 0x0708090a0b0c,
        .expiry_s = 0x0d0e0f10,
        .ledger = 0x1112131415161718,
        .last_use_month = 0x19,
    };
}

static const uint8_t sample_packed[CM_RECORD_BYTES] = {1,    2,    3,    4,    0x12, 0x44, 0x2d, 5,   6,  7,
                                                       8,    9,    10,   11,   12,   13,   14,   15,  16, 0x11,
                                                       0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19};

static void the_layout_is_the_documented_one(void **state)
{
    (void)state;
    uint8_t packed[CM_RECORD_BYTES];
    struct cm_record record = sample();
    cm_record_encode(&record, packed);
    assert_memory_equal(packed, sample_packed, CM_RECORD_BYTES);
}

static void what_was_encoded_decodes(void **state)
{
    (void)state;
    const cm_ms instants[] = {0, 1, CM_MS_MAX};
    for (unsigned kind = 0; kind < 16; kind++) {
        for (unsigned value = 1; cm_state_name((enum cm_kind)kind, value) != NULL; value++) {
            for (size_t i = 0; i < COUNT(instants); i++) {
                struct cm_record in = sample();
                struct cm_record out;
                uint8_t packed[CM_RECORD_BYTES];
                uint8_t again[CM_RECORD_BYTES];
                bool is_dated = kind != CM_KIND_SEAL && kind != CM_KIND_FORWARD;
                in.kind = (enum cm_kind)kind;
                in.state = value;
                in.event_at = instants[i];
                in.flags = is_dated ? CM_RECORD_HAS_EVIDENCE : 0;
                in.scope = kind == CM_KIND_FORWARD ? 0 : in.scope;
                cm_record_encode(&in, packed);
                assert_true(cm_record_decode(packed, &out));
                assert_int_equal(out.kind, kind);
                assert_int_equal(out.state, value);
                assert_int_equal(out.event_at, is_dated ? instants[i] : 0);
                cm_record_encode(&out, again);
                assert_memory_equal(packed, again, CM_RECORD_BYTES);
            }
        }
    }
}

static void a_seal_holds_its_salt_instead(void **state)
{
    (void)state;
    struct cm_record in = {.scope = 7, .kind = CM_KIND_SEAL, .state = CM_STATE_GIVEN, .rank = CM_RANK_SYSTEM};
    struct cm_record out;
    uint8_t packed[CM_RECORD_BYTES];
    for (uint8_t i = 0; i < CM_SALT_BYTES; i++) {
        in.salt[i] = (uint8_t)(0xf0 + i);
    }
    cm_record_encode(&in, packed);
    assert_true(cm_record_decode(packed, &out));
    assert_memory_equal(in.salt, out.salt, CM_SALT_BYTES);
    assert_int_equal(out.ledger, 0);
    assert_int_equal(out.event_at, 0);
    assert_int_equal(out.statement, 0);
}

static void a_forward_holds_a_place_instead(void **state)
{
    (void)state;
    static const uint8_t want[CM_RECORD_BYTES] = {0,    0,    0,    0,    0x1c, 0x15, 0,    0xd9, 0x23,
                                                  0xfe, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8};
    static const struct cm_place rows[] = {{.pepper = 0},
                                           {.pepper = 1, .partition = 2, .bucket = 3, .field = {9}},
                                           {.pepper = 15, .field = {0, 0, 0, 0, 0, 0, 0, 1}},
                                           {.partition = 1023},
                                           {.bucket = 1023},
                                           {15, 1023, 1023, {255, 255, 255, 255, 255, 255, 255, 255}}};
    uint8_t packed[CM_RECORD_BYTES];
    struct cm_record out;
    struct cm_record in = {
        .kind = CM_KIND_FORWARD,
        .state = CM_STATE_GIVEN,
        .rank = CM_RANK_SYSTEM,
        .forward = {.pepper = 13, .partition = 0x248, .bucket = 0x3fe, .field = "\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8"},
    };
    cm_record_encode(&in, packed);
    assert_memory_equal(packed, want, CM_RECORD_BYTES);
    for (size_t i = 0; i < COUNT(rows); i++) {
        in.forward = rows[i];
        cm_record_encode(&in, packed);
        assert_true(cm_record_decode(packed, &out));
        assert_int_equal(out.forward.pepper, rows[i].pepper);
        assert_int_equal(out.forward.partition, rows[i].partition);
        assert_int_equal(out.forward.bucket, rows[i].bucket);
        assert_memory_equal(out.forward.field, rows[i].field, sizeof(rows[i].field));
        assert_int_equal(out.event_at, 0);
        assert_int_equal(out.ledger, 0);
    }
    for (size_t i = 18; i < CM_RECORD_BYTES; i++) { /* what stands behind the place is of another version */
        packed[i] = 1;
        assert_false(cm_record_decode(packed, &out));
        packed[i] = 0;
    }
    for (size_t i = 0; i < 4; i++) { /* it stands for all scopes */
        packed[i] = 1;
        assert_false(cm_record_decode(packed, &out));
        packed[i] = 0;
    }
    assert_true(cm_record_decode(packed, &out));
}

/* All eight flag values beside each kind: only those that mean something for it. LAW-5, LAW-15 */
static void a_flag_that_the_kind_does_not_know_is_no_record(void **state)
{
    (void)state;
    static const struct {
        enum cm_kind kind;
        unsigned flags;
    } rows[] = {{CM_KIND_GRANT, 3},     {CM_KIND_IMPLIED, 1}, {CM_KIND_SOFT_OPTIN, 1}, {CM_KIND_ASSERTED, 1},
                {CM_KIND_REQUEST, 1},   {CM_KIND_STOP, 1},    {CM_KIND_BOUNCED, 1},    {CM_KIND_RESTRICTED, 5},
                {CM_KIND_SUSPENDED, 5}, {CM_KIND_ERASED, 1},  {CM_KIND_SEAL, 0},       {CM_KIND_FORWARD, 0}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (unsigned flags = 0; flags < 8; flags++) {
            uint8_t packed[CM_RECORD_BYTES] = {0};
            struct cm_record out;
            packed[4] = (uint8_t)(0x10 | (unsigned)rows[i].kind);
            packed[5] = 0x11;
            packed[6] = (uint8_t)(flags << 5);
            if (cm_record_decode(packed, &out) != ((flags & ~rows[i].flags) == 0)) {
                fail_msg("%s, flags %u", cm_kind_name(rows[i].kind), flags);
            }
        }
    }
}

/* One byte of a good record is replaced; LAW-2: what we do not know is no record. */
static void unknown_values_are_no_record(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
        uint8_t value;
        bool want;
    } rows[] = {
        {"version 0", 4, 0x02, false},
        {"version 2", 4, 0x22, false},
        {"version 15", 4, 0xf2, false},
        {"kind 0", 4, 0x10, false},
        {"kind 13", 4, 0x1d, false},
        {"kind 15", 4, 0x1f, false},
        {"state 0", 5, 0x04, false},
        {"state 1", 5, 0x14, true},
        {"the last state of implied", 5, 0x44, true},
        {"one state more than implied has", 5, 0x54, false},
        {"state 15", 5, 0xf4, false},
        {"rank 0", 5, 0x40, false},
        {"rank subject", 5, 0x41, true},
        {"rank system", 5, 0x45, true},
        {"rank 6", 5, 0x46, false},
        {"rank 15", 5, 0x4f, false},
        {"no flags", 6, 0x0d, true},
        {"a flag of another kind", 6, 0x4d, false},
        {"a flag of another kind beside its own", 6, 0x6d, false},
        {"the third flag", 6, 0x8d, false},
        {"source unknown", 6, 0x20, true},
        {"the last source", 6, 0x2d, true},
        {"one source more", 6, 0x2e, false},
        {"source 31", 6, 0x3f, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t packed[CM_RECORD_BYTES];
        struct cm_record out;
        memcpy(packed, sample_packed, CM_RECORD_BYTES);
        packed[rows[i].offset] = rows[i].value;
        if (cm_record_decode(packed, &out) != rows[i].want) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void a_state_beyond_the_kind_is_no_record(void **state)
{
    (void)state;
    static const struct {
        enum cm_kind kind;
        unsigned states;
    } rows[] = {{CM_KIND_GRANT, 1},     {CM_KIND_IMPLIED, 4}, {CM_KIND_SOFT_OPTIN, 1}, {CM_KIND_ASSERTED, 1},
                {CM_KIND_REQUEST, 1},   {CM_KIND_STOP, 4},    {CM_KIND_BOUNCED, 2},    {CM_KIND_RESTRICTED, 3},
                {CM_KIND_SUSPENDED, 2}, {CM_KIND_ERASED, 1},  {CM_KIND_SEAL, 1},       {CM_KIND_FORWARD, 1}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (unsigned value = 0; value < 16; value++) {
            uint8_t packed[CM_RECORD_BYTES] = {0};
            struct cm_record out;
            packed[4] = (uint8_t)(0x10 | (unsigned)rows[i].kind);
            packed[5] = (uint8_t)(value << 4 | CM_RANK_SUBJECT);
            if (cm_record_decode(packed, &out) != (value >= 1 && value <= rows[i].states)) {
                fail_msg("%s, state %u", cm_kind_name(rows[i].kind), value);
            }
        }
    }
}

static void a_refused_decode_leaves_out_alone(void **state)
{
    (void)state;
    uint8_t zeros[CM_RECORD_BYTES] = {0};
    struct cm_record out = sample();
    struct cm_record before = sample();
    assert_false(cm_record_decode(zeros, &out)); /* zeroed memory is nothing; LAW-1 */
    assert_int_equal(out.scope, before.scope);
    assert_int_equal(out.event_at, before.event_at);
}

enum field { NONE, EVENT_AT, STATE, RANK, STATEMENT, EXPIRY, SOURCE, FLAGS };

static struct cm_record with(struct cm_record record, enum field field, uint64_t value)
{
    switch (field) {
    case NONE: break;
    case EVENT_AT: record.event_at = (cm_ms)value; break;
    case STATE: record.state = (unsigned)value; break;
    case RANK: record.rank = (enum cm_rank)value; break;
    case STATEMENT: record.statement = (uint16_t)value; break;
    case EXPIRY: record.expiry_s = (uint32_t)value; break;
    case SOURCE: record.source = (enum cm_source)value; break;
    case FLAGS: record.flags = (unsigned)value; break;
    }
    return record;
}

/* Two records, equal but for the named fields: the second must take the place of the first, never the reverse. LAW-3 */
static void a_newer_event_wins_and_ties_go_to_the_stricter(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum field field;
        uint64_t loses;
        uint64_t wins;
        enum field field_2;
        uint64_t loses_2;
        uint64_t wins_2;
    } rows[] = {
        {"one millisecond later", EVENT_AT, 100, 101, NONE, 0, 0},
        {"the largest instant", EVENT_AT, (uint64_t)CM_MS_MAX - 1, (uint64_t)CM_MS_MAX, NONE, 0, 0},
        {"later beats a stricter state", EVENT_AT, 100, 101, STATE, 4, 1},
        {"complained over objected", STATE, CM_STATE_OBJECTED, CM_STATE_COMPLAINED, NONE, 0, 0},
        {"objected over withdrawn", STATE, CM_STATE_WITHDRAWN, CM_STATE_OBJECTED, NONE, 0, 0},
        {"withdrawn over refused", STATE, CM_STATE_REFUSED, CM_STATE_WITHDRAWN, NONE, 0, 0},
        {"the weaker rank", RANK, CM_RANK_SUBJECT, CM_RANK_SENDER, NONE, 0, 0},
        {"the older statement", STATEMENT, 5, 4, NONE, 0, 0},
        {"no statement at all", STATEMENT, 1, 0, NONE, 0, 0},
        {"the earlier expiry", EXPIRY, 10, 9, NONE, 0, 0},
        {"any expiry over never", EXPIRY, 0, UINT32_MAX, NONE, 0, 0},
        {"the higher source", SOURCE, CM_SOURCE_API, CM_SOURCE_STAFF, NONE, 0, 0},
        {"with evidence, last of all", FLAGS, 0, CM_RECORD_HAS_EVIDENCE, NONE, 0, 0},
        {"not ended over ended", FLAGS, CM_RECORD_ENDED, 0, NONE, 0, 0},
        {"an ended one that is newer", EVENT_AT, 100, 101, FLAGS, 0, CM_RECORD_ENDED},
        {"not ended before state", FLAGS, CM_RECORD_ENDED, 0, STATE, 4, 3},
        {"without a guardian over with one", FLAGS, CM_RECORD_BY_GUARDIAN, 0, NONE, 0, 0},
        {"rank before the guardian", RANK, 1, 2, FLAGS, 0, CM_RECORD_BY_GUARDIAN},
        {"the guardian before the statement", FLAGS, CM_RECORD_BY_GUARDIAN, 0, STATEMENT, 4, 5},
        {"the guardian before evidence", FLAGS, CM_RECORD_BY_GUARDIAN | CM_RECORD_HAS_EVIDENCE, 0, NONE, 0, 0},
        {"state before rank", STATE, 3, 4, RANK, CM_RANK_SYSTEM, CM_RANK_SUBJECT},
        {"rank before statement", RANK, 1, 2, STATEMENT, 0, 9},
        {"statement before expiry", STATEMENT, 5, 4, EXPIRY, 1, 0},
        {"expiry before source", EXPIRY, 0, 1, SOURCE, 9, 1},
        {"source before flags", SOURCE, 1, 2, FLAGS, 1, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_record a = with(with(sample(), rows[i].field, rows[i].loses), rows[i].field_2, rows[i].loses_2);
        struct cm_record b = with(with(sample(), rows[i].field, rows[i].wins), rows[i].field_2, rows[i].wins_2);
        if (!cm_record_supersedes(&b, &a) || cm_record_supersedes(&a, &b)) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void an_equal_record_does_not_supersede(void **state)
{
    (void)state;
    struct cm_record a = sample();
    struct cm_record b = sample();
    assert_false(cm_record_supersedes(&b, &a));
    b.ledger++; /* where it stands in the ledger and when it was used say nothing about what it states */
    b.last_use_month++;
    assert_false(cm_record_supersedes(&b, &a));
    assert_false(cm_record_supersedes(&a, &b));
}

static void only_stops_forbid(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 16; kind++) {
        bool want = kind == CM_KIND_STOP || kind == CM_KIND_BOUNCED || kind == CM_KIND_RESTRICTED ||
                    kind == CM_KIND_SUSPENDED || kind == CM_KIND_ERASED;
        assert_int_equal(cm_kind_is_stop((enum cm_kind)kind), want);
    }
}

/* The rows stand in the order of their keys. */
static void keys_sort_as_their_bytes_do(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cm_record record;
        bool same_as_before;
    } rows[] = {
        {"a grant", {.scope = 1, .kind = CM_KIND_GRANT, .state = 1, .rank = CM_RANK_SUBJECT}, false},
        {"another kind", {.scope = 1, .kind = CM_KIND_STOP, .state = 4, .rank = CM_RANK_SYSTEM}, false},
        {"state and rank are not in the key", {.scope = 1, .kind = CM_KIND_STOP, .state = 1, .rank = 1}, true},
        {"the next kind", {.scope = 1, .kind = CM_KIND_BOUNCED, .state = 2, .rank = CM_RANK_SYSTEM}, false},
        {"nor of a bounce", {.scope = 1, .kind = CM_KIND_BOUNCED, .state = 1, .rank = CM_RANK_ADMIN}, true},
        {"a minor", {.scope = 1, .kind = CM_KIND_RESTRICTED, .state = 1, .rank = CM_RANK_OFFICER}, false},
        {"by another rank", {.scope = 1, .kind = CM_KIND_RESTRICTED, .state = 1, .rank = CM_RANK_ADMIN}, false},
        {"for another cause", {.scope = 1, .kind = CM_KIND_RESTRICTED, .state = 2, .rank = CM_RANK_SUBJECT}, false},
        {"its end", {.scope = 1, .kind = CM_KIND_RESTRICTED, .state = 2, .rank = 1, .flags = CM_RECORD_ENDED}, true},
        {"a dispute", {.scope = 1, .kind = CM_KIND_SUSPENDED, .state = 1, .rank = CM_RANK_SYSTEM}, false},
        {"a case", {.scope = 1, .kind = CM_KIND_SUSPENDED, .state = 2, .rank = CM_RANK_OFFICER}, false},
        {"a tombstone", {.scope = 1, .kind = CM_KIND_ERASED, .state = 1, .rank = CM_RANK_OFFICER}, false},
        {"of another date", {.scope = 1, .kind = CM_KIND_ERASED, .state = 1, .rank = 1, .event_at = 9}, true},
        {"a wider number", {.scope = 256, .kind = CM_KIND_GRANT, .state = 1, .rank = CM_RANK_SUBJECT}, false},
        {"the widest", {.scope = UINT32_MAX, .kind = CM_KIND_GRANT, .state = 1, .rank = CM_RANK_SUBJECT}, false},
    };
    for (size_t i = 1; i < COUNT(rows); i++) {
        const struct cm_record *a = &rows[i - 1].record;
        const struct cm_record *b = &rows[i].record;
        uint8_t packed_a[CM_RECORD_BYTES];
        uint8_t packed_b[CM_RECORD_BYTES];
        int want = rows[i].same_as_before ? 0 : -1;
        cm_record_encode(a, packed_a);
        cm_record_encode(b, packed_b);
        if (cm_record_compare_keys(a, b) != want || cm_record_compare_keys(b, a) != -want ||
            cm_record_same_key(a, b) != rows[i].same_as_before ||
            (want != 0 && memcmp(packed_a, packed_b, CM_RECORD_BYTES) >= 0)) {
            fail_msg("%s", rows[i].name);
        }
    }
}

static void names_are_unique_and_go_both_ways(void **state)
{
    (void)state;
    for (unsigned a = 1; a < CM_SOURCE_COUNT; a++) {
        const char *name = cm_source_name((enum cm_source)a);
        assert_non_null(name);
        assert_true(name[0] != '\0');
        assert_int_equal(cm_source_by_name(cm_span_of(name)), a);
    }
    for (unsigned kind = 0; kind < 16; kind++) {
        static const char *const states[16] = {
            [CM_KIND_GRANT] = "given",        [CM_KIND_REQUEST] = "open",     [CM_KIND_STOP] = "refused",
            [CM_KIND_BOUNCED] = "no_mailbox", [CM_KIND_RESTRICTED] = "minor", [CM_KIND_SUSPENDED] = "dispute"};
        assert_true(states[kind] == NULL || strcmp(states[kind], cm_state_name((enum cm_kind)kind, 1)) == 0);
        for (unsigned value = 1; cm_state_name((enum cm_kind)kind, value) != NULL; value++) {
            assert_int_equal(cm_state_by_name((enum cm_kind)kind, cm_span_of(cm_state_name((enum cm_kind)kind, value))),
                             value);
        }
        for (unsigned other = 0; other < kind && cm_kind_name((enum cm_kind)kind) != NULL; other++) {
            const char *name = cm_kind_name((enum cm_kind)other);
            assert_true(name == NULL || strcmp(name, cm_kind_name((enum cm_kind)kind)) != 0);
        }
    }
    for (unsigned rank = CM_RANK_SUBJECT; rank <= CM_RANK_SYSTEM; rank++) {
        assert_non_null(cm_rank_name((enum cm_rank)rank));
    }
}

static void unknown_names_and_values_have_none(void **state)
{
    (void)state;
    assert_null(cm_kind_name(CM_KIND_UNSET));
    assert_null(cm_kind_name((enum cm_kind)13));
    assert_null(cm_state_name(CM_KIND_GRANT, 0));
    assert_null(cm_state_name(CM_KIND_GRANT, 2));
    assert_null(cm_state_name(CM_KIND_STOP, 5));
    assert_null(cm_state_name((enum cm_kind)13, 1));
    assert_null(cm_rank_name((enum cm_rank)(CM_RANK_SYSTEM + 1)));
    assert_null(cm_source_name(CM_SOURCE_COUNT));
    assert_int_equal(cm_source_by_name(CM_SPAN("unknown")), CM_SOURCE_UNSET);
    assert_int_equal(cm_source_by_name(CM_SPAN("Web_form")), CM_SOURCE_UNSET);
    assert_int_equal(cm_source_by_name(CM_SPAN("")), CM_SOURCE_UNSET);
    assert_int_equal(cm_source_by_name(CM_SPAN("api\0")), CM_SOURCE_UNSET);
    assert_int_equal(cm_state_by_name(CM_KIND_STOP, CM_SPAN("purchase")), CM_STATE_UNSET);
    assert_int_equal(cm_state_by_name(CM_KIND_UNSET, CM_SPAN("given")), CM_STATE_UNSET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_the_documented_one),
        cmocka_unit_test(what_was_encoded_decodes),
        cmocka_unit_test(a_seal_holds_its_salt_instead),
        cmocka_unit_test(a_forward_holds_a_place_instead),
        cmocka_unit_test(a_flag_that_the_kind_does_not_know_is_no_record),
        cmocka_unit_test(unknown_values_are_no_record),
        cmocka_unit_test(a_state_beyond_the_kind_is_no_record),
        cmocka_unit_test(a_refused_decode_leaves_out_alone),
        cmocka_unit_test(a_newer_event_wins_and_ties_go_to_the_stricter),
        cmocka_unit_test(an_equal_record_does_not_supersede),
        cmocka_unit_test(only_stops_forbid),
        cmocka_unit_test(keys_sort_as_their_bytes_do),
        cmocka_unit_test(names_are_unique_and_go_both_ways),
        cmocka_unit_test(unknown_names_and_values_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
