/* What events leave behind, as consent.lua does it. */
#include "core/fold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/scope.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { SENDER = 10, PARENT = 20, PURPOSE = 30, OTHER = 31, OTHER_SENDER = 40 };

#define ROOM 8

struct room {
    struct cm_fold fold;
    struct cm_record records[ROOM];
};

static struct cm_fold *empty(struct room *room)
{
    room->fold = (struct cm_fold){room->records, 0, ROOM};
    return &room->fold;
}

/* The tree of these tests: SENDER over PARENT over PURPOSE. */
static bool is_below(void *context, uint32_t scope, uint32_t above)
{
    *(unsigned *)context += 1;
    return (scope == PURPOSE && (above == PARENT || above == SENDER)) || (scope == PARENT && above == SENDER);
}

static struct cm_event event_of(enum cm_act act, uint32_t scope, enum cm_kind kind, cm_ms at)
{
    return (struct cm_event){
        .act = act,
        .outcome = CM_OUTCOME_APPLIED,
        .record = {.scope = scope, .kind = kind, .state = 1, .rank = CM_RANK_OFFICER, .event_at = at},
    };
}

static void apply(struct cm_fold *fold, struct cm_event event, uint64_t ledger)
{
    unsigned asked = 0;
    assert_true(cm_fold_apply(fold, &event, ledger, is_below, &asked));
    for (size_t i = 1; i < fold->count; i++) {
        assert_true(cm_record_compare_keys(&fold->records[i - 1], &fold->records[i]) < 0);
    }
}

static const struct cm_record *find(const struct cm_fold *fold, uint32_t scope, enum cm_kind kind)
{
    struct cm_record like = {.scope = scope, .kind = kind, .state = 1, .rank = CM_RANK_OFFICER};
    return cm_fold_find(fold, &like);
}

static void an_applied_event_puts_its_record(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    struct cm_event event = event_of(CM_ACT_GRANT, PURPOSE, CM_KIND_GRANT, 5);
    event.record.statement = 3;
    assert_null(find(fold, PURPOSE, CM_KIND_GRANT));
    apply(fold, event, 77);
    assert_int_equal(fold->count, 1);
    const struct cm_record *grant = find(fold, PURPOSE, CM_KIND_GRANT);
    assert_non_null(grant);
    assert_int_equal(grant->statement, 3);
    assert_int_equal(grant->ledger, 77);
    assert_int_equal(grant->last_use_month, 0);
    assert_null(find(fold, PARENT, CM_KIND_GRANT));
    assert_null(find(fold, PURPOSE, CM_KIND_STOP));

    event.record.event_at = 6;
    event.record.statement = 4;
    apply(fold, event, 78);
    assert_int_equal(fold->count, 1);
    assert_int_equal(find(fold, PURPOSE, CM_KIND_GRANT)->statement, 4);
    assert_int_equal(find(fold, PURPOSE, CM_KIND_GRANT)->ledger, 78);
}

/* The outcome is the store's word; what the fold compares it with is not its business. */
static void a_stale_event_moves_the_end_of_the_chain_only(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    struct cm_event stale = event_of(CM_ACT_WITHDRAW, PURPOSE, CM_KIND_STOP, 9);
    stale.outcome = CM_OUTCOME_STALE;
    apply(fold, stale, 1); /* nothing stands: barred by an erasure */
    assert_int_equal(fold->count, 0);
    apply(fold, event_of(CM_ACT_WITHDRAW, PURPOSE, CM_KIND_STOP, 5), 2);
    apply(fold, event_of(CM_ACT_GRANT, PURPOSE, CM_KIND_GRANT, 5), 3);
    apply(fold, stale, 4);
    assert_int_equal(fold->count, 2);
    assert_int_equal(find(fold, PURPOSE, CM_KIND_STOP)->event_at, 5);
    assert_int_equal(find(fold, PURPOSE, CM_KIND_STOP)->ledger, 4);
    assert_int_equal(find(fold, PURPOSE, CM_KIND_GRANT)->ledger, 3);

    struct cm_event other = event_of(CM_ACT_REQUEST, PARENT, CM_KIND_REQUEST, 9);
    other.outcome = CM_OUTCOME_STALE; /* its place is before both, and none of them is its own */
    apply(fold, other, 40);
    assert_int_equal(fold->count, 2);
    assert_int_equal(fold->records[0].ledger, 3);
    assert_int_equal(fold->records[1].ledger, 4);

    struct cm_event erase = event_of(CM_ACT_ERASE, CM_SCOPE_EVERYBODY, CM_KIND_ERASED, 9);
    erase.outcome = CM_OUTCOME_STALE; /* an older erasure, come late, takes nothing */
    apply(fold, erase, 5);
    assert_int_equal(fold->count, 2);
}

static void restrictions_stand_beside_each_other(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    struct cm_event event = event_of(CM_ACT_RESTRICT, PURPOSE, CM_KIND_RESTRICTED, 5);
    apply(fold, event, 1);
    event.record.rank = CM_RANK_ADMIN; /* LAW-5 */
    apply(fold, event, 2);
    event.record.state = CM_STATE_LEGAL;
    apply(fold, event, 3);
    assert_int_equal(fold->count, 3);
    event.act = CM_ACT_END;
    event.record.flags = CM_RECORD_ENDED;
    event.record.event_at = 6;
    apply(fold, event, 4);
    assert_int_equal(fold->count, 3);
    assert_int_equal(fold->records[2].flags, CM_RECORD_ENDED);
    assert_int_equal(fold->records[2].ledger, 4);
    assert_int_equal(fold->records[1].flags, 0);
}

/* LAW-10 */
static void a_confirmation_takes_its_request(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    apply(fold, event_of(CM_ACT_REQUEST, PURPOSE, CM_KIND_REQUEST, 5), 1);
    apply(fold, event_of(CM_ACT_REQUEST, OTHER, CM_KIND_REQUEST, 5), 2);
    apply(fold, event_of(CM_ACT_GRANT, OTHER, CM_KIND_GRANT, 5), 3);
    assert_non_null(find(fold, OTHER, CM_KIND_REQUEST)); /* a grant is no answer to it */
    apply(fold, event_of(CM_ACT_WITHDRAW, PURPOSE, CM_KIND_STOP, 4), 4);
    apply(fold, event_of(CM_ACT_CONFIRM, PURPOSE, CM_KIND_GRANT, 6), 5);
    assert_null(find(fold, PURPOSE, CM_KIND_REQUEST));
    assert_non_null(find(fold, OTHER, CM_KIND_REQUEST));
    assert_non_null(find(fold, PURPOSE, CM_KIND_STOP));
    assert_int_equal(find(fold, PURPOSE, CM_KIND_GRANT)->ledger, 5);
    assert_int_equal(fold->count, 4);
}

static void an_erasure_takes_what_it_covers_and_is_not_newer(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t scope;
        enum cm_kind kind;
        cm_ms at;
        uint32_t erased;
        bool stays;
    } rows[] = {
        {"a grant of its scope", PURPOSE, CM_KIND_GRANT, 9, PURPOSE, false},
        {"at the same instant", PURPOSE, CM_KIND_GRANT, 10, PURPOSE, false},
        {"one millisecond newer", PURPOSE, CM_KIND_GRANT, 11, PURPOSE, true},
        {"below it", PURPOSE, CM_KIND_GRANT, 9, PARENT, false},
        {"two levels below it", PURPOSE, CM_KIND_REQUEST, 9, SENDER, false},
        {"below it and newer", PURPOSE, CM_KIND_REQUEST, 11, SENDER, true},
        {"above it", PARENT, CM_KIND_STOP, 9, PURPOSE, true},
        {"beside it", OTHER, CM_KIND_STOP, 9, PURPOSE, true},
        {"of another sender", OTHER_SENDER, CM_KIND_GRANT, 9, SENDER, true},
        {"for everybody, though erased for a sender", CM_SCOPE_EVERYBODY, CM_KIND_STOP, 9, SENDER, true},
        {"everything", OTHER_SENDER, CM_KIND_STOP, 9, CM_SCOPE_EVERYBODY, false},
        {"a bounce", CM_SCOPE_EVERYBODY, CM_KIND_BOUNCED, 9, CM_SCOPE_EVERYBODY, false},
        {"an older tombstone below", PURPOSE, CM_KIND_ERASED, 9, SENDER, false},
        {"a restriction", PURPOSE, CM_KIND_RESTRICTED, 9, PURPOSE, true},
        {"a suspension", PURPOSE, CM_KIND_SUSPENDED, 9, CM_SCOPE_EVERYBODY, true},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct room room;
        struct cm_fold *fold = empty(&room);
        apply(fold, event_of(CM_ACT_FORWARD, rows[i].scope, rows[i].kind, rows[i].at), 1);
        apply(fold, event_of(CM_ACT_ERASE, rows[i].erased, CM_KIND_ERASED, 10), 2);
        bool stays = find(fold, rows[i].scope, rows[i].kind) != NULL;
        bool has_tombstone = find(fold, rows[i].erased, CM_KIND_ERASED) != NULL;
        if (stays != rows[i].stays || !has_tombstone || fold->count != (stays ? 2 : 1)) {
            fail_msg("%s", rows[i].name);
        }
    }
    struct room room;
    struct cm_fold *fold = empty(&room);
    apply(fold, event_of(CM_ACT_ERASE, PURPOSE, CM_KIND_ERASED, 9), 1);
    apply(fold, event_of(CM_ACT_ERASE, PURPOSE, CM_KIND_ERASED, 10), 2);
    assert_int_equal(fold->count, 1);
    assert_int_equal(fold->records[0].ledger, 2);
    assert_int_equal(fold->records[0].event_at, 10);
}

static void a_forward_takes_all_and_stands_alone(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    struct cm_event leave = event_of(CM_ACT_FORWARD, CM_SCOPE_EVERYBODY, CM_KIND_FORWARD, 0);
    leave.record.forward = (struct cm_place){.pepper = 2, .partition = 3, .bucket = 4, .field = {5}};
    apply(fold, event_of(CM_ACT_FORWARD, PURPOSE, CM_KIND_GRANT, 5), 1); /* one of those that came here */
    apply(fold, event_of(CM_ACT_RESTRICT, PURPOSE, CM_KIND_RESTRICTED, 5), 2);
    apply(fold, event_of(CM_ACT_ERASE, OTHER, CM_KIND_ERASED, 5), 3);
    assert_int_equal(fold->count, 3);
    apply(fold, leave, 4);
    assert_int_equal(fold->count, 1);
    assert_int_equal(fold->records[0].kind, CM_KIND_FORWARD);
    assert_int_equal(fold->records[0].forward.bucket, 4);
    uint8_t packed[CM_RECORD_BYTES];
    struct cm_record again;
    cm_record_encode(&fold->records[0], packed); /* as consent.lua leaves it: no ledger id */
    assert_true(cm_record_decode(packed, &again));
    assert_int_equal(fold->records[0].ledger, 0);
}

/* LAW-16 */
static void a_note_concerns_no_subject(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    struct cm_event note = {.act = CM_ACT_NOTE, .outcome = CM_OUTCOME_APPLIED};
    apply(fold, note, 1);
    assert_int_equal(fold->count, 0);
    apply(fold, event_of(CM_ACT_GRANT, PURPOSE, CM_KIND_GRANT, 5), 2);
    apply(fold, note, 3);
    assert_int_equal(fold->count, 1);
    assert_int_equal(fold->records[0].ledger, 2);
}

static void without_room_nothing_changes(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    unsigned asked = 0;
    for (uint32_t i = 0; i < ROOM; i++) {
        apply(fold, event_of(CM_ACT_GRANT, 100 + i, CM_KIND_GRANT, 5), 1 + i);
    }
    struct cm_event more = event_of(CM_ACT_GRANT, 99, CM_KIND_GRANT, 5);
    struct room before = room;
    assert_false(cm_fold_apply(fold, &more, 50, is_below, &asked));
    assert_memory_equal(&room, &before, sizeof(room));
    apply(fold, event_of(CM_ACT_GRANT, 100, CM_KIND_GRANT, 6), 51); /* an old key has its place */
    assert_int_equal(find(fold, 100, CM_KIND_GRANT)->ledger, 51);
    apply(fold, event_of(CM_ACT_ERASE, 107, CM_KIND_ERASED, 5), 52); /* and who leaves makes room */
    assert_int_equal(fold->count, ROOM);
    assert_null(find(fold, 107, CM_KIND_GRANT));
    assert_int_equal(find(fold, 107, CM_KIND_ERASED)->ledger, 52);
}

static void the_registry_is_asked_for_erasures_only(void **state)
{
    (void)state;
    struct room room;
    struct cm_fold *fold = empty(&room);
    unsigned asked = 0;
    struct cm_event events[] = {event_of(CM_ACT_GRANT, PURPOSE, CM_KIND_GRANT, 5),
                                event_of(CM_ACT_CONFIRM, PURPOSE, CM_KIND_GRANT, 6),
                                event_of(CM_ACT_ERASE, CM_SCOPE_EVERYBODY, CM_KIND_ERASED, 1),
                                event_of(CM_ACT_ERASE, PARENT, CM_KIND_ERASED, 7)};
    for (size_t i = 0; i < COUNT(events); i++) {
        assert_int_equal(asked, 0);
        assert_true(cm_fold_apply(fold, &events[i], 1 + i, is_below, &asked));
    }
    assert_true(asked > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_applied_event_puts_its_record),
        cmocka_unit_test(a_stale_event_moves_the_end_of_the_chain_only),
        cmocka_unit_test(restrictions_stand_beside_each_other),
        cmocka_unit_test(a_confirmation_takes_its_request),
        cmocka_unit_test(an_erasure_takes_what_it_covers_and_is_not_newer),
        cmocka_unit_test(a_forward_takes_all_and_stands_alone),
        cmocka_unit_test(a_note_concerns_no_subject),
        cmocka_unit_test(without_room_nothing_changes),
        cmocka_unit_test(the_registry_is_asked_for_erasures_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
