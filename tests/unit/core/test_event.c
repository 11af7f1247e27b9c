#include "core/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct cm_event sample(bool with_evidence)
{
    struct cm_event event = {
        .act = CM_ACT_WITHDRAW,
        .outcome = CM_OUTCOME_STALE,
        .id = {1, 2, 3, 4, 5, 6, 7, 8},
        .bucket = 0x3ff,
        .field = {0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8},
        .record = {.scope = 0x01020304,
                   .kind = CM_KIND_STOP,
                   .state = CM_STATE_COMPLAINED,
                   .rank = CM_RANK_SUBJECT,
                   .flags = with_evidence ? CM_RECORD_HAS_EVIDENCE : 0,
                   .source = CM_SOURCE_ONE_CLICK,
                   .statement = 0x0506,
                   .event_at = 0x0708090a0b0c,
                   .expiry_s = 0x0d0e0f10},
        .previous = 0xb1b2b3b4b5b6b7b8,
    };
    if (with_evidence) {
        memset(event.evidence_sha256, 0xee, CM_SHA256_BYTES);
    }
    return event;
}

static struct cm_span span_of(const uint8_t *bytes, size_t len)
{
    return (struct cm_span){(const char *)bytes, len};
}

static void the_layout_is_the_documented_one(void **state)
{
    (void)state;
    static const uint8_t want[CM_EVENT_BYTES] = {
        1,    2,    2,    1,    2,    3,  4,  5,  6,    7,    8,    0x03, 0xff, 0xa1, 0xa2, 0xa3,
        0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 1,  2,  3,  4,    0x16, 0x41, 0x0b, 5,    6,    7,    8,
        9,    10,   11,   12,   13,   14, 15, 16, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8};
    uint8_t packed[CM_EVENT_MAX_BYTES + 1];
    struct cm_event event = sample(false);
    memset(packed, 0x5a, sizeof(packed));
    assert_int_equal(cm_event_encode(&event, packed), CM_EVENT_BYTES);
    assert_memory_equal(packed, want, CM_EVENT_BYTES);
    assert_int_equal(packed[CM_EVENT_BYTES], 0x5a);

    event = sample(true);
    assert_int_equal(cm_event_encode(&event, packed), CM_EVENT_MAX_BYTES);
    assert_int_equal(packed[27], 0x2b);
    assert_memory_equal(packed + CM_EVENT_BYTES, event.evidence_sha256, CM_SHA256_BYTES);
    assert_int_equal(packed[CM_EVENT_MAX_BYTES], 0x5a);
}

static void what_was_encoded_decodes(void **state)
{
    (void)state;
    for (int evidence = 0; evidence < 2; evidence++) {
        uint8_t packed[CM_EVENT_MAX_BYTES];
        uint8_t again[CM_EVENT_MAX_BYTES];
        struct cm_event in = sample(evidence == 1);
        struct cm_event out;
        size_t len = cm_event_encode(&in, packed);
        assert_true(cm_event_decode(span_of(packed, len), &out));
        assert_int_equal(out.act, in.act);
        assert_int_equal(out.outcome, in.outcome);
        assert_memory_equal(out.id, in.id, CM_EVENT_ID_BYTES);
        assert_memory_equal(out.field, in.field, CM_FIELD_BYTES);
        assert_int_equal(out.bucket, in.bucket);
        assert_int_equal(out.record.event_at, in.record.event_at);
        assert_int_equal(out.record.expiry_s, in.record.expiry_s);
        assert_int_equal(out.record.ledger, 0);
        assert_int_equal(out.record.last_use_month, 0);
        assert_true(out.previous == in.previous);
        assert_memory_equal(out.evidence_sha256, in.evidence_sha256, CM_SHA256_BYTES);
        assert_int_equal(cm_event_encode(&out, again), len);
        assert_memory_equal(packed, again, len);
    }
}

static void a_records_place_in_the_ledger_is_not_part_of_it(void **state)
{
    (void)state;
    uint8_t plain[CM_EVENT_MAX_BYTES];
    uint8_t used[CM_EVENT_MAX_BYTES];
    struct cm_event event = sample(false);
    (void)cm_event_encode(&event, plain);
    event.record.ledger = 99;
    event.record.last_use_month = 12;
    (void)cm_event_encode(&event, used);
    assert_memory_equal(plain, used, CM_EVENT_BYTES);
}

static void unknown_values_are_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
        uint8_t value;
        bool want;
    } rows[] = {
        {"version 0", 0, 0, false},
        {"version 2", 0, 2, false},
        {"act 0", 1, 0, false},
        {"act withdraw", 1, 2, true},
        {"an act that does not write stops", 1, 1, false},
        {"act 12", 1, 12, false},
        {"act 255", 1, 255, false},
        {"outcome 0", 2, 0, false},
        {"outcome applied", 2, 1, true},
        {"outcome 3", 2, 3, false},
        {"bucket 1023", 11, 0x03, true},
        {"bucket 1279", 11, 0x04, false},
        {"record of another version", 25, 0x26, false},
        {"record without a kind", 25, 0x10, false},
        {"record of an unknown kind", 25, 0x1d, false},
        {"record of a kind that the act does not write", 25, 0x12, false},
        {"record without a state", 26, 0x01, false},
        {"record without a rank", 26, 0x40, false},
        {"record of an unknown source", 27, 0x1f, false},
        {"evidence announced and missing", 27, 0x2b, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t packed[CM_EVENT_MAX_BYTES];
        struct cm_event event = sample(false);
        struct cm_event out;
        size_t len = cm_event_encode(&event, packed);
        packed[rows[i].offset] = rows[i].value;
        if (cm_event_decode(span_of(packed, len), &out) != rows[i].want) {
            fail_msg("%s", rows[i].name);
        }
    }
}

/* Every act beside every kind, and with and without an end: only what it writes is an event. A salt is no state of
 * consent; it is written beside the events and never by one. */
static void an_act_writes_its_own_kinds_only(void **state)
{
    (void)state;
    static const struct {
        enum cm_act act;
        enum cm_kind kinds[11];
        bool ended;
        bool not_ended;
    } rows[] = {
        {CM_ACT_GRANT, {CM_KIND_GRANT, CM_KIND_IMPLIED, CM_KIND_SOFT_OPTIN, CM_KIND_ASSERTED}, false, true},
        {CM_ACT_WITHDRAW, {CM_KIND_STOP}, false, true},
        {CM_ACT_REQUEST, {CM_KIND_REQUEST}, false, true},
        {CM_ACT_CONFIRM, {CM_KIND_GRANT}, false, true},
        {CM_ACT_RESTRICT, {CM_KIND_RESTRICTED}, false, true},
        {CM_ACT_SUSPEND, {CM_KIND_SUSPENDED}, false, true},
        {CM_ACT_END, {CM_KIND_RESTRICTED, CM_KIND_SUSPENDED}, true, false},
        {CM_ACT_BOUNCE, {CM_KIND_BOUNCED}, false, true},
        {CM_ACT_ERASE, {CM_KIND_ERASED}, false, true},
        {CM_ACT_FORWARD,
         {CM_KIND_GRANT, CM_KIND_IMPLIED, CM_KIND_SOFT_OPTIN, CM_KIND_ASSERTED, CM_KIND_REQUEST, CM_KIND_STOP,
          CM_KIND_BOUNCED, CM_KIND_RESTRICTED, CM_KIND_SUSPENDED, CM_KIND_ERASED, CM_KIND_FORWARD},
         true,
         true},
        {CM_ACT_NOTE, {0}, false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (unsigned kind = 0; kind < 16; kind++) {
            for (unsigned ended = 0; ended < 2; ended++) {
                uint8_t packed[CM_EVENT_MAX_BYTES];
                struct cm_event event = sample(false);
                struct cm_event out;
                bool can_end = kind == CM_KIND_RESTRICTED || kind == CM_KIND_SUSPENDED;
                bool want = false;
                for (size_t k = 0; k < COUNT(rows[i].kinds) && kind != CM_KIND_UNSET; k++) {
                    want = want || rows[i].kinds[k] == (enum cm_kind)kind;
                }
                want = want && (ended == 1 ? rows[i].ended && can_end : rows[i].not_ended);
                event.record.scope = kind == CM_KIND_FORWARD ? 0 : 7;
                event.record.kind = (enum cm_kind)kind;
                event.record.state = CM_STATE_GIVEN;
                event.record.flags = ended == 1 ? CM_RECORD_ENDED : 0;
                (void)cm_event_encode(&event, packed);
                packed[1] = (uint8_t)rows[i].act; /* a note is not encoded with a record */
                if (cm_event_decode(span_of(packed, CM_EVENT_BYTES), &out) != want) {
                    fail_msg("%s, kind %u, ended %u", cm_act_name(rows[i].act), kind, ended);
                }
            }
        }
    }
}

/* LAW-16: a note has no subject and no record, and always its document. */
static void a_note_is_all_zero_but_for_its_document(void **state)
{
    (void)state;
    uint8_t packed[CM_EVENT_MAX_BYTES];
    struct cm_event note = sample(true);
    struct cm_event out;
    note.act = CM_ACT_NOTE;
    note.outcome = CM_OUTCOME_APPLIED;
    note.record.flags = 0;
    assert_int_equal(cm_event_encode(&note, packed), CM_EVENT_MAX_BYTES);
    assert_true(cm_event_decode(span_of(packed, CM_EVENT_MAX_BYTES), &out));
    assert_int_equal(out.act, CM_ACT_NOTE);
    assert_int_equal(out.record.kind, CM_KIND_UNSET);
    assert_int_equal(out.bucket, 0);
    assert_true(out.previous == note.previous);
    assert_memory_equal(out.id, note.id, CM_EVENT_ID_BYTES);
    assert_memory_equal(out.evidence_sha256, note.evidence_sha256, CM_SHA256_BYTES);
    assert_false(cm_event_decode(span_of(packed, CM_EVENT_BYTES), &out));
    for (size_t i = 11; i < 40; i++) {
        assert_int_equal(packed[i], 0);
        packed[i] = 1;
        assert_false(cm_event_decode(span_of(packed, CM_EVENT_MAX_BYTES), &out));
        packed[i] = 0;
    }
    packed[1] = CM_ACT_GRANT; /* only a note has no record */
    assert_false(cm_event_decode(span_of(packed, CM_EVENT_MAX_BYTES), &out));
}

static void a_forward_tells_the_whole_place(void **state)
{
    (void)state;
    uint8_t packed[CM_EVENT_MAX_BYTES];
    struct cm_event event = sample(false);
    struct cm_event out;
    event.act = CM_ACT_FORWARD;
    event.record = (struct cm_record){
        .kind = CM_KIND_FORWARD,
        .state = CM_STATE_GIVEN,
        .rank = CM_RANK_SYSTEM,
        .forward = {.pepper = 2, .partition = 1023, .bucket = 1, .field = {1, 2, 3, 4, 5, 6, 7, 8}},
    };
    assert_true(cm_event_decode(span_of(packed, cm_event_encode(&event, packed)), &out));
    assert_int_equal(out.record.forward.pepper, 2);
    assert_int_equal(out.record.forward.partition, 1023);
    assert_int_equal(out.record.forward.bucket, 1);
    assert_memory_equal(out.record.forward.field, event.record.forward.field, CM_FIELD_BYTES);
}

static void a_bucket_has_ten_bits(void **state)
{
    (void)state;
    uint8_t packed[CM_EVENT_MAX_BYTES];
    struct cm_event event = sample(false);
    struct cm_event out;
    event.bucket = 1023;
    assert_true(cm_event_decode(span_of(packed, cm_event_encode(&event, packed)), &out));
    event.bucket = 1024;
    assert_false(cm_event_decode(span_of(packed, cm_event_encode(&event, packed)), &out));
}

static void only_the_two_lengths_are_events(void **state)
{
    (void)state;
    uint8_t bare[CM_EVENT_MAX_BYTES + 1] = {0};
    uint8_t full[CM_EVENT_MAX_BYTES + 1] = {0};
    struct cm_event out;
    struct cm_event event = sample(false);
    (void)cm_event_encode(&event, bare);
    event = sample(true);
    (void)cm_event_encode(&event, full);
    for (size_t len = 0; len <= CM_EVENT_MAX_BYTES + 1; len++) {
        assert_int_equal(cm_event_decode(span_of(bare, len), &out), len == CM_EVENT_BYTES);
        assert_int_equal(cm_event_decode(span_of(full, len), &out), len == CM_EVENT_MAX_BYTES);
    }
    assert_false(cm_event_decode((struct cm_span){NULL, 0}, &out));
}

static void a_refused_decode_leaves_out_alone(void **state)
{
    (void)state;
    uint8_t zeros[CM_EVENT_BYTES] = {0};
    struct cm_event out = sample(true);
    assert_false(cm_event_decode(span_of(zeros, sizeof(zeros)), &out));
    assert_int_equal(out.act, CM_ACT_WITHDRAW);
    assert_int_equal(out.bucket, 0x3ff);
}

static void names_exist_for_known_values_only(void **state)
{
    (void)state;
    static const char *const acts[] = {"grant", "withdraw", "request", "confirm", "restrict", "suspend",
                                       "end",   "bounce",   "erase",   "forward", "note"};
    for (size_t i = 0; i < COUNT(acts); i++) {
        assert_string_equal(cm_act_name((enum cm_act)(CM_ACT_GRANT + i)), acts[i]);
    }
    assert_null(cm_act_name(CM_ACT_UNSET));
    assert_null(cm_act_name((enum cm_act)(CM_ACT_NOTE + 1)));
    assert_string_equal(cm_outcome_name(CM_OUTCOME_APPLIED), "applied");
    assert_string_equal(cm_outcome_name(CM_OUTCOME_STALE), "stale");
    assert_null(cm_outcome_name(CM_OUTCOME_UNSET));
    assert_null(cm_outcome_name((enum cm_outcome)3));
}

static void ledger_ids_go_both_ways(void **state)
{
    (void)state;
    static const struct {
        uint64_t id;
        const char *text;
    } rows[] = {
        {0, "0-0"},
        {1, "0-1"},
        {0xffff, "0-65535"},
        {0x10000, "1-0"},
        {(1795456800123ULL << 16) | 7, "1795456800123-7"},
        {UINT64_MAX, "281474976710655-65535"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[CM_LEDGER_ID_TEXT_BYTES];
        uint64_t id = 1;
        cm_ledger_id_format(rows[i].id, text);
        assert_string_equal(text, rows[i].text);
        assert_true(cm_ledger_id_parse(cm_span_of(text), &id));
        assert_true(id == rows[i].id);
    }
}

static void what_is_no_ledger_id_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct cm_span text;
    } rows[] = {
        {"empty", {"", 0}},
        {"null", {NULL, 0}},
        {"milliseconds alone", {"1", 1}},
        {"no sequence", {"1-", 2}},
        {"no milliseconds", {"-1", 2}},
        {"a dash alone", {"-", 1}},
        {"three numbers", {"1-2-3", 5}},
        {"a sequence of 17 bits", {"1-65536", 7}},
        {"milliseconds of 49 bits", {"281474976710656-0", 17}},
        {"a blank in front", {" 1-0", 4}},
        {"a newline behind", {"1-0\n", 4}},
        {"a NUL behind", {"1-0\0", 4}},
        {"a sign", {"+1-0", 4}},
        {"hexadecimal", {"0x1-0", 5}},
        {"a number of hundred digits",
         {"1000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000-0",
          102}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t id = 42;
        if (cm_ledger_id_parse(rows[i].text, &id) || id != 42) {
            fail_msg("%s", rows[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_is_the_documented_one),
        cmocka_unit_test(what_was_encoded_decodes),
        cmocka_unit_test(a_records_place_in_the_ledger_is_not_part_of_it),
        cmocka_unit_test(unknown_values_are_malformed),
        cmocka_unit_test(an_act_writes_its_own_kinds_only),
        cmocka_unit_test(a_note_is_all_zero_but_for_its_document),
        cmocka_unit_test(a_forward_tells_the_whole_place),
        cmocka_unit_test(a_bucket_has_ten_bits),
        cmocka_unit_test(only_the_two_lengths_are_events),
        cmocka_unit_test(a_refused_decode_leaves_out_alone),
        cmocka_unit_test(names_exist_for_known_values_only),
        cmocka_unit_test(ledger_ids_go_both_ways),
        cmocka_unit_test(what_is_no_ledger_id_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
