/*
 * The MTA side of the milter protocol, as Postfix 3.7 speaks it to a filter, for load generation.
 *
 * What was taken over from Postfix because it decides what a filter has to do:
 *  - everything up to a reply that is waited for goes out in one write: macros, stages without reply, then the stage;
 *  - the macros of a stage go out even when the filter wants no such stage, except for headers, end of headers, body;
 *  - DATA leaves with a write of its own (smtpd hands the connection to cleanup there);
 *  - ABORT after every message, also after a successful one, and once more before QUIT;
 *  - no queue id before the first accepted recipient; {rcpt_addr} in lower case; SIZE on MAIL;
 *  - a message whose recipients were all refused has no DATA.
 *
 * A session belongs to one thread.  Nothing here allocates after cm_mta_open().
 */
#ifndef CM_BENCH_MTA_H
#define CM_BENCH_MTA_H

#include "latency.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cm_mta_expect {
    CM_MTA_EXPECT_UNSET = 0,
    CM_MTA_EXPECT_CONSENT, /* each verdict must be what recipients.h says */
    CM_MTA_EXPECT_ACCEPT   /* everybody is accepted: the filter that does nothing */
};

/* What to send.  Shared by all sessions, not changed while they run.  Strings are borrowed. */
struct cm_mta_plan {
    const char *socket; /* unix:PATH or inet:PORT@ADDRESS (numeric) */
    const char *login;
    const char *from; /* without angle brackets */
    unsigned recipient_count;
    unsigned header_count;
    unsigned body_bytes;
    double share_without; /* of recipients without consent, 0..1 */
    enum cm_mta_expect expect;
    unsigned timeout_ms; /* for connecting and negotiating */
};

struct cm_mta_stats {
    struct cm_latency rcpt, eom;
    uint64_t accepted, refused, deferred;   /* recipients */
    uint64_t wrong_accepted, wrong_refused; /* recipients, also counted above */
    uint64_t eom_accepted, eom_refused, eom_deferred;
    uint64_t modifications; /* change requests at end of message */
    uint64_t protocol_errors, missing_replies, failed_connections;
    char refusal[256], deferral[256], trouble[256]; /* the first of each, for people */
};

enum { CM_MTA_LISTS = 7, CM_MTA_LIST_MACROS = 16, CM_MTA_OUT_BYTES = 1 << 17, CM_MTA_IN_BYTES = 4096 };

enum cm_mta_state {
    CM_MTA_CLOSED = 0,
    CM_MTA_READY,   /* cm_mta_advance() may be called */
    CM_MTA_AWAITING /* a reply is due; cm_mta_receive() when the socket is readable */
};

/* Placed by the caller, who may read fd, state, awaiting, sent_ns and longest_ns; the rest is private. */
struct cm_mta_session {
    int fd;
    enum cm_mta_state state;
    char awaiting;       /* the command whose reply is due */
    uint64_t sent_ns;    /* when it was sent */
    uint64_t longest_ns; /* longest wait for the answer to a recipient or a message */
    uint64_t ready_ns;   /* for the caller's pacing */

    const struct cm_mta_plan *plan;
    struct cm_mta_stats *stats;
    uint64_t random;
    uint32_t protocol;                                   /* what the filter negotiated */
    uint8_t lists[CM_MTA_LISTS][CM_MTA_LIST_MACROS + 1]; /* macros of each stage, ended by 0 */
    int step;                                            /* of mta_send.h: the next to send */
    bool first_message;
    unsigned recipient_index, accepted_count, header_index, person;
    uint64_t message_number;
    char queue_id[16];
    char recipient[64];
    size_t in_length, out_length;
    unsigned char in[CM_MTA_IN_BYTES];
    unsigned char *out;
};

/*
 * Connects and negotiates.  False: counted in stats as a failed connection or protocol error, session closed.
 * The seed must not be zero.
 */
bool cm_mta_open(struct cm_mta_session *session, const struct cm_mta_plan *plan, struct cm_mta_stats *stats,
                 uint64_t seed);

/* Sends the next commands up to one whose reply is waited for.  The session is then awaiting, or closed on error. */
void cm_mta_advance(struct cm_mta_session *session);

/*
 * Reads once and handles what came.  The session is then ready if the awaited reply was complete, still awaiting if
 * not, or closed if the filter broke off or answered nonsense (counted).
 */
void cm_mta_receive(struct cm_mta_session *session);

/* Gives up on a reply that is overdue: counts it, adds the wait so far to longest_ns and closes. */
void cm_mta_give_up(struct cm_mta_session *session);

/* Says ABORT and QUIT, as at the end of an SMTP session, and closes.  Harmless on a closed session. */
void cm_mta_close(struct cm_mta_session *session);

#endif
