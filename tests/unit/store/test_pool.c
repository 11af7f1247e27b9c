/* Growing, waiting, breaking and recovering. */
#include "echo_bench.h"

#include "base/clock.h"

#define THREADS 16
#define CALLS 200

static void one_connection_serves_calls_in_turn(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    }
    assert_int_equal(bench->fake.accepted, 1);
    assert_int_equal(connections(bench), 1);
    assert_false(is_open(bench));
}

static void nobody_there_opens_the_breaker_which_refuses_at_once(void **state)
{
    struct bench *bench = *state;
    fake_order(&bench->fake, 'r');
    assert_int_equal(ask(bench), CM_TROUBLE_UNREACHABLE);
    assert_true(is_open(bench));
    assert_int_equal(connections(bench), 0);
    struct cm_err err = {""};
    bool sent = true;
    int64_t before = cm_clock_monotonic_ms();
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(echo(bench, "x", true, &sent, &err), CM_TROUBLE_UNREACHABLE);
        assert_false(sent);
    }
    assert_in_range(cm_clock_monotonic_ms() - before, 0, LONG_MS / 4);
    assert_non_null(strstr(err.text, bench->fake.path)); /* the cause is told again */
    fake_order(&bench->fake, 'l');
    ask_until(bench, CM_TROUBLE_NONE);
    assert_false(is_open(bench));
}

static void a_server_that_hangs_costs_one_timeout_and_then_nothing(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    bench->script.silent = true;
    bench->options.timeout_ms = 100;
    int64_t before = cm_clock_monotonic_ms();
    assert_int_equal(ask(bench), CM_TROUBLE_TIMEOUT);
    assert_in_range(cm_clock_monotonic_ms() - before, 99, LONG_MS / 2);
    assert_true(is_open(bench));
    unsigned asked = bench->script.echoes;
    assert_int_equal(ask(bench), CM_TROUBLE_TIMEOUT);
    assert_int_equal(bench->script.echoes, asked); /* refused without asking */
    bench->script.silent = false;
    bench->options.timeout_ms = LONG_MS;
    ask_until(bench, CM_TROUBLE_NONE);
}

struct caller {
    struct bench *bench;
    pthread_t thread;
    int64_t took_ms;
    _Atomic enum cm_trouble trouble;
    bool sent;
};

static void *call_once(void *context)
{
    struct caller *caller = context;
    struct cm_err err;
    int64_t before = cm_clock_monotonic_ms();
    caller->trouble = echo(caller->bench, "one", true, &caller->sent, &err);
    caller->took_ms = cm_clock_monotonic_ms() - before;
    return NULL;
}

static void start(struct bench *bench, struct caller *callers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        callers[i] = (struct caller){.bench = bench};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_once, &callers[i]), 0);
    }
}

static void join(struct caller *callers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pthread_join(callers[i].thread, NULL), 0);
    }
}

static void one_probe_at_a_time_is_let_through(void **state)
{
    struct bench *bench = *state;
    struct caller probe;
    fake_order(&bench->fake, 'r');
    assert_int_equal(ask(bench), CM_TROUBLE_UNREACHABLE);
    bench->script.silent = true;
    fake_order(&bench->fake, 'l');
    int64_t deadline = cm_clock_monotonic_ms() + LONG_MS;
    start(bench, &probe, 1);
    while (bench->script.echoes == 0) { /* until a probe hangs in the server */
        assert_true(cm_clock_monotonic_ms() < deadline);
        if (probe.trouble == CM_TROUBLE_UNREACHABLE) { /* it came before the back-off had ended */
            join(&probe, 1);
            start(bench, &probe, 1);
        }
        (void)sched_yield();
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(ask(bench), CM_TROUBLE_UNREACHABLE);
    }
    assert_int_equal(bench->script.echoes, 1);
    assert_int_equal(bench->fake.accepted, 1);
    bench->script.silent = false;
    fake_order(&bench->fake, 'd'); /* the probe fails; the next one succeeds */
    join(&probe, 1);
    assert_int_equal(probe.trouble, CM_TROUBLE_CONNECTION_LOST);
    ask_until(bench, CM_TROUBLE_NONE);
}

static void those_who_wait_are_released_when_the_breaker_opens(void **state)
{
    struct bench *bench = *state;
    struct caller callers[THREADS];
    bench->options.pool = 2;
    bench->script.silent = true;
    start(bench, callers, THREADS);
    int64_t deadline = cm_clock_monotonic_ms() + LONG_MS;
    while (bench->script.echoes < 2) {
        assert_true(cm_clock_monotonic_ms() < deadline);
        (void)sched_yield();
    }
    /* Two hang in the server, the others wait for a connection; now one of the two loses its own. */
    fake_order(&bench->fake, 'd');
    join(callers, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        assert_in_range(callers[i].took_ms, 0, LONG_MS / 2);
        assert_true(callers[i].trouble == CM_TROUBLE_CONNECTION_LOST || callers[i].trouble == CM_TROUBLE_TIMEOUT);
    }
}

static void those_in_flight_stop_waiting_when_the_breaker_opens(void **state)
{
    struct bench *bench = *state;
    struct caller hanging;
    bench->script.silent = true;
    start(bench, &hanging, 1);
    int64_t deadline = cm_clock_monotonic_ms() + LONG_MS;
    while (bench->script.echoes < 1) {
        assert_true(cm_clock_monotonic_ms() < deadline);
        (void)sched_yield();
    }
    bench->options.timeout_ms = 50; /* for the second caller, which finds out first */
    assert_int_equal(ask(bench), CM_TROUBLE_TIMEOUT);
    join(&hanging, 1);
    assert_int_equal(hanging.trouble, CM_TROUBLE_TIMEOUT);
    assert_true(hanging.sent);
    assert_in_range(hanging.took_ms, 0, LONG_MS / 2);
}

static void a_full_pool_is_waited_for_until_the_deadline(void **state)
{
    struct bench *bench = *state;
    struct caller holder;
    bench->options.pool = 1;
    bench->script.silent = true;
    start(bench, &holder, 1);
    int64_t deadline = cm_clock_monotonic_ms() + LONG_MS;
    while (bench->script.echoes < 1) {
        assert_true(cm_clock_monotonic_ms() < deadline);
        (void)sched_yield();
    }
    bench->options.timeout_ms = 50;
    assert_int_equal(ask(bench), CM_TROUBLE_POOL_EXHAUSTED);
    assert_false(is_open(bench)); /* slow is not dead */
    fake_order(&bench->fake, 'd');
    join(&holder, 1);
}

static void *call_often(void *context)
{
    struct caller *caller = context;
    struct cm_err err;
    for (unsigned i = 0; i < CALLS && caller->trouble == CM_TROUBLE_UNSET; i++) {
        char text[48];
        (void)snprintf(text, sizeof(text), "%p/%u", context, i); /* fits; no two are the same */
        enum cm_trouble trouble = echo(caller->bench, text, true, NULL, &err);
        caller->trouble = trouble == CM_TROUBLE_NONE ? CM_TROUBLE_UNSET : trouble;
    }
    return NULL;
}

static void the_pool_never_grows_beyond_its_ceiling(void **state)
{
    struct bench *bench = *state;
    struct caller callers[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.bench = bench};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    join(callers, THREADS);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(callers[i].trouble, CM_TROUBLE_UNSET); /* each met its own answers only */
    }
    assert_int_equal(bench->script.echoes, THREADS * CALLS);
    assert_in_range(bench->fake.max_open, 1, 4);
    assert_in_range(connections(bench), 1, 4);
}

static void a_restart_of_redis_is_met_in_silence(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(ask(bench), CM_TROUBLE_NONE);
        fake_order(&bench->fake, 'd');
    }
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.accepted, 6);
    assert_false(is_open(bench));
    bench->script.lose = 1; /* closed after the request went out */
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
}

static void what_may_not_be_repeated_is_not(void **state)
{
    struct bench *bench = *state;
    struct cm_err err;
    bool sent = false;
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    unsigned before = bench->script.echoes;
    bench->script.lose = 1;
    assert_int_equal(echo(bench, "once", false, &sent, &err), CM_TROUBLE_CONNECTION_LOST);
    assert_true(sent);
    assert_int_equal(bench->script.echoes, before + 1);
}

static void what_never_went_out_is_sent_on_a_new_connection(void **state)
{
    struct bench *bench = *state;
    struct cm_err err;
    bool sent = false;
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    unsigned before = bench->script.echoes;
    fake_order(&bench->fake, 'd'); /* Redis was restarted while nobody asked */
    assert_int_equal(echo(bench, "once", false, &sent, &err), CM_TROUBLE_NONE);
    assert_int_equal(bench->script.echoes, before + 1);
}

static enum cm_trouble call_with(struct bench *bench, struct cm_call *call)
{
    struct cm_request request = {0};
    redisReply *reply = NULL;
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("ECHO"), CM_SPAN("x")}, 2);
    enum cm_trouble trouble = cm_pool_call(bench->pool, &request, call, &reply, NULL);
    cm_request_done(&request);
    if (trouble == CM_TROUBLE_NONE) {
        cm_replies_free(&reply, 1);
    }
    return trouble;
}

/* LAW-12 */
static void the_incarnation_that_answered_is_told_and_a_fresh_connection_knows_the_newest(void **state)
{
    struct bench *bench = *state;
    bench->options.pool = 1;
    struct cm_call call = {.may_repeat = true};
    assert_int_equal(call_with(bench, &call), CM_TROUBLE_NONE);
    assert_string_equal(call.incarnation.run_id, FAKE_RUN_ID);
    assert_string_equal(call.incarnation.replication_id, FAKE_REPLICATION_ID);
    bench->script.promoted = true;
    call = (struct cm_call){.may_repeat = true};
    assert_int_equal(call_with(bench, &call), CM_TROUBLE_NONE); /* it was connected before */
    assert_string_equal(call.incarnation.replication_id, FAKE_REPLICATION_ID);
    call = (struct cm_call){.may_repeat = true, .fresh = true};
    assert_int_equal(call_with(bench, &call), CM_TROUBLE_NONE);
    assert_string_equal(call.incarnation.replication_id, OTHER_REPLICATION_ID);
    assert_int_equal(bench->fake.accepted, 2);
    assert_int_equal(connections(bench), 1); /* the old one has gone */
    call = (struct cm_call){.may_repeat = true};
    assert_int_equal(call_with(bench, &call), CM_TROUBLE_NONE);
    assert_string_equal(call.incarnation.replication_id, OTHER_REPLICATION_ID);
    assert_int_equal(bench->fake.accepted, 2);
    bench->script.lose = 1; /* a repetition may be answered by another incarnation than the first try went to */
    bench->script.promoted = false;
    call = (struct cm_call){.may_repeat = true};
    assert_int_equal(call_with(bench, &call), CM_TROUBLE_NONE);
    assert_string_equal(call.incarnation.replication_id, FAKE_REPLICATION_ID);
}

static void a_deadline_that_is_given_counts(void **state)
{
    struct bench *bench = *state;
    struct cm_call call = {.deadline_ms = cm_clock_monotonic_ms() + 50};
    bench->script.silent = true;
    assert_int_equal(call_with(bench, &call), CM_TROUBLE_TIMEOUT);
    assert_true(cm_clock_monotonic_ms() < call.deadline_ms + LONG_MS / 2);
    assert_string_equal(call.incarnation.run_id, ""); /* nobody answered */
}

static void a_fresh_connection_that_is_lost_is_not_tried_again(void **state)
{
    struct bench *bench = *state;
    bench->script.lose = 1;
    assert_int_equal(ask(bench), CM_TROUBLE_CONNECTION_LOST);
    assert_int_equal(bench->script.echoes, 1);
    ask_until(bench, CM_TROUBLE_NONE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(one_connection_serves_calls_in_turn),
        CASE(nobody_there_opens_the_breaker_which_refuses_at_once),
        CASE(a_server_that_hangs_costs_one_timeout_and_then_nothing),
        CASE(one_probe_at_a_time_is_let_through),
        CASE(those_who_wait_are_released_when_the_breaker_opens),
        CASE(those_in_flight_stop_waiting_when_the_breaker_opens),
        CASE(a_full_pool_is_waited_for_until_the_deadline),
        CASE(the_pool_never_grows_beyond_its_ceiling),
        CASE(a_restart_of_redis_is_met_in_silence),
        CASE(what_may_not_be_repeated_is_not),
        CASE(what_never_went_out_is_sent_on_a_new_connection),
        CASE(the_incarnation_that_answered_is_told_and_a_fresh_connection_knows_the_newest),
        CASE(a_deadline_that_is_given_counts),
        CASE(a_fresh_connection_that_is_lost_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
