#include "store/beat.h"

#include <stdio.h>
#include <string.h>

#include "store_internal.h"

#define NUMBER_BYTES 24
#define FIELD_PREFIX "beat:"

static const struct {
    const char *name;
    enum cm_beat_state state;
} states[] = {{"on", CM_BEAT_ON}, {"off", CM_BEAT_OFF}, {"retired", CM_BEAT_RETIRED}};

const char *cm_beat_state_name(enum cm_beat_state state)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (states[i].state == state) {
            return states[i].name;
        }
    }
    return NULL;
}

static bool read_state(struct cm_span word, enum cm_beat_state *out)
{
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (cm_span_equal(word, cm_span_of(states[i].name))) {
            *out = states[i].state;
            return true;
        }
    }
    return false;
}

/* An id, or "-" where the beat is of no incarnation. */
static bool read_id(struct cm_span word, enum cm_beat_state state, char out[CM_INCARNATION_CHARS + 1])
{
    if (state == CM_BEAT_RETIRED) {
        out[0] = '\0';
        return cm_span_equal(word, CM_SPAN("-"));
    }
    return cm_incarnation_id_is_valid(word) && cm_copy(out, CM_INCARNATION_CHARS + 1, word);
}

bool cm_beat_parse(struct cm_span text, struct cm_kept_beat *out)
{
    enum { WORD_STATE, WORD_RUN_ID, WORD_REPLICATION_ID, WORD_AT, WORD_JOURNAL, WORD_COUNT };
    struct cm_span words[WORD_COUNT];
    uint64_t at = 0;
    for (size_t i = 0; i < WORD_COUNT; i++) {
        if (!cm_span_next(&text, ' ', &words[i])) {
            return false;
        }
    }
    if (text.p != NULL || !read_state(words[WORD_STATE], &out->state) ||
        !read_id(words[WORD_RUN_ID], out->state, out->incarnation.run_id) ||
        !read_id(words[WORD_REPLICATION_ID], out->state, out->incarnation.replication_id) ||
        !cm_parse_u64(words[WORD_AT], (uint64_t)CM_MS_MAX, &at) ||
        !cm_parse_u64(words[WORD_JOURNAL], UINT64_MAX, &out->journal)) {
        return false;
    }
    out->at = (cm_ms)at;
    return true;
}

/* --- writing --- */

/* Answers of the function that are the keeper's business rather than trouble. */
static const struct {
    const char *word;
    enum cm_beat_status status;
} refusals[] = {
    {"LATE ", CM_BEAT_LATE},
    {"ROLLBACK ", CM_BEAT_ROLLBACK},
    {"RETIRED ", CM_BEAT_KEEPER_RETIRED},
    {"FOREIGN ", CM_BEAT_FOREIGN},
};

static enum cm_beat_status status_of_error(const redisReply *reply)
{
    struct cm_span text = {reply->str, (size_t)reply->len};
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (cm_span_starts_with(text, refusals[i].word)) {
            return refusals[i].status;
        }
    }
    return CM_BEAT_TROUBLE;
}

static struct cm_span number(char out[NUMBER_BYTES], unsigned long long value)
{
    int len = snprintf(out, NUMBER_BYTES, "%llu", value);
    return (struct cm_span){out, (size_t)len}; /* twenty digits fit */
}

static void build_beat(const struct cm_store *store, const struct cm_beat *beat, struct cm_request *request)
{
    char keys[2][CM_KEY_BYTES];
    char numbers[3][NUMBER_BYTES];
    struct cm_span args[] = {
        CM_SPAN("FCALL"),
        CM_SPAN("keeper_beat"),
        CM_SPAN("2"),
        cm_store_key(keys[0], 'm', 0, -1),
        cm_store_key(keys[1], 'n', beat->partition, -1),
        cm_span_of(store->keys->store_id),
        cm_span_of(beat->keeper),
        cm_span_of(cm_beat_state_name(beat->state)),
        cm_span_of(beat->incarnation.run_id),
        cm_span_of(beat->incarnation.replication_id),
        number(numbers[0], (unsigned long long)beat->deadline),
        number(numbers[1], beat->mark),
        number(numbers[2], beat->journal),
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static void read_beat_reply(const struct cm_beat *beat, const redisReply *reply, struct cm_beat_result *out,
                            struct cm_err *err)
{
    uint64_t at = 0;
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        out->status = status_of_error(reply);
        out->trouble = out->status == CM_BEAT_TROUBLE ? trouble : CM_TROUBLE_NONE;
        return;
    }
    out->trouble = cm_reply_expect_array(reply, 2, "result of a beat", err);
    if (out->trouble == CM_TROUBLE_NONE &&
        (!cm_span_equal(cm_reply_text(reply->element[0]), CM_SPAN("beat")) ||
         !cm_parse_u64(cm_reply_text(reply->element[1]), (uint64_t)CM_MS_MAX, &at))) {
        cm_err_set(err, "the result of the beat cannot be read");
        out->trouble = CM_TROUBLE_MALFORMED;
    }
    if (out->trouble != CM_TROUBLE_NONE) {
        out->status = CM_BEAT_TROUBLE;
    } else if (!cm_incarnation_is_same(&beat->incarnation, &out->incarnation)) {
        cm_err_set(err, "another incarnation of the store answers than the beat is for");
        out->status = CM_BEAT_OTHER_INCARNATION;
    } else {
        out->status = CM_BEAT_DONE;
        out->at = (cm_ms)at;
    }
}

void cm_store_beat(struct cm_store *store, const struct cm_beat *beat, struct cm_beat_result *out, struct cm_err *err)
{
    struct cm_request request = {0};
    struct cm_call call = {.may_repeat = false}; /* the next one is due within the second */
    redisReply *reply = NULL;
    *out = (struct cm_beat_result){.status = CM_BEAT_TROUBLE};
    build_beat(store, beat, &request);
    out->trouble = cm_pool_call(store->pool, &request, &call, &reply, err);
    cm_request_done(&request);
    if (out->trouble == CM_TROUBLE_NONE) {
        out->incarnation = call.incarnation;
        read_beat_reply(beat, reply, out, err);
        cm_replies_free(&reply, 1);
    }
}

/* --- reading --- */

static void add_beat(struct cm_beats *beats, struct cm_span keeper, const redisReply *value)
{
    if (beats->count == CM_BEATS_MAX) {
        beats->left_off++;
        return;
    }
    struct cm_kept_beat *beat = &beats->beats[beats->count++];
    bool is_whole = cm_copy(beat->keeper, sizeof(beat->keeper), keeper);
    if (!cm_beat_parse(cm_reply_text(value), beat) || !is_whole) {
        beat->state = CM_BEAT_UNSET;
    }
}

static enum cm_trouble read_fields(const redisReply *reply, struct cm_beats *out, struct cm_err *err)
{
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    if (trouble == CM_TROUBLE_NONE && (reply->type != REDIS_REPLY_ARRAY || reply->elements % 2 != 0)) {
        cm_err_set(err, "HGETALL was answered with something else");
        trouble = CM_TROUBLE_MALFORMED;
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < reply->elements; i += 2) {
        struct cm_span field = cm_reply_text(reply->element[i]);
        if (cm_span_starts_with(field, FIELD_PREFIX)) {
            size_t skipped = sizeof(FIELD_PREFIX) - 1;
            add_beat(out, (struct cm_span){field.p + skipped, field.len - skipped}, reply->element[i + 1]);
        }
    }
    return trouble;
}

enum cm_trouble cm_store_beats(struct cm_store *store, struct cm_beats *out, struct cm_err *err)
{
    enum { REPLY_FACTS, REPLY_FIELDS, REPLY_TIME, REPLY_COUNT };
    char key[CM_KEY_BYTES];
    struct cm_request request = {0};
    struct cm_call call = {.may_repeat = true};
    struct cm_beats beats = {.now = 0};
    redisReply *replies[REPLY_COUNT];
    uint64_t epoch = 0;
    cm_store_ask_facts(&request, 0);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("HGETALL"), cm_store_key(key, 'm', 0, -1)}, 2);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("TIME")}, 1);
    enum cm_trouble trouble = cm_pool_call(store->pool, &request, &call, replies, err);
    cm_request_done(&request);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    beats.incarnation = call.incarnation;
    trouble = cm_store_check_facts(store, replies[REPLY_FACTS], &epoch, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = read_fields(replies[REPLY_FIELDS], &beats, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_time_read(replies[REPLY_TIME], &beats.now, err);
    }
    cm_replies_free(replies, REPLY_COUNT);
    if (trouble == CM_TROUBLE_NONE) {
        *out = beats;
    }
    return trouble;
}
