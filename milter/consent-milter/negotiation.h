/*
 * What we ask the MTA for: stages, actions and macros, and no more than the configuration needs, for round trips cost
 * more than anything we do in them. A stage whose reply is not waited for must never be refused in, so only CONNECT,
 * MAIL and headers are such.
 */
#ifndef CONSENT_MILTER_NEGOTIATION_H
#define CONSENT_MILTER_NEGOTIATION_H

#include <libmilter/mfapi.h>

#include "base/time.h"
#include "core/stream.h"

/* Bits of libmilter. */
struct cm_negotiation {
    unsigned long offered_actions; /* by the MTA */
    unsigned long offered_steps;
    unsigned long actions; /* that we may take */
    unsigned long steps;   /* that are left out, or whose reply is not waited for */
};

/* Pure. */
struct cm_negotiation cm_negotiate(const struct cm_stream_table *table, unsigned long offered_actions,
                                   unsigned long offered_steps);

/* How long a connection may go by an older configuration that asked the MTA for less. */
#define CM_OUTGROWN_AFTER_MS (5 * 60 * 1000)
/* True if a connection that negotiated so should end, so that the next one is judged by `table`, which has been in
 * force for `age_ms`. Pure. */
bool cm_negotiation_is_outgrown(const struct cm_negotiation *had, const struct cm_stream_table *table, int64_t age_ms);

/* Asks for our macros by name: an administrator's own list cannot take them away. False without memory: a session
 * without our macros might not be claimed, so it must not be judged. */
bool cm_negotiate_macros(SMFICTX *ctx);

#endif
