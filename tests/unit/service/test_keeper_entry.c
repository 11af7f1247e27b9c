/* What a keeper writes into its journal is what it reads there, and nothing else is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/keeper_entry.h"

static struct cm_span span(const uint8_t *bytes, size_t len)
{
    return (struct cm_span){(const char *)bytes, len};
}

/* A full one: a document, scopes, all numbers at their largest. */
static struct cm_keeper_act *make_act(void)
{
    struct cm_keeper_act *act = calloc(1, sizeof(*act));
    assert_non_null(act);
    act->write = (struct cm_write){
        .rank = CM_RANK_OFFICER,
        .act = CM_ACT_ERASE,
        .subject = {.partition = 1023, .bucket = 1023, .exact = "exact---", .family = "family--"},
        .under_exact = true,
        .sender_scope = UINT32_MAX,
        .record = {.scope = UINT32_MAX,
                   .kind = CM_KIND_ERASED,
                   .state = CM_STATE_GIVEN,
                   .rank = CM_RANK_OFFICER,
                   .source = CM_SOURCE_COUNT - 1,
                   .statement = UINT16_MAX,
                   .event_at = CM_MS_MAX},
        .event_id = "event-id",
        .related = act->scopes,
        .related_count = CM_KEEPER_RELATED_MAX,
        .request = UINT64_MAX,
    };
    for (uint32_t i = 0; i < CM_KEEPER_RELATED_MAX; i++) {
        act->scopes[i] = i;
    }
    act->estimate = CM_MS_MAX;
    act->document.sealed.len = CM_SEALED_MAX_BYTES;
    memset(act->document.sealed.bytes, 's', CM_SEALED_MAX_BYTES);
    assert_true(cm_sha256(span(act->document.sealed.bytes, CM_SEALED_MAX_BYTES), act->document.sealed.sha256));
    return act;
}

static void the_largest_act_comes_back(void **state)
{
    uint8_t packed[CM_JOURNAL_RECORD_MAX];
    uint8_t again[CM_JOURNAL_RECORD_MAX];
    struct cm_keeper_act *act = make_act();
    struct cm_keeper_act *read = calloc(1, sizeof(*read));
    (void)state;
    assert_non_null(read);
    size_t len = cm_keeper_pack_act(act, packed);
    assert_in_range(len, 1, CM_JOURNAL_RECORD_MAX);
    assert_true(cm_keeper_is_act(span(packed, len)));
    assert_true(cm_keeper_unpack_act(span(packed, len), read));
    assert_int_equal(cm_keeper_pack_act(read, again), len);
    assert_memory_equal(again, packed, len);
    assert_memory_equal(read->document.sealed.sha256, act->document.sealed.sha256, CM_SHA256_BYTES);
    assert_memory_equal(read->write.subject.family, "family--", CM_FIELD_BYTES);
    assert_true(read->write.under_exact);
    assert_int_equal(read->write.record.event_at, CM_MS_MAX);
    free(read);
    free(act);
}

static void no_other_bytes_are_an_act(void **state)
{
    static const struct {
        const char *what;
        size_t at;
        uint8_t byte;
    } rows[] = {
        {"another kind", 0, 'D'},
        {"another version", 1, 2},
        {"no such rank", 2, 9},
        {"a rank without it", 2, 4},
        {"no such act", 3, 99},
        {"another act", 3, CM_ACT_GRANT},
        {"partition 1024", 12, 4},
        {"a bit that means nothing", 32, 4},
        {"a record of version 2", 41, 0x2a},
        {"a kind of another act", 41, 0x16},
        {"more scopes than there are", 79, 0xff},
    };
    uint8_t packed[CM_JOURNAL_RECORD_MAX];
    struct cm_keeper_act *act = make_act();
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        act->write.related_count = 0;
        act->document.sealed.len = 0;
        size_t len = cm_keeper_pack_act(act, packed);
        assert_true(cm_keeper_unpack_act(span(packed, len), act));
        packed[rows[i].at] = rows[i].byte;
        struct cm_keeper_act *read = calloc(1, sizeof(*read));
        if (cm_keeper_unpack_act(span(packed, len), read)) {
            fail_msg("%s was read", rows[i].what);
        }
        free(read);
    }
    size_t len = cm_keeper_pack_act(act, packed);
    for (size_t cut = 0; cut < len; cut++) {
        assert_false(cm_keeper_unpack_act(span(packed, cut), act));
    }
    free(act);
}

static void outcomes_and_notes_come_back(void **state)
{
    static const enum cm_write_status statuses[] = {CM_WRITE_APPLIED, CM_WRITE_STALE,    CM_WRITE_DUPLICATE,
                                                    CM_WRITE_REFUSED, CM_WRITE_NOT_DONE, CM_WRITE_UNCERTAIN};
    uint8_t packed[CM_JOURNAL_RECORD_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        struct cm_keeper_outcome outcome = {UINT64_MAX, statuses[i], UINT64_MAX - 1, CM_MS_MAX};
        struct cm_keeper_outcome read;
        size_t len = cm_keeper_pack_outcome(&outcome, packed);
        assert_true(cm_keeper_unpack_outcome(span(packed, len), &read));
        assert_int_equal(read.number, UINT64_MAX);
        assert_int_equal(read.status, statuses[i]);
        assert_int_equal(read.ledger, UINT64_MAX - 1);
        assert_int_equal(read.event_at, CM_MS_MAX);
        assert_false(cm_keeper_unpack_outcome(span(packed, len - 1), &read));
        packed[10] = 'x';
        assert_false(cm_keeper_unpack_outcome(span(packed, len), &read));
        packed[10] = 0;
        assert_false(cm_keeper_unpack_outcome(span(packed, len), &read));
    }
    for (unsigned note = CM_KEEPER_NOTE_OFF; note <= CM_KEEPER_NOTE_KNOWN; note++) {
        enum cm_keeper_note read = CM_KEEPER_NOTE_UNSET;
        size_t len = cm_keeper_pack_note((enum cm_keeper_note)note, packed);
        assert_true(cm_keeper_unpack_note(span(packed, len), &read));
        assert_int_equal(read, note);
        packed[2] = CM_KEEPER_NOTE_KNOWN + 1;
        assert_false(cm_keeper_unpack_note(span(packed, len), &read));
        packed[2] = 0;
        assert_false(cm_keeper_unpack_note(span(packed, len), &read));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_act_comes_back),
        cmocka_unit_test(no_other_bytes_are_an_act),
        cmocka_unit_test(outcomes_and_notes_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
