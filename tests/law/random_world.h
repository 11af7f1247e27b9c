/*
 * Worlds drawn at random, and what properties say of them. Instants, scopes and ranks are drawn from small sets, so
 * that ties and overlaps are the rule and not the exception.
 */
#ifndef LAW_RANDOM_WORLD_H
#define LAW_RANDOM_WORLD_H

#include "world.h"

#define HISTORY_MAX 7

/* splitmix64: any seed is a good seed, so neighbouring runs are independent. */
struct generator {
    uint64_t state;
};

uint64_t dice(struct generator *g);
unsigned dice_below(struct generator *g, unsigned limit);

/* Everything one run is about. A property reads it and changes nothing. */
struct world {
    struct world_event events[HISTORY_MAX];
    size_t count;
    struct world_event extra; /* the event whose arrival is watched, where a property has one */
    struct cm_question question;
    uint64_t seed;
};

struct world random_world(uint64_t seed);
struct world_records fold_all(const struct world *w);
struct cm_decision ask(const struct world *w);
struct cm_decision ask_with_extra(const struct world *w);

unsigned state_count(enum cm_kind kind);
bool permits(struct cm_decision decision);
bool has_flag(const struct cm_record *record, unsigned flag);
/* True of the two kinds that end by an event: restrictions and suspensions. */
bool may_end(enum cm_kind kind);
/* True of a stop that is none's end. */
bool forbids(const struct cm_record *record);

/* VACUOUS: the world is not one that the property speaks of. */
enum outcome { VACUOUS = 0, HOLDS, BROKEN };
enum outcome holds_if(bool condition);

/* The law once more, over the bare events (law_again.c). */
enum outcome marketing_goes_out_as_the_law_says(const struct world *w);
enum outcome asking_goes_out_as_the_law_says(const struct world *w);

#endif
