#include "connection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The reply that hiredis makes of these bytes; freed by the caller. */
static redisReply *parse(const char *bytes, size_t len)
{
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    assert_non_null(reader);
    assert_int_equal(redisReaderFeed(reader, bytes, len), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static enum cm_trouble trouble_of(const char *error, struct cm_err *err)
{
    char bytes[1024];
    int n = snprintf(bytes, sizeof(bytes), "-%s\r\n", error);
    assert_in_range(n, 1, sizeof(bytes) - 1);
    redisReply *reply = parse(bytes, (size_t)n);
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    freeReplyObject(reply);
    return trouble;
}

static void every_error_of_redis_has_its_trouble(void **state)
{
    (void)state;
    static const struct {
        const char *error;
        enum cm_trouble want;
    } rows[] = {
        {"ERR max number of clients reached", CM_TROUBLE_MAX_CLIENTS},
        {"ERR Function not found", CM_TROUBLE_NO_FUNCTION},
        {"ERR Protocol error: unauthenticated multibulk length", CM_TROUBLE_AUTHENTICATION},
        {"ERR Protocol error: unauthenticated bulk length", CM_TROUBLE_AUTHENTICATION},
        {"NOAUTH Authentication required.", CM_TROUBLE_AUTHENTICATION},
        {"WRONGPASS invalid username-password pair or user is disabled.", CM_TROUBLE_AUTHENTICATION},
        {"NOPERM this user has no permissions to run the 'fcall' command", CM_TROUBLE_NO_PERMISSION},
        {"ERR The user executing the script can't run this command or subcommand script: x", CM_TROUBLE_NO_PERMISSION},
        {"ERR The user executing the script can't access at least one of the keys", CM_TROUBLE_NO_PERMISSION},
        {"LOADING Redis is loading the dataset in memory", CM_TROUBLE_LOADING},
        {"BUSY Redis is busy running a script. You can only call FUNCTION KILL", CM_TROUBLE_BUSY},
        {"READONLY You can't write against a read only replica.", CM_TROUBLE_NOT_MASTER},
        {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", CM_TROUBLE_NOT_MASTER},
        {"MOVED 3999 127.0.0.1:6381", CM_TROUBLE_CLUSTER},
        {"ASK 3999 127.0.0.1:6381", CM_TROUBLE_CLUSTER},
        {"TRYAGAIN Multiple keys request during rehashing of slot", CM_TROUBLE_CLUSTER},
        {"CLUSTERDOWN The cluster is down", CM_TROUBLE_CLUSTER},
        {"CROSSSLOT Keys in request don't hash to the same slot", CM_TROUBLE_CLUSTER},
        {"OOM command not allowed when used memory > 'maxmemory'.", CM_TROUBLE_CANNOT_WRITE},
        {"MISCONF Errors writing to the AOF file: No space left on device", CM_TROUBLE_CANNOT_WRITE},
        {"NOREPLICAS Not enough good replicas to write.", CM_TROUBLE_CANNOT_WRITE},
        {"WRONGTYPE Operation against a key holding the wrong kind of value", CM_TROUBLE_MALFORMED},
        {"MALFORMED records of another length stand there", CM_TROUBLE_MALFORMED},
        {"FOREIGN another store, or none", CM_TROUBLE_FOREIGN},
        {"ERR unknown command 'HGET'", CM_TROUBLE_ERROR_REPLY},
        {"ERR", CM_TROUBLE_ERROR_REPLY},
        {"", CM_TROUBLE_ERROR_REPLY},
        {"FUTURE the date lies ahead of the clock of Redis", CM_TROUBLE_ERROR_REPLY},
        {"EVIDENCE express consent recorded by others needs ...", CM_TROUBLE_ERROR_REPLY},
        {"UNKILLABLE The busy script was not terminated", CM_TROUBLE_ERROR_REPLY},
        {"ERR error: NOAUTH inside", CM_TROUBLE_ERROR_REPLY},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_err err = {""};
        enum cm_trouble got = trouble_of(rows[i].error, &err);
        if (got != rows[i].want) {
            fail_msg("%s: %s, not %s", rows[i].error, cm_trouble_name(got), cm_trouble_name(rows[i].want));
        }
        assert_non_null(strstr(err.text, rows[i].error));
        assert_int_equal(trouble_of(rows[i].error, NULL), rows[i].want);
    }
}

static void long_errors_are_cut_for_people(void **state)
{
    (void)state;
    char error[800];
    struct cm_err err = {""};
    memset(error, 'x', sizeof(error) - 1);
    error[sizeof(error) - 1] = '\0';
    memcpy(error, "NOPERM ", 7);
    assert_int_equal(trouble_of(error, &err), CM_TROUBLE_NO_PERMISSION);
    assert_in_range(strlen(err.text), 200, 240);
}

static void what_is_no_error_is_no_trouble(void **state)
{
    (void)state;
    static const char *const replies[] = {"+OK\r\n", "+NOAUTH\r\n", "$-1\r\n", "$4\r\n-ERR\r\n",
                                          ":1\r\n",  "*0\r\n",      "*-1\r\n", "*1\r\n-ERR inside\r\n"};
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct cm_err err = {"untouched"};
        redisReply *reply = parse(replies[i], strlen(replies[i]));
        assert_int_equal(cm_reply_trouble(reply, &err), CM_TROUBLE_NONE);
        assert_string_equal(err.text, "untouched");
        freeReplyObject(reply);
    }
}

static void only_an_array_of_that_length_is_expected(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum cm_trouble want;
    } rows[] = {
        {"*2\r\n:1\r\n:2\r\n", CM_TROUBLE_NONE},
        {"*1\r\n:1\r\n", CM_TROUBLE_MALFORMED},
        {"*3\r\n:1\r\n:2\r\n:3\r\n", CM_TROUBLE_MALFORMED},
        {"*0\r\n", CM_TROUBLE_MALFORMED},
        {"*-1\r\n", CM_TROUBLE_MALFORMED},
        {"$2\r\nab\r\n", CM_TROUBLE_MALFORMED},
        {":2\r\n", CM_TROUBLE_MALFORMED},
        {"$-1\r\n", CM_TROUBLE_MALFORMED},
        {"+OK\r\n", CM_TROUBLE_MALFORMED},
        {"-LOADING x\r\n", CM_TROUBLE_LOADING},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_err err = {""};
        redisReply *reply = parse(rows[i].bytes, strlen(rows[i].bytes));
        assert_int_equal(cm_reply_expect_array(reply, 2, "the thing", &err), rows[i].want);
        assert_int_equal(strstr(err.text, "the thing") != NULL, rows[i].want == CM_TROUBLE_MALFORMED);
        freeReplyObject(reply);
    }
}

static void text_is_the_bytes_of_strings_only(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        struct cm_span want;
    } rows[] = {
        {"$3\r\na\0b\r\n", 9, {"a\0b", 3}}, {"$0\r\n\r\n", 6, {"", 0}}, {"+OK\r\n", 5, {"OK", 2}},
        {"$-1\r\n", 5, {NULL, 0}},          {":1\r\n", 4, {NULL, 0}},   {"*0\r\n", 4, {NULL, 0}},
        {"-ERR\r\n", 6, {NULL, 0}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        redisReply *reply = parse(rows[i].bytes, rows[i].len);
        struct cm_span text = cm_reply_text(reply);
        assert_int_equal(text.p == NULL, rows[i].want.p == NULL);
        assert_true(cm_span_equal(text, rows[i].want));
        freeReplyObject(reply);
    }
}

static void requests_are_what_redis_reads(void **state)
{
    (void)state;
    struct cm_request request = {0};
    struct cm_span args[] = {CM_SPAN("HGET"), CM_ARG_BYTES("k\0y", 3), CM_SPAN("")};
    cm_request_add(&request, args, 3);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("TIME")}, 1);
    static const char want[] = "*3\r\n$4\r\nHGET\r\n$3\r\nk\0y\r\n$0\r\n\r\n*1\r\n$4\r\nTIME\r\n";
    assert_int_equal(request.commands, 2);
    assert_int_equal(request.len, sizeof(want) - 1);
    assert_memory_equal(request.bytes, want, sizeof(want) - 1);
    cm_request_done(&request);
    assert_null(request.bytes);
}

static void a_request_grows_with_its_words(void **state)
{
    (void)state;
    static char large[100000];
    struct cm_request request = {0};
    memset(large, 'x', sizeof(large));
    cm_request_add(&request, (struct cm_span[]){CM_ARG_BYTES(large, sizeof(large)), CM_SPAN("end")}, 2);
    for (unsigned i = 0; i < 1000; i++) {
        cm_request_add(&request, (struct cm_span[]){CM_SPAN("TIME")}, 1);
    }
    assert_false(request.failed);
    assert_int_equal(request.commands, 1001);
    redisReply *first = parse(request.bytes, request.len);
    assert_int_equal(first->elements, 2);
    assert_int_equal(first->element[0]->len, sizeof(large));
    assert_string_equal(first->element[1]->str, "end");
    freeReplyObject(first);
    cm_request_done(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_of_redis_has_its_trouble),
        cmocka_unit_test(long_errors_are_cut_for_people),
        cmocka_unit_test(what_is_no_error_is_no_trouble),
        cmocka_unit_test(only_an_array_of_that_length_is_expected),
        cmocka_unit_test(text_is_the_bytes_of_strings_only),
        cmocka_unit_test(requests_are_what_redis_reads),
        cmocka_unit_test(a_request_grows_with_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
