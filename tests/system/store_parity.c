/*
 * Redis and core must agree on what stands after any acts: random acts go through the functions, and what they wrote to
 * the ledger is folded by cm_fold_apply; then every field must hold the same bytes, seals and months of use apart,
 * every event must name the one before it, and the counters must count what stands. Besides, the same dated acts in two
 * orders must leave the same records. LAW-3
 *
 * usage: store_parity SOCKET STORE-ID SEED ACTS
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "core/fold.h"
#include "parity_acts.h"

#define ROOM 128

/* Runs the act; some of what chance asks for is refused. */
static void run_act(const struct place *place, const struct act *act)
{
    redisReply *reply = send_act(place, act);
    if (reply->type == REDIS_REPLY_ERROR) {
        require(strncmp(reply->str, "ABSENT ", 7) == 0 || strncmp(reply->str, "REQUEST ", 8) == 0, reply->str);
    } else {
        require(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3, "no result");
    }
    freeReplyObject(reply);
}

/* Reads what stands under a field, seals left out. */
static size_t read_records(const struct place *place, unsigned field, struct cm_record out[ROOM])
{
    uint8_t name[CM_FIELD_BYTES];
    size_t count = 0;
    field_bytes(field, name);
    redisReply *reply = ask_key(place, "HGET", 'c', ":0001", name, sizeof(name));
    require(reply->type == REDIS_REPLY_STRING && reply->len % CM_RECORD_BYTES == 0, "a field is missing");
    for (size_t at = 0; at < reply->len; at += CM_RECORD_BYTES) {
        require(count < ROOM && cm_record_decode((const uint8_t *)reply->str + at, &out[count]), "no record");
        require(count == 0 || cm_record_compare_keys(&out[count - 1], &out[count]) < 0, "records are not sorted");
        count += out[count].kind != CM_KIND_SEAL ? 1 : 0;
    }
    freeReplyObject(reply);
    return count;
}

/* A confirmation of a request that stands, or else of none. */
static void aim_confirmation(const struct place *place, struct act *act)
{
    struct cm_record records[ROOM];
    uint8_t name[CM_FIELD_BYTES];
    field_bytes(act->field, name);
    redisReply *reply = ask_key(place, "HEXISTS", 'c', ":0001", name, sizeof(name));
    size_t count = reply->integer == 1 ? read_records(place, act->field, records) : 0;
    freeReplyObject(reply);
    for (size_t i = 0; i < count; i++) {
        if (records[i].kind == CM_KIND_REQUEST && dice(2) == 0) {
            act->record.scope = records[i].scope;
            act->request = records[i].ledger;
        }
    }
    act->record.event_at = 0;
}

static int differ(const char *what, const struct cm_record *a, const struct cm_record *b)
{
    uint8_t bytes[2][CM_RECORD_BYTES];
    cm_record_encode(a, bytes[0]);
    cm_record_encode(b, bytes[1]);
    if (memcmp(bytes[0], bytes[1], CM_RECORD_BYTES) == 0) {
        return 0;
    }
    (void)printf("%s: scope %u, kind %d differ:\n", what, a->scope, (int)a->kind);
    for (size_t side = 0; side < 2; side++) {
        for (size_t i = 0; i < CM_RECORD_BYTES; i++) {
            (void)printf("%02x", bytes[side][i]);
        }
        (void)printf("\n");
    }
    return 1;
}

/* What the ledger says, event by event. */
struct ledger {
    struct cm_fold folds[FIELDS];
    struct cm_record records[FIELDS][ROOM];
    cm_ms newest_grant;
    size_t events;
    size_t confirmed;
    size_t stale;
};

/* What core says of an event: whether it takes effect. */
static bool should_apply(const struct cm_fold *fold, const struct cm_event *event, const struct cm_record *before)
{
    const struct cm_record *new = &event->record;
    bool barred = false;
    for (size_t i = 0; i < fold->count && (event->act == CM_ACT_GRANT || event->act == CM_ACT_REQUEST); i++) {
        const struct cm_record *r = &fold->records[i];
        barred |= r->kind == CM_KIND_ERASED && r->event_at >= new->event_at &&
                  (r->scope == 0 || r->scope == new->scope || is_below(NULL, new->scope, r->scope));
    }
    return before != NULL ? cm_record_supersedes(new, before) : !barred;
}

static void fold_event(struct ledger *ledger, const struct cm_event *event, uint64_t id)
{
    unsigned field = (unsigned)cm_get_be(event->field, CM_FIELD_BYTES) % FIELDS;
    struct cm_fold *fold = &ledger->folds[field];
    const struct cm_record *before = cm_fold_find(fold, &event->record);
    require(event->previous == (before != NULL ? before->ledger : 0), "an event does not name the one before it");
    bool is_applied = event->outcome == CM_OUTCOME_APPLIED;
    require(is_applied == should_apply(fold, event, before), "Redis and core order two records differently");
    require(cm_fold_apply(fold, event, id, is_below, NULL), "more records than expected");
    if (is_applied && event->record.kind <= CM_KIND_REQUEST && event->record.event_at > ledger->newest_grant) {
        ledger->newest_grant = event->record.event_at;
    }
    ledger->events++;
    ledger->confirmed += event->act == CM_ACT_CONFIRM ? 1 : 0;
    ledger->stale += is_applied ? 0 : 1;
}

static void read_ledger(const struct place *place, struct ledger *out)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "l:%s", place->partition); /* fits */
    for (size_t i = 0; i < FIELDS; i++) {
        out->folds[i] = (struct cm_fold){.records = out->records[i], .size = ROOM};
    }
    redisReply *reply = redisCommand(place->redis, "XRANGE %s - +", key);
    require(reply != NULL && reply->type == REDIS_REPLY_ARRAY, "no ledger");
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *id = reply->element[i]->element[0];
        const redisReply *packed = reply->element[i]->element[1]->element[1];
        struct cm_event event;
        uint64_t ledger = 0;
        require(cm_ledger_id_parse((struct cm_span){id->str, id->len}, &ledger), "ledger id");
        require(cm_event_decode((struct cm_span){packed->str, packed->len}, &event), "an event cannot be read");
        fold_event(out, &event, ledger);
    }
    freeReplyObject(reply);
}

/* Number of differences between Redis and the fold of its ledger. */
static int compare_with_fold(const struct place *place, const struct ledger *ledger)
{
    int differences = 0;
    for (unsigned field = 0; field < FIELDS; field++) {
        struct cm_record records[ROOM];
        const struct cm_fold *fold = &ledger->folds[field];
        require(read_records(place, field, records) == fold->count, "another number of records than the fold");
        for (size_t i = 0; i < fold->count; i++) {
            differences += differ("Redis and the fold", &records[i], &fold->records[i]);
        }
    }
    return differences;
}

/* How many records the fold holds that this counter counts: "SCOPE:KIND:STATE", with ":ended". */
static uint64_t count_of(const struct ledger *ledger, const char *name)
{
    uint64_t count = 0;
    for (size_t field = 0; field < FIELDS; field++) {
        for (size_t i = 0; i < ledger->folds[field].count; i++) {
            char own[48];
            const struct cm_record *record = &ledger->folds[field].records[i];
            (void)snprintf(own, sizeof(own), "%u:%d:%u%s", record->scope, (int)record->kind, record->state,
                           (record->flags & CM_RECORD_ENDED) != 0 ? ":ended" : ""); /* fits */
            count += strcmp(own, name) == 0 ? 1 : 0;
        }
    }
    return count;
}

static int compare_counters(const struct place *place, const struct ledger *ledger)
{
    int differences = 0;
    uint64_t sum = 0;
    uint64_t standing = 0;
    redisReply *reply = ask_key(place, "HGETALL", 'n', "", NULL, 0);
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const char *name = reply->element[i]->str;
        uint64_t value = strtoull(reply->element[i + 1]->str, NULL, 10);
        bool is_count = name[0] >= '0' && name[0] <= '9';
        uint64_t want = is_count                      ? count_of(ledger, name)
                        : strcmp(name, "events") == 0 ? ledger->events
                                                      : (uint64_t)ledger->newest_grant;
        sum += is_count ? value : 0;
        if (value != want) {
            differences++;
            (void)printf("counter %s is %" PRIu64 ", not %" PRIu64 "\n", name, value, want);
        }
    }
    freeReplyObject(reply);
    for (size_t field = 0; field < FIELDS; field++) {
        standing += ledger->folds[field].count;
    }
    require(sum == standing, "the counters miss a record");
    return differences;
}

/* One act in four is live, one in eight a repetition. */
static int test_fold(const struct place *place, cm_ms base, struct act *acts, size_t count)
{
    static struct ledger ledger;
    for (size_t i = 0; i < count; i++) {
        acts[i] = random_act(base, i, true);
        if (i > 0 && dice(3) == 0) {
            become_a_twin(&acts[i], &acts[dice(2) == 0 ? i - 1 : dice(i)]);
        }
        if (acts[i].act == CM_ACT_CONFIRM) {
            aim_confirmation(place, &acts[i]);
        } else if (dice(4) == 0) {
            acts[i].record.event_at = 0;
        }
        acts[i].is_replay = acts[i].record.event_at != 0 && dice(4) == 0;
        run_act(place, i > 0 && dice(8) == 0 ? &acts[dice(i)] : &acts[i]);
    }
    read_ledger(place, &ledger);
    require(count < 1000 || (ledger.confirmed > 10 && ledger.stale > 10), "chance has left something out");
    int differences = compare_with_fold(place, &ledger) + compare_counters(place, &ledger);
    (void)printf("%zu acts left %zu events, %zu of them confirmations, %zu stale\n", count, ledger.events,
                 ledger.confirmed, ledger.stale);
    return differences;
}

/* Erasure takes only those stops that came before it. */
static bool depends_on_order(unsigned field, const struct cm_record *record)
{
    return field >= UNERASED_FIELDS &&
           (record->kind == CM_KIND_STOP || record->kind == CM_KIND_BOUNCED || record->kind == CM_KIND_ERASED);
}

static size_t read_lasting(const struct place *place, unsigned field, struct cm_record out[ROOM])
{
    size_t kept = 0;
    size_t count = read_records(place, field, out);
    for (size_t i = 0; i < count; i++) {
        if (!depends_on_order(field, &out[i])) {
            out[kept] = out[i];
            out[kept++].ledger = 0; /* the order of arrival's, not the law's */
        }
    }
    return kept;
}

static int test_order(const struct place *first, const struct place *second, cm_ms base, struct act *acts, size_t count)
{
    int differences = 0;
    for (size_t i = 0; i < count; i++) {
        acts[i] = random_act(base, i, false);
        if (i > 0 && dice(3) == 0) {
            become_a_twin(&acts[i], &acts[dice(2) == 0 ? i - 1 : dice(i)]);
        }
        acts[i].is_replay = true; /* so that an end may come before its restriction */
        run_act(first, &acts[i]);
    }
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)dice(i);
        struct act swap = acts[i - 1];
        acts[i - 1] = acts[j];
        acts[j] = swap;
    }
    for (size_t i = 0; i < count; i++) {
        run_act(second, &acts[i]);
    }
    for (unsigned field = 0; field < FIELDS; field++) {
        struct cm_record a[ROOM];
        struct cm_record b[ROOM];
        size_t a_count = read_lasting(first, field, a);
        require(a_count == read_lasting(second, field, b), "the order changes which records stand");
        for (size_t i = 0; i < a_count; i++) {
            differences += differ("two orders", &a[i], &b[i]);
        }
    }
    return differences;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        (void)fprintf(stderr, "usage: store_parity SOCKET STORE-ID SEED ACTS\n");
        return 64;
    }
    size_t count = strtoul(argv[4], NULL, 10);
    dice_seed(strtoull(argv[3], NULL, 10));
    redisContext *redis = redisConnectUnix(argv[1]);
    require(redis != NULL && redis->err == 0, "cannot connect");
    struct act *acts = calloc(count + 1, sizeof(*acts));
    require(acts != NULL, "out of memory");
    const struct place places[] = {{redis, argv[2], "{p3ff}"}, {redis, argv[2], "{p3fe}"}, {redis, argv[2], "{p3fd}"}};
    cm_ms base = (cm_ms)time(NULL) * 1000 - 3600000;
    int differences = test_fold(&places[0], base, acts, count);
    differences += test_order(&places[1], &places[2], base, acts, count / 2);
    free(acts);
    redisFree(redis);
    (void)printf("seed %s: %d differences\n", argv[3], differences);
    return differences == 0 ? 0 : 1;
}
