/* Which macros the mail server really sent, by the counters of the running daemon. */
#include <jansson.h>
#include <stdio.h>

#include "service/mta_doctor.h"

#define WHERE "consent-milter (running)"

static bool wants_auth(const struct cm_session_conditions *conditions)
{
    return conditions->auth.count > 0;
}

static bool wants_daemon(const struct cm_session_conditions *conditions)
{
    return conditions->daemon.count > 0;
}

/* What the daemon asks for and cannot do without. `wanted` NULL: always. */
static const struct row {
    const char *stage;
    const char *macro;
    const char *of; /* the counter that tells how often it could have come */
    bool (*wanted)(const struct cm_session_conditions *conditions);
    enum cm_health health;
    const char *advice;
} rows[] = {
    {"connect", "{daemon_name}", "sessions", wants_daemon, CM_HEALTH_BAD,
     "Streams with `daemon` never match. Set milter_macro_daemon_name (Postfix) or Name= of DaemonPortOptions "
     "(Sendmail), and let no proxy of milters stand between."},
    {"mail", "{auth_authen}", "messages", wants_auth, CM_HEALTH_WARN,
     "Streams with `auth` match only senders that log in: nobody did, or the mail server does not say."},
    {"mail", "{mail_addr}", "messages", NULL, CM_HEALTH_WARN,
     "The mail server does not heed what macros the filter asks for: let no proxy of milters stand between."},
    {"rcpt", "{rcpt_addr}", "rcpts", NULL, CM_HEALTH_WARN,
     "The mail server does not heed what macros the filter asks for: let no proxy of milters stand between."},
    {"eom", "i", "messages", NULL, CM_HEALTH_WARN, "Decisions are logged without the queue id of the mail server."},
};

static bool is_wanted(const struct row *row, const struct cm_stream_table *streams)
{
    if (row->wanted == NULL || row->wanted(&streams->outgoing)) {
        return true;
    }
    for (size_t i = 0; i < streams->count; i++) {
        if (row->wanted(&streams->streams[i].session)) {
            return true;
        }
    }
    return false;
}

static json_int_t count_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name)); /* 0 if it is not there or not a number */
}

static void judge_macros(const json_t *macros, const struct cm_stream_table *streams, struct cm_mta_findings *findings)
{
    if (count_of(macros, "sessions") == 0) {
        (void)cm_mta_add(findings, "daemon", CM_HEALTH_WARN, WHERE, "Let some mail pass, then ask again.",
                         "the mail server has not connected yet, so that its macros are not known");
        return;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_int_t possible = count_of(macros, rows[i].of);
        json_int_t seen = count_of(json_object_get(macros, rows[i].stage), rows[i].macro);
        char where[160];
        if (possible > 0 && seen == 0 && is_wanted(&rows[i], streams)) {
            (void)snprintf(where, sizeof(where), "%s: %s at %s", WHERE, rows[i].macro, rows[i].stage); /* fits */
            (void)cm_mta_add(findings, "macro", rows[i].health, where, rows[i].advice,
                             "%s never came in %" JSON_INTEGER_FORMAT " %s", rows[i].macro, possible, rows[i].of);
        }
    }
}

void cm_mta_judge_status(struct cm_span answer, const struct cm_stream_table *streams, struct cm_mta_findings *findings)
{
    json_t *status = answer.len <= CM_MTA_TEXT_BYTES ? json_loadb(answer.p, answer.len, 0, NULL) : NULL;
    const json_t *macros = json_object_get(status, "macros");
    if (json_is_object(macros)) {
        judge_macros(macros, streams, findings);
    } else {
        (void)cm_mta_add(findings, "daemon", CM_HEALTH_UNKNOWN, WHERE, "Run the consentctl of the same version.",
                         "its answer cannot be read");
    }
    json_decref(status);
}
