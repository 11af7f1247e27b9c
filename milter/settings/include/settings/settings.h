/*
 * The configuration (DESIGN 7): one libconfig file and conf.d fragments beside it, read once into an immutable value.
 *
 * Every key is a row of a table with its type, bounds and default. Unknown keys, duplicates, wrong types and impossible
 * values are errors that name file and line and what would be right; the first error ends the reading and nothing is
 * half loaded. Only this directory knows libconfig.
 *
 * Thread-safety: cm_settings_load uses no shared state; the result is read-only and may be shared by all threads.
 */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include "base/result.h"
#include "core/canaries.h"
#include "core/record.h"
#include "core/stream.h"

#define CM_SETTINGS_DEFAULT_FILE "/etc/consent-milter/consent-milter.conf"
#define CM_SETTINGS_ENVIRONMENT "CONSENT_CONF"

enum cm_store_scheme { CM_STORE_UNSET = 0, CM_STORE_UNIX, CM_STORE_TCP, CM_STORE_TLS };

/* PEM files, read again when they change, so renewed certificates need no reload. All NULL unless the scheme is TLS. */
struct cm_store_tls_settings {
    const char *ca_file;     /* NULL: the authorities that the system trusts */
    const char *cert_file;   /* of ours; NULL: none is shown to Redis */
    const char *key_file;    /* its key; NULL if and only if cert_file is */
    const char *server_name; /* what Redis' certificate must name; NULL: the host */
};

struct cm_store_settings {
    enum cm_store_scheme scheme;
    const char *path;          /* UNIX */
    const char *host;          /* TCP and TLS; without brackets for IPv6 */
    const char *port;          /* TCP and TLS; decimal, default "6379" */
    const char *user;          /* NULL: the default user */
    const char *password_file; /* NULL: no AUTH; read at each connect, so a new password needs no reload */
    unsigned timeout_ms;       /* one look-up, connect included; 10-10000, default 800 */
    unsigned pool;             /* connections at most; 1-1024, default 64 */
    struct cm_store_tls_settings tls;
};

struct cm_milter_settings {
    const char *
        socket; /* libmilter form: unix:PATH, inet:PORT@HOST, inet6:PORT@HOST (Postfix's inet:HOST:PORT is rewritten) */
    unsigned mode;     /* octal text in the file; of a unix socket, default 0660 */
    const char *group; /* of a unix socket; NULL: leave it */
};

/* Who may hand acts to the keeper, and with which rank (LAW-6): the first that fits the peer of the socket counts. */
struct cm_caller_settings {
    const char *user;  /* a name, or a uid in decimal digits; NULL: `group` is set */
    const char *group; /* a name, or a gid in decimal digits */
    enum cm_rank rank;
};

struct cm_keeper_settings {
    const char *socket; /* path of its unix socket; default /run/consent-milter/keeper.sock */
    const char *name;   /* of the keeper on this host; NULL: none is configured */
    unsigned mode;      /* octal text in the file; of the socket, default 0660 */
    const char *group;  /* of the socket; NULL: leave it */
    const struct cm_caller_settings *callers;
    size_t caller_count;  /* 0: uid 0 is admin, nobody else is served */
    unsigned retain_days; /* how long finished acts stay in the journal: the oldest backup that may be restored */
};

struct cm_control_settings {
    const char *socket; /* path of the control socket; empty: none; default /run/consent-milter/control.sock */
    unsigned mode;      /* octal text in the file; default 0660 */
    const char *group;  /* NULL: leave it */
};

/* How alarms reach contact.officer: both NULL, or both set and the officer too. */
struct cm_mail_settings {
    const char *server; /* HOST:PORT, by SMTP */
    const char *from;
};

struct cm_limit_settings {
    unsigned sessions;     /* at once; one more is deferred. Default 10000 */
    unsigned recipients;   /* of one message that wait for its end; at most CM_LIMIT_OPEN_RECIPIENTS, the default */
    unsigned header_bytes; /* of one message that are kept; default and at most CM_LIMIT_HEADER_BYTES */
};

struct cm_settings {
    const char *file;
    struct cm_store_settings store;
    const char *keys;  /* directory of pepper, seal and token keys; default /etc/consent-milter/keys */
    const char *state; /* directory of journal and archive; default /var/lib/consent-milter */
    struct cm_keeper_settings keeper;
    const char *const *keepers; /* names of those whose beat a look-up needs, no two the same. LAW-12 */
    size_t keeper_count;        /* at most CM_LIMIT_KEEPERS */
    struct cm_milter_settings milter;
    const char *officer; /* contact.officer, may be NULL */
    const char *url;     /* contact.url, may be NULL; shown in refusals: ASCII, at most 120 bytes, http(s) */
    bool log_addresses;
    struct cm_control_settings control;
    const char *metrics_listen; /* metrics.listen, as cm_http_new reads it; NULL: none */
    struct cm_mail_settings mail;
    const char *canaries_file; /* NULL: none */
    struct cm_canaries canaries;
    unsigned explain_days; /* how long refusals are kept; default 30 */
    struct cm_limit_settings limits;
    struct cm_stream_table streams;
    char sha256[65]; /* hex, over the main file and all fragments in reading order; LAW-16 */
};

/*
 * Reads `file` and its fragments (C-locale order; dot files, "~" and ".dpkg-*" are skipped; fragments may hold
 * `streams` only). NULL and err on any failure; free with cm_settings_free.
 */
struct cm_settings *cm_settings_load(const char *file, struct cm_err *err);
void cm_settings_free(struct cm_settings *settings);

/* Re-evaluates what only the running system can tell: a refusal here is a warning there. Calls `say` once per warning,
 * with file context: e.g. a socket on all interfaces, a service stream shadowed by an earlier one with the same
 * conditions. */
void cm_settings_warn(const struct cm_settings *settings, void (*say)(void *context, const char *text), void *context);

#endif
