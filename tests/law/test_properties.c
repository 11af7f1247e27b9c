/*
 * Properties of the law over random histories (random_world.h). Each run has its own seed, made of CM_SEED and its
 * number; a broken property is shrunk to the events it needs and printed in the words of cases.txt.
 *
 * CM_SEED=N repeats a run; without it the seed comes from the clock and is printed.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/fold.h"
#include "random_world.h"

#define RUNS 120000

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

/* LAW-3 */
static enum outcome any_order_of_arrival_is_the_same(const struct world *w)
{
    struct generator g = {~w->seed};
    struct world shuffled = *w;
    for (size_t i = w->count; i > 1; i--) {
        size_t j = dice_below(&g, (unsigned)i);
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

static bool is_stopped(struct cm_decision decision)
{
    return decision.verdict == CM_VERDICT_REFUSE && decision.has_record && cm_kind_is_stop(decision.record.kind);
}

static enum outcome another_stop_never_permits_more(const struct world *w)
{
    struct cm_decision before = ask(w);
    /* A newer stop takes the place of a complaint, and with it its state: asking may then go on. */
    bool takes_complaint = w->question.class == CM_CLASS_CONSENT_REQUEST && before.reason == CM_REASON_COMPLAINED &&
                           cm_record_same_key(&w->extra.record, &before.record);
    if (!forbids(&w->extra.record) || takes_complaint) {
        return VACUOUS;
    }
    return holds_if(permits(before) || !permits(ask_with_extra(w)));
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

/* LAW-5, LAW-15 */
static enum outcome only_whom_the_law_names_lifts_a_stop(const struct world *w)
{
    struct cm_decision before = ask(w);
    const struct cm_record *extra = &w->extra.record;
    if (w->question.class != CM_CLASS_MARKETING || !is_stopped(before)) {
        return VACUOUS;
    }
    bool is_minor = before.record.kind == CM_KIND_RESTRICTED && before.record.state == CM_STATE_MINOR;
    bool is_grant = extra->kind == CM_KIND_GRANT;
    bool is_end = may_end(before.record.kind) && cm_record_same_key(extra, &before.record);
    bool may_lift = is_end || (is_minor ? is_grant && has_flag(extra, CM_RECORD_BY_GUARDIAN)
                                        : !may_end(before.record.kind) && is_grant && extra->rank == CM_RANK_SUBJECT);
    return may_lift ? VACUOUS : holds_if(!permits(ask_with_extra(w)));
}

/* LAW-5, LAW-6: whatever an import says. The only thing of a sender's that can change a refusal by a stop into an
 * acceptance is the end of a restriction that it set itself. */
static enum outcome an_import_never_lifts_a_stop(const struct world *w)
{
    struct cm_decision before = ask(w);
    struct world import = *w;
    import.extra.record.rank = CM_RANK_SENDER;
    if (w->question.class != CM_CLASS_MARKETING || !is_stopped(before)) {
        return VACUOUS;
    }
    bool is_its_own = cm_record_same_key(&import.extra.record, &before.record) && may_end(before.record.kind);
    return is_its_own ? VACUOUS : holds_if(!permits(ask_with_extra(&import)));
}

/* LAW-5: not a lower one, not a higher one, and not for another cause. */
static enum outcome another_rank_never_ends_a_restriction(const struct world *w)
{
    struct cm_decision before = ask(w);
    struct world end = *w;
    if (!is_stopped(before) || !may_end(before.record.kind)) {
        return VACUOUS;
    }
    end.extra.field = w->events[0].field == WORLD_BOTH ? WORLD_BOTH : WORLD_FAMILY;
    end.extra.record = before.record;
    end.extra.record.flags |= CM_RECORD_ENDED;
    end.extra.record.event_at += 1 + (cm_ms)(w->seed % 3000);
    if (w->seed % 2 == 0) {
        end.extra.record.rank = before.record.rank % CM_RANK_SYSTEM + 1;
    } else {
        end.extra.record.state = before.record.state % state_count(before.record.kind) + 1;
    }
    struct cm_decision after = ask_with_extra(&end);
    return holds_if(is_stopped(after) && may_end(after.record.kind));
}

/* LAW-5 */
static enum outcome an_ended_restriction_restores_the_answer(const struct world *w)
{
    struct world_records records = fold_all(w);
    struct cm_decision before = world_ask(&records, &w->question);
    struct world_event restriction = w->extra;
    restriction.record.flags &= ~(unsigned)CM_RECORD_ENDED;
    for (size_t i = 0; i < w->count; i++) {
        if (cm_record_same_key(&w->events[i].record, &restriction.record)) {
            return VACUOUS;
        }
    }
    if (!may_end(restriction.record.kind)) {
        return VACUOUS;
    }
    world_fold(&records, &restriction);
    restriction.record.flags |= CM_RECORD_ENDED;
    restriction.record.event_at++;
    world_fold(&records, &restriction);
    struct cm_decision after = world_ask(&records, &w->question);
    return holds_if(same_answer(before, after) && before.dormant == after.dormant);
}

/* During the rotation of a pepper records of one key may be passed twice. LAW-3 */
static enum outcome older_records_beside_the_newest_change_nothing(const struct world *w)
{
    struct world_records all = {0};
    for (size_t i = 0; i < w->count; i++) {
        if (w->events[i].field != WORLD_FAMILY) {
            all.exact[all.exact_count++] = w->events[i].record;
        }
        if (w->events[i].field != WORLD_EXACT) {
            all.family[all.family_count++] = w->events[i].record;
        }
    }
    return holds_if(same_answer(ask(w), world_ask(&all, &w->question)));
}

static bool is_in_world_below(void *context, uint32_t scope, uint32_t above)
{
    (void)context; /* the world has one tree: all scopes of the path above `purpose`, and what hangs below them */
    static const uint32_t down[] = {WORLD_SENDER, WORLD_TOP, WORLD_AREA, WORLD_PARENT, WORLD_PURPOSE};
    size_t at = 0;
    while (at < sizeof(down) / sizeof(down[0]) && down[at] != scope) {
        at++;
    }
    for (size_t i = 0; i < at && at < sizeof(down) / sizeof(down[0]); i++) {
        if (down[i] == above) {
            return true;
        }
    }
    return false;
}

/* An erasure takes records away (core/fold.h). Whether it did, or they came later or from a backup: what it covers
 * permits nothing that its tombstone does not permit alone. Marketing is also refused for nothing else; asking may be:
 * a complaint that came back from a backup still keeps from asking. */
static enum outcome what_an_erasure_takes_would_not_have_counted(const struct world *w)
{
    struct world_records kept = fold_all(w);
    struct world_records taken = kept;
    struct cm_event erase = {.act = CM_ACT_ERASE, .outcome = CM_OUTCOME_APPLIED, .record = w->extra.record};
    struct world_event tombstone = w->extra;
    struct cm_fold exact = {taken.exact, taken.exact_count, WORLD_EVENTS_MAX};
    struct cm_fold family = {taken.family, taken.family_count, WORLD_EVENTS_MAX};
    if (w->extra.record.kind != CM_KIND_ERASED || w->extra.field != WORLD_BOTH) {
        return VACUOUS;
    }
    for (size_t i = 0; i < w->count; i++) { /* a late and older erasure is stale, and takes nothing */
        if (cm_record_same_key(&w->events[i].record, &erase.record)) {
            return VACUOUS;
        }
    }
    world_fold(&kept, &tombstone);
    if (!cm_fold_apply(&exact, &erase, 1, is_in_world_below, NULL) ||
        !cm_fold_apply(&family, &erase, 1, is_in_world_below, NULL)) {
        return BROKEN;
    }
    taken.exact_count = exact.count;
    taken.family_count = family.count;
    bool with = permits(world_ask(&kept, &w->question));
    bool without = permits(world_ask(&taken, &w->question));
    return holds_if(w->question.class == CM_CLASS_MARKETING ? with == without : !with || without);
}

/* LAW-7, LAW-9, LAW-14: time, a newer statement and fewer bases only ever take away. */
static enum outcome waiting_never_permits_more(const struct world *w)
{
    struct world later = *w;
    later.question.now += 1 + (cm_ms)(w->seed % 3000) * (w->seed % 3 == 0 ? 2678400 : 1);
    for (size_t i = 0; i < w->count; i++) { /* what is dated ahead may come, and a bounce may lapse */
        if (w->events[i].record.event_at > w->question.now || w->events[i].record.kind == CM_KIND_BOUNCED) {
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

static enum outcome dormancy_never_permits_more(const struct world *w)
{
    struct world off = *w;
    struct world warn = *w;
    struct world refuse = *w;
    struct world sooner = *w;
    off.question.dormancy.act = CM_DORMANCY_OFF;
    warn.question.dormancy.act = CM_DORMANCY_WARN;
    refuse.question.dormancy.act = CM_DORMANCY_REFUSE;
    sooner.question.dormancy.months--;
    return holds_if(same_answer(ask(&off), ask(&warn)) && (permits(ask(&off)) || !permits(ask(&refuse))) &&
                    (permits(ask(w)) || !permits(ask(&sooner))) && !ask(&off).dormant && !ask(&refuse).dormant &&
                    (!ask(&warn).dormant || !same_answer(ask(&warn), ask(&refuse))));
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
    PROPERTY(only_whom_the_law_names_lifts_a_stop),
    PROPERTY(an_import_never_lifts_a_stop),
    PROPERTY(another_rank_never_ends_a_restriction),
    PROPERTY(an_ended_restriction_restores_the_answer),
    PROPERTY(older_records_beside_the_newest_change_nothing),
    PROPERTY(what_an_erasure_takes_would_not_have_counted),
    PROPERTY(waiting_never_permits_more),
    PROPERTY(a_newer_statement_never_permits_more),
    PROPERTY(fewer_bases_never_permit_more),
    PROPERTY(dormancy_never_permits_more),
    PROPERTY(marketing_goes_out_as_the_law_says),
    PROPERTY(asking_goes_out_as_the_law_says),
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
    uint64_t first = dice(&seeds); /* seeds from the clock are neighbours, and their runs must not be the same ones */
    for (unsigned run = 0; run < RUNS; run++) {
        struct generator g = {first + run};
        struct world w = random_world(dice(&g));
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
