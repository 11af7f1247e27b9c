/* Uses of consent: what is left for a keeper and what a keeper makes of it. */
#include "fake_store.h"

#include "base/limits.h"
#include "store/uses.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEARD 700
#define PAGE 32
#define USE "\0\011somebody\0\0\0\002\123" /* bucket 9, scope 2, month 83 */
#define USE_BYTES 15

/* A Redis that writes down what it is told, word by word, and answers by the command's name. */
struct bench {
    struct fake_redis redis;
    struct cm_keys keys;
    struct cm_store *store;
    struct cm_err err;
    const char *cursor_reply;
    const char *page_reply; /* for the partition below; NULL: its page is `page` entries long */
    size_t page;
    const char *page_key;
    const char *write_reply; /* to XADD, FCALL and HSET */
    char heard[HEARD][160];  /* binary as \xHH */
    size_t heard_count;
    size_t pages; /* XRANGE */
};

static void write_down(struct bench *bench, const redisReply *command)
{
    size_t at = 0;
    if (bench->heard_count == HEARD) {
        abort();
    }
    char *out = bench->heard[bench->heard_count++];
    for (size_t w = 0; w < command->elements; w++) {
        const redisReply *word = command->element[w];
        out[at] = '\0';
        if (w > 0) {
            out[at++] = ' ';
        }
        for (size_t i = 0; i < word->len && at < sizeof(bench->heard[0]) - 5; i++) {
            unsigned char c = (unsigned char)word->str[i];
            at += (size_t)snprintf(out + at, 5, c > ' ' && c <= '~' ? "%c" : "\\x%02x", c); /* fits */
        }
    }
    out[at] = '\0';
}

static void say_page(struct bench *bench, struct fake_client *client)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "*%zu\r\n", bench->page); /* fits, as the next */
    fake_say(client, text);
    for (size_t i = 0; i < bench->page; i++) {
        (void)snprintf(text, sizeof(text), "*2\r\n$4\r\n%02zu-0\r\n*2\r\n$1\r\nu\r\n", i);
        fake_say(client, text);
        fake_say_bulk(client, USE, USE_BYTES);
    }
}

static void answer(struct fake_redis *fake, struct fake_client *client, const redisReply *command)
{
    struct bench *bench = fake->context;
    if (fake_is(command, 0, "ROLE")) {
        fake_say(client, FAKE_MASTER);
    } else if (fake_is(command, 0, "INFO")) {
        fake_say_info(client, FAKE_RUN_ID, FAKE_REPLICATION_ID);
    } else if (fake_is(command, 0, "HGET")) {
        write_down(bench, command);
        fake_say(client, bench->cursor_reply);
    } else if (fake_is(command, 0, "XRANGE")) {
        write_down(bench, command);
        bench->pages++;
        if (!fake_is(command, 1, bench->page_key)) {
            fake_say(client, "*0\r\n");
        } else if (bench->page_reply != NULL) {
            fake_say(client, bench->page_reply);
        } else {
            say_page(bench, client);
        }
    } else {
        write_down(bench, command);
        fake_say(client, bench->write_reply);
    }
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    bench->keys = (struct cm_keys){.store_id = FAKE_STORE_ID};
    bench->cursor_reply = "$-1\r\n";
    bench->page_key = "u:{p01f}";
    bench->write_reply = "+OK\r\n";
    fake_start(&bench->redis, answer, bench);
    bench->store = cm_store_new(
        &(struct cm_store_options){.unix_path = bench->redis.path, .timeout_ms = 10000, .pool = 1}, &bench->keys, NULL);
    *state = bench;
    return bench->store != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    cm_store_free(bench->store);
    fake_stop(&bench->redis);
    free(bench);
    return 0;
}

static size_t count_heard(const struct bench *bench, const char *prefix)
{
    size_t count = 0;
    for (size_t i = 0; i < bench->heard_count; i++) {
        count += strncmp(bench->heard[i], prefix, strlen(prefix)) == 0;
    }
    return count;
}

static void what_is_left(void **state)
{
    struct bench *bench = *state;
    struct cm_use uses[2] = {
        {.partition = 31, .bucket = 9, .field = "somebody", .scope = 2, .month = 83},
        {.partition = 1023, .bucket = 1023, .field = "anybody!", .scope = UINT32_MAX, .month = 255},
    };
    assert_int_equal(cm_store_leave_uses(bench->store, uses, 2, &bench->err), CM_TROUBLE_NONE);
    assert_int_equal(bench->heard_count, 2);
    assert_string_equal(bench->heard[0], "XADD u:{p01f} MAXLEN ~ 10000 * u \\x00\\x09somebody\\x00\\x00\\x00\\x02S");
    assert_string_equal(bench->heard[1],
                        "XADD u:{p3ff} MAXLEN ~ 10000 * u \\x03\\xffanybody!\\xff\\xff\\xff\\xff\\xff");
    bench->write_reply = "-NOPERM no\r\n";
    assert_int_equal(cm_store_leave_uses(bench->store, uses, 2, &bench->err), CM_TROUBLE_NO_PERMISSION);
    assert_non_null(strstr(bench->err.text, "NOPERM"));
}

static void how_many_are_left_at_once(void **state)
{
    struct bench *bench = *state;
    static const struct cm_use uses[CM_LIMIT_LOOKUP_BATCH + 1];
    assert_int_equal(cm_store_leave_uses(bench->store, uses, 0, &bench->err), CM_TROUBLE_INTERNAL);
    assert_int_equal(cm_store_leave_uses(bench->store, uses, COUNT(uses), &bench->err), CM_TROUBLE_INTERNAL);
    assert_int_equal(bench->heard_count, 0);
    assert_int_equal(cm_store_leave_uses(bench->store, uses, 1, &bench->err), CM_TROUBLE_NONE);
    assert_int_equal(cm_store_leave_uses(bench->store, uses, COUNT(uses) - 1, &bench->err), CM_TROUBLE_NONE);
    assert_int_equal(bench->heard_count, 1 + CM_LIMIT_LOOKUP_BATCH);
}

static void what_is_marked(void **state)
{
    struct bench *bench = *state;
    bench->page = 2;
    assert_int_equal(cm_store_mark_uses(bench->store, 30, 3, &bench->err), CM_TROUBLE_NONE);
    static const char *const want[] = {
        "HGET n:{p01e} used",
        "HGET n:{p01f} used",
        "HGET n:{p020} used",
        "XRANGE u:{p01e} - + COUNT 32",
        "XRANGE u:{p01f} - + COUNT 32",
        "XRANGE u:{p020} - + COUNT 32",
        "FCALL system_use 2 c:{p01f}:0009 m:{p01f} " FAKE_STORE_ID " somebody \\x00\\x00\\x00\\x02 S",
        "FCALL system_use 2 c:{p01f}:0009 m:{p01f} " FAKE_STORE_ID " somebody \\x00\\x00\\x00\\x02 S",
        "HSET n:{p01f} used 01-0", /* last, and only where something was */
    };
    assert_int_equal(bench->heard_count, COUNT(want));
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_string_equal(bench->heard[i], want[i]);
    }
}

static void goes_on_behind_the_cursor(void **state)
{
    struct bench *bench = *state;
    bench->cursor_reply = "$15\r\n1790000000000-5\r\n";
    assert_int_equal(cm_store_mark_uses(bench->store, 31, 1, &bench->err), CM_TROUBLE_NONE);
    assert_string_equal(bench->heard[1], "XRANGE u:{p01f} (1790000000000-5 + COUNT 32");
    assert_int_equal(bench->heard_count, 2); /* nothing was there, nothing is written */
}

static void which_windows_there_are(void **state)
{
    struct bench *bench = *state;
    static const struct {
        unsigned first;
        unsigned count;
        enum cm_trouble want;
    } rows[] = {
        {0, 0, CM_TROUBLE_INTERNAL},
        {0, 1, CM_TROUBLE_NONE},
        {0, CM_USES_WINDOW, CM_TROUBLE_NONE},
        {0, CM_USES_WINDOW + 1, CM_TROUBLE_INTERNAL},
        {CM_PARTITIONS - CM_USES_WINDOW, CM_USES_WINDOW, CM_TROUBLE_NONE},
        {CM_PARTITIONS - CM_USES_WINDOW + 1, CM_USES_WINDOW, CM_TROUBLE_INTERNAL},
        {CM_PARTITIONS - 1, 1, CM_TROUBLE_NONE},
        {CM_PARTITIONS, 1, CM_TROUBLE_INTERNAL},
        {UINT32_MAX, 1, CM_TROUBLE_INTERNAL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t pages = bench->pages;
        assert_int_equal(cm_store_mark_uses(bench->store, rows[i].first, rows[i].count, &bench->err), rows[i].want);
        assert_int_equal(bench->pages - pages, rows[i].want == CM_TROUBLE_NONE ? rows[i].count : 0);
    }
}

static void how_long_a_page_is(void **state)
{
    struct bench *bench = *state;
    bench->page = PAGE;
    assert_int_equal(cm_store_mark_uses(bench->store, 31, 1, &bench->err), CM_TROUBLE_NONE);
    assert_int_equal(count_heard(bench, "FCALL"), PAGE);
    bench->page = PAGE + 1;
    assert_int_equal(cm_store_mark_uses(bench->store, 31, 1, &bench->err), CM_TROUBLE_MALFORMED);
    assert_int_equal(count_heard(bench, "FCALL"), PAGE);
    assert_int_equal(count_heard(bench, "HSET"), 1);
}

/* What is no use is told, but neither stops what stands beside and behind it nor is it read again. */
static void what_cannot_be_read_is_passed_over(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *reply;
        size_t marked;
        const char *cursor; /* NULL: it stays */
    } rows[] = {
        {"*1\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nu\r\n$14\r\n--somebody1234\r\n", 0, "5-0"},
        {"*1\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nu\r\n$16\r\n--somebody1234mm\r\n", 0, "5-0"},
        {"*1\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nu\r\n$15\r\n\004\001somebody1234m\r\n", 0, "5-0"}, /* bucket 1025 */
        {"*1\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nx\r\n$15\r\n\003\001somebody1234m\r\n", 0, "5-0"},
        {"*1\r\n*2\r\n$3\r\n5-0\r\n$-1\r\n", 0, "5-0"},
        {"*1\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nu\r\n:7\r\n", 0, "5-0"},
        {"*1\r\n*2\r\n:5\r\n*2\r\n$1\r\nu\r\n$3\r\nabc\r\n", 0, NULL},
        {"*1\r\n$3\r\nabc\r\n", 0, NULL},
        {"*2\r\n*2\r\n$3\r\n4-0\r\n*0\r\n*2\r\n$3\r\n5-0\r\n*2\r\n$1\r\nu\r\n$15\r\n\003\377somebody1234m\r\n", 1,
         "5-0"},
        {"$3\r\nabc\r\n", 0, NULL},
        {"$-1\r\n", 0, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char hset[64];
        bench->heard_count = 0;
        bench->page_reply = rows[i].reply;
        assert_int_equal(cm_store_mark_uses(bench->store, 31, 2, &bench->err), CM_TROUBLE_MALFORMED);
        assert_int_equal(count_heard(bench, "FCALL"), rows[i].marked);
        (void)snprintf(hset, sizeof(hset), "HSET n:{p01f} used %s", rows[i].cursor != NULL ? rows[i].cursor : "");
        assert_int_equal(count_heard(bench, hset), rows[i].cursor != NULL ? 1 : 0);
        assert_int_equal(count_heard(bench, "XRANGE"), 2);
    }
}

static void error_replies_are_trouble(void **state)
{
    struct bench *bench = *state;
    bench->page = 1;
    bench->write_reply = "-FOREIGN another store\r\n";
    assert_int_equal(cm_store_mark_uses(bench->store, 31, 1, &bench->err), CM_TROUBLE_FOREIGN);
    bench->write_reply = "+OK\r\n";
    bench->page_reply = "-WRONGTYPE no stream\r\n";
    assert_int_equal(cm_store_mark_uses(bench->store, 31, 1, &bench->err), CM_TROUBLE_MALFORMED);
    bench->pages = 0;
    bench->cursor_reply = "-NOPERM no\r\n";
    assert_int_equal(cm_store_mark_uses(bench->store, 31, 1, &bench->err), CM_TROUBLE_NO_PERMISSION);
    assert_int_equal(bench->pages, 0); /* not from the beginning again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(how_many_are_left_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_marked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(goes_on_behind_the_cursor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(which_windows_there_are, set_up, tear_down),
        cmocka_unit_test_setup_teardown(how_long_a_page_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(error_replies_are_trouble, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
