#include "store/archive.h"

#include <stdio.h>
#include <string.h>

#include "store_internal.h"

#define AFTER_BYTES (CM_LEDGER_ID_TEXT_BYTES + 1)

enum cm_trouble cm_archive_check_store(struct cm_store *store, struct cm_err *err)
{
    redisReply *reply = NULL;
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("HGET"), cm_store_key(key, 'm', 0, -1), CM_SPAN("store")};
    enum cm_trouble trouble = cm_store_command(store, args, 3, &reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    if (reply->type == REDIS_REPLY_NIL) {
        cm_err_set(err, "there is no consent store in this Redis");
        trouble = CM_TROUBLE_NO_STORE;
    } else if (!cm_span_equal(cm_reply_text(reply), cm_span_of(store->keys->store_id))) {
        cm_err_set(err, "this Redis holds another consent store than %s", store->keys->store_id);
        trouble = CM_TROUBLE_FOREIGN;
    }
    cm_replies_free(&reply, 1);
    return trouble;
}

static void ask_page(struct cm_request *request, unsigned partition, uint64_t after, unsigned limit)
{
    char key[CM_KEY_BYTES];
    char count[12];
    char from[AFTER_BYTES] = "(";
    cm_ledger_id_format(after, from + 1);
    (void)snprintf(count, sizeof(count), "%u", limit); /* ten digits fit */
    struct cm_span args[] = {CM_SPAN("XRANGE"), cm_store_key(key, 'l', partition, -1),
                             cm_span_of(from),  CM_SPAN("+"),
                             CM_SPAN("COUNT"),  cm_span_of(count)};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static void ask_mark(struct cm_request *request, unsigned partition)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("HMGET"), cm_store_key(key, 'a', partition, -1), CM_SPAN("cursor"),
                             CM_SPAN("count"), CM_SPAN("trim")};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static bool read_id(const redisReply *reply, uint64_t *out)
{
    return reply->type == REDIS_REPLY_NIL || cm_ledger_id_parse(cm_reply_text(reply), out);
}

static enum cm_trouble read_mark(const redisReply *reply, struct cm_archive_mark *out, struct cm_err *err)
{
    struct cm_archive_mark mark = {0};
    enum cm_trouble trouble = cm_reply_expect_array(reply, 3, "marks of the archiver", err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    redisReply **facts = reply->element;
    if (!read_id(facts[0], &mark.cursor) || !read_id(facts[2], &mark.trim) ||
        (facts[1]->type != REDIS_REPLY_NIL && !cm_parse_u64(cm_reply_text(facts[1]), UINT64_MAX, &mark.count))) {
        cm_err_set(err, "the marks of the archiver cannot be read");
        return CM_TROUBLE_MALFORMED;
    }
    *out = mark;
    return CM_TROUBLE_NONE;
}

/* An array reply, or trouble. */
static enum cm_trouble expect_page(const redisReply *reply, size_t limit, struct cm_err *err)
{
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    if (trouble == CM_TROUBLE_NONE && (reply->type != REDIS_REPLY_ARRAY || reply->elements > limit)) {
        cm_err_set(err, "Redis' answer is no page of the ledger");
        trouble = CM_TROUBLE_MALFORMED;
    }
    return trouble;
}

void cm_tail_ask(struct cm_request *request, unsigned partition, uint64_t after, unsigned limit)
{
    ask_page(request, partition, after, limit);
    ask_mark(request, partition);
}

enum cm_trouble cm_tail_check(redisReply *const replies[2], unsigned limit, struct cm_archive_mark *out_mark,
                              struct cm_err *err)
{
    enum cm_trouble trouble = expect_page(replies[0], limit, err);
    return trouble == CM_TROUBLE_NONE ? read_mark(replies[1], out_mark, err) : trouble;
}

enum cm_trouble cm_tail_read(struct cm_store *store, unsigned partition, uint64_t after, unsigned limit,
                             struct cm_tail_page *out, struct cm_archive_mark *out_mark, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[2];
    cm_tail_ask(&request, partition, after, limit);
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    trouble = cm_tail_check(replies, limit, out_mark, err);
    if (trouble != CM_TROUBLE_NONE) {
        cm_replies_free(replies, 2);
        return trouble;
    }
    *out = (struct cm_tail_page){.replies = {replies[0], replies[1]}, .count = replies[0]->elements};
    return CM_TROUBLE_NONE;
}

void cm_tail_page_free(struct cm_tail_page *page)
{
    redisReply *replies[2] = {page->replies[0], page->replies[1]};
    cm_replies_free(replies, 2);
    *page = (struct cm_tail_page){0};
}

/* The functions write two fields, `e` and `x`; anything else was put there by somebody else. */
static bool read_entry(const redisReply *reply, struct cm_ledger_raw *out)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        !cm_ledger_id_parse(cm_reply_text(reply->element[0]), &out->id)) {
        return false;
    }
    out->event = cm_entry_field(reply, "e");
    out->document = cm_entry_field(reply, "x");
    return reply->element[1]->elements == 4 && out->event.p != NULL && out->document.p != NULL &&
           (out->event.len == CM_EVENT_BYTES || out->event.len == CM_EVENT_MAX_BYTES) &&
           out->document.len <= CM_LIMIT_NOTE_BYTES;
}

enum cm_trouble cm_tail_entry(const struct cm_tail_page *page, size_t index, unsigned partition,
                              struct cm_ledger_raw *out, struct cm_err *err)
{
    const redisReply *reply = page->replies[0];
    *out = (struct cm_ledger_raw){.partition = partition};
    if (read_entry(reply->element[index], out)) {
        return CM_TROUBLE_NONE;
    }
    if (out->id == 0) {
        cm_err_set(err, "an entry of the ledger of partition %u has an id which the functions never give", partition);
        return CM_TROUBLE_MALFORMED;
    }
    *out = (struct cm_ledger_raw){.partition = partition, .id = out->id};
    return CM_TROUBLE_NONE;
}

/* Hands on one page; false if `each` ended it. */
static bool hand_on(const redisReply *page, unsigned partition,
                    bool (*each)(void *context, unsigned partition, uint64_t id, const struct cm_ledger_raw *entry),
                    void *context)
{
    for (size_t i = 0; i < page->elements; i++) {
        struct cm_ledger_raw entry = {.partition = partition};
        bool good = read_entry(page->element[i], &entry);
        if (!each(context, partition, entry.id, good ? &entry : NULL)) {
            return false;
        }
        if (!good) {
            return true;
        }
    }
    return true;
}

/* So that a group's pages together stay below the ceiling of one answer; notes, in partition 0, are large. */
static unsigned page_of(unsigned partition)
{
    return partition == 0 ? 5 : 50;
}

enum cm_trouble cm_archive_fetch(struct cm_store *store, unsigned first, size_t count, const uint64_t *after,
                                 bool (*each)(void *context, unsigned partition, uint64_t id,
                                              const struct cm_ledger_raw *entry),
                                 void *context, bool *out_full, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[CM_ARCHIVE_GROUP];
    for (size_t i = 0; i < count; i++) {
        ask_page(&request, first + (unsigned)i, after[i], page_of(first + (unsigned)i));
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        unsigned limit = page_of(first + (unsigned)i);
        trouble = expect_page(replies[i], limit, err);
        if (trouble == CM_TROUBLE_NONE) {
            out_full[i] = replies[i]->elements == limit;
            trouble = hand_on(replies[i], first + (unsigned)i, each, context) ? CM_TROUBLE_NONE : CM_TROUBLE_INTERNAL;
        }
    }
    cm_replies_free(replies, count);
    return trouble;
}

enum cm_trouble cm_archive_read_marks(struct cm_store *store, unsigned first, size_t count, struct cm_archive_mark *out,
                                      struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[CM_ARCHIVE_GROUP];
    for (size_t i = 0; i < count; i++) {
        ask_mark(&request, first + (unsigned)i);
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        trouble = read_mark(replies[i], &out[i], err);
    }
    cm_replies_free(replies, count);
    return trouble;
}

/* A ledger id as Redis may have given it to a refused entry: with a sequence that no record could name. */
static bool read_last_id(struct cm_span text, uint64_t *out)
{
    struct cm_span ms;
    uint64_t ms_value = 0;
    uint64_t sequence = 0;
    if (!cm_span_next(&text, '-', &ms) || text.p == NULL || !cm_parse_u64(ms, (uint64_t)CM_MS_MAX, &ms_value) ||
        !cm_parse_u64(text, UINT64_MAX, &sequence)) {
        return false;
    }
    *out = ms_value << 16 | (sequence < 0xffff ? sequence : 0xffff);
    return true;
}

static bool read_count(const redisReply *reply, uint64_t *out)
{
    *out = (uint64_t)reply->integer;
    return reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0;
}

enum cm_trouble cm_tail_read_facts(const redisReply *reply, struct cm_tail_facts *out, struct cm_err *err)
{
    struct cm_tail_facts facts = {0};
    unsigned found = 0;
    if (reply->type == REDIS_REPLY_ERROR &&
        cm_span_starts_with((struct cm_span){reply->str, (size_t)reply->len}, "ERR no such key")) {
        *out = facts;
        return CM_TROUBLE_NONE;
    }
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        struct cm_span name = cm_reply_text(reply->element[i]);
        const redisReply *value = reply->element[i + 1];
        found += (cm_span_equal(name, CM_SPAN("length")) && read_count(value, &facts.length)) ||
                 (cm_span_equal(name, CM_SPAN("entries-added")) && read_count(value, &facts.added)) ||
                 (cm_span_equal(name, CM_SPAN("last-generated-id")) && read_last_id(cm_reply_text(value), &facts.last));
    }
    if (found != 3) {
        cm_err_set(err, "XINFO STREAM lacks what is needed: Redis 7.0 or newer is");
        return CM_TROUBLE_MALFORMED;
    }
    *out = facts;
    return CM_TROUBLE_NONE;
}

void cm_tail_ask_facts(struct cm_request *request, unsigned partition)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("XINFO"), CM_SPAN("STREAM"), cm_store_key(key, 'l', partition, -1)};
    cm_request_add(request, args, 3);
}

enum cm_trouble cm_archive_read_facts(struct cm_store *store, unsigned first, size_t count, struct cm_tail_facts *out,
                                      struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[CM_ARCHIVE_GROUP];
    for (size_t i = 0; i < count; i++) {
        cm_tail_ask_facts(&request, first + (unsigned)i);
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        trouble = cm_tail_read_facts(replies[i], &out[i], err);
    }
    cm_replies_free(replies, count);
    return trouble;
}

static void add_marks(struct cm_request *request, const struct cm_archive_order *order)
{
    char key[CM_KEY_BYTES];
    char cursor[CM_LEDGER_ID_TEXT_BYTES];
    char trim[CM_LEDGER_ID_TEXT_BYTES];
    char count[24];
    cm_ledger_id_format(order->mark.cursor, cursor);
    cm_ledger_id_format(order->mark.trim, trim);
    (void)snprintf(count, sizeof(count), "%llu", (unsigned long long)order->mark.count); /* 20 digits fit */
    struct cm_span args[] = {CM_SPAN("HSET"),   cm_store_key(key, 'a', order->partition, -1),
                             CM_SPAN("cursor"), cm_span_of(cursor),
                             CM_SPAN("count"),  cm_span_of(count),
                             CM_SPAN("trim"),   cm_span_of(trim)};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static void add_trimming(struct cm_request *request, const struct cm_archive_order *order)
{
    char key[CM_KEY_BYTES];
    char trim[CM_LEDGER_ID_TEXT_BYTES];
    cm_ledger_id_format(order->mark.trim, trim);
    struct cm_span args[] = {CM_SPAN("XTRIM"), cm_store_key(key, 'l', order->partition, -1), CM_SPAN("MINID"),
                             cm_span_of(trim)};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

/* One command for each order; *out_sum is the sum of the answers. */
static enum cm_trouble run_orders(struct cm_store *store, const struct cm_archive_order *orders, size_t count,
                                  void (*add)(struct cm_request *request, const struct cm_archive_order *order),
                                  uint64_t *out_sum, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[CM_ARCHIVE_GROUP];
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        add(&request, &orders[i]);
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        trouble = cm_reply_trouble(replies[i], err);
        sum += replies[i]->type == REDIS_REPLY_INTEGER ? (uint64_t)replies[i]->integer : 0;
    }
    cm_replies_free(replies, count);
    *out_sum = sum;
    return trouble;
}

enum cm_trouble cm_archive_write_marks(struct cm_store *store, const struct cm_archive_order *orders, size_t count,
                                       struct cm_err *err)
{
    uint64_t unused = 0;
    return run_orders(store, orders, count, add_marks, &unused, err);
}

enum cm_trouble cm_archive_trim(struct cm_store *store, const struct cm_archive_order *orders, size_t count,
                                uint64_t *out_trimmed, struct cm_err *err)
{
    return run_orders(store, orders, count, add_trimming, out_trimmed, err);
}
