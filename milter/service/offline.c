#include "service/offline.h"

#include <stdlib.h>

#include "why.h"

struct cm_offline {
    const struct cm_offline_watcher *watcher;
    struct cm_tally *tally;
    struct cm_generation *generation;
    struct cm_filter *filter;
};

static void observe(void *context, const struct cm_booked *booked)
{
    const struct cm_offline *offline = context;
    offline->watcher->booked(offline->watcher->context, booked);
}

struct cm_offline *cm_offline_new(struct cm_settings *settings, const struct cm_keys *keys, struct cm_store *store,
                                  const struct cm_offline_watcher *watcher)
{
    struct cm_offline *offline = calloc(1, sizeof(*offline));
    struct cm_tally *tally = cm_tally_new();
    if (offline == NULL || tally == NULL) {
        cm_settings_free(settings);
        cm_tally_free(tally);
        free(offline);
        return NULL;
    }
    offline->watcher = watcher;
    offline->tally = tally;
    offline->generation = cm_generation_new(settings, 1, tally);
    if (offline->generation != NULL) {
        struct cm_filter_parts parts = {
            .generation = offline->generation,
            .tally = tally,
            .keys = keys,
            .store = store,
            .observe = observe,
            .context = offline,
        };
        offline->filter = cm_filter_new(&parts);
    }
    if (offline->filter == NULL) {
        cm_offline_free(offline);
        return NULL;
    }
    return offline;
}

void cm_offline_free(struct cm_offline *offline)
{
    if (offline != NULL) {
        cm_filter_free(offline->filter);
        cm_generation_unref(offline->generation);
        cm_tally_free(offline->tally);
        free(offline);
    }
}

const struct cm_settings *cm_offline_settings(const struct cm_offline *offline)
{
    return offline->generation->settings;
}

static void tell_candidates(const struct cm_offline *offline, const struct cm_session *session)
{
    const struct cm_offline_watcher *watcher = offline->watcher;
    char why[CM_WHY_BYTES];
    for (size_t i = 0; i < session->candidate_count; i++) {
        cm_session_why(session, session->candidates[i], why);
        watcher->candidate(watcher->context, &session->table->streams[session->candidates[i]], why);
    }
    if (session->claim.may_match_none) {
        cm_session_why(session, CM_NO_STREAM, why);
        watcher->candidate(watcher->context, NULL, why);
    }
}

static void run(const struct cm_offline *offline, struct cm_session *session, const struct cm_offline_message *message)
{
    const struct cm_offline_watcher *watcher = offline->watcher;
    struct cm_disposition disposition;
    size_t taken = 0;
    cm_session_connect(session, message->daemon, message->client, CM_SPAN(""));
    cm_session_mail(session, message->from, message->auth, message->local);
    tell_candidates(offline, session);
    for (size_t i = 0; i < message->recipient_count; i++) {
        struct cm_reply reply;
        cm_session_rcpt(session, message->recipients[i], (struct cm_span){NULL, 0}, CM_SPAN(""), &reply);
        watcher->answered(watcher->context, message->recipients[i], &reply);
        taken += reply.code == NULL ? 1 : 0;
    }
    if (taken == 0) {
        watcher->ended(watcher->context, NULL);
        return;
    }
    for (size_t i = 0; i < message->header_count; i++) {
        cm_session_header(session, message->headers[i].name, message->headers[i].value);
    }
    cm_session_end(session, CM_SPAN(""), CM_CAN_REMOVE | CM_CAN_QUARANTINE, &disposition);
    watcher->ended(watcher->context, &disposition);
}

bool cm_offline_try(struct cm_offline *offline, const struct cm_offline_message *message)
{
    struct cm_session *session = cm_session_new(offline->filter, offline->generation);
    if (session == NULL) {
        return false;
    }
    run(offline, session, message);
    cm_session_free(session);
    return true;
}
