/* The judgement: each thing that can be wrong, found by its name and weight; what is not known is never told as good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/doctor.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define RUN_ID "0123456789012345678901234567890123456789"
#define OTHER_ID "abcdefabcdefabcdefabcdefabcdefabcdefabcd"
#define NOW 1790000000000

static const char *const good[CM_SERVER_ITEM_COUNT] = {
    [CM_SERVER_VERSION] = "7.0.15",
    [CM_SERVER_RUN_ID] = RUN_ID,
    [CM_SERVER_REPLICATION_ID] = OTHER_ID,
    [CM_SERVER_ROLE] = "master",
    [CM_SERVER_REPLICAS] = "0",
    [CM_SERVER_CLUSTER] = "0",
    [CM_SERVER_AOF] = "1",
    [CM_SERVER_AOF_WRITE] = "ok",
    [CM_SERVER_POLICY] = "noeviction",
    [CM_SERVER_MAXMEMORY] = "1000000000",
    [CM_SERVER_USED] = "1000000",
    [CM_SERVER_RESIDENT] = "2000000",
    [CM_SERVER_SYSTEM_MEMORY] = "2000000000",
    [CM_SERVER_FSYNC] = "always",
    [CM_SERVER_NO_FSYNC_ON_REWRITE] = "no",
    [CM_SERVER_SAVE] = "",
    [CM_SERVER_LISTPACK_ENTRIES] = "512",
    [CM_SERVER_LISTPACK_VALUE] = "1024",
    [CM_SERVER_BUSY_THRESHOLD] = "1000",
    [CM_SERVER_MIN_REPLICAS] = "0",
    [CM_SERVER_MAX_LAG] = "10",
};

static const char *const keepers[] = {"mx1"};

struct bench {
    struct cm_doctor_facts facts;
    struct cm_findings findings;
};

static void tell(struct cm_doctor_facts *facts, enum cm_server_item item, const char *text)
{
    facts->server.items[item].answer = CM_SERVER_TOLD;
    (void)snprintf(facts->server.items[item].text, CM_SERVER_TEXT_BYTES, "%s", text); /* as the reader cuts it */
}

static void beat(struct cm_doctor_facts *facts, const char *keeper, enum cm_beat_state state, const char *run_id,
                 cm_ms at)
{
    struct cm_kept_beat *row = &facts->beats.beats[facts->beats.count++];
    row->state = state;
    row->at = at;
    (void)snprintf(row->keeper, sizeof(row->keeper), "%s", keeper); /* fits, as the next */
    (void)snprintf(row->incarnation.run_id, sizeof(row->incarnation.run_id), "%s", run_id);
    row->incarnation.replication_id[0] = 'r';
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    struct cm_doctor_facts *facts = &bench->facts;
    for (size_t i = 0; i < CM_SERVER_ITEM_COUNT; i++) {
        tell(facts, (enum cm_server_item)i, good[i]);
    }
    facts->server.user = (struct cm_server_value){CM_SERVER_TOLD, "doctor"};
    facts->server.library = CM_LIBRARY_SAME;
    facts->server.now = facts->asked_at = facts->answered_at = NOW;
    facts->door = CM_DOOR_CLOSED;
    facts->partitions_known = facts->ledger_known = facts->beats_known = true;
    facts->partitions.trouble = CM_TROUBLE_NONE;
    facts->newest_ledger = NOW;
    facts->beats.now = NOW;
    facts->beats.incarnation = (struct cm_incarnation){RUN_ID, "r"};
    facts->keepers = keepers;
    facts->keeper_count = COUNT(keepers);
    beat(facts, "mx1", CM_BEAT_ON, RUN_ID, NOW - 1000);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

/* Judges anew and returns the weight of the one finding with this name, GOOD if there is none; all others must be good.
 */
static enum cm_health judged(struct bench *bench, const char *name)
{
    enum cm_health health = CM_HEALTH_GOOD;
    bench->findings.count = 0;
    cm_doctor_judge(&bench->facts, &bench->findings);
    for (size_t i = 0; i < bench->findings.count; i++) {
        const struct cm_finding *finding = &bench->findings.rows[i];
        bool is_it = strcmp(finding->name, name) == 0;
        assert_string_not_equal(finding->found, "");
        if (finding->health == CM_HEALTH_GOOD) {
            assert_string_equal(finding->advice, "");
            continue;
        }
        assert_string_not_equal(finding->advice, "");
        if (!is_it) {
            fail_msg("%s: also found %s: %s", name, finding->name, finding->found);
        }
        health = finding->health;
    }
    return health;
}

static void a_fit_server_is_good(void **state)
{
    struct bench *bench = *state;
    char text[201];
    assert_int_equal(judged(bench, ""), CM_HEALTH_GOOD);
    assert_int_equal(cm_findings_worst(&bench->findings), CM_HEALTH_GOOD);
    assert_true(bench->findings.count > 15);
    assert_int_equal(cm_doctor_verdict(&bench->facts.server, text), CM_HEALTH_GOOD);
    assert_string_equal(text, "");
}

static void each_item_is_judged_at_both_sides_of_its_bound(void **state)
{
    static const struct {
        enum cm_server_item item;
        const char *text;
        const char *name;
        enum cm_health health;
    } cases[] = {
        {CM_SERVER_VERSION, "6.2.14", "version", CM_HEALTH_BAD},
        {CM_SERVER_VERSION, "7.0.0", "version", CM_HEALTH_GOOD},
        {CM_SERVER_VERSION, "10.0", "version", CM_HEALTH_GOOD},
        {CM_SERVER_VERSION, "new", "version", CM_HEALTH_UNKNOWN},
        {CM_SERVER_VERSION, "", "version", CM_HEALTH_UNKNOWN},
        {CM_SERVER_ROLE, "slave", "role", CM_HEALTH_BAD},
        {CM_SERVER_CLUSTER, "1", "cluster", CM_HEALTH_WARN},
        {CM_SERVER_AOF, "0", "appendonly", CM_HEALTH_BAD},
        {CM_SERVER_AOF, "", "appendonly", CM_HEALTH_BAD},
        {CM_SERVER_FSYNC, "everysec", "appendfsync", CM_HEALTH_BAD},
        {CM_SERVER_FSYNC, "no", "appendfsync", CM_HEALTH_BAD},
        {CM_SERVER_FSYNC, "always ", "appendfsync", CM_HEALTH_BAD},
        {CM_SERVER_NO_FSYNC_ON_REWRITE, "yes", "no-appendfsync-on-rewrite", CM_HEALTH_BAD},
        {CM_SERVER_POLICY, "allkeys-lru", "maxmemory-policy", CM_HEALTH_BAD},
        {CM_SERVER_POLICY, "volatile-ttl", "maxmemory-policy", CM_HEALTH_BAD},
        {CM_SERVER_AOF_WRITE, "err", "aof-write", CM_HEALTH_BAD},
        {CM_SERVER_SAVE, "3600 1", "save", CM_HEALTH_WARN},
        {CM_SERVER_LISTPACK_ENTRIES, "511", "hash-max-listpack-entries", CM_HEALTH_WARN},
        {CM_SERVER_LISTPACK_ENTRIES, "513", "hash-max-listpack-entries", CM_HEALTH_GOOD},
        {CM_SERVER_LISTPACK_VALUE, "64", "hash-max-listpack-value", CM_HEALTH_WARN},
        {CM_SERVER_LISTPACK_VALUE, "1023", "hash-max-listpack-value", CM_HEALTH_WARN},
        {CM_SERVER_LISTPACK_VALUE, "-1", "hash-max-listpack-value", CM_HEALTH_UNKNOWN},
        {CM_SERVER_BUSY_THRESHOLD, "5000", "busy-reply-threshold", CM_HEALTH_WARN},
        {CM_SERVER_BUSY_THRESHOLD, "0", "busy-reply-threshold", CM_HEALTH_WARN},
        {CM_SERVER_BUSY_THRESHOLD, "1", "busy-reply-threshold", CM_HEALTH_GOOD},
        {CM_SERVER_MAXMEMORY, "0", "maxmemory", CM_HEALTH_WARN},
        {CM_SERVER_USED, "799000000", "memory", CM_HEALTH_GOOD},
        {CM_SERVER_USED, "800000000", "memory", CM_HEALTH_WARN},
        {CM_SERVER_USED, "949000000", "memory", CM_HEALTH_WARN},
        {CM_SERVER_USED, "950000000", "memory", CM_HEALTH_BAD},
        {CM_SERVER_USED, "18446744073709551615", "memory", CM_HEALTH_BAD},
        {CM_SERVER_USED, "much", "memory", CM_HEALTH_UNKNOWN},
        {CM_SERVER_RESIDENT, "1000000000", "fork", CM_HEALTH_GOOD},
        {CM_SERVER_RESIDENT, "1000000001", "fork", CM_HEALTH_WARN},
        {CM_SERVER_MAXMEMORY, "1500000000", "fork", CM_HEALTH_GOOD},
        {CM_SERVER_MAXMEMORY, "1500000001", "fork", CM_HEALTH_WARN},
        {CM_SERVER_SYSTEM_MEMORY, "0", "memory", CM_HEALTH_UNKNOWN},
        {CM_SERVER_REPLICAS, "1", "min-replicas", CM_HEALTH_WARN},
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        tell(&bench->facts, cases[i].item, cases[i].text);
        enum cm_health health = judged(bench, cases[i].name);
        if (health != cases[i].health) {
            fail_msg("%s %s is %s", cases[i].name, cases[i].text, cm_health_name(health));
        }
        tell(&bench->facts, cases[i].item, good[cases[i].item]);
    }
}

static void replicas_make_a_master_wait_for_them(void **state)
{
    static const struct {
        const char *least;
        const char *lag;
        enum cm_health health;
    } cases[] = {{"0", "2", CM_HEALTH_WARN},
                 {"1", "2", CM_HEALTH_GOOD},
                 {"1", "3", CM_HEALTH_WARN},
                 {"1", "0", CM_HEALTH_WARN},
                 {"x", "2", CM_HEALTH_UNKNOWN}};
    struct bench *bench = *state;
    tell(&bench->facts, CM_SERVER_REPLICAS, "2");
    for (size_t i = 0; i < COUNT(cases); i++) {
        tell(&bench->facts, CM_SERVER_MIN_REPLICAS, cases[i].least);
        tell(&bench->facts, CM_SERVER_MAX_LAG, cases[i].lag);
        assert_int_equal(judged(bench, "min-replicas"), cases[i].health);
    }
}

static void what_is_not_told_is_not_known(void **state)
{
    static const enum cm_server_answer answers[] = {CM_SERVER_UNASKED, CM_SERVER_ABSENT, CM_SERVER_FORBIDDEN};
    struct bench *bench = *state;
    for (size_t i = 0; i < CM_SERVER_ITEM_COUNT; i++) {
        bool unjudged = i == CM_SERVER_RUN_ID || i == CM_SERVER_REPLICATION_ID || i == CM_SERVER_REPLICAS ||
                        i == CM_SERVER_MIN_REPLICAS || i == CM_SERVER_MAX_LAG;
        for (size_t a = 0; a < COUNT(answers); a++) {
            bench->facts.server.items[i].answer = answers[a];
            bench->findings.count = 0;
            cm_doctor_judge(&bench->facts, &bench->findings);
            assert_int_equal(cm_findings_worst(&bench->findings), unjudged ? CM_HEALTH_GOOD : CM_HEALTH_UNKNOWN);
        }
        bench->facts.server.items[i].answer = CM_SERVER_TOLD;
    }
    bench->facts.server.user.answer = CM_SERVER_FORBIDDEN;
    assert_int_equal(judged(bench, "user"), CM_HEALTH_UNKNOWN);
    bench->facts.server.user.answer = CM_SERVER_TOLD;
    bench->facts.partitions_known = false;
    assert_int_equal(judged(bench, "store"), CM_HEALTH_UNKNOWN);
    bench->facts.partitions_known = true;
    bench->facts.ledger_known = false;
    assert_int_equal(judged(bench, "ledger-clock"), CM_HEALTH_UNKNOWN);
    bench->facts.ledger_known = true;
    bench->facts.beats_known = false;
    assert_int_equal(judged(bench, "keeper"), CM_HEALTH_UNKNOWN);
}

static void functions_door_and_user(void **state)
{
    static const struct {
        enum cm_server_library library;
        enum cm_server_door door;
        const char *user;
        const char *name;
        enum cm_health health;
    } cases[] = {
        {CM_LIBRARY_UNSET, CM_DOOR_CLOSED, "doctor", "functions", CM_HEALTH_UNKNOWN},
        {CM_LIBRARY_OTHER, CM_DOOR_CLOSED, "doctor", "functions", CM_HEALTH_BAD},
        {CM_LIBRARY_NONE, CM_DOOR_CLOSED, "doctor", "functions", CM_HEALTH_BAD},
        {CM_LIBRARY_FORBIDDEN, CM_DOOR_CLOSED, "doctor", "functions", CM_HEALTH_UNKNOWN},
        {CM_LIBRARY_SAME, CM_DOOR_UNSET, "doctor", "default-user", CM_HEALTH_UNKNOWN},
        {CM_LIBRARY_SAME, CM_DOOR_OPEN, "doctor", "default-user", CM_HEALTH_WARN},
        {CM_LIBRARY_SAME, CM_DOOR_AJAR, "doctor", "default-user", CM_HEALTH_WARN},
        {CM_LIBRARY_SAME, CM_DOOR_UNKNOWN, "doctor", "default-user", CM_HEALTH_UNKNOWN},
        {CM_LIBRARY_SAME, CM_DOOR_CLOSED, "default", "user", CM_HEALTH_WARN},
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        bench->facts.server.library = cases[i].library;
        bench->facts.door = cases[i].door;
        (void)snprintf(bench->facts.server.user.text, CM_SERVER_TEXT_BYTES, "%s", cases[i].user); /* fits */
        assert_int_equal(judged(bench, cases[i].name), cases[i].health);
    }
}

static void partitions_that_differ(void **state)
{
    struct bench *bench = *state;
    bench->facts.partitions = (struct cm_server_partitions){.trouble = CM_TROUBLE_NONE, .unannounced = 1};
    assert_int_equal(judged(bench, "store"), CM_HEALTH_WARN);
    bench->facts.partitions = (struct cm_server_partitions){
        .wrong = 1, .first_wrong = 77, .trouble = CM_TROUBLE_FOREIGN, .text = "another store"};
    assert_int_equal(judged(bench, "store"), CM_HEALTH_BAD);
    for (size_t i = 0; i < bench->findings.count; i++) {
        if (strcmp(bench->findings.rows[i].name, "store") == 0) {
            assert_non_null(strstr(bench->findings.rows[i].found, "77"));
            assert_string_equal(bench->findings.rows[i].advice, cm_trouble_advice(CM_TROUBLE_FOREIGN));
        }
    }
}

static void clocks_that_differ(void **state)
{
    static const struct {
        cm_ms server;
        cm_ms asked;
        cm_ms answered;
        enum cm_health health;
    } cases[] = {
        {NOW, NOW - 5000, NOW + 5000, CM_HEALTH_GOOD}, /* anywhere in between is right */
        {NOW, NOW - 5000, NOW - 2000, CM_HEALTH_GOOD},   {NOW, NOW - 5000, NOW - 2001, CM_HEALTH_WARN},
        {NOW, NOW + 2000, NOW + 5000, CM_HEALTH_GOOD},   {NOW, NOW + 2001, NOW + 5000, CM_HEALTH_WARN},
        {NOW, NOW - 70000, NOW - 60000, CM_HEALTH_WARN}, {NOW, NOW - 70000, NOW - 60001, CM_HEALTH_BAD},
        {NOW, NOW + 60001, NOW + 60001, CM_HEALTH_BAD},
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        bench->facts.server.now = cases[i].server;
        bench->facts.asked_at = cases[i].asked;
        bench->facts.answered_at = cases[i].answered;
        assert_int_equal(judged(bench, "clock"), cases[i].health);
    }
    bench->facts.asked_at = bench->facts.answered_at = NOW;
    bench->facts.newest_ledger = NOW + 1;
    assert_int_equal(judged(bench, "ledger-clock"), CM_HEALTH_BAD);
    bench->facts.newest_ledger = 0;
    assert_int_equal(judged(bench, "ledger-clock"), CM_HEALTH_GOOD);
}

/* LAW-12 */
static void keepers_and_their_beats(void **state)
{
    static const struct {
        const char *keeper;
        enum cm_beat_state state;
        const char *run_id;
        cm_ms at;
        enum cm_health health;
    } cases[] = {
        {"mx1", CM_BEAT_ON, RUN_ID, NOW, CM_HEALTH_GOOD},
        {"mx1", CM_BEAT_ON, RUN_ID, NOW - 2999, CM_HEALTH_GOOD},
        {"mx1", CM_BEAT_ON, RUN_ID, NOW - 3000, CM_HEALTH_BAD},
        {"mx1", CM_BEAT_ON, OTHER_ID, NOW, CM_HEALTH_BAD},
        {"mx1", CM_BEAT_ON, "", NOW, CM_HEALTH_BAD},
        {"mx1", CM_BEAT_OFF, RUN_ID, NOW - 599999, CM_HEALTH_GOOD},
        {"mx1", CM_BEAT_OFF, RUN_ID, NOW - 600000, CM_HEALTH_BAD},
        {"mx1", CM_BEAT_OFF, OTHER_ID, NOW, CM_HEALTH_BAD},
        {"mx1", CM_BEAT_RETIRED, "", NOW, CM_HEALTH_WARN},
        {"mx1", CM_BEAT_UNSET, RUN_ID, NOW, CM_HEALTH_BAD},
        {"mx2", CM_BEAT_ON, RUN_ID, NOW, CM_HEALTH_BAD}, /* mx1 is missing */
    };
    struct bench *bench = *state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        bench->facts.beats.count = 0;
        beat(&bench->facts, cases[i].keeper, cases[i].state, cases[i].run_id, cases[i].at);
        bench->findings.count = 0;
        cm_doctor_judge_keepers(&bench->facts, &bench->findings);
        if (cm_findings_worst(&bench->findings) != cases[i].health) {
            fail_msg("case %zu: %s", i, bench->findings.rows[0].found);
        }
    }
}

static void keepers_that_nobody_waits_for(void **state)
{
    struct bench *bench = *state;
    beat(&bench->facts, "mx9", CM_BEAT_RETIRED, "", NOW);
    assert_int_equal(judged(bench, "keeper"), CM_HEALTH_GOOD);
    beat(&bench->facts, "mx8", CM_BEAT_OFF, RUN_ID, NOW);
    assert_int_equal(judged(bench, "keeper"), CM_HEALTH_WARN);
    bench->facts.beats.count = 0;
    bench->facts.keeper_count = 0;
    assert_int_equal(judged(bench, "keeper"), CM_HEALTH_WARN);
    bench->facts.beats.left_off = 1;
    assert_int_equal(judged(bench, "keeper"), CM_HEALTH_UNKNOWN);
}

/* LAW-11: the verdict names what is missing, and nothing but what an acknowledgement needs. */
static void the_verdict_is_about_the_needs(void **state)
{
    struct bench *bench = *state;
    struct cm_server *server = &bench->facts.server;
    size_t count = 0;
    char text[201];
    const struct cm_server_need *needs = cm_server_needs(&count);
    for (size_t i = 0; i < count; i++) {
        server->items[needs[i].item].answer = CM_SERVER_FORBIDDEN;
        assert_int_equal(cm_doctor_verdict(server, text), CM_HEALTH_UNKNOWN);
        tell(&bench->facts, needs[i].item, "something else");
        assert_int_equal(cm_doctor_verdict(server, text), CM_HEALTH_BAD);
        assert_string_equal(text, needs[i].setting);
        bench->findings.count = 0;
        cm_doctor_judge(&bench->facts, &bench->findings); /* and each of them is a finding */
        assert_int_equal(cm_findings_worst(&bench->findings), CM_HEALTH_BAD);
        tell(&bench->facts, needs[i].item, needs[i].wanted);
    }
    tell(&bench->facts, CM_SERVER_AOF_WRITE, "err");
    tell(&bench->facts, CM_SERVER_SAVE, "60 1");
    assert_int_equal(cm_doctor_verdict(server, text), CM_HEALTH_GOOD);
    for (size_t i = 0; i < count; i++) {
        tell(&bench->facts, needs[i].item, "something else");
    }
    server->items[needs[0].item].answer = CM_SERVER_FORBIDDEN; /* one bad thing is enough, whatever the rest */
    assert_int_equal(cm_doctor_verdict(server, text), CM_HEALTH_BAD);
    assert_non_null(strstr(text, needs[count - 1].setting));
    assert_null(strstr(text, needs[0].setting));
    assert_in_range(strlen(text), 1, 200);
}

static void too_many_findings_are_told(void **state)
{
    struct bench *bench = *state;
    for (size_t i = 0; i < CM_FINDINGS_MAX; i++) {
        cm_findings_add(&bench->findings, "x", CM_HEALTH_GOOD, "", "%zu", i);
    }
    assert_int_equal(cm_findings_worst(&bench->findings), CM_HEALTH_GOOD);
    cm_findings_add(&bench->findings, "x", CM_HEALTH_BAD, "do it", "one more");
    assert_int_equal(bench->findings.count, CM_FINDINGS_MAX);
    assert_int_equal(cm_findings_worst(&bench->findings), CM_HEALTH_BAD);
    cm_findings_add(&bench->findings, "x", CM_HEALTH_GOOD, "", "and one more");
    assert_int_equal(cm_findings_worst(&bench->findings), CM_HEALTH_BAD);
    bench->findings.rows[CM_FINDINGS_MAX - 1].health = CM_HEALTH_GOOD;
    cm_findings_add(&bench->findings, "x", CM_HEALTH_GOOD, "", "and another");
    assert_int_equal(cm_findings_worst(&bench->findings), CM_HEALTH_UNKNOWN);
}

static void nothing_found_is_not_good(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(cm_findings_worst(&bench->findings), CM_HEALTH_UNSET);
    assert_string_equal(cm_health_name(CM_HEALTH_UNSET), "unset");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_fit_server_is_good),
        TEST(each_item_is_judged_at_both_sides_of_its_bound),
        TEST(replicas_make_a_master_wait_for_them),
        TEST(what_is_not_told_is_not_known),
        TEST(functions_door_and_user),
        TEST(partitions_that_differ),
        TEST(clocks_that_differ),
        TEST(keepers_and_their_beats),
        TEST(keepers_that_nobody_waits_for),
        TEST(the_verdict_is_about_the_needs),
        TEST(too_many_findings_are_told),
        TEST(nothing_found_is_not_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
