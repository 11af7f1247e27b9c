/*
 * The event: one immutable entry of the ledger, packed (big endian):
 *
 *   0 version 1 | 1 act 1 | 2 outcome 1 | 3 event id 8 | 11 bucket 2 | 13 field 8 | 21 the record's first 19 bytes
 *   (scope .. expiry) | 40 previous ledger id of that record 8 | 48 SHA-256 of the sealed evidence 32, if there is any
 *
 * The ledger id of the event is the id of its stream entry. Each event names the one before it for the same record, so
 * that the history of a record is a chain which its newest event ends. An unknown version or length is malformed, and
 * so is an act beside a kind of record that it does not write. Pure and thread-safe.
 */
#ifndef CORE_EVENT_H
#define CORE_EVENT_H

#include "core/record.h"

#define CM_EVENT_VERSION 1
#define CM_EVENT_BYTES 48 /* without evidence */
#define CM_EVENT_MAX_BYTES 80
#define CM_EVENT_ID_BYTES 8
#define CM_FIELD_BYTES 8
#define CM_SHA256_BYTES 32

/* What happened. Each writes one record but for these: CONFIRM writes the grant and removes the request it answers;
 * ERASE writes the tombstone and removes all records of its scope and of all scopes below it but restrictions and
 * suspensions; FORWARD stands once for each record at the new place, and at the old place once, with kind forward, for
 * the removal of all; NOTE (LAW-16) concerns no subject and its record is all zero: its document, in clear, says what
 * was changed. */
enum cm_act {
    CM_ACT_UNSET = 0,
    CM_ACT_GRANT = 1,
    CM_ACT_WITHDRAW = 2,
    CM_ACT_REQUEST = 3,
    CM_ACT_CONFIRM = 4,
    CM_ACT_RESTRICT = 5,
    CM_ACT_SUSPEND = 6,
    CM_ACT_END = 7, /* of a restriction or suspension */
    CM_ACT_BOUNCE = 8,
    CM_ACT_ERASE = 9,
    CM_ACT_FORWARD = 10,
    CM_ACT_NOTE = 11,
};

/* APPLIED changed the record; STALE came later than a newer event of the same record and is only kept in the ledger. */
enum cm_outcome { CM_OUTCOME_UNSET = 0, CM_OUTCOME_APPLIED = 1, CM_OUTCOME_STALE = 2 };

struct cm_event {
    enum cm_act act;
    enum cm_outcome outcome;
    uint8_t id[CM_EVENT_ID_BYTES];
    uint16_t bucket;
    uint8_t field[CM_FIELD_BYTES];
    struct cm_record record;                  /* as the event states it; its ledger and last use are zero */
    uint64_t previous;                        /* ledger id; 0: the first of its record, or of it since its removal */
    uint8_t evidence_sha256[CM_SHA256_BYTES]; /* if record.flags has CM_RECORD_HAS_EVIDENCE; of a note its document's */
};

/* Returns the length: CM_EVENT_BYTES or CM_EVENT_MAX_BYTES. */
size_t cm_event_encode(const struct cm_event *event, uint8_t out[CM_EVENT_MAX_BYTES]);
bool cm_event_decode(struct cm_span packed, struct cm_event *out);

const char *cm_act_name(enum cm_act act);
const char *cm_outcome_name(enum cm_outcome outcome);

/* Ledger ids as Redis writes them, "MS-SEQ". */
#define CM_LEDGER_ID_TEXT_BYTES 24
void cm_ledger_id_format(uint64_t id, char out[CM_LEDGER_ID_TEXT_BYTES]);
bool cm_ledger_id_parse(struct cm_span text, uint64_t *out_id);

#endif
