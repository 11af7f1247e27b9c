/*
 * What programs and a keeper say to each other over its unix socket: one JSON object a line, both ways. Requests of one
 * connection are answered in order. No request names a rank: the keeper knows it by who calls (LAW-6).
 *
 *   {"do":"write","act":"withdraw","event":HEX16,"subject":HEX21,"family":HEX16,"sender_scope":N,"scope":N,"kind":"stop",
 *    "state":N, and where they are not their default: "source":"staff","statement":N,"flags":N,"at":MS,"expiry":S,
 *    "exact":true,"related":[N,...],"request":"MS-SEQ","document":TEXT,"wait_ms":N}
 *   -> {"status":"applied","effect":true,"ledger":"MS-SEQ","at":MS,"error":TEXT,"trouble":WORD}
 *   {"do":"status"} and {"do":"replay"} -> see cm_keeper_report
 *
 * Unknown keys, duplicates, wrong types and values out of range are errors. Pure; thread-safe.
 */
#ifndef SERVICE_KEEPER_WIRE_H
#define SERVICE_KEEPER_WIRE_H

#include "service/keeper_entry.h"

#define CM_KEEPER_LINE_MAX 32768    /* bytes of one line with its end; a longer one ends the connection */
#define CM_KEEPER_WAIT_MAX_MS 60000 /* a longer wait is an error */

enum cm_keeper_wish { CM_KEEPER_WISH_UNSET = 0, CM_KEEPER_WRITE, CM_KEEPER_STATUS, CM_KEEPER_REPLAY_ALL };

struct cm_keeper_request {
    enum cm_keeper_wish wish;
    struct cm_write write; /* of WRITE; rank unset; points into the two below */
    uint32_t scopes[CM_KEEPER_RELATED_MAX];
    char document[CM_LIMIT_EVIDENCE_BYTES + 1];
    unsigned wait_ms; /* how long the answer may wait for the act to be in effect */
};

/* False and err if it is no request. It points into itself: do not copy it. */
bool cm_keeper_request_read(struct cm_span line, struct cm_keeper_request *out, struct cm_err *err);
/* The line for a write, for the caller to free; NULL without memory, or if the document is no UTF-8. */
char *cm_keeper_request_write(const struct cm_write *write, unsigned wait_ms);

enum cm_keeper_status {
    CM_KEEPER_STATUS_UNSET = 0,
    CM_KEEPER_APPLIED,
    CM_KEEPER_STALE,
    CM_KEEPER_DUPLICATE,
    CM_KEEPER_REFUSED,
    CM_KEEPER_NOT_DONE,
    CM_KEEPER_UNCERTAIN,
    CM_KEEPER_RECEIVED, /* in the journal, and on its way into the store; never lost */
    CM_KEEPER_DONE,     /* the answer to STATUS and REPLAY_ALL */
};

struct cm_keeper_answer {
    enum cm_keeper_status status;
    bool in_effect; /* no filter permits any more what the act forbids. LAW-12 */
    uint64_t ledger;
    cm_ms event_at;
    enum cm_trouble trouble;
    struct cm_err err; /* of REFUSED, NOT_DONE, UNCERTAIN; else empty */
};

const char *cm_keeper_status_word(enum cm_keeper_status status);
/* Appends the line with its end. */
void cm_keeper_answer_write(const struct cm_keeper_answer *answer, struct cm_text *out);
bool cm_keeper_answer_read(struct cm_span line, struct cm_keeper_answer *out, struct cm_err *err);

/* A keeper about itself. */
struct cm_keeper_report {
    char keeper[CM_LIMIT_KEEPER_NAME_BYTES + 1];
    char state[24]; /* cm_keeper_word */
    char trouble[32];
    struct cm_incarnation incarnation; /* that it follows; empty: none */
    int64_t beat_age_ms;               /* since the last beat was sent; -1: none was */
    uint64_t first;                    /* of its journal */
    uint64_t last;
    uint64_t acts;    /* in the journal */
    uint64_t pending; /* of them, not known to be in the followed incarnation */
};

void cm_keeper_report_write(const struct cm_keeper_report *report, struct cm_text *out);
/* False and err if it is none: also if the answer is a refusal. */
bool cm_keeper_report_read(struct cm_span line, struct cm_keeper_report *out, struct cm_err *err);

#endif
