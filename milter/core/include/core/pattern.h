/*
 * Patterns of the configuration: `*` stands for any run of bytes (also none), `{purpose}` for one or more of
 * [a-z0-9._-]. No regular expressions, so the time is bounded by pattern times text. Comparison folds ASCII case.
 * Pure and thread-safe.
 */
#ifndef CORE_PATTERN_H
#define CORE_PATTERN_H

#include "base/text.h"

/* True if the whole of `text` matches. When the pattern holds {purpose} and out_purpose is not NULL, the captured part
 * of `text` (as typed, borrowed) is stored there; the longest capture that lets the rest match is taken.
 * A pattern that cm_pattern_problem refuses for its {purpose} matches nothing. */
bool cm_pattern_match(const char *pattern, struct cm_span text, struct cm_span *out_purpose);

/* What is wrong with a pattern, or NULL: too long, an unknown {name}, more than one {purpose}, `*` before {purpose}
 * (the capture would be ambiguous). */
const char *cm_pattern_problem(const char *pattern, bool purpose_allowed);

#endif
