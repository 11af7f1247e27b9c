#include "service/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define VERDICT_BYTES 201
#define SKEW_WARN_MS 2000
#define SKEW_BAD_MS 60000
#define FULL_WARN_PERCENT 80
#define FULL_BAD_PERCENT 95

enum test { TEST_IS, TEST_RANGE, TEST_VERSION };

/* One row for each thing that one item alone decides. What fails it is `otherwise`. */
static const struct row {
    const char *name;
    enum cm_server_item item;
    enum test test;
    const char *wanted; /* IS */
    uint64_t least;     /* RANGE; VERSION: the major number */
    uint64_t most;
    enum cm_health otherwise;
    const char *advice;
} rows[] = {
    {"version", CM_SERVER_VERSION, TEST_VERSION, NULL, 7, 0, CM_HEALTH_BAD,
     "Install Redis 7.0 or newer: older ones have no functions."},
    {"role", CM_SERVER_ROLE, TEST_IS, "master", 0, 0, CM_HEALTH_BAD,
     "Let store.url name the master; a replica answers with old data."},
    {"cluster", CM_SERVER_CLUSTER, TEST_IS, "0", 0, 0, CM_HEALTH_WARN,
     "This version does not follow a Redis Cluster: use a server without cluster-enabled."},
    {"appendonly", CM_SERVER_AOF, TEST_IS, "1", 0, 0, CM_HEALTH_BAD,
     "Set `appendonly yes` (CONFIG SET and redis.conf): without the file all consents are gone at a restart."},
    {"appendfsync", CM_SERVER_FSYNC, TEST_IS, "always", 0, 0, CM_HEALTH_BAD,
     "Set `appendfsync always` (CONFIG SET and redis.conf): otherwise a crash loses withdrawals that were "
     "acknowledged."},
    {"no-appendfsync-on-rewrite", CM_SERVER_NO_FSYNC_ON_REWRITE, TEST_IS, "no", 0, 0, CM_HEALTH_BAD,
     "Set `no-appendfsync-on-rewrite no`: otherwise nothing is on the disk while the file is rewritten."},
    {"maxmemory-policy", CM_SERVER_POLICY, TEST_IS, "noeviction", 0, 0, CM_HEALTH_BAD,
     "Set `maxmemory-policy noeviction`: any other lets a full Redis drop withdrawals."},
    {"aof-write", CM_SERVER_AOF_WRITE, TEST_IS, "ok", 0, 0, CM_HEALTH_BAD,
     "Redis could not write its append-only file: look at its log and at the disk."},
    {"save", CM_SERVER_SAVE, TEST_IS, "", 0, 0, CM_HEALTH_WARN,
     "Set `save \"\"`: a snapshot that fails makes Redis refuse all writes, and the append-only file needs none."},
    {"hash-max-listpack-entries", CM_SERVER_LISTPACK_ENTRIES, TEST_RANGE, NULL, 512, UINT64_MAX, CM_HEALTH_WARN,
     "Set `hash-max-listpack-entries 512`: below it the records take twice the memory."},
    {"hash-max-listpack-value", CM_SERVER_LISTPACK_VALUE, TEST_RANGE, NULL, 1024, UINT64_MAX, CM_HEALTH_WARN,
     "Set `hash-max-listpack-value 1024`: below it one subject with many records doubles the memory of its bucket."},
    {"busy-reply-threshold", CM_SERVER_BUSY_THRESHOLD, TEST_RANGE, NULL, 1, 1000, CM_HEALTH_WARN,
     "Set `busy-reply-threshold 1000`: until then a function that hangs makes everybody wait for a timeout."},
    {"maxmemory", CM_SERVER_MAXMEMORY, TEST_RANGE, NULL, 1, UINT64_MAX, CM_HEALTH_WARN,
     "Set `maxmemory` to two thirds of the memory: at a limit Redis refuses grants and still takes withdrawals, "
     "without one the system kills it."},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

const char *cm_health_name(enum cm_health health)
{
    switch (health) {
    case CM_HEALTH_GOOD: return "good";
    case CM_HEALTH_WARN: return "warn";
    case CM_HEALTH_UNKNOWN: return "unknown";
    case CM_HEALTH_BAD: return "bad";
    case CM_HEALTH_UNSET: break;
    }
    return "unset";
}

void cm_findings_add(struct cm_findings *findings, const char *name, enum cm_health health, const char *advice,
                     const char *format, ...)
{
    va_list args;
    if (findings->count == CM_FINDINGS_MAX) {
        struct cm_finding *last = &findings->rows[CM_FINDINGS_MAX - 1];
        enum cm_health worse = last->health > health ? last->health : health;
        *last = (struct cm_finding){"findings", worse > CM_HEALTH_UNKNOWN ? worse : CM_HEALTH_UNKNOWN,
                                    "there are more than are shown", "Put right what is shown, then ask again."};
        return;
    }
    struct cm_finding *finding = &findings->rows[findings->count++];
    *finding = (struct cm_finding){name, health, "", health == CM_HEALTH_GOOD ? "" : advice};
    va_start(args, format);
    (void)vsnprintf(finding->found, sizeof(finding->found), format, args); /* only to be shown; cut where too long */
    va_end(args);
}

enum cm_health cm_findings_worst(const struct cm_findings *findings)
{
    enum cm_health worst = CM_HEALTH_UNSET;
    for (size_t i = 0; i < findings->count; i++) {
        worst = findings->rows[i].health > worst ? findings->rows[i].health : worst;
    }
    return worst;
}

static const char *why_not_told(const struct cm_server_value *value)
{
    return value->answer == CM_SERVER_FORBIDDEN ? "this Redis user may not ask" : "this Redis does not say";
}

#define ASK_AS_DOCTOR "Run this as the Redis user `doctor` (store.user; see config/redis.acl)."

static bool number_of(const struct cm_server_value *value, uint64_t *out)
{
    return value->answer == CM_SERVER_TOLD && cm_parse_u64(cm_span_of(value->text), UINT64_MAX, out);
}

/* UNKNOWN also where a number was expected and something else stands there. */
static enum cm_health judge_item(const struct row *row, const struct cm_server_value *value)
{
    uint64_t number = 0;
    struct cm_span text = cm_span_of(value->text);
    struct cm_span major;
    bool passes = false;
    if (value->answer != CM_SERVER_TOLD) {
        return CM_HEALTH_UNKNOWN;
    }
    switch (row->test) {
    case TEST_IS: passes = strcmp(value->text, row->wanted) == 0; break;
    case TEST_RANGE:
        if (!number_of(value, &number)) {
            return CM_HEALTH_UNKNOWN;
        }
        passes = number >= row->least && number <= row->most;
        break;
    case TEST_VERSION:
        if (!cm_span_next(&text, '.', &major) || !cm_parse_u64(major, UINT64_MAX, &number)) {
            return CM_HEALTH_UNKNOWN;
        }
        passes = number >= row->least;
        break;
    }
    return passes ? CM_HEALTH_GOOD : row->otherwise;
}

static void judge_items(const struct cm_server *server, struct cm_findings *findings)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct cm_server_value *value = &server->items[rows[i].item];
        if (value->answer == CM_SERVER_TOLD) {
            cm_findings_add(findings, rows[i].name, judge_item(&rows[i], value), rows[i].advice, "%s",
                            value->text[0] != '\0' ? value->text : "\"\"");
        } else {
            cm_findings_add(findings, rows[i].name, CM_HEALTH_UNKNOWN, ASK_AS_DOCTOR, "%s", why_not_told(value));
        }
    }
}

/* How full it is, and whether a fork finds room: an append-only file that cannot be rewritten grows for ever. */
static void judge_memory(const struct cm_server *server, struct cm_findings *findings)
{
    uint64_t used = 0;
    uint64_t most = 0;
    uint64_t resident = 0;
    uint64_t system = 0;
    bool known = number_of(&server->items[CM_SERVER_USED], &used) &&
                 number_of(&server->items[CM_SERVER_MAXMEMORY], &most) &&
                 number_of(&server->items[CM_SERVER_RESIDENT], &resident) &&
                 number_of(&server->items[CM_SERVER_SYSTEM_MEMORY], &system) && system > 0;
    if (!known) {
        cm_findings_add(findings, "memory", CM_HEALTH_UNKNOWN, ASK_AS_DOCTOR, "this Redis does not say");
        return;
    }
    double percent = most > 0 ? (double)used * 100 / (double)most : 0;
    enum cm_health full = percent >= FULL_BAD_PERCENT    ? CM_HEALTH_BAD
                          : percent >= FULL_WARN_PERCENT ? CM_HEALTH_WARN
                                                         : CM_HEALTH_GOOD;
    char limit[40] = "no limit";
    if (most > 0) {
        (void)snprintf(limit, sizeof(limit), "limit %llu MiB", (unsigned long long)(most >> 20)); /* fits */
    }
    cm_findings_add(findings, "memory", full,
                    "Raise `maxmemory`, or move the ledger into the archive; when it is full, grants are refused.",
                    "%llu MiB used, %s (%.0f %%)", (unsigned long long)(used >> 20), limit, percent);
    bool tight = resident > system / 2 || most > system - system / 4;
    cm_findings_add(
        findings, "fork", tight ? CM_HEALTH_WARN : CM_HEALTH_GOOD,
        "Give the machine more memory, or lower `maxmemory` to two thirds of it: while the append-only file "
        "is rewritten Redis may need as much again.",
        "%llu MiB resident, %s, %llu MiB in the machine", (unsigned long long)(resident >> 20), limit,
        (unsigned long long)(system >> 20));
}

/* Only where there are replicas; LAW-12 does not depend on them. */
static void judge_replicas(const struct cm_server *server, struct cm_findings *findings)
{
    uint64_t replicas = 0;
    uint64_t least = 0;
    uint64_t lag = 0;
    if (!number_of(&server->items[CM_SERVER_REPLICAS], &replicas) || replicas == 0) {
        return;
    }
    bool known = number_of(&server->items[CM_SERVER_MIN_REPLICAS], &least) &&
                 number_of(&server->items[CM_SERVER_MAX_LAG], &lag);
    if (!known) {
        cm_findings_add(findings, "min-replicas", CM_HEALTH_UNKNOWN, ASK_AS_DOCTOR, "%llu replicas; %s",
                        (unsigned long long)replicas, why_not_told(&server->items[CM_SERVER_MIN_REPLICAS]));
        return;
    }
    cm_findings_add(findings, "min-replicas", least > 0 && lag > 0 && lag <= 2 ? CM_HEALTH_GOOD : CM_HEALTH_WARN,
                    "Set `min-replicas-to-write 1` and `min-replicas-max-lag 2`: a master that was cut off then stops "
                    "taking grants that a failover would lose.",
                    "%llu replicas, min-replicas-to-write %llu, min-replicas-max-lag %llu",
                    (unsigned long long)replicas, (unsigned long long)least, (unsigned long long)lag);
}

static void judge_library(const struct cm_server *server, struct cm_findings *findings)
{
    static const struct {
        enum cm_health health;
        const char *found;
        const char *advice;
    } libraries[] = {
        [CM_LIBRARY_UNSET] = {CM_HEALTH_UNKNOWN, "not asked", "This is a bug: please report it."},
        [CM_LIBRARY_SAME] = {CM_HEALTH_GOOD, "as in this program", ""},
        [CM_LIBRARY_OTHER] = {CM_HEALTH_BAD, "of another version than this program",
                              "Install one version everywhere, then run its `consentctl init`."},
        [CM_LIBRARY_NONE] = {CM_HEALTH_BAD, "not loaded",
                             "Run `consentctl init`: without them nothing can be written."},
        [CM_LIBRARY_FORBIDDEN] = {CM_HEALTH_UNKNOWN, "this Redis user may not ask", ASK_AS_DOCTOR},
    };
    size_t i = (size_t)server->library;
    cm_findings_add(findings, "functions", libraries[i].health, libraries[i].advice, "%s", libraries[i].found);
}

static void judge_door(const struct cm_doctor_facts *facts, struct cm_findings *findings)
{
    static const struct {
        enum cm_health health;
        const char *found;
    } doors[] = {
        [CM_DOOR_UNSET] = {CM_HEALTH_UNKNOWN, "not tried"},
        [CM_DOOR_CLOSED] = {CM_HEALTH_GOOD, "nobody gets in without a password"},
        [CM_DOOR_OPEN] = {CM_HEALTH_WARN, "whoever reaches it is let in without a password"},
        [CM_DOOR_AJAR] = {CM_HEALTH_WARN, "whoever reaches it is let in without a password, with few rights"},
        [CM_DOOR_UNKNOWN] = {CM_HEALTH_UNKNOWN, "could not be tried"},
    };
    const struct cm_server_value *user = &facts->server.user;
    bool is_own = user->answer == CM_SERVER_TOLD && strcmp(user->text, "default") != 0;
    if (user->answer != CM_SERVER_TOLD) {
        cm_findings_add(findings, "user", CM_HEALTH_UNKNOWN, ASK_AS_DOCTOR, "%s", why_not_told(user));
    } else {
        cm_findings_add(findings, "user", is_own ? CM_HEALTH_GOOD : CM_HEALTH_WARN,
                        "Give each program a Redis user of its own (config/redis.acl; store.user).", "%s", user->text);
    }
    cm_findings_add(findings, "default-user", doors[facts->door].health,
                    "Turn the default user off (config/redis.acl), or give it a password.", "%s",
                    doors[facts->door].found);
}

static void judge_partitions(const struct cm_doctor_facts *facts, struct cm_findings *findings)
{
    const struct cm_server_partitions *partitions = &facts->partitions;
    if (!facts->partitions_known) {
        cm_findings_add(findings, "store", CM_HEALTH_UNKNOWN, ASK_AS_DOCTOR, "its facts cannot be read");
        return;
    }
    if (partitions->wrong > 0) {
        cm_findings_add(findings, "store", CM_HEALTH_BAD, cm_trouble_advice(partitions->trouble),
                        "%u of %u partitions are not ours, the first is %u: %s", partitions->wrong,
                        (unsigned)CM_PARTITIONS, partitions->first_wrong, partitions->text);
        return;
    }
    cm_findings_add(findings, "store", partitions->unannounced > 0 ? CM_HEALTH_WARN : CM_HEALTH_GOOD,
                    "Repeat the last change of the registry: filters may not know of it yet.",
                    "ours in all %u partitions; %u have an older registry", (unsigned)CM_PARTITIONS,
                    partitions->unannounced);
}

static void judge_clocks(const struct cm_doctor_facts *facts, struct cm_findings *findings)
{
    cm_ms now = facts->server.now;
    cm_ms skew = now > facts->answered_at ? now - facts->answered_at
                 : now < facts->asked_at  ? facts->asked_at - now
                                          : 0;
    cm_findings_add(findings, "clock",
                    skew > SKEW_BAD_MS    ? CM_HEALTH_BAD
                    : skew > SKEW_WARN_MS ? CM_HEALTH_WARN
                                          : CM_HEALTH_GOOD,
                    "Run a time service on both machines: dates of consents are those of Redis' clock.",
                    "Redis' clock and ours are %lld ms apart", (long long)skew);
    if (!facts->ledger_known) {
        cm_findings_add(findings, "ledger-clock", CM_HEALTH_UNKNOWN, ASK_AS_DOCTOR, "the ledger's end cannot be read");
        return;
    }
    cm_ms behind = facts->newest_ledger > now ? facts->newest_ledger - now : 0;
    cm_findings_add(findings, "ledger-clock", behind > 0 ? CM_HEALTH_BAD : CM_HEALTH_GOOD,
                    cm_trouble_advice(CM_TROUBLE_CLOCK), "Redis' clock stands %lld ms behind its own ledger",
                    (long long)behind);
}

void cm_doctor_judge(const struct cm_doctor_facts *facts, struct cm_findings *findings)
{
    judge_items(&facts->server, findings);
    judge_memory(&facts->server, findings);
    judge_replicas(&facts->server, findings);
    judge_library(&facts->server, findings);
    judge_door(facts, findings);
    judge_partitions(facts, findings);
    judge_clocks(facts, findings);
    cm_doctor_judge_keepers(facts, findings);
}

enum cm_health cm_doctor_verdict(const struct cm_server *server, char out_text[VERDICT_BYTES])
{
    size_t count = 0;
    const struct cm_server_need *needs = cm_server_needs(&count);
    struct cm_text text = cm_text_over(out_text, VERDICT_BYTES);
    enum cm_health verdict = CM_HEALTH_GOOD;
    for (size_t i = 0; i < count; i++) {
        const struct cm_server_value *value = &server->items[needs[i].item];
        if (value->answer != CM_SERVER_TOLD) {
            verdict = verdict == CM_HEALTH_BAD ? verdict : CM_HEALTH_UNKNOWN;
        } else if (strcmp(value->text, needs[i].wanted) != 0) {
            verdict = CM_HEALTH_BAD; /* also where others are not known */
            cm_text_add_format(&text, "%s%s", text.len > 0 ? ", " : "", needs[i].setting);
        }
    }
    return verdict;
}

/* What filters see until the server restarts. */
static void write_verdict(struct cm_store *store, const struct cm_server *server, struct cm_findings *findings)
{
    char text[VERDICT_BYTES];
    struct cm_err err = {""};
    const struct cm_server_value *run_id = &server->items[CM_SERVER_RUN_ID];
    enum cm_health verdict = cm_doctor_verdict(server, text);
    if (verdict == CM_HEALTH_UNKNOWN || run_id->answer != CM_SERVER_TOLD) {
        cm_findings_add(findings, "verdict", CM_HEALTH_UNKNOWN, ASK_AS_DOCTOR, "none was left for the filters");
        return;
    }
    enum cm_trouble trouble = cm_server_write_verdict(store, run_id->text, verdict == CM_HEALTH_GOOD, server->now, text,
                                                      &err);
    if (trouble != CM_TROUBLE_NONE) {
        cm_findings_add(findings, "verdict", CM_HEALTH_UNKNOWN, cm_trouble_advice(trouble),
                        "could not be left for the filters: %s", err.text);
    } else if (verdict == CM_HEALTH_BAD) {
        cm_findings_add(findings, "verdict", CM_HEALTH_BAD,
                        "Filters defer marketing mail until this is put right and the doctor has come again.",
                        "this run of Redis is unfit; it needs %s", text);
    } else {
        cm_findings_add(findings, "verdict", CM_HEALTH_GOOD, "", "this run of Redis is fit");
    }
}

enum cm_trouble cm_doctor_run(struct cm_store *store, const struct cm_settings *settings, struct cm_findings *findings,
                              struct cm_err *err)
{
    struct cm_err local_err = {""};
    struct cm_err unused;
    struct cm_doctor_facts *facts = calloc(1, sizeof(*facts));
    findings->count = 0;
    if (facts == NULL) {
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    facts->keepers = settings->keepers;
    facts->keeper_count = settings->keeper_count;
    facts->asked_at = cm_clock_wall_ms();
    enum cm_trouble trouble = cm_server_read(store, &facts->server, &local_err);
    facts->answered_at = cm_clock_wall_ms();
    if (trouble == CM_TROUBLE_NONE) {
        facts->partitions_known = cm_server_read_partitions(store, &facts->partitions, &unused) == CM_TROUBLE_NONE;
        facts->ledger_known = cm_server_read_ledger_end(store, &facts->newest_ledger, &unused) == CM_TROUBLE_NONE;
        facts->beats_known = cm_store_beats(store, &facts->beats, &unused) == CM_TROUBLE_NONE;
        facts->door = cm_server_knock(store, &unused);
        cm_doctor_judge(facts, findings);
        write_verdict(store, &facts->server, findings);
    } else if (trouble == CM_TROUBLE_NOT_MASTER) {
        cm_findings_add(findings, "role", CM_HEALTH_BAD, cm_trouble_advice(trouble), "%s", local_err.text);
        trouble = CM_TROUBLE_NONE;
    } else {
        cm_err_set(err, "%s", local_err.text);
    }
    free(facts);
    return trouble;
}
