/*
 * Trying messages: the session of the mail path over a loaded configuration and the present store, but nothing is
 * logged, counted, kept or marked as used. What it decides is what the filter would decide, because it is the filter.
 *
 * One thread at a time.
 */
#ifndef SERVICE_OFFLINE_H
#define SERVICE_OFFLINE_H

#include "service/session.h"

struct cm_offline;

/* Told while a message is tried, in the order of SMTP. All of them must be there; what they get is borrowed. */
struct cm_offline_watcher {
    void *context;
    /* After MAIL: a stream that the message may still belong to, and why; NULL: none, which is told alone or last. */
    void (*candidate)(void *context, const struct cm_stream *stream, const char *why);
    /* A decision, before the answer that it leads to. */
    void (*booked)(void *context, const struct cm_booked *booked);
    /* The answer to RCPT; code NULL: it may go on. */
    void (*answered)(void *context, struct cm_span recipient, const struct cm_reply *reply);
    /* The end of the message; NULL: every recipient was refused before, so that there is none. */
    void (*ended)(void *context, const struct cm_disposition *disposition);
};

struct cm_offline_message {
    struct cm_span from;
    struct cm_span auth;   /* empty: not logged in */
    struct cm_span daemon; /* empty: not told */
    struct cm_span client; /* empty: not known */
    bool local;
    const struct cm_span *recipients;
    size_t recipient_count;
    const struct cm_header *headers; /* in their order, values as they came */
    size_t header_count;
};

/* Takes the settings over, also on failure; borrows keys, store and watcher. NULL without memory. */
struct cm_offline *cm_offline_new(struct cm_settings *settings, const struct cm_keys *keys, struct cm_store *store,
                                  const struct cm_offline_watcher *watcher);
void cm_offline_free(struct cm_offline *offline);
const struct cm_settings *cm_offline_settings(const struct cm_offline *offline);

/* Tries one message. False without memory: nothing was told. */
bool cm_offline_try(struct cm_offline *offline, const struct cm_offline_message *message);

#endif
