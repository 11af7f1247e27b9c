#include "store/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define PAGE "1000"
#define DAY_MS ((cm_ms)86400000)
#define REFUSALS_KEPT "10000" /* a partition; about ten million in all */
#define DAY_KEPT_S "34560000" /* 400 days */
#define CLOCK_SLACK_MS                                                                            \
    120000 /* how far the daemon's clock may be ahead of Redis' and `explain` still finds its ids \
            */

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
    struct cm_call how = {.may_repeat = false};
    enum cm_trouble trouble = cm_pool_call(store->pool, &request, &how, replies, err);
    *out_sent = how.sent;
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

enum cm_trouble cm_store_forget_refusals(struct cm_store *store, unsigned days, struct cm_err *err)
{
    redisReply *reply = NULL;
    struct cm_request request = {0};
    cm_ms now = 0;
    char from[24];
    enum cm_trouble trouble = cm_store_command(store, (struct cm_span[]){CM_SPAN("TIME")}, 1, &reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    trouble = cm_time_read(reply, &now, err);
    cm_replies_free(&reply, 1);
    redisReply **replies = calloc(CM_PARTITIONS, sizeof(*replies));
    if (trouble != CM_TROUBLE_NONE || replies == NULL) {
        free(replies);
        if (trouble == CM_TROUBLE_NONE) {
            cm_err_set(err, "out of memory");
            trouble = CM_TROUBLE_MEMORY;
        }
        return trouble;
    }
    (void)snprintf(from, sizeof(from), "%lld", (long long)(now - (cm_ms)days * DAY_MS)); /* 20 digits fit */
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        char key[CM_KEY_BYTES];
        cm_request_add(
            &request,
            (struct cm_span[]){CM_SPAN("XTRIM"), cm_store_key(key, 'r', p, -1), CM_SPAN("MINID"), cm_span_of(from)}, 4);
    }
    trouble = cm_store_run(store, &request, replies, err);
    for (size_t p = 0; trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p++) {
        trouble = cm_reply_trouble(replies[p], err);
    }
    for (size_t p = 0; p < CM_PARTITIONS; p++) {
        if (replies[p] != NULL) {
            cm_replies_free(&replies[p], 1);
        }
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
            if (cm_span_equal(cm_entry_field(entry, "id"), id)) {
                *out_found = cm_copy(out, size, cm_entry_field(entry, "d"));
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
