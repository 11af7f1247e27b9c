#include "random_world.h"

uint64_t dice(struct generator *g)
{
    uint64_t z = g->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

unsigned dice_below(struct generator *g, unsigned limit)
{
    return (unsigned)(dice(g) % limit);
}

#define PICK(g, array) ((array)[dice_below((g), (unsigned)(sizeof(array) / sizeof((array)[0])))])

/* How instants are drawn: as milliseconds near the beginning of time, or as months of the calendar. */
struct scale {
    cm_ms base;
    cm_ms unit;
};

static const struct scale scales[] = {{0, 1}, {0, 1}, {1577836800000 /* 2020-01-01 */, 2678400 /* 31 days in 1000 */}};

static cm_ms at_scale(const struct scale *scale, cm_ms instant)
{
    return scale->base + instant * scale->unit;
}

static uint32_t expiry_at_scale(const struct scale *scale, uint32_t seconds)
{
    return (uint32_t)(at_scale(scale, (cm_ms)seconds * 1000) / 1000);
}

unsigned state_count(enum cm_kind kind)
{
    unsigned count = 0;
    while (cm_state_name(kind, count + 1) != NULL) {
        count++;
    }
    return count;
}

bool may_end(enum cm_kind kind)
{
    return kind == CM_KIND_RESTRICTED || kind == CM_KIND_SUSPENDED;
}

/* State, flags and expiry as the functions of the store let them be for this kind. */
static void settle_record(struct generator *g, const struct scale *scale, struct cm_record *r)
{
    static const uint32_t expiries[] = {0, 0, 0, 1, 2};
    uint32_t drawn = PICK(g, expiries);
    r->state = 1 + dice_below(g, state_count(r->kind));
    r->flags = dice_below(g, 2);
    r->expiry_s = drawn != 0 ? expiry_at_scale(scale, drawn) : 0;
    if (r->kind == CM_KIND_GRANT && dice_below(g, 3) == 0) {
        r->flags |= CM_RECORD_BY_GUARDIAN;
    }
    if (may_end(r->kind) && dice_below(g, 3) == 0) {
        r->flags |= CM_RECORD_ENDED;
    }
    if (r->kind == CM_KIND_BOUNCED) { /* so long after the event, always; LAW-7 */
        r->expiry_s = (uint32_t)((r->event_at + scale->unit * 1000) / 1000);
    }
}

static struct cm_record random_record(struct generator *g, const struct scale *scale)
{
    static const uint32_t scopes[] = {
        WORLD_PURPOSE, WORLD_PURPOSE, WORLD_PURPOSE,    WORLD_PURPOSE, WORLD_PURPOSE,      WORLD_PARENT,
        WORLD_PARENT,  WORLD_AREA,    WORLD_TOP,        WORLD_SENDER,  WORLD_SENDER,       WORLD_EVERYBODY,
        WORLD_SIBLING, WORLD_CHILD,   WORLD_GRANDCHILD, WORLD_COUSIN,  WORLD_OTHER_SENDER, WORLD_OTHER_SENDERS_PURPOSE};
    static const enum cm_kind kinds[] = {CM_KIND_GRANT,     CM_KIND_GRANT,      CM_KIND_GRANT,    CM_KIND_GRANT,
                                         CM_KIND_IMPLIED,   CM_KIND_SOFT_OPTIN, CM_KIND_ASSERTED, CM_KIND_REQUEST,
                                         CM_KIND_STOP,      CM_KIND_STOP,       CM_KIND_BOUNCED,  CM_KIND_RESTRICTED,
                                         CM_KIND_SUSPENDED, CM_KIND_ERASED};
    static const cm_ms instants[] = {0, 1, 2, 999, 1000, 1001, 2000};
    struct cm_record r = {
        .scope = PICK(g, scopes),
        .kind = PICK(g, kinds),
        .rank = dice_below(g, 2) == 0 ? CM_RANK_SUBJECT : (enum cm_rank)(1 + dice_below(g, 5)),
        .source = (enum cm_source)dice_below(g, 3),
        .statement = (uint16_t)dice_below(g, 3),
        .event_at = at_scale(scale, PICK(g, instants)),
    };
    settle_record(g, scale, &r);
    return r;
}

static struct cm_question random_question(struct generator *g, const struct scale *scale)
{
    static const cm_ms nows[] = {0, 1, 1000, 1999, 2000, 3000, 4000};
    static const unsigned accepts[] = {CM_BASIS_EXPRESS, CM_BASIS_EXPRESS, 15, 0, CM_BASIS_IMPLIED};
    static const enum cm_dormancy_act acts[] = {CM_DORMANCY_OFF, CM_DORMANCY_WARN, CM_DORMANCY_REFUSE};
    return (struct cm_question){
        .path = &world_path,
        .class = dice_below(g, 3) == 0 ? CM_CLASS_CONSENT_REQUEST : CM_CLASS_MARKETING,
        .accept_basis = dice_below(g, 3) == 0 ? dice_below(g, 16) : PICK(g, accepts),
        .statement_floor = (uint16_t)(dice_below(g, 3) == 0 ? dice_below(g, 3) : 0),
        .dormancy = {1 + dice_below(g, 2), PICK(g, acts)},
        .now = at_scale(scale, PICK(g, nows)),
    };
}

struct world random_world(uint64_t seed)
{
    struct generator g = {seed};
    const struct scale *scale = &PICK(&g, scales);
    bool listed = dice_below(&g, 4) == 0; /* an address whose family form differs */
    bool rival = dice_below(&g, 2) == 0;  /* the extra event is about the same record as the first */
    struct world w = {.seed = seed, .count = 1 + dice_below(&g, HISTORY_MAX)};
    for (size_t i = 0; i <= w.count; i++) {
        struct world_event *event = i < w.count ? &w.events[i] : &w.extra;
        event->record = random_record(&g, scale);
        event->field = listed ? (enum world_field)(WORLD_EXACT + (int)dice_below(&g, 2)) : WORLD_BOTH;
    }
    if (rival) {
        struct cm_record *extra = &w.extra.record;
        w.extra.field = w.events[0].field;
        extra->scope = w.events[0].record.scope;
        extra->kind = w.events[0].record.kind;
        settle_record(&g, scale, extra);
        if (may_end(extra->kind)) { /* rank and state are in the key, most of the time */
            extra->state = w.events[0].record.state;
            extra->rank = dice_below(&g, 2) == 0 ? extra->rank : w.events[0].record.rank;
        }
    }
    w.question = random_question(&g, scale);
    return w;
}

struct world_records fold_all(const struct world *w)
{
    struct world_records records = {0};
    for (size_t i = 0; i < w->count; i++) {
        world_fold(&records, &w->events[i]);
    }
    return records;
}

struct cm_decision ask(const struct world *w)
{
    struct world_records records = fold_all(w);
    return world_ask(&records, &w->question);
}

struct cm_decision ask_with_extra(const struct world *w)
{
    struct world_records records = fold_all(w);
    world_fold(&records, &w->extra);
    return world_ask(&records, &w->question);
}

bool permits(struct cm_decision decision)
{
    return decision.verdict == CM_VERDICT_ACCEPT;
}

bool has_flag(const struct cm_record *record, unsigned flag)
{
    return (record->flags & flag) != 0;
}

bool forbids(const struct cm_record *record)
{
    return cm_kind_is_stop(record->kind) && !has_flag(record, CM_RECORD_ENDED);
}

enum outcome holds_if(bool condition)
{
    return condition ? HOLDS : BROKEN;
}
