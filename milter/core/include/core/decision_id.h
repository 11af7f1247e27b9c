/*
 * Decision ids: 26 lower-case base32 characters that name one decision for ever (LAW-13). They hold the time, the
 * daemon, a counter and the subject's partition, so that `explain` knows where to look. Pure.
 *
 * 130 bits: 0 2 | milliseconds 48 | daemon 32 | counter 38 | partition 10.
 */
#ifndef CORE_DECISION_ID_H
#define CORE_DECISION_ID_H

#include "base/text.h"
#include "base/time.h"

#define CM_DECISION_ID_CHARS 26

struct cm_decision_id {
    cm_ms at;
    uint32_t daemon;  /* random, one for each start of a daemon */
    uint64_t counter; /* 38 bits are kept */
    uint16_t partition;
};

void cm_decision_id_format(const struct cm_decision_id *id, char out[CM_DECISION_ID_CHARS + 1]);
/* False if the text is not an id. */
bool cm_decision_id_parse(struct cm_span text, struct cm_decision_id *out);

#endif
