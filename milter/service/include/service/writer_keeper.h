/*
 * A writer (service/consent.h) that hands acts to the keeper of this host over its unix socket, instead of writing to
 * the store. The keeper knows the caller by the kernel's word: `rank` of a write is not told. LAW-6
 *
 * A lost answer is asked for once more with the same event id, which is harmless; lost again, the act is UNCERTAIN.
 * What a keeper has only received counts as APPLIED without a ledger id: it will be written. Whether it is in effect
 * stands in `is_in_effect` (LAW-12).
 *
 * Belongs to one thread. Each act has a connection of its own.
 */
#ifndef SERVICE_WRITER_KEEPER_H
#define SERVICE_WRITER_KEEPER_H

#include "service/consent.h"
#include "service/keeper_wire.h"

#define CM_WRITER_WAIT_MS 6000 /* enough for a keeper that is cut off to be sure that no filter trusts the store */

struct cm_keeper_link {
    const char *socket; /* borrowed */
    unsigned wait_ms;   /* for the act to be in effect */
    /* Told of all acts together since the caller has set them so: */
    bool is_in_effect;     /* begins as true */
    bool is_received_only; /* one is in the keeper's journal and not in the store yet; begins as false */
};

/* `link` is borrowed. */
struct cm_writer cm_writer_keeper(struct cm_keeper_link *link);

/* Asks STATUS or REPLAY_ALL. False and err. */
bool cm_keeper_ask(const char *socket, enum cm_keeper_wish wish, struct cm_keeper_report *out, struct cm_err *err);

#endif
