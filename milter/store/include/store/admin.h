/*
 * Making a store and its registry. All of it may be repeated: what is there already is left as it is.
 * Thread-safe, as the store is.
 */
#ifndef STORE_ADMIN_H
#define STORE_ADMIN_H

#include "core/dormancy.h"
#include "store/store.h"

enum cm_init_status { CM_INIT_UNSET = 0, CM_INIT_MADE, CM_INIT_PRESENT, CM_INIT_FAILED };

/*
 * Loads the functions of this version and, for a fresh store id, writes the store's facts into all partitions. A store
 * id that is not fresh must be found in Redis: an empty Redis is then a lost store, which is told and never papered
 * over (LAW-12). Redis must keep what it acknowledges: AOF with appendfsync always, noeviction; else it is refused
 * (LAW-11).
 */
enum cm_init_status cm_store_init(struct cm_store *store, bool fresh, struct cm_err *err);

/*
 * Past LAW-12, by a person and with a note that names them (`document`, JSON): retires a keeper that will not come
 * back, so that filters no longer need its beat; or, with `retire` false, readmits one that was retired or that begins
 * a new journal because its old one is lost. Raises the epoch.
 */
enum cm_trouble cm_store_accept(struct cm_store *store, const char *keeper, bool retire, struct cm_span document,
                                struct cm_err *err);

/* Calls `each` for the last notes of the ledger (LAW-16), newest first, until it answers false or no more stand in
 * Redis; what is older lies in the archive. Borrowed for the call. */
enum cm_trouble cm_store_notes(struct cm_store *store, bool (*each)(void *context, cm_ms at, struct cm_span document),
                               void *context, struct cm_err *err);

enum cm_registry_outcome {
    CM_REGISTRY_UNSET = 0,
    CM_REGISTRY_CHANGED,
    CM_REGISTRY_PRESENT, /* it stood there already */
    CM_REGISTRY_REFUSED, /* err says why */
    CM_REGISTRY_TROUBLE, /* err says what; the command may be repeated */
};

struct cm_statement_text {
    struct cm_span purpose; /* "sender/purpose" */
    unsigned version;       /* 0: the next one */
    const char *language;
    bool material;
    cm_ms effective_at; /* 0: now */
    struct cm_span text;
};

/* Each leaves a note in the ledger with its `actor` (LAW-16) and ends by announcing the new version to all filters;
 * only then it is told as done. */
enum cm_registry_outcome cm_registry_add_sender(struct cm_store *store, const char *actor, const char *sender,
                                                const char *title, struct cm_err *err);
/* `path` is "sender/purpose" or "sender/parent/purpose"; the parent must be registered. */
enum cm_registry_outcome cm_registry_add_purpose(struct cm_store *store, const char *actor, const char *path,
                                                 const char *title, const struct cm_dormancy *dormancy,
                                                 struct cm_err *err);
enum cm_registry_outcome cm_registry_retire_purpose(struct cm_store *store, const char *actor, const char *path,
                                                    struct cm_err *err);
/* Nothing is sent for a sender or "sender/purpose" and all below it, until the halt is ended. */
enum cm_registry_outcome cm_registry_set_halt(struct cm_store *store, const char *actor, const char *scope, bool halted,
                                              const char *reason, struct cm_err *err);
enum cm_registry_outcome cm_registry_set_dormancy(struct cm_store *store, const char *actor, const char *path,
                                                  const struct cm_dormancy *dormancy, struct cm_err *err);
enum cm_registry_outcome cm_registry_publish(struct cm_store *store, const char *actor,
                                             const struct cm_statement_text *statement, unsigned *out_version,
                                             struct cm_err *err);

/* The text of one rendition, for the caller to free; *out NULL if there is none. */
enum cm_trouble cm_registry_statement_text(struct cm_store *store, uint32_t purpose_scope, unsigned version,
                                           const char *language, char **out, struct cm_err *err);

/* The present registry; give it back with cm_registry_unref. */
enum cm_trouble cm_store_read_registry(struct cm_store *store, const struct cm_registry **out, struct cm_err *err);

#endif
