/* What a pool makes of servers that answer wrongly. */
#include "echo_bench.h"

static void stray_bytes_are_never_an_answer(void **state)
{
    struct bench *bench = *state;
    bench->script.stray = 1;
    /* They arrive with the answer, or lie there when the connection is used again. */
    enum cm_trouble trouble = ask(bench);
    if (trouble == CM_TROUBLE_NONE) {
        fake_order(&bench->fake, 'r'); /* an order is obeyed only after all has been said */
        fake_order(&bench->fake, 'l');
    } else {
        assert_int_equal(trouble, CM_TROUBLE_PROTOCOL);
    }
    ask_until(bench, CM_TROUBLE_NONE); /* echo() checks that it is the right one */
    assert_int_equal(bench->fake.accepted, 2);
}

static void stray_bytes_of_an_idle_connection_end_it(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    bench->fake.unasked = "$5\r\nhello\r\n"; /* the very answer to the next question */
    fake_order(&bench->fake, 's');
    assert_int_equal(ask(bench), CM_TROUBLE_PROTOCOL);
    assert_int_equal(bench->script.echoes, 1);
    ask_until(bench, CM_TROUBLE_NONE);
}

static void what_is_not_redis_is_a_protocol_trouble(void **state)
{
    struct bench *bench = *state;
    static const char *const words[] = {
        "HTTP/1.1 400 Bad Request\r\n", "\r\n", "%1\r\n+a\r\n+b\r\n", "$x\r\n", "*999999999\r\n", "*200001\r\n"};
    for (size_t i = 0; i < COUNT(words); i++) {
        bench->script.role = words[i];
        ask_until(bench, CM_TROUBLE_PROTOCOL);
    }
    bench->script.role = NULL;
    for (size_t i = 0; i < COUNT(words); i++) {
        bench->script.echo = words[i];
        ask_until(bench, CM_TROUBLE_PROTOCOL);
    }
}

static void an_answer_has_a_ceiling(void **state)
{
    struct bench *bench = *state;
    char *huge = malloc(CM_LIMIT_REPLY_BYTES + 64);
    assert_non_null(huge);
    int n = snprintf(huge, 64, "$%d\r\n", CM_LIMIT_REPLY_BYTES);
    memset(huge + n, 'x', CM_LIMIT_REPLY_BYTES);
    memcpy(huge + n + CM_LIMIT_REPLY_BYTES, "\r\n", 3);
    bench->script.echo = huge;
    assert_int_equal(ask(bench), CM_TROUBLE_PROTOCOL);
    bench->script.echo = NULL;
    ask_until(bench, CM_TROUBLE_NONE);
    free(huge);
}

static void what_the_server_says_of_itself_is_told_and_opens_the_breaker(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *role;
        enum cm_trouble want;
    } rows[] = {
        {"-LOADING Redis is loading\r\n", CM_TROUBLE_LOADING},
        {"-BUSY Redis is busy\r\n", CM_TROUBLE_BUSY},
        {"-NOAUTH Authentication required.\r\n", CM_TROUBLE_AUTHENTICATION},
        {"-NOPERM this user\r\n", CM_TROUBLE_NO_PERMISSION},
        {"-MASTERDOWN Link with MASTER is down\r\n", CM_TROUBLE_NOT_MASTER},
        {"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$9\r\nconnected\r\n:0\r\n", CM_TROUBLE_NOT_MASTER},
        {"*2\r\n$8\r\nsentinel\r\n*0\r\n", CM_TROUBLE_NOT_MASTER},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench->script.role = rows[i].role;
        fake_order(&bench->fake, 'd'); /* or the connection from before would do */
        ask_until(bench, rows[i].want);
        assert_true(is_open(bench));
        assert_int_equal(bench->script.echoes, i); /* nothing was asked of such a server */
        bench->script.role = NULL;
        ask_until(bench, CM_TROUBLE_NONE);
    }
    bench->script.echo = "-LOADING later\r\n";
    assert_int_equal(ask(bench), CM_TROUBLE_LOADING);
    assert_true(is_open(bench));
}

static void a_role_that_is_none_is_malformed(void **state)
{
    struct bench *bench = *state;
    static const char *const words[] = {":1\r\n", "*0\r\n", "*1\r\n:1\r\n", "+master\r\n", "$-1\r\n"};
    for (size_t i = 0; i < COUNT(words); i++) {
        bench->script.role = words[i];
        assert_int_equal(ask(bench), CM_TROUBLE_MALFORMED);
    }
    assert_int_equal(connections(bench), 0);
}

/* LAW-12: without knowing which incarnation answers nothing can be asked. */
static void an_info_without_both_ids_is_malformed(void **state)
{
    struct bench *bench = *state;
#define LINES(run_id, replication_id) "run_id:" run_id "\r\nmaster_replid:" replication_id "\r\n"
    static const char *const texts[] = {
        "",
        "run_id:" FAKE_RUN_ID "\r\n",
        "master_replid:" FAKE_REPLICATION_ID "\r\n",
        LINES("", FAKE_REPLICATION_ID),
        LINES(FAKE_RUN_ID, ""),
        LINES(FAKE_RUN_ID "1", FAKE_REPLICATION_ID),
        LINES(FAKE_RUN_ID, "222222222222222222222222222222222222222"),
        LINES(FAKE_RUN_ID, "222222222222222222222222222222222222222g"),
        LINES(FAKE_RUN_ID, "222222222222222222222222222222222222222F"),
        LINES(FAKE_RUN_ID, FAKE_REPLICATION_ID) "run_id:" FAKE_RUN_ID "\r\n",
        " x_" LINES(FAKE_RUN_ID, FAKE_REPLICATION_ID),
    };
    static const char *const replies[] = {":1\r\n", "*0\r\n", "$-1\r\n"};
    for (size_t i = 0; i < COUNT(texts) + COUNT(replies); i++) {
        char reply[256];
        if (i < COUNT(texts)) {
            (void)snprintf(reply, sizeof(reply), "$%zu\r\n%s\r\n", strlen(texts[i]), texts[i]); /* fits */
        }
        bench->script.info = i < COUNT(texts) ? reply : replies[i - COUNT(texts)];
        enum cm_trouble got = ask(bench);
        if (got != CM_TROUBLE_MALFORMED) {
            fail_msg("row %zu: %s", i, cm_trouble_name(got));
        }
        fake_order(&bench->fake, 'r'); /* an order is obeyed only after all has been said: `reply` may change */
        fake_order(&bench->fake, 'l');
    }
    bench->script.info = "-NOPERM this user has no permissions to run the 'info' command\r\n";
    assert_int_equal(ask(bench), CM_TROUBLE_NO_PERMISSION);
    bench->script.info = NULL;
    ask_until(bench, CM_TROUBLE_NONE);
    assert_int_equal(bench->script.echoes, 1); /* nothing was asked of a server that was not known */
}

static void other_errors_are_answers_of_a_healthy_server(void **state)
{
    struct bench *bench = *state;
    struct cm_request request = {0};
    struct cm_call call = {.may_repeat = true};
    redisReply *reply = NULL;
    bench->script.echo = "-ERR Function not found\r\n";
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("ECHO"), CM_SPAN("x")}, 2);
    assert_int_equal(cm_pool_call(bench->pool, &request, &call, &reply, NULL), CM_TROUBLE_NONE);
    assert_int_equal(cm_reply_trouble(reply, NULL), CM_TROUBLE_NO_FUNCTION);
    cm_replies_free(&reply, 1);
    cm_request_done(&request);
    assert_false(is_open(bench));
}

/* LAW-11: the first try may have been written, whatever the second is answered. */
static void a_lost_try_is_sent_whatever_its_repetition_is_told(void **state)
{
    struct bench *bench = *state;
    struct cm_err err;
    bool sent = false;
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    bench->script.lose = 1;
    bench->script.echo = "-LOADING Redis is loading the dataset in memory\r\n";
    assert_int_equal(echo(bench, "write", true, &sent, &err), CM_TROUBLE_LOADING);
    assert_true(sent);
}

static void an_error_of_the_server_to_a_first_try_means_not_done(void **state)
{
    struct bench *bench = *state;
    struct cm_err err;
    bool sent = true;
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    bench->script.echo = "-LOADING Redis is loading the dataset in memory\r\n";
    assert_int_equal(echo(bench, "write", true, &sent, &err), CM_TROUBLE_LOADING);
    assert_false(sent);
}

static void a_failed_request_is_memory_and_harms_no_connection(void **state)
{
    struct bench *bench = *state;
    struct cm_request request = {.failed = true, .commands = 1};
    struct cm_call call = {.may_repeat = true};
    redisReply *reply = NULL;
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    assert_int_equal(cm_pool_call(bench->pool, &request, &call, &reply, NULL), CM_TROUBLE_MEMORY);
    assert_int_equal(ask(bench), CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.accepted, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(stray_bytes_are_never_an_answer),
        CASE(stray_bytes_of_an_idle_connection_end_it),
        CASE(what_is_not_redis_is_a_protocol_trouble),
        CASE(an_answer_has_a_ceiling),
        CASE(what_the_server_says_of_itself_is_told_and_opens_the_breaker),
        CASE(a_role_that_is_none_is_malformed),
        CASE(an_info_without_both_ids_is_malformed),
        CASE(other_errors_are_answers_of_a_healthy_server),
        CASE(a_lost_try_is_sent_whatever_its_repetition_is_told),
        CASE(an_error_of_the_server_to_a_first_try_means_not_done),
        CASE(a_failed_request_is_memory_and_harms_no_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
