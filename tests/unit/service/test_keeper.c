/* A keeper with a real journal before servers that never existed: what is taken, written, given up and kept. */
#include "keeper_world.h"

static int set_up(void **state)
{
    struct world *world = malloc(sizeof(*world));
    if (world == NULL) {
        return -1;
    }
    world_start(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    world_stop(*state);
    free(*state);
    return 0;
}

static void beat_first(struct world *world)
{
    world_pass(world, 6000);
    assert_string_equal(world_word(world), "beating");
}

static void a_live_act_is_dated_by_the_store(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write write = world_stop_of(1);
    beat_first(world);
    uint64_t number = world_take(world, &write, &answer);
    assert_int_equal(world->last_write.record.event_at, 0);
    assert_false(world->last_write.is_replay);
    assert_string_equal(world->last_write.keeper, "mx1");
    assert_int_equal(world->last_write.mark, number);
    assert_int_equal(world->last_write.record.rank, CM_RANK_SUBJECT);
    assert_true(cm_keeper_act_is_in_effect(world->keeper, number));
    assert_int_equal(world->settled_status, CM_WRITE_APPLIED);
    assert_int_equal(world->settled, 1);
}

/* LAW-3: last seen TIME and what passed since, and the same on every later try. */
static void an_act_that_waited_is_dated_by_the_journal(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write write = world_stop_of(1);
    beat_first(world);
    cm_ms told = world_time(world);
    world->fault = FAULT_AWAY;
    (void)world_take(world, &write, &answer);
    world_pass(world, 60000);
    world->fault = FAULT_ANSWER_LOST;
    world_pass(world, 1000);
    assert_int_equal(world->last_write.record.event_at, told);
    world_restart(world); /* the date survives a crash */
    world->fault = FAULT_NONE;
    world_pass(world, 1000);
    assert_int_equal(world->last_write.record.event_at, told);
    assert_true(world->last_write.is_replay);
    assert_true(world->nodes[0].content.has[1]);
}

static void a_date_that_was_given_stays(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write write = world_stop_of(1);
    write.record.event_at = 1234567890123;
    world->fault = FAULT_AWAY;
    (void)world_take(world, &write, &answer);
    world->fault = FAULT_NONE;
    world_pass(world, 1000);
    assert_int_equal(world->last_write.record.event_at, 1234567890123);
}

/* A replay of a finished act keeps the date and the ledger id that it had. */
static void a_finished_act_is_replayed_as_it_was(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write write = world_stop_of(1);
    beat_first(world);
    cm_ms dated = world_time(world);
    (void)world_take(world, &write, &answer);
    world_pass(world, 2000); /* the outcome is committed with a beat */
    for (int restarts = 0; restarts < 2; restarts++) {
        world_restart(world);
        world_new_incarnation(world, &world->nodes[0]);
        memset(&world->nodes[0].content, 0, sizeof(world->nodes[0].content)); /* restored from before the act */
        world_pass(world, 10000);
        assert_true(world->nodes[0].content.has[1]);
        assert_int_equal(world->last_write.record.event_at, dated);
        assert_int_equal(world->last_write.ledger, 1001);
        assert_true(world->last_write.is_replay);
        assert_string_equal(world_word(world), "beating");
    }
}

/* What only permits is not kept for later: whoever asked was told that it is not done. */
static void what_permits_is_given_up(void **state)
{
    static const struct {
        const char *what;
        enum fault fault;
        enum cm_write_status status;
        bool is_kept;
    } rows[] = {
        {"the store is away", FAULT_AWAY, CM_WRITE_NOT_DONE, false},
        {"not permitted", FAULT_NO_PERMISSION, CM_WRITE_NOT_DONE, false},
        {"refused", FAULT_REFUSES, CM_WRITE_REFUSED, false},
        {"it may have got through", FAULT_REQUEST_LOST, CM_WRITE_UNSET, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct world world;
        struct cm_keeper_answer answer;
        struct cm_write write = world_grant_of(i);
        (void)state; /* each row has a world of its own */
        world_start(&world);
        beat_first(&world);
        world.fault = rows[i].fault;
        uint64_t number = world_take(&world, &write, &answer);
        if (number == 0 || world.settled != !rows[i].is_kept ||
            (world.settled > 0 && world.settled_status != rows[i].status)) {
            fail_msg("%s: settled %u times", rows[i].what, world.settled);
        }
        world_restart(&world);
        world.fault = FAULT_NONE;
        world_pass(&world, 10000);
        assert_int_equal(world.nodes[0].content.has[i], rows[i].is_kept);
        assert_string_equal(world_word(&world), "beating");
        world_stop(&world);
    }
}

static void what_permits_is_not_taken_while_the_store_is_away(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write write = world_grant_of(1);
    world->fault = FAULT_AWAY;
    world_pass(world, 1000);
    assert_int_equal(world_take(world, &write, &answer), 0);
    assert_int_equal(answer.status, CM_KEEPER_NOT_DONE);
    assert_int_equal(answer.trouble, CM_TROUBLE_UNREACHABLE);
    world->fault = FAULT_NONE;
    world_pass(world, 1000);
    assert_int_not_equal(world_take(world, &write, &answer), 0);
}

/* A stop is refused to the face of who asks, or never. */
static void a_stop_that_was_acknowledged_is_never_given_up(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write refused = world_stop_of(1);
    struct cm_write told = world_stop_of(2);
    beat_first(world);
    world->fault = FAULT_REFUSES;
    (void)world_take(world, &refused, &answer);
    assert_int_equal(world->settled_status, CM_WRITE_REFUSED);
    assert_true(cm_keeper_has_written_all(world->keeper));
    world->fault = FAULT_AWAY;
    (void)world_take(world, &told, &answer);
    world->fault = FAULT_REFUSES;
    unsigned beats = world->beats;
    world_pass(world, 60000);
    assert_int_equal(world->settled, 1);
    assert_int_equal(world->beats, beats); /* and nobody trusts the store meanwhile */
    assert_false(cm_keeper_has_written_all(world->keeper));
    world->fault = FAULT_NONE;
    world_pass(world, 1000);
    assert_true(world->nodes[0].content.has[2]);
    assert_int_equal(world->settled, 2);
}

static void acts_that_no_function_takes(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write rows[12];
    for (size_t i = 0; i < 12; i++) {
        rows[i] = world_stop_of(i);
    }
    rows[0].rank = CM_RANK_UNSET;
    rows[1].act = CM_ACT_UNSET;
    rows[2].act = CM_ACT_NOTE;
    rows[3].act = CM_ACT_FORWARD;
    rows[4].record.kind = CM_KIND_GRANT;
    rows[5].record.state = 0;
    rows[6].record.state = 5;
    rows[7].record.source = CM_SOURCE_COUNT;
    rows[8].record.expiry_s = 1;
    rows[9].act = CM_ACT_CONFIRM;
    rows[9].record.kind = CM_KIND_GRANT;
    rows[9].record.state = CM_STATE_GIVEN;
    rows[9].record.scope = CM_SCOPE_EVERYBODY;
    rows[10].act = CM_ACT_ERASE; /* not for the subject itself: LAW-6 */
    rows[10].record.kind = CM_KIND_ERASED;
    rows[10].record.state = CM_STATE_GIVEN;
    rows[11].related_count = CM_KEEPER_RELATED_MAX + 1;
    beat_first(world);
    for (size_t i = 0; i < 12; i++) {
        assert_int_equal(world_take(world, &rows[i], &answer), 0);
        assert_int_equal(answer.status, CM_KEEPER_REFUSED);
        assert_string_not_equal(answer.err.text, "");
    }
    assert_int_equal(world->writes, 0);
}

static void a_document_is_sealed_even_without_the_store(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write write = world_stop_of(1);
    write.document = CM_SPAN("{}");
    beat_first(world);
    world->fault = FAULT_OTHER_SEAL; /* also to the sealing: it falls back, and the write finds another seal */
    assert_int_not_equal(world_take(world, &write, &answer), 0);
    world_pass(world, 1000);
    assert_int_equal(world->settled_status, CM_WRITE_APPLIED);
    assert_true(world->nodes[0].content.has[1]);
}

/* Only what was committed was acknowledged, and only that comes back. */
static void a_crash_before_the_commit_forgets(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    uint64_t number = 0;
    struct cm_write forgotten = world_stop_of(1);
    struct cm_write kept = world_stop_of(2);
    world->fault = FAULT_AWAY;
    (void)world_take(world, &kept, &answer);
    assert_true(cm_keeper_take(world->keeper, &forgotten, &number, &answer));
    world_restart(world);
    world->fault = FAULT_NONE;
    world_pass(world, 1000);
    assert_true(world->nodes[0].content.has[2]);
    assert_false(world->nodes[0].content.has[1]);
}

static void many_acts_of_an_outage_come_in_order(void **state)
{
    enum { MANY = 500 };
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_keeper_report report;
    world->fault = FAULT_AWAY;
    for (size_t i = 0; i < MANY; i++) {
        struct cm_write write = world_stop_of(i);
        uint64_t number = 0;
        assert_true(cm_keeper_take(world->keeper, &write, &number, &answer));
    }
    struct cm_err err;
    assert_true(cm_keeper_commit(world->keeper, 1000, &err));
    cm_keeper_describe(world->keeper, &report);
    assert_int_equal(report.pending, MANY);
    world->fault = FAULT_NONE;
    world->writes = 0;
    world_pass(world, 1000);
    assert_int_equal(world->writes, MANY);
    assert_int_equal(world->nodes[0].content.mark, MANY);
    cm_keeper_describe(world->keeper, &report);
    assert_int_equal(report.pending, 0);
    cm_keeper_write_all_again(world->keeper);
    world_pass(world, 1000);
    assert_int_equal(world->writes, 2 * MANY);
}

static void two_keepers_on_one_journal(void **state)
{
    struct world *world = *state;
    struct world second = *world;
    struct cm_err err = {{0}};
    assert_int_equal(world_open(&second, &err), CM_JOURNAL_LOCKED);
    assert_string_not_equal(err.text, "");
}

static void signing_off(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_write write = world_stop_of(1);
    struct cm_err err;
    assert_false(cm_keeper_sign_off(world->keeper, 1000, &err)); /* it has not beaten yet */
    beat_first(world);
    world->now_ms += 700;
    assert_true(cm_keeper_sign_off(world->keeper, 1000, &err));
    assert_int_equal(world->nodes[0].content.beat.state, CM_BEAT_OFF);
    world_restart(world);
    world->fault = FAULT_AWAY;
    uint64_t number = world_take(world, &write, &answer);
    world_pass(world, 60000); /* filters trust the store all the time */
    assert_true(world_is_trusted(world, &world->nodes[0]));
    assert_false(cm_keeper_act_is_in_effect(world->keeper, number));
    world_restart(world); /* which it does not forget */
    world_pass(world, 60000);
    assert_false(cm_keeper_act_is_in_effect(world->keeper, number));
    assert_false(cm_keeper_sign_off(world->keeper, 1000, &err)); /* not all is written */
    world->fault = FAULT_NONE;
    world_pass(world, 7000);
    assert_int_equal(world->nodes[0].content.beat.state, CM_BEAT_ON);
    assert_true(cm_keeper_act_is_in_effect(world->keeper, number));
}

static void a_lost_journal_is_remembered(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct content *content = &world->nodes[0].content;
    content->has_beat = true;
    content->beat = (struct cm_kept_beat){.keeper = "mx1", .state = CM_BEAT_ON, .journal = 3};
    world_pass(world, 10000);
    assert_string_equal(world_word(world), "journal_lost");
    for (size_t i = 0; i < 10; i++) {
        struct cm_write write = world_stop_of(i);
        (void)world_take(world, &write, &answer);
        assert_true(content->has[i]); /* it is written all the same */
    }
    world_restart(world);
    world_pass(world, 10000);
    assert_string_equal(world_word(world), "journal_lost");
    assert_int_equal(world->beats, 0);
    content->has_beat = false; /* `store accept` readmits it */
    world_pass(world, 10000);
    assert_string_equal(world_word(world), "beating");
    world_restart(world);
    world_pass(world, 10000);
    assert_string_equal(world_word(world), "beating");
}

static void old_files_go_when_all_is_written(void **state)
{
    struct world *world = *state;
    struct cm_keeper_answer answer;
    struct cm_keeper_report before;
    struct cm_keeper_report after;
    struct cm_err err;
    world_pass(world, 6000);
    for (size_t i = 0; i < ACTS; i++) {
        struct cm_write write = world_stop_of(i);
        (void)world_take(world, &write, &answer);
    }
    world_pass(world, 2000);
    cm_keeper_describe(world->keeper, &before);
    world->fault = FAULT_AWAY;
    struct cm_write write = world_stop_of(1);
    (void)world_take(world, &write, &answer);
    assert_true(cm_keeper_expire(world->keeper, 5000, &err));
    cm_keeper_describe(world->keeper, &after);
    assert_int_equal(after.first, before.first); /* not while something is not in the store */
    world->fault = FAULT_NONE;
    world_pass(world, 2000);
    assert_true(cm_keeper_expire(world->keeper, 999, &err));
    cm_keeper_describe(world->keeper, &after);
    assert_int_equal(after.first, before.first); /* not what is younger */
    assert_true(cm_keeper_expire(world->keeper, 5000, &err));
    cm_keeper_describe(world->keeper, &after);
    assert_true(after.first > before.first);
    assert_true(after.acts < before.acts);
    world_restart(world);
    world_pass(world, 10000);
    assert_string_equal(world_word(world), "beating");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_live_act_is_dated_by_the_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_act_that_waited_is_dated_by_the_journal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_date_that_was_given_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_finished_act_is_replayed_as_it_was, set_up, tear_down),
        cmocka_unit_test(what_permits_is_given_up),
        cmocka_unit_test_setup_teardown(what_permits_is_not_taken_while_the_store_is_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_that_was_acknowledged_is_never_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(acts_that_no_function_takes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_document_is_sealed_even_without_the_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_crash_before_the_commit_forgets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_acts_of_an_outage_come_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_keepers_on_one_journal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signing_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_journal_is_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(old_files_go_when_all_is_written, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
