/*
 * A small world for the law: events of one subject, the records they fold into, and how to print them. The fold is the
 * store's rule (an event takes the place of the record with its key if it supersedes it), written once here so that the
 * table and the properties mean the same.
 */
#ifndef LAW_WORLD_H
#define LAW_WORLD_H

#include <stdio.h>

#include "core/decision.h"

#define WORLD_EVENTS_MAX 16

/* The scopes of the world. The question is always about `purpose`, which is the fourth level of its tree:
 *
 *   everybody > sender > top > area > parent > purpose > child > grandchild
 *
 * `sibling` hangs below parent, `cousin` below area. */
enum world_scope {
    WORLD_EVERYBODY = 0,
    WORLD_SENDER = 10,
    WORLD_OTHER_SENDER = 11,
    WORLD_TOP = 15,
    WORLD_AREA = 16,
    WORLD_PARENT = 20,
    WORLD_COUSIN = 21,
    WORLD_PURPOSE = 30,
    WORLD_SIBLING = 31,
    WORLD_CHILD = 40,
    WORLD_GRANDCHILD = 41,
    WORLD_OTHER_SENDERS_PURPOSE = 50,
};

/* Where an event was recorded. BOTH: the exact and the family form are the same text, as for most addresses. */
enum world_field { WORLD_BOTH = 0, WORLD_EXACT, WORLD_FAMILY };

struct world_event {
    enum world_field field;
    struct cm_record record;
};

struct world_records {
    struct cm_record exact[WORLD_EVENTS_MAX];
    size_t exact_count;
    struct cm_record family[WORLD_EVENTS_MAX];
    size_t family_count;
};

/* The path of `purpose`. */
extern const struct cm_scope_path world_path;

/* `out` must start zeroed; at most WORLD_EVENTS_MAX different records fit. */
void world_fold(struct world_records *out, const struct world_event *event);
struct cm_decision world_ask(const struct world_records *records, const struct cm_question *question);

/* The word of each bit of enum cm_record_flag. */
extern const char *const world_flags[3];

const char *world_scope_name(uint32_t scope);
/* Prints in the words of cases.txt. */
void world_print_event(FILE *to, const struct world_event *event);
void world_print_question(FILE *to, const struct cm_question *question);

#endif
