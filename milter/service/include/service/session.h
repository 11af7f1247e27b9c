/*
 * One mail session as the law sees it, whatever door it came through: who sends, which streams claim it, what was
 * decided for each recipient, and when (DESIGN 4).
 *
 * Decided at RCPT: when no stream that the message can still belong to would accept the recipient (refused if all
 * refuse, else deferred), or when just one stream is left and it accepts. Everything else waits for the end of the
 * message, where one look-up answers for all open recipients, and `mixed = reject` makes one refusal refuse the
 * message. A single open acceptance is booked under the stream that the message really belongs to, which is why two
 * accepting candidates wait. Mail of the sendmail command is never refused or deferred before its end: Postfix would
 * wedge it.
 *
 * Calls in order: new, connect, then for each message mail, rcpt*, header*, end; reset after any message that ends
 * otherwise. A session belongs to one thread at a time; the filter is shared by all.
 */
#ifndef SERVICE_SESSION_H
#define SERVICE_SESSION_H

#include "core/reply.h"
#include "service/recorder.h"
#include "settings/settings.h"
#include "store/store.h"

/* What all sessions share. Immutable but for the counters. */
struct cm_filter;

struct cm_filter_parts {
    const struct cm_settings *settings;
    const struct cm_keys *keys;
    struct cm_store *store;
    struct cm_recorder *recorder;
    uint32_t daemon; /* random, one for each start */
};

/* Borrows all parts. NULL without memory. */
struct cm_filter *cm_filter_new(const struct cm_filter_parts *parts);
void cm_filter_free(struct cm_filter *filter);

struct cm_session;

/* NULL without memory: the door then defers. */
struct cm_session *cm_session_new(struct cm_filter *filter);
void cm_session_free(struct cm_session *session);

/* All texts are copied. `daemon` is the listener's name, `own_domain` what completes a recipient without a domain. */
void cm_session_connect(struct cm_session *session, struct cm_span daemon, struct cm_span client,
                        struct cm_span own_domain);

/* Begins a message; whatever was open before is forgotten. `argument` as the client gave it; `auth` is the SASL login
 * or empty; `local` marks mail of the sendmail command. */
void cm_session_mail(struct cm_session *session, struct cm_span argument, struct cm_span auth, bool local);

/*
 * One recipient. `rcpt_addr` is the MTA's own reading (p == NULL: none), `queue_id` empty while unknown. out->code is
 * NULL if the recipient may go on; else the reply, to be given now.
 */
void cm_session_rcpt(struct cm_session *session, struct cm_span argument, struct cm_span rcpt_addr,
                     struct cm_span queue_id, struct cm_reply *out);

/* Keeps what streams may ask for. */
void cm_session_header(struct cm_session *session, struct cm_span name, struct cm_span value);

/* The end of the message: out->code is NULL if it may go. The message is forgotten. */
void cm_session_end(struct cm_session *session, struct cm_span queue_id, struct cm_reply *out);

/* Forgets the message, if any. */
void cm_session_reset(struct cm_session *session);

#endif
