#include "store/uses.h"

#include <string.h>

#include "base/bytes.h"
#include "store/audit.h"
#include "store_internal.h"

#define USE_BYTES 15
#define KEPT "10000" /* about so many a partition; a keeper that is away longer marks only the newest */
#define PAGE "32"
#define PAGE_COUNT 32
#define CURSOR "used" /* in n:{pHHH}: the last entry that was marked */
#define ID_BYTES 48

/* Frees the replies. */
static enum cm_trouble check_all(redisReply **replies, size_t count, struct cm_err *err)
{
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    for (size_t i = 0; i < count && trouble == CM_TROUBLE_NONE; i++) {
        trouble = cm_reply_trouble(replies[i], err);
    }
    cm_replies_free(replies, count);
    return trouble;
}

enum cm_trouble cm_store_leave_uses(struct cm_store *store, const struct cm_use *uses, size_t count, struct cm_err *err)
{
    redisReply *replies[CM_LIMIT_LOOKUP_BATCH];
    struct cm_request request = {0};
    if (count == 0 || count > CM_LIMIT_LOOKUP_BATCH) {
        cm_err_set(err, "%zu uses at once", count);
        return CM_TROUBLE_INTERNAL;
    }
    for (size_t i = 0; i < count; i++) {
        char key[CM_KEY_BYTES];
        uint8_t packed[USE_BYTES];
        cm_put_be(packed, uses[i].bucket, 2);
        memcpy(packed + 2, uses[i].field, CM_FIELD_BYTES);
        cm_put_be(packed + 10, uses[i].scope, 4);
        packed[14] = uses[i].month;
        struct cm_span args[] = {CM_SPAN("XADD"),   cm_store_key(key, 'u', uses[i].partition, -1),
                                 CM_SPAN("MAXLEN"), CM_SPAN("~"),
                                 CM_SPAN(KEPT),     CM_SPAN("*"),
                                 CM_SPAN("u"),      CM_ARG_BYTES(packed, sizeof(packed))};
        cm_request_add(&request, args, sizeof(args) / sizeof(args[0]));
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    return trouble == CM_TROUBLE_NONE ? check_all(replies, count, err) : trouble;
}

/* Adds what marks one page of one partition, and moves the cursor behind it: last, for what is marked twice is marked
 * once. What is no use is passed over, else it would stand in the way of all after it: MALFORMED, and the rest is
 * added. */
static enum cm_trouble add_page(const struct cm_store *store, struct cm_request *request, unsigned partition,
                                const redisReply *page, struct cm_err *err)
{
    char keys[2][CM_KEY_BYTES];
    struct cm_span id = {NULL, 0};
    enum cm_trouble trouble = cm_reply_trouble(page, err);
    if (trouble == CM_TROUBLE_NONE && (page->type != REDIS_REPLY_ARRAY || page->elements > PAGE_COUNT)) {
        cm_err_set(err, "XRANGE of uses was answered with something else");
        trouble = CM_TROUBLE_MALFORMED;
    }
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (size_t i = 0; i < page->elements; i++) {
        const redisReply *entry = page->element[i];
        struct cm_span use = cm_entry_field(entry, "u");
        if (entry->type == REDIS_REPLY_ARRAY && entry->elements == 2) {
            id = cm_reply_text(entry->element[0]);
        }
        if (use.len != USE_BYTES || cm_get_be((const uint8_t *)use.p, 2) >= CM_BUCKETS) {
            cm_err_set(err, "a use in partition %u cannot be read", partition);
            trouble = CM_TROUBLE_MALFORMED;
            continue;
        }
        struct cm_span args[] = {
            CM_SPAN("FCALL"),
            CM_SPAN("system_use"),
            CM_SPAN("2"),
            cm_store_key(keys[0], 'c', partition, (int)cm_get_be((const uint8_t *)use.p, 2)),
            cm_store_key(keys[1], 'm', partition, -1),
            cm_span_of(store->keys->store_id),
            {use.p + 2, CM_FIELD_BYTES},
            {use.p + 10, 4},
            {use.p + 14, 1},
        };
        cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
    }
    if (id.p != NULL && id.len < ID_BYTES) {
        struct cm_span cursor[] = {CM_SPAN("HSET"), cm_store_key(keys[0], 'n', partition, -1), CM_SPAN(CURSOR), id};
        cm_request_add(request, cursor, 4);
    }
    return trouble;
}

/* All pages in one pipeline: a server that syncs its file before it answers does so once. */
static enum cm_trouble mark_pages(struct cm_store *store, unsigned first, unsigned count, redisReply *const *pages,
                                  struct cm_err *err)
{
    redisReply *replies[CM_USES_WINDOW * (PAGE_COUNT + 1)];
    struct cm_request request = {0};
    enum cm_trouble found = CM_TROUBLE_NONE;
    for (unsigned i = 0; i < count; i++) {
        enum cm_trouble trouble = add_page(store, &request, first + i, pages[i], err);
        found = found != CM_TROUBLE_NONE ? found : trouble;
    }
    size_t commands = request.commands;
    if (commands == 0 && !request.failed) {
        return found;
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = check_all(replies, commands, err);
    }
    return trouble != CM_TROUBLE_NONE ? trouble : found;
}

static void ask_cursors(struct cm_request *request, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[CM_KEY_BYTES];
        struct cm_span args[] = {CM_SPAN("HGET"), cm_store_key(key, 'n', first + i, -1), CM_SPAN(CURSOR)};
        cm_request_add(request, args, 3);
    }
}

static void ask_pages(struct cm_request *request, unsigned first, unsigned count, redisReply *const *cursors)
{
    for (unsigned i = 0; i < count; i++) {
        char key[CM_KEY_BYTES];
        char from[ID_BYTES + 2];
        struct cm_text text = cm_text_over(from, sizeof(from));
        struct cm_span cursor = cm_reply_text(cursors[i]);
        if (cursor.p == NULL || cursor.len >= ID_BYTES) {
            cm_text_add_str(&text, "-");
        } else {
            cm_text_add_char(&text, '(');
            cm_text_add(&text, cursor);
        }
        struct cm_span args[] = {CM_SPAN("XRANGE"), cm_store_key(key, 'u', first + i, -1),
                                 {from, text.len},  CM_SPAN("+"),
                                 CM_SPAN("COUNT"),  CM_SPAN(PAGE)};
        cm_request_add(request, args, 6);
    }
}

enum cm_trouble cm_store_mark_uses(struct cm_store *store, unsigned first, unsigned count, struct cm_err *err)
{
    redisReply *replies[CM_USES_WINDOW];
    struct cm_request cursors = {0};
    struct cm_request pages = {0};
    if (count == 0 || count > CM_USES_WINDOW || first > CM_PARTITIONS - count) {
        cm_err_set(err, "a window of %u partitions from %u on", count, first);
        return CM_TROUBLE_INTERNAL;
    }
    ask_cursors(&cursors, first, count);
    enum cm_trouble trouble = cm_store_run(store, &cursors, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (unsigned i = 0; i < count && trouble == CM_TROUBLE_NONE; i++) {
        trouble = cm_reply_trouble(replies[i], err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        ask_pages(&pages, first, count, replies);
    }
    cm_replies_free(replies, count);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_run(store, &pages, replies, err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    trouble = mark_pages(store, first, count, replies, err);
    cm_replies_free(replies, count);
    return trouble;
}
