/*
 * Properties of the law over random histories. Instants, scopes and ranks are drawn from small sets, so that ties and
 * overlaps are the rule and not the exception. Each run has its own seed, made of CM_SEED and its number; a broken
 * property is shrunk to the events it needs and printed in the words of cases.txt.
 *
 * CM_SEED=N repeats a run; without it the seed comes from the clock and is printed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "world.h"

#define RUNS 120000
#define HISTORY_MAX 7

struct generator {
    uint64_t state;
};

/* splitmix64: any seed is a good seed, so neighbouring runs are independent. */
static uint64_t next(struct generator *g)
{
    uint64_t z = g->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static unsigned below(struct generator *g, unsigned limit)
{
    return (unsigned)(next(g) % limit);
}

#define PICK(g, array) ((array)[below((g), (unsigned)(sizeof(array) / sizeof((array)[0])))])

/* Everything one run is about. A property reads it and changes nothing. */
struct world {
    struct world_event events[HISTORY_MAX];
    size_t count;
    struct world_event extra; /* the event whose arrival is watched, where a property has one */
    struct cm_question question;
    uint64_t seed;
};

static struct cm_record random_record(struct generator *g)
{
    static const uint32_t scopes[] = {WORLD_PURPOSE,     WORLD_PURPOSE, WORLD_PURPOSE, WORLD_PURPOSE,
                                      WORLD_PARENT,      WORLD_SENDER,  WORLD_SIBLING, WORLD_OTHER_SENDERS_PURPOSE,
                                      WORLD_CHILD,       WORLD_PARENT,  WORLD_SENDER,  WORLD_EVERYBODY,
                                      WORLD_OTHER_SENDER};
    static const enum cm_kind kinds[] = {CM_KIND_GRANT,   CM_KIND_GRANT,      CM_KIND_GRANT,
                                         CM_KIND_IMPLIED, CM_KIND_SOFT_OPTIN, CM_KIND_ASSERTED,
                                         CM_KIND_REQUEST, CM_KIND_STOP,       CM_KIND_STOP};
    static const cm_ms instants[] = {0, 1, 2, 999, 1000, 1001, 2000};
    static const uint32_t expiries[] = {0, 0, 0, 1, 2};
    struct cm_record r = {
        .scope = PICK(g, scopes),
        .kind = PICK(g, kinds),
        .rank = below(g, 2) == 0 ? CM_RANK_SUBJECT : (enum cm_rank)(1 + below(g, 5)),
        .flags = below(g, 2),
        .source = (enum cm_source)below(g, 3),
        .statement = (uint16_t)below(g, 3),
        .event_at = PICK(g, instants),
        .expiry_s = PICK(g, expiries),
    };
    r.state = cm_state_name(r.kind, 2) != NULL ? 1 + below(g, 4) : CM_STATE_GIVEN;
    return r;
}

static struct world random_world(uint64_t seed)
{
    static const cm_ms nows[] = {0, 1, 1000, 1999, 2000, 3000};
    static const unsigned accepts[] = {CM_BASIS_EXPRESS, CM_BASIS_EXPRESS, 15, 0, CM_BASIS_IMPLIED};
    struct generator g = {seed};
    bool listed = below(&g, 4) == 0; /* an address whose family form differs */
    bool rival = below(&g, 2) == 0;  /* the extra event is about the same record as the first */
    struct world w = {.seed = seed, .count = 1 + below(&g, HISTORY_MAX)};
    for (size_t i = 0; i <= w.count; i++) {
        struct world_event *event = i < w.count ? &w.events[i] : &w.extra;
        event->record = random_record(&g);
        event->field = listed ? (enum world_field)(WORLD_EXACT + (int)below(&g, 2)) : WORLD_BOTH;
    }
    if (rival) {
        w.extra.field = w.events[0].field;
        w.extra.record.scope = w.events[0].record.scope;
        w.extra.record.kind = w.events[0].record.kind;
        w.extra.record.state = cm_state_name(w.extra.record.kind, 2) != NULL ? 1 + below(&g, 4) : CM_STATE_GIVEN;
    }
    w.question = (struct cm_question){
        .path = &world_path,
        .class = below(&g, 3) == 0 ? CM_CLASS_CONSENT_REQUEST : CM_CLASS_MARKETING,
        .accept_basis = below(&g, 3) == 0 ? below(&g, 16) : PICK(&g, accepts),
        .statement_floor = (uint16_t)(below(&g, 3) == 0 ? below(&g, 3) : 0),
        .now = PICK(&g, nows),
    };
    return w;
}

static struct world_records fold_all(const struct world *w)
{
    struct world_records records = {0};
    for (size_t i = 0; i < w->count; i++) {
        world_fold(&records, &w->events[i]);
    }
    return records;
}

static struct cm_decision ask(const struct world *w)
{
    struct world_records records = fold_all(w);
    return world_ask(&records, &w->question);
}

static struct cm_decision ask_with_extra(const struct world *w)
{
    struct world_records records = fold_all(w);
    world_fold(&records, &w->extra);
    return world_ask(&records, &w->question);
}

static bool permits(struct cm_decision decision)
{
    return decision.verdict == CM_VERDICT_ACCEPT;
}

static bool same_answer(struct cm_decision a, struct cm_decision b)
{
    return a.verdict == b.verdict && a.reason == b.reason;
}

static bool contains(const struct cm_record *records, size_t count, const struct cm_record *wanted)
{
    for (size_t i = 0; i < count; i++) {
        if (memcmp(&records[i], wanted, sizeof(*wanted)) == 0) {
            return true;
        }
    }
    return false;
}

/* The same records, in whatever order they stand. Records start zeroed, so their padding compares equal. */
static bool same_records(const struct world_records *a, const struct world_records *b)
{
    if (a->exact_count != b->exact_count || a->family_count != b->family_count) {
        return false;
    }
    for (size_t i = 0; i < a->exact_count; i++) {
        if (!contains(b->exact, b->exact_count, &a->exact[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < a->family_count; i++) {
        if (!contains(b->family, b->family_count, &a->family[i])) {
            return false;
        }
    }
    return true;
}

/* VACUOUS: the world is not one that the property speaks of. */
enum outcome { VACUOUS = 0, HOLDS, BROKEN };

static enum outcome holds_if(bool condition)
{
    return condition ? HOLDS : BROKEN;
}

/* LAW-3 */
static enum outcome any_order_of_arrival_is_the_same(const struct world *w)
{
    struct generator g = {~w->seed};
    struct world shuffled = *w;
    for (size_t i = w->count; i > 1; i--) {
        size_t j = below(&g, (unsigned)i);
        struct world_event swapped = shuffled.events[i - 1];
        shuffled.events[i - 1] = shuffled.events[j];
        shuffled.events[j] = swapped;
    }
    struct world_records a = fold_all(w);
    struct world_records b = fold_all(&shuffled);
    return holds_if(same_records(&a, &b) && same_answer(world_ask(&a, &w->question), world_ask(&b, &w->question)));
}

/* LAW-11: repeating an event is harmless, at once or after others. */
static enum outcome telling_twice_changes_nothing(const struct world *w)
{
    struct world_records once = fold_all(w);
    struct world_records twice = {0};
    for (size_t i = 0; i < w->count; i++) {
        world_fold(&twice, &w->events[i]);
        world_fold(&twice, &w->events[i]);
        world_fold(&twice, &w->events[w->seed % (i + 1)]);
    }
    return holds_if(same_records(&once, &twice));
}

static enum outcome another_stop_never_permits_more(const struct world *w)
{
    if (!cm_kind_is_stop(w->extra.record.kind)) {
        return VACUOUS;
    }
    return holds_if(permits(ask(w)) || !permits(ask_with_extra(w)));
}

/* LAW-4, LAW-8 */
static enum outcome a_grant_never_changes_another_purpose(const struct world *w)
{
    if (cm_kind_is_stop(w->extra.record.kind) || w->extra.record.scope == WORLD_PURPOSE) {
        return VACUOUS;
    }
    return holds_if(same_answer(ask(w), ask_with_extra(w)));
}

/* LAW-8 */
static enum outcome a_stop_binds_what_it_named_and_nothing_else(const struct world *w)
{
    if (!cm_kind_is_stop(w->extra.record.kind) || cm_scope_path_covers(&world_path, w->extra.record.scope)) {
        return VACUOUS;
    }
    return holds_if(same_answer(ask(w), ask_with_extra(w)));
}

static bool is_stop_reason(enum cm_reason reason)
{
    return reason == CM_REASON_REFUSED || reason == CM_REASON_WITHDRAWN || reason == CM_REASON_OBJECTED ||
           reason == CM_REASON_COMPLAINED;
}

/* LAW-5 */
static enum outcome only_the_subjects_own_grant_lifts_a_stop(const struct world *w)
{
    bool by_subject = w->extra.record.kind == CM_KIND_GRANT && w->extra.record.rank == CM_RANK_SUBJECT;
    if (w->question.class != CM_CLASS_MARKETING || !is_stop_reason(ask(w).reason) ||
        cm_kind_is_stop(w->extra.record.kind) || by_subject) {
        return VACUOUS;
    }
    return holds_if(!permits(ask_with_extra(w)));
}

/* LAW-7, LAW-9, LAW-14: time, a newer statement and fewer bases only ever take away. */
static enum outcome waiting_never_permits_more(const struct world *w)
{
    struct world later = *w;
    later.question.now += 1 + (cm_ms)(w->seed % 3000);
    for (size_t i = 0; i < w->count; i++) {
        if (w->events[i].record.event_at > w->question.now) {
            return VACUOUS;
        }
    }
    return holds_if(permits(ask(w)) || !permits(ask(&later)));
}

static enum outcome a_newer_statement_never_permits_more(const struct world *w)
{
    struct world stricter = *w;
    stricter.question.statement_floor++;
    return holds_if(permits(ask(w)) || !permits(ask(&stricter)));
}

static enum outcome fewer_bases_never_permit_more(const struct world *w)
{
    struct world stricter = *w;
    stricter.question.accept_basis &= (unsigned)(w->seed >> 7);
    return holds_if(permits(ask(w)) || !permits(ask(&stricter)));
}

/* The newest event of a kind for exactly this purpose, as the law has it; events of the family are other mailboxes'. */
static const struct cm_record *newest_exact(const struct world *w, enum cm_kind kind)
{
    const struct cm_record *newest = NULL;
    for (size_t i = 0; i < w->count; i++) {
        const struct cm_record *r = &w->events[i].record;
        if (w->events[i].field != WORLD_FAMILY && r->kind == kind && r->scope == WORLD_PURPOSE &&
            (newest == NULL || cm_record_supersedes(r, newest))) {
            newest = r;
        }
    }
    return newest;
}

/* The law once more, said over the bare events: marketing may go out if and only if a basis that the stream accepts is
 * in force, and no stop covers the purpose or the subject's own grant is newer than all of them. */
static enum outcome marketing_goes_out_as_the_law_says(const struct world *w)
{
    static const struct {
        enum cm_kind kind;
        unsigned bit;
    } bases[] = {{CM_KIND_GRANT, CM_BASIS_EXPRESS},
                 {CM_KIND_IMPLIED, CM_BASIS_IMPLIED},
                 {CM_KIND_SOFT_OPTIN, CM_BASIS_SOFT_OPTIN},
                 {CM_KIND_ASSERTED, CM_BASIS_ASSERTED}};
    cm_ms stopped_at = -1;
    bool want = false;
    if (w->question.class != CM_CLASS_MARKETING) {
        return VACUOUS;
    }
    for (size_t i = 0; i < w->count; i++) {
        const struct cm_record *r = &w->events[i].record;
        if (r->kind == CM_KIND_STOP && w->events[i].field != WORLD_EXACT &&
            cm_scope_path_covers(&world_path, r->scope) && r->event_at > stopped_at) {
            stopped_at = r->event_at;
        }
    }
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        const struct cm_record *r = newest_exact(w, bases[i].kind);
        bool in_force = r != NULL && (w->question.accept_basis & bases[i].bit) != 0 && r->event_at <= w->question.now &&
                        (r->expiry_s == 0 || w->question.now < ((cm_ms)r->expiry_s + 1) * 1000) &&
                        (r->kind != CM_KIND_GRANT || r->statement >= w->question.statement_floor);
        bool open = stopped_at < 0 ||
                    (r != NULL && r->kind == CM_KIND_GRANT && r->rank == CM_RANK_SUBJECT && r->event_at > stopped_at);
        want = want || (in_force && open);
    }
    return holds_if(permits(ask(w)) == want);
}

/* LAW-3: irreflexive, antisymmetric, transitive, and total but for records that state the same. */
static enum outcome one_record_supersedes_another_in_a_total_order(const struct world *w)
{
    const struct cm_record *a = &w->events[0].record;
    const struct cm_record *c = &w->extra.record;
    if (w->count < 2) {
        return VACUOUS;
    }
    const struct cm_record *b = &w->events[1].record;
    bool ab = cm_record_supersedes(a, b);
    bool ba = cm_record_supersedes(b, a);
    bool same = a->event_at == b->event_at && a->state == b->state && a->rank == b->rank &&
                a->statement == b->statement && a->expiry_s == b->expiry_s && a->source == b->source &&
                a->flags == b->flags;
    bool transitive = !(ab && cm_record_supersedes(b, c)) || cm_record_supersedes(a, c);
    return holds_if(!cm_record_supersedes(a, a) && !(ab && ba) && (ab || ba) == !same && transitive);
}

/* Every record of every world survives its packing. */
static enum outcome packing_keeps_the_answer(const struct world *w)
{
    struct world unpacked = *w;
    for (size_t i = 0; i < w->count; i++) {
        uint8_t packed[CM_RECORD_BYTES];
        cm_record_encode(&w->events[i].record, packed);
        if (!cm_record_decode(packed, &unpacked.events[i].record)) {
            return BROKEN;
        }
    }
    return holds_if(same_answer(ask(w), ask(&unpacked)));
}

#define PROPERTY(name) \
    {                  \
#name, name    \
    }

static const struct property {
    const char *name;
    enum outcome (*check)(const struct world *w);
} properties[] = {
    PROPERTY(any_order_of_arrival_is_the_same),
    PROPERTY(telling_twice_changes_nothing),
    PROPERTY(another_stop_never_permits_more),
    PROPERTY(a_grant_never_changes_another_purpose),
    PROPERTY(a_stop_binds_what_it_named_and_nothing_else),
    PROPERTY(only_the_subjects_own_grant_lifts_a_stop),
    PROPERTY(waiting_never_permits_more),
    PROPERTY(a_newer_statement_never_permits_more),
    PROPERTY(fewer_bases_never_permit_more),
    PROPERTY(marketing_goes_out_as_the_law_says),
    PROPERTY(one_record_supersedes_another_in_a_total_order),
    PROPERTY(packing_keeps_the_answer),
};

/* Leaves out one event after the other for as long as the property stays broken. */
static struct world shrink(struct world w, const struct property *property)
{
    for (size_t i = 0; i < w.count;) {
        struct world smaller = w;
        memmove(&smaller.events[i], &smaller.events[i + 1], (w.count - i - 1) * sizeof(w.events[0]));
        smaller.count--;
        if (property->check(&smaller) == BROKEN) {
            w = smaller;
            i = 0;
        } else {
            i++;
        }
    }
    return w;
}

static void print_broken(const struct property *property, const struct world *w, uint64_t seed, unsigned run)
{
    struct world small = shrink(*w, property);
    (void)printf("BROKEN %s (CM_SEED=%" PRIu64 ", run %u)\n  ", property->name, seed, run);
    world_print_question(stdout, &small.question);
    for (size_t i = 0; i < small.count; i++) {
        (void)printf("\n  ");
        world_print_event(stdout, &small.events[i]);
    }
    (void)printf("\n  then ");
    world_print_event(stdout, &small.extra);
    struct cm_decision before = ask(&small);
    struct cm_decision after = ask_with_extra(&small);
    (void)printf("\n  answer %s %s, then %s %s\n", cm_verdict_name(before.verdict), cm_reason_name(before.reason),
                 cm_verdict_name(after.verdict), cm_reason_name(after.reason));
}

static bool property_holds(const struct property *property, uint64_t seed)
{
    unsigned checked = 0;
    struct generator seeds = {seed};
    uint64_t first = next(&seeds); /* seeds from the clock are neighbours, and their runs must not be the same ones */
    for (unsigned run = 0; run < RUNS; run++) {
        struct generator g = {first + run};
        struct world w = random_world(next(&g));
        enum outcome outcome = property->check(&w);
        if (outcome == BROKEN) {
            print_broken(property, &w, seed, run);
            return false;
        }
        checked += outcome == HOLDS ? 1 : 0;
    }
    if (checked < RUNS / 100) { /* a property that speaks of no world says nothing */
        (void)printf("BROKEN %s: only %u of %u worlds\n", property->name, checked, (unsigned)RUNS);
        return false;
    }
    (void)printf("ok %s: %u worlds\n", property->name, checked);
    return true;
}

int main(void)
{
    const char *given = getenv("CM_SEED");
    uint64_t seed = (uint64_t)time(NULL);
    unsigned broken = 0;
    if (given != NULL && !cm_parse_u64(cm_span_of(given), UINT64_MAX / 2, &seed)) {
        (void)fprintf(stderr, "CM_SEED is a decimal number, not \"%s\"\n", given);
        return EXIT_FAILURE;
    }
    (void)printf("CM_SEED=%" PRIu64 "\n", seed);
    for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
        broken += property_holds(&properties[i], seed) ? 0 : 1;
    }
    return broken == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
