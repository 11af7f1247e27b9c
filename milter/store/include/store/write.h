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
    CM_WRITE_STALE,      /* kept in the ledger; a newer event of the same record stands, or an erasure that covers it */
    CM_WRITE_DUPLICATE,  /* this event id was written before; the first result is repeated */
    CM_WRITE_REFUSED,    /* by the functions' rules; err says why */
    CM_WRITE_OTHER_SEAL, /* nothing was written: the document was sealed under another seal than the standing one */
    CM_WRITE_NOT_DONE,   /* trouble before anything was written */
    CM_WRITE_UNCERTAIN,  /* trouble after the request went out: it may have been written */
};

struct cm_write {
    enum cm_rank rank; /* with `act` it names the function to call; Redis' ACL decides who may */
    enum cm_act act;
    struct cm_subject subject;
    bool under_exact;        /* ERASE only: what stands under the exact address, not under its mailbox family */
    uint32_t sender_scope;   /* whose seal the document is under; CM_SCOPE_EVERYBODY for acts on that scope */
    struct cm_record record; /* event_at 0: live, dated by Redis; rank, ledger and, but for requests and bounces, flags
                                other than BY_GUARDIAN are not used */
    uint8_t event_id[CM_EVENT_ID_BYTES];
    struct cm_span document; /* evidence, JSON; empty: none */
    /* ERASE: all scopes below its own (none for everybody). GRANT and REQUEST: the scopes above but everybody, so that
     * an erasure which covers them is seen. */
    const uint32_t *related;
    size_t related_count;
    uint64_t request;   /* CONFIRM: ledger id of the request that it answers */
    bool is_replay;     /* it may have been written before: a stop keeps its date, and is not written twice */
    uint64_t ledger;    /* replay: the ledger id it had then; 0: not known */
    const char *keeper; /* whose mark to raise; NULL: none. LAW-12 */
    uint64_t mark;      /* to this number of its journal */
};

struct cm_write_result {
    enum cm_write_status status;
    enum cm_trouble trouble; /* NONE, or the cause for NOT_DONE and UNCERTAIN */
    bool is_full;            /* REFUSED, because the subject has no room for one more such record */
    uint64_t ledger;
    cm_ms event_at;
    struct cm_incarnation incarnation; /* of the store that answered; empty if none did */
    bool moved;                        /* the subject is kept under a newer pepper than the write was for: */
    uint16_t partition;                /* it was tried in this partition */
};

/* A document as it is kept, and the salt that opens it. */
struct cm_sealed_document {
    uint8_t salt[CM_SALT_BYTES];
    bool was_standing;       /* the salt is that of a seal which stood; if it does not any more, it was erased */
    struct cm_sealed sealed; /* len 0: no document */
};

/* The keys must hold the seal master if there is a document. Fills result in every case; err unless the status is
 * APPLIED, STALE or DUPLICATE. Never answers OTHER_SEAL: it seals anew. */
void cm_store_write(struct cm_store *store, const struct cm_write *write, struct cm_write_result *out,
                    struct cm_err *err);

/*
 * The two halves of cm_store_write, for a keeper, which journals in between.
 *
 * cm_store_seal: seals write->document under the standing seal of subject and sender, or under a new one. NONE, or the
 * cause why Redis could not be asked (INTERNAL: the document is too long, or there is no seal master).
 * cm_store_seal_newly: the same under a new seal, without Redis; false and err on failure.
 * cm_store_reseal: once OTHER_SEAL was answered: opens the document with its own salt and seals it under the standing
 * one.
 */
enum cm_trouble cm_store_seal(struct cm_store *store, const struct cm_write *write, struct cm_sealed_document *out,
                              struct cm_err *err);
bool cm_store_seal_newly(struct cm_store *store, const struct cm_write *write, struct cm_sealed_document *out,
                         struct cm_err *err);
enum cm_trouble cm_store_reseal(struct cm_store *store, const struct cm_write *write,
                                struct cm_sealed_document *document, struct cm_err *err);
/* write->document is not looked at; may answer OTHER_SEAL. */
void cm_store_write_sealed(struct cm_store *store, const struct cm_write *write,
                           const struct cm_sealed_document *document, struct cm_write_result *out, struct cm_err *err);

/* A note about what concerns no subject but changes what is permitted, LAW-16. Borrows the document, which is JSON in
 * clear and names its author. */
struct cm_note {
    uint8_t event_id[CM_EVENT_ID_BYTES];
    struct cm_span document;
    uint8_t sha256[CM_SHA256_BYTES];
};

/* With a new event id. INTERNAL and err if the document is empty or longer than CM_LIMIT_NOTE_BYTES. */
enum cm_trouble cm_note_make(struct cm_span document, struct cm_note *out, struct cm_err *err);
/* rank: ADMIN, or SYSTEM for the programs themselves. May be repeated with the same note. */
void cm_store_note(struct cm_store *store, enum cm_rank rank, const struct cm_note *note, struct cm_write_result *out,
                   struct cm_err *err);

/* Moves all records of one address form from its place under an older pepper to the newer one and leaves a forward
 * record. Harmless to repeat, and where nothing stands. `pepper` is the newer one's id. */
struct cm_forward {
    uint16_t old_partition;
    uint16_t old_bucket;
    const uint8_t *old_field; /* CM_FIELD_BYTES */
    struct cm_place to;
};
enum cm_trouble cm_store_forward(struct cm_store *store, const struct cm_forward *forward, struct cm_err *err);
/* Brings together at the subject's own place what stands at its places under older peppers. cm_store_write does so by
 * itself, but for senders; who hands an act to a keeper, which knows one place only, does it before. */
enum cm_trouble cm_store_gather(struct cm_store *store, const struct cm_subject *subject, struct cm_err *err);

#endif
