/*
 * What the SMTP client sees (DESIGN 4): one line of printable ASCII, at most 400 bytes, with a code and an enhanced
 * code of the same class. Whatever comes from outside is cut and cleaned here, so no reply can be split or forged.
 * Pure.
 */
#ifndef CORE_REPLY_H
#define CORE_REPLY_H

#include "core/decision.h"

#define CM_REPLY_TEXT_MAX 400
#define CM_REPLY_NAMED_RECIPIENTS 3

struct cm_reply {
    const char *code;                 /* "550"; NULL: accepted, no reply to set */
    const char *xcode;                /* "5.7.1" */
    char text[CM_REPLY_TEXT_MAX + 1]; /* '%' is not doubled here: that is the protocol's business */
};

struct cm_reply_facts {
    const struct cm_decision *decision;
    /* At RCPT the one recipient; at end of message the first refused ones. As the client gave them. */
    struct cm_span recipients[CM_REPLY_NAMED_RECIPIENTS];
    size_t recipient_count; /* how many stand in `recipients` */
    size_t more;            /* how many further ones were refused */
    const char *purpose;    /* "sender/purpose"; NULL or "" if unknown */
    const char *decision_id;
    const char *url; /* contact; NULL: none */
    bool tell_state; /* the client is the stream's own authenticated sender: say whether it was withdrawn */
};

/* For ACCEPT out->code is NULL; anything undecided is deferred. LAW-1 */
void cm_reply_make(const struct cm_reply_facts *facts, struct cm_reply *out);

/* Doubles each '%' as Sendmail and Postfix want it. `size` must hold twice the text and a NUL. */
void cm_reply_escape(const char *text, char *out, size_t size);

#endif
