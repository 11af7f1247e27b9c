/*
 * The record: the present state for one subject, scope and kind, in 28 bytes (DESIGN 6, layout v1, big endian):
 *
 *   0 scope 4 | 4 version+kind 1 | 5 state+rank 1 | 6 flags+source 1 | 7 statement 2 | 9 event ms 6 | 15 expiry s 4 |
 *   19 ledger id 8 | 27 month of last use 1
 *
 * Kinds never overwrite each other; within a kind the newest event wins and on a tie the more restrictive (LAW-3),
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

enum cm_kind {
    CM_KIND_UNSET = 0,
    CM_KIND_GRANT = 1, /* basis express */
    CM_KIND_IMPLIED = 2,
    CM_KIND_SOFT_OPTIN = 3,
    CM_KIND_ASSERTED = 4,
    CM_KIND_REQUEST = 5,
    CM_KIND_STOP = 6,
    CM_KIND_SEAL = 11, /* not a state: the salt that opens this subject's evidence for one sender */
};

/* The state's meaning depends on the kind; higher is more restrictive where a kind has several. */
enum cm_state {
    CM_STATE_UNSET = 0,
    CM_STATE_GIVEN = 1,    /* grant, soft_optin, asserted; request: open; seal */
    CM_STATE_PURCHASE = 1, /* implied: by what */
    CM_STATE_CONTRACT = 2,
    CM_STATE_MEMBERSHIP = 3,
    CM_STATE_INQUIRY = 4,
    CM_STATE_REFUSED = 1, /* stop: by what */
    CM_STATE_WITHDRAWN = 2,
    CM_STATE_OBJECTED = 3,
    CM_STATE_COMPLAINED = 4,
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

enum cm_record_flag { CM_RECORD_HAS_EVIDENCE = 1 }; /* of three bits */

struct cm_record {
    uint32_t scope;
    enum cm_kind kind;
    unsigned state; /* enum cm_state, by kind */
    enum cm_rank rank;
    unsigned flags;
    enum cm_source source;
    uint16_t statement; /* 0: none */
    cm_ms event_at;
    uint32_t expiry_s;           /* unix seconds; 0: never */
    uint64_t ledger;             /* id of the last event of this record: ms u48, sequence u16; 0: none */
    uint8_t last_use_month;      /* months since 2020-01, 0: never used */
    uint8_t salt[CM_SALT_BYTES]; /* kind seal only; it takes the place of statement to ledger */
};

/* The record must be valid (as decoded, or built with known enumerators and event_at in 0..CM_MS_MAX). */
void cm_record_encode(const struct cm_record *record, uint8_t out[CM_RECORD_BYTES]);
/* False if it is not a record of this version: don't know. */
bool cm_record_decode(const uint8_t in[CM_RECORD_BYTES], struct cm_record *out);

/* True if `b` takes the place of `a` (same scope and kind). A strict total order over all fields that matter to a
 * verdict; false for equal records. LAW-3 */
bool cm_record_supersedes(const struct cm_record *b, const struct cm_record *a);

/* True if the kind forbids; all others permit or ask. */
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
