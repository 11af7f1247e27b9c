/*
 * What a look-up reads around the records, and what of it lets them count: whose store it is, that it is one and the
 * same at both ends, and that every keeper vouches for it (LAW-12). Nothing here keeps a clock or a lease: all times
 * are the server's own, and all of it is read over one connection.
 */
#include <string.h>

#include "store/beat.h"
#include "store_internal.h"

#define BEAT_FIELD_BYTES (sizeof("beat:") + CM_LIMIT_KEEPER_NAME_BYTES)

/* Both ends of a look-up show whose store it is; the rest of the facts is needed at one end only. */
enum { HEAD_DOCTOR = CM_FACT_COUNT, HEAD_BEATS };
enum { END_FACT_REGISTRY = CM_FACT_SCHEMA, END_FACT_COUNT };

void cm_store_ask_facts(struct cm_request *request, unsigned partition)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {
        CM_SPAN("HMGET"),   cm_store_key(key, 'm', partition, -1),
        CM_SPAN("store"),   CM_SPAN("epoch"),
        CM_SPAN("schema"),  CM_SPAN("canon"),
        CM_SPAN("peppers"),
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

void cm_store_ask_end_facts(struct cm_request *request, unsigned partition)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("HMGET"), cm_store_key(key, 'm', partition, -1), CM_SPAN("store"),
                             CM_SPAN("epoch"), CM_SPAN("registry")};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static bool number_of(const redisReply *reply, uint64_t *out)
{
    return cm_parse_u64(cm_reply_text(reply), UINT64_MAX, out);
}

/* What both ends have in common. */
static enum cm_trouble check_identity(const struct cm_store *store, const redisReply *reply, size_t count,
                                      uint64_t *out_epoch, struct cm_err *err)
{
    enum cm_trouble trouble = cm_reply_expect_array(reply, count, "store facts", err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    redisReply **facts = reply->element;
    if (facts[CM_FACT_STORE]->type == REDIS_REPLY_NIL) {
        cm_err_set(err, "there is no consent store in this Redis"); /* wiped, or never made: never "no consent" */
        return CM_TROUBLE_NO_STORE;
    }
    if (!cm_span_equal(cm_reply_text(facts[CM_FACT_STORE]), cm_span_of(store->keys->store_id))) {
        cm_err_set(err, "this Redis holds another consent store than %s", store->keys->store_id);
        return CM_TROUBLE_FOREIGN;
    }
    if (!number_of(facts[CM_FACT_EPOCH], out_epoch)) {
        cm_err_set(err, "the store's epoch is no number");
        return CM_TROUBLE_MALFORMED;
    }
    return CM_TROUBLE_NONE;
}

/* The facts at the head of `count` values. */
static enum cm_trouble check_facts(const struct cm_store *store, const redisReply *reply, size_t count,
                                   uint64_t *out_epoch, uint32_t *out_in_use, uint32_t *out_peppers, struct cm_err *err)
{
    enum cm_trouble trouble = check_identity(store, reply, count, out_epoch, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    uint64_t canon = 0;
    redisReply **facts = reply->element;
    if (!cm_span_equal(cm_reply_text(facts[CM_FACT_SCHEMA]), CM_SPAN(CM_SCHEMA_VERSION)) ||
        !number_of(facts[CM_FACT_CANON], &canon) || canon != CM_ADDRESS_CANON_VERSION) {
        cm_err_set(err, "the store has another layout or canonicalisation than this version");
        return CM_TROUBLE_SCHEMA;
    }
    return cm_peppers_check(store->keys, cm_reply_text(facts[CM_FACT_PEPPERS]), out_in_use, out_peppers, err);
}

enum cm_trouble cm_store_check_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                     struct cm_err *err)
{
    uint32_t in_use = 0;
    uint32_t peppers = 0;
    return check_facts(store, reply, CM_FACT_COUNT, out_epoch, &in_use, &peppers, err);
}

enum cm_trouble cm_store_check_end_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                         uint64_t *out_registry, struct cm_err *err)
{
    enum cm_trouble trouble = check_identity(store, reply, END_FACT_COUNT, out_epoch, err);
    if (trouble == CM_TROUBLE_NONE && !number_of(reply->element[END_FACT_REGISTRY], out_registry)) {
        cm_err_set(err, "the store's registry version is no number");
        trouble = CM_TROUBLE_MALFORMED;
    }
    return trouble;
}

enum cm_trouble cm_time_read(const redisReply *reply, cm_ms *out_now, struct cm_err *err)
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

bool cm_frame_prepare(struct cm_store *store)
{
    char key[CM_KEY_BYTES];
    char fields[CM_LIMIT_KEEPERS][BEAT_FIELD_BYTES];
    struct cm_span args[HEAD_BEATS + 2 + CM_LIMIT_KEEPERS] = {
        CM_SPAN("HMGET"),   cm_store_key(key, 'm', 0, -1),
        CM_SPAN("store"),   CM_SPAN("epoch"),
        CM_SPAN("schema"),  CM_SPAN("canon"),
        CM_SPAN("peppers"), CM_SPAN("doctor"),
    };
    for (size_t i = 0; i < store->options.keeper_count; i++) {
        struct cm_text field = cm_text_over(fields[i], sizeof(fields[i]));
        cm_text_add_format(&field, "beat:%s", store->options.keepers[i]);
        if (field.truncated) {
            return false;
        }
        args[HEAD_BEATS + 2 + i] = (struct cm_span){fields[i], field.len};
    }
    cm_request_add(&store->look_up_head, args, HEAD_BEATS + 2 + store->options.keeper_count);
    cm_store_ask_end_facts(&store->look_up_tail, 0);
    cm_request_add(&store->look_up_tail, (struct cm_span[]){CM_SPAN("TIME")}, 1);
    return !store->look_up_head.failed && !store->look_up_tail.failed;
}

/* "RUNID good|bad MS TEXT": of this run of the server, or none that says anything about it. */
static enum cm_trouble check_doctor(const redisReply *reply, const struct cm_incarnation *incarnation,
                                    bool *out_is_missing, struct cm_err *err)
{
    struct cm_span rest = cm_reply_text(reply);
    struct cm_span run_id;
    struct cm_span finding;
    struct cm_span at;
    uint64_t ms = 0;
    *out_is_missing = true;
    if (reply->type == REDIS_REPLY_NIL) {
        return CM_TROUBLE_NONE;
    }
    bool is_whole = cm_span_next(&rest, ' ', &run_id) && cm_span_next(&rest, ' ', &finding) &&
                    cm_span_next(&rest, ' ', &at) && cm_incarnation_id_is_valid(run_id) &&
                    cm_parse_u64(at, (uint64_t)CM_MS_MAX, &ms);
    bool is_good = is_whole && cm_span_equal(finding, CM_SPAN("good"));
    if (!is_good && (!is_whole || !cm_span_equal(finding, CM_SPAN("bad")))) {
        cm_err_set(err, "the doctor's verdict on the store cannot be read");
        return CM_TROUBLE_MALFORMED;
    }
    if (!cm_span_equal(run_id, cm_span_of(incarnation->run_id))) {
        return CM_TROUBLE_NONE;
    }
    *out_is_missing = false;
    if (!is_good) {
        cm_err_set(err, "the doctor found this Redis unfit: %.*s", (int)(rest.len < 200 ? rest.len : 200),
                   rest.p != NULL ? rest.p : "");
        return CM_TROUBLE_DOCTOR;
    }
    return CM_TROUBLE_NONE;
}

/*
 * The age is one of the server's clock: both its ends were read there, TIME after the beat, so it is never told too
 * young. A beat dated ahead of TIME has no age: the clock was set back, and until it has caught up the beat could pass
 * for fresh long after its keeper has told a subject "in effect". So it does not count. A living keeper replaces it
 * within a second. LAW-12
 */
static enum cm_trouble check_age(const char *keeper, const struct cm_kept_beat *beat, cm_ms now, struct cm_err *err)
{
    cm_ms at = beat->at;
    if (at > now) {
        cm_err_set(err, "keeper %s has beaten %lld ms ahead of Redis' clock", keeper, (long long)(at - now));
        return CM_TROUBLE_CLOCK;
    }
    if (now - at >= (beat->state == CM_BEAT_OFF ? CM_BEAT_OFF_MS : CM_BEAT_FRESH_MS)) {
        cm_err_set(err, "keeper %s has not beaten for %lld ms", keeper, (long long)(now - at));
        return CM_TROUBLE_BEAT_STALE;
    }
    return CM_TROUBLE_NONE;
}

static enum cm_trouble check_beat(const char *keeper, const redisReply *reply, const struct cm_incarnation *incarnation,
                                  cm_ms now, struct cm_err *err)
{
    struct cm_kept_beat beat = {.state = CM_BEAT_UNSET};
    if (reply->type == REDIS_REPLY_NIL) {
        cm_err_set(err, "keeper %s has never beaten in this store", keeper);
        return CM_TROUBLE_BEAT_MISSING;
    }
    if (!cm_beat_parse(cm_reply_text(reply), &beat)) {
        cm_err_set(err, "the beat of keeper %s cannot be read", keeper);
        return CM_TROUBLE_MALFORMED;
    }
    if (beat.state == CM_BEAT_RETIRED) {
        return CM_TROUBLE_NONE;
    }
    if (!cm_incarnation_is_same(&beat.incarnation, incarnation)) {
        cm_err_set(err, "keeper %s has not yet vouched for this incarnation of the store", keeper);
        return CM_TROUBLE_INCARNATION;
    }
    return check_age(keeper, &beat, now, err);
}

enum cm_trouble cm_frame_check(const struct cm_store *store, const struct cm_incarnation *incarnation,
                               redisReply *const *head, redisReply *const *tail, struct cm_frame *out,
                               struct cm_err *err)
{
    size_t keepers = store->options.keeper_count;
    struct cm_frame frame = {.now = 0};
    uint64_t epoch_before = 0;
    uint32_t in_use = 0;
    enum cm_trouble trouble = check_facts(store, head[0], HEAD_BEATS + keepers, &epoch_before, &in_use, &frame.peppers,
                                          err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_check_end_facts(store, tail[0], &frame.epoch, &frame.registry, err);
    }
    if (trouble == CM_TROUBLE_NONE && epoch_before != frame.epoch) {
        cm_err_set(err, "the store's epoch changed during the look-up");
        trouble = CM_TROUBLE_CHANGED;
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_time_read(tail[1], &frame.now, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = check_doctor(head[0]->element[HEAD_DOCTOR], incarnation, &frame.doctor_is_missing, err);
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < keepers; i++) {
        trouble = check_beat(store->options.keepers[i], head[0]->element[HEAD_BEATS + i], incarnation, frame.now, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        cm_keys_use(store->keys, in_use);
        *out = frame;
    }
    return trouble;
}
