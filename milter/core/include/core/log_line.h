/*
 * Reading our own log again: one line of a decision, out of a mail log with prefixes of any kind before it. Pure.
 *
 * A line is ours if " session=" stands in it behind a queue id (or NOQUEUE) and a colon, and `id` and `verdict` follow.
 * Of such a line everything is checked: what was cut on its way or is otherwise not as the filter writes it is BROKEN,
 * never guessed at.
 */
#ifndef CORE_LOG_LINE_H
#define CORE_LOG_LINE_H

#include "core/decision.h"
#include "core/decision_id.h"
#include "core/subject.h"

enum cm_log_line_status { CM_LOG_LINE_OTHER = 0, CM_LOG_LINE_DECISION, CM_LOG_LINE_BROKEN };

struct cm_log_line {
    char id[CM_DECISION_ID_CHARS + 1];
    enum cm_verdict verdict;
    enum cm_reason reason;
    bool observed;
    char stream[64];                          /* "-": none */
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1]; /* empty: none */
    bool has_subject;
    struct cm_subject subject; /* one place; pepper 0: the line does not tell which */
};

/* `out` is written for a DECISION only. */
enum cm_log_line_status cm_log_line_parse(struct cm_span line, struct cm_log_line *out);

#endif
