#include "store/admin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/consent_lua.h"
#include "store_internal.h"

#define LANGUAGE_MAX 16

#define COUNTER "g:" CM_REGISTRY_TAG ":counter"
#define SENDERS "g:" CM_REGISTRY_TAG ":senders"
#define PURPOSES "g:" CM_REGISTRY_TAG ":purposes"
#define STATEMENTS "g:" CM_REGISTRY_TAG ":statements"
#define TEXTS "g:" CM_REGISTRY_TAG ":texts"

/* What an acknowledgement needs of Redis. LAW-11 */
static const struct {
    const char *name;
    const char *value;
} required[] = {{"appendonly", "yes"}, {"appendfsync", "always"}, {"maxmemory-policy", "noeviction"}};

#define REQUIRED_COUNT (sizeof(required) / sizeof(required[0]))

static enum cm_trouble check_durability(struct cm_store *store, struct cm_err *err)
{
    for (size_t i = 0; i < REQUIRED_COUNT; i++) {
        redisReply *reply = NULL;
        struct cm_span args[] = {CM_SPAN("CONFIG"), CM_SPAN("GET"), cm_span_of(required[i].name)};
        enum cm_trouble trouble = cm_store_command(store, args, 3, &reply, err);
        if (trouble != CM_TROUBLE_NONE) {
            return trouble;
        }
        trouble = cm_reply_expect_array(reply, 2, "CONFIG GET", err);
        if (trouble == CM_TROUBLE_NONE &&
            !cm_span_equal(cm_reply_text(reply->element[1]), cm_span_of(required[i].value))) {
            cm_err_set(err, "Redis must run with `%s %s`: otherwise it may lose what it has acknowledged",
                       required[i].name, required[i].value);
            trouble = CM_TROUBLE_CANNOT_WRITE;
        }
        cm_replies_free(&reply, 1);
        if (trouble != CM_TROUBLE_NONE) {
            return trouble;
        }
    }
    return CM_TROUBLE_NONE;
}

static enum cm_trouble load_functions(struct cm_store *store, struct cm_err *err)
{
    redisReply *reply = NULL;
    struct cm_span args[] = {CM_SPAN("FUNCTION"), CM_SPAN("LOAD"), CM_SPAN("REPLACE"), cm_span_of(cm_consent_lua)};
    enum cm_trouble trouble = cm_store_command(store, args, 4, &reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_replies_free(&reply, 1);
    } else {
        cm_err_prefix(err, "cannot load the functions");
    }
    return trouble;
}

/* Runs a pipeline of one command for each partition and checks every reply for an error. */
static enum cm_trouble for_all_partitions(struct cm_store *store,
                                          void (*add)(struct cm_request *request, unsigned partition,
                                                      const void *context),
                                          const void *context, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply **replies = calloc(CM_PARTITIONS, sizeof(*replies));
    if (replies == NULL) {
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        add(&request, p, context);
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble == CM_TROUBLE_NONE) {
        for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < CM_PARTITIONS; i++) {
            trouble = cm_reply_trouble(replies[i], err);
        }
        cm_replies_free(replies, CM_PARTITIONS);
    }
    free(replies);
    return trouble;
}

static void add_facts(struct cm_request *request, unsigned partition, const void *context)
{
    const struct cm_store *store = context;
    char key[CM_KEY_BYTES];
    char canon[12];
    (void)snprintf(canon, sizeof(canon), "%d", CM_ADDRESS_CANON_VERSION); /* a small number fits */
    struct cm_span args[] = {
        CM_SPAN("HSET"),     cm_store_key(key, 'm', partition, -1),
        CM_SPAN("store"),    cm_span_of(store->keys->store_id),
        CM_SPAN("epoch"),    CM_SPAN("1"),
        CM_SPAN("schema"),   CM_SPAN(CM_SCHEMA_VERSION),
        CM_SPAN("canon"),    cm_span_of(canon),
        CM_SPAN("pepper1"),  cm_span_of(store->keys->pepper_check),
        CM_SPAN("registry"), CM_SPAN("0"),
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

/* What stands in the first and the last partition: nothing, ours, or trouble. Facts are written in order, so both ends
 * together say whether an interrupted init must go on. */
static enum cm_trouble look_at_ends(struct cm_store *store, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[2];
    uint64_t epoch = 0;
    cm_store_ask_facts(&request, CM_PARTITIONS - 1);
    cm_store_ask_facts(&request, 0);
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_err last_err = {{0}};
    enum cm_trouble last = cm_store_check_facts(store, replies[0], &epoch, &last_err);
    enum cm_trouble first = cm_store_check_facts(store, replies[1], &epoch, err);
    cm_replies_free(replies, 2);
    /* Another's store that lost one end is no empty Redis. */
    if (last != CM_TROUBLE_NONE && (first == CM_TROUBLE_NONE || first == CM_TROUBLE_NO_STORE)) {
        *err = last_err;
        return last;
    }
    return first;
}

enum cm_init_status cm_store_init(struct cm_store *store, bool fresh, struct cm_err *err)
{
    enum cm_init_status status = CM_INIT_PRESENT;
    enum cm_trouble trouble = check_durability(store, err);
    if (trouble != CM_TROUBLE_NONE) {
        return CM_INIT_FAILED;
    }
    trouble = look_at_ends(store, err);
    if (trouble == CM_TROUBLE_NO_STORE && !fresh) {
        cm_err_set(err,
                   "this Redis is empty, but the keys belong to store %s: restore its data, or move the keys away to "
                   "begin a new store",
                   store->keys->store_id);
        return CM_INIT_FAILED;
    }
    if (trouble == CM_TROUBLE_NO_STORE) {
        trouble = for_all_partitions(store, add_facts, store, err);
        status = CM_INIT_MADE;
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = load_functions(store, err);
    }
    return trouble == CM_TROUBLE_NONE ? status : CM_INIT_FAILED;
}

static void add_announcement(struct cm_request *request, unsigned partition, const void *context)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("FCALL"), CM_SPAN("admin_registry_announce"), CM_SPAN("1"),
                             cm_store_key(key, 'm', partition, -1), *(const struct cm_span *)context};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

/* One registry function, then its announcement. The result is {word, row, version, ...}. */
static enum cm_registry_outcome change(struct cm_store *store, const struct cm_span *args, size_t count,
                                       size_t result_count, redisReply **out_reply, struct cm_err *err)
{
    redisReply *reply = NULL;
    enum cm_trouble trouble = look_at_ends(store, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_command(store, args, count, &reply, err);
    }
    if (trouble == CM_TROUBLE_ERROR_REPLY) {
        return CM_REGISTRY_REFUSED;
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_reply_expect_array(reply, result_count, "result of a registry function", err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        cm_replies_free(&reply, reply != NULL ? 1 : 0);
        return CM_REGISTRY_TROUBLE;
    }
    struct cm_span version = cm_reply_text(reply->element[2]);
    bool present = cm_span_equal(cm_reply_text(reply->element[0]), CM_SPAN("present"));
    trouble = for_all_partitions(store, add_announcement, &version, err);
    if (trouble != CM_TROUBLE_NONE) {
        cm_err_prefix(err, "registered, but not every filter may know yet: repeat the command");
        cm_replies_free(&reply, 1);
        return CM_REGISTRY_TROUBLE;
    }
    *out_reply = reply;
    return present ? CM_REGISTRY_PRESENT : CM_REGISTRY_CHANGED;
}

static enum cm_registry_outcome change_simply(struct cm_store *store, const struct cm_span *args, size_t count,
                                              struct cm_err *err)
{
    redisReply *reply = NULL;
    enum cm_registry_outcome outcome = change(store, args, count, 3, &reply, err);
    if (reply != NULL) {
        cm_replies_free(&reply, 1);
    }
    return outcome;
}

/* What readers could not parse would take the whole registry away from every filter. */
static bool is_text(struct cm_span text, const char *what, struct cm_err *err)
{
    json_t *string = json_stringn(text.p, text.len);
    bool ok = string != NULL && memchr(text.p, '\0', text.len) == NULL;
    json_decref(string);
    if (!ok) {
        cm_err_set(err, "the %s must be UTF-8 without NUL", what);
    }
    return ok;
}

/* A language tag: letters, digits and '-'. RFC 5646 */
static bool is_language(const char *language, struct cm_err *err)
{
    size_t len = strlen(language);
    bool ok = len >= 1 && len <= LANGUAGE_MAX;
    for (size_t i = 0; ok && i < len; i++) {
        ok = cm_ascii_is_alnum(language[i]) || language[i] == '-';
    }
    if (!ok) {
        cm_err_set(err, "the language must be a tag like en or fr-CA");
    }
    return ok;
}

enum cm_registry_outcome cm_registry_add_sender(struct cm_store *store, const char *sender, const char *title,
                                                struct cm_err *err)
{
    if (!is_text(cm_span_of(title), "title", err)) {
        return CM_REGISTRY_REFUSED;
    }
    struct cm_span args[] = {CM_SPAN("FCALL"), CM_SPAN("admin_sender_add"), CM_SPAN("2"),     CM_SPAN(COUNTER),
                             CM_SPAN(SENDERS), cm_span_of(sender),          cm_span_of(title)};
    return change_simply(store, args, sizeof(args) / sizeof(args[0]), err);
}

enum cm_registry_outcome cm_registry_add_purpose(struct cm_store *store, const char *path, const char *title,
                                                 struct cm_err *err)
{
    if (!is_text(cm_span_of(title), "title", err)) {
        return CM_REGISTRY_REFUSED;
    }
    const char *first = strchr(path, '/');
    const char *last = strrchr(path, '/');
    struct cm_span sender = {path, first != NULL ? (size_t)(first - path) : 0};
    struct cm_span parent = {path, last != first ? (size_t)(last - path) : 0};
    struct cm_span args[] = {CM_SPAN("FCALL"), CM_SPAN("admin_purpose_add"),
                             CM_SPAN("3"),     CM_SPAN(COUNTER),
                             CM_SPAN(SENDERS), CM_SPAN(PURPOSES),
                             sender,           cm_span_of(path),
                             parent,           cm_span_of(title)};
    return change_simply(store, args, sizeof(args) / sizeof(args[0]), err);
}

enum cm_registry_outcome cm_registry_retire_purpose(struct cm_store *store, const char *path, struct cm_err *err)
{
    struct cm_span args[] = {CM_SPAN("FCALL"),  CM_SPAN("admin_purpose_retire"),
                             CM_SPAN("2"),      CM_SPAN(COUNTER),
                             CM_SPAN(PURPOSES), cm_span_of(path)};
    return change_simply(store, args, sizeof(args) / sizeof(args[0]), err);
}

enum cm_registry_outcome cm_registry_publish(struct cm_store *store, const struct cm_statement_text *statement,
                                             unsigned *out_version, struct cm_err *err)
{
    char version[12] = "";
    char effective[24] = "";
    char sha_text[2 * CM_SHA256_BYTES + 1];
    uint8_t sha[CM_SHA256_BYTES];
    redisReply *reply = NULL;
    uint64_t number = 0;
    if (!is_text(statement->text, "text", err) || !is_language(statement->language, err)) {
        return CM_REGISTRY_REFUSED;
    }
    if (!cm_sha256(statement->text, sha)) {
        cm_err_set(err, "libcrypto cannot compute SHA-256");
        return CM_REGISTRY_TROUBLE;
    }
    struct cm_text hex = cm_text_over(sha_text, sizeof(sha_text));
    cm_text_add_hex(&hex, sha, sizeof(sha));
    if (statement->version > 0) {
        (void)snprintf(version, sizeof(version), "%u", statement->version); /* a number fits, as the next */
    }
    if (statement->effective_at > 0) {
        (void)snprintf(effective, sizeof(effective), "%lld", (long long)statement->effective_at);
    }
    struct cm_span args[] = {
        CM_SPAN("FCALL"),
        CM_SPAN("admin_statement_publish"),
        CM_SPAN("4"),
        CM_SPAN(COUNTER),
        CM_SPAN(PURPOSES),
        CM_SPAN(STATEMENTS),
        CM_SPAN(TEXTS),
        statement->purpose,
        cm_span_of(version),
        cm_span_of(statement->language),
        cm_span_of(statement->material ? "1" : "0"),
        cm_span_of(effective),
        cm_span_of(sha_text),
        statement->text,
    };
    enum cm_registry_outcome outcome = change(store, args, sizeof(args) / sizeof(args[0]), 4, &reply, err);
    if (reply != NULL) {
        if (cm_parse_u64(cm_reply_text(reply->element[3]), UINT16_MAX, &number)) {
            *out_version = (unsigned)number;
        }
        cm_replies_free(&reply, 1);
    }
    return outcome;
}

enum cm_trouble cm_registry_statement_text(struct cm_store *store, uint32_t purpose_scope, unsigned version,
                                           const char *language, char **out, struct cm_err *err)
{
    char storage[64];
    struct cm_text name = cm_text_over(storage, sizeof(storage));
    redisReply *reply = NULL;
    cm_text_add_format(&name, "%u:%u:%s", purpose_scope, version, language);
    struct cm_span args[] = {CM_SPAN("HGET"), CM_SPAN(TEXTS), {storage, name.len}};
    enum cm_trouble trouble = cm_store_command(store, args, 3, &reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_span text = cm_reply_text(reply);
    *out = text.p != NULL ? strndup(text.p, text.len) : NULL;
    if (text.p != NULL && *out == NULL) {
        cm_err_set(err, "out of memory");
        trouble = CM_TROUBLE_MEMORY;
    }
    cm_replies_free(&reply, 1);
    return trouble;
}

enum cm_trouble cm_store_read_registry(struct cm_store *store, const struct cm_registry **out, struct cm_err *err)
{
    enum cm_trouble trouble = look_at_ends(store, err);
    return trouble == CM_TROUBLE_NONE ? cm_registry_fetch(store, out, err) : trouble;
}
