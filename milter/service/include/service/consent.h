/*
 * What people do with consent: grant and withdraw, by the rules of who may record what.
 *
 * Acts go through a writer, which today writes to the store directly; a keeper may stand there instead.
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

struct cm_grant {
    struct cm_subject subject;
    const struct cm_registry_purpose *purpose;
    enum cm_rank rank;
    enum cm_kind basis;       /* GRANT (express), IMPLIED, SOFT_OPTIN or ASSERTED */
    enum cm_state implied_by; /* for IMPLIED */
    cm_ms anchor_at;          /* for IMPLIED: date of the purchase, the end of the contract, the inquiry */
    enum cm_source source;
    uint16_t statement;      /* 0: not said */
    cm_ms at;                /* 0: now */
    struct cm_span evidence; /* JSON object; empty: none */
    struct cm_span actor;    /* who acts, for the ledger */
    struct cm_span ref;      /* the sender's own reference; empty: none */
};

struct cm_act_result {
    struct cm_write_result write;
    enum cm_kind basis; /* as recorded */
    bool downgraded; /* express was asked for, and source, statement version or evidence was missing: asserted. LAW-6 */
};

/* False and err if the request itself is wrong (a statement never published, a date missing); then nothing was tried.
 */
bool cm_consent_grant(const struct cm_writer *writer, const struct cm_grant *grant, struct cm_act_result *out,
                      struct cm_err *err);

struct cm_withdrawal {
    struct cm_subject subject;
    uint32_t scope;        /* a purpose, a sender, or CM_SCOPE_EVERYBODY */
    uint32_t sender_scope; /* the sender of that scope; CM_SCOPE_EVERYBODY for everybody */
    enum cm_rank rank;
    enum cm_state how; /* REFUSED, WITHDRAWN, OBJECTED, COMPLAINED */
    enum cm_source source;
    cm_ms at; /* 0: now */
    struct cm_span actor;
};

bool cm_consent_withdraw(const struct cm_writer *writer, const struct cm_withdrawal *withdrawal,
                         struct cm_act_result *out, struct cm_err *err);

#endif
