/* What a keeper does next and what it may say: the machine alone, in fake time. LAW-12 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service/keeper_state.h"

#define BOOT 100000
#define TIME 1790000000000

static const struct cm_incarnation one = {"1111111111111111111111111111111111111111",
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
static const struct cm_incarnation two = {"2222222222222222222222222222222222222222",
                                          "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
static const struct cm_incarnation promoted = {"1111111111111111111111111111111111111111",
                                               "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};

static struct cm_keeper_state begin(uint64_t last)
{
    struct cm_keeper_state state;
    struct cm_keeper_past past = {.first = last > 0 ? 1 : 0, .last = last};
    cm_keeper_begin(&state, &past, BOOT);
    return state;
}

static void look(struct cm_keeper_state *state, const struct cm_incarnation *incarnation, int64_t now_ms)
{
    struct cm_keeper_look found = {
        .trouble = CM_TROUBLE_NONE, .now = TIME + now_ms, .incarnation = *incarnation, .journal = 100};
    cm_keeper_looked(state, &found, now_ms);
}

static void look_at_own(struct cm_keeper_state *state, enum cm_beat_state kind, uint64_t journal, int64_t now_ms)
{
    struct cm_kept_beat own = {.keeper = "mx1", .state = kind, .incarnation = one, .journal = journal};
    struct cm_keeper_look found = {
        .trouble = CM_TROUBLE_NONE, .now = TIME + now_ms, .incarnation = one, .own = &own, .journal = 100};
    cm_keeper_looked(state, &found, now_ms);
}

static void beat(struct cm_keeper_state *state, enum cm_beat_status status, int64_t now_ms)
{
    struct cm_beat_result result = {.status = status, .at = TIME + now_ms, .trouble = CM_TROUBLE_NONE};
    result.trouble = status == CM_BEAT_TROUBLE ? CM_TROUBLE_TIMEOUT : CM_TROUBLE_NONE;
    cm_keeper_beat_sent(state, now_ms);
    cm_keeper_beat_answered(state, &result, now_ms);
}

static void expect(const struct cm_keeper_state *state, int64_t now_ms, enum cm_keeper_step_kind kind, int64_t detail)
{
    struct cm_keeper_step step = cm_keeper_next(state, now_ms);
    assert_int_equal(step.kind, kind);
    if (kind == CM_KEEPER_WAIT) {
        assert_int_equal(step.until_ms, detail);
    } else if (kind == CM_KEEPER_REPLAY) {
        assert_int_equal(step.number, detail);
    }
}

/* Drained and beating since BOOT + 5000. */
static struct cm_keeper_state beating(uint64_t last)
{
    struct cm_keeper_state state = begin(last);
    look(&state, &one, BOOT);
    cm_keeper_wrote(&state, last);
    look(&state, &one, BOOT + 5000);
    beat(&state, CM_BEAT_DONE, BOOT + 5000);
    return state;
}

static void first_beat_comes_after_the_journal_and_five_seconds(void **unused)
{
    struct cm_keeper_state state = begin(2);
    (void)unused;
    assert_string_equal(cm_keeper_word(&state), "starting");
    expect(&state, BOOT, CM_KEEPER_LOOK, 0);
    look(&state, &one, BOOT);
    assert_string_equal(cm_keeper_word(&state), "replaying");
    expect(&state, BOOT + 9000, CM_KEEPER_REPLAY, 1);
    cm_keeper_wrote(&state, 1);
    expect(&state, BOOT + 9000, CM_KEEPER_REPLAY, 2);
    cm_keeper_wrote(&state, 2);
    assert_string_equal(cm_keeper_word(&state), "waiting");
    expect(&state, BOOT, CM_KEEPER_WAIT, BOOT + 5000);
    expect(&state, BOOT + 4999, CM_KEEPER_WAIT, BOOT + 5000);
    expect(&state, BOOT + 5000, CM_KEEPER_LOOK, 0); /* the TIME that was seen is too old for a deadline */
    look(&state, &one, BOOT + 5000);
    expect(&state, BOOT + 5000, CM_KEEPER_BEAT, 0);
    assert_int_equal(cm_keeper_deadline(&state), TIME + BOOT + 5000 + 1500);
}

static void beats_once_a_second(void **unused)
{
    struct cm_keeper_state state = beating(0);
    int64_t now_ms = BOOT + 5000;
    (void)unused;
    for (int i = 0; i < 5; i++, now_ms += 1000) {
        assert_string_equal(cm_keeper_word(&state), "beating");
        expect(&state, now_ms + 999, CM_KEEPER_WAIT, now_ms + 1000);
        expect(&state, now_ms + 1000, CM_KEEPER_BEAT, 0);
        beat(&state, CM_BEAT_DONE, now_ms + 1000);
    }
    expect(&state, now_ms + 1200, CM_KEEPER_BEAT, 0);
    expect(&state, now_ms + 1201, CM_KEEPER_LOOK, 0); /* late: the deadline would be too near */
}

static void an_act_is_written_before_the_next_beat(void **unused)
{
    struct cm_keeper_state state = beating(2);
    (void)unused;
    cm_keeper_journaled(&state, 1, 5);
    expect(&state, BOOT + 6000, CM_KEEPER_REPLAY, 3);
    assert_false(cm_keeper_is_drained(&state));
    cm_keeper_wrote(&state, 5);
    assert_true(cm_keeper_is_drained(&state));
    expect(&state, BOOT + 6000, CM_KEEPER_BEAT, 0);
}

/* Whatever becomes of a beat, and what follows. */
static void answers_to_a_beat(void **unused)
{
    static const struct {
        const char *what;
        enum cm_beat_status status;
        enum cm_keeper_step_kind next;
        int64_t detail;
        const char *word;
    } rows[] = {
        {"done", CM_BEAT_DONE, CM_KEEPER_WAIT, BOOT + 7000, "beating"},
        {"late: with a newer TIME at once", CM_BEAT_LATE, CM_KEEPER_LOOK, 0, "waiting"},
        {"rolled back: as a new incarnation", CM_BEAT_ROLLBACK, CM_KEEPER_REPLAY, 1, "replaying"},
        {"retired", CM_BEAT_KEEPER_RETIRED, CM_KEEPER_WAIT, BOOT + 5000 + 2000, "retired"},
        {"another store", CM_BEAT_FOREIGN, CM_KEEPER_WAIT, BOOT + 5000 + 2000, "foreign_store"},
        {"another incarnation", CM_BEAT_OTHER_INCARNATION, CM_KEEPER_LOOK, 0, "waiting"},
        {"trouble", CM_BEAT_TROUBLE, CM_KEEPER_WAIT, BOOT + 6000 + 250, "cut_off"},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_keeper_state state = beating(2);
        beat(&state, rows[i].status, BOOT + 6000);
        if (cm_keeper_next(&state, BOOT + 6000).kind != rows[i].next) {
            fail_msg("%s: another step", rows[i].what);
        }
        expect(&state, BOOT + 6000, rows[i].next, rows[i].detail);
        assert_string_equal(cm_keeper_word(&state), rows[i].word);
    }
}

static void rollback_is_replayed_and_waited_for(void **unused)
{
    struct cm_keeper_state state = beating(2);
    (void)unused;
    beat(&state, CM_BEAT_ROLLBACK, BOOT + 6000);
    cm_keeper_wrote(&state, 2);
    expect(&state, BOOT + 6000, CM_KEEPER_WAIT, BOOT + 11000);
}

/* A new run and a new replication id are both another incarnation: everything again, and 5 s after the last beat. */
static void another_incarnation_gets_everything_first(void **unused)
{
    const struct cm_incarnation *others[] = {&two, &promoted};
    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        struct cm_keeper_state state = beating(2);
        cm_keeper_not_written(&state, CM_TROUBLE_UNREACHABLE, BOOT + 5500);
        assert_string_equal(cm_keeper_word(&state), "cut_off");
        expect(&state, BOOT + 5500, CM_KEEPER_WAIT, BOOT + 5750);
        expect(&state, BOOT + 5750, CM_KEEPER_LOOK, 0);
        look(&state, others[i], BOOT + 5800);
        assert_false(cm_keeper_is_followed(&state, &one));
        assert_true(cm_keeper_is_followed(&state, others[i]));
        expect(&state, BOOT + 5800, CM_KEEPER_REPLAY, 1);
        cm_keeper_wrote(&state, 2);
        assert_false(cm_keeper_is_in_effect(&state, 2, BOOT + 9999)); /* somebody may still trust the other */
        expect(&state, BOOT + 5800, CM_KEEPER_WAIT, BOOT + 10000);
        assert_true(cm_keeper_is_in_effect(&state, 2, BOOT + 10000));
    }
}

static void the_same_incarnation_goes_on(void **unused)
{
    struct cm_keeper_state state = beating(2);
    (void)unused;
    cm_keeper_not_written(&state, CM_TROUBLE_TIMEOUT, BOOT + 5500);
    look(&state, &one, BOOT + 6100);
    assert_true(cm_keeper_is_drained(&state));
    expect(&state, BOOT + 6100, CM_KEEPER_BEAT, 0);
}

static void in_effect_by_the_store_or_by_silence(void **unused)
{
    struct cm_keeper_state state = beating(2);
    (void)unused;
    assert_true(cm_keeper_is_in_effect(&state, 2, BOOT + 5000)); /* written where it beats */
    cm_keeper_journaled(&state, 1, 3);
    assert_false(cm_keeper_is_in_effect(&state, 3, BOOT + 5001));
    cm_keeper_not_written(&state, CM_TROUBLE_UNREACHABLE, BOOT + 5100);
    assert_false(cm_keeper_is_in_effect(&state, 3, BOOT + 9999));
    assert_true(cm_keeper_is_in_effect(&state, 3, BOOT + 10000)); /* 5 s after its last beat */
    assert_true(cm_keeper_is_in_effect(&state, 2, BOOT + 5100));  /* what was written stays so */
}

static void a_start_counts_as_a_beat(void **unused)
{
    struct cm_keeper_state state = begin(1);
    (void)unused;
    assert_false(cm_keeper_is_in_effect(&state, 1, BOOT + 4999));
    assert_true(cm_keeper_is_in_effect(&state, 1, BOOT + 5000));
}

static void after_a_sign_off_silence_says_nothing(void **unused)
{
    struct cm_keeper_state state;
    struct cm_keeper_past past = {.first = 1, .last = 1, .off_may_stand = true};
    (void)unused;
    cm_keeper_begin(&state, &past, BOOT);
    assert_false(cm_keeper_is_in_effect(&state, 1, BOOT + 60000));
    look_at_own(&state, CM_BEAT_OFF, 0, BOOT + 60000);
    cm_keeper_wrote(&state, 1);
    assert_true(cm_keeper_is_in_effect(&state, 1, BOOT + 60000));
    beat(&state, CM_BEAT_DONE, BOOT + 60000);
    cm_keeper_journaled(&state, 1, 2);
    assert_true(cm_keeper_is_in_effect(&state, 2, BOOT + 65000)); /* it has beaten since */
    cm_keeper_signed_off(&state);
    assert_false(cm_keeper_is_in_effect(&state, 2, BOOT + 65000));
}

/* A filter at an isolated old master trusts the sign-off there until it is too old, whatever is beaten elsewhere. */
static void a_sign_off_elsewhere_outlives_the_move(void **unused)
{
    struct cm_keeper_state state;
    struct cm_keeper_past past = {.first = 1, .last = 1, .off_may_stand = true};
    (void)unused;
    cm_keeper_begin(&state, &past, BOOT);
    look(&state, &one, BOOT); /* no beat of ours stands here */
    cm_keeper_wrote(&state, 1);
    beat(&state, CM_BEAT_DONE, BOOT + 5000);
    assert_true(state.off_may_stand); /* so that the journal keeps it for a later process */
    assert_false(cm_keeper_is_in_effect(&state, 1, BOOT + CM_KEEPER_OFF_QUIET_MS - 1));
    assert_true(cm_keeper_is_in_effect(&state, 1, BOOT + CM_KEEPER_OFF_QUIET_MS));
    beat(&state, CM_BEAT_DONE, BOOT + CM_KEEPER_OFF_QUIET_MS);
    assert_false(state.off_may_stand);
}

static void a_retired_keeper_writes_and_promises_nothing(void **unused)
{
    struct cm_keeper_state state = begin(1);
    (void)unused;
    look_at_own(&state, CM_BEAT_RETIRED, 0, BOOT);
    assert_string_equal(cm_keeper_word(&state), "retired");
    expect(&state, BOOT, CM_KEEPER_REPLAY, 1);
    cm_keeper_wrote(&state, 1);
    assert_false(cm_keeper_is_in_effect(&state, 1, BOOT + 60000));
    expect(&state, BOOT + 1999, CM_KEEPER_WAIT, BOOT + 2000);
    expect(&state, BOOT + 2000, CM_KEEPER_LOOK, 0);
    look(&state, &one, BOOT + 9000); /* readmitted: all again */
    expect(&state, BOOT + 9000, CM_KEEPER_REPLAY, 1);
}

/* The store has seen numbers that this journal does not have. */
static void a_lost_journal_never_beats(void **unused)
{
    static const struct {
        uint64_t known;
        bool is_lost;
    } rows[] = {{0, false}, {99, false}, {100, false}, {101, true}, {UINT64_MAX, true}};
    (void)unused;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_keeper_state state = begin(0);
        look_at_own(&state, CM_BEAT_ON, rows[i].known, BOOT);
        assert_int_equal(state.refusal, rows[i].is_lost ? CM_KEEPER_LOST : CM_KEEPER_ACCEPTED);
        look_at_own(&state, CM_BEAT_ON, 100, BOOT + 9000); /* growing does not find what was lost */
        assert_int_equal(state.refusal, rows[i].is_lost ? CM_KEEPER_LOST : CM_KEEPER_ACCEPTED);
        expect(&state, BOOT + 9000, rows[i].is_lost ? CM_KEEPER_WAIT : CM_KEEPER_BEAT, BOOT + 11000);
        look(&state, &one, BOOT + 20000); /* `store accept` has removed the beat */
        assert_int_equal(state.refusal, CM_KEEPER_ACCEPTED);
    }
}

static void another_store_is_asked_again_and_never_written(void **unused)
{
    static const enum cm_trouble troubles[] = {CM_TROUBLE_FOREIGN, CM_TROUBLE_NO_STORE, CM_TROUBLE_WRONG_PEPPER,
                                               CM_TROUBLE_SCHEMA};
    (void)unused;
    for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
        struct cm_keeper_state state = begin(1);
        struct cm_keeper_look found = {.trouble = troubles[i]};
        cm_keeper_looked(&state, &found, BOOT);
        assert_string_equal(cm_keeper_word(&state), "foreign_store");
        expect(&state, BOOT, CM_KEEPER_WAIT, BOOT + 2000);
        expect(&state, BOOT + 2000, CM_KEEPER_LOOK, 0);
        assert_false(cm_keeper_is_drained(&state));
        look(&state, &one, BOOT + 2000);
        expect(&state, BOOT + 2000, CM_KEEPER_REPLAY, 1);
    }
}

static void time_is_the_servers_and_what_passed_since(void **unused)
{
    struct cm_keeper_state state = begin(0);
    (void)unused;
    assert_int_equal(cm_keeper_estimate(&state, BOOT + 77), 0);
    look(&state, &one, BOOT + 100);
    assert_int_equal(cm_keeper_estimate(&state, BOOT + 100 + 3600000), TIME + BOOT + 100 + 3600000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_beat_comes_after_the_journal_and_five_seconds),
        cmocka_unit_test(beats_once_a_second),
        cmocka_unit_test(an_act_is_written_before_the_next_beat),
        cmocka_unit_test(answers_to_a_beat),
        cmocka_unit_test(rollback_is_replayed_and_waited_for),
        cmocka_unit_test(another_incarnation_gets_everything_first),
        cmocka_unit_test(the_same_incarnation_goes_on),
        cmocka_unit_test(in_effect_by_the_store_or_by_silence),
        cmocka_unit_test(a_start_counts_as_a_beat),
        cmocka_unit_test(after_a_sign_off_silence_says_nothing),
        cmocka_unit_test(a_sign_off_elsewhere_outlives_the_move),
        cmocka_unit_test(a_retired_keeper_writes_and_promises_nothing),
        cmocka_unit_test(a_lost_journal_never_beats),
        cmocka_unit_test(another_store_is_asked_again_and_never_written),
        cmocka_unit_test(time_is_the_servers_and_what_passed_since),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
