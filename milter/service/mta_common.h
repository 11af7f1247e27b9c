/* What the judgements of Postfix and Sendmail share: socket addresses, lists, times. Pure; spans are borrowed. */
#ifndef SERVICE_MTA_COMMON_H
#define SERVICE_MTA_COMMON_H

#include "service/mta_doctor.h"

#define SPAN_ARGS(span) (int)(span).len, (span).len > 0 ? (span).p : ""

/* A socket as libmilter, Postfix or Sendmail write it. */
struct cm_mta_endpoint {
    bool is_unix;
    struct cm_span path; /* unix */
    struct cm_span host; /* otherwise; without brackets, may be empty */
    struct cm_span port;
};

bool cm_mta_endpoint_parse(struct cm_span text, struct cm_mta_endpoint *out);
/* True if a mail server that connects to `theirs` comes to `ours`. Paths are compared as they are written. */
bool cm_mta_endpoint_is(const struct cm_mta_endpoint *theirs, const struct cm_mta_endpoint *ours);

/* Takes the next element of a list: up to a blank or a character of `separators`; {...} is one element, without its
 * braces. False at the end. */
bool cm_mta_next(struct cm_span *rest, const char *separators, struct cm_span *out);
/* Takes the next line, without its end. */
bool cm_mta_next_line(struct cm_span *rest, struct cm_span *out);
/* Splits "name = value"; false without '='. */
bool cm_mta_split(struct cm_span text, struct cm_span *out_name, struct cm_span *out_value);
/* Seconds of "30", "30s", "5m", "1h", "1d"; false on anything else. */
bool cm_mta_seconds(struct cm_span text, uint64_t *out);
bool cm_mta_contains(struct cm_span text, const char *word); /* without case */

/* True for the socket or name of a filter that signs with DKIM. */
bool cm_mta_is_signer(struct cm_span text);
/* A signer stands before us. */
void cm_mta_tell_order(const char *where, struct cm_span signer, struct cm_mta_findings *findings);
/* `text`, p == NULL if it was not read, is the configuration of an opendkim that is in use. */
void cm_mta_judge_opendkim(struct cm_span text, struct cm_mta_findings *findings);
/* True, after telling, if the text is too long to be judged. */
bool cm_mta_is_too_long(struct cm_span text, const char *where, struct cm_mta_findings *findings);

#endif
