/*
 * Makes a consent store in an empty Redis and fills it with the million records of recipients.h.
 *
 *     fill CONFIG-FILE
 *
 * Keys, store and registry are made as consentctl makes them. The records are a shortcut that only a benchmark may
 * take: they are packed by the project's own code but written with plain HSETs, without the store's functions, so there
 * are no ledger events, no counters and no evidence behind them. What a look-up reads is the same; nothing else about
 * such a store is of use.
 */
#include "core/record.h"
#include "core/subject.h"
#include "recipients.h"
#include "settings/settings.h"
#include "store/admin.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define SENDER "acme"
#define PURPOSE "acme/newsletter"

enum { BATCH = 2000 };

struct fill {
    struct cm_hasher *hasher;
    redisContext *redis;
    uint32_t scope;
    cm_ms granted_at;
    unsigned pending;
    uint64_t records;
};

static size_t append_record(struct fill *fill, uint8_t *out, enum cm_kind kind, unsigned state, cm_ms at)
{
    struct cm_record record = {
        .scope = fill->scope,
        .kind = kind,
        .state = state,
        .rank = CM_RANK_ADMIN,
        .source = CM_SOURCE_WEB_FORM,
        .statement = kind == CM_KIND_GRANT ? 1 : 0,
        .event_at = at,
        .ledger = (uint64_t)at << 16,
    };

    cm_record_encode(&record, out);
    fill->records++;
    return CM_RECORD_BYTES;
}

/* Waits for the answers to all that was sent. */
static bool settle(struct fill *fill)
{
    while (fill->pending > 0) {
        redisReply *reply = NULL;
        bool ok = redisGetReply(fill->redis, (void **)&reply) == REDIS_OK && reply->type == REDIS_REPLY_INTEGER;

        freeReplyObject(reply);
        if (!ok) {
            fprintf(stderr, "fill: Redis refused a record: %s\n", fill->redis->errstr);
            return false;
        }
        fill->pending--;
    }
    return true;
}

/* Records are sorted by scope and kind: a grant stands before a stop. */
static bool put_person(struct fill *fill, unsigned n)
{
    char text[CM_BENCH_ADDRESS_BYTES];
    struct cm_address address;
    struct cm_subject subject;
    uint8_t value[2 * CM_RECORD_BYTES];
    size_t length = 0;

    if (n % 10 == 9) {
        return true;
    }
    (void)cm_bench_address(text, n);
    if (cm_address_parse(cm_span_of(text), &address) != CM_ADDRESS_OK ||
        !cm_subject_of(fill->hasher, &address, &subject)) {
        fprintf(stderr, "fill: no subject key for %s\n", text);
        return false;
    }
    if (n % 10 <= 7) {
        length += append_record(fill, value, CM_KIND_GRANT, CM_STATE_GIVEN, fill->granted_at);
    }
    if (n % 10 >= 7) {
        length += append_record(fill, value + length, CM_KIND_STOP, CM_STATE_WITHDRAWN, fill->granted_at + 3600000);
    }
    if (redisAppendCommand(fill->redis, "HSET c:{p%03x}:%04x %b %b", subject.partition, subject.bucket, subject.exact,
                           sizeof(subject.exact), value, length) != REDIS_OK) {
        fputs("fill: out of memory\n", stderr);
        return false;
    }
    fill->pending++;
    return fill->pending < BATCH || settle(fill);
}

/* Makes the keys, the store and the registry, as consentctl would. */
static bool make_store(struct cm_store *store, const struct cm_settings *settings, bool fresh, struct cm_err *err)
{
    struct cm_statement_text statement = {
        .purpose = CM_SPAN(PURPOSE),
        .language = "en",
        .text = CM_SPAN("Yes, send me the newsletter.\n"),
    };
    unsigned version = 0;

    return cm_store_init(store, fresh, err) != CM_INIT_FAILED && cm_keys_commit(settings->keys, err) &&
           cm_registry_add_sender(store, "fill", SENDER, "Acme", err) == CM_REGISTRY_CHANGED &&
           cm_registry_add_purpose(store, "fill", PURPOSE, "Newsletter", &(struct cm_dormancy){0}, err) ==
               CM_REGISTRY_CHANGED &&
           cm_registry_publish(store, "fill", &statement, &version, err) == CM_REGISTRY_CHANGED;
}

/* The number that the store gave the purpose, and a date in the past by the clock of Redis. */
static bool find_scope(struct cm_store *store, struct fill *fill, struct cm_err *err)
{
    struct cm_address address;
    struct cm_subject anybody;
    struct cm_subject_records records;
    struct cm_lookup lookup;
    struct cm_arena arena;
    bool found = false;

    cm_arena_init(&arena, CM_LIMIT_MESSAGE_BYTES);
    bool is_ready = cm_address_parse(CM_SPAN("anybody@example.test"), &address) == CM_ADDRESS_OK &&
                    cm_subject_of(fill->hasher, &address, &anybody);
    if (is_ready && cm_store_lookup(store, &anybody, 1, &arena, &records, &lookup, err) == CM_TROUBLE_NONE) {
        const struct cm_registry_purpose *row = cm_registry_purpose(lookup.registry, CM_SPAN(PURPOSE));

        if (row != NULL) {
            fill->scope = row->scopes.ids[0];
            fill->granted_at = lookup.now - 1000 * 86400;
            found = true;
        } else {
            cm_err_set(err, "%s did not get into the registry", PURPOSE);
        }
        cm_registry_unref(lookup.registry);
    }
    cm_arena_done(&arena);
    return found;
}

static bool fill_all(const struct cm_settings *settings, struct fill *fill)
{
    bool done = true;

    fill->redis = redisConnectUnix(settings->store.path);
    if (fill->redis == NULL || fill->redis->err != 0) {
        fputs("fill: cannot connect to Redis\n", stderr);
        done = false;
    }
    for (unsigned n = 0; done && n < CM_BENCH_RECIPIENTS; n++) {
        done = put_person(fill, n);
    }
    done = done && settle(fill);
    if (done) {
        printf("%llu records\n", (unsigned long long)fill->records);
    }
    redisFree(fill->redis);
    return done;
}

static bool run(const struct cm_settings *settings, struct cm_err *err)
{
    struct cm_store_options options = {.unix_path = settings->store.path, .timeout_ms = 5000, .pool = 1};
    struct cm_store *store = NULL;
    struct fill fill = {0};
    uint32_t in_use = 0;
    struct cm_keys keys;
    bool fresh = false;
    bool done = false;

    if (settings->store.scheme != CM_STORE_UNIX) {
        cm_err_set(err, "the store must be on a unix socket");
        return false;
    }
    if (!cm_keys_create(settings->keys, &keys, &fresh, err)) {
        return false;
    }
    store = cm_store_new(&options, &keys, err);
    if (store != NULL && make_store(store, settings, fresh, err)) {
        fill.hasher = cm_keys_hasher(&keys, &in_use); /* the store has said under which pepper */
        done = fill.hasher != NULL && find_scope(store, &fill, err) && fill_all(settings, &fill);
    }
    cm_hasher_free(fill.hasher);
    cm_store_free(store);
    cm_keys_wipe(&keys);
    return done;
}

int main(int argc, char **argv)
{
    struct cm_err err = {{0}};
    struct cm_settings *settings = NULL;
    bool done = false;

    if (argc != 2) {
        fputs("usage: fill CONFIG-FILE\n", stderr);
        return EX_USAGE;
    }
    settings = cm_settings_load(argv[1], &err);
    if (settings != NULL) {
        done = run(settings, &err);
    }
    if (!done) {
        fprintf(stderr, "fill: %s\n", err.text);
    }
    cm_settings_free(settings);
    return done ? EX_OK : EX_SOFTWARE;
}
