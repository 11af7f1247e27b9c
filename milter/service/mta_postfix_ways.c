/* Postfix: the ways past the lists of filters: switches, tables that exempt clients, tables that add recipients after
 * us, and content filters. */
#include <stdio.h>
#include <string.h>

#include "mta_postfix.h"

/* receive_override_options. */

static bool has_override_option(const struct cm_mta_look *look, const struct cm_mta_service *service, const char *word,
                                struct cm_mta_value *out_at)
{
    struct cm_span item;
    cm_mta_value_of(look, service, "receive_override_options", out_at);
    struct cm_span rest = out_at->text;
    while (cm_mta_next(&rest, ",", &item)) {
        if (cm_span_equal_nocase(item, cm_span_of(word))) {
            return true;
        }
    }
    return false;
}

static bool takes_mail(const struct cm_mta_service *service)
{
    return cm_mta_service_runs(service, "smtpd") || cm_mta_service_runs(service, "pickup") ||
           cm_mta_service_runs(service, "qmqpd");
}

static void judge_no_milters(struct cm_mta_look *look, const struct cm_mta_service *service)
{
    struct cm_mta_value at;
    if (!has_override_option(look, service, "no_milters", &at)) {
        return;
    }
    bool comes_back = cm_mta_is_reinjection(look, service);
    struct cm_mta_finding *finding = cm_mta_add(
        look->findings, "no-milters", comes_back ? CM_HEALTH_WARN : CM_HEALTH_BAD, at.where,
        comes_back ? "Right if only the content filter can connect there, and it comes after consent-milter."
                   : "Take the word out.",
        "no_milters: no filter is asked about mail that comes by %.*s/%.*s", SPAN_ARGS(service->name),
        SPAN_ARGS(service->type));
    if (!comes_back) {
        cm_mta_write_line(finding, &at, "receive_override_options =%s",
                          cm_mta_contains(at.text, "no_address_mappings") ? " no_address_mappings" : "");
    }
}

/* smtpd_milter_maps. */

/* One right-hand side: DISABLE, or a list that replaces smtpd_milters. */
static void judge_exemption(struct cm_mta_look *look, const struct cm_mta_service *service, const char *where,
                            struct cm_span key, struct cm_span value)
{
    if (cm_span_equal_nocase(value, CM_SPAN("DISABLE"))) {
        (void)cm_mta_add(look->findings, "milter-maps", CM_HEALTH_BAD, where,
                         "Take the entry out: consent is asked about mail of each client.",
                         "clients %.*s go around all filters (DISABLE)", SPAN_ARGS(key));
    } else if (value.len > 0 && !cm_mta_names_us(look, service, value)) {
        (void)cm_mta_add(look->findings, "milter-maps", CM_HEALTH_BAD, where,
                         "Name consent-milter in the entry as well: it takes the place of smtpd_milters.",
                         "clients %.*s have filters of their own, without consent-milter", SPAN_ARGS(key));
    }
}

static void judge_inline(struct cm_mta_look *look, const struct cm_mta_service *service, const char *where,
                         struct cm_span entries)
{
    struct cm_span entry;
    while (cm_mta_next(&entries, ",", &entry)) {
        struct cm_span key;
        struct cm_span value;
        if (cm_mta_split(entry, &key, &value)) {
            judge_exemption(look, service, where, key, value);
        }
    }
}

static void judge_table(struct cm_mta_look *look, const struct cm_mta_service *service, struct cm_span path,
                        struct cm_span text)
{
    char where[160];
    struct cm_span line;
    for (size_t number = 1; cm_mta_next_line(&text, &line); number++) {
        struct cm_span key;
        line = cm_span_trim(line);
        if (line.len > 0 && line.p[0] != '#' && cm_mta_next(&line, "", &key)) {
            (void)snprintf(where, sizeof(where), "%.*s:%zu", SPAN_ARGS(path), number); /* only to be shown */
            judge_exemption(look, service, where, key, cm_span_trim(line));
        }
    }
}

static bool is_plain_table(struct cm_span type)
{
    static const char *const plain[] = {"cidr", "texthash", "hash", "btree", "lmdb", "cdb", "dbm"};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (cm_span_equal(type, cm_span_of(plain[i]))) {
            return true;
        }
    }
    return false;
}

static void judge_milter_map(struct cm_mta_look *look, const struct cm_mta_service *service, const char *where,
                             struct cm_span table)
{
    struct cm_span text;
    struct cm_span type;
    struct cm_span rest = table;
    (void)cm_span_next(&rest, ':', &type); /* without ':' all is the type, which is none of those below */
    if (cm_span_equal(type, CM_SPAN("inline")) && rest.len >= 2 && rest.p[0] == '{') {
        judge_inline(look, service, where, (struct cm_span){rest.p + 1, rest.len - 2});
    } else if (cm_span_equal(type, CM_SPAN("static"))) {
        judge_exemption(look, service, where, CM_SPAN("(all)"), rest);
    } else if (is_plain_table(type) && look->postfix->read != NULL &&
               look->postfix->read(look->postfix->context, rest, &text) && text.len <= CM_MTA_TEXT_BYTES) {
        judge_table(look, service, rest, text);
    } else {
        (void)cm_mta_add(look->findings, "milter-maps", CM_HEALTH_UNKNOWN, where,
                         "Look at it yourself: each DISABLE exempts clients, and each list must name consent-milter.",
                         "the table %.*s cannot be read here", SPAN_ARGS(table));
    }
}

static void judge_milter_maps(struct cm_mta_look *look, const struct cm_mta_service *service)
{
    struct cm_mta_value at;
    struct cm_span table;
    cm_mta_value_of(look, service, "smtpd_milter_maps", &at);
    struct cm_span rest = at.text;
    while (cm_mta_next(&rest, ",", &table)) {
        judge_milter_map(look, service, at.where, table);
    }
}

/* Tables that add recipients or change them. */

static const struct adder {
    const char *name;
    const char *what;
} adders[] = {
    {"always_bcc", "adds a recipient"},
    {"recipient_bcc_maps", "adds recipients"},
    {"sender_bcc_maps", "adds recipients"},
    {"virtual_alias_maps", "puts other recipients in the place of the one that was asked about"},
    {"canonical_maps", "puts another recipient in the place of the one that was asked about"},
    {"recipient_canonical_maps", "puts another recipient in the place of the one that was asked about"},
};

/* The first service that takes mail and lets cleanup map addresses; NULL if none does. */
static const struct cm_mta_service *find_mapped(const struct cm_mta_look *look)
{
    struct cm_mta_value unused;
    for (size_t i = 0; i < look->service_count; i++) {
        if (takes_mail(&look->services[i]) &&
            !has_override_option(look, &look->services[i], "no_address_mappings", &unused)) {
            return &look->services[i];
        }
    }
    return NULL;
}

static void judge_adders(struct cm_mta_look *look, const struct cm_mta_service *cleanup)
{
    const struct cm_mta_service *mapped = find_mapped(look);
    for (size_t i = 0; mapped != NULL && i < sizeof(adders) / sizeof(adders[0]); i++) {
        struct cm_mta_value at;
        cm_mta_value_of(look, cleanup, adders[i].name, &at);
        if (at.text.len > 0) {
            struct cm_mta_finding *finding = cm_mta_add(
                look->findings, "added-recipients", CM_HEALTH_WARN, at.where,
                "Keep distribution lists out of it, or let marketing come in by a listener with the line below.",
                "%s after consent-milter was asked: %.*s", adders[i].what, SPAN_ARGS(at.text));
            (void)snprintf(finding->line, sizeof(finding->line),
                           "%.*s/%.*s: -o receive_override_options=no_address_mappings", SPAN_ARGS(mapped->name),
                           SPAN_ARGS(mapped->type)); /* only to be shown */
        }
    }
}

/* Aliases of local(8) work at delivery, so only mail for our own destinations meets them. */
static void judge_aliases(struct cm_mta_look *look)
{
    struct cm_mta_value at;
    struct cm_mta_value destinations;
    cm_mta_value_of(look, NULL, "alias_maps", &at);
    cm_mta_value_of(look, NULL, "mydestination", &destinations);
    if (at.text.len > 0 && destinations.text.len > 0) {
        (void)cm_mta_add(look->findings, "added-recipients", CM_HEALTH_WARN, at.where,
                         "Send no marketing to local names that are distribution lists.",
                         "aliases of local names add recipients at delivery: %.*s", SPAN_ARGS(at.text));
    }
}

/* Content filters. */

static void judge_content_filter(struct cm_mta_look *look, const struct cm_mta_service *service)
{
    struct cm_mta_value at;
    cm_mta_value_of(look, service, "content_filter", &at);
    if (at.text.len > 0) {
        look->has_content_filter = true;
        (void)cm_mta_add(look->findings, "content-filter", CM_HEALTH_WARN, at.where,
                         "consent-milter belongs to the first listener, which knows login and client, and not to the "
                         "one where mail comes back. Bind that one to loopback; the content filter may add no "
                         "recipients.",
                         "mail goes to %.*s after consent-milter was asked, and comes back", SPAN_ARGS(at.text));
    }
    cm_mta_value_of(look, service, "smtpd_proxy_filter", &at);
    if (at.text.len > 0) {
        struct cm_mta_finding *finding = cm_mta_add(
            look->findings, "proxy-filter", CM_HEALTH_BAD, at.where,
            "Use a content_filter instead; behind the proxy the filter would not know the login.",
            "before the proxy %.*s a filter sees neither headers nor the end of a message", SPAN_ARGS(at.text));
        cm_mta_write_line(finding, &at, "smtpd_proxy_filter =");
    }
}

static void judge_soft_bounce(struct cm_mta_look *look, const struct cm_mta_service *service)
{
    struct cm_mta_value at;
    cm_mta_value_of(look, service, "soft_bounce", &at);
    if (cm_span_equal_nocase(at.text, CM_SPAN("yes"))) {
        struct cm_mta_finding *finding = cm_mta_add(
            look->findings, "soft-bounce", CM_HEALTH_WARN, at.where,
            "Senders try refused recipients for days, and each time they are asked about again.",
            "all refusals become deferrals");
        cm_mta_write_line(finding, &at, "soft_bounce = no");
    }
}

void cm_mta_judge_ways(struct cm_mta_look *look)
{
    for (size_t i = 0; i < look->service_count; i++) { /* first, because others ask whether there is any */
        if (cm_mta_service_runs(&look->services[i], "smtpd")) {
            judge_content_filter(look, &look->services[i]);
        }
    }
    for (size_t i = 0; i < look->service_count; i++) {
        const struct cm_mta_service *service = &look->services[i];
        if (takes_mail(service)) {
            judge_no_milters(look, service);
        }
        if (cm_mta_service_runs(service, "smtpd")) {
            judge_milter_maps(look, service);
            judge_soft_bounce(look, service);
        }
        if (cm_mta_service_runs(service, "cleanup")) {
            judge_adders(look, service);
        }
    }
    judge_aliases(look);
}
