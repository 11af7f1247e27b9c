/*
 * Canaries: addresses that the administrator plants in lists and that never consent to anything. Marketing mail to one
 * shows that its list was not built from consent. What is told of one is the line of the file it stands in, so that no
 * address leaves the file.
 *
 * Pure and thread-safe; the result is read-only.
 */
#ifndef CORE_CANARIES_H
#define CORE_CANARIES_H

#include "base/arena.h"
#include "core/address.h"

#define CM_CANARIES_MAX 10000 /* one more is an error */

struct cm_canary {
    const char *family; /* canonical: whatever form of the mailbox is written to */
    unsigned line;      /* of the file, from 1 */
};

struct cm_canaries {
    const struct cm_canary *items; /* ascending by family */
    size_t count;
};

/*
 * Reads one address a line; empty lines and what begins with '#' are passed over, blanks around an address and a CR at
 * its end do not count. All lives in `arena`. False: *out_line is the line that is not right and *out_problem says why.
 */
bool cm_canaries_parse(struct cm_span text, struct cm_arena *arena, struct cm_canaries *out, unsigned *out_line,
                       const char **out_problem);

/* The line of the canary that this address is; 0: it is none. */
unsigned cm_canaries_find(const struct cm_canaries *canaries, const struct cm_address *address);

#endif
