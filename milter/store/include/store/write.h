/*
 * Writing consents and withdrawals: one Redis Function a rank and act, atomic, repeatable by event id. LAW-6, LAW-11
 *
 * A write is done, refused or *uncertain*: a connection lost after the request went out leaves the last, is told as
 * such, and may be repeated with the same event id. Thread-safe, as the store is.
 */
#ifndef STORE_WRITE_H
#define STORE_WRITE_H

#include "store/store.h"

enum cm_write_status {
    CM_WRITE_UNSET = 0,
    CM_WRITE_APPLIED,
    CM_WRITE_STALE,     /* kept in the ledger; a newer event of the same record stands */
    CM_WRITE_DUPLICATE, /* this event id was written before; the first result is repeated */
    CM_WRITE_REFUSED,   /* by the functions' rules; err says why */
    CM_WRITE_NOT_DONE,  /* trouble before anything was written */
    CM_WRITE_UNCERTAIN, /* trouble after the request went out: it may have been written */
};

struct cm_write {
    enum cm_rank rank; /* with `act` it names the function to call; Redis' ACL decides who may */
    enum cm_act act;
    struct cm_subject subject;
    uint32_t sender_scope;   /* whose seal the document is under; CM_SCOPE_EVERYBODY for stops of that scope */
    struct cm_record record; /* event_at 0: live, dated by Redis; rank and ledger are not used */
    uint8_t event_id[CM_EVENT_ID_BYTES];
    struct cm_span document; /* evidence, JSON; empty: none */
};

struct cm_write_result {
    enum cm_write_status status;
    enum cm_trouble trouble; /* NONE, or the cause for NOT_DONE and UNCERTAIN */
    uint64_t ledger;
    cm_ms event_at;
};

/* The keys must hold the seal master if there is a document. Fills result in every case; err unless the status is
 * APPLIED, STALE or DUPLICATE. */
void cm_store_write(struct cm_store *store, const struct cm_write *write, struct cm_write_result *out,
                    struct cm_err *err);

#endif
