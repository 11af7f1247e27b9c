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
#include "service/alarm.h"
#include "service/generation.h"
#include "service/recorder.h"
#include "settings/settings.h"
#include "store/store.h"

/* What all sessions share. Immutable but for the counters. */
struct cm_filter;

/* One decision as it was booked. Borrowed for the call. */
struct cm_booked {
    const struct cm_record_entry *entry;
    size_t stream;            /* or CM_NO_STREAM */
    struct cm_span recipient; /* as the client gave it; empty: the whole message */
    const char *why;          /* the stream was chosen */
};

struct cm_filter_parts {
    struct cm_generation *generation; /* the first; the filter takes a reference of its own */
    struct cm_tally *tally;
    const struct cm_keys *keys;
    struct cm_store *store;
    struct cm_recorder *recorder; /* NULL only with `observe` */
    struct cm_alarm *alarm;       /* NULL: canaries are not looked for */
    uint32_t daemon;              /* random, one for each start */
    /* If set, each decision is handed to it instead of being logged, counted and kept: for trying messages. */
    void (*observe)(void *context, const struct cm_booked *booked);
    void *context;
};

/* Borrows all parts. NULL without memory. */
struct cm_filter *cm_filter_new(const struct cm_filter_parts *parts);
void cm_filter_free(struct cm_filter *filter);

/* The configuration of now; the reference is the caller's. Thread-safe. */
struct cm_generation *cm_filter_generation(struct cm_filter *filter);
/* Its number alone, without taking a lock. Thread-safe. */
unsigned cm_filter_generation_number(const struct cm_filter *filter);
/* Connections that negotiate from now on go by this one. Takes a reference of its own. Thread-safe. */
void cm_filter_install(struct cm_filter *filter, struct cm_generation *generation);

/*
 * Sets the mode of a stream by its name, or of all that there is (NULL; what was set for single streams is forgotten
 * then), until the daemon ends: reloads do not lose it. UNSET: as configured again. It counts from the next message of
 * any connection; a message is judged by one mode from MAIL to its end. False without memory: nothing has changed.
 * Thread-safe.
 */
bool cm_filter_override(struct cm_filter *filter, const char *stream, enum cm_mode mode);
/* The mode of now of a stream of this generation; CM_NO_STREAM: of mail that belongs to none. Thread-safe. */
enum cm_mode cm_filter_mode(struct cm_filter *filter, const struct cm_generation *generation, size_t stream);

struct cm_session;

/* Bits: what the MTA lets us do to a message. */
enum cm_ability { CM_CAN_REMOVE = 1, CM_CAN_QUARANTINE = 2 };

/* What is to become of a message at its end. Texts live until the session is called again. */
struct cm_disposition {
    struct cm_reply reply;      /* code NULL: the message may go, after all below was done to it */
    const char *const *removed; /* what to delete from the envelope: each recipient in every form needed */
    size_t removed_count;
    const char *quarantine; /* why it is to be held; NULL: it is not */
    const char *status;     /* value of an X-Consent-Status header to add; NULL: none */
    size_t forged;          /* X-Consent-Status headers that came with the message, to be deleted */
    bool observed;          /* the message is to go even if something of this cannot be done to it */
};

/* Keeps a reference to the generation that the connection negotiated by. NULL without memory: the door then defers. */
struct cm_session *cm_session_new(struct cm_filter *filter, struct cm_generation *generation);
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

/* The end of the message, which is forgotten but for what `disposition` points to. `abilities`: bits of cm_ability;
 * what cannot be removed or quarantined is rejected. */
void cm_session_end(struct cm_session *session, struct cm_span queue_id, unsigned abilities,
                    struct cm_disposition *disposition);

/* Forgets the message, if any. */
void cm_session_reset(struct cm_session *session);

#endif
