/*
 * What people do with consent, by the rules of who may record what: grant, ask, withdraw, restrict, erase.
 *
 * Acts go through a writer, which writes to the store directly, or hands them to the keeper of this host.
 * Thread-safe, as the writer is.
 */
#ifndef SERVICE_CONSENT_H
#define SERVICE_CONSENT_H

#include "store/write.h"

/* Takes one act to where it becomes durable. The result is as of cm_store_write. */
struct cm_writer {
    void (*write)(void *context, const struct cm_write *write, struct cm_write_result *out, struct cm_err *err);
    void *context;
};

/* Writes to `store`, which is borrowed. */
struct cm_writer cm_writer_direct(struct cm_store *store);

/* What every act says of itself. Texts are UTF-8 and borrowed; empty: not said. */
struct cm_deed {
    struct cm_subject subject;
    enum cm_rank rank; /* the keeper sets its own, by the caller's credentials */
    enum cm_source source;
    cm_ms at;                /* 0: now */
    struct cm_span actor;    /* who acts, for the ledger */
    struct cm_span evidence; /* JSON object */
    struct cm_span language; /* of the statement that was shown */
    struct cm_span ref;      /* the sender's own reference */
};

struct cm_grant {
    struct cm_deed deed;
    const struct cm_registry_purpose *purpose;
    enum cm_kind basis;       /* GRANT (express), IMPLIED, SOFT_OPTIN or ASSERTED */
    enum cm_state implied_by; /* for IMPLIED */
    cm_ms anchor_at;    /* for IMPLIED: date of the purchase, the end of the contract, the inquiry; 0 for a contract
                           or membership that lasts */
    uint16_t statement; /* 0: not said */
    bool by_guardian;   /* of a minor. LAW-15 */
};

struct cm_act_result {
    struct cm_write_result write;
    enum cm_kind kind; /* as recorded */
    bool downgraded; /* express was asked for, and source, statement version or evidence was missing: asserted. LAW-6 */
};

/* False and err if the request itself is wrong (a statement never published, a date or a proof missing); then nothing
 * was tried. So with all below.
 *
 * soft_optin needs its three proofs, each true in the evidence: "from_sale" (the address was got in a sale or its
 * negotiation), "similar_products" (only the sender's own, similar ones), "refusal_offered" (then and in each message).
 * PECR reg. 22(3) */
bool cm_consent_grant(const struct cm_writer *writer, const struct cm_grant *grant, struct cm_act_result *out,
                      struct cm_err *err);

/* A stop that a person sets, or the end of one that this rank has set. LAW-4, LAW-5 */
struct cm_stop {
    struct cm_deed deed;
    enum cm_act act;       /* WITHDRAW, RESTRICT, SUSPEND or END */
    enum cm_kind kind;     /* STOP, RESTRICTED or SUSPENDED */
    unsigned state;        /* enum cm_state of that kind: why */
    uint32_t scope;        /* a purpose, a sender, or CM_SCOPE_EVERYBODY */
    uint32_t sender_scope; /* the sender of that scope; CM_SCOPE_EVERYBODY for everybody */
};

bool cm_consent_stop(const struct cm_writer *writer, const struct cm_stop *stop, struct cm_act_result *out,
                     struct cm_err *err);

/* Erases what is kept about the subject for one sender, or for all (scope CM_SCOPE_EVERYBODY), and leaves the
 * tombstone. GDPR art. 17; restrictions and suspensions stay. Where exact address and mailbox family differ these are
 * two writes: `out` tells the one that went worse. */
bool cm_consent_erase(const struct cm_writer *writer, const struct cm_deed *deed, uint32_t scope,
                      const struct cm_registry *registry, struct cm_act_result *out, struct cm_err *err);

#endif
