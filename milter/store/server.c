#include "store/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/consent_lua.h"
#include "store_internal.h"

/* Where each item comes from: a line of INFO, or CONFIG GET. */
static const char *const item_names[CM_SERVER_ITEM_COUNT] = {
    [CM_SERVER_VERSION] = "redis_version",
    [CM_SERVER_RUN_ID] = "run_id",
    [CM_SERVER_REPLICATION_ID] = "master_replid",
    [CM_SERVER_ROLE] = "role",
    [CM_SERVER_REPLICAS] = "connected_slaves",
    [CM_SERVER_CLUSTER] = "cluster_enabled",
    [CM_SERVER_AOF] = "aof_enabled",
    [CM_SERVER_AOF_WRITE] = "aof_last_write_status",
    [CM_SERVER_POLICY] = "maxmemory_policy",
    [CM_SERVER_MAXMEMORY] = "maxmemory",
    [CM_SERVER_USED] = "used_memory",
    [CM_SERVER_RESIDENT] = "used_memory_rss",
    [CM_SERVER_SYSTEM_MEMORY] = "total_system_memory",
    [CM_SERVER_FSYNC] = "appendfsync",
    [CM_SERVER_NO_FSYNC_ON_REWRITE] = "no-appendfsync-on-rewrite",
    [CM_SERVER_SAVE] = "save",
    [CM_SERVER_LISTPACK_ENTRIES] = "hash-max-listpack-entries",
    [CM_SERVER_LISTPACK_VALUE] = "hash-max-listpack-value",
    [CM_SERVER_BUSY_THRESHOLD] = "busy-reply-threshold",
    [CM_SERVER_MIN_REPLICAS] = "min-replicas-to-write",
    [CM_SERVER_MAX_LAG] = "min-replicas-max-lag",
};

/* LAW-11 */
static const struct cm_server_need needs[] = {
    {CM_SERVER_AOF, "1", "appendonly yes"},
    {CM_SERVER_FSYNC, "always", "appendfsync always"},
    {CM_SERVER_NO_FSYNC_ON_REWRITE, "no", "no-appendfsync-on-rewrite no"},
    {CM_SERVER_POLICY, "noeviction", "maxmemory-policy noeviction"},
};

#define VERDICT_BYTES 288 /* run id, word, time, and a text of 200 bytes */
#define CONFIG_COUNT (CM_SERVER_ITEM_COUNT - CM_SERVER_INFO_COUNT)
enum { REPLY_INFO, REPLY_CONFIG, REPLY_LIBRARY = REPLY_CONFIG + CONFIG_COUNT, REPLY_USER, REPLY_TIME, REPLY_COUNT };

const struct cm_server_need *cm_server_needs(size_t *out_count)
{
    *out_count = sizeof(needs) / sizeof(needs[0]);
    return needs;
}

static void build_request(struct cm_request *request)
{
    cm_request_add(request, (struct cm_span[]){CM_SPAN("INFO")}, 1);
    for (size_t i = CM_SERVER_INFO_COUNT; i < CM_SERVER_ITEM_COUNT; i++) {
        /* One setting a command: servers before 7.0 take no more, and shall hear that they are too old. */
        cm_request_add(request, (struct cm_span[]){CM_SPAN("CONFIG"), CM_SPAN("GET"), cm_span_of(item_names[i])}, 3);
    }
    cm_request_add(request,
                   (struct cm_span[]){CM_SPAN("FUNCTION"), CM_SPAN("LIST"), CM_SPAN("LIBRARYNAME"), CM_SPAN("consent"),
                                      CM_SPAN("WITHCODE")},
                   5);
    cm_request_add(request, (struct cm_span[]){CM_SPAN("ACL"), CM_SPAN("WHOAMI")}, 2);
    cm_request_add(request, (struct cm_span[]){CM_SPAN("TIME")}, 1);
}

/* Runs the request over a connection of its own and frees it. To be refused here is an answer: it shall not open the
 * breaker that the look-ups of this store are behind. */
static enum cm_trouble ask(struct cm_store *store, struct cm_request *request, redisReply **replies, struct cm_err *err)
{
    struct cm_connection *connection = NULL;
    int64_t deadline_ms = cm_clock_monotonic_ms() + store->options.timeout_ms;
    enum cm_trouble trouble = cm_connection_open(&store->options, deadline_ms, &connection, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_connection_call(connection, request, deadline_ms, -1, replies, err);
        cm_connection_close(connection);
    }
    cm_request_done(request);
    return trouble;
}

static enum cm_trouble malformed(const char *what, struct cm_err *err)
{
    cm_err_set(err, "%s was answered with something else", what);
    return CM_TROUBLE_MALFORMED;
}

/* Whether the server told, may not tell us, or knows no such thing; all else is trouble. */
static enum cm_trouble answer_of(const redisReply *reply, enum cm_server_answer *out, struct cm_err *err)
{
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    if (trouble == CM_TROUBLE_NO_PERMISSION || trouble == CM_TROUBLE_ERROR_REPLY) {
        *out = trouble == CM_TROUBLE_NO_PERMISSION ? CM_SERVER_FORBIDDEN : CM_SERVER_ABSENT;
        return CM_TROUBLE_NONE;
    }
    *out = CM_SERVER_TOLD;
    return trouble;
}

static void tell(struct cm_server_value *value, struct cm_span text)
{
    value->answer = CM_SERVER_TOLD;
    (void)cm_copy(value->text, sizeof(value->text), text); /* a cut text equals nothing that is wanted */
}

/* One "name:value" of INFO. */
static enum cm_trouble read_info_line(struct cm_span line, struct cm_server *out, struct cm_err *err)
{
    struct cm_span value = cm_span_trim(line);
    struct cm_span name;
    if (!cm_span_next(&value, ':', &name) || value.p == NULL) {
        return CM_TROUBLE_NONE; /* a heading, or an empty line */
    }
    for (size_t i = 0; i < CM_SERVER_INFO_COUNT; i++) {
        if (!cm_span_equal(name, cm_span_of(item_names[i]))) {
            continue;
        }
        if (out->items[i].answer == CM_SERVER_TOLD) {
            cm_err_set(err, "INFO has two lines %s", item_names[i]); /* which of them is true? */
            return CM_TROUBLE_MALFORMED;
        }
        tell(&out->items[i], value);
    }
    return CM_TROUBLE_NONE;
}

static enum cm_trouble read_info(const redisReply *reply, struct cm_server *out, struct cm_err *err)
{
    enum cm_server_answer answer = CM_SERVER_UNASKED;
    enum cm_trouble trouble = answer_of(reply, &answer, err);
    struct cm_span rest = cm_reply_text(reply);
    struct cm_span line;
    for (size_t i = 0; i < CM_SERVER_INFO_COUNT; i++) {
        out->items[i].answer = answer == CM_SERVER_FORBIDDEN ? CM_SERVER_FORBIDDEN : CM_SERVER_ABSENT;
    }
    if (trouble == CM_TROUBLE_NONE && answer == CM_SERVER_TOLD && rest.p == NULL) {
        return malformed("INFO", err);
    }
    while (trouble == CM_TROUBLE_NONE && answer == CM_SERVER_TOLD && cm_span_next(&rest, '\n', &line)) {
        trouble = read_info_line(line, out, err);
    }
    return trouble;
}

/* CONFIG GET: {name, value}, or nothing where the server has no such setting. */
static enum cm_trouble read_setting(const redisReply *reply, enum cm_server_item item, struct cm_server_value *out,
                                    struct cm_err *err)
{
    enum cm_trouble trouble = answer_of(reply, &out->answer, err);
    if (trouble != CM_TROUBLE_NONE || out->answer != CM_SERVER_TOLD) {
        return trouble;
    }
    out->answer = CM_SERVER_ABSENT;
    if (reply->type != REDIS_REPLY_ARRAY || (reply->elements != 0 && reply->elements != 2)) {
        return malformed("CONFIG GET", err);
    }
    if (reply->elements == 2) {
        struct cm_span value = cm_reply_text(reply->element[1]);
        if (!cm_span_equal(cm_reply_text(reply->element[0]), cm_span_of(item_names[item])) || value.p == NULL) {
            return malformed("CONFIG GET", err);
        }
        tell(out, value);
    }
    return CM_TROUBLE_NONE;
}

/* The value beside `name` in a reply of names and values; {NULL, 0} if there is none. */
static struct cm_span pair_value(const redisReply *reply, struct cm_span name)
{
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        if (cm_span_equal(cm_reply_text(reply->element[i]), name)) {
            return cm_reply_text(reply->element[i + 1]);
        }
    }
    return (struct cm_span){NULL, 0};
}

static enum cm_trouble read_library(const redisReply *reply, enum cm_server_library *out, struct cm_err *err)
{
    enum cm_server_answer answer = CM_SERVER_UNASKED;
    enum cm_trouble trouble = answer_of(reply, &answer, err);
    if (trouble != CM_TROUBLE_NONE || answer != CM_SERVER_TOLD) {
        *out = CM_LIBRARY_FORBIDDEN;
        return trouble;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements > 1) {
        return malformed("FUNCTION LIST", err);
    }
    if (reply->elements == 0) {
        *out = CM_LIBRARY_NONE;
        return CM_TROUBLE_NONE;
    }
    struct cm_span code = pair_value(reply->element[0], CM_SPAN("library_code"));
    if (code.p == NULL) {
        return malformed("FUNCTION LIST", err);
    }
    *out = cm_span_equal(code, cm_span_of(cm_consent_lua)) ? CM_LIBRARY_SAME : CM_LIBRARY_OTHER;
    return CM_TROUBLE_NONE;
}

static enum cm_trouble read_time(const redisReply *reply, cm_ms *out_now, struct cm_err *err)
{
    uint64_t seconds = 0;
    uint64_t micros = 0;
    enum cm_trouble trouble = cm_reply_expect_array(reply, 2, "TIME", err);
    if (trouble == CM_TROUBLE_NONE &&
        (!cm_parse_u64(cm_reply_text(reply->element[0]), (uint64_t)CM_MS_MAX / 1000, &seconds) ||
         !cm_parse_u64(cm_reply_text(reply->element[1]), 999999, &micros))) {
        trouble = malformed("TIME", err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        *out_now = (cm_ms)(seconds * 1000 + micros / 1000);
    }
    return trouble;
}

static enum cm_trouble read_replies(redisReply *const *replies, struct cm_server *out, struct cm_err *err)
{
    enum cm_trouble trouble = read_info(replies[REPLY_INFO], out, err);
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < CONFIG_COUNT; i++) {
        enum cm_server_item item = (enum cm_server_item)(CM_SERVER_INFO_COUNT + i);
        trouble = read_setting(replies[REPLY_CONFIG + i], item, &out->items[item], err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = read_library(replies[REPLY_LIBRARY], &out->library, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = answer_of(replies[REPLY_USER], &out->user.answer, err);
    }
    if (trouble == CM_TROUBLE_NONE && out->user.answer == CM_SERVER_TOLD) {
        struct cm_span name = cm_reply_text(replies[REPLY_USER]);
        if (name.p == NULL) {
            return malformed("ACL WHOAMI", err);
        }
        tell(&out->user, name);
    }
    return trouble == CM_TROUBLE_NONE ? read_time(replies[REPLY_TIME], &out->now, err) : trouble;
}

enum cm_trouble cm_server_read(struct cm_store *store, struct cm_server *out, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[REPLY_COUNT];
    build_request(&request);
    enum cm_trouble trouble = ask(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_server server = {0};
    trouble = read_replies(replies, &server, err);
    if (trouble == CM_TROUBLE_NONE) {
        *out = server;
    }
    cm_replies_free(replies, REPLY_COUNT);
    return trouble;
}

/* Runs a pipeline of `each` replies a partition; the caller frees what it gets. NULL and err. */
static redisReply **ask_partitions(struct cm_store *store, void (*add)(struct cm_request *request, unsigned partition),
                                   size_t each, enum cm_trouble *out_trouble, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply **replies = calloc(CM_PARTITIONS * each, sizeof(redisReply *));
    if (replies == NULL) {
        cm_err_set(err, "out of memory");
        *out_trouble = CM_TROUBLE_MEMORY;
        return NULL;
    }
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        add(&request, p);
    }
    *out_trouble = ask(store, &request, replies, err);
    if (*out_trouble != CM_TROUBLE_NONE) {
        free(replies);
        return NULL;
    }
    return replies;
}

static void add_partition_facts(struct cm_request *request, unsigned partition)
{
    cm_store_ask_facts(request, partition);
    cm_store_ask_end_facts(request, partition);
}

enum cm_trouble cm_server_read_partitions(struct cm_store *store, struct cm_server_partitions *out, struct cm_err *err)
{
    enum cm_trouble trouble = CM_TROUBLE_UNSET;
    struct cm_server_partitions found = {.trouble = CM_TROUBLE_NONE};
    uint64_t first_epoch = 0;
    uint64_t newest = 0;
    uint64_t registry[CM_PARTITIONS] = {0};
    redisReply **replies = ask_partitions(store, add_partition_facts, 2, &trouble, err);
    for (unsigned p = 0; replies != NULL && p < CM_PARTITIONS; p++) {
        struct cm_err why = {""};
        uint64_t epoch = 0;
        uint64_t end_epoch = 0;
        enum cm_trouble here = cm_store_check_facts(store, replies[2 * p], &epoch, &why);
        if (here == CM_TROUBLE_NONE) {
            here = cm_store_check_end_facts(store, replies[2 * p + 1], &end_epoch, &registry[p], &why);
        }
        first_epoch = p == 0 ? epoch : first_epoch;
        if (here == CM_TROUBLE_NONE && (epoch != first_epoch || end_epoch != first_epoch)) {
            cm_err_set(&why, "the epoch is another than in the first partition");
            here = CM_TROUBLE_CHANGED;
        }
        newest = registry[p] > newest ? registry[p] : newest;
        if (here != CM_TROUBLE_NONE && found.wrong++ == 0) {
            found.first_wrong = p;
            found.trouble = here;
            (void)cm_copy(found.text, sizeof(found.text), cm_span_of(why.text)); /* only to be shown */
        }
    }
    if (replies == NULL) {
        return trouble;
    }
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        found.unannounced += registry[p] < newest ? 1 : 0;
    }
    cm_replies_free(replies, CM_PARTITIONS * (size_t)2);
    free(replies);
    *out = found;
    return CM_TROUBLE_NONE;
}

static void add_stream_info(struct cm_request *request, unsigned partition)
{
    char key[CM_KEY_BYTES];
    cm_request_add(request,
                   (struct cm_span[]){CM_SPAN("XINFO"), CM_SPAN("STREAM"), cm_store_key(key, 'l', partition, -1)}, 3);
}

enum cm_trouble cm_server_read_ledger_end(struct cm_store *store, cm_ms *out_newest, struct cm_err *err)
{
    enum cm_trouble trouble = CM_TROUBLE_UNSET;
    uint64_t newest = 0;
    redisReply **replies = ask_partitions(store, add_stream_info, 1, &trouble, err);
    for (unsigned p = 0; replies != NULL && trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p++) {
        enum cm_server_answer answer = CM_SERVER_UNASKED;
        uint64_t ms = 0;
        trouble = answer_of(replies[p], &answer, err);
        if (answer == CM_SERVER_FORBIDDEN) {
            trouble = CM_TROUBLE_NO_PERMISSION;
        }
        if (trouble != CM_TROUBLE_NONE || answer == CM_SERVER_ABSENT) {
            continue; /* "no such key": nothing happened in this partition yet */
        }
        struct cm_span id = pair_value(replies[p], CM_SPAN("last-generated-id"));
        struct cm_span time;
        if (!cm_span_next(&id, '-', &time) || !cm_parse_u64(time, (uint64_t)CM_MS_MAX, &ms)) {
            trouble = malformed("XINFO STREAM", err);
        }
        newest = ms > newest ? ms : newest;
    }
    if (replies != NULL) {
        cm_replies_free(replies, CM_PARTITIONS);
        free(replies);
    }
    if (trouble == CM_TROUBLE_NONE) {
        *out_newest = (cm_ms)newest;
    }
    return trouble;
}

enum cm_server_door cm_server_knock(struct cm_store *store, struct cm_err *err)
{
    struct cm_connection *connection = NULL;
    struct cm_store_options stranger = store->options;
    stranger.user = NULL;
    stranger.password_file = NULL;
    enum cm_trouble trouble = cm_connection_open(&stranger, cm_clock_monotonic_ms() + stranger.timeout_ms, &connection,
                                                 err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_connection_close(connection);
        return CM_DOOR_OPEN;
    }
    if (trouble == CM_TROUBLE_AUTHENTICATION) {
        return CM_DOOR_CLOSED;
    }
    return trouble == CM_TROUBLE_NO_PERMISSION ? CM_DOOR_AJAR : CM_DOOR_UNKNOWN;
}

enum cm_trouble cm_server_write_verdict(struct cm_store *store, const char *run_id, bool good, cm_ms at,
                                        const char *text, struct cm_err *err)
{
    char key[CM_KEY_BYTES];
    char storage[VERDICT_BYTES];
    struct cm_text verdict = cm_text_over(storage, sizeof(storage));
    struct cm_request request = {0};
    redisReply *reply = NULL;
    cm_text_add_format(&verdict, "%s %s %lld ", run_id, good ? "good" : "bad", (long long)at);
    cm_text_add_str(&verdict, text);
    struct cm_span args[] = {CM_SPAN("HSET"), cm_store_key(key, 'm', 0, -1), CM_SPAN("doctor"), {storage, verdict.len}};
    cm_request_add(&request, args, 4);
    enum cm_trouble trouble = ask(store, &request, &reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_reply_trouble(reply, err);
        cm_replies_free(&reply, 1);
    }
    return trouble;
}
