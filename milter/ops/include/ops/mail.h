/*
 * Mail that a daemon writes itself: a short text by SMTP to a mail server of this host. libcurl does the work. No TLS
 * and no login: it is for loopback and private networks.
 */
#ifndef OPS_MAIL_H
#define OPS_MAIL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/result.h"

struct cm_mail {
    const char *server; /* HOST:PORT */
    const char *from;   /* addresses without brackets, as validated by the settings */
    const char *to;
    const char *subject; /* ASCII, one line */
    const char *text;    /* ASCII, lines end in '\n' */
};

/* Hands the mail over: true once the server has taken it. False and err after at most half a minute, or soon after
 * *stop becomes true. For one thread at a time. */
bool cm_mail_send(const struct cm_mail *mail, const atomic_bool *stop, struct cm_err *err);

#endif
