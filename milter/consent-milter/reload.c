#include "reload.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ops/log.h"
#include "ops/notify.h"
#include "service/declaration.h"

struct cm_reloader {
    const char *file;
    const struct cm_settings *first; /* of what cannot change */
    struct cm_filter *filter;
    struct cm_tally *tally;
    struct cm_recorder *recorder;
    pthread_mutex_t mutex; /* guards the rest, and lets one reload at a time */
    unsigned number;
    struct cm_reload_status last;
};

struct cm_reloader *cm_reloader_new(const char *file, const struct cm_generation *first, struct cm_filter *filter,
                                    struct cm_tally *tally, struct cm_recorder *recorder)
{
    struct cm_reloader *reloader = calloc(1, sizeof(*reloader));
    if (reloader != NULL) {
        *reloader = (struct cm_reloader){.file = file,
                                         .first = first->settings,
                                         .filter = filter,
                                         .tally = tally,
                                         .recorder = recorder,
                                         .number = first->number};
        (void)pthread_mutex_init(&reloader->mutex, NULL); /* cannot fail with these attributes */
    }
    return reloader;
}

void cm_reloader_free(struct cm_reloader *reloader)
{
    if (reloader != NULL) {
        (void)pthread_mutex_destroy(&reloader->mutex);
        free(reloader);
    }
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_store(const struct cm_store_settings *a, const struct cm_store_settings *b)
{
    return a->scheme == b->scheme && same_text(a->path, b->path) && same_text(a->host, b->host) &&
           same_text(a->port, b->port) && same_text(a->user, b->user) &&
           same_text(a->password_file, b->password_file) && a->timeout_ms == b->timeout_ms && a->pool == b->pool &&
           same_text(a->tls.ca_file, b->tls.ca_file) && same_text(a->tls.cert_file, b->tls.cert_file) &&
           same_text(a->tls.key_file, b->tls.key_file) && same_text(a->tls.server_name, b->tls.server_name);
}

static bool same_keepers(const struct cm_settings *a, const struct cm_settings *b)
{
    for (size_t i = 0; a->keeper_count == b->keeper_count && i < a->keeper_count; i++) {
        if (strcmp(a->keepers[i], b->keepers[i]) != 0) {
            return false;
        }
    }
    return a->keeper_count == b->keeper_count;
}

/* What the process was built around when it started: the name of the first that differs, or NULL. */
static const char *what_needs_a_restart(const struct cm_settings *a, const struct cm_settings *b)
{
    const struct {
        const char *name;
        bool is_same;
    } rows[] = {
        {"store", same_store(&a->store, &b->store)},
        {"keys", same_text(a->keys, b->keys)},
        {"keepers", same_keepers(a, b)},
        {"milter", same_text(a->milter.socket, b->milter.socket) && a->milter.mode == b->milter.mode &&
                       same_text(a->milter.group, b->milter.group)},
        {"control", same_text(a->control.socket, b->control.socket) && a->control.mode == b->control.mode &&
                        same_text(a->control.group, b->control.group)},
        {"metrics", same_text(a->metrics_listen, b->metrics_listen)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!rows[i].is_same) {
            return rows[i].name;
        }
    }
    return NULL;
}

/* Installs it; takes the settings over. */
static bool install(struct cm_reloader *reloader, struct cm_settings *settings, struct cm_err *err)
{
    struct cm_declaration *declaration = cm_declaration_new("consent-milter", settings, err);
    if (declaration == NULL) {
        cm_settings_free(settings);
        return false;
    }
    struct cm_generation *generation = cm_generation_new(settings, reloader->number + 1, reloader->tally);
    if (generation == NULL) {
        cm_declaration_free(declaration);
        cm_err_set(err, "out of memory");
        return false;
    }
    cm_recorder_note(reloader->recorder, declaration); /* LAW-16 */
    cm_filter_install(reloader->filter, generation);
    reloader->number = generation->number;
    cm_log(CM_LOG_NOTICE, "configuration loaded: generation=%u streams=%zu configuration=%s", generation->number,
           generation->settings->streams.count, generation->settings->sha256);
    cm_generation_unref(generation);
    return true;
}

static bool load(struct cm_reloader *reloader, struct cm_err *err)
{
    struct cm_settings *settings = cm_settings_load(reloader->file, err);
    if (settings == NULL) {
        return false;
    }
    const char *changed = what_needs_a_restart(reloader->first, settings);
    if (changed != NULL) {
        cm_err_set(err, "%s: %s: cannot change while the daemon runs; restart it, or change this back", reloader->file,
                   changed);
        cm_settings_free(settings);
        return false;
    }
    return install(reloader, settings, err);
}

bool cm_reload(struct cm_reloader *reloader, struct cm_err *err)
{
    (void)pthread_mutex_lock(&reloader->mutex);
    cm_notify_reloading();
    bool ok = load(reloader, err);
    reloader->last = (struct cm_reload_status){.at = cm_clock_wall_ms(), .ok = ok};
    if (!ok) {
        reloader->last.err = *err;
        cm_log(CM_LOG_ERROR, "the configuration was not loaded, generation=%u stays: %s", reloader->number, err->text);
    }
    cm_notify(ok ? "READY=1\nSTATUS=serving" : "READY=1\nSTATUS=serving by the old configuration: the new one is bad");
    (void)pthread_mutex_unlock(&reloader->mutex);
    return ok;
}

void cm_reload_last(struct cm_reloader *reloader, struct cm_reload_status *out)
{
    (void)pthread_mutex_lock(&reloader->mutex);
    *out = reloader->last;
    (void)pthread_mutex_unlock(&reloader->mutex);
}
