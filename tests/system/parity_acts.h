/* Random acts, and how they reach the functions of the store. */
#ifndef TESTS_SYSTEM_PARITY_ACTS_H
#define TESTS_SYSTEM_PARITY_ACTS_H

#include <hiredis/hiredis.h>

#include "core/event.h"

#define FIELDS 8
#define UNERASED_FIELDS 4 /* the first so many see no erasure */

struct act {
    enum cm_act act;
    struct cm_record record;
    unsigned field;
    uint8_t id[CM_EVENT_ID_BYTES];
    bool has_document;
    bool is_replay;
    uint64_t request; /* which a confirmation names */
};

struct place {
    redisContext *redis;
    const char *store_id;
    const char *partition; /* "{p3ff}" */
};

void dice_seed(uint64_t seed);
uint64_t dice(uint64_t sides);
/* Ends the program with `what` unless the condition holds. */
void require(bool condition, const char *what);

/* Whether `scope` lies below `above` in the tree of scopes that the acts are about. */
bool is_below(void *context, uint32_t scope, uint32_t above);

/* An act out of few dates and values, so that ties of every depth come about. */
struct act random_act(cm_ms base, size_t number, bool with_confirmations);
/* The same as another but for one thing: a tie that only this decides. */
void become_a_twin(struct act *act, const struct act *other);

void field_bytes(unsigned field, uint8_t out[CM_FIELD_BYTES]);
redisReply *ask_key(const struct place *place, const char *command, char kind, const char *more, const void *last,
                    size_t last_len);
redisReply *send_act(const struct place *place, const struct act *act);

#endif
