/*
 * The writing half of mta.c: packets, the stages of the protocol, their macros.  Private to mta.c and mta_send.c.
 */
#ifndef CM_BENCH_MTA_SEND_H
#define CM_BENCH_MTA_SEND_H

#include "mta.h"

enum cm_mta_step {
    CM_MTA_STEP_CONNECT,
    CM_MTA_STEP_HELO,
    CM_MTA_STEP_MAIL,
    CM_MTA_STEP_RCPT,
    CM_MTA_STEP_DATA,
    CM_MTA_STEP_HEADER,
    CM_MTA_STEP_EOH,
    CM_MTA_STEP_BODY,
    CM_MTA_STEP_EOM,
    CM_MTA_STEP_NEXT
};

/* The command that a step sends. */
char cm_mta_command(enum cm_mta_step step);

/* Appends the stage of the session's present step with its macros; true when its reply has to be waited for. */
bool cm_mta_put_stage(struct cm_mta_session *session);

/* Appends a command without arguments or macros. */
void cm_mta_put_bare(struct cm_mta_session *session, char command);

/* Appends the offer that opens the negotiation. */
void cm_mta_put_offer(struct cm_mta_session *session);

/* Takes over the filter's answer to it; false if Postfix, or this generator, could not work with it. */
bool cm_mta_take_negotiation(struct cm_mta_session *session, const unsigned char *data, size_t length);

/* Sets the macro lists that Postfix has when the filter asks for none. */
void cm_mta_set_default_lists(struct cm_mta_session *session);

/* Writes out all that was appended.  False: the filter is gone; nothing was counted. */
bool cm_mta_flush(struct cm_mta_session *session);

#endif
