#include "store/audit.h"

#include "store_internal.h"

enum cm_trouble cm_buckets_read(struct cm_store *store, unsigned partition, const uint16_t *buckets, size_t count,
                                uint64_t after, struct cm_bucket_dump *out, bool *out_quiet, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[CM_BUCKET_GROUP + 2];
    struct cm_archive_mark mark;
    for (size_t i = 0; i < count; i++) {
        char key[CM_KEY_BYTES];
        cm_request_add(&request, (struct cm_span[]){CM_SPAN("HGETALL"), cm_store_key(key, 'c', partition, buckets[i])},
                       2);
    }
    cm_tail_ask(&request, partition, after, 1);
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    trouble = cm_tail_check(replies + count, 1, &mark, err);
    if (trouble != CM_TROUBLE_NONE) {
        cm_replies_free(replies, count + 2);
        return trouble;
    }
    *out_quiet = replies[count]->elements == 0 && mark.trim <= after + 1;
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        out->replies[i] = replies[i];
    }
    cm_replies_free(replies + count, 2);
    return CM_TROUBLE_NONE;
}

void cm_bucket_dump_free(struct cm_bucket_dump *dump)
{
    for (size_t i = 0; i < dump->count; i++) {
        redisReply *reply = dump->replies[i];
        cm_replies_free(&reply, 1);
    }
    dump->count = 0;
}

bool cm_bucket_size(const struct cm_bucket_dump *dump, size_t i, size_t *out_count)
{
    const redisReply *reply = dump->replies[i];
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 0) {
        return false;
    }
    *out_count = reply->elements / 2;
    return true;
}

void cm_bucket_subject(const struct cm_bucket_dump *dump, size_t i, size_t subject, struct cm_span *out_field,
                       struct cm_span *out_records)
{
    const redisReply *reply = dump->replies[i];
    *out_field = cm_reply_text(reply->element[2 * subject]);
    *out_records = cm_reply_text(reply->element[2 * subject + 1]);
}

enum cm_trouble cm_counters_read(struct cm_store *store, unsigned partition,
                                 bool (*each)(void *context, struct cm_span name, struct cm_span value), void *context,
                                 struct cm_tail_facts *out_facts, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[2];
    char key[CM_KEY_BYTES];
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("HGETALL"), cm_store_key(key, 'n', partition, -1)}, 2);
    cm_tail_ask_facts(&request, partition);
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    trouble = cm_reply_trouble(replies[0], err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_tail_read_facts(replies[1], out_facts, err);
    }
    bool more = trouble == CM_TROUBLE_NONE && replies[0]->type == REDIS_REPLY_ARRAY;
    for (size_t i = 0; more && i + 1 < replies[0]->elements; i += 2) {
        more = each(context, cm_reply_text(replies[0]->element[i]), cm_reply_text(replies[0]->element[i + 1]));
    }
    cm_replies_free(replies, 2);
    return trouble;
}
