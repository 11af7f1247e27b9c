/* Every way in which a look-up can end without an answer: none of them may pass for "no records". LAW-2 */
#include "fake_store.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct bench {
    struct fake_store fake;
    struct cm_store *store;
    struct cm_arena arena;
    struct cm_subject_records records;
    struct cm_lookup lookup;
    struct cm_err err;
};

static const struct cm_subject ann = {
    .pepper = 1, .partition = 7, .bucket = 9, .exact = "ann-----", .family = "ann-----"};
static const struct cm_subject gus = {
    .pepper = 1, .partition = 7, .bucket = 9, .exact = "gus+tag-", .family = "gus-----"};

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    fake_store_start(&bench->fake);
    bench->store = fake_store_open(&bench->fake);
    cm_arena_init(&bench->arena, 1048576);
    *state = bench;
    return bench->store != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    cm_store_free(bench->store);
    cm_arena_done(&bench->arena);
    fake_stop(&bench->fake.redis);
    free(bench);
    return 0;
}

static enum cm_trouble look_up(struct bench *bench, const struct cm_subject *subject)
{
    bench->lookup = (struct cm_lookup){0};
    bench->err.text[0] = '\0';
    enum cm_trouble trouble = cm_store_lookup(bench->store, subject, 1, &bench->arena, &bench->records, &bench->lookup,
                                              &bench->err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_registry_unref(bench->lookup.registry);
    } else {
        assert_int_equal(bench->lookup.now, 0);
        assert_null(bench->lookup.registry);
        assert_string_not_equal(bench->err.text, "");
    }
    return trouble;
}

static void put_stop(struct bench *bench, const uint8_t *field)
{
    struct cm_record stop = {
        .scope = 1, .kind = CM_KIND_STOP, .state = CM_STATE_WITHDRAWN, .rank = CM_RANK_SUBJECT, .event_at = 5};
    fake_store_put(&bench->fake, field, &stop);
}

static void records_and_the_time_of_redis_are_found(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    assert_int_equal(bench->records.exact_count + bench->records.family_count, 0);
    assert_int_equal(bench->lookup.now, 1790000000000);
    put_stop(bench, ann.exact);
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    assert_int_equal(bench->records.exact_count, 1);
    assert_ptr_equal(bench->records.exact, bench->records.family);
    assert_int_equal(bench->records.exact[0].state, CM_STATE_WITHDRAWN);
}

static void the_family_has_its_own_records(void **state)
{
    struct bench *bench = *state;
    put_stop(bench, gus.family);
    assert_int_equal(look_up(bench, &gus), CM_TROUBLE_NONE);
    assert_int_equal(bench->records.exact_count, 0);
    assert_int_equal(bench->records.family_count, 1);
}

static void a_registry_is_fetched_once_a_version(void **state)
{
    struct bench *bench = *state;
    unsigned before = 0;
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    before = bench->fake.redis.commands;
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.redis.commands - before, 4);
    bench->fake.facts[5] = "4";
    bench->fake.version_reply = "$1\r\n4\r\n";
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.redis.commands - before, 14);
    bench->fake.facts[5] = "3"; /* another partition not announced to yet: ours is new enough */
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.redis.commands - before, 18);
}

static void facts_that_are_not_ours_are_trouble(void **state)
{
    struct bench *bench = *state;
    static const struct {
        size_t fact;
        const char *value;
        enum cm_trouble want;
    } rows[] = {
        {0, NULL, CM_TROUBLE_NO_STORE},     {0, "ffffffffffffffffffffffffffffffff", CM_TROUBLE_FOREIGN},
        {0, "", CM_TROUBLE_FOREIGN},        {0, FAKE_STORE_ID "0", CM_TROUBLE_FOREIGN},
        {1, NULL, CM_TROUBLE_MALFORMED},    {1, "one", CM_TROUBLE_MALFORMED},
        {1, "", CM_TROUBLE_MALFORMED},      {2, "2", CM_TROUBLE_SCHEMA},
        {2, NULL, CM_TROUBLE_SCHEMA},       {3, "2", CM_TROUBLE_SCHEMA},
        {3, NULL, CM_TROUBLE_SCHEMA},       {4, "1:0000000000000000", CM_TROUBLE_WRONG_PEPPER},
        {4, NULL, CM_TROUBLE_WRONG_PEPPER}, {5, NULL, CM_TROUBLE_MALFORMED},
        {5, "-1", CM_TROUBLE_MALFORMED},    {5, "99", CM_TROUBLE_REGISTRY}, /* promised, and the registry is older */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *kept = bench->fake.facts[rows[i].fact];
        bench->fake.facts[rows[i].fact] = rows[i].value;
        enum cm_trouble got = look_up(bench, &ann);
        if (got != rows[i].want) {
            fail_msg("row %zu: %s, not %s", i, cm_trouble_name(got), cm_trouble_name(rows[i].want));
        }
        bench->fake.facts[rows[i].fact] = kept;
        assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    }
}

#define SECOND "2:57266fb4c548de44" /* 32 times 2 */

/* While peppers are rotated a subject has several places; records at each of them count. */
static void records_are_read_at_all_places(void **state)
{
    struct bench *bench = *state;
    uint8_t second[CM_PEPPER_BYTES];
    struct cm_subject both = {.pepper = 2, .partition = 8, .bucket = 1, .exact = "ann-two", .family = "ann-two"};
    struct cm_record moved = {.kind = CM_KIND_FORWARD,
                              .state = CM_STATE_GIVEN,
                              .rank = CM_RANK_SYSTEM,
                              .forward = {.pepper = 2, .partition = 8, .bucket = 1}};
    both.other_count = 1;
    both.others[0] = (struct cm_subject_place){1, 7, 9, "ann-----", "ann-----"};
    memset(second, 2, sizeof(second));
    bench->fake.facts[4] = FAKE_PEPPERS " " SECOND "+";
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE); /* only announced, and not here: no matter yet */
    bench->fake.facts[4] = FAKE_PEPPERS " " SECOND;
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_WRONG_PEPPER);
    assert_non_null(strstr(bench->err.text, "pepper.2"));
    assert_true(cm_keys_add_pepper(&bench->fake.keys, 2, second));
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_CHANGED); /* must be hashed anew */
    assert_int_equal(CM_IN_USE_CURRENT(cm_keys_in_use(&bench->fake.keys)), 2);
    put_stop(bench, ann.exact);
    assert_int_equal(look_up(bench, &both), CM_TROUBLE_NONE);
    assert_int_equal(bench->records.exact_count, 1);
    put_stop(bench, both.exact);
    assert_int_equal(look_up(bench, &both), CM_TROUBLE_NONE);
    assert_int_equal(bench->records.exact_count, 2); /* read before and after it moved: told twice */
    bench->fake.record_count = 0;
    memcpy(moved.forward.field, both.exact, CM_FIELD_BYTES);
    fake_store_put(&bench->fake, ann.exact, &moved);
    put_stop(bench, both.exact);
    assert_int_equal(look_up(bench, &both), CM_TROUBLE_NONE);
    assert_int_equal(bench->records.exact_count, 1);
    assert_int_equal(bench->records.exact[0].kind, CM_KIND_STOP);
    moved.forward.pepper = 3;
    bench->fake.record_count = 0;
    fake_store_put(&bench->fake, ann.exact, &moved);
    assert_int_equal(look_up(bench, &both), CM_TROUBLE_WRONG_PEPPER);
}

static void peppers_that_cannot_be_read_are_trouble(void **state)
{
    struct bench *bench = *state;
    static const char *const texts[] = {"",
                                        "1",
                                        "1:",
                                        FAKE_PEPPERS "+",
                                        FAKE_PEPPERS " ",
                                        FAKE_PEPPERS " " FAKE_PEPPERS,
                                        "0:88fd42d716930e07",
                                        "16:88fd42d716930e07",
                                        FAKE_PEPPERS "0",
                                        SECOND " " FAKE_PEPPERS,
                                        "1:88fd42d716930e0g"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        bench->fake.facts[4] = texts[i];
        if (look_up(bench, &ann) != CM_TROUBLE_WRONG_PEPPER) {
            fail_msg("%s passes", texts[i]);
        }
    }
}

static void a_store_that_changes_within_one_look_up_is_trouble(void **state)
{
    struct bench *bench = *state;
    bench->fake.epoch_after = "2";
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_CHANGED);
    bench->fake.epoch_after = NULL;
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
}

static void answers_of_another_shape_are_trouble(void **state)
{
    struct bench *bench = *state;
    static const struct {
        size_t offset;
        const char *reply;
        enum cm_trouble want;
    } rows[] = {
        {offsetof(struct fake_store, facts_reply), "*0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, facts_reply), "*-1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, facts_reply), "$-1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, facts_reply), "-WRONGTYPE Operation\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, facts_reply), "-MOVED 1 127.0.0.1:1\r\n", CM_TROUBLE_CLUSTER},
        {offsetof(struct fake_store, facts_reply), "-ERR unknown command\r\n", CM_TROUBLE_ERROR_REPLY},
        {offsetof(struct fake_store, records_reply), "*0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "*2\r\n$-1\r\n$-1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "$-1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "*1\r\n$0\r\n\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "*1\r\n$5\r\nxxxxx\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "*1\r\n:0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "*1\r\n*0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "*1\r\n$28\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n",
         CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, records_reply), "-OOM command not allowed\r\n", CM_TROUBLE_CANNOT_WRITE},
        {offsetof(struct fake_store, time_reply), "*2\r\n$1\r\nx\r\n$1\r\n0\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, time_reply), "*2\r\n$1\r\n1\r\n$7\r\n1000000\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, time_reply), "*2\r\n:1\r\n:1\r\n", CM_TROUBLE_MALFORMED},
        {offsetof(struct fake_store, time_reply), "*1\r\n$1\r\n1\r\n", CM_TROUBLE_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char **place = (const char **)(void *)((char *)&bench->fake + rows[i].offset);
        const char *kept = *place;
        *place = rows[i].reply;
        enum cm_trouble got = look_up(bench, &ann);
        if (got != rows[i].want) {
            fail_msg("row %zu: %s, not %s", i, cm_trouble_name(got), cm_trouble_name(rows[i].want));
        }
        *place = kept;
        assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
    }
}

static void a_registry_that_cannot_be_read_is_trouble(void **state)
{
    static const struct {
        size_t offset;
        const char *reply;
    } rows[] = {
        {offsetof(struct fake_store, version_reply), "$1\r\nx\r\n"},
        {offsetof(struct fake_store, version_reply), "*0\r\n"},
        {offsetof(struct fake_store, senders_reply), "$-1\r\n"},
        {offsetof(struct fake_store, senders_reply), "*1\r\n$1\r\na\r\n"},
        {offsetof(struct fake_store, senders_reply), "*2\r\n$1\r\na\r\n$1\r\n{\r\n"},
        {offsetof(struct fake_store, senders_reply), "*2\r\n$1\r\na\r\n$2\r\n[]\r\n"},
        {offsetof(struct fake_store, senders_reply), "*2\r\n$1\r\na\r\n:1\r\n"},
        {offsetof(struct fake_store, senders_reply), "*2\r\n$1\r\na\r\n$19\r\n{\"id\":0,\"title\":\"\"}\r\n"},
        {offsetof(struct fake_store, senders_reply), "*0\r\n"},  /* purposes without their sender */
        {offsetof(struct fake_store, purposes_reply), "*0\r\n"}, /* statements without their purpose */
        {offsetof(struct fake_store, statements_reply), "*2\r\n$1\r\n2\r\n$2\r\n{}\r\n"},
        {offsetof(struct fake_store, statements_reply),
         "*2\r\n$3\r\n2:0\r\n$34\r\n{\"material\":false,\"effective\":1.0}\r\n"},
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char **place = (const char **)(void *)((char *)&bench->fake + rows[i].offset);
        const char *kept = *place;
        *place = rows[i].reply;
        enum cm_trouble got = look_up(bench, &ann);
        if (got != CM_TROUBLE_REGISTRY) {
            fail_msg("row %zu: %s", i, cm_trouble_name(got));
        }
        *place = kept;
    }
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_NONE);
}

static void a_subject_has_at_most_so_many_records(void **state)
{
    struct bench *bench = *state;
    for (unsigned more = 0; more < 2; more++) {
        size_t count = CM_LIMIT_RECORDS + more;
        size_t size = count * CM_RECORD_BYTES;
        char *reply = calloc(1, size + 64);
        assert_non_null(reply);
        int n = snprintf(reply, 64, "*1\r\n$%zu\r\n", size);
        for (size_t i = 0; i < size; i++) { /* no byte of it may be NUL: the script is a text */
            static const uint8_t record[CM_RECORD_BYTES] = {1, 1, 1, 1, 0x16, 0x22, 1, 1, 1, 1, 1, 1, 1, 1,
                                                            1, 1, 1, 1, 1,    1,    1, 1, 1, 1, 1, 1, 1, 1};
            reply[(size_t)n + i] = (char)record[i % CM_RECORD_BYTES];
        }
        memcpy(reply + n + size, "\r\n", 3);
        bench->fake.records_reply = reply;
        assert_int_equal(look_up(bench, &ann), more == 0 ? CM_TROUBLE_NONE : CM_TROUBLE_MALFORMED);
        bench->fake.records_reply = NULL;
        free(reply);
    }
}

static void memory_of_ours_is_trouble(void **state)
{
    struct bench *bench = *state;
    put_stop(bench, ann.exact);
    cm_arena_done(&bench->arena);
    cm_arena_init(&bench->arena, 16);
    assert_int_equal(look_up(bench, &ann), CM_TROUBLE_MEMORY);
}

static void a_look_up_has_one_to_so_many_subjects(void **state)
{
    struct bench *bench = *state;
    static struct cm_subject many[CM_LIMIT_LOOKUP_BATCH + 1];
    static struct cm_subject_records records[CM_LIMIT_LOOKUP_BATCH + 1];
    struct cm_lookup lookup = {0};
    for (size_t i = 0; i < COUNT(many); i++) {
        many[i].pepper = 1;
    }
    assert_int_equal(cm_store_lookup(bench->store, many, 0, &bench->arena, records, &lookup, &bench->err),
                     CM_TROUBLE_INTERNAL);
    assert_int_equal(cm_store_lookup(bench->store, many, COUNT(many), &bench->arena, records, &lookup, &bench->err),
                     CM_TROUBLE_INTERNAL);
    assert_int_equal(
        cm_store_lookup(bench->store, many, CM_LIMIT_LOOKUP_BATCH, &bench->arena, records, &lookup, &bench->err),
        CM_TROUBLE_NONE);
    cm_registry_unref(lookup.registry);
}

static void a_password_file_that_cannot_be_read_is_named(void **state)
{
    struct bench *bench = *state;
    static const char *const files[] = {"/nonexistent/password", "/dev/null"};
    for (size_t i = 0; i < COUNT(files); i++) {
        struct cm_store_options options = {
            .unix_path = bench->fake.redis.path, .password_file = files[i], .timeout_ms = 5000, .pool = 1};
        struct cm_store *own = bench->store;
        bench->store = cm_store_new(&options, &bench->fake.keys, NULL);
        assert_int_equal(look_up(bench, &ann), CM_TROUBLE_PASSWORD_FILE);
        assert_non_null(strstr(bench->err.text, files[i]));
        cm_store_free(bench->store);
        bench->store = own;
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_read_at_all_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(peppers_that_cannot_be_read_are_trouble, set_up, tear_down),
        CASE(records_and_the_time_of_redis_are_found),
        CASE(the_family_has_its_own_records),
        CASE(a_registry_is_fetched_once_a_version),
        CASE(facts_that_are_not_ours_are_trouble),
        CASE(a_store_that_changes_within_one_look_up_is_trouble),
        CASE(answers_of_another_shape_are_trouble),
        CASE(a_registry_that_cannot_be_read_is_trouble),
        CASE(a_subject_has_at_most_so_many_records),
        CASE(memory_of_ours_is_trouble),
        CASE(a_look_up_has_one_to_so_many_subjects),
        CASE(a_password_file_that_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
