/* Moving a subject's records to its place under a newer pepper. */
#include <string.h>

#include "base/bytes.h"
#include "store/write.h"
#include "store_internal.h"

#define PLACE_OFFSET 7
#define PLACE_BYTES 11

static bool add_forward(const struct cm_store *store, const struct cm_forward *forward, struct cm_request *request)
{
    char keys[7][CM_KEY_BYTES];
    uint8_t event_id[CM_EVENT_ID_BYTES];
    uint8_t old_bucket[2];
    uint8_t new_bucket[2];
    uint8_t record[CM_RECORD_BYTES];
    const struct cm_place *to = &forward->to;
    const struct cm_record place = {
        .kind = CM_KIND_FORWARD, .state = CM_STATE_GIVEN, .rank = CM_RANK_SYSTEM, .forward = *to};
    if (!cm_random_bytes(event_id, sizeof(event_id))) {
        return false;
    }
    cm_put_be(old_bucket, forward->old_bucket, 2);
    cm_put_be(new_bucket, to->bucket, 2);
    cm_record_encode(&place, record);
    struct cm_span args[] = {
        CM_SPAN("FCALL"),
        CM_SPAN("system_forward"),
        CM_SPAN("7"),
        cm_store_key(keys[0], 'c', forward->old_partition, forward->old_bucket),
        cm_store_key(keys[1], 'l', forward->old_partition, -1),
        cm_store_key(keys[2], 'n', forward->old_partition, -1),
        cm_store_key(keys[3], 'c', to->partition, to->bucket),
        cm_store_key(keys[4], 'l', to->partition, -1),
        cm_store_key(keys[5], 'n', to->partition, -1),
        cm_store_key(keys[6], 'm', to->partition, -1),
        cm_span_of(store->keys->store_id),
        CM_ARG_BYTES(event_id, sizeof(event_id)),
        CM_ARG_BYTES(forward->old_field, CM_FIELD_BYTES),
        CM_ARG_BYTES(old_bucket, sizeof(old_bucket)),
        CM_ARG_BYTES(to->field, CM_FIELD_BYTES),
        CM_ARG_BYTES(new_bucket, sizeof(new_bucket)),
        CM_ARG_BYTES(record + PLACE_OFFSET, PLACE_BYTES),
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
    return true;
}

enum cm_trouble cm_store_forward(struct cm_store *store, const struct cm_forward *forward, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *reply = NULL;
    if (!add_forward(store, forward, &request)) {
        cm_err_set(err, "the system has no random bytes");
        return CM_TROUBLE_INTERNAL;
    }
    enum cm_trouble trouble = cm_store_run(store, &request, &reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_reply_trouble(reply, err);
        cm_replies_free(&reply, 1);
    }
    return trouble;
}

/* Both forms of one older place. Returns how many commands that are, 0 without random bytes. */
static size_t add_gathering(const struct cm_store *store, const struct cm_subject *subject,
                            const struct cm_subject_place *from, struct cm_request *request)
{
    bool two = cm_subject_has_family(subject);
    for (size_t i = 0; i < (two ? 2U : 1U); i++) {
        struct cm_forward forward = {
            .old_partition = from->partition,
            .old_bucket = from->bucket,
            .old_field = i == 0 ? from->exact : from->family,
            .to = {.pepper = subject->pepper, .partition = subject->partition, .bucket = subject->bucket},
        };
        memcpy(forward.to.field, i == 0 ? subject->exact : subject->family, CM_FIELD_BYTES);
        if (!add_forward(store, &forward, request)) {
            return 0;
        }
    }
    return two ? 2 : 1;
}

enum cm_trouble cm_store_gather(struct cm_store *store, const struct cm_subject *subject, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[2 * (CM_PEPPERS_READABLE - 1)];
    size_t count = 0;
    for (size_t i = 0; i < subject->other_count && subject->others[i].pepper < subject->pepper; i++) {
        size_t added = add_gathering(store, subject, &subject->others[i], &request);
        if (added == 0) {
            cm_request_done(&request);
            cm_err_set(err, "the system has no random bytes");
            return CM_TROUBLE_INTERNAL;
        }
        count += added;
    }
    if (count == 0) {
        return CM_TROUBLE_NONE;
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        struct cm_span text = {replies[i]->str, (size_t)replies[i]->len};
        if (replies[i]->type != REDIS_REPLY_ERROR || !cm_span_starts_with(text, "FORWARDED ")) {
            trouble = cm_reply_trouble(replies[i], err); /* FORWARDED: another has moved all to a yet newer pepper */
        }
    }
    cm_replies_free(replies, count);
    return trouble;
}
