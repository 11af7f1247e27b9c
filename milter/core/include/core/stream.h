/*
 * Which stream a message belongs to (DESIGN 4).
 *
 * A stream is a configured class of mail. Its conditions are of three sorts: about the session (auth, daemon, client,
 * local), the MAIL FROM, and headers. Conditions of different kinds AND, values in a list OR, an empty list = any.
 * Streams are tried in order and the first whose conditions are all met wins.
 *
 * A session that meets the session conditions of any marketing stream is *claimed*: its mail belongs to one of the
 * streams it meets, or it is refused "purpose unknown". It never falls through. LAW-1
 *
 * Header conditions are known only at end of message. Until then a message has *candidates*: the streams it may still
 * belong to, in order, up to and including the first without header conditions.
 *
 * Everything here is pure and immutable after loading; all text is borrowed from the settings.
 */
#ifndef CORE_STREAM_H
#define CORE_STREAM_H

#include "base/arena.h"
#include "base/limits.h"
#include "base/text.h"
#include "core/cidr.h"

enum cm_stream_class { CM_CLASS_UNSET = 0, CM_CLASS_MARKETING, CM_CLASS_SERVICE, CM_CLASS_CONSENT_REQUEST };
enum cm_mode { CM_MODE_UNSET = 0, CM_MODE_OBSERVE, CM_MODE_ENFORCE };
enum cm_purpose_from {
    CM_PURPOSE_UNSET = 0,
    CM_PURPOSE_FIXED,
    CM_PURPOSE_MAIL_FROM,
    CM_PURPOSE_HEADER,
    CM_PURPOSE_NONE
};

/* What becomes of a message that some of its recipients may have and others may not. DESIGN 4 */
enum cm_mixed { CM_MIXED_UNSET = 0, CM_MIXED_REJECT, CM_MIXED_REMOVE, CM_MIXED_QUARANTINE };
/* What is done with a service message that carries the marks of bulk mail. */
enum cm_honesty { CM_HONESTY_UNSET = 0, CM_HONESTY_REFUSE, CM_HONESTY_LOG, CM_HONESTY_OFF };

/* Bits of accept_basis. */
enum cm_basis_bit { CM_BASIS_EXPRESS = 1, CM_BASIS_IMPLIED = 2, CM_BASIS_SOFT_OPTIN = 4, CM_BASIS_ASSERTED = 8 };

struct cm_patterns {
    const char **items;
    size_t count;
};

struct cm_networks {
    struct cm_cidr *items;
    size_t count;
};

struct cm_session_conditions {
    struct cm_patterns auth;   /* SASL login; a session without login meets no auth pattern, not even "*" */
    struct cm_patterns daemon; /* listener name, macro {daemon_name} */
    struct cm_networks client;
    bool local; /* true: only mail of the sendmail command (pickup); false: no condition */
};

struct cm_header_condition {
    const char *name;  /* compared without case */
    const char *value; /* pattern over the unfolded, trimmed value */
};

struct cm_stream {
    const char *name;
    struct cm_session_conditions session;
    struct cm_patterns mail_from; /* over the canonical exact address; the null sender is the empty text */
    struct cm_header_condition *headers;
    size_t header_count; /* all must be met, each by any header of that name */
    const char *sender;
    enum cm_purpose_from purpose_from; /* NONE only for service streams */
    const char *purpose;               /* FIXED: path below the sender, "newsletter" or "offers/partners" */
    const char *purpose_header;        /* HEADER: name of the header that declares it */
    enum cm_stream_class class;
    enum cm_mode mode;
    unsigned accept_basis; /* cm_basis_bit */
    enum cm_mixed mixed;
    unsigned max_recipients;    /* of one marketing message; 0: no ceiling */
    struct cm_patterns list_id; /* what a List-Id of its mail must be, over the text within <>; may hold {purpose} */
    struct cm_patterns from;    /* the same for the address of From */
};

/* Finds the streams whose session conditions a session may meet without looking at each. Made by
 * cm_stream_table_index. */
struct cm_stream_index;

struct cm_stream_table {
    struct cm_stream *streams;
    size_t count;
    struct cm_session_conditions outgoing; /* here the kinds OR: a session of our own users meets any of them */
    bool refuse_unmatched_bulk;            /* unmatched.bulk = "refuse" */
    unsigned service_stops; /* bits 1 << enum cm_reason: the stops that service mail heeds; 0: it asks nothing */
    enum cm_honesty service_honesty;     /* of all service streams */
    const struct cm_stream_index *index; /* NULL: every stream is looked at */
    enum cm_mode mode; /* top-level mode, for what belongs to no stream; OBSERVE makes every stream observe as well */
};

/* What the MTA tells of a session by the time of MAIL. */
struct cm_session_facts {
    struct cm_span auth;   /* empty: not logged in */
    struct cm_span daemon; /* empty: the MTA did not say */
    struct cm_ip client;
    bool local;
};

struct cm_header {
    struct cm_span name;
    struct cm_span value; /* unfolded and trimmed; from CM_LIMIT_HEADER_VALUE_BYTES on it counts as cut */
};

#define CM_NO_STREAM SIZE_MAX

#define CM_STATUS_HEADER "X-Consent-Status" /* what observe mode tags messages with; copies from outside are forged */

struct cm_claim {
    bool claimed;  /* meets the session conditions of a marketing stream */
    bool observed; /* all marketing streams that claim it only observe: an unknown purpose is logged, not refused */
    bool outgoing; /* meets `outgoing` */
    bool may_match_none; /* no candidate is free of header conditions, so no stream may match in the end */
};

/*
 * The streams that a message may still belong to, in order. `mail_from` is the canonical exact address, empty for the
 * null sender or one that cannot be parsed. out_candidates has room for table->count entries.
 * Returns how many there are.
 */
size_t cm_stream_candidates(const struct cm_stream_table *table, const struct cm_session_facts *facts,
                            struct cm_span mail_from, uint16_t *out_candidates, struct cm_claim *out_claim);

/* The stream that wins once all headers are known, or CM_NO_STREAM. */
size_t cm_stream_select(const struct cm_stream_table *table, const uint16_t *candidates, size_t candidate_count,
                        const struct cm_header *headers, size_t header_count);

enum cm_purpose_status { CM_PURPOSE_UNDECIDED = 0, CM_PURPOSE_FOUND, CM_PURPOSE_NEEDS_HEADERS, CM_PURPOSE_MISSING };

/*
 * The purpose a stream's message declares, as "sender/purpose" in lower case. headers == NULL: not known yet. MISSING:
 * the declaring header is absent, there twice, or holds no path of [a-z0-9._-] segments between '/'; or the stream has
 * none (service). out is written on FOUND only.
 */
enum cm_purpose_status cm_stream_purpose(const struct cm_stream *stream, struct cm_span mail_from,
                                         const struct cm_header *headers, size_t header_count,
                                         char out[CM_LIMIT_PURPOSE_BYTES + 1]);

/* True for a header that marks bulk mail: List-Id, List-Unsubscribe, Feedback-ID, or Precedence bulk/list/junk. LAW-14
 */
bool cm_header_marks_bulk(const struct cm_header *header);

/* True for a header that only mail to many carries: the marks of bulk mail, and those that sending services put on
 * campaigns. A service message has none of them (service_honesty). */
bool cm_header_marks_campaign(const struct cm_header *header);

/*
 * True if the message may be of this stream and of the declared `purpose` ("sender/path"): its From, and its List-Id if
 * it has one, match one of the patterns that the stream names, and what {purpose} stands for there is the declared
 * path. Two of one header, or a From that is not one address, agree with nothing.
 */
bool cm_stream_agrees(const struct cm_stream *stream, const char *purpose, const struct cm_header *headers,
                      size_t header_count);

/*
 * Makes table->index in `arena`: with it a session meets only the streams that its login or listener may belong to,
 * and those that name neither. The candidates are the same as without it. False without memory.
 */
bool cm_stream_table_index(struct cm_stream_table *table, struct cm_arena *arena);

/* True if some stream or unmatched.bulk can only be decided by headers: then the MTA is asked for them. */
bool cm_stream_table_needs_headers(const struct cm_stream_table *table);
/* True if a header of this name is looked at by some stream or as a mark of bulk mail; all others need not be kept. */
bool cm_stream_table_wants_header(const struct cm_stream_table *table, struct cm_span name);
/* True if `path` is a purpose path: 1-8 segments of [a-z0-9._-], none empty, at most CM_LIMIT_PURPOSE_BYTES in all. */
bool cm_purpose_path_is_valid(struct cm_span path);

#endif
