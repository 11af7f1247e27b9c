/* What the server says of itself: told, absent, forbidden; and answers that cannot be believed. */
#include "fake_store.h"
#include "store/consent_lua.h"
#include "store/server.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define INFO_TEXT "redis_version:7.0.15\r\n# Server\r\nrun_id:abc\r\naof_enabled:1\r\n"
#define NOPERM "-NOPERM this user has no permissions to run the command\r\n"

struct bench {
    struct fake_store fake;
    struct cm_store *store;
    struct cm_err err;
    const char *info; /* answers; NULL: the usual */
    const char *setting;
    const char *library;
    const char *user;
    const char *time;
    const char *stream;
    unsigned odd_partition; /* whose facts are another's; CM_PARTITIONS: none */
    const char *odd_facts;
    const char *role;
    char verdict[512];
};

static void say_text(const struct fake_client *client, const char *text)
{
    fake_say_bulk(client, text, strlen(text));
}

/* The library as FUNCTION LIST shows it, with this code. */
static void say_library(const struct fake_client *client, const char *code)
{
    fake_say(client, "*1\r\n*8\r\n$12\r\nlibrary_name\r\n$7\r\nconsent\r\n$6\r\nengine\r\n$3\r\nLUA\r\n"
                     "$9\r\nfunctions\r\n*0\r\n$12\r\nlibrary_code\r\n");
    say_text(client, code);
}

static unsigned partition_of(const redisReply *command, size_t word)
{
    const char *key = command->elements > word ? command->element[word]->str : "";
    return strlen(key) > 4 ? (unsigned)strtoul(key + 4, NULL, 16) : CM_PARTITIONS;
}

static void say_or(const struct fake_client *client, const char *said, const char *usual)
{
    fake_say(client, said != NULL ? said : usual);
}

static void answer(struct fake_redis *fake, struct fake_client *client, const redisReply *command)
{
    struct bench *bench = fake->context;
    if (fake_is(command, 0, "INFO") && command->elements == 1 && bench->info != NULL) {
        fake_say(client, bench->info);
    } else if (fake_is(command, 0, "INFO") && command->elements == 1) {
        say_text(client, INFO_TEXT);
    } else if (fake_is(command, 0, "INFO")) {
        say_text(client, fake_is(command, 1, "server") ? "run_id:0123456789012345678901234567890123456789\r\n"
                                                       : "master_replid:0123456789012345678901234567890123456789\r\n");
    } else if (fake_is(command, 0, "CONFIG") && bench->setting != NULL) {
        fake_say(client, bench->setting);
    } else if (fake_is(command, 0, "CONFIG")) {
        fake_say(client, "*2\r\n");
        say_text(client, command->element[2]->str);
        fake_say(client, "$2\r\n42\r\n");
    } else if (fake_is(command, 0, "FUNCTION") && bench->library == NULL) {
        say_library(client, cm_consent_lua);
    } else if (fake_is(command, 0, "FUNCTION")) {
        fake_say(client, bench->library);
    } else if (fake_is(command, 0, "ACL")) {
        say_or(client, bench->user, "$6\r\ndoctor\r\n");
    } else if (fake_is(command, 0, "TIME")) {
        say_or(client, bench->time, "*2\r\n$10\r\n1790000000\r\n$6\r\n123456\r\n");
    } else if (fake_is(command, 0, "ROLE")) {
        say_or(client, bench->role, FAKE_MASTER);
    } else if (fake_is(command, 0, "XINFO")) {
        fake_say(client,
                 bench->stream != NULL && partition_of(command, 2) == 7 ? bench->stream : "-ERR no such key\r\n");
    } else if (fake_is(command, 0, "HMGET") && partition_of(command, 1) == bench->odd_partition &&
               !fake_is(command, command->elements - 1, "registry")) {
        fake_say(client, bench->odd_facts);
    } else if (fake_is(command, 0, "HMGET")) {
        fake_say_facts(&bench->fake, client, command);
    } else if (fake_is(command, 0, "HSET")) {
        (void)snprintf(bench->verdict, sizeof(bench->verdict), "%s %s %s", command->element[1]->str,
                       command->element[2]->str, command->element[3]->str); /* fits */
        fake_say(client, ":1\r\n");
    } else {
        fake_say(client, "-ERR unknown command\r\n");
    }
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    fake_store_start(&bench->fake);
    bench->fake.redis.answer = answer; /* before anybody connects */
    bench->fake.redis.context = bench;
    bench->odd_partition = CM_PARTITIONS;
    bench->store = fake_store_open(&bench->fake);
    *state = bench;
    return bench->store != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    cm_store_free(bench->store);
    fake_stop(&bench->fake.redis);
    free(bench);
    return 0;
}

static enum cm_trouble read_server(struct bench *bench, struct cm_server *out)
{
    memset(out, 0x55, sizeof(*out));
    bench->err.text[0] = '\0';
    enum cm_trouble trouble = cm_server_read(bench->store, out, &bench->err);
    assert_true((trouble == CM_TROUBLE_NONE) == (out->now != 0x5555555555555555));
    return trouble;
}

static void all_is_read_in_one_pipeline(void **state)
{
    struct bench *bench = *state;
    struct cm_server server;
    assert_int_equal(read_server(bench, &server), CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.redis.accepted, 1);
    assert_int_equal(server.now, 1790000000123);
    assert_string_equal(server.items[CM_SERVER_VERSION].text, "7.0.15");
    assert_string_equal(server.items[CM_SERVER_RUN_ID].text, "abc");
    assert_int_equal(server.items[CM_SERVER_AOF].answer, CM_SERVER_TOLD);
    assert_int_equal(server.items[CM_SERVER_ROLE].answer, CM_SERVER_ABSENT);
    for (size_t i = CM_SERVER_INFO_COUNT; i < CM_SERVER_ITEM_COUNT; i++) {
        assert_int_equal(server.items[i].answer, CM_SERVER_TOLD);
        assert_string_equal(server.items[i].text, "42");
    }
    assert_int_equal(server.library, CM_LIBRARY_SAME);
    assert_string_equal(server.user.text, "doctor");
}

static void what_is_forbidden_or_not_known_there_is_told_as_such(void **state)
{
    struct bench *bench = *state;
    struct cm_server server;
    bench->info = bench->setting = bench->library = bench->user = NOPERM;
    assert_int_equal(read_server(bench, &server), CM_TROUBLE_NONE);
    for (size_t i = 0; i < CM_SERVER_ITEM_COUNT; i++) {
        assert_int_equal(server.items[i].answer, CM_SERVER_FORBIDDEN);
    }
    assert_int_equal(server.library, CM_LIBRARY_FORBIDDEN);
    assert_int_equal(server.user.answer, CM_SERVER_FORBIDDEN);
    bench->info = bench->library = bench->user = "-ERR unknown command\r\n";
    bench->setting = "*0\r\n";
    assert_int_equal(read_server(bench, &server), CM_TROUBLE_NONE);
    for (size_t i = 0; i < CM_SERVER_ITEM_COUNT; i++) {
        assert_int_equal(server.items[i].answer, CM_SERVER_ABSENT);
    }
    assert_int_equal(server.user.answer, CM_SERVER_ABSENT);
}

static void answers_that_cannot_be_believed(void **state)
{
    static const struct {
        size_t where;
        const char *said;
        enum cm_trouble trouble;
    } cases[] = {
        {offsetof(struct bench, info), ":1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, info), "$-1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, info), "*1\r\n$4\r\nrole\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, info), "$25\r\nrole:slave\r\nrole:master\r\n\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, info), "-LOADING Redis is loading\r\n", CM_TROUBLE_LOADING},
        {offsetof(struct bench, setting), "-LOADING Redis is loading\r\n", CM_TROUBLE_LOADING},
        {offsetof(struct bench, setting), "$3\r\nyes\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, setting), "*1\r\n$3\r\nyes\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, setting), "*2\r\n$5\r\nother\r\n$3\r\nyes\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, setting), "*2\r\n$11\r\nappendfsync\r\n*0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, library), "$1\r\nx\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, library), "*2\r\n*0\r\n*0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, library), "*1\r\n*0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, library), "*1\r\n$1\r\nx\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, library), "*1\r\n*1\r\n$12\r\nlibrary_code\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, library), "*1\r\n*2\r\n$12\r\nlibrary_code\r\n:1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, user), "-BUSY\r\n", CM_TROUBLE_BUSY},
        {offsetof(struct bench, user), ":1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, time), "$1\r\n1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, time), "*2\r\n$1\r\nx\r\n$1\r\n1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, time), "*2\r\n$1\r\n1\r\n$7\r\n1000000\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, time), "*2\r\n$20\r\n18446744073709551615\r\n$1\r\n1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct bench, time), "-NOPERM no\r\n", CM_TROUBLE_NO_PERMISSION},
    };
    struct bench *bench = *state;
    struct cm_server server;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char **said = (const char **)(void *)((char *)bench + cases[i].where);
        *said = cases[i].said;
        enum cm_trouble trouble = read_server(bench, &server);
        if (trouble != cases[i].trouble) {
            fail_msg("case %zu: %s", i, cm_trouble_name(trouble));
        }
        assert_string_not_equal(bench->err.text, "");
        *said = NULL;
    }
}

static void long_values_are_cut_and_equal_nothing(void **state)
{
    struct bench *bench = *state;
    struct cm_server server;
    char info[300];
    (void)snprintf(info, sizeof(info), "$205\r\nrole:%0200d\r\n", 7); /* fits */
    bench->info = info;
    assert_int_equal(read_server(bench, &server), CM_TROUBLE_NONE);
    assert_int_equal(strlen(server.items[CM_SERVER_ROLE].text), CM_SERVER_TEXT_BYTES - 1);
}

static void another_library_or_none(void **state)
{
    struct bench *bench = *state;
    struct cm_server server;
    bench->library = "*0\r\n";
    assert_int_equal(read_server(bench, &server), CM_TROUBLE_NONE);
    assert_int_equal(server.library, CM_LIBRARY_NONE);
    bench->library = "*1\r\n*2\r\n$12\r\nlibrary_code\r\n$1\r\nx\r\n";
    assert_int_equal(read_server(bench, &server), CM_TROUBLE_NONE);
    assert_int_equal(server.library, CM_LIBRARY_OTHER);
}

static void every_partition_is_looked_at(void **state)
{
    static const struct {
        const char *facts;
        enum cm_trouble trouble;
    } cases[] = {
        {"*5\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n", CM_TROUBLE_NO_STORE},
        {"*5\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$18\r\n" FAKE_PEPPERS "\r\n", CM_TROUBLE_FOREIGN},
        {"*5\r\n$32\r\n" FAKE_STORE_ID "\r\n$1\r\n2\r\n$1\r\n1\r\n$1\r\n1\r\n$18\r\n" FAKE_PEPPERS "\r\n",
         CM_TROUBLE_CHANGED},
        {"$1\r\nx\r\n", CM_TROUBLE_MALFORMED},
        {"-WRONGTYPE no hash\r\n", CM_TROUBLE_MALFORMED},
    };
    static const unsigned odd[] = {0, 1, 511, CM_PARTITIONS - 1};
    struct bench *bench = *state;
    struct cm_server_partitions partitions;
    assert_int_equal(cm_server_read_partitions(bench->store, &partitions, &bench->err), CM_TROUBLE_NONE);
    assert_int_equal(partitions.wrong + partitions.unannounced, 0);
    assert_int_equal(partitions.trouble, CM_TROUBLE_NONE);
    for (size_t i = 0; i < COUNT(odd) * COUNT(cases); i++) {
        bench->odd_partition = odd[i / COUNT(cases)];
        bench->odd_facts = cases[i % COUNT(cases)].facts;
        assert_int_equal(cm_server_read_partitions(bench->store, &partitions, &bench->err), CM_TROUBLE_NONE);
        assert_true(partitions.wrong > 0);
        assert_int_equal(partitions.first_wrong, bench->odd_partition);
        assert_int_equal(partitions.trouble, cases[i % COUNT(cases)].trouble);
        assert_string_not_equal(partitions.text, "");
    }
}

static void the_newest_end_of_all_ledgers(void **state)
{
    static const struct {
        const char *said;
        enum cm_trouble trouble;
        cm_ms newest;
    } cases[] = {
        {NULL, CM_TROUBLE_NONE, 0},
        {"*4\r\n$6\r\nlength\r\n:1\r\n$17\r\nlast-generated-id\r\n$7\r\n12345-6\r\n", CM_TROUBLE_NONE, 12345},
        {"*2\r\n$17\r\nlast-generated-id\r\n$3\r\n0-0\r\n", CM_TROUBLE_NONE, 0},
        {"*2\r\n$17\r\nlast-generated-id\r\n$1\r\nx\r\n", CM_TROUBLE_MALFORMED, 0},
        {"*2\r\n$17\r\nlast-generated-id\r\n$17\r\n281474976710656-0\r\n", CM_TROUBLE_MALFORMED, 0},
        {"*0\r\n", CM_TROUBLE_MALFORMED, 0},
        {"$1\r\nx\r\n", CM_TROUBLE_MALFORMED, 0},
        {NOPERM, CM_TROUBLE_NO_PERMISSION, 0},
        {"-WRONGTYPE no stream\r\n", CM_TROUBLE_MALFORMED, 0},
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        cm_ms newest = -1;
        bench->stream = cases[i].said;
        assert_int_equal(cm_server_read_ledger_end(bench->store, &newest, &bench->err), cases[i].trouble);
        assert_int_equal(newest, cases[i].trouble == CM_TROUBLE_NONE ? cases[i].newest : -1);
    }
}

static void a_stranger_knocks(void **state)
{
    static const struct {
        const char *role;
        enum cm_server_door door;
    } cases[] = {
        {FAKE_MASTER, CM_DOOR_OPEN}, {"-NOAUTH Authentication required.\r\n", CM_DOOR_CLOSED},
        {NOPERM, CM_DOOR_AJAR},      {"-LOADING Redis is loading\r\n", CM_DOOR_UNKNOWN},
        {"*0\r\n", CM_DOOR_UNKNOWN},
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        bench->role = cases[i].role;
        assert_int_equal(cm_server_knock(bench->store, &bench->err), cases[i].door);
    }
}

static void the_verdict_is_written_for_one_run(void **state)
{
    struct bench *bench = *state;
    char text[201];
    assert_int_equal(cm_server_write_verdict(bench->store, "abc", true, 5, "", &bench->err), CM_TROUBLE_NONE);
    assert_string_equal(bench->verdict, "m:{p000} doctor abc good 5 ");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(cm_server_write_verdict(bench->store, "0123456789012345678901234567890123456789", false, CM_MS_MAX,
                                             text, &bench->err),
                     CM_TROUBLE_NONE);
    assert_non_null(strstr(bench->verdict, " bad "));
    assert_non_null(strstr(bench->verdict, text)); /* the longest is whole */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(all_is_read_in_one_pipeline),
        TEST(what_is_forbidden_or_not_known_there_is_told_as_such),
        TEST(answers_that_cannot_be_believed),
        TEST(long_values_are_cut_and_equal_nothing),
        TEST(another_library_or_none),
        TEST(every_partition_is_looked_at),
        TEST(the_newest_end_of_all_ledgers),
        TEST(a_stranger_knocks),
        TEST(the_verdict_is_written_for_one_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
