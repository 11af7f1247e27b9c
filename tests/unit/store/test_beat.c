/* A look-up next to the keepers' beats and the doctor's verdict, and what a keeper is told. LAW-12 */
#include "fake_store.h"

#include "store/beat.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OTHER "9999999999999999999999999999999999999999"
#define IDS FAKE_RUN_ID " " FAKE_REPLICATION_ID
/* The scripted server's TIME is 1790000000000 ms. */
#define BEAT(state, ms) state " " IDS " " ms " 17"
#define FRESH BEAT("on", "1789999999000")

struct bench {
    struct fake_store fake;
    struct cm_store *store;
    struct cm_arena arena;
    struct cm_err err;
};

static const struct cm_subject ann = {
    .pepper = 1, .partition = 7, .bucket = 9, .exact = "ann-----", .family = "ann-----"};

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    fake_store_start(&bench->fake);
    bench->store = fake_store_open_with(&bench->fake, 1);
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

static enum cm_trouble look_up(struct bench *bench)
{
    struct cm_subject_records records;
    struct cm_lookup lookup = {0};
    bench->err.text[0] = '\0';
    enum cm_trouble trouble = cm_store_lookup(bench->store, &ann, 1, &bench->arena, &records, &lookup, &bench->err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_registry_unref(lookup.registry);
    } else {
        assert_null(lookup.registry);
        assert_string_not_equal(bench->err.text, "");
    }
    return trouble;
}

static void expect(struct bench *bench, const char *what, enum cm_trouble want)
{
    enum cm_trouble got = look_up(bench);
    if (got != want) {
        fail_msg("%s: %s, not %s", what != NULL ? what : "nil", cm_trouble_name(got), cm_trouble_name(want));
    }
}

static void only_a_fresh_beat_for_this_incarnation_counts(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *beat;
        enum cm_trouble want;
        const char *told; /* NULL: nothing in particular */
    } rows[] = {
        {FRESH, CM_TROUBLE_NONE, NULL},
        {NULL, CM_TROUBLE_BEAT_MISSING, "keeper a has never beaten"},
        /* age: less than 3 s by the server's clock */
        {BEAT("on", "1790000000000"), CM_TROUBLE_NONE, NULL},
        {BEAT("on", "1789999997001"), CM_TROUBLE_NONE, NULL},
        {BEAT("on", "1789999997000"), CM_TROUBLE_BEAT_STALE, "keeper a has not beaten for 3000 ms"},
        {BEAT("on", "0"), CM_TROUBLE_BEAT_STALE, NULL},
        /* a clock that was set back: such a beat would stay fresh too long */
        {BEAT("on", "1790000000001"), CM_TROUBLE_CLOCK, "keeper a has beaten 1 ms ahead"},
        {BEAT("on", "1790000003000"), CM_TROUBLE_CLOCK, NULL},
        /* incarnation */
        {"on " OTHER " " FAKE_REPLICATION_ID " 1789999999000 17", CM_TROUBLE_INCARNATION, "keeper a has not yet"},
        {"on " FAKE_RUN_ID " " OTHER " 1789999999000 17", CM_TROUBLE_INCARNATION, NULL},
        {"on " FAKE_REPLICATION_ID " " FAKE_RUN_ID " 1789999999000 17", CM_TROUBLE_INCARNATION, NULL},
        /* signed off: for this incarnation only, whatever the age */
        {BEAT("off", "1789999400001"), CM_TROUBLE_NONE, NULL},
        {BEAT("off", "1789999400000"), CM_TROUBLE_BEAT_STALE, "keeper a has not beaten for 600000 ms"},
        {BEAT("off", "1790000000001"), CM_TROUBLE_CLOCK, NULL},
        {"off " OTHER " " FAKE_REPLICATION_ID " 1789999999000 17", CM_TROUBLE_INCARNATION, NULL},
        {"off " FAKE_RUN_ID " " OTHER " 1789999999000 17", CM_TROUBLE_INCARNATION, NULL},
        /* retired: for every one */
        {"retired - - 1 0", CM_TROUBLE_NONE, NULL},
        /* no beat at all */
        {"", CM_TROUBLE_MALFORMED, "the beat of keeper a cannot be read"},
        {"on", CM_TROUBLE_MALFORMED, NULL},
        {"on " IDS " 1789999999000", CM_TROUBLE_MALFORMED, NULL},
        {FRESH " ", CM_TROUBLE_MALFORMED, NULL},
        {FRESH " more", CM_TROUBLE_MALFORMED, NULL},
        {" " FRESH, CM_TROUBLE_MALFORMED, NULL},
        {"on  " IDS " 1789999999000 17", CM_TROUBLE_MALFORMED, NULL},
        {BEAT("ON", "1789999999000"), CM_TROUBLE_MALFORMED, NULL},
        {BEAT("one", "1789999999000"), CM_TROUBLE_MALFORMED, NULL},
        {BEAT("o", "1789999999000"), CM_TROUBLE_MALFORMED, NULL},
        {BEAT("retired", "1"), CM_TROUBLE_MALFORMED, NULL},
        {"on - - 1789999999000 17", CM_TROUBLE_MALFORMED, NULL},
        {"on " FAKE_RUN_ID "1 " FAKE_REPLICATION_ID " 1789999999000 17", CM_TROUBLE_MALFORMED, NULL},
        {"on " FAKE_RUN_ID " " FAKE_REPLICATION_ID "2 1789999999000 17", CM_TROUBLE_MALFORMED, NULL},
        {BEAT("on", "-1"), CM_TROUBLE_MALFORMED, NULL},
        {BEAT("on", "1789999999.5"), CM_TROUBLE_MALFORMED, NULL},
        {BEAT("on", "281474976710656"), CM_TROUBLE_MALFORMED, NULL}, /* 2^48 */
        {BEAT("on", "99999999999999999999999"), CM_TROUBLE_MALFORMED, NULL},
        {"on " IDS " 1789999999000 x", CM_TROUBLE_MALFORMED, NULL},
        {"on " IDS " 1789999999000 18446744073709551615", CM_TROUBLE_NONE, NULL},
        {"on " IDS " 1789999999000 18446744073709551616", CM_TROUBLE_MALFORMED, NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench->fake.beats[0] = rows[i].beat;
        expect(bench, rows[i].beat, rows[i].want);
        if (rows[i].told != NULL && strstr(bench->err.text, rows[i].told) == NULL) {
            fail_msg("%s: %s", rows[i].told, bench->err.text);
        }
    }
}

static void every_keeper_must_have_beaten(void **state)
{
    struct bench *bench = *state;
    static const size_t counts[] = {0, 1, 2, 3, FAKE_KEEPERS};
    for (size_t c = 0; c < COUNT(counts); c++) {
        struct cm_store *own = bench->store;
        bench->store = fake_store_open_with(&bench->fake, counts[c]);
        assert_non_null(bench->store);
        for (size_t i = 0; i < FAKE_KEEPERS; i++) {
            bench->fake.beats[i] = FRESH;
        }
        expect(bench, "all", CM_TROUBLE_NONE);
        for (size_t i = 0; i < FAKE_KEEPERS; i++) {
            bench->fake.beats[i] = BEAT("on", "1789999997000");
            expect(bench, "all but one", i < counts[c] ? CM_TROUBLE_BEAT_STALE : CM_TROUBLE_NONE);
            bench->fake.beats[i] = FRESH;
        }
        cm_store_free(bench->store);
        bench->store = own;
    }
}

static void more_keepers_or_longer_names_than_can_be_are_refused(void **state)
{
    struct bench *bench = *state;
    static const char *const names[CM_LIMIT_KEEPERS + 1] = {"a", "a", "a", "a", "a", "a", "a", "a", "a",
                                                            "a", "a", "a", "a", "a", "a", "a", "a"};
    static const char *const long_name[] = {"abcdefghijklmnopqrstuvwxyz0123456"};
    struct cm_store_options options = {
        .unix_path = "/", .timeout_ms = 1, .pool = 1, .keepers = names, .keeper_count = COUNT(names)};
    assert_null(cm_store_new(&options, &bench->fake.keys, &bench->err));
    options.keepers = long_name;
    options.keeper_count = 1;
    assert_null(cm_store_new(&options, &bench->fake.keys, &bench->err));
}

static void a_beat_of_another_type_is_malformed(void **state)
{
    struct bench *bench = *state;
#define HEAD "$32\r\n" FAKE_STORE_ID "\r\n$1\r\n1\r\n$1\r\n1\r\n$1\r\n1\r\n$18\r\n" FAKE_PEPPERS "\r\n"
    static const char *const replies[] = {"*7\r\n" HEAD "$-1\r\n:1\r\n", "*7\r\n" HEAD "$-1\r\n*0\r\n",
                                          "*7\r\n" HEAD ":1\r\n$-1\r\n", "*6\r\n" HEAD "$-1\r\n",
                                          "*8\r\n" HEAD "$-1\r\n$-1\r\n$-1\r\n"};
    for (size_t i = 0; i < COUNT(replies); i++) {
        bench->fake.facts_reply = replies[i];
        expect(bench, replies[i], CM_TROUBLE_MALFORMED);
    }
}

static void a_new_replication_id_costs_one_more_try(void **state)
{
    struct bench *bench = *state;
    bench->fake.beats[0] = FRESH;
    expect(bench, "before", CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.redis.accepted, 1);
    /* The server keeps its run and its clients, and so do we: until a beat tells of the change. */
    bench->fake.replication_id = OTHER;
    expect(bench, "not yet known", CM_TROUBLE_NONE);
    bench->fake.beats[0] = "on " FAKE_RUN_ID " " OTHER " 1789999999000 17";
    expect(bench, "known", CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.redis.accepted, 2);
    expect(bench, "afterwards", CM_TROUBLE_NONE);
    assert_int_equal(bench->fake.redis.accepted, 2);
}

static void a_keeper_that_lags_behind_does_not_cost_a_connection_each_time(void **state)
{
    struct bench *bench = *state;
    bench->fake.beats[0] = "on " OTHER " " OTHER " 1789999999000 17";
    for (unsigned i = 0; i < 20; i++) {
        expect(bench, "of yesterday", CM_TROUBLE_INCARNATION);
    }
    assert_in_range(bench->fake.redis.accepted, 2, 10); /* the second and later ones a second apart */
    bench->fake.beats[0] = FRESH;
    expect(bench, "come", CM_TROUBLE_NONE);
}

static void the_doctors_verdict_on_this_run_counts(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *doctor;
        enum cm_trouble want;
        bool is_missing;
    } rows[] = {
        {NULL, CM_TROUBLE_NONE, true},
        {FAKE_RUN_ID " good 1789999999000 ", CM_TROUBLE_NONE, false},
        {FAKE_RUN_ID " good 1789999999000", CM_TROUBLE_NONE, false},
        {FAKE_RUN_ID " bad 1789999999000 appendfsync is everysec", CM_TROUBLE_DOCTOR, false},
        {FAKE_RUN_ID " bad 1789999999000", CM_TROUBLE_DOCTOR, false},
        {FAKE_RUN_ID " bad 1 ", CM_TROUBLE_DOCTOR, false}, /* however old: it is of this run */
        {OTHER " bad 1789999999000 x", CM_TROUBLE_NONE, true},
        {OTHER " good 1789999999000 x", CM_TROUBLE_NONE, true},
        {"", CM_TROUBLE_MALFORMED, false},
        {FAKE_RUN_ID, CM_TROUBLE_MALFORMED, false},
        {FAKE_RUN_ID " good", CM_TROUBLE_MALFORMED, false},
        {FAKE_RUN_ID " good x ", CM_TROUBLE_MALFORMED, false},
        {FAKE_RUN_ID " fine 1789999999000 ", CM_TROUBLE_MALFORMED, false},
        {FAKE_RUN_ID " GOOD 1789999999000 ", CM_TROUBLE_MALFORMED, false},
        {"- good 1789999999000 ", CM_TROUBLE_MALFORMED, false},
        {OTHER " fine 1789999999000 ", CM_TROUBLE_MALFORMED, false},
    };
    bench->fake.beats[0] = FRESH;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench->fake.doctor = rows[i].doctor;
        expect(bench, rows[i].doctor, rows[i].want);
        if (rows[i].want == CM_TROUBLE_NONE) {
            assert_int_equal(cm_store_doctor_is_missing(bench->store), rows[i].is_missing);
        }
    }
    bench->fake.doctor = rows[3].doctor;
    expect(bench, "its words", CM_TROUBLE_DOCTOR);
    assert_non_null(strstr(bench->err.text, "appendfsync is everysec"));
}

/* --- what a keeper writes and reads --- */

static struct cm_beat_result beat(struct bench *bench, const char *reply)
{
    const struct cm_beat given = {.keeper = "a",
                                  .state = CM_BEAT_ON,
                                  .incarnation = {.run_id = FAKE_RUN_ID, .replication_id = FAKE_REPLICATION_ID},
                                  .deadline = 1790000001500,
                                  .partition = 0x3ff,
                                  .mark = 16,
                                  .journal = 17};
    struct cm_beat_result result = {.status = CM_BEAT_STATUS_UNSET};
    bench->fake.beat_reply = reply;
    bench->err.text[0] = '\0';
    cm_store_beat(bench->store, &given, &result, &bench->err);
    assert_int_equal(result.status == CM_BEAT_DONE, bench->err.text[0] == '\0');
    assert_int_equal(result.status == CM_BEAT_TROUBLE, result.trouble != CM_TROUBLE_NONE);
    return result;
}

static void every_answer_to_a_beat_has_its_status(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *reply;
        enum cm_beat_status want;
        enum cm_trouble trouble;
    } rows[] = {
        {"*2\r\n$4\r\nbeat\r\n$13\r\n1790000000123\r\n", CM_BEAT_DONE, CM_TROUBLE_NONE},
        {"-LATE the beat arrived after its deadline\r\n", CM_BEAT_LATE, CM_TROUBLE_NONE},
        {"-ROLLBACK the store has lost\r\n", CM_BEAT_ROLLBACK, CM_TROUBLE_NONE},
        {"-RETIRED this keeper\r\n", CM_BEAT_KEEPER_RETIRED, CM_TROUBLE_NONE},
        {"-FOREIGN another store, or none\r\n", CM_BEAT_FOREIGN, CM_TROUBLE_NONE},
        {"-LATER than never\r\n", CM_BEAT_TROUBLE, CM_TROUBLE_ERROR_REPLY},
        {"-ERR Function not found\r\n", CM_BEAT_TROUBLE, CM_TROUBLE_NO_FUNCTION},
        {"-MISCONF Errors writing to the AOF file\r\n", CM_BEAT_TROUBLE, CM_TROUBLE_CANNOT_WRITE},
        {"$4\r\nbeat\r\n", CM_BEAT_TROUBLE, CM_TROUBLE_MALFORMED},
        {"*2\r\n$4\r\nbeat\r\n$1\r\nx\r\n", CM_BEAT_TROUBLE, CM_TROUBLE_MALFORMED},
        {"*2\r\n$4\r\nmeat\r\n$1\r\n1\r\n", CM_BEAT_TROUBLE, CM_TROUBLE_MALFORMED},
        {"*1\r\n$4\r\nbeat\r\n", CM_BEAT_TROUBLE, CM_TROUBLE_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_beat_result got = beat(bench, rows[i].reply);
        if (got.status != rows[i].want || got.trouble != rows[i].trouble) {
            fail_msg("%s: status %d, %s", rows[i].reply, got.status, cm_trouble_name(got.trouble));
        }
        assert_string_equal(got.incarnation.run_id, FAKE_RUN_ID);
        assert_int_equal(got.at, rows[i].want == CM_BEAT_DONE ? 1790000000123 : 0);
    }
}

static void a_beat_that_another_incarnation_answers_is_told_so(void **state)
{
    struct bench *bench = *state;
    bench->fake.replication_id = OTHER;
    struct cm_beat_result got = beat(bench, "*2\r\n$4\r\nbeat\r\n$13\r\n1790000000123\r\n");
    assert_int_equal(got.status, CM_BEAT_OTHER_INCARNATION);
    assert_string_equal(got.incarnation.replication_id, OTHER);
    fake_order(&bench->fake.redis, 'r');
    fake_order(&bench->fake.redis, 'd');
    got = beat(bench, NULL);
    assert_int_equal(got.status, CM_BEAT_TROUBLE);
    assert_string_equal(got.incarnation.run_id, "");
}

static void all_beats_are_read_with_time_and_incarnation(void **state)
{
    struct bench *bench = *state;
    static struct cm_beats beats;
#define ON "$113\r\non " IDS " 1789999999000 12345678901234\r\n"
    bench->fake.all_facts_reply = "*10\r\n$5\r\nstore\r\n$1\r\nx\r\n$6\r\nbeat:b\r\n" ON
                                  "$38\r\nbeat:abcdefghijklmnopqrstuvwxyz0123456\r\n" ON
                                  "$6\r\nbeat:c\r\n$17\r\nretired - - 5 000\r\n$6\r\nbeat:d\r\n$0\r\n\r\n";
    assert_int_equal(cm_store_beats(bench->store, &beats, &bench->err), CM_TROUBLE_NONE);
    assert_int_equal(beats.now, 1790000000000);
    assert_string_equal(beats.incarnation.run_id, FAKE_RUN_ID);
    assert_int_equal(beats.count, 4);
    assert_int_equal(beats.left_off, 0);
    assert_string_equal(beats.beats[0].keeper, "b");
    assert_int_equal(beats.beats[0].state, CM_BEAT_ON);
    assert_int_equal(beats.beats[0].at, 1789999999000);
    assert_int_equal(beats.beats[0].journal, 12345678901234);
    assert_true(cm_incarnation_is_same(&beats.beats[0].incarnation, &beats.incarnation));
    assert_int_equal(beats.beats[1].state, CM_BEAT_UNSET); /* no keeper has such a name */
    assert_int_equal(beats.beats[2].state, CM_BEAT_RETIRED);
    assert_false(cm_incarnation_is_same(&beats.beats[2].incarnation, &beats.beats[2].incarnation)); /* of none */
    assert_int_equal(beats.beats[3].state, CM_BEAT_UNSET);
    static const char *const wrong[] = {"*1\r\n$1\r\na\r\n", "$1\r\na\r\n", "$-1\r\n"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        bench->fake.all_facts_reply = wrong[i];
        assert_int_equal(cm_store_beats(bench->store, &beats, &bench->err), CM_TROUBLE_MALFORMED);
    }
    bench->fake.all_facts_reply = "*0\r\n";
    bench->fake.facts[0] = NULL;
    assert_int_equal(cm_store_beats(bench->store, &beats, &bench->err), CM_TROUBLE_NO_STORE);
}

static void more_beats_than_are_read_are_counted(void **state)
{
    struct bench *bench = *state;
    static struct cm_beats beats;
    char reply[4096];
    size_t len = (size_t)snprintf(reply, sizeof(reply), "*%d\r\n", 2 * (CM_BEATS_MAX + 2)); /* fits, as the next */
    for (unsigned i = 0; i < CM_BEATS_MAX + 2; i++) {
        len += (size_t)snprintf(reply + len, sizeof(reply) - len, "$8\r\nbeat:%03u\r\n$15\r\nretired - - 5 0\r\n", i);
    }
    bench->fake.all_facts_reply = reply;
    assert_int_equal(cm_store_beats(bench->store, &beats, &bench->err), CM_TROUBLE_NONE);
    assert_int_equal(beats.count, CM_BEATS_MAX);
    assert_int_equal(beats.left_off, 2);
}

static void states_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "on", "off", "retired"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *got = cm_beat_state_name((enum cm_beat_state)i);
        assert_true(names[i] == NULL ? got == NULL : got != NULL && strcmp(got, names[i]) == 0);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(only_a_fresh_beat_for_this_incarnation_counts),
        CASE(every_keeper_must_have_beaten),
        CASE(more_keepers_or_longer_names_than_can_be_are_refused),
        CASE(a_beat_of_another_type_is_malformed),
        CASE(a_new_replication_id_costs_one_more_try),
        CASE(a_keeper_that_lags_behind_does_not_cost_a_connection_each_time),
        CASE(the_doctors_verdict_on_this_run_counts),
        CASE(every_answer_to_a_beat_has_its_status),
        CASE(a_beat_that_another_incarnation_answers_is_told_so),
        CASE(all_beats_are_read_with_time_and_incarnation),
        CASE(more_beats_than_are_read_are_counted),
        cmocka_unit_test(states_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
