/*
 * The doctor of the mail server: which mail goes around the filter, and the line that closes each way. Everything here
 * is judgement over texts that somebody else read: the output of postconf(1), a sendmail.cf, an opendkim.conf, the
 * answer of the running daemon. All of them are hostile; what is longer than its ceiling is "unknown" and not read.
 *
 * Limits: tables of types without a readable text (pcre, ldap, ...) are named and not looked into; neither are actions
 * of header_checks(5) and access(5) that redirect mail.
 *
 * Thread-safe: pure functions over their arguments, but for the reader that the caller gives.
 */
#ifndef SERVICE_MTA_DOCTOR_H
#define SERVICE_MTA_DOCTOR_H

#include "base/text.h"
#include "core/stream.h"
#include "service/doctor.h"

#define CM_MTA_TEXT_BYTES 1048576 /* of each text; a longer one is unknown */
#define CM_MTA_SERVICES_MAX 256   /* of master.cf; more are unknown */
#define CM_MTA_FINDINGS_MAX 128   /* if there are more, the last one says so */

#define CM_MTA_COMMAND_S 2 /* a mail server must wait this long for the answer to one recipient (we take up to 1 s) */
#define CM_MTA_CONTENT_S 6 /* and this long for the answer at the end of a message (we take up to 5 s) */

struct cm_mta_finding {
    const char *name; /* a fixed word for each check */
    enum cm_health health;
    char where[160]; /* "main.cf: smtpd_milters" */
    char found[320];
    const char *advice; /* why it matters or what to do; never NULL */
    char line[600];     /* the exact line to write at `where`; "" if there is none */
};

struct cm_mta_findings {
    struct cm_mta_finding rows[CM_MTA_FINDINGS_MAX];
    size_t count;
};

/* Adds one, with an empty line, and returns it. What has the same name and place is told once: the first is returned.
 */
struct cm_mta_finding *cm_mta_add(struct cm_mta_findings *findings, const char *name, enum cm_health health,
                                  const char *where, const char *advice, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* UNSET if nothing was found. */
enum cm_health cm_mta_worst(const struct cm_mta_findings *findings);

/* Reads a table that a configuration names. False if it cannot be read or is too long; the text lives as long as the
 * judgement. */
typedef bool cm_mta_read(void *context, struct cm_span path, struct cm_span *out_text);

struct cm_mta_postfix {
    const char *socket;       /* ours, as settings->milter.socket */
    struct cm_span main;      /* postconf -x: all parameters, expanded; one that is missing has Postfix' default */
    struct cm_span services;  /* postconf -M */
    struct cm_span overrides; /* postconf -Px: SERVICE/TYPE/PARAMETER = VALUE */
    struct cm_span opendkim;  /* opendkim.conf; p == NULL: not read */
    cm_mta_read *read;        /* NULL: no table is read */
    void *context;
};

void cm_mta_judge_postfix(const struct cm_mta_postfix *postfix, struct cm_mta_findings *findings);
/* The value of a parameter of `postconf` output; false if it is not there. */
bool cm_mta_parameter(struct cm_span main, const char *name, struct cm_span *out_value);

struct cm_mta_sendmail {
    const char *socket;
    struct cm_span daemon;   /* sendmail.cf */
    struct cm_span submit;   /* submit.cf beside it; p == NULL: there is none */
    struct cm_span opendkim; /* as above */
};

void cm_mta_judge_sendmail(const struct cm_mta_sendmail *sendmail, struct cm_mta_findings *findings);

/* Which macros the mail server really sent, by the daemon's answer to {"command":"status"}. */
void cm_mta_judge_status(struct cm_span answer, const struct cm_stream_table *streams,
                         struct cm_mta_findings *findings);

/* What the user of the mail server may do with our socket: the first part of its path that stops him. */
struct cm_mta_reach {
    const char *user;
    const char *path;  /* of the socket */
    const char *stops; /* a directory he may not search, or the socket he may not write; NULL: nothing does */
    bool is_missing;   /* `stops` is not there */
};

void cm_mta_judge_reach(const struct cm_mta_reach *reach, struct cm_mta_findings *findings);

#endif
