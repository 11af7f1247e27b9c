#include "store/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define PAGE "1000"
#define REFUSALS_KEPT "10000" /* a partition; about ten million in all */
#define DAY_KEPT_S "34560000" /* 400 days */
#define CLOCK_SLACK_MS                                                                            \
    120000 /* how far the daemon's clock may be ahead of Redis' and `explain` still finds its ids \
            */
#define SEALS_MAX 64

struct seals {
    struct cm_record records[SEALS_MAX];
    size_t count;
};

/* The salts under one field, to open its documents with. */
static enum cm_trouble read_seals(struct cm_store *store, const struct cm_subject *subject, struct seals *out,
                                  struct cm_err *err)
{
    struct cm_arena arena;
    struct cm_subject_records records;
    struct cm_lookup lookup = {0};
    cm_arena_init(&arena, CM_LIMIT_MESSAGE_BYTES);
    enum cm_trouble trouble = cm_store_lookup(store, subject, 1, &arena, &records, &lookup, err);
    out->count = 0;
    if (trouble == CM_TROUBLE_NONE) {
        bool same = records.exact == records.family;
        for (size_t i = 0; i < records.exact_count && out->count < SEALS_MAX; i++) {
            if (records.exact[i].kind == CM_KIND_SEAL) {
                out->records[out->count++] = records.exact[i];
            }
        }
        for (size_t i = 0; !same && i < records.family_count && out->count < SEALS_MAX; i++) {
            if (records.family[i].kind == CM_KIND_SEAL) {
                out->records[out->count++] = records.family[i];
            }
        }
        cm_registry_unref(lookup.registry);
    }
    cm_arena_done(&arena);
    return trouble;
}

/* Opens a document with whichever salt fits: the tag tells. */
static void open_document(const struct cm_store *store, const struct seals *seals, struct cm_span sealed,
                          char buffer[CM_LIMIT_EVIDENCE_BYTES + 1], struct cm_ledger_entry *entry)
{
    uint8_t sha[CM_SHA256_BYTES];
    if ((entry->event.record.flags & CM_RECORD_HAS_EVIDENCE) == 0) {
        return;
    }
    entry->document_lost = true;
    if (!store->keys->has_seal || !cm_sha256(sealed, sha) ||
        memcmp(sha, entry->event.evidence_sha256, sizeof(sha)) != 0) {
        return;
    }
    for (size_t i = 0; i < seals->count && entry->document_lost; i++) {
        size_t len = 0;
        if (cm_unseal(store->keys->seal, seals->records[i].salt, sealed, buffer, &len)) {
            entry->document = (struct cm_span){buffer, len};
            entry->document_lost = false;
        }
    }
}

/* The value of one field of a stream entry; {NULL, 0} if it is not there. */
static struct cm_span entry_field(const redisReply *entry, const char *name)
{
    const redisReply *fields = entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 ? entry->element[1] : NULL;
    for (size_t i = 0; fields != NULL && fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        if (cm_span_equal(cm_reply_text(fields->element[i]), cm_span_of(name))) {
            return cm_reply_text(fields->element[i + 1]);
        }
    }
    return (struct cm_span){NULL, 0};
}

static enum cm_trouble read_entry(const redisReply *reply, struct cm_ledger_entry *out, struct cm_err *err)
{
    *out = (struct cm_ledger_entry){0};
    struct cm_span packed = entry_field(reply, "e");
    if (packed.p == NULL || !cm_event_decode(packed, &out->event) ||
        !cm_ledger_id_parse(cm_reply_text(reply->element[0]), &out->id)) {
        cm_err_set(err, "an event of the ledger cannot be read");
        return CM_TROUBLE_MALFORMED;
    }
    return CM_TROUBLE_NONE;
}

static bool concerns(const struct cm_event *event, const struct cm_subject *subject)
{
    return event->bucket == subject->bucket && (memcmp(event->field, subject->exact, CM_FIELD_BYTES) == 0 ||
                                                memcmp(event->field, subject->family, CM_FIELD_BYTES) == 0);
}

enum cm_trouble cm_store_history(struct cm_store *store, const struct cm_subject *subject,
                                 bool (*each)(void *context, const struct cm_ledger_entry *entry), void *context,
                                 struct cm_err *err)
{
    struct seals seals;
    char key[CM_KEY_BYTES];
    char document[CM_LIMIT_EVIDENCE_BYTES + 1];
    char from[CM_LEDGER_ID_TEXT_BYTES + 1] = "-";
    enum cm_trouble trouble = read_seals(store, subject, &seals, err);
    bool more = true;
    while (trouble == CM_TROUBLE_NONE && more) {
        redisReply *page = NULL;
        struct cm_span args[] = {CM_SPAN("XRANGE"), cm_store_key(key, 'l', subject->partition, -1),
                                 cm_span_of(from),  CM_SPAN("+"),
                                 CM_SPAN("COUNT"),  CM_SPAN(PAGE)};
        trouble = cm_store_command(store, args, 6, &page, err);
        if (trouble != CM_TROUBLE_NONE) {
            break;
        }
        more = page->type == REDIS_REPLY_ARRAY && page->elements > 0;
        for (size_t i = 0; more && trouble == CM_TROUBLE_NONE && i < page->elements; i++) {
            struct cm_ledger_entry entry;
            trouble = read_entry(page->element[i], &entry, err);
            if (trouble == CM_TROUBLE_NONE && concerns(&entry.event, subject)) {
                open_document(store, &seals, entry_field(page->element[i], "x"), document, &entry);
                more = each(context, &entry);
            }
            from[0] = '(';
            cm_ledger_id_format(entry.id, from + 1);
        }
        cm_replies_free(&page, 1);
    }
    return trouble;
}

static void add_refusal(struct cm_request *request, const struct cm_refusal *refusal)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {
        CM_SPAN("XADD"),        cm_store_key(key, 'r', refusal->partition, -1),
        CM_SPAN("MAXLEN"),      CM_SPAN("~"),
        CM_SPAN(REFUSALS_KEPT), CM_SPAN("*"),
        CM_SPAN("id"),          cm_span_of(refusal->id),
        CM_SPAN("d"),           cm_span_of(refusal->document),
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static void add_count(struct cm_request *request, unsigned partition, const struct cm_day_count *count)
{
    char key[CM_KEY_BYTES];
    char amount[24];
    struct cm_span base = cm_store_key(key, 'd', partition, -1);
    struct cm_text day_key = {.p = key, .len = base.len, .size = sizeof(key)};
    cm_text_add_format(&day_key, ":%s", count->day);
    struct cm_span name = {key, day_key.len};
    (void)snprintf(amount, sizeof(amount), "%llu", (unsigned long long)count->count); /* 20 digits fit */
    cm_request_add(request, (struct cm_span[]){CM_SPAN("HINCRBY"), name, cm_span_of(count->name), cm_span_of(amount)},
                   4);
    cm_request_add(request, (struct cm_span[]){CM_SPAN("EXPIRE"), name, CM_SPAN(DAY_KEPT_S)}, 3);
}

enum cm_trouble cm_store_record(struct cm_store *store, unsigned counter_partition, const struct cm_refusal *refusals,
                                size_t refusal_count, const struct cm_day_count *counts, size_t count_count,
                                bool *out_sent, struct cm_err *err)
{
    struct cm_request request = {0};
    for (size_t i = 0; i < refusal_count; i++) {
        add_refusal(&request, &refusals[i]);
    }
    for (size_t i = 0; i < count_count; i++) {
        add_count(&request, counter_partition, &counts[i]);
    }
    size_t replies_count = request.commands;
    *out_sent = false;
    redisReply **replies = calloc(replies_count + 1, sizeof(redisReply *));
    if (replies == NULL) {
        cm_request_done(&request);
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    enum cm_trouble trouble = cm_pool_call(store->pool, &request, false, replies, out_sent, err);
    cm_request_done(&request);
    if (trouble == CM_TROUBLE_NONE) {
        *out_sent = true;
        for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < replies_count; i++) {
            trouble = cm_reply_trouble(replies[i], err);
        }
        cm_replies_free(replies, replies_count);
    }
    free(replies);
    return trouble;
}

enum cm_trouble cm_store_find_refusal(struct cm_store *store, struct cm_span id, char *out, size_t size,
                                      bool *out_found, struct cm_err *err)
{
    struct cm_decision_id parts;
    char key[CM_KEY_BYTES];
    char from[CM_LEDGER_ID_TEXT_BYTES + 1];
    *out_found = false;
    if (!cm_decision_id_parse(id, &parts)) {
        cm_err_set(err, "that is not a decision id");
        return CM_TROUBLE_INTERNAL;
    }
    (void)snprintf(from, sizeof(from), "%lld", (long long)(parts.at > CLOCK_SLACK_MS ? parts.at - CLOCK_SLACK_MS : 0));
    for (bool more = true; more;) {
        redisReply *page = NULL;
        struct cm_span args[] = {CM_SPAN("XRANGE"), cm_store_key(key, 'r', parts.partition, -1),
                                 cm_span_of(from),  CM_SPAN("+"),
                                 CM_SPAN("COUNT"),  CM_SPAN(PAGE)};
        enum cm_trouble trouble = cm_store_command(store, args, 6, &page, err);
        if (trouble != CM_TROUBLE_NONE) {
            return trouble;
        }
        more = page->type == REDIS_REPLY_ARRAY && page->elements > 0;
        for (size_t i = 0; more && i < page->elements; i++) {
            const redisReply *entry = page->element[i];
            if (cm_span_equal(entry_field(entry, "id"), id)) {
                *out_found = cm_copy(out, size, entry_field(entry, "d"));
                more = false;
            } else {
                from[0] = '(';
                more = entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 &&
                       cm_copy(from + 1, sizeof(from) - 1, cm_reply_text(entry->element[0]));
            }
        }
        cm_replies_free(&page, 1);
    }
    return CM_TROUBLE_NONE;
}

/* HGETALL of one hash a partition, each field a number. */
static enum cm_trouble sum_hashes(struct cm_store *store, char letter, const char *suffix,
                                  void (*each)(void *context, struct cm_span name, uint64_t count), void *context,
                                  struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply **replies = calloc(CM_PARTITIONS, sizeof(*replies));
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        char key[CM_KEY_BYTES];
        struct cm_span base = cm_store_key(key, letter, p, -1);
        struct cm_text name = {.p = key, .len = base.len, .size = sizeof(key)};
        cm_text_add_str(&name, suffix);
        cm_request_add(&request, (struct cm_span[]){CM_SPAN("HGETALL"), {key, name.len}}, 2);
    }
    if (replies == NULL) {
        cm_request_done(&request);
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    for (size_t p = 0; trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p++) {
        trouble = cm_reply_trouble(replies[p], err);
        for (size_t i = 0; replies[p]->type == REDIS_REPLY_ARRAY && i + 1 < replies[p]->elements; i += 2) {
            uint64_t count = 0;
            if (cm_parse_u64(cm_reply_text(replies[p]->element[i + 1]), UINT64_MAX, &count)) {
                each(context, cm_reply_text(replies[p]->element[i]), count);
            }
        }
    }
    for (size_t p = 0; p < CM_PARTITIONS; p++) {
        if (replies[p] != NULL) {
            cm_replies_free(&replies[p], 1);
        }
    }
    free(replies);
    return trouble;
}

enum cm_trouble cm_store_day_counts(struct cm_store *store, const char day[9],
                                    void (*each)(void *context, struct cm_span name, uint64_t count), void *context,
                                    struct cm_err *err)
{
    char suffix[11];
    (void)snprintf(suffix, sizeof(suffix), ":%.8s", day); /* nine bytes fit */
    return sum_hashes(store, 'd', suffix, each, context, err);
}

enum cm_trouble cm_store_record_counts(struct cm_store *store,
                                       void (*each)(void *context, struct cm_span name, uint64_t count), void *context,
                                       struct cm_err *err)
{
    return sum_hashes(store, 'n', "", each, context, err);
}
