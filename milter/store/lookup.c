#include <string.h>

#include "store_internal.h"

#include "base/clock.h"

#define FRAME_REPLIES (CM_FRAME_HEAD_REPLIES + CM_FRAME_TAIL_REPLIES)
#define RENEW_MS 1000 /* between two look-ups that try a new connection for beats of another incarnation */

static bool place_has_family(const struct cm_subject_place *place)
{
    return memcmp(place->exact, place->family, CM_FIELD_BYTES) != 0;
}

/* The pipeline: the head of the frame, one HMGET a place of each subject, the tail. Returns the number of places. */
static size_t build_request(const struct cm_store *store, const struct cm_subject *subjects, size_t count,
                            struct cm_request *request)
{
    char key[CM_KEY_BYTES];
    struct cm_subject_place places[CM_PEPPERS_READABLE];
    size_t sum = 0;
    cm_request_append(request, &store->look_up_head);
    for (size_t i = 0; i < count; i++) {
        size_t place_count = cm_subject_places(&subjects[i], places);
        for (size_t p = 0; p < place_count; p++) {
            struct cm_span args[] = {
                CM_SPAN("HMGET"),
                cm_store_key(key, 'c', places[p].partition, places[p].bucket),
                CM_ARG_BYTES(places[p].exact, CM_FIELD_BYTES),
                CM_ARG_BYTES(places[p].family, CM_FIELD_BYTES),
            };
            cm_request_add(request, args, place_has_family(&places[p]) ? 4 : 3);
        }
        sum += place_count;
    }
    cm_request_append(request, &store->look_up_tail);
    return sum;
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

/* Records of one form, as far as they were found. */
struct found {
    const struct cm_record *records;
    size_t count;
};

/* Adds what stands at one more place. Where records have gone from a place, a forward record says where to: that they
 * are found there is all it tells. */
static enum cm_trouble add_place(const redisReply *reply, uint32_t read_under, struct cm_arena *arena,
                                 struct found *found, struct cm_err *err)
{
    struct found here = {NULL, 0};
    enum cm_trouble trouble = cm_records_decode(reply, arena, &here.records, &here.count, err);
    if (trouble != CM_TROUBLE_NONE || here.count == 0) {
        return trouble;
    }
    if (here.records[0].kind == CM_KIND_FORWARD) {
        if ((read_under & 1U << here.records[0].forward.pepper) != 0) {
            return CM_TROUBLE_NONE;
        }
        cm_err_set(err, "a subject was moved to pepper.%u, which is not read here", here.records[0].forward.pepper);
        return CM_TROUBLE_WRONG_PEPPER;
    }
    if (found->count == 0) {
        *found = here;
        return CM_TROUBLE_NONE;
    }
    struct cm_record *both = cm_arena_array(arena, found->count + here.count, sizeof(*both));
    if (both == NULL) {
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    memcpy(both, found->records, found->count * sizeof(*both));
    memcpy(both + found->count, here.records, here.count * sizeof(*both));
    *found = (struct found){both, found->count + here.count};
    return CM_TROUBLE_NONE;
}

/* The replies for all places of one subject. Returns NONE and moves *replies on. */
static enum cm_trouble read_subject(redisReply *const **replies, const struct cm_subject *subject, uint32_t needed,
                                    struct cm_arena *arena, struct cm_subject_records *out, struct cm_err *err)
{
    struct cm_subject_place places[CM_PEPPERS_READABLE];
    struct found exact = {NULL, 0};
    struct found family = {NULL, 0};
    size_t count = cm_subject_places(subject, places);
    bool two = cm_subject_has_family(subject);
    uint32_t read_under = 0;
    for (size_t p = 0; p < count; p++) {
        read_under |= 1U << places[p].pepper;
    }
    if ((needed & ~read_under) != 0) {
        cm_err_set(err, "the store has taken a new pepper since this subject was hashed");
        return CM_TROUBLE_CHANGED;
    }
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    for (size_t p = 0; trouble == CM_TROUBLE_NONE && p < count; p++) {
        const redisReply *reply = *(*replies)++;
        trouble = cm_reply_expect_array(reply, two ? 2 : 1, "records", err);
        if (trouble == CM_TROUBLE_NONE) {
            trouble = add_place(reply->element[0], read_under, arena, &exact, err);
        }
        if (trouble == CM_TROUBLE_NONE && two) {
            trouble = add_place(reply->element[1], read_under, arena, &family, err);
        }
    }
    *out = (struct cm_subject_records){.exact = exact.records,
                                       .exact_count = exact.count,
                                       .family = two ? family.records : exact.records,
                                       .family_count = two ? family.count : exact.count};
    return trouble;
}

/* What is looked up, and for whom. */
struct task {
    const struct cm_subject *subjects;
    size_t count;
    size_t places; /* of all of them */
    struct cm_arena *arena;
    struct cm_subject_records *records;
};

static enum cm_trouble read_replies(struct cm_store *store, const struct task *task, redisReply *const *replies,
                                    const struct cm_incarnation *incarnation, struct cm_lookup *out_lookup,
                                    struct cm_err *err)
{
    struct cm_frame frame = {.now = 0};
    redisReply *const *records = replies + CM_FRAME_HEAD_REPLIES;
    enum cm_trouble trouble = cm_frame_check(store, incarnation, replies, records + task->places, &frame, err);
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < task->count; i++) {
        trouble = read_subject(&records, &task->subjects[i], frame.peppers, task->arena, &task->records[i], err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    if (store->doctor_is_missing != frame.doctor_is_missing) { /* seldom: no cache line is fought for */
        store->doctor_is_missing = frame.doctor_is_missing;
    }
    out_lookup->now = frame.now;
    return cm_store_registry(store, frame.epoch, frame.registry, &out_lookup->registry, err);
}

static enum cm_trouble ask_once(struct cm_store *store, const struct task *task, const struct cm_request *request,
                                struct cm_call *call, struct cm_lookup *out_lookup, struct cm_err *err)
{
    redisReply *replies[CM_LIMIT_LOOKUP_BATCH * CM_PEPPERS_READABLE + FRAME_REPLIES];
    struct cm_lookup lookup = {0};
    enum cm_trouble trouble = cm_pool_call(store->pool, request, call, replies, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = read_replies(store, task, replies, &call->incarnation, &lookup, err);
        cm_replies_free(replies, task->places + FRAME_REPLIES);
        if (trouble == CM_TROUBLE_NONE) {
            *out_lookup = lookup;
        }
    }
    return trouble;
}

/*
 * Beats of another incarnation than the connection's: either the keepers have not come that far, or it is the
 * connection that is of yesterday (its server was given a new replication id, or its address another server). A new
 * connection tells which. LAW-12
 */
static enum cm_trouble ask_anew(struct cm_store *store, const struct task *task, const struct cm_request *request,
                                struct cm_call *call, struct cm_lookup *out_lookup, struct cm_err *err)
{
    call->fresh = true;
    enum cm_trouble trouble = ask_once(store, task, request, call, out_lookup, err);
    if (trouble == CM_TROUBLE_INCARNATION) {
        store->renew_at_ms = cm_clock_monotonic_ms() + RENEW_MS;
    }
    return trouble;
}

static enum cm_trouble look_up(struct cm_store *store, struct task *task, struct cm_lookup *out_lookup,
                               struct cm_err *err)
{
    struct cm_call call = {.may_repeat = true};
    struct cm_request request = {0};
    uint64_t began_ns = cm_clock_monotonic_ns();
    task->places = build_request(store, task->subjects, task->count, &request);
    enum cm_trouble trouble = ask_once(store, task, &request, &call, out_lookup, err);
    if (trouble == CM_TROUBLE_INCARNATION && cm_clock_monotonic_ms() >= store->renew_at_ms) {
        trouble = ask_anew(store, task, &request, &call, out_lookup, err);
    }
    cm_request_done(&request);
    cm_histogram_add(&store->latency, cm_clock_monotonic_ns() - began_ns);
    if (store->trouble != trouble) { /* seldom: no cache line is fought for */
        store->trouble = trouble;
    }
    return trouble;
}

enum cm_trouble cm_store_lookup(struct cm_store *store, const struct cm_subject *subjects, size_t count,
                                struct cm_arena *arena, struct cm_subject_records *out_records,
                                struct cm_lookup *out_lookup, struct cm_err *err)
{
    struct task task = {.subjects = subjects, .count = count, .arena = arena, .records = out_records};
    if (count == 0 || count > CM_LIMIT_LOOKUP_BATCH) {
        cm_err_set(err, "a look-up of %zu subjects", count);
        return CM_TROUBLE_INTERNAL;
    }
    return look_up(store, &task, out_lookup, err);
}

enum cm_trouble cm_store_probe(struct cm_store *store, struct cm_err *err)
{
    struct task nobody = {.count = 0};
    struct cm_lookup lookup;
    enum cm_trouble trouble = look_up(store, &nobody, &lookup, err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_registry_unref(lookup.registry);
    }
    return trouble;
}
