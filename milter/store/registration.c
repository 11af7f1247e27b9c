#include "store/admin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/write.h"
#include "store_internal.h"

#define LANGUAGE_MAX 16
#define ARGS_MAX 24

#define COUNTER "g:" CM_REGISTRY_TAG ":counter"
#define LEDGER "l:" CM_REGISTRY_TAG
#define COUNTS "n:" CM_REGISTRY_TAG
#define SENDERS "g:" CM_REGISTRY_TAG ":senders"
#define PURPOSES "g:" CM_REGISTRY_TAG ":purposes"
#define STATEMENTS "g:" CM_REGISTRY_TAG ":statements"
#define TEXTS "g:" CM_REGISTRY_TAG ":texts"

/* One call of a registry function: the hashes it needs beside counter and ledger, and its own arguments. */
struct change {
    const char *function;
    const char *hashes[3];
    size_t hash_count;
    struct cm_span args[8];
    size_t arg_count;
    size_t result_count; /* elements of its answer: word, row, version, ... */
    json_t *note;        /* what the ledger will tell of it, LAW-16; consumed */
};

static void add_announcement(struct cm_request *request, unsigned partition, const void *context)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("FCALL"), CM_SPAN("admin_registry_announce"), CM_SPAN("1"),
                             cm_store_key(key, 'm', partition, -1), *(const struct cm_span *)context};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static enum cm_trouble call(struct cm_store *store, const struct change *change, const struct cm_note *note,
                            redisReply **out_reply, struct cm_err *err)
{
    char key_count[8];
    size_t count = 0;
    struct cm_span args[ARGS_MAX];
    (void)snprintf(key_count, sizeof(key_count), "%zu", 3 + change->hash_count); /* a small number fits */
    args[count++] = CM_SPAN("FCALL");
    args[count++] = cm_span_of(change->function);
    args[count++] = cm_span_of(key_count);
    args[count++] = CM_SPAN(COUNTER);
    args[count++] = CM_SPAN(LEDGER);
    args[count++] = CM_SPAN(COUNTS);
    for (size_t i = 0; i < change->hash_count; i++) {
        args[count++] = cm_span_of(change->hashes[i]);
    }
    args[count++] = CM_ARG_BYTES(note->event_id, sizeof(note->event_id));
    args[count++] = note->document;
    args[count++] = CM_ARG_BYTES(note->sha256, sizeof(note->sha256));
    for (size_t i = 0; i < change->arg_count; i++) {
        args[count++] = change->args[i];
    }
    enum cm_trouble trouble = cm_store_command(store, args, count, out_reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_reply_expect_array(*out_reply, change->result_count, "result of a registry function", err);
        if (trouble != CM_TROUBLE_NONE) {
            cm_replies_free(out_reply, 1);
        }
    }
    return trouble;
}

/* The function with its note, then the announcement to all filters. The answer is the caller's. */
static enum cm_registry_outcome run(struct cm_store *store, const struct change *change, redisReply **out_reply,
                                    struct cm_err *err)
{
    redisReply *reply = NULL;
    struct cm_note note;
    char *document = json_dumps(change->note, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(change->note);
    enum cm_trouble trouble = document != NULL ? cm_store_look_at_ends(store, err) : CM_TROUBLE_MEMORY;
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_note_make(cm_span_of(document), &note, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = call(store, change, &note, &reply, err);
    }
    free(document);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble == CM_TROUBLE_ERROR_REPLY ? CM_REGISTRY_REFUSED : CM_REGISTRY_TROUBLE;
    }
    struct cm_span version = cm_reply_text(reply->element[2]);
    bool present = cm_span_equal(cm_reply_text(reply->element[0]), CM_SPAN("present"));
    trouble = cm_store_for_all_partitions(store, add_announcement, &version, err);
    if (trouble != CM_TROUBLE_NONE) {
        cm_err_prefix(err, "registered, but not every filter may know yet: repeat the command");
        cm_replies_free(&reply, 1);
        return CM_REGISTRY_TROUBLE;
    }
    *out_reply = reply;
    return present ? CM_REGISTRY_PRESENT : CM_REGISTRY_CHANGED;
}

static enum cm_registry_outcome run_simply(struct cm_store *store, const struct change *change, struct cm_err *err)
{
    redisReply *reply = NULL;
    enum cm_registry_outcome outcome = run(store, change, &reply, err);
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

enum cm_registry_outcome cm_registry_add_sender(struct cm_store *store, const char *actor, const char *sender,
                                                const char *title, struct cm_err *err)
{
    if (!is_text(cm_span_of(title), "title", err)) {
        return CM_REGISTRY_REFUSED;
    }
    const struct change change = {
        .function = "admin_sender_add",
        .hashes = {SENDERS},
        .hash_count = 1,
        .args = {cm_span_of(sender), cm_span_of(title)},
        .arg_count = 2,
        .result_count = 3,
        .note = json_pack("{s:s, s:s, s:s, s:s}", "note", "sender_add", "actor", actor, "sender", sender, "title",
                          title),
    };
    return run_simply(store, &change, err);
}

static const char *dormancy_word(enum cm_dormancy_act act)
{
    return act == CM_DORMANCY_WARN ? "warn" : act == CM_DORMANCY_REFUSE ? "refuse" : "off";
}

enum cm_registry_outcome cm_registry_add_purpose(struct cm_store *store, const char *actor, const char *path,
                                                 const char *title, const struct cm_dormancy *dormancy,
                                                 struct cm_err *err)
{
    char months[12];
    if (!is_text(cm_span_of(title), "title", err)) {
        return CM_REGISTRY_REFUSED;
    }
    const char *first = strchr(path, '/');
    const char *last = strrchr(path, '/');
    struct cm_span sender = {path, first != NULL ? (size_t)(first - path) : 0};
    struct cm_span parent = {path, last != first ? (size_t)(last - path) : 0};
    bool is_on = dormancy->act != CM_DORMANCY_OFF;
    (void)snprintf(months, sizeof(months), "%u", dormancy->months); /* a number fits */
    const struct change change = {
        .function = "admin_purpose_add",
        .hashes = {SENDERS, PURPOSES},
        .hash_count = 2,
        .args = {sender, cm_span_of(path), parent, cm_span_of(title), cm_span_of(months),
                 cm_span_of(is_on ? dormancy_word(dormancy->act) : "")},
        .arg_count = 6,
        .result_count = 3,
        .note = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "note", "purpose_add", "actor", actor, "purpose", path,
                          "title", title, "dormancy", dormancy_word(dormancy->act), "months", (int)dormancy->months),
    };
    return run_simply(store, &change, err);
}

enum cm_registry_outcome cm_registry_retire_purpose(struct cm_store *store, const char *actor, const char *path,
                                                    struct cm_err *err)
{
    const struct change change = {
        .function = "admin_purpose_retire",
        .hashes = {PURPOSES},
        .hash_count = 1,
        .args = {cm_span_of(path)},
        .arg_count = 1,
        .result_count = 3,
        .note = json_pack("{s:s, s:s, s:s}", "note", "purpose_retire", "actor", actor, "purpose", path),
    };
    return run_simply(store, &change, err);
}

enum cm_registry_outcome cm_registry_set_halt(struct cm_store *store, const char *actor, const char *scope, bool halted,
                                              const char *reason, struct cm_err *err)
{
    if (!is_text(cm_span_of(reason), "reason", err)) {
        return CM_REGISTRY_REFUSED;
    }
    const struct change change = {
        .function = "admin_registry_halt",
        .hashes = {strchr(scope, '/') != NULL ? PURPOSES : SENDERS},
        .hash_count = 1,
        .args = {cm_span_of(scope), cm_span_of(halted ? "1" : "0")},
        .arg_count = 2,
        .result_count = 3,
        .note = json_pack("{s:s, s:s, s:s, s:s}", "note", halted ? "halt" : "halt_end", "actor", actor, "scope", scope,
                          "reason", reason),
    };
    return run_simply(store, &change, err);
}

enum cm_registry_outcome cm_registry_set_dormancy(struct cm_store *store, const char *actor, const char *path,
                                                  const struct cm_dormancy *dormancy, struct cm_err *err)
{
    char months[12];
    (void)snprintf(months, sizeof(months), "%u", dormancy->months); /* a number fits */
    const struct change change = {
        .function = "admin_purpose_dormancy",
        .hashes = {PURPOSES},
        .hash_count = 1,
        .args = {cm_span_of(path), cm_span_of(months), cm_span_of(dormancy_word(dormancy->act))},
        .arg_count = 3,
        .result_count = 3,
        .note = json_pack("{s:s, s:s, s:s, s:s, s:i}", "note", "purpose_dormancy", "actor", actor, "purpose", path,
                          "dormancy", dormancy_word(dormancy->act), "months", (int)dormancy->months),
    };
    return run_simply(store, &change, err);
}

enum cm_registry_outcome cm_registry_publish(struct cm_store *store, const char *actor,
                                             const struct cm_statement_text *statement, unsigned *out_version,
                                             struct cm_err *err)
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
    const struct change change = {
        .function = "admin_statement_publish",
        .hashes = {PURPOSES, STATEMENTS, TEXTS},
        .hash_count = 3,
        .args = {statement->purpose, cm_span_of(version), cm_span_of(statement->language),
                 cm_span_of(statement->material ? "1" : "0"), cm_span_of(effective), cm_span_of(sha_text),
                 statement->text},
        .arg_count = 7,
        .result_count = 4,
        .note = json_pack("{s:s, s:s, s:s%, s:s, s:b, s:s, s:s, s:s}", "note", "statement_publish", "actor", actor,
                          "purpose", statement->purpose.p, statement->purpose.len, "version", version, "material",
                          statement->material, "effective_ms", effective, "language", statement->language, "sha256",
                          sha_text),
    };
    enum cm_registry_outcome outcome = run(store, &change, &reply, err);
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
