/* Sendmail: the filters of sendmail.cf and of each listener, and the way of local mail (submit.cf). */
#include <stdio.h>
#include <string.h>

#include "mta_common.h"

struct look {
    const struct cm_mta_sendmail *sendmail;
    struct cm_mta_findings *findings;
    struct cm_mta_endpoint ours;
    struct cm_span name; /* of our filter in the file; empty: none has our socket */
};

/* Takes the next line with those that continue it, which begin with a blank. */
static bool next_entry(struct cm_span *rest, struct cm_span *out)
{
    size_t end = 0;
    if (rest->len == 0) {
        return false;
    }
    do {
        const char *at = memchr(rest->p + end, '\n', rest->len - end);
        end = at != NULL ? (size_t)(at - rest->p) + 1 : rest->len;
    } while (end < rest->len && (rest->p[end] == ' ' || rest->p[end] == '\t'));
    *out = cm_span_trim((struct cm_span){rest->p, end});
    *rest = (struct cm_span){rest->p + end, rest->len - end};
    return true;
}

/* Takes the next "O NAME=VALUE" of that name. */
static bool next_option(struct cm_span *rest, const char *name, struct cm_span *out_value)
{
    struct cm_span entry;
    while (next_entry(rest, &entry)) {
        struct cm_span key;
        struct cm_span value;
        if (cm_span_starts_with(entry, "O ") && cm_mta_split(entry, &key, &value) &&
            cm_span_equal_nocase(cm_span_trim((struct cm_span){key.p + 1, key.len - 1}), cm_span_of(name))) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

static struct cm_span last_option(struct cm_span text, const char *name)
{
    struct cm_span value = CM_SPAN("");
    while (next_option(&text, name, &value)) {
    }
    return value;
}

/* One equate of a filter, "F=T"; empty if it is not there. */
static struct cm_span equate(struct cm_span equates, char letter)
{
    struct cm_span item;
    while (cm_span_next(&equates, ',', &item)) {
        struct cm_span key;
        struct cm_span value;
        if (cm_mta_split(item, &key, &value) && key.len > 0 && cm_ascii_lower(key.p[0]) == cm_ascii_lower(letter)) {
            return value;
        }
    }
    return CM_SPAN("");
}

/* The line of sendmail.mc; m4 makes the X line and the list of it. */
static void write_ours(const struct look *look, struct cm_mta_finding *finding)
{
    char socket[300];
    if (look->ours.is_unix) {
        (void)snprintf(socket, sizeof(socket), "local:%.*s", SPAN_ARGS(look->ours.path));
    } else {
        (void)snprintf(socket, sizeof(socket), "inet:%.*s@%.*s", SPAN_ARGS(look->ours.port),
                       SPAN_ARGS(look->ours.host));
    }
    (void)snprintf(finding->line, sizeof(finding->line),
                   "INPUT_MAIL_FILTER(`consent-milter', `S=%s, F=T, T=C:10s;S:15s;R:15s;E:2m')dnl", socket);
}

static void judge_failure(const struct look *look, const char *where, struct cm_span equates)
{
    struct cm_span failure = equate(equates, 'F');
    char letter = failure.len > 0 ? cm_ascii_lower(failure.p[0]) : '\0';
    if (letter == 't' || letter == '4') {
        return;
    }
    write_ours(look, cm_mta_add(look->findings, "default-action", letter == 'r' ? CM_HEALTH_WARN : CM_HEALTH_BAD, where,
                                letter == 'r' ? "Mail that comes while the filter restarts is refused for ever."
                                              : "While the filter is down or slow, all mail passes unasked.",
                                letter == 'r' ? "the filter has F=R" : "the filter has neither F=T nor F=R"));
}

/* Measured: the timeout R holds for the wait at the end of a message as well, and E does not. */
static void judge_times(const struct look *look, const char *where, struct cm_span equates)
{
    struct cm_span times = equate(equates, 'T');
    struct cm_span item;
    while (cm_mta_next(&times, ";", &item)) {
        struct cm_span rest = item;
        struct cm_span key;
        uint64_t seconds = 0;
        (void)cm_span_next(&rest, ':', &key); /* without ':' no time follows */
        char letter = key.len == 1 ? cm_ascii_lower(key.p[0]) : '\0';
        uint64_t least = letter == 'r' ? CM_MTA_CONTENT_S : letter == 's' ? CM_MTA_COMMAND_S : 0;
        if (cm_mta_seconds(rest, &seconds) && seconds < least) {
            write_ours(look, cm_mta_add(look->findings, "content-timeout", CM_HEALTH_BAD, where,
                                        "The filter may take 5 s at the end of a message, and the time of R counts "
                                        "there; give up later than that.",
                                        "Sendmail gives up after %.*s", SPAN_ARGS(item)));
        }
    }
}

/* Finds the X line of our socket. */
static void judge_filter(struct look *look)
{
    struct cm_span rest = look->sendmail->daemon;
    struct cm_span entry;
    char where[160];
    while (next_entry(&rest, &entry)) {
        struct cm_mta_endpoint theirs;
        struct cm_span name;
        struct cm_span equates = entry;
        if (entry.len < 2 || entry.p[0] != 'X' || !cm_span_next(&equates, ',', &name) ||
            !cm_mta_endpoint_parse(equate(equates, 'S'), &theirs) || !cm_mta_endpoint_is(&theirs, &look->ours)) {
            continue;
        }
        look->name = cm_span_trim((struct cm_span){name.p + 1, name.len - 1});
        (void)snprintf(where, sizeof(where), "sendmail.cf: X%.*s", SPAN_ARGS(look->name)); /* only to be shown */
        judge_failure(look, where, equates);
        judge_times(look, where, equates);
        return;
    }
    write_ours(look, cm_mta_add(look->findings, "smtpd_milters", CM_HEALTH_BAD, "sendmail.cf: X",
                                "Add the line to sendmail.mc, before MAILER.", "no filter has our socket %s",
                                look->sendmail->socket));
}

static void judge_list(const struct look *look, const char *where, struct cm_span list, const char *separators)
{
    struct cm_span item;
    struct cm_span signer = CM_SPAN("");
    bool has_us = false;
    while (cm_mta_next(&list, separators, &item)) {
        if (cm_span_equal(item, look->name)) {
            has_us = true;
            if (signer.len > 0) {
                cm_mta_tell_order(where, signer, look->findings);
            }
        } else if (cm_mta_is_signer(item)) {
            signer = item;
        }
        if (cm_mta_contains(item, "opendkim")) {
            cm_mta_judge_opendkim(look->sendmail->opendkim, look->findings);
        }
    }
    if (!has_us) {
        struct cm_mta_finding *finding = cm_mta_add(
            look->findings, "smtpd_milters", CM_HEALTH_BAD, where,
            "Name it first; INPUT_MAIL_FILTER in sendmail.mc does so, MAIL_FILTER alone does not.",
            "the filter %.*s is not in the list", SPAN_ARGS(look->name));
        (void)snprintf(finding->line, sizeof(finding->line), "InputMailFilters=%.*s", SPAN_ARGS(look->name));
    }
}

/* A listener with filters of its own (I=) asks no other. */
static void judge_listeners(const struct look *look)
{
    struct cm_span rest = look->sendmail->daemon;
    struct cm_span options;
    while (next_option(&rest, "DaemonPortOptions", &options)) {
        char where[160];
        struct cm_span filters = equate(options, 'I');
        if (filters.len > 0) {
            struct cm_span name = equate(options, 'N');
            (void)snprintf(where, sizeof(where), "sendmail.cf: O DaemonPortOptions %.*s", SPAN_ARGS(name));
            judge_list(look, where, filters, ";");
        }
    }
}

/* The sendmail command: by submit.cf over SMTP to the daemon, or else past all filters (measured). */
static void judge_submit(const struct look *look)
{
    static const char where[] = "submit.cf";
    struct cm_span rest = look->sendmail->submit;
    struct cm_span entry;
    if (rest.p == NULL) {
        (void)cm_mta_add(look->findings, "non_smtpd_milters", CM_HEALTH_BAD, where,
                         "Install submit.cf (FEATURE(`msp') in submit.mc), so that the command hands its mail to the "
                         "daemon.",
                         "there is none: mail of the sendmail command is asked about by no filter");
        return;
    }
    if (cm_mta_is_too_long(rest, where, look->findings)) {
        return;
    }
    while (next_entry(&rest, &entry)) {
        if (cm_span_starts_with(entry, "D{MTAHost}")) {
            if (!cm_mta_contains(entry, "127.0.0.1") && !cm_mta_contains(entry, "localhost") &&
                !cm_mta_contains(entry, "::1")) {
                (void)cm_mta_add(look->findings, "non_smtpd_milters", CM_HEALTH_WARN, "submit.cf: D{MTAHost}",
                                 "Right only if that host asks consent-milter as well.",
                                 "mail of the sendmail command goes to another host");
            }
            return;
        }
    }
    struct cm_mta_finding *finding = cm_mta_add(
        look->findings, "non_smtpd_milters", CM_HEALTH_BAD, where,
        "The line is for submit.mc: the command then hands its mail to the daemon.",
        "it names no MTAHost: mail of the sendmail command is asked about by no filter");
    (void)cm_copy(finding->line, sizeof(finding->line), CM_SPAN("FEATURE(`msp', `[127.0.0.1]')dnl")); /* fits */
}

static void judge_rest(const struct look *look)
{
    struct cm_span text = look->sendmail->daemon;
    struct cm_span mode = last_option(text, "DeliveryMode");
    struct cm_span aliases = last_option(text, "AliasFile");
    if (mode.len > 0 && cm_ascii_lower(mode.p[0]) == 'i') {
        struct cm_mta_finding *finding = cm_mta_add(
            look->findings, "delivery-mode", CM_HEALTH_WARN, "sendmail.cf: O DeliveryMode",
            "A client that gives up meanwhile sends again what was accepted.", "clients wait until mail is delivered");
        (void)cm_copy(finding->line, sizeof(finding->line), CM_SPAN("define(`confDELIVERY_MODE', `background')dnl"));
    }
    if (aliases.len > 0) {
        (void)cm_mta_add(look->findings, "added-recipients", CM_HEALTH_WARN, "sendmail.cf: O AliasFile",
                         "Send no marketing to local names that are distribution lists.",
                         "aliases of local names add recipients after consent-milter was asked: %.*s",
                         SPAN_ARGS(aliases));
    }
}

void cm_mta_judge_sendmail(const struct cm_mta_sendmail *sendmail, struct cm_mta_findings *findings)
{
    struct look look = {.sendmail = sendmail, .findings = findings, .name = CM_SPAN("")};
    struct cm_span rest = sendmail->daemon;
    struct cm_span entry = CM_SPAN("");
    if (cm_mta_is_too_long(sendmail->daemon, "sendmail.cf", findings)) {
        return;
    }
    while (!cm_span_starts_with(entry, "O ") && next_entry(&rest, &entry)) {
    }
    if (!cm_span_starts_with(entry, "O ") || !cm_mta_endpoint_parse(cm_span_of(sendmail->socket), &look.ours)) {
        (void)cm_mta_add(findings, "sendmail.cf", CM_HEALTH_UNKNOWN, "sendmail.cf", "Name the right file.",
                         "this is not a sendmail.cf, or our own socket cannot be read");
        return;
    }
    judge_filter(&look);
    if (look.name.len > 0) {
        judge_list(&look, "sendmail.cf: O InputMailFilters", last_option(sendmail->daemon, "InputMailFilters"), ",");
        judge_listeners(&look);
    }
    judge_submit(&look);
    judge_rest(&look);
}
