#include "parity_acts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define HEAD_BYTES 19
#define SENDER 1U
#define ARGUMENTS 18

/* 0 everybody, 1 the sender, 2 and 3 its purposes, 4 below 2. */
#define SCOPES 5
static const uint32_t parents[SCOPES] = {0, 0, SENDER, SENDER, 2};

/* Which functions there are. */
static const struct row {
    enum cm_act act;
    enum cm_kind first_kind;
    enum cm_kind last_kind;
    const char *ranks; /* digits of enum cm_rank */
} rows[] = {
    {CM_ACT_GRANT, CM_KIND_GRANT, CM_KIND_ASSERTED, "234"},
    {CM_ACT_GRANT, CM_KIND_GRANT, CM_KIND_GRANT, "234"}, /* has more to tell apart */
    {CM_ACT_WITHDRAW, CM_KIND_STOP, CM_KIND_STOP, "12345"},
    {CM_ACT_REQUEST, CM_KIND_REQUEST, CM_KIND_REQUEST, "34"},
    {CM_ACT_RESTRICT, CM_KIND_RESTRICTED, CM_KIND_RESTRICTED, "23"},
    {CM_ACT_SUSPEND, CM_KIND_SUSPENDED, CM_KIND_SUSPENDED, "23"},
    {CM_ACT_END, CM_KIND_RESTRICTED, CM_KIND_SUSPENDED, "23"},
    {CM_ACT_BOUNCE, CM_KIND_BOUNCED, CM_KIND_BOUNCED, "35"},
    {CM_ACT_ERASE, CM_KIND_ERASED, CM_KIND_ERASED, "23"},
    {CM_ACT_CONFIRM, CM_KIND_GRANT, CM_KIND_GRANT, "1"}, /* needs what stands: live only */
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static uint64_t dice_state;

void dice_seed(uint64_t seed)
{
    dice_state = seed * 0x9e3779b97f4a7c15U | 1;
}

uint64_t dice(uint64_t sides)
{
    dice_state ^= dice_state << 13; /* xorshift64 */
    dice_state ^= dice_state >> 7;
    dice_state ^= dice_state << 17;
    return dice_state % sides;
}

void require(bool condition, const char *what)
{
    if (!condition) {
        (void)fprintf(stderr, "store_parity: %s\n", what);
        exit(1);
    }
}

bool is_below(void *context, uint32_t scope, uint32_t above)
{
    (void)context; /* the tree is ours */
    while (scope != 0 && scope < SCOPES) {
        scope = parents[scope];
        if (scope == above) {
            return true;
        }
    }
    return false;
}

struct act random_act(cm_ms base, size_t number, bool with_confirmations)
{
    static const uint32_t expiries[] = {1900000000U, 1900000001U, UINT32_MAX, 0};
    const struct row *row = &rows[dice(with_confirmations ? ROWS : ROWS - 1)];
    struct act act = {.act = row->act, .field = (unsigned)dice(FIELDS)};
    struct cm_record *record = &act.record;
    if (row->act == CM_ACT_ERASE && act.field < UNERASED_FIELDS) {
        act.field += UNERASED_FIELDS;
    }
    record->kind = (enum cm_kind)((unsigned)row->first_kind + dice(row->last_kind - row->first_kind + 1));
    record->rank = (enum cm_rank)(row->ranks[dice(strlen(row->ranks))] - '0');
    bool is_stop = cm_kind_is_stop(record->kind);
    record->scope = (uint32_t)(is_stop ? dice(SCOPES) : 2 + dice(SCOPES - 2));
    do {
        record->state = (unsigned)dice(4) + 1;
    } while (cm_state_name(record->kind, record->state) == NULL);
    record->source = (enum cm_source)dice(CM_SOURCE_COUNT);
    record->statement = (uint16_t)dice(3);
    /* Implied consent by a purchase or inquiry lapses, all else may or the function says when. LAW-7 */
    record->expiry_s = is_stop ? 0 : expiries[dice(record->kind == CM_KIND_IMPLIED ? 3 : 4)];
    record->event_at = base + (cm_ms)dice(6);
    act.has_document = dice(2) == 0;
    if (row->act == CM_ACT_GRANT && record->kind == CM_KIND_GRANT) { /* LAW-6 */
        act.has_document = true;
        record->source = record->source == CM_SOURCE_UNSET ? CM_SOURCE_STAFF : record->source;
        record->statement = record->statement == 0 ? 1 : record->statement;
    }
    bool may_be_guardian = record->kind == CM_KIND_GRANT && act.has_document && record->rank != CM_RANK_SENDER;
    bool by_guardian = may_be_guardian && dice(3) == 0;
    record->flags = by_guardian ? CM_RECORD_BY_GUARDIAN : 0;
    cm_put_be(act.id, number + 1, sizeof(act.id));
    return act;
}

void become_a_twin(struct act *act, const struct act *other)
{
    uint8_t id[CM_EVENT_ID_BYTES];
    struct cm_record *record = &act->record;
    memcpy(id, act->id, sizeof(id));
    *act = *other;
    memcpy(act->id, id, sizeof(id));
    bool is_express = record->kind == CM_KIND_GRANT;
    switch (dice(5)) {
    case 0: act->has_document = is_express || !act->has_document; break;
    case 1: record->source = (enum cm_source)(1 + dice(CM_SOURCE_COUNT - 1)); break;
    case 2: record->statement = (uint16_t)(1 + dice(3)); break;
    case 3:
        record->flags = record->flags == 0 && is_express && act->has_document && record->rank != CM_RANK_SENDER
                            ? CM_RECORD_BY_GUARDIAN
                            : 0;
        break;
    default: /* no longer lasting, or the other way round */
        if (!cm_kind_is_stop(record->kind) && record->kind != CM_KIND_IMPLIED) {
            record->expiry_s = record->expiry_s == 0 ? 1900000000U : 0;
        }
    }
}

void field_bytes(unsigned field, uint8_t out[CM_FIELD_BYTES])
{
    cm_put_be(out, 0xf1e1d00000000000U + field, CM_FIELD_BYTES);
}

static redisReply *ask(const struct place *place, size_t count, const char *const *words, const size_t *lens)
{
    const char *copies[ARGUMENTS + 1];
    require(count <= ARGUMENTS, "too many arguments");
    memcpy(copies, words, count * sizeof(copies[0]));
    redisReply *reply = redisCommandArgv(place->redis, (int)count, copies, lens);
    require(reply != NULL, place->redis->errstr);
    return reply;
}

redisReply *ask_key(const struct place *place, const char *command, char kind, const char *more, const void *last,
                    size_t last_len)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "%c:%s%s", kind, place->partition, more); /* fits */
    const char *words[] = {command, key, last};
    const size_t lens[] = {strlen(command), strlen(key), last_len};
    return ask(place, last != NULL ? 3 : 2, words, lens);
}

/* Scopes below for an erasure, above for a grant, the request for a confirmation; returns the length. */
static size_t pack_related(const struct act *act, uint8_t out[4 * SCOPES])
{
    if (act->act == CM_ACT_CONFIRM) {
        cm_put_be(out, act->request, 8);
        return 8;
    }
    size_t len = 0;
    for (uint32_t scope = 1; scope < SCOPES; scope++) {
        bool is_related = act->act == CM_ACT_ERASE ? is_below(NULL, scope, act->record.scope)
                                                   : is_below(NULL, act->record.scope, scope);
        if (is_related) {
            cm_put_be(out + len, scope, 4);
            len += 4;
        }
    }
    return len;
}

redisReply *send_act(const struct place *place, const struct act *act)
{
    static const uint8_t sha[CM_SHA256_BYTES] = {0xaa};
    char function[32];
    char keys[4][32];
    uint8_t field[CM_FIELD_BYTES];
    uint8_t record[CM_RECORD_BYTES];
    uint8_t seal[4 + CM_SALT_BYTES] = {0, 0, 0, SENDER, 'f', 'i', 'x', 'e', 'd'};
    uint8_t related[4 * SCOPES];
    struct cm_record stated = act->record;
    size_t has = act->has_document ? 1 : 0;
    stated.rank = CM_RANK_SYSTEM; /* the function knows better */
    field_bytes(act->field, field);
    cm_record_encode(&stated, record);
    (void)snprintf(function, sizeof(function), "%s_%s", cm_rank_name(act->record.rank),
                   cm_act_name(act->act)); /* the longest fits, as the next */
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%c:%s%s", "clnm"[i], place -> partition, i == 0 ? ":0001" : "");
    }
    const struct cm_span args[ARGUMENTS] = {
        CM_SPAN("FCALL"),
        cm_span_of(function),
        CM_SPAN("4"),
        cm_span_of(keys[0]),
        cm_span_of(keys[1]),
        cm_span_of(keys[2]),
        cm_span_of(keys[3]),
        cm_span_of(place->store_id),
        {(const char *)act->id, CM_EVENT_ID_BYTES},
        {(const char *)field, CM_FIELD_BYTES},
        {"\0\1", 2},
        {(const char *)record, HEAD_BYTES},
        {(const char *)seal, sizeof(seal) * has},
        {(const char *)sha, CM_SHA256_BYTES * has},
        {"document", 8 * has},
        {"-", act->is_replay ? 1 : 0},
        {"", 0},
        {(const char *)related, pack_related(act, related)},
    };
    const char *words[ARGUMENTS];
    size_t lens[ARGUMENTS];
    for (size_t i = 0; i < ARGUMENTS; i++) {
        words[i] = args[i].p;
        lens[i] = args[i].len;
    }
    return ask(place, ARGUMENTS, words, lens);
}
