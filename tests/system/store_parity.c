/*
 * Redis and core must agree on which event of a record wins (LAW-3): the same random events go through the functions in
 * one random order and are folded with cm_record_supersedes in another; every field must then hold the same bytes.
 *
 * usage: store_parity SOCKET STORE-ID SEED EVENTS
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "core/event.h"

#define FIELDS 8
#define SCOPES 3
#define KEYS_MAX 64 /* scopes and kinds under one field, with the seal */
#define HEAD_BYTES 19
#define SEAL_SCOPE 3
#define PARTITION "{p3ff}"
#define BUCKET_KEY "c:" PARTITION ":0001"

struct act {
    struct cm_record record;
    unsigned field;
    uint8_t id[CM_EVENT_ID_BYTES];
    bool has_document;
};

struct fold {
    struct cm_record records[KEYS_MAX];
    size_t count;
};

static uint64_t dice_state;

static uint64_t dice(uint64_t sides)
{
    dice_state ^= dice_state << 13; /* xorshift64 */
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state % sides;
}

static void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "store_parity: %s\n", what);
        exit(1);
    }
}

/* An event out of few dates and values, so that ties of every depth come about. */
static struct act random_act(cm_ms base, size_t number)
{
    static const enum cm_kind kinds[] = {CM_KIND_GRANT, CM_KIND_IMPLIED, CM_KIND_SOFT_OPTIN, CM_KIND_ASSERTED,
                                         CM_KIND_STOP};
    static const uint32_t expiries[] = {1900000000U, 1900000001U, UINT32_MAX, 0};
    struct act act = {.field = (unsigned)dice(FIELDS)};
    struct cm_record *record = &act.record;
    record->kind = kinds[dice(sizeof(kinds) / sizeof(kinds[0]))];
    bool is_stop = record->kind == CM_KIND_STOP;
    record->scope = (uint32_t)(dice(SCOPES) + (is_stop ? 0 : 1));
    record->state = record->kind == CM_KIND_IMPLIED || is_stop ? (unsigned)dice(4) + 1 : CM_STATE_GIVEN;
    record->rank = (enum cm_rank)(is_stop ? CM_RANK_SUBJECT + dice(4) : CM_RANK_OFFICER + dice(3));
    record->source = (enum cm_source)dice(CM_SOURCE_COUNT);
    record->statement = (uint16_t)dice(3);
    /* Implied consent lapses, a stop does not, all else may. LAW-7 */
    record->expiry_s = is_stop ? 0 : expiries[dice(record->kind == CM_KIND_IMPLIED ? 3 : 4)];
    record->event_at = base + (cm_ms)dice(6);
    act.has_document = dice(2) == 0;
    if (record->kind == CM_KIND_GRANT) { /* LAW-6 */
        act.has_document = true;
        record->source = record->source == CM_SOURCE_UNSET ? CM_SOURCE_STAFF : record->source;
        record->statement = record->statement == 0 ? 1 : record->statement;
    }
    record->flags = act.has_document ? CM_RECORD_HAS_EVIDENCE : 0;
    cm_put_be(act.id, number + 1, sizeof(act.id));
    return act;
}

/* The same once more but for its evidence: the last tie of all. */
static void become_a_twin(struct act *act, const struct act *other)
{
    act->field = other->field;
    act->record = other->record;
    act->has_document = other->record.kind == CM_KIND_GRANT || !other->has_document;
    act->record.flags = act->has_document ? CM_RECORD_HAS_EVIDENCE : 0;
}

static void shuffle(struct act *acts, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)dice(i);
        struct act swap = acts[i - 1];
        acts[i - 1] = acts[j];
        acts[j] = swap;
    }
}

static void field_bytes(unsigned field, uint8_t out[CM_FIELD_BYTES])
{
    cm_put_be(out, 0xf1e1d00000000000U + field, CM_FIELD_BYTES);
}

static void send_act(redisContext *redis, const char *store_id, const struct act *act)
{
    static const char *const ranks[] = {"", "subject", "officer", "admin", "sender"};
    static const uint8_t sha[CM_SHA256_BYTES] = {0xaa};
    char function[32];
    uint8_t field[CM_FIELD_BYTES];
    uint8_t record[CM_RECORD_BYTES];
    uint8_t seal[4 + CM_SALT_BYTES] = {0};
    struct cm_record stated = act->record;
    stated.rank = CM_RANK_SYSTEM; /* the function knows better */
    field_bytes(act->field, field);
    cm_record_encode(&stated, record);
    cm_put_be(seal, SEAL_SCOPE, 4);
    memcpy(seal + 4, "fixed", 5);
    (void)snprintf(function, sizeof(function), "%s_%s", ranks[act->record.rank],
                   act->record.kind == CM_KIND_STOP ? "withdraw" : "grant"); /* the longest fits */
    const char *arguments[] = {"FCALL",
                               function,
                               "4",
                               BUCKET_KEY,
                               "l:" PARTITION,
                               "n:" PARTITION,
                               "m:" PARTITION,
                               store_id,
                               (const char *)act->id,
                               (const char *)field,
                               "\0\1",
                               (const char *)record,
                               (const char *)seal,
                               (const char *)sha,
                               "document"};
    size_t has = act->has_document ? 1 : 0;
    const size_t lens[] = {5,
                           strlen(function),
                           1,
                           strlen(BUCKET_KEY),
                           strlen("l:" PARTITION),
                           strlen("n:" PARTITION),
                           strlen("m:" PARTITION),
                           strlen(store_id),
                           CM_EVENT_ID_BYTES,
                           CM_FIELD_BYTES,
                           2,
                           HEAD_BYTES,
                           sizeof(seal) * has,
                           CM_SHA256_BYTES * has,
                           8 * has};
    require(redisAppendCommandArgv(redis, 15, arguments, lens) == REDIS_OK, redis->errstr);
}

/* Where the record with this scope and kind stands in a fold, or where it belongs. */
static size_t locate(const struct fold *fold, const struct cm_record *record)
{
    size_t at = 0;
    while (at < fold->count && (fold->records[at].scope < record->scope ||
                                (fold->records[at].scope == record->scope && fold->records[at].kind < record->kind))) {
        at++;
    }
    return at;
}

static struct cm_record *take(struct fold *fold, const struct cm_record *record)
{
    size_t at = locate(fold, record);
    if (at == fold->count || fold->records[at].scope != record->scope || fold->records[at].kind != record->kind) {
        require(fold->count < KEYS_MAX, "more records than expected");
        memmove(&fold->records[at + 1], &fold->records[at], (fold->count - at) * sizeof(fold->records[0]));
        fold->records[at] = *record;
        fold->count++;
    }
    return &fold->records[at];
}

static void fold_act(struct fold *folds, const struct act *act)
{
    struct cm_record *kept = take(&folds[act->field], &act->record);
    if (cm_record_supersedes(&act->record, kept)) {
        *kept = act->record;
    }
    if (act->has_document) {
        struct cm_record seal = {.scope = SEAL_SCOPE,
                                 .kind = CM_KIND_SEAL,
                                 .state = CM_STATE_GIVEN,
                                 .rank = CM_RANK_SYSTEM,
                                 .salt = "fixed"};
        (void)take(&folds[act->field], &seal);
    }
}

/* The newest ledger id of each record is the order of arrival's, not the law's: it comes from the answers. */
static void note_ledger(struct fold *ledgers, const struct act *act, const redisReply *reply)
{
    uint64_t id = 0;
    require(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3, reply->str != NULL ? reply->str : "no result");
    require(cm_ledger_id_parse((struct cm_span){reply->element[1]->str, reply->element[1]->len}, &id), "ledger id");
    if (strcmp(reply->element[0]->str, "duplicate") != 0) {
        take(&ledgers[act->field], &act->record)->ledger = id;
    }
}

static void apply_all(redisContext *redis, const char *store_id, const struct act *acts, size_t count,
                      struct fold *ledgers)
{
    enum { BATCH = 100 };
    for (size_t from = 0; from < count; from += BATCH) {
        size_t to = from + BATCH < count ? from + BATCH : count;
        for (size_t i = from; i < to; i++) {
            send_act(redis, store_id, &acts[i]);
        }
        for (size_t i = from; i < to; i++) {
            redisReply *reply = NULL;
            require(redisGetReply(redis, (void **)&reply) == REDIS_OK, redis->errstr);
            note_ledger(ledgers, &acts[i], reply);
            freeReplyObject(reply);
        }
    }
}

/* Number of differences between what Redis holds under one field and the fold. */
static int compare(redisContext *redis, unsigned field, const struct fold *fold, struct fold *ledgers)
{
    uint8_t name[CM_FIELD_BYTES];
    int differences = 0;
    field_bytes(field, name);
    redisReply *reply = redisCommand(redis, "HGET " BUCKET_KEY " %b", name, sizeof(name));
    require(reply != NULL && reply->type == REDIS_REPLY_STRING, "a field is missing");
    require(reply->len == fold->count * CM_RECORD_BYTES, "another number of records");
    for (size_t i = 0; i < fold->count; i++) {
        uint8_t want[CM_RECORD_BYTES];
        const uint8_t *got = (const uint8_t *)reply->str + i * CM_RECORD_BYTES;
        struct cm_record record = fold->records[i];
        record.ledger = record.kind != CM_KIND_SEAL ? take(ledgers, &record)->ledger : 0;
        cm_record_encode(&record, want);
        if (memcmp(got, want, sizeof(want)) != 0) {
            differences++;
            (void)printf("field %u, scope %u, kind %d differ:\n  Redis ", field, record.scope, (int)record.kind);
            for (size_t b = 0; b < sizeof(want); b++) {
                (void)printf("%02x", got[b]);
            }
            (void)printf("\n  core  ");
            for (size_t b = 0; b < sizeof(want); b++) {
                (void)printf("%02x", want[b]);
            }
            (void)printf("\n");
        }
    }
    freeReplyObject(reply);
    return differences;
}

int main(int argc, char **argv)
{
    static struct fold folds[FIELDS];
    static struct fold ledgers[FIELDS];
    if (argc != 5) {
        (void)fprintf(stderr, "usage: store_parity SOCKET STORE-ID SEED EVENTS\n");
        return 64;
    }
    size_t count = strtoul(argv[4], NULL, 10);
    dice_state = strtoull(argv[3], NULL, 10) * 0x9e3779b97f4a7c15U | 1;
    redisContext *redis = redisConnectUnix(argv[1]);
    require(redis != NULL && redis->err == 0, "cannot connect");
    struct act *acts = calloc(count + 1, sizeof(*acts));
    require(acts != NULL, "out of memory");
    cm_ms base = (cm_ms)time(NULL) * 1000 - 3600000;
    for (size_t i = 0; i < count; i++) {
        acts[i] = random_act(base, i);
        if (i > 0 && dice(3) == 0) {
            become_a_twin(&acts[i], &acts[dice(i)]);
        }
    }
    apply_all(redis, argv[2], acts, count, ledgers);
    shuffle(acts, count);
    int differences = 0;
    for (size_t i = 0; i < count; i++) {
        fold_act(folds, &acts[i]);
    }
    for (unsigned field = 0; field < FIELDS; field++) {
        differences += compare(redis, field, &folds[field], &ledgers[field]);
    }
    free(acts);
    redisFree(redis);
    (void)printf("seed %s: %zu events, %d differences\n", argv[3], count, differences);
    return differences == 0 ? 0 : 1;
}
