/* Postfix: is our filter in each list that it belongs into, reachable, and asked long enough. */
#include "mta_postfix.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_QUEUE "/var/spool/postfix"

bool cm_mta_parameter(struct cm_span main, const char *name, struct cm_span *out_value)
{
    struct cm_span line;
    bool found = false;
    while (cm_mta_next_line(&main, &line)) {
        struct cm_span key;
        struct cm_span value;
        if (cm_span_starts_with(line, name) && cm_mta_split(line, &key, &value) &&
            cm_span_equal(key, cm_span_of(name))) {
            *out_value = value; /* the last one counts */
            found = true;
        }
    }
    return found;
}

void cm_mta_value_of(const struct cm_mta_look *look, const struct cm_mta_service *service, const char *name,
                     struct cm_mta_value *out)
{
    char key[160];
    *out = (struct cm_mta_value){.text = CM_SPAN("")};
    if (service != NULL) {
        int len = snprintf(key, sizeof(key), "%.*s/%.*s/%s", SPAN_ARGS(service->name), SPAN_ARGS(service->type), name);
        if (len > 0 && (size_t)len < sizeof(key) && cm_mta_parameter(look->postfix->overrides, key, &out->text)) {
            out->is_override = true;
            (void)snprintf(out->where, sizeof(out->where), "master.cf: %.*s/%.*s: -o %s", SPAN_ARGS(service->name),
                           SPAN_ARGS(service->type), name); /* only to be shown */
            return;
        }
    }
    (void)cm_mta_parameter(look->postfix->main, name, &out->text); /* else empty */
    (void)snprintf(out->where, sizeof(out->where), "main.cf: %s", name);
}

bool cm_mta_service_runs(const struct cm_mta_service *service, const char *program)
{
    return cm_span_equal(service->command, cm_span_of(program));
}

bool cm_mta_is_reinjection(const struct cm_mta_look *look, const struct cm_mta_service *service)
{
    return look->has_content_filter &&
           (cm_span_starts_with(service->name, "127.") || cm_span_starts_with(service->name, "localhost:") ||
            cm_span_starts_with(service->name, "[::1]:") || cm_span_starts_with(service->name, "::1:"));
}

void cm_mta_write_line(struct cm_mta_finding *finding, const struct cm_mta_value *at, const char *format, ...)
{
    char text[sizeof(finding->line) - 16];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* cut where too long, as all that is shown */
    va_end(args);
    /* In master.cf a value with blanks stands in braces. */
    (void)snprintf(finding->line, sizeof(finding->line), at->is_override ? "  -o { %s }" : "%s", text);
}

/* SERVICE TYPE PRIVATE UNPRIVILEGED CHROOT WAKEUP MAXPROC COMMAND ... */
static bool read_service(struct cm_span line, bool chroot_by_default, struct cm_mta_service *out)
{
    struct cm_span fields[8];
    for (size_t i = 0; i < 8; i++) {
        if (!cm_mta_next(&line, "", &fields[i])) {
            return false;
        }
    }
    bool is_default = cm_span_equal(fields[4], CM_SPAN("-"));
    *out = (struct cm_mta_service){
        .name = fields[0],
        .type = fields[1],
        .command = fields[7],
        .is_chrooted = is_default ? chroot_by_default : cm_span_equal(fields[4], CM_SPAN("y")),
    };
    return true;
}

static void read_services(struct cm_mta_look *look)
{
    struct cm_span rest = look->postfix->services;
    struct cm_span line;
    struct cm_span level;
    bool chroot_by_default = !cm_mta_parameter(look->postfix->main, "compatibility_level", &level) || level.len == 0 ||
                             level.p[0] == '0';
    while (cm_mta_next_line(&rest, &line)) {
        if (look->service_count == CM_MTA_SERVICES_MAX) {
            (void)cm_mta_add(look->findings, "too-long", CM_HEALTH_UNKNOWN, "master.cf", "Look at the others yourself.",
                             "only the first %d services were looked at", CM_MTA_SERVICES_MAX);
            return;
        }
        if (read_service(line, chroot_by_default, &look->services[look->service_count])) {
            look->service_count++;
        }
    }
}

/* Sockets as Postfix sees them. */

enum seen { SEEN_OTHER, SEEN_OURS, SEEN_FROM_OUTSIDE };

/* A relative path begins at the queue directory; in a chroot so does an absolute one. */
static enum seen see(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span address)
{
    struct cm_mta_endpoint theirs;
    char path[4096];
    if (!cm_mta_endpoint_parse(address, &theirs)) {
        return SEEN_OTHER;
    }
    bool is_absolute = theirs.is_unix && theirs.path.p[0] == '/';
    struct cm_span written = theirs.path;
    if (theirs.is_unix && (!is_absolute || service->is_chrooted)) {
        struct cm_text text = cm_text_over(path, sizeof(path));
        cm_text_add(&text, look->queue);
        cm_text_add_str(&text, is_absolute ? "" : "/");
        cm_text_add(&text, theirs.path);
        theirs.path = cm_span_of(path);
    }
    if (cm_mta_endpoint_is(&theirs, &look->ours)) {
        return SEEN_OURS;
    }
    return look->ours.is_unix && is_absolute && cm_span_equal(written, look->ours.path) ? SEEN_FROM_OUTSIDE
                                                                                        : SEEN_OTHER;
}

bool cm_mta_names_us(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span list)
{
    struct cm_span filter;
    struct cm_span address;
    while (cm_mta_next(&list, ",", &filter)) {
        if (cm_mta_next(&filter, ",", &address) && see(look, service, address) == SEEN_OURS) {
            return true;
        }
    }
    return false;
}

/* Our filter as a list should name it. A socket outside the queue directory cannot be told relative to it. */
static void write_ours(const struct cm_mta_look *look, char *out, size_t size)
{
    struct cm_text text = cm_text_over(out, size);
    struct cm_span path = look->ours.path;
    cm_text_add_str(&text, "{ ");
    if (!look->ours.is_unix) {
        bool is_ipv6 = cm_mta_contains(look->ours.host, ":");
        bool is_any = look->ours.host.len == 0 || cm_span_equal(look->ours.host, CM_SPAN("0.0.0.0"));
        cm_text_add_format(&text, is_ipv6 ? "inet:[%.*s]:%.*s" : "inet:%.*s:%.*s",
                           SPAN_ARGS(is_any ? CM_SPAN("127.0.0.1") : look->ours.host), SPAN_ARGS(look->ours.port));
    } else {
        bool is_within = path.len > look->queue.len + 1 && memcmp(path.p, look->queue.p, look->queue.len) == 0 &&
                         path.p[look->queue.len] == '/';
        size_t cut = is_within ? look->queue.len + 1 : 0;
        cm_text_add_format(&text, "unix:%.*s", (int)(path.len - cut), path.p + cut);
    }
    cm_text_add_str(&text, ", connect_timeout=5s, command_timeout=15s, content_timeout=60s, default_action=tempfail }");
}

/* One list. */

/* A property of one filter: its own, as `{ ADDRESS, NAME=VALUE }`, or that of all, milter_NAME. */
static void property(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span own,
                     const char *name, const struct cm_mta_value *list, struct cm_mta_value *out)
{
    char global[64];
    struct cm_span item;
    while (cm_mta_next(&own, ",", &item)) {
        struct cm_span key;
        struct cm_span value;
        if (cm_mta_split(item, &key, &value) && cm_span_equal(key, cm_span_of(name))) {
            *out = *list;
            out->text = value;
            return;
        }
    }
    (void)snprintf(global, sizeof(global), "milter_%s", name); /* fits */
    cm_mta_value_of(look, service, global, out);
}

static bool is_own(const struct cm_mta_value *at, const struct cm_mta_value *list)
{
    return strcmp(at->where, list->where) == 0;
}

/* The line for a property: within the list, or a line of its own. */
static void write_property(struct cm_mta_finding *finding, const struct cm_mta_value *at,
                           const struct cm_mta_value *list, const char *name, const char *value)
{
    if (is_own(at, list)) {
        (void)snprintf(finding->line, sizeof(finding->line), "%s=%s", name, value); /* fits */
    } else {
        cm_mta_write_line(finding, at, "milter_%s = %s", name, value);
    }
}

static void judge_action(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span own,
                         const struct cm_mta_value *list)
{
    static const struct {
        const char *action;
        enum cm_health health;
        const char *advice;
    } actions[] = {
        {"accept", CM_HEALTH_BAD, "While the filter is down or slow, all mail passes unasked."},
        {"quarantine", CM_HEALTH_WARN, "Mail that is released from the hold queue passes unasked."},
        {"reject", CM_HEALTH_WARN, "Mail that comes while the filter restarts is refused for ever."},
    };
    struct cm_mta_value at;
    property(look, service, own, "default_action", list, &at);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (cm_span_equal_nocase(at.text, cm_span_of(actions[i].action))) {
            struct cm_mta_finding *finding = cm_mta_add(
                look->findings, "default-action", actions[i].health, at.where, actions[i].advice,
                "the action without an answer of the filter is `%s`", actions[i].action);
            write_property(finding, &at, list, "default_action", "tempfail");
        }
    }
}

static void judge_times(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span own,
                        const struct cm_mta_value *list)
{
    static const struct {
        const char *name;
        unsigned least_s;
        const char *value;
        const char *check;
    } times[] = {
        {"connect_timeout", 1, "5s", "connect-timeout"},
        {"command_timeout", CM_MTA_COMMAND_S, "15s", "command-timeout"},
        {"content_timeout", CM_MTA_CONTENT_S, "60s", "content-timeout"},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct cm_mta_value at;
        uint64_t seconds = 0;
        property(look, service, own, times[i].name, list, &at);
        if (cm_mta_seconds(at.text, &seconds) && seconds < times[i].least_s) {
            struct cm_mta_finding *finding = cm_mta_add(
                look->findings, times[i].check, CM_HEALTH_BAD, at.where,
                "The filter may take 1 s for a recipient and 5 s at the end of a message; give up later than that.",
                "Postfix gives up after %.*s", SPAN_ARGS(at.text));
            write_property(finding, &at, list, times[i].name, times[i].value);
        }
    }
}

static void judge_protocol(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span own,
                           const struct cm_mta_value *list)
{
    struct cm_mta_value at;
    uint64_t version = 0;
    property(look, service, own, "protocol", list, &at);
    if (cm_parse_u64(at.text, UINT32_MAX, &version) && version < 6) {
        struct cm_mta_finding *finding = cm_mta_add(
            look->findings, "protocol", CM_HEALTH_WARN, at.where,
            "Write the default: in older versions the mail server waits for answers that nobody needs.",
            "the milter protocol is version %.*s", SPAN_ARGS(at.text));
        write_property(finding, &at, list, "protocol", "6");
    }
}

static void judge_use(const struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span own,
                      const struct cm_mta_value *list)
{
    judge_action(look, service, own, list);
    judge_times(look, service, own, list);
    judge_protocol(look, service, own, list);
}

static void tell_unreachable(const struct cm_mta_look *look, const struct cm_mta_service *service,
                             const struct cm_mta_value *list)
{
    struct cm_mta_finding *finding = cm_mta_add(
        look->findings, "chroot", CM_HEALTH_BAD, list->where,
        "In a chroot the root is the queue directory. Put the socket below it: the line is for consent-milter.conf; "
        "then name it here as unix:consent-milter/consent-milter.sock.",
        "%.*s/%.*s runs in a chroot and cannot reach %.*s", SPAN_ARGS(service->name), SPAN_ARGS(service->type),
        SPAN_ARGS(look->ours.path));
    (void)snprintf(finding->line, sizeof(finding->line),
                   "milter: { socket = \"unix:%.*s/consent-milter/consent-milter.sock\"; group = \"postfix\"; }",
                   SPAN_ARGS(look->queue)); /* only to be shown */
}

static void tell_missing(const struct cm_mta_look *look, const struct cm_mta_service *service, const char *parameter,
                         const struct cm_mta_value *list)
{
    char ours[400];
    bool is_smtpd = strcmp(parameter, "smtpd_milters") == 0;
    bool comes_back = is_smtpd && cm_mta_is_reinjection(look, service);
    struct cm_mta_finding *finding = cm_mta_add(
        look->findings, parameter, comes_back ? CM_HEALTH_WARN : CM_HEALTH_BAD, list->where,
        comes_back ? "Right if only the content filter can connect there, and it comes after consent-milter."
        : is_smtpd ? "Name consent-milter there, before a filter that signs."
                   : "Mail of the sendmail command (cron, web applications) and of qmqpd goes around the filter.",
        "consent-milter is not asked about mail that comes by %.*s/%.*s", SPAN_ARGS(service->name),
        SPAN_ARGS(service->type));
    if (!comes_back) {
        bool is_disabled = cm_span_equal_nocase(list->text, CM_SPAN("DISABLE"));
        write_ours(look, ours, sizeof(ours));
        cm_mta_write_line(finding, list, list->text.len > 0 && !is_disabled ? "%s = %s, %.*s" : "%s = %s", parameter,
                          ours, SPAN_ARGS(list->text));
    }
}

static void judge_list(struct cm_mta_look *look, const struct cm_mta_service *service, const char *parameter)
{
    struct cm_mta_value list;
    struct cm_span signer = CM_SPAN("");
    enum seen best = SEEN_OTHER;
    cm_mta_value_of(look, service, parameter, &list);
    struct cm_span rest = list.text;
    struct cm_span filter;
    while (cm_mta_next(&rest, ",", &filter)) {
        struct cm_span own = filter;
        struct cm_span address;
        enum seen seen = cm_mta_next(&own, ",", &address) ? see(look, service, address) : SEEN_OTHER;
        if (seen == SEEN_OTHER && cm_mta_is_signer(filter)) {
            signer = filter;
        }
        if (seen == SEEN_OURS) {
            judge_use(look, service, own, &list);
            if (signer.len > 0) {
                cm_mta_tell_order(list.where, signer, look->findings);
            }
        }
        if (best == SEEN_OTHER || seen == SEEN_OURS) {
            best = seen;
        }
    }
    if (best == SEEN_FROM_OUTSIDE) {
        tell_unreachable(look, service, &list);
    } else if (best == SEEN_OTHER) {
        tell_missing(look, service, parameter, &list);
    }
    if (cm_mta_contains(list.text, "opendkim") || cm_mta_contains(list.text, ":8891")) {
        cm_mta_judge_opendkim(look->postfix->opendkim, look->findings);
    }
}

/* The filter behind a before-queue proxy stands where the mail comes back. */
static bool is_behind_proxy(const struct cm_mta_look *look, const struct cm_mta_service *service)
{
    struct cm_mta_value proxy;
    cm_mta_value_of(look, service, "smtpd_proxy_filter", &proxy);
    return proxy.text.len > 0;
}

static void judge_lists(struct cm_mta_look *look)
{
    size_t count = 0;
    for (size_t i = 0; i < look->service_count; i++) {
        const struct cm_mta_service *service = &look->services[i];
        if (cm_mta_service_runs(service, "smtpd")) {
            count++;
            if (!is_behind_proxy(look, service)) {
                judge_list(look, service, "smtpd_milters");
            }
        } else if (cm_mta_service_runs(service, "cleanup")) {
            judge_list(look, service, "non_smtpd_milters");
        }
    }
    if (count == 0) {
        (void)cm_mta_add(look->findings, "services", CM_HEALTH_UNKNOWN, "master.cf",
                         "Is this the configuration of the Postfix that takes the mail?", "no service runs smtpd");
    }
}

static bool is_too_long(const struct cm_mta_postfix *postfix, struct cm_mta_findings *findings)
{
    return cm_mta_is_too_long(postfix->main, "main.cf", findings) ||
           cm_mta_is_too_long(postfix->services, "master.cf", findings) ||
           cm_mta_is_too_long(postfix->overrides, "master.cf: -o", findings);
}

void cm_mta_judge_postfix(const struct cm_mta_postfix *postfix, struct cm_mta_findings *findings)
{
    if (is_too_long(postfix, findings)) {
        return;
    }
    struct cm_mta_look *look = calloc(1, sizeof(*look));
    if (look == NULL) {
        (void)cm_mta_add(findings, "memory", CM_HEALTH_UNKNOWN, "consentctl", "Ask again.", "out of memory");
        return;
    }
    look->postfix = postfix;
    look->findings = findings;
    look->queue = CM_SPAN(DEFAULT_QUEUE);
    (void)cm_mta_parameter(postfix->main, "queue_directory", &look->queue); /* else the default of Debian */
    if (cm_mta_endpoint_parse(cm_span_of(postfix->socket), &look->ours)) {
        read_services(look);
        cm_mta_judge_ways(look);
        judge_lists(look);
    } else {
        (void)cm_mta_add(findings, "socket", CM_HEALTH_UNKNOWN, "consent-milter.conf: milter.socket",
                         "Write unix:PATH or inet:PORT@HOST.", "our own socket cannot be read");
    }
    free(look);
}
