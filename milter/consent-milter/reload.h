/*
 * A new configuration while mail goes on: loaded whole, compared with what cannot change while we run, and then the one
 * that new connections negotiate by; or refused whole, and the old one stays. See also service/generation.h.
 */
#ifndef CONSENT_MILTER_RELOAD_H
#define CONSENT_MILTER_RELOAD_H

#include "service/session.h"

struct cm_reloader;

/* Borrows all; `first` is the generation that the daemon started with. NULL without memory. */
struct cm_reloader *cm_reloader_new(const char *file, const struct cm_generation *first, struct cm_filter *filter,
                                    struct cm_tally *tally, struct cm_recorder *recorder);
void cm_reloader_free(struct cm_reloader *reloader);

/* Loads the file anew. False and err if the old configuration stays; both are logged. Thread-safe: one at a time. */
bool cm_reload(struct cm_reloader *reloader, struct cm_err *err);

/* How the last reload ended. */
struct cm_reload_status {
    cm_ms at; /* 0: there was none */
    bool ok;
    struct cm_err err;
};
void cm_reload_last(struct cm_reloader *reloader, struct cm_reload_status *out);

#endif
