#include "service/mta_doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mta_common.h"

struct cm_mta_finding *cm_mta_add(struct cm_mta_findings *findings, const char *name, enum cm_health health,
                                  const char *where, const char *advice, const char *format, ...)
{
    va_list args;
    for (size_t i = 0; i < findings->count; i++) {
        if (strcmp(findings->rows[i].name, name) == 0 && strcmp(findings->rows[i].where, where) == 0) {
            return &findings->rows[i];
        }
    }
    if (findings->count == CM_MTA_FINDINGS_MAX) {
        struct cm_mta_finding *last = &findings->rows[CM_MTA_FINDINGS_MAX - 1];
        enum cm_health worse = last->health > health ? last->health : health;
        *last = (struct cm_mta_finding){.name = "findings",
                                        .health = worse > CM_HEALTH_UNKNOWN ? worse : CM_HEALTH_UNKNOWN,
                                        .found = "there are more than are shown",
                                        .advice = "Put right what is shown, then ask again."};
        return last;
    }
    struct cm_mta_finding *finding = &findings->rows[findings->count++];
    *finding = (struct cm_mta_finding){.name = name, .health = health, .advice = advice};
    /* Only to be shown; cut where too long, as everything from outside is. */
    (void)cm_copy(finding->where, sizeof(finding->where), cm_span_of(where));
    va_start(args, format);
    (void)vsnprintf(finding->found, sizeof(finding->found), format, args); /* likewise */
    va_end(args);
    return finding;
}

enum cm_health cm_mta_worst(const struct cm_mta_findings *findings)
{
    enum cm_health worst = CM_HEALTH_UNSET;
    for (size_t i = 0; i < findings->count; i++) {
        worst = findings->rows[i].health > worst ? findings->rows[i].health : worst;
    }
    return worst;
}

void cm_mta_judge_reach(const struct cm_mta_reach *reach, struct cm_mta_findings *findings)
{
    if (reach->stops == NULL) {
        return;
    }
    if (reach->is_missing) {
        (void)cm_mta_add(findings, "socket-missing", CM_HEALTH_WARN, reach->path,
                         "Start consent-milter; until then mail waits.", "%s is not there", reach->stops);
        return;
    }
    struct cm_mta_finding *finding = cm_mta_add(
        findings, "socket-permission", CM_HEALTH_BAD, reach->path,
        "Set `mode` and `group` of the socket in consent-milter.conf, or put the user into the group of the directory.",
        "the user %s may not use %s", reach->user, reach->stops);
    (void)snprintf(finding->line, sizeof(finding->line), "milter: { mode = \"0660\"; group = \"%s\"; }",
                   reach->user); /* the mail server's user has a group of the same name on all the usual systems */
}

bool cm_mta_is_too_long(struct cm_span text, const char *where, struct cm_mta_findings *findings)
{
    if (text.len <= CM_MTA_TEXT_BYTES) {
        return false;
    }
    (void)cm_mta_add(findings, "too-long", CM_HEALTH_UNKNOWN, where, "Look at it yourself.",
                     "it has more than %d bytes and was not read", CM_MTA_TEXT_BYTES);
    return true;
}

/* Lines and lists. */

bool cm_mta_next_line(struct cm_span *rest, struct cm_span *out)
{
    return rest->len > 0 && cm_span_next(rest, '\n', out);
}

static bool separates(char c, const char *separators)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || (c != '\0' && strchr(separators, c) != NULL);
}

bool cm_mta_next(struct cm_span *rest, const char *separators, struct cm_span *out)
{
    size_t at = 0;
    size_t depth = 0;
    while (at < rest->len && separates(rest->p[at], separators)) {
        at++;
    }
    size_t begin = at;
    for (; at < rest->len && (depth > 0 || !separates(rest->p[at], separators)); at++) {
        if (rest->p[at] == '{') {
            depth++;
        } else if (rest->p[at] == '}' && depth > 0 && --depth == 0 && rest->p[begin] == '{') {
            at++;
            break;
        }
    }
    if (begin == at) {
        return false;
    }
    *out = (struct cm_span){rest->p + begin, at - begin};
    *rest = (struct cm_span){rest->p + at, rest->len - at};
    if (out->len >= 2 && out->p[0] == '{' && out->p[out->len - 1] == '}') {
        *out = cm_span_trim((struct cm_span){out->p + 1, out->len - 2});
    }
    return true;
}

bool cm_mta_split(struct cm_span text, struct cm_span *out_name, struct cm_span *out_value)
{
    struct cm_span rest = text;
    struct cm_span name;
    if (!cm_span_next(&rest, '=', &name) || rest.p == NULL) {
        return false;
    }
    *out_name = cm_span_trim(name);
    *out_value = cm_span_trim(rest);
    return true;
}

bool cm_mta_seconds(struct cm_span text, uint64_t *out)
{
    static const struct {
        char unit;
        unsigned seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    unsigned scale = 1;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (text.p[text.len - 1] == units[i].unit) {
            scale = units[i].seconds;
            text.len--;
            break;
        }
    }
    uint64_t number = 0;
    if (!cm_parse_u64(text, UINT32_MAX, &number)) {
        return false;
    }
    *out = number * scale;
    return true;
}

bool cm_mta_contains(struct cm_span text, const char *word)
{
    struct cm_span wanted = cm_span_of(word);
    for (size_t i = 0; i + wanted.len <= text.len; i++) {
        if (cm_span_equal_nocase((struct cm_span){text.p + i, wanted.len}, wanted)) {
            return true;
        }
    }
    return false;
}

/* Sockets. */

static struct cm_span without_brackets(struct cm_span host)
{
    if (host.len >= 2 && host.p[0] == '[' && host.p[host.len - 1] == ']') {
        return (struct cm_span){host.p + 1, host.len - 2};
    }
    return host;
}

bool cm_mta_endpoint_parse(struct cm_span text, struct cm_mta_endpoint *out)
{
    struct cm_span rest = cm_span_trim(text);
    struct cm_span kind;
    if (!cm_span_next(&rest, ':', &kind) || rest.p == NULL || rest.len == 0) {
        return false;
    }
    if (cm_span_equal(kind, CM_SPAN("unix")) || cm_span_equal(kind, CM_SPAN("local"))) {
        *out = (struct cm_mta_endpoint){.is_unix = true, .path = rest};
        return true;
    }
    if (!cm_span_equal(kind, CM_SPAN("inet")) && !cm_span_equal(kind, CM_SPAN("inet6"))) {
        return false;
    }
    *out = (struct cm_mta_endpoint){.port = rest};
    for (size_t i = rest.len; i-- > 0;) {
        if (rest.p[i] == '@') { /* libmilter: PORT@HOST */
            out->port = (struct cm_span){rest.p, i};
            out->host = without_brackets((struct cm_span){rest.p + i + 1, rest.len - i - 1});
            return true;
        }
    }
    for (size_t i = rest.len; i-- > 0;) {
        if (rest.p[i] == ':') { /* Postfix: HOST:PORT */
            out->host = without_brackets((struct cm_span){rest.p, i});
            out->port = (struct cm_span){rest.p + i + 1, rest.len - i - 1};
            break;
        }
    }
    return true;
}

static bool is_one_of(struct cm_span text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (cm_span_equal_nocase(text, cm_span_of(words[i]))) {
            return true;
        }
    }
    return false;
}

bool cm_mta_endpoint_is(const struct cm_mta_endpoint *theirs, const struct cm_mta_endpoint *ours)
{
    static const char *const any[] = {"", "*", "0.0.0.0", "::"};
    static const char *const loopback[] = {"localhost", "127.0.0.1", "::1", ""};
    if (theirs->is_unix != ours->is_unix) {
        return false;
    }
    if (theirs->is_unix) {
        return cm_span_equal(theirs->path, ours->path);
    }
    return cm_span_equal(theirs->port, ours->port) &&
           (cm_span_equal_nocase(theirs->host, ours->host) || is_one_of(ours->host, any, 4) ||
            (is_one_of(theirs->host, loopback, 4) && is_one_of(ours->host, loopback, 4)));
}

/* Signers. */

bool cm_mta_is_signer(struct cm_span text)
{
    static const char *const marks[] = {"dkim", "rspamd", ":11332", "11332@", ":8891", "8891@"};
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (cm_mta_contains(text, marks[i])) {
            return true;
        }
    }
    return false;
}

void cm_mta_tell_order(const char *where, struct cm_span signer, struct cm_mta_findings *findings)
{
    (void)cm_mta_add(findings, "signer-order", CM_HEALTH_WARN, where,
                     "Name consent-milter first: what it adds and takes out is otherwise outside the DKIM signature.",
                     "%.*s signs before consent-milter sees the message", SPAN_ARGS(signer));
}

void cm_mta_judge_opendkim(struct cm_span text, struct cm_mta_findings *findings)
{
    static const char where[] = "opendkim.conf: SignHeaders";
    struct cm_span line;
    if (text.p == NULL) {
        (void)cm_mta_add(findings, "opendkim", CM_HEALTH_UNKNOWN, where,
                         "Look whether SignHeaders names List-Unsubscribe-Post.", "opendkim.conf cannot be read");
        return;
    }
    if (cm_mta_is_too_long(text, where, findings)) {
        return;
    }
    while (cm_mta_next_line(&text, &line)) {
        struct cm_span key;
        line = cm_span_trim(line);
        if (cm_mta_next(&line, "", &key) && cm_span_equal_nocase(key, CM_SPAN("SignHeaders")) &&
            cm_mta_contains(line, "List-Unsubscribe-Post")) {
            return;
        }
    }
    struct cm_mta_finding *finding = cm_mta_add(
        findings, "opendkim", CM_HEALTH_WARN, where,
        "RFC 8058 wants both headers signed; without that, mailbox providers show no unsubscribe button.",
        "opendkim does not sign List-Unsubscribe-Post");
    (void)cm_copy(finding->line, sizeof(finding->line),
                  CM_SPAN("SignHeaders *,+List-Unsubscribe,+List-Unsubscribe-Post")); /* fits */
}
