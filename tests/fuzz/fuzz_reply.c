/*
 * What answers at store.url, byte by byte: Redis, something that pretends to be, or something else. The input goes
 * through the reader that the connection uses and through every function that takes a reply apart. What must hold: no
 * crash; a nil is the only reply that may mean "no records"; what cannot be read is trouble with a text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../milter/store/store_internal.h"
#include "require.h"
#include "store/beat.h"
#include "store/peppers.h"

#define ARRAY_MAX 200000 /* as connection.c has it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const redisReplyObjectFunctions *original;

#if HIREDIS_MAJOR >= 1
static void *create_array(const redisReadTask *task, size_t elements)
#else
static void *create_array(const redisReadTask *task, int elements)
#endif
{
    return (size_t)elements <= ARRAY_MAX ? original->createArray(task, elements) : NULL;
}

static void check_records(const redisReply *reply)
{
    struct cm_arena arena;
    const struct cm_record *records = NULL;
    size_t count = SIZE_MAX;
    struct cm_err err = {""};
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    enum cm_trouble trouble = cm_records_decode(reply, &arena, &records, &count, &err);
    if (trouble != CM_TROUBLE_NONE) {
        REQUIRE(err.text[0] != '\0');
    } else if (count == 0) {
        REQUIRE(reply->type == REDIS_REPLY_NIL);
    } else {
        REQUIRE(cm_reply_text(reply).len == count * CM_RECORD_BYTES);
        REQUIRE(records != NULL && count <= CM_LIMIT_RECORDS);
    }
    cm_arena_done(&arena);
}

static void check_facts(const redisReply *reply)
{
    struct cm_keys keys = {.store_id = "0123456789abcdef0123456789abcdef"};
    static const uint8_t pepper[CM_PEPPER_BYTES];
    REQUIRE(cm_keys_add_pepper(&keys, 1, pepper));
    const struct cm_store store = {.keys = &keys};
    uint64_t epoch = 0;
    uint64_t registry = 0;
    struct cm_err err = {""};
    enum cm_trouble trouble = cm_store_check_facts(&store, reply, &epoch, &err);
    REQUIRE((trouble == CM_TROUBLE_NONE) == (err.text[0] == '\0'));
    if (trouble == CM_TROUBLE_NONE) {
        REQUIRE(cm_span_equal(cm_reply_text(reply->element[0]), cm_span_of(keys.store_id)));
        struct cm_pepper_list list;
        REQUIRE(cm_pepper_list_parse(cm_reply_text(reply->element[4]), &list));
        REQUIRE(list.items[list.current].id == 1 && strcmp(list.items[list.current].check, keys.peppers[1].check) == 0);
    }
    err.text[0] = '\0';
    trouble = cm_store_check_end_facts(&store, reply, &epoch, &registry, &err);
    REQUIRE((trouble == CM_TROUBLE_NONE) == (err.text[0] == '\0'));
    if (trouble == CM_TROUBLE_NONE) {
        REQUIRE(cm_span_equal(cm_reply_text(reply->element[0]), cm_span_of(keys.store_id)));
    }
}

/* A beat is of this incarnation only if its ids say so, letter for letter. */
static void check_beat(const redisReply *reply)
{
    struct cm_kept_beat beat = {.state = CM_BEAT_UNSET};
    struct cm_err err = {""};
    cm_ms now = -1;
    if (cm_beat_parse(cm_reply_text(reply), &beat)) {
        REQUIRE(cm_beat_state_name(beat.state) != NULL);
        REQUIRE(beat.at >= 0 && beat.at <= CM_MS_MAX);
        size_t id_chars = beat.state == CM_BEAT_RETIRED ? 0 : CM_INCARNATION_CHARS;
        REQUIRE(strlen(beat.incarnation.run_id) == id_chars && strlen(beat.incarnation.replication_id) == id_chars);
        REQUIRE(cm_incarnation_is_same(&beat.incarnation, &beat.incarnation) == (id_chars > 0));
    }
    REQUIRE((cm_time_read(reply, &now, &err) == CM_TROUBLE_NONE) == (now >= 0 && now <= CM_MS_MAX));
}

static void check_reply(const redisReply *reply)
{
    struct cm_err err = {""};
    enum cm_trouble trouble = cm_reply_trouble(reply, &err);
    REQUIRE((trouble != CM_TROUBLE_NONE) == (reply->type == REDIS_REPLY_ERROR));
    REQUIRE(trouble < CM_TROUBLE_COUNT && cm_trouble_name(trouble) != NULL);
    trouble = cm_reply_expect_array(reply, 2, "two", &err);
    REQUIRE((trouble == CM_TROUBLE_NONE) == (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2));
    check_records(reply);
    check_facts(reply);
    check_beat(reply);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        check_reply(reply->element[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *reader = redisReaderCreate();
    REQUIRE(reader != NULL);
    original = reader->fn;
    redisReplyObjectFunctions functions = *reader->fn;
    functions.createArray = create_array;
    reader->fn = &functions;
    /* In two pieces, as a network may deliver it. */
    size_t first = size / 2;
    void *reply = NULL;
    bool good = redisReaderFeed(reader, (const char *)data, first) == REDIS_OK;
    for (unsigned piece = 0; good && piece < 2; piece++) {
        while ((good = redisReaderGetReply(reader, &reply) == REDIS_OK) && reply != NULL) {
            check_reply(reply);
            freeReplyObject(reply);
        }
        if (good && piece == 0) {
            good = redisReaderFeed(reader, (const char *)data + first, size - first) == REDIS_OK;
        }
    }
    redisReaderFree(reader);
    return 0;
}
