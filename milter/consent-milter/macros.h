/* The macros of the MTA that we read, and how often each came: what doctor and status tell. Thread-safe. */
#ifndef CONSENT_MILTER_MACROS_H
#define CONSENT_MILTER_MACROS_H

#include <libmilter/mfapi.h>

#include "base/text.h"

enum cm_macro {
    CM_MACRO_J,
    CM_MACRO_DAEMON,
    CM_MACRO_ID_AT_MAIL,
    CM_MACRO_AUTH,
    CM_MACRO_MAILER,
    CM_MACRO_MAIL_ADDR,
    CM_MACRO_ID_AT_RCPT,
    CM_MACRO_RCPT,
    CM_MACRO_ID_AT_END,
    CM_MACRO_COUNT
};

/* Its value at the present stage, borrowed for the callback; p == NULL: it did not come. */
struct cm_span cm_macro_read(SMFICTX *ctx, enum cm_macro macro);

struct cm_macro_count {
    const char *stage; /* "connect", "mail", "rcpt", "eom" */
    const char *name;
    uint64_t seen;
};
struct cm_macro_count cm_macro_count(enum cm_macro macro);

#endif
