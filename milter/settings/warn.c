#include <string.h>

#include "internal.h"

struct warning {
    const struct cm_settings *settings;
    void (*say)(void *context, const char *text);
    void *context;
};

static void warn(const struct warning *w, const char *key, const char *problem)
{
    char text[CM_ERR_BYTES];
    struct cm_text t = cm_text_over(text, sizeof(text));
    cm_text_add_format(&t, "%s: %s: %s", w->settings->file, key, problem);
    w->say(w->context, text);
}

/* --- sockets and hosts --- */

static bool is_loopback(const char *host)
{
    struct cm_ip ip;
    struct cm_cidr loopback;
    if (!cm_ip_parse(cm_span_of(host), &ip)) {
        return strcmp(host, "localhost") == 0;
    }
    return (cm_cidr_parse(CM_SPAN("127.0.0.0/8"), &loopback) && cm_cidr_contains(&loopback, &ip)) ||
           strcmp(host, "::1") == 0;
}

static void warn_of_socket(const struct warning *w)
{
    static const char *const everywhere[] = {"@0.0.0.0", "@[::]"};
    struct cm_span socket = cm_span_of(w->settings->milter.socket);
    if (cm_span_starts_with(socket, "unix:")) {
        return;
    }
    for (size_t i = 0; i < sizeof(everywhere) / sizeof(everywhere[0]); i++) {
        size_t len = strlen(everywhere[i]);
        if (socket.len >= len && strcmp(socket.p + socket.len - len, everywhere[i]) == 0) {
            warn(w, "milter.socket",
                 "listens on every interface, and whoever connects can ask who consented; "
                 "name the one address that the MTA uses");
        }
    }
    if (w->settings->milter.group != NULL) {
        warn(w, "milter.group", "is not used: it is for a unix socket");
    }
}

static void warn_of_store(const struct warning *w)
{
    const struct cm_store_settings *store = &w->settings->store;
    if (store->scheme == CM_STORE_TCP && !is_loopback(store->host)) {
        warn(w, "store.url", "goes over the network without TLS; keep that network private");
    }
    if (store->password_file == NULL && store->scheme != CM_STORE_UNIX && store->tls.cert_file == NULL) {
        warn(w, "store.password_file", "is not set, so everybody who reaches the store can change consents");
    }
}

/* --- keepers --- */

/* LAW-12 */
static void warn_of_keepers(const struct warning *w)
{
    const struct cm_settings *settings = w->settings;
    const char *name = settings->keeper.name;
    bool is_listed = false;
    for (size_t i = 0; i < settings->keeper_count; i++) {
        is_listed = is_listed || (name != NULL && strcmp(settings->keepers[i], name) == 0);
    }
    if (settings->keeper_count == 0) {
        warn(w, "keepers",
             "names none, so a Redis that was restored or replaced is trusted without a keeper's word; name the keeper "
             "of every host that takes withdrawals");
    } else if (name != NULL && !is_listed) {
        warn(w, "keeper.name", "is not among keepers, so this keeper may say received, and never in effect; add it");
    }
}

/* --- streams --- */

static bool has_text(const struct cm_patterns *patterns, const char *text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (strcmp(patterns->items[i], text) == 0 || strcmp(patterns->items[i], "*") == 0) {
            return true;
        }
    }
    return false;
}

/* All that meets b meets a, as far as the texts of the lists tell. */
static bool patterns_cover(const struct cm_patterns *a, const struct cm_patterns *b)
{
    if (a->count == 0) {
        return true;
    }
    for (size_t i = 0; i < b->count; i++) {
        if (!has_text(a, b->items[i])) {
            return false;
        }
    }
    return b->count > 0;
}

static bool network_covers(const struct cm_cidr *a, const struct cm_cidr *b)
{
    struct cm_ip first = {.known = true};
    memcpy(first.bytes, b->bytes, sizeof(first.bytes));
    return a->prefix_bits <= b->prefix_bits && cm_cidr_contains(a, &first);
}

static bool networks_cover(const struct cm_networks *a, const struct cm_networks *b)
{
    if (a->count == 0) {
        return true;
    }
    for (size_t i = 0; i < b->count; i++) {
        bool covered = false;
        for (size_t j = 0; j < a->count && !covered; j++) {
            covered = network_covers(&a->items[j], &b->items[i]);
        }
        if (!covered) {
            return false;
        }
    }
    return b->count > 0;
}

static bool envelope_covers(const struct cm_stream *a, const struct cm_stream *b)
{
    return patterns_cover(&a->session.auth, &b->session.auth) &&
           patterns_cover(&a->session.daemon, &b->session.daemon) &&
           networks_cover(&a->session.client, &b->session.client) && (!a->session.local || b->session.local) &&
           patterns_cover(&a->mail_from, &b->mail_from);
}

static void warn_of_pair(const struct warning *w, const struct cm_stream *first, const struct cm_stream *second)
{
    char problem[CM_ERR_BYTES / 2];
    struct cm_text t = cm_text_over(problem, sizeof(problem));
    if (first->header_count == 0 && envelope_covers(first, second)) {
        cm_text_add_format(&t, "\"%s\" is never reached: all its mail belongs to \"%s\" before it; change their order",
                           second->name, first->name);
    } else if (first->class == CM_CLASS_MARKETING && first->header_count > 0 && second->class == CM_CLASS_SERVICE &&
               second->header_count == 0 && envelope_covers(second, first)) {
        cm_text_add_format(&t,
                           "\"%s\" takes the mail of \"%s\" when a header is left out, unasked; tell them apart by "
                           "mail_from or login",
                           second->name, first->name);
    } else {
        return;
    }
    warn(w, "streams", problem);
}

static void warn_of_streams(const struct warning *w)
{
    const struct cm_stream_table *table = &w->settings->streams;
    if (table->count == 0 && !table->refuse_unmatched_bulk) {
        warn(w, "streams", "there is none, so all mail passes untouched; describe your mail in streams");
    }
    for (size_t second = 1; second < table->count; second++) {
        for (size_t first = 0; first < second; first++) {
            warn_of_pair(w, &table->streams[first], &table->streams[second]);
        }
    }
}

static void warn_of_canaries(const struct warning *w)
{
    const struct cm_settings *settings = w->settings;
    if (settings->canaries_file != NULL && settings->canaries.count == 0) {
        warn(w, "canaries", "names a file without an address");
    } else if (settings->canaries.count > 0 && settings->mail.server == NULL) {
        warn(w, "canaries",
             "raise an alarm in the log only; write mail.server and mail.from so that the officer hears");
    }
}

void cm_settings_warn(const struct cm_settings *settings, void (*say)(void *context, const char *text), void *context)
{
    const struct warning w = {.settings = settings, .say = say, .context = context};
    warn_of_socket(&w);
    warn_of_store(&w);
    warn_of_keepers(&w);
    warn_of_streams(&w);
    warn_of_canaries(&w);
    if (settings->officer == NULL) {
        warn(&w, "contact.officer", "is not set; subjects must be able to reach the one who answers for their data");
    }
}
