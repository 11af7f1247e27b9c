/*
 * The registry: which senders, purposes and statement versions exist, as one immutable snapshot. The store raises a
 * version number with each change; readers keep a snapshot until a look-up shows a higher one.
 *
 * Thread-safety: a snapshot is read-only; references are counted atomically.
 */
#ifndef STORE_REGISTRY_H
#define STORE_REGISTRY_H

#include "core/dormancy.h"
#include "core/scope.h"
#include "core/statement.h"

struct cm_registry_sender {
    const char *name;
    uint32_t id;
    const char *title;
    bool halted; /* nothing is sent for it until a person ends that */
};

struct cm_registry_purpose {
    const char *path;            /* "sender/purpose" */
    struct cm_scope_path scopes; /* ids[0] is the purpose itself */
    const char *title;
    bool retired;
    bool halted; /* it, one above it, or its sender: no marketing and no consent request goes out. consentctl daemon
                    halt */
    struct cm_dormancy dormancy;
    const struct cm_statement *statements; /* ascending versions */
    size_t statement_count;
};

struct cm_registry;

void cm_registry_ref(const struct cm_registry *registry);
/* NULL is harmless. */
void cm_registry_unref(const struct cm_registry *registry);
uint64_t cm_registry_version(const struct cm_registry *registry);

/* NULL if there is none. */
const struct cm_registry_sender *cm_registry_sender(const struct cm_registry *registry, struct cm_span name);
const struct cm_registry_purpose *cm_registry_purpose(const struct cm_registry *registry, struct cm_span path);
/* All of them, sorted by name or path. */
const struct cm_registry_sender *cm_registry_senders(const struct cm_registry *registry, size_t *out_count);
const struct cm_registry_purpose *cm_registry_purposes(const struct cm_registry *registry, size_t *out_count);
/* The scopes strictly below this one (a sender's purposes, a purpose's children of all levels), at most `size` of them;
 * returns how many there are. For everybody: 0, for it needs no list. */
size_t cm_registry_below(const struct cm_registry *registry, uint32_t scope, uint32_t *out, size_t size);
/* "everybody", "acme", "acme/newsletter", or "#17" for an id that the registry does not know. `out` holds 160 bytes. */
void cm_registry_scope_name(const struct cm_registry *registry, uint32_t scope, char out[160]);

#endif
