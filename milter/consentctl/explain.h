/* What the files of explain and replay share. */
#ifndef CONSENTCTL_EXPLAIN_H
#define CONSENTCTL_EXPLAIN_H

#include "consentctl.h"
#include "core/decision_id.h"

/* NULL if the configuration has no such stream. */
const struct cm_stream *cm_ctl_find_stream(const struct cm_settings *settings, const char *name);
/* What is asked of the store about mail of this stream for `purpose`; borrows it. */
struct cm_enforce_question cm_ctl_question_of(const struct cm_stream_table *table, const struct cm_stream *stream,
                                              const char *purpose);
/* The lines that tell a decision: reason, law, record. */
void cm_ctl_say_decision(const struct context *context, const struct cm_decision *decision, unsigned statement_floor);

/* explain ID --rcpt ADDRESS: what the ledger tells that was decided then. */
int cm_ctl_explain_past(struct context *context, const struct cm_decision_id *id);
/* Says what the ledger holds of the subject up to the decision: what could be seen then. Trouble is said as well. The
 * number of events. */
size_t cm_ctl_explain_seen(struct context *context, const struct cm_subject *subject, cm_ms at);
/* explain --from: one message through the session. */
int cm_ctl_explain_message(struct context *context);

#endif
