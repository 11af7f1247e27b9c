/*
 * Statement versions. A grant names the version it was given under; a *material* change makes older grants stop
 * permitting on that version's effective date. LAW-9
 */
#ifndef CORE_STATEMENT_H
#define CORE_STATEMENT_H

#include "base/time.h"

struct cm_statement {
    uint16_t version; /* 1-65535 */
    bool material;
    cm_ms effective_at;
};

/* The oldest version whose grants still permit at `now`: the newest material version in effect, or 0 if none is. */
uint16_t cm_statement_floor(const struct cm_statement *statements, size_t count, cm_ms now);

#endif
