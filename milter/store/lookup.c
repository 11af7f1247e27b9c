#include <string.h>

#include "store_internal.h"

/* The pipeline: facts, one HMGET a subject, facts, TIME. */
#define FRAME_REPLIES 3

static void build_request(struct cm_request *request, const struct cm_subject *subjects, size_t count)
{
    char key[CM_KEY_BYTES];
    cm_store_ask_facts(request, subjects[0].partition);
    for (size_t i = 0; i < count; i++) {
        const struct cm_subject *subject = &subjects[i];
        struct cm_span args[] = {
            CM_SPAN("HMGET"),
            cm_store_key(key, 'c', subject->partition, subject->bucket),
            CM_ARG_BYTES(subject->exact, CM_FIELD_BYTES),
            CM_ARG_BYTES(subject->family, CM_FIELD_BYTES),
        };
        cm_request_add(request, args, cm_subject_has_family(subject) ? 4 : 3);
    }
    cm_store_ask_end_facts(request, subjects[0].partition);
    cm_request_add(request, (struct cm_span[]){CM_SPAN("TIME")}, 1);
}

enum cm_trouble cm_records_decode(const redisReply *reply, struct cm_arena *arena, const struct cm_record **out_records,
                                  size_t *out_count, struct cm_err *err)
{
    if (reply->type == REDIS_REPLY_NIL) {
        *out_records = NULL;
        *out_count = 0;
        return CM_TROUBLE_NONE;
    }
    struct cm_span packed = cm_reply_text(reply);
    if (packed.p == NULL || packed.len == 0 || packed.len % CM_RECORD_BYTES != 0 ||
        packed.len > CM_LIMIT_RECORDS * CM_RECORD_BYTES) {
        cm_err_set(err, "the records of a subject have the wrong length");
        return CM_TROUBLE_MALFORMED;
    }
    size_t count = packed.len / CM_RECORD_BYTES;
    struct cm_record *records = cm_arena_array(arena, count, sizeof(*records));
    if (records == NULL) {
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        if (!cm_record_decode((const uint8_t *)packed.p + i * CM_RECORD_BYTES, &records[i])) {
            cm_err_set(err, "a record has a version or kind that this version does not know");
            return CM_TROUBLE_MALFORMED;
        }
    }
    *out_records = records;
    *out_count = count;
    return CM_TROUBLE_NONE;
}

static enum cm_trouble read_subject(const redisReply *reply, const struct cm_subject *subject, struct cm_arena *arena,
                                    struct cm_subject_records *out, struct cm_err *err)
{
    bool two = cm_subject_has_family(subject);
    enum cm_trouble trouble = cm_reply_expect_array(reply, two ? 2 : 1, "records", err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_records_decode(reply->element[0], arena, &out->exact, &out->exact_count, err);
    }
    if (trouble != CM_TROUBLE_NONE || !two) {
        out->family = out->exact;
        out->family_count = out->exact_count;
        return trouble;
    }
    return cm_records_decode(reply->element[1], arena, &out->family, &out->family_count, err);
}

static enum cm_trouble read_time(const redisReply *reply, cm_ms *out_now, struct cm_err *err)
{
    uint64_t seconds = 0;
    uint64_t micros = 0;
    enum cm_trouble trouble = cm_reply_expect_array(reply, 2, "TIME", err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    if (!cm_parse_u64(cm_reply_text(reply->element[0]), (uint64_t)CM_MS_MAX / 1000, &seconds) ||
        !cm_parse_u64(cm_reply_text(reply->element[1]), 999999, &micros)) {
        cm_err_set(err, "TIME was answered with something else than a time");
        return CM_TROUBLE_MALFORMED;
    }
    *out_now = (cm_ms)(seconds * 1000 + micros / 1000);
    return CM_TROUBLE_NONE;
}

/* Both ends of the pipeline must show the same store: nothing was swapped in between. LAW-12 */
static enum cm_trouble read_frame(struct cm_store *store, redisReply *const *replies, size_t count, cm_ms *out_now,
                                  uint64_t *out_epoch, uint64_t *out_registry, struct cm_err *err)
{
    uint64_t epoch_before = 0;
    enum cm_trouble trouble = cm_store_check_facts(store, replies[0], &epoch_before, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_check_end_facts(store, replies[count + 1], out_epoch, out_registry, err);
    }
    if (trouble == CM_TROUBLE_NONE && epoch_before != *out_epoch) {
        cm_err_set(err, "the store's epoch changed during the look-up");
        trouble = CM_TROUBLE_CHANGED;
    }
    return trouble == CM_TROUBLE_NONE ? read_time(replies[count + 2], out_now, err) : trouble;
}

static enum cm_trouble read_replies(struct cm_store *store, redisReply *const *replies,
                                    const struct cm_subject *subjects, size_t count, struct cm_arena *arena,
                                    struct cm_subject_records *records, struct cm_lookup *lookup, struct cm_err *err)
{
    uint64_t epoch = 0;
    uint64_t registry_version = 0;
    enum cm_trouble trouble = read_frame(store, replies, count, &lookup->now, &epoch, &registry_version, err);
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        trouble = read_subject(replies[i + 1], &subjects[i], arena, &records[i], err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_registry(store, epoch, registry_version, &lookup->registry, err);
    }
    return trouble;
}

enum cm_trouble cm_store_lookup(struct cm_store *store, const struct cm_subject *subjects, size_t count,
                                struct cm_arena *arena, struct cm_subject_records *out_records,
                                struct cm_lookup *out_lookup, struct cm_err *err)
{
    redisReply *replies[CM_LIMIT_LOOKUP_BATCH + FRAME_REPLIES];
    struct cm_request request = {0};
    if (count == 0 || count > CM_LIMIT_LOOKUP_BATCH) {
        cm_err_set(err, "a look-up of %zu subjects", count);
        return CM_TROUBLE_INTERNAL;
    }
    build_request(&request, subjects, count);
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble == CM_TROUBLE_NONE) {
        struct cm_lookup lookup = {0};
        trouble = read_replies(store, replies, subjects, count, arena, out_records, &lookup, err);
        cm_replies_free(replies, count + FRAME_REPLIES);
        if (trouble == CM_TROUBLE_NONE) {
            *out_lookup = lookup;
        }
    }
    return trouble;
}
