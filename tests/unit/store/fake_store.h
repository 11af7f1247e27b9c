/* A scripted Redis that holds a consent store: facts, a registry and the records that a test puts there. */
#ifndef TESTS_UNIT_STORE_FAKE_STORE_H
#define TESTS_UNIT_STORE_FAKE_STORE_H

#include "core/record.h"
#include "fake_redis.h"
#include "store/store.h"

#define FAKE_STORE_ID "0123456789abcdef0123456789abcdef"
#define FAKE_PEPPERS "1:88fd42d716930e07" /* 32 zero bytes */
#define FAKE_NEWS 2U                      /* scopes: acme 1, acme/newsletter 2, acme/offers 3 */
#define FAKE_OFFERS 3U
#define FAKE_RECORDS 64
#define FAKE_KEEPERS 16

struct fake_record {
    uint8_t field[CM_FIELD_BYTES];
    uint8_t bytes[CM_RECORD_BYTES];
};

struct fake_store {
    struct fake_redis redis;
    struct cm_keys keys;
    const char *facts[6];            /* store epoch schema canon peppers registry; NULL is nil */
    const char *doctor;              /* NULL is nil, as for the next */
    const char *beats[FAKE_KEEPERS]; /* of a, b, c, ... */
    const char *run_id;              /* of the server, at connecting */
    const char *replication_id;
    const char *all_facts_reply; /* to HGETALL */
    const char *beat_reply;      /* to FCALL keeper_beat */
    const char *epoch_after;     /* at the end of a pipeline, if not NULL */
    const char *facts_reply;     /* the whole answer, if not NULL; so for those below */
    const char *records_reply;
    const char *time_reply;
    const char *version_reply;
    const char *senders_reply;
    const char *purposes_reply;
    const char *statements_reply;
    struct fake_record records[FAKE_RECORDS];
    size_t record_count;
    _Atomic bool away;        /* closes each connection at once */
    _Atomic unsigned lookups; /* times that records were asked for */
};

/* The fact that has this name; the end of a pipeline is known by asking for the registry's version. */
static inline const char *fake_fact(const struct fake_store *store, const redisReply *command, size_t word)
{
    static const char *const names[] = {"store", "epoch", "schema", "canon", "peppers", "registry"};
    bool at_end = fake_is(command, command->elements - 1, "registry");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (fake_is(command, word, names[i])) {
            return i == 1 && at_end && store->epoch_after != NULL ? store->epoch_after : store->facts[i];
        }
    }
    if (fake_is(command, word, "doctor")) {
        return store->doctor;
    }
    const char *field = command->element[word]->str;
    if (strncmp(field, "beat:", 5) == 0 && field[5] >= 'a' && field[5] < 'a' + FAKE_KEEPERS && field[6] == '\0') {
        return store->beats[field[5] - 'a'];
    }
    return NULL;
}

static inline void fake_say_facts(const struct fake_store *store, struct fake_client *client, const redisReply *command)
{
    char head[16];
    if (store->facts_reply != NULL) {
        fake_say(client, store->facts_reply);
        return;
    }
    (void)snprintf(head, sizeof(head), "*%zu\r\n", (size_t)command->elements - 2); /* fits */
    fake_say(client, head);
    for (size_t i = 2; i < command->elements; i++) {
        const char *fact = fake_fact(store, command, i);
        fake_say_bulk(client, fact, fact != NULL ? strlen(fact) : 0);
    }
}

static inline void fake_say_records(struct fake_store *store, struct fake_client *client, const redisReply *command)
{
    if (store->records_reply != NULL) {
        fake_say(client, store->records_reply);
        return;
    }
    char head[16];
    (void)snprintf(head, sizeof(head), "*%zu\r\n", (size_t)command->elements - 2); /* fits */
    fake_say(client, head);
    for (size_t i = 2; i < command->elements; i++) {
        char value[FAKE_RECORDS * CM_RECORD_BYTES];
        size_t len = 0;
        for (size_t r = 0; r < store->record_count; r++) {
            if (memcmp(store->records[r].field, command->element[i]->str, CM_FIELD_BYTES) == 0) {
                memcpy(value + len, store->records[r].bytes, CM_RECORD_BYTES);
                len += CM_RECORD_BYTES;
            }
        }
        fake_say_bulk(client, len > 0 ? value : NULL, len);
    }
}

static inline void fake_store_answer(struct fake_redis *fake, struct fake_client *client, const redisReply *command)
{
    struct fake_store *store = fake->context;
    const char *key = command->elements > 1 ? command->element[1]->str : "";
    if (store->away) {
        client->close = true;
    } else if (fake_is(command, 0, "ROLE")) {
        fake_say(client, FAKE_MASTER);
    } else if (fake_is(command, 0, "INFO")) {
        fake_say_info(client, store->run_id, store->replication_id);
    } else if (fake_is(command, 0, "HGETALL") && store->all_facts_reply != NULL) {
        fake_say(client, store->all_facts_reply);
    } else if (fake_is(command, 0, "FCALL") && store->beat_reply != NULL) {
        fake_say(client, store->beat_reply);
    } else if (fake_is(command, 0, "TIME")) {
        fake_say(client, store->time_reply != NULL ? store->time_reply : "*2\r\n$10\r\n1790000000\r\n$1\r\n0\r\n");
    } else if (fake_is(command, 0, "HMGET") && key[0] == 'm') {
        fake_say_facts(store, client, command);
    } else if (fake_is(command, 0, "HMGET") && key[0] == 'c') {
        store->lookups++;
        fake_say_records(store, client, command);
    } else if (strstr(key, ":counter") != NULL) {
        fake_say(client, store->version_reply);
    } else if (strstr(key, ":senders") != NULL) {
        fake_say(client, store->senders_reply);
    } else if (strstr(key, ":purposes") != NULL) {
        fake_say(client, store->purposes_reply);
    } else if (strstr(key, ":statements") != NULL) {
        fake_say(client, store->statements_reply);
    } else {
        fake_say(client, "-ERR unknown command\r\n");
    }
}

static inline void fake_store_start(struct fake_store *store)
{
    static const struct cm_keys keys = {.store_id = FAKE_STORE_ID};
    static const uint8_t pepper[CM_PEPPER_BYTES];
    *store = (struct fake_store){
        .keys = keys,
        .facts = {FAKE_STORE_ID, "1", "1", "1", FAKE_PEPPERS, "3"},
        .run_id = FAKE_RUN_ID,
        .replication_id = FAKE_REPLICATION_ID,
        .version_reply = "$1\r\n3\r\n",
        .senders_reply = "*2\r\n$4\r\nacme\r\n$23\r\n{\"id\":1,\"title\":\"Acme\"}\r\n",
        .purposes_reply =
            "*4\r\n"
            "$15\r\nacme/newsletter\r\n$50\r\n{\"id\":2,\"parent\":1,\"title\":\"News\",\"retired\":false}\r\n"
            "$11\r\nacme/offers\r\n$52\r\n{\"id\":3,\"parent\":1,\"title\":\"Offers\",\"retired\":false}\r\n",
        .statements_reply = "*2\r\n$3\r\n2:1\r\n$34\r\n{\"material\":false,\"effective\":1.0}\r\n",
    };
    assert_true(cm_keys_add_pepper(&store->keys, 1, pepper));
    atomic_store(&store->keys.in_use, CM_IN_USE(1U << 1, 1));
    fake_start(&store->redis, fake_store_answer, store);
}

/* With the first so many keepers of a, b, c, ... */
static inline struct cm_store *fake_store_open_with(struct fake_store *store, size_t keepers)
{
    static const char *const names[FAKE_KEEPERS] = {"a", "b", "c", "d", "e", "f", "g", "h",
                                                    "i", "j", "k", "l", "m", "n", "o", "p"};
    struct cm_store_options options = {
        .unix_path = store->redis.path, .timeout_ms = 10000, .pool = 4, .keepers = names, .keeper_count = keepers};
    return cm_store_new(&options, &store->keys, NULL);
}

static inline struct cm_store *fake_store_open(struct fake_store *store)
{
    return fake_store_open_with(store, 0);
}

/* Adds a record under one field. */
static inline void fake_store_put(struct fake_store *store, const uint8_t field[CM_FIELD_BYTES],
                                  const struct cm_record *record)
{
    assert_in_range(store->record_count, 0, FAKE_RECORDS - 1);
    struct fake_record *row = &store->records[store->record_count++];
    memcpy(row->field, field, CM_FIELD_BYTES);
    cm_record_encode(record, row->bytes);
}

#endif
