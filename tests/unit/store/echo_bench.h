/* A pool in front of a scripted Redis that only knows ECHO. */
#ifndef TESTS_UNIT_STORE_ECHO_BENCH_H
#define TESTS_UNIT_STORE_ECHO_BENCH_H

#include <sched.h>

#include "base/clock.h"
#include "fake_redis.h"
#include "pool.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_MS 20000
#define OTHER_REPLICATION_ID "3333333333333333333333333333333333333333"

/* What a test's server says to ECHO; everything else about it is well. */
struct script {
    const char *echo;        /* instead of the echo; NULL: the echo itself */
    const char *role;        /* instead of "master" */
    const char *info;        /* instead of both sections of INFO */
    _Atomic bool promoted;   /* new connections are told another replication id */
    _Atomic bool silent;     /* answers no ECHO */
    _Atomic bool mute;       /* answers not even ROLE */
    _Atomic unsigned lose;   /* closes this many connections on ECHO */
    _Atomic unsigned stray;  /* says this many times something more than was asked */
    _Atomic unsigned echoes; /* that arrived */
};

static inline bool took_one(_Atomic unsigned *count)
{
    if (*count == 0) {
        return false;
    }
    (*count)--;
    return true;
}

static inline void answer(struct fake_redis *fake, struct fake_client *client, const redisReply *command)
{
    struct script *script = fake->context;
    if (script->mute) {
        return;
    }
    if (fake_is(command, 0, "ROLE")) {
        fake_say(client, script->role != NULL ? script->role : FAKE_MASTER);
        return;
    }
    if (fake_is(command, 0, "INFO") && script->info != NULL) {
        fake_say(client, script->info);
        return;
    }
    if (fake_is(command, 0, "INFO")) {
        fake_say_info(client, FAKE_RUN_ID, script->promoted ? OTHER_REPLICATION_ID : FAKE_REPLICATION_ID);
        return;
    }
    if (!fake_is(command, 0, "ECHO")) {
        fake_say(client, "-ERR unknown command\r\n");
        return;
    }
    script->echoes++;
    if (took_one(&script->lose)) {
        client->close = true;
    } else if (!script->silent) {
        if (script->echo != NULL) {
            fake_say(client, script->echo);
        } else {
            fake_say_bulk(client, command->element[1]->str, (size_t)command->element[1]->len);
        }
        if (took_one(&script->stray)) {
            fake_say(client, "+stray\r\n");
        }
    }
}

struct bench {
    struct fake_redis fake;
    struct script script;
    struct cm_store_options options;
    struct cm_pool *pool;
};

static inline int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    fake_start(&bench->fake, answer, &bench->script);
    bench->options = (struct cm_store_options){.unix_path = bench->fake.path, .timeout_ms = LONG_MS, .pool = 4};
    bench->pool = cm_pool_new(&bench->options, NULL);
    *state = bench;
    return bench->pool != NULL ? 0 : -1;
}

static inline int tear_down(void **state)
{
    struct bench *bench = *state;
    cm_pool_free(bench->pool);
    fake_stop(&bench->fake);
    free(bench);
    return 0;
}

/* One ECHO of `text`; on success its reply must be that text. */
static inline enum cm_trouble echo(struct bench *bench, const char *text, bool may_repeat, bool *out_sent,
                                   struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *reply = NULL;
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("ECHO"), cm_span_of(text)}, 2);
    struct cm_call call = {.may_repeat = may_repeat};
    enum cm_trouble trouble = cm_pool_call(bench->pool, &request, &call, &reply, err);
    cm_request_done(&request);
    if (out_sent != NULL) {
        *out_sent = call.sent;
    }
    if (trouble == CM_TROUBLE_NONE) {
        if (!cm_span_equal(cm_reply_text(reply), cm_span_of(text))) {
            abort(); /* somebody else's answer: nothing is worse. Also in threads, where cmocka's asserts may not be. */
        }
        cm_replies_free(&reply, 1);
    }
    return trouble;
}

static inline enum cm_trouble ask(struct bench *bench)
{
    struct cm_err err = {""};
    enum cm_trouble trouble = echo(bench, "hello", true, NULL, &err);
    assert_int_equal(trouble == CM_TROUBLE_NONE, err.text[0] == '\0');
    return trouble;
}

static inline bool is_open(struct bench *bench)
{
    struct cm_store_state state;
    cm_pool_state(bench->pool, &state);
    assert_in_range(state.open, 0, bench->options.pool);
    assert_in_range(state.busy, 0, state.open);
    return state.breaker_is_open;
}

static inline unsigned connections(struct bench *bench)
{
    struct cm_store_state state;
    cm_pool_state(bench->pool, &state);
    return state.open;
}

/* Asks until the answer is this one; the back-off is at most half a second. */
static inline void ask_until(struct bench *bench, enum cm_trouble want)
{
    int64_t deadline = cm_clock_monotonic_ms() + LONG_MS;
    while (ask(bench) != want) {
        assert_true(cm_clock_monotonic_ms() < deadline);
        (void)sched_yield();
    }
}

#endif
