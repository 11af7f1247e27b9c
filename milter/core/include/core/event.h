/*
 * The event: one immutable entry of the ledger, packed (big endian):
 *
 *   0 version 1 | 1 act 1 | 2 outcome 1 | 3 event id 8 | 11 bucket 2 | 13 field 8 | 21 the record's first 19 bytes
 *   (scope .. expiry) | 40 previous ledger id of that record 8 | 48 SHA-256 of the sealed evidence 32, if there is any
 *
 * The ledger id of the event is the id of its stream entry. Each event names the one before it for the same record, so
 * that the history of a record is a chain which its newest event ends. An unknown version or length is malformed.
 * Pure and thread-safe.
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

enum cm_act { CM_ACT_UNSET = 0, CM_ACT_GRANT = 1, CM_ACT_WITHDRAW = 2 };

/* APPLIED changed the record; STALE came later than a newer event of the same record and is only kept in the ledger. */
enum cm_outcome { CM_OUTCOME_UNSET = 0, CM_OUTCOME_APPLIED = 1, CM_OUTCOME_STALE = 2 };

struct cm_event {
    enum cm_act act;
    enum cm_outcome outcome;
    uint8_t id[CM_EVENT_ID_BYTES];
    uint16_t bucket;
    uint8_t field[CM_FIELD_BYTES];
    struct cm_record record;                  /* as the event states it; its ledger and last use are zero */
    uint64_t previous;                        /* ledger id; 0: the first of its record */
    uint8_t evidence_sha256[CM_SHA256_BYTES]; /* if record.flags has CM_RECORD_HAS_EVIDENCE */
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
