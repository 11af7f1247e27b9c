/*
 * One loaded configuration at work. A reload makes another; each connection keeps the one it negotiated by until it
 * closes, so that a message is judged by one configuration from its first command to its last.
 *
 * Thread-safe: what it holds is immutable, references are counted atomically.
 */
#ifndef SERVICE_GENERATION_H
#define SERVICE_GENERATION_H

#include <stdatomic.h>

#include "service/tally.h"
#include "settings/settings.h"

struct cm_generation {
    const struct cm_settings *settings;
    unsigned number;             /* from 1, in every log line of a decision */
    cm_ms loaded_at;             /* wall clock */
    int64_t since_ms;            /* the same by CLOCK_MONOTONIC */
    struct cm_tally_row **rows;  /* one a stream of the settings, and behind them that of no stream */
    _Atomic unsigned references; /* of this file only */
};

/* Takes the settings over, also on failure. One reference is the caller's. NULL without memory. */
struct cm_generation *cm_generation_new(struct cm_settings *settings, unsigned number, struct cm_tally *tally);
struct cm_generation *cm_generation_ref(struct cm_generation *generation);
/* The last one frees it with its settings. NULL is harmless. */
void cm_generation_unref(struct cm_generation *generation);

/* The row of a stream of this generation; CM_NO_STREAM: of mail that belongs to none. */
struct cm_tally_row *cm_generation_row(const struct cm_generation *generation, size_t stream);

#endif
