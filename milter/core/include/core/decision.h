/*
 * The law: may this message go to this subject, for this purpose, now?
 *
 * cm_decide is a pure function of all records of the subject and of now, so the order in which events arrived never
 * matters (LAW-3). It reads no clock and knows no store. Answers are three, never two (LAW-2): accept, refuse, defer;
 * zeroed memory is "undecided", which is none of them (LAW-1).
 */
#ifndef CORE_DECISION_H
#define CORE_DECISION_H

#include "core/dormancy.h"
#include "core/record.h"
#include "core/scope.h"
#include "core/stream.h"
#include "core/trouble.h"

enum cm_verdict { CM_VERDICT_UNDECIDED = 0, CM_VERDICT_ACCEPT, CM_VERDICT_REFUSE, CM_VERDICT_DEFER };

enum cm_reason {
    CM_REASON_UNSET = 0,
    /* accept */
    CM_REASON_EXPRESS,
    CM_REASON_IMPLIED,
    CM_REASON_SOFT_OPTIN,
    CM_REASON_ASSERTED,
    CM_REASON_REQUEST,  /* a consent request goes out while its request stands */
    CM_REASON_SERVICE,  /* service stream: the store is not asked */
    CM_REASON_NOT_OURS, /* no stream claims the session */
    /* refuse: what is missing */
    CM_REASON_NO_CONSENT,
    CM_REASON_REQUEST_OPEN, /* asked, not confirmed */
    CM_REASON_LAPSED,
    CM_REASON_OLDER_STATEMENT,
    CM_REASON_BASIS_NOT_ACCEPTED,
    CM_REASON_NOT_YET, /* the only grant is dated in the future */
    CM_REASON_DORMANT, /* not used for longer than the purpose allows */
    /* refuse: a stop that only its own rank ends, or a guardian's consent */
    CM_REASON_RESTRICTED,
    CM_REASON_DECEASED,
    CM_REASON_MINOR, /* LAW-15 */
    CM_REASON_SUSPENDED,
    /* refuse: a stop that the subject's own newer grant lifts */
    CM_REASON_REFUSED,
    CM_REASON_WITHDRAWN,
    CM_REASON_OBJECTED,
    CM_REASON_COMPLAINED,
    CM_REASON_BOUNCED,
    CM_REASON_ERASED,
    /* refuse: the message */
    CM_REASON_PURPOSE_UNKNOWN,
    CM_REASON_PURPOSE_RETIRED,
    CM_REASON_UNDECLARED_BULK,
    CM_REASON_HALTED,              /* sender or purpose was halted by consentctl daemon halt */
    CM_REASON_CONTRADICTED,        /* List-Id or From say another purpose than the message declares */
    CM_REASON_SERVICE_DISHONEST,   /* a service message with the marks of bulk mail */
    CM_REASON_TOO_MANY_RECIPIENTS, /* more than the stream's max_recipients */
    CM_REASON_RECIPIENT_UNPARSABLE,
    CM_REASON_RECIPIENT_AMBIGUOUS,
    CM_REASON_OTHER_RECIPIENT, /* permitted, but another recipient of the message was refused or unknown (mixed) */
    /* defer */
    CM_REASON_TROUBLE,       /* the store; cm_trouble says what */
    CM_REASON_CONFIGURATION, /* ours is broken: a stream names a purpose that was never registered */
    CM_REASON_LIMIT,         /* a ceiling of ours was reached */
    CM_REASON_COUNT,
};

/* The records of one subject, in any order. Grants and requests are looked for under the exact address, stops under the
 * mailbox family (LAW-8); for most subjects both point to the same records. Records of one key may stand twice, as
 * while a pepper is rotated: the one that supersedes counts. */
struct cm_subject_records {
    const struct cm_record *exact;
    size_t exact_count;
    const struct cm_record *family;
    size_t family_count;
};

struct cm_question {
    const struct cm_scope_path *path;
    enum cm_stream_class class;  /* anything but service is judged as marketing or consent_request */
    unsigned service_stops;      /* bits 1 << enum cm_reason: the only stops that service mail heeds */
    unsigned accept_basis;       /* cm_basis_bit; LAW-14 */
    uint16_t statement_floor;    /* cm_statement_floor at now; LAW-9 */
    struct cm_dormancy dormancy; /* of the purpose */
    cm_ms now;
};

struct cm_decision {
    enum cm_verdict verdict;
    enum cm_reason reason;
    enum cm_trouble trouble; /* if reason is TROUBLE */
    bool dormant;            /* accepted, with consent that was not used for longer than the purpose wishes */
    uint8_t use_month;       /* accepted by a grant that is to be marked as used in this month; 0: nothing is */
    bool has_record;         /* `record` is the one that decided */
    struct cm_record record;
};

/* Never answers UNDECIDED or DEFER. Service mail needs no consent: it is refused by the stops that the question names
 * and by no other. Where several stops refuse, the reason is the one that is hardest to lift: first
 * what only its own rank ends, then `minor`, then what the subject lifts; of equals the newest. */
struct cm_decision cm_decide(const struct cm_subject_records *records, const struct cm_question *question);

/* Builders for the answers that no record gives. */
struct cm_decision cm_decision_of(enum cm_verdict verdict, enum cm_reason reason);
struct cm_decision cm_decision_trouble(enum cm_trouble trouble);

/* Words for logs and counters; never NULL. */
const char *cm_verdict_name(enum cm_verdict verdict);
const char *cm_reason_name(enum cm_reason reason);
/* One sentence for people: what the reason means and what helps. Never NULL. */
const char *cm_reason_explanation(enum cm_reason reason);
/* What a reason stands for in counters; UNSET: UNDECIDED. */
enum cm_verdict cm_reason_verdict(enum cm_reason reason);
/* The number of the law (DESIGN 3) that a reason applies, and what that law says in short; 0 and "" if there is none.
 */
unsigned cm_reason_law(enum cm_reason reason);
const char *cm_law_text(unsigned law);
/* The reason behind a word of the log; false if there is none. */
bool cm_reason_by_name(struct cm_span name, enum cm_reason *out);

#endif
