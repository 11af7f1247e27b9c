/*
 * A walk over all pairs of records: every kind, state, flag and rank, with and without a source, older, equally old and
 * newer. What must hold of each: it survives its packing; of those with one key any two are in one strict order; and a
 * stop beside anything permits no more than that alone.
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define RECORDS_MAX 2560
#define TIMES 3
#define BOUNCE_LASTS_S 100
#define NOW 60000

static const enum cm_source sources[] = {CM_SOURCE_UNSET, CM_SOURCE_IMPORT, CM_SOURCE_COMPLAINT_REPORT};

struct all {
    struct cm_record records[RECORDS_MAX];
    size_t count;
};

static unsigned broken;

static void print_record(const struct cm_record *r)
{
    (void)printf("  ");
    world_print_event(stdout, &(struct world_event){.record = *r});
    (void)printf("\n");
}

static void report(const char *what, const struct cm_record *a, const struct cm_record *b, const struct cm_record *c)
{
    broken++;
    (void)printf("BROKEN %s\n", what);
    print_record(a);
    print_record(b);
    if (c != NULL) {
        print_record(c);
    }
}

/* All that a packed record can say in these fields: what cannot be decoded is not in the walk. */
static void collect(struct all *all, size_t source_count)
{
    all->count = 0;
    for (unsigned head = 0; head < 1U << 14; head++) {
        struct cm_record r = {.scope = WORLD_PURPOSE,
                              .kind = (enum cm_kind)(head & 15),
                              .state = head >> 4 & 15,
                              .rank = (enum cm_rank)(head >> 8 & 7),
                              .flags = head >> 11};
        uint8_t packed[CM_RECORD_BYTES];
        struct cm_record again;
        cm_record_encode(&r, packed);
        if (r.kind == CM_KIND_SEAL || !cm_record_decode(packed, &again)) {
            continue; /* a forward is not decoded either: its scope is 0 */
        }
        for (size_t i = 0; i < TIMES * source_count; i++) {
            r.event_at = 1000 * (cm_ms)(1 + i % TIMES);
            r.source = sources[i / TIMES];
            r.expiry_s = r.kind == CM_KIND_BOUNCED ? (uint32_t)(r.event_at / 1000) + BOUNCE_LASTS_S : 0;
            if (all->count == RECORDS_MAX) {
                (void)printf("BROKEN more records than expected\n");
                exit(EXIT_FAILURE);
            }
            all->records[all->count++] = r;
        }
    }
}

static bool is_same(const struct cm_record *a, const struct cm_record *b)
{
    uint8_t packed_a[CM_RECORD_BYTES];
    uint8_t packed_b[CM_RECORD_BYTES];
    cm_record_encode(a, packed_a);
    cm_record_encode(b, packed_b);
    return memcmp(packed_a, packed_b, CM_RECORD_BYTES) == 0;
}

static void walk_packing(const struct all *all)
{
    for (size_t i = 0; i < all->count; i++) {
        uint8_t packed[CM_RECORD_BYTES];
        struct cm_record again = {0};
        cm_record_encode(&all->records[i], packed);
        if (!cm_record_decode(packed, &again) || memcmp(&again, &all->records[i], sizeof(again)) != 0) {
            report("packing keeps a record", &all->records[i], &again, NULL);
        }
    }
}

/* LAW-3: of any two different records with one key exactly one supersedes, and of any three there is no circle. */
static size_t walk_order(const struct all *all)
{
    static bool before[RECORDS_MAX][RECORDS_MAX];
    size_t triples = 0;
    for (size_t i = 0; i < all->count; i++) {
        for (size_t j = 0; j < all->count; j++) {
            const struct cm_record *a = &all->records[i];
            const struct cm_record *b = &all->records[j];
            before[i][j] = cm_record_same_key(a, b) && cm_record_supersedes(a, b);
            bool both = before[i][j] && cm_record_supersedes(b, a);
            bool neither = !cm_record_supersedes(a, b) && !cm_record_supersedes(b, a);
            if (both || (cm_record_same_key(a, b) && neither != is_same(a, b))) {
                report("one of two records supersedes", a, b, NULL);
            }
        }
    }
    for (size_t i = 0; i < all->count; i++) {
        for (size_t j = 0; j < all->count; j++) {
            for (size_t k = 0; before[i][j] && k < all->count; k++) {
                triples += before[j][k] ? 1 : 0;
                if (before[j][k] && !before[i][k]) {
                    report("the order is transitive", &all->records[i], &all->records[j], &all->records[k]);
                }
            }
        }
    }
    return triples;
}

static struct cm_decision decide(const struct cm_record *const *given, size_t count, enum cm_stream_class class)
{
    struct world_records world = {0};
    struct cm_question question = {.path = &world_path, .class = class, .accept_basis = 15, .now = NOW};
    for (size_t i = 0; i < count; i++) {
        world_fold(&world, &(struct world_event){.record = *given[i]});
    }
    return world_ask(&world, &question);
}

static bool forbids(const struct cm_record *record)
{
    return cm_kind_is_stop(record->kind) && (record->flags & CM_RECORD_ENDED) == 0;
}

/* A newer stop takes the place of a complaint, and with it its state: asking may then go on. */
static bool takes_complaint(const struct cm_record *stop, const struct cm_record *a, enum cm_stream_class class)
{
    return class == CM_CLASS_CONSENT_REQUEST && a->kind == CM_KIND_STOP && a->state == CM_STATE_COMPLAINED &&
           cm_record_same_key(a, stop);
}

/* Another stop never permits more: beside anything, and beside anything and what could permit it. */
static size_t walk_stops(const struct all *all)
{
    static const enum cm_stream_class classes[] = {CM_CLASS_MARKETING, CM_CLASS_CONSENT_REQUEST};
    static const struct cm_record given[] = {
        {.scope = WORLD_PURPOSE, .kind = CM_KIND_GRANT, .state = 1, .rank = CM_RANK_SUBJECT, .event_at = 2000},
        {.scope = WORLD_PURPOSE, .kind = CM_KIND_GRANT, .state = 1, .rank = 1, .event_at = 4000, .flags = 2},
        {.scope = WORLD_PURPOSE, .kind = CM_KIND_REQUEST, .state = 1, .rank = CM_RANK_SENDER, .event_at = 2000},
        {.scope = WORLD_PURPOSE, .kind = CM_KIND_REQUEST, .state = 1, .rank = CM_RANK_SENDER, .event_at = 4000},
    };
    size_t pairs = 0;
    for (size_t i = 0; i < all->count; i++) {
        for (size_t j = 0; j < all->count; j++) {
            const struct cm_record *a = &all->records[i];
            const struct cm_record *stop = &all->records[j];
            for (size_t g = 0; forbids(stop) && g < 2 * sizeof(given) / sizeof(given[0]); g++) {
                const struct cm_record *all_three[] = {a, &given[g / 2], stop};
                bool without = decide(all_three, 2, classes[g % 2]).verdict == CM_VERDICT_ACCEPT;
                bool with = decide(all_three, 3, classes[g % 2]).verdict == CM_VERDICT_ACCEPT;
                pairs++;
                if (with && !without && !takes_complaint(stop, a, classes[g % 2])) {
                    report("another stop never permits more", a, &given[g / 2], stop);
                }
            }
        }
    }
    return pairs;
}

/* LAW-5, LAW-15: what of a grant is left beside one stop, as the law says it in a sentence. */
static bool may_pass(const struct cm_record *grant, const struct cm_record *stop)
{
    bool is_guardians = (grant->flags & CM_RECORD_BY_GUARDIAN) != 0 && grant->rank != CM_RANK_SENDER &&
                        grant->rank != CM_RANK_SYSTEM;
    bool is_held = stop->kind == CM_KIND_RESTRICTED || stop->kind == CM_KIND_SUSPENDED;
    if (!forbids(stop)) {
        return true;
    }
    if (stop->kind == CM_KIND_RESTRICTED && stop->state == CM_STATE_MINOR) {
        return is_guardians;
    }
    return !is_held && grant->rank == CM_RANK_SUBJECT && grant->event_at > stop->event_at;
}

static size_t walk_grants(const struct all *all)
{
    size_t pairs = 0;
    for (size_t i = 0; i < all->count; i++) {
        for (size_t j = 0; j < all->count; j++) {
            const struct cm_record *grant = &all->records[i];
            const struct cm_record *stop = &all->records[j];
            bool is_basis = grant->kind <= CM_KIND_ASSERTED;
            if (!is_basis || !cm_kind_is_stop(stop->kind)) {
                continue;
            }
            struct cm_decision got = decide((const struct cm_record *const[]){grant, stop}, 2, CM_CLASS_MARKETING);
            bool want = grant->kind == CM_KIND_GRANT ? may_pass(grant, stop) : !forbids(stop);
            pairs++;
            if ((got.verdict == CM_VERDICT_ACCEPT) != want) {
                report("a stop is lifted by whom the law names", grant, stop, NULL);
            }
        }
    }
    return pairs;
}

int main(void)
{
    static struct all all;
    collect(&all, sizeof(sources) / sizeof(sources[0]));
    walk_packing(&all);
    size_t triples = walk_order(&all);
    (void)printf("%zu records: %zu pairs, %zu triples in order\n", all.count, all.count * all.count, triples);
    collect(&all, 1); /* the source is evidence and decides nothing but ties */
    size_t stops = walk_stops(&all);
    size_t grants = walk_grants(&all);
    (void)printf("%zu records: %zu questions with one more stop, %zu of a basis beside a stop\n", all.count, stops,
                 grants);
    return broken == 0 && triples > 0 && stops > 0 && grants > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
