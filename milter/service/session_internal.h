/* What the files of a session share: session.c tells the story up to the recipients,
 * message.c its end, prospect.c decides, booking.c logs and remembers. */
#ifndef SERVICE_SESSION_INTERNAL_H
#define SERVICE_SESSION_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/address.h"
#include "service/enforce.h"
#include "service/session.h"

/* A generation's streams with the modes that were set at run time. */
struct cm_view;
struct cm_override;

struct cm_overrides {
    struct cm_override *items; /* of single streams */
    size_t count;
    enum cm_mode all;         /* UNSET: none */
    struct cm_view *view;     /* of the newest generation that asked; NULL: to be made */
    _Atomic unsigned version; /* a session that saw another one looks again */
};

struct cm_filter {
    struct cm_filter_parts parts;
    pthread_mutex_t mutex;            /* guards the next two, but for the version */
    struct cm_generation *generation; /* of connections that negotiate now */
    struct cm_overrides overrides;
    _Atomic unsigned number;    /* of the generation */
    atomic_bool told_of_mixed;  /* that the MTA cannot remove or quarantine */
    _Atomic uint64_t decisions; /* counter of decision ids */
    _Atomic uint64_t sessions;
    _Atomic int64_t warned_at_s[CM_TROUBLE_COUNT]; /* last warning of each trouble: at most one a second */
};

/* A recipient, as one question needs it. */
struct cm_recipient {
    struct cm_span argument;  /* as the client gave it */
    struct cm_span rcpt_addr; /* as the MTA resolved it: both are needed to hash it anew */
    enum cm_recipient_status status;
    struct cm_subject subject; /* if status is OK */
    unsigned canary;           /* the line of the canary that it is; 0: it is none */
};

#define CM_STATUS_BYTES 160

/* What observing has let pass: the first decision and how many recipients there are. */
struct cm_would_be {
    size_t recipients; /* 0: none */
    enum cm_verdict verdict;
    enum cm_reason reason;
    char id[CM_DECISION_ID_CHARS + 1];
};

struct cm_session {
    struct cm_filter *filter;
    struct cm_generation *generation;    /* that the connection negotiated by */
    const struct cm_settings *settings;  /* of the generation */
    const struct cm_stream_table *table; /* its streams, with the modes of this message */
    struct cm_view *view;                /* that holds the table; NULL: it is that of the settings */
    unsigned version;                    /* of the overrides in it */
    struct cm_hasher *hasher;
    uint32_t peppers; /* those of the hasher, as cm_keys_in_use tells */
    /* per connection */
    char id[24];
    char daemon[CM_LIMIT_PATTERN_BYTES + 1];
    char client[48];
    bool facts_are_whole; /* false: a fact did not fit, so a stream that names it might not claim; nothing passes */
    char own_domain[CM_ADDRESS_DOMAIN_MAX + 1];
    struct cm_ip client_ip;
    uint16_t *candidates;    /* room for all streams */
    struct cm_arena scratch; /* per call: what judging needs and nobody keeps */
    /* per message */
    struct cm_arena arena;
    bool in_message;
    bool local;
    char auth[CM_LIMIT_PATTERN_BYTES + 1];
    bool auth_is_whole;
    char mail_from[CM_ADDRESS_MAX + 1]; /* canonical exact; empty: null sender or unparsable */
    struct cm_claim claim;
    size_t candidate_count;
    bool concerns_subjects; /* some candidate is marketing or a consent request */
    struct cm_recipient *open;
    size_t open_count;
    size_t open_room;
    struct cm_header *headers;
    size_t header_count;
    size_t header_room;
    size_t header_bytes; /* of those kept */
    bool is_over;        /* a ceiling was reached: the message is deferred at its end */
    bool knows_modes;    /* false: without memory for them nobody knows whether to observe */
    int64_t deadline_ms; /* of what is asked now */
    size_t passed;       /* recipients that went on at RCPT and are not open */
    size_t permitted;    /* of a stream with a ceiling */
    size_t forged;       /* X-Consent-Status headers that came with the message */
    struct cm_would_be would_be;
    /* told with the last message's end */
    char quarantine[CM_STATUS_BYTES];
    char status[CM_STATUS_BYTES];
};

/* What one candidate stream, or belonging to none, means for one recipient. */
struct cm_prospect {
    size_t stream; /* or CM_NO_STREAM */
    bool observed;
    bool known; /* false: only headers can tell */
    struct cm_decision decision;
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1]; /* empty: none */
};

/* True if nothing is refused on account of this prospect, whatever was decided. LAW-2: observe mode. */
bool cm_prospect_lets_pass(const struct cm_prospect *prospect);

/* The prospect of belonging to no stream. `headers_known`: at the end of the message. */
struct cm_prospect cm_prospect_of_none(const struct cm_session *session, bool headers_known);

/*
 * Outcomes of one stream for many recipients. headers_known false: a purpose from headers stays unknown. `out` has room
 * for `count`. Asks the store at most once.
 */
void cm_prospects_of_stream(struct cm_session *session, size_t index, bool headers_known,
                            struct cm_recipient *recipients, size_t count, struct cm_prospect *out);

/* Hashes recipients anew if the store has told of other peppers since the session's hasher was made. False if it has
 * not, or without memory: then nothing has changed. */
bool cm_session_rehash(struct cm_session *session, struct cm_recipient *recipients, size_t count);

/* Logs, counts and keeps one decision, and makes its reply. `recipient` may be NULL (a message without recipients of
 * its own, like undeclared bulk). The decision id is handed out. */
struct cm_booking {
    const struct cm_prospect *prospect;
    const struct cm_recipient *recipient;
    struct cm_span queue_id;
    const char *action; /* what is done about it but refusing; NULL: nothing */
};
void cm_book(struct cm_session *session, const struct cm_booking *booking, char out_id[CM_DECISION_ID_CHARS + 1]);

/* One warning a second and trouble, with the cause and what to do. */
void cm_warn_trouble(struct cm_filter *filter, enum cm_trouble trouble, const struct cm_err *err);

/* Raises the alarm if marketing may be what is sent to this canary. */
void cm_session_raise_alarm(const struct cm_session *session, unsigned canary, struct cm_span queue_id);

/* True if the client may be told whether a subject withdrew: it is logged in as the stream's own sender. */
bool cm_session_is_own_sender(const struct cm_session *session, size_t stream);

/* Room for one more item in a list that lives in the message's arena: doubles it when it is full. False at the ceiling.
 */
bool cm_make_room(struct cm_arena *arena, void **items, size_t item_size, size_t count, size_t *room, size_t max);

/* False if we do not know who sends: a fact of the session did not fit its room, or there was no MAIL. LAW-1 */
bool cm_session_can_judge(const struct cm_session *session);

/* Makes a permitted recipient beyond the stream's max_recipients a refused one. Call once for each. */
void cm_session_count_permitted(struct cm_session *session, struct cm_prospect *prospect);

/* Remembers for the status header what would have been refused or deferred. */
void cm_session_note(struct cm_session *session, const struct cm_prospect *prospect, const char *id, size_t recipients);

/* Takes the modes of now for the next message. False without memory: those of before stand. */
bool cm_session_look(struct cm_session *session);
/* NULL is harmless. */
void cm_view_unref(struct cm_view *view);
void cm_overrides_free(struct cm_overrides *overrides);

/* What the headers say against a whole message of this stream: a refusal. False if they say nothing. */
bool cm_prospect_of_fault(const struct cm_session *session, size_t stream, struct cm_prospect *out);
/* True if headers of this stream's mail may say it. */
bool cm_message_may_have_fault(const struct cm_session *session, size_t stream);
/* True for a service message with the marks of a campaign, unless nobody wants to know. */
bool cm_message_is_dishonest(const struct cm_session *session, size_t stream);

/* True if nothing that the message may still belong to is enforced. LAW-2 */
bool cm_session_only_observes(const struct cm_session *session);
/* As reset, but what lives in scratch stays. */
void cm_session_forget(struct cm_session *session);

/*
 * Concludes the open recipients (at least one), now that `prospects` are final: counts, books and logs them, and says
 * what becomes of the message. `is_whole`: the message as a whole is refused, whatever `mixed` says.
 */
struct cm_conclusion {
    struct cm_prospect *prospects;
    bool is_whole;
    unsigned abilities;
    struct cm_span queue_id;
};
void cm_conclude_open(struct cm_session *session, const struct cm_conclusion *conclusion,
                      struct cm_disposition *disposition);
/* Fills in what is done to the headers of a message that goes. */
void cm_dispose_headers(struct cm_session *session, struct cm_disposition *disposition);

/* A ceiling of ours was reached: counts it; then this recipient, or the message, is deferred. */
void cm_session_reach(struct cm_session *session, enum cm_ceiling ceiling);
struct cm_prospect cm_prospect_of_limit(const struct cm_session *session);
void cm_conclude_limit(struct cm_session *session, const struct cm_recipient *recipient, struct cm_span queue_id,
                       struct cm_reply *out);
/* The same where nothing is known to judge by. */
void cm_conclude_blind(struct cm_session *session, struct cm_span argument, struct cm_span queue_id,
                       struct cm_reply *out);

#endif
