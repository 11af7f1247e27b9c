/*
 * The record: the present state for one subject, scope and kind, in 28 bytes (DESIGN 6, layout v1, big endian):
 *
 *   0 scope 4 | 4 version+kind 1 | 5 state+rank 1 | 6 flags+source 1 | 7 statement 2 | 9 event ms 6 | 15 expiry s 4 |
 *   19 ledger id 8 | 27 month of last use 1
 *
 * Records of one subject are sorted by their key: scope and kind, and for restricted and suspended also state and rank.
 * Those two end only by the rank that set them (LAW-5), so neither another rank nor another cause may take their place;
 * they end by an event that sets CM_RECORD_ENDED.
 *
 * Keys never overwrite each other; within one the newest event wins and on a tie the more restrictive (LAW-3),
 * which cm_record_supersedes decides by a total order, so that the order of arrival never matters. consent.lua holds
 * the same order for the store; a test compares the two.
 *
 * An unknown version, kind, state or rank is no record: the reader must answer "don't know". Pure and thread-safe.
 */
#ifndef CORE_RECORD_H
#define CORE_RECORD_H

#include "base/text.h"
#include "base/time.h"

#define CM_RECORD_BYTES 28
#define CM_RECORD_VERSION 1
#define CM_SALT_BYTES 16
#define CM_LAST_USE_EPOCH 600 /* 2020-01 as cm_time_month counts */

enum cm_kind {
    CM_KIND_UNSET = 0,
    CM_KIND_GRANT = 1, /* basis express */
    CM_KIND_IMPLIED = 2,
    CM_KIND_SOFT_OPTIN = 3,
    CM_KIND_ASSERTED = 4,
    CM_KIND_REQUEST = 5,
    CM_KIND_STOP = 6,
    CM_KIND_BOUNCED = 7,
    CM_KIND_RESTRICTED = 8, /* key: scope, kind, state, rank */
    CM_KIND_SUSPENDED = 9,  /* key: scope, kind, state, rank */
    CM_KIND_ERASED = 10,    /* the tombstone */
    CM_KIND_SEAL = 11,      /* not a state: the salt that opens this subject's evidence for one sender */
    CM_KIND_FORWARD = 12,   /* not a state: where the records of this subject stand under a newer pepper; scope 0 */
};

/* The state's meaning depends on the kind; higher is more restrictive where a kind has several. */
enum cm_state {
    CM_STATE_UNSET = 0,
    CM_STATE_GIVEN = 1,    /* grant, soft_optin, asserted; request: open; erased, seal, forward */
    CM_STATE_PURCHASE = 1, /* implied: by what */
    CM_STATE_CONTRACT = 2,
    CM_STATE_MEMBERSHIP = 3,
    CM_STATE_INQUIRY = 4,
    CM_STATE_REFUSED = 1, /* stop: by what */
    CM_STATE_WITHDRAWN = 2,
    CM_STATE_OBJECTED = 3,
    CM_STATE_COMPLAINED = 4,
    CM_STATE_NO_MAILBOX = 1, /* bounced: 5.1.1, 5.1.6 or "user unknown" */
    CM_STATE_DISABLED = 2,   /* 5.2.1 */
    CM_STATE_MINOR = 1,      /* restricted: refused unless a guardian's consent is recorded, LAW-15 */
    CM_STATE_LEGAL = 2,
    CM_STATE_DECEASED = 3,
    CM_STATE_DISPUTE = 1, /* suspended: accuracy is contested */
    CM_STATE_CASE = 2,    /* a complaint case is open */
};

enum cm_rank {
    CM_RANK_UNSET = 0,
    CM_RANK_SUBJECT = 1, /* by a token mailed to the address */
    CM_RANK_OFFICER = 2,
    CM_RANK_ADMIN = 3,
    CM_RANK_SENDER = 4, /* API, import */
    CM_RANK_SYSTEM = 5,
};

enum cm_source {
    CM_SOURCE_UNSET = 0,
    CM_SOURCE_WEB_FORM,
    CM_SOURCE_DOUBLE_OPTIN,
    CM_SOURCE_CHECKOUT,
    CM_SOURCE_IMPORT,
    CM_SOURCE_API,
    CM_SOURCE_STAFF,
    CM_SOURCE_PHONE,
    CM_SOURCE_PAPER,
    CM_SOURCE_MAIL,
    CM_SOURCE_IN_PERSON,
    CM_SOURCE_ONE_CLICK,
    CM_SOURCE_PREFERENCE_PAGE,
    CM_SOURCE_COMPLAINT_REPORT,
    CM_SOURCE_COUNT,
};

/* All three bits there are. */
enum cm_record_flag {
    CM_RECORD_HAS_EVIDENCE = 1,
    CM_RECORD_BY_GUARDIAN = 2, /* grant only: given by the guardian of a minor. LAW-15 */
    CM_RECORD_ENDED = 4,       /* restricted and suspended only: over, by the rank that set it. LAW-5 */
};

/* Where a forward record points: the place of the same form under the next pepper. */
struct cm_place {
    uint8_t pepper;     /* id of that pepper, 0-15 */
    uint16_t partition; /* 0-1023 */
    uint16_t bucket;    /* 0-1023 */
    uint8_t field[8];
};

struct cm_record {
    uint32_t scope;
    enum cm_kind kind;
    unsigned state; /* enum cm_state, by kind */
    enum cm_rank rank;
    unsigned flags;
    enum cm_source source;
    uint16_t statement;     /* 0: none */
    uint8_t last_use_month; /* months since CM_LAST_USE_EPOCH, 0: never used */
    uint32_t expiry_s;      /* unix seconds; 0: never */
    cm_ms event_at;
    uint64_t ledger;             /* id of the last event of this record: ms u48, sequence u16; 0: none */
    uint8_t salt[CM_SALT_BYTES]; /* kind seal only; it takes the place of statement to ledger */
    struct cm_place forward;     /* kind forward only; at offset 7 24 bits (pepper 4, partition 10, bucket 10), then
                                    the field: 11 bytes, so that an event, which repeats the first 19, tells it too */
};

/* The record must be valid (as decoded, or built with known enumerators and event_at in 0..CM_MS_MAX). */
void cm_record_encode(const struct cm_record *record, uint8_t out[CM_RECORD_BYTES]);
/* False if it is not a record of this version: don't know. */
bool cm_record_decode(const uint8_t in[CM_RECORD_BYTES], struct cm_record *out);

/* The order of the records of one subject: by key, as their packed bytes sort. Negative, zero or positive. */
int cm_record_compare_keys(const struct cm_record *a, const struct cm_record *b);
/* True if only one of the two can stand. */
bool cm_record_same_key(const struct cm_record *a, const struct cm_record *b);

/* True if `b` takes the place of `a`, which has the same key. A strict total order over all that a record states;
 * false for records that state the same. Seals and forwards state no fact with a date and have no such order. LAW-3 */
bool cm_record_supersedes(const struct cm_record *b, const struct cm_record *a);

/* True if the kind forbids. Stops are kept under the mailbox family, what permits or asks under the exact address
 * (LAW-8); seals and forwards stand under both. */
bool cm_kind_is_stop(enum cm_kind kind);

/* Names for people, as in the command line and logs; NULL or UNSET for unknown ones. */
const char *cm_kind_name(enum cm_kind kind);
const char *cm_state_name(enum cm_kind kind, unsigned state);
const char *cm_rank_name(enum cm_rank rank);
const char *cm_source_name(enum cm_source source);
enum cm_source cm_source_by_name(struct cm_span name);
/* "withdrawn", "objected", "complained", "refused"; "purchase", ...; CM_STATE_UNSET if the kind has no such state. */
unsigned cm_state_by_name(enum cm_kind kind, struct cm_span name);

#endif
