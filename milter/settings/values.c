#include <string.h>

#include "core/pattern.h"
#include "internal.h"

#define UNIX_PATH_BYTES 107 /* sun_path without its NUL */
#define PORT_MAX 65535

static const char out_of_memory[] = "cannot be kept: out of memory";

static bool all_bytes(const char *text, bool (*is_right)(char c))
{
    for (; *text != '\0'; text++) {
        if (!is_right(*text)) {
            return false;
        }
    }
    return true;
}

static bool is_visible(char c)
{
    return c > ' ' && c < 0x7f;
}

static bool is_name_byte(char c)
{
    return cm_ascii_is_alnum(c) || c == '.' || c == '_' || c == '-';
}

static bool is_id_byte(char c)
{
    return is_name_byte(c) && c == cm_ascii_lower(c);
}

static bool is_host_byte(char c)
{
    return is_name_byte(c);
}

static bool is_header_name_byte(char c)
{
    return is_visible(c) && c != ':';
}

/* --- texts --- */

const char *cm_problem_of_file(const char *text)
{
    return text[0] == '/' ? NULL : "is no absolute path; begin it with '/'";
}

const char *cm_problem_of_name(const char *text)
{
    return all_bytes(text, is_name_byte) ? NULL : "is no name; use letters, digits and . _ - only";
}

const char *cm_problem_of_id(const char *text)
{
    return all_bytes(text, is_id_byte) ? NULL : "is no identifier; use a-z, 0-9 and . _ - only";
}

const char *cm_problem_of_store_user(const char *text)
{
    return all_bytes(text, is_visible) ? NULL : "is no Redis user; use visible ASCII characters without blanks";
}

const char *cm_problem_of_group(const char *text)
{
    return all_bytes(text, is_name_byte) && text[0] != '-' ? NULL : "is no group name; write one such as \"postfix\"";
}

const char *cm_problem_of_account(const char *text)
{
    uint64_t id = 0;
    bool is_id = text[strspn(text, "0123456789")] == '\0';
    if (is_id && !cm_parse_u64(cm_span_of(text), UINT32_MAX - 1, &id)) {
        return "is no uid or gid; they end at 4294967294";
    }
    return all_bytes(text, is_name_byte) && text[0] != '-' ? NULL : "is no name of a user or group";
}

const char *cm_problem_of_keeper(const char *text)
{
    size_t len = strlen(text);
    return len >= 1 && len <= CM_LIMIT_KEEPER_NAME_BYTES && all_bytes(text, is_id_byte)
               ? NULL
               : "is no keeper's name; use 1 to 32 of a-z, 0-9 and . _ -";
}

const char *cm_problem_of_officer(const char *text)
{
    const char *at = strrchr(text, '@');
    bool right = at != NULL && at != text && at[1] != '\0' && all_bytes(text, is_visible);
    return right ? NULL : "is no mail address; write one such as \"privacy@acme.example\"";
}

const char *cm_problem_of_url(const char *text)
{
    struct cm_span s = cm_span_of(text);
    if (!cm_span_starts_with(s, "https://") && !cm_span_starts_with(s, "http://")) {
        return "is no web address; begin it with https:// or http://";
    }
    if (!all_bytes(text, is_visible) || strpbrk(text, "\"<>\\") != NULL) {
        return "holds a character that a web address cannot; write it as %XX";
    }
    const char *host = strstr(text, "//") + 2;
    return *host != '\0' && *host != '/' ? NULL : "names no host; write it as in \"https://mail.acme.example/privacy\"";
}

const char *cm_problem_of_header_name(const char *text)
{
    return all_bytes(text, is_header_name_byte) ? NULL
                                                : "is no header name; write one such as \"List-Id\", without ':'";
}

const char *cm_problem_of_session_pattern(const char *text)
{
    if (text[0] == '\0') {
        return "is empty and can match nothing; write a name or a pattern such as \"*\"";
    }
    return cm_pattern_problem(text, false);
}

const char *cm_problem_of_mail_from_pattern(const char *text)
{
    const char *at = strrchr(text, '@');
    if (strpbrk(text, "<>") != NULL) {
        return "holds angle brackets; write the address alone, and \"\" for the null sender";
    }
    for (const char *p = at; p != NULL && *p != '\0'; p++) {
        if ((unsigned char)*p >= 0x80) {
            return "has a domain that is not ASCII; write it as A-labels (xn--...)";
        }
    }
    return cm_pattern_problem(text, true);
}

const char *cm_problem_of_header_pattern(const char *text)
{
    return cm_pattern_problem(text, false);
}

const char *cm_problem_of_header_identity(const char *text)
{
    return cm_pattern_problem(text, true);
}

/* --- addresses of servers --- */

static const char *problem_of_unix_path(struct cm_span path)
{
    if (path.len == 0 || path.p[0] != '/') {
        return "names no absolute path; write it as in \"unix:/run/NAME/NAME.sock\"";
    }
    return path.len <= UNIX_PATH_BYTES ? NULL : "is too long for a unix socket; the path may have 107 bytes";
}

static bool is_port(struct cm_span text)
{
    uint64_t port = 0;
    return text.len > 0 && text.len <= 5 && cm_parse_u64(text, PORT_MAX, &port) && port > 0;
}

static bool is_ipv6(struct cm_span text)
{
    struct cm_ip ip;
    return memchr(text.p, ':', text.len) != NULL && cm_ip_parse(text, &ip);
}

static bool is_host(struct cm_span text)
{
    if (text.len == 0 || text.len > 253) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (!is_host_byte(text.p[i])) {
            return false;
        }
    }
    return text.p[0] != '-' && text.p[0] != '.';
}

struct host_port {
    struct cm_span host; /* without brackets */
    struct cm_span port; /* p == NULL: none given */
    bool is_v6;
};

/* Reads HOST, HOST:PORT, [IPV6] or [IPV6]:PORT. */
static bool split_host_port(struct cm_span text, struct host_port *out)
{
    struct host_port found = {.host = text};
    struct cm_span rest = {NULL, 0};
    if (text.len > 0 && text.p[0] == '[') {
        rest = (struct cm_span){text.p + 1, text.len - 1};
        found.is_v6 = true;
        if (!cm_span_next(&rest, ']', &found.host) || rest.p == NULL || !is_ipv6(found.host)) {
            return false;
        }
        if (rest.len > 0 && rest.p[0] != ':') {
            return false;
        }
        rest = rest.len > 0 ? (struct cm_span){rest.p + 1, rest.len - 1} : (struct cm_span){NULL, 0};
    } else {
        rest = text;
        if (!cm_span_next(&rest, ':', &found.host) || !is_host(found.host)) {
            return false;
        }
    }
    found.port = rest;
    if (rest.p != NULL && !is_port(rest)) {
        return false;
    }
    *out = found;
    return true;
}

static struct cm_span without_prefix(const char *text, const char *prefix)
{
    return cm_span_of(text + strlen(prefix));
}

const char *cm_problem_of_mail_server(const char *text)
{
    struct host_port where;
    return split_host_port(cm_span_of(text), &where) && where.port.p != NULL
               ? NULL
               : "is no HOST:PORT; write the mail server of this host, as in \"127.0.0.1:25\"";
}

const char *cm_problem_of_loopback(const char *text)
{
    struct host_port where;
    struct cm_ip ip;
    struct cm_cidr v4;
    struct cm_cidr v6;
    if (cm_span_starts_with(cm_span_of(text), "unix:")) {
        return problem_of_unix_path(without_prefix(text, "unix:"));
    }
    if (!split_host_port(cm_span_of(text), &where) || where.port.p == NULL || !cm_ip_parse(where.host, &ip)) {
        return "is no address to listen on; write unix:PATH, 127.0.0.1:PORT or [::1]:PORT";
    }
    if (!cm_cidr_parse(CM_SPAN("127.0.0.0/8"), &v4) || !cm_cidr_parse(CM_SPAN("::1/128"), &v6) ||
        (!cm_cidr_contains(&v4, &ip) && !cm_cidr_contains(&v6, &ip))) {
        return "is an address that others reach; write unix:PATH, 127.0.0.1:PORT or [::1]:PORT";
    }
    return NULL;
}

const char *cm_problem_of_server_name(const char *text)
{
    struct cm_span name = cm_span_of(text);
    return is_host(name) || is_ipv6(name) ? NULL : "is no host name and no address; write it as the certificate does";
}

static const char *parse_redis_url(struct cm_arena *arena, struct cm_span rest, enum cm_store_scheme scheme,
                                   struct cm_store_settings *store)
{
    struct host_port where;
    if (memchr(rest.p, '@', rest.len) != NULL) {
        return "holds a user or password; write them as store.user and store.password_file";
    }
    if (memchr(rest.p, '/', rest.len) != NULL) {
        return "names a database; database 0 is always used, so end it after the port";
    }
    if (!split_host_port(rest, &where)) {
        return "names no host and port; write rediss://HOST:PORT, an IPv6 address in brackets";
    }
    store->scheme = scheme;
    store->host = cm_arena_copy(arena, where.host).p;
    store->port = cm_arena_copy(arena, where.port.p != NULL ? where.port : CM_SPAN("6379")).p;
    return store->host != NULL && store->port != NULL ? NULL : out_of_memory;
}

const char *cm_parse_store_url(struct cm_arena *arena, const char *text, void *out_store)
{
    struct cm_store_settings *store = out_store;
    struct cm_span all = cm_span_of(text);
    if (cm_span_starts_with(all, "unix:")) {
        struct cm_span path = without_prefix(text, "unix:");
        const char *problem = problem_of_unix_path(path);
        if (problem != NULL) {
            return problem;
        }
        store->scheme = CM_STORE_UNIX;
        store->path = cm_arena_copy(arena, path).p;
        return store->path != NULL ? NULL : out_of_memory;
    }
    if (cm_span_starts_with(all, "rediss://")) {
        return parse_redis_url(arena, without_prefix(text, "rediss://"), CM_STORE_TLS, store);
    }
    if (cm_span_starts_with(all, "redis://")) {
        return parse_redis_url(arena, without_prefix(text, "redis://"), CM_STORE_TCP, store);
    }
    return "is no store; write unix:PATH, rediss://HOST:PORT or redis://HOST:PORT";
}

/* The form that libmilter reads. */
static const char *join_socket(struct cm_arena *arena, const struct host_port *where, bool wants_v6,
                               const char **out_socket)
{
    char joined[320];
    struct cm_text t = cm_text_over(joined, sizeof(joined));
    cm_text_add_str(&t, wants_v6 ? "inet6:" : "inet:");
    cm_text_add(&t, where->port);
    cm_text_add_str(&t, where->is_v6 ? "@[" : "@");
    cm_text_add(&t, where->host);
    cm_text_add_str(&t, where->is_v6 ? "]" : "");
    *out_socket = cm_arena_copy(arena, (struct cm_span){joined, t.len}).p;
    return *out_socket != NULL ? NULL : out_of_memory;
}

/* PORT@HOST as libmilter writes it, HOST:PORT as Postfix does. */
static const char *parse_inet_socket(struct cm_arena *arena, struct cm_span rest, bool wants_v6,
                                     const char **out_socket)
{
    static const char no_host[] = "names no address to listen on; write inet:PORT@HOST, as in \"inet:8891@127.0.0.1\"";
    struct host_port where = {.is_v6 = false};
    if (is_port(rest)) {
        return no_host;
    }
    if (memchr(rest.p, '@', rest.len) != NULL) {
        struct cm_span host = rest;
        struct cm_span port;
        (void)cm_span_next(&host, '@', &port); /* there is one */
        if (is_ipv6(host)) {
            where = (struct host_port){.host = host, .is_v6 = true};
        } else if (!split_host_port(host, &where) || where.port.p != NULL) {
            return no_host;
        }
        where.port = port;
    } else if (!split_host_port(rest, &where)) {
        return no_host;
    }
    if (where.port.p == NULL || !is_port(where.port)) {
        return "has no port from 1 to 65535; write inet:PORT@HOST, as in \"inet:8891@127.0.0.1\"";
    }
    struct cm_ip ip;
    if (wants_v6 != where.is_v6 && (where.is_v6 || cm_ip_parse(where.host, &ip))) {
        return "mixes the families; write inet: before an IPv4 address and inet6: before an IPv6 address";
    }
    return join_socket(arena, &where, wants_v6, out_socket);
}

const char *cm_parse_socket(struct cm_arena *arena, const char *text, void *out_socket)
{
    const char **socket = out_socket;
    struct cm_span all = cm_span_of(text);
    if (cm_span_starts_with(all, "inet:")) {
        return parse_inet_socket(arena, without_prefix(text, "inet:"), false, socket);
    }
    if (cm_span_starts_with(all, "inet6:")) {
        return parse_inet_socket(arena, without_prefix(text, "inet6:"), true, socket);
    }
    if (!cm_span_starts_with(all, "unix:") && !cm_span_starts_with(all, "local:")) {
        return "is no socket; write unix:PATH, inet:PORT@HOST or inet6:PORT@HOST";
    }
    struct cm_span path = cm_span_of(strchr(text, ':') + 1);
    const char *problem = problem_of_unix_path(path);
    char joined[UNIX_PATH_BYTES + sizeof("unix:")];
    struct cm_text t = cm_text_over(joined, sizeof(joined));
    cm_text_add_str(&t, "unix:");
    cm_text_add(&t, path);
    if (problem != NULL) {
        return problem;
    }
    *socket = cm_arena_copy(arena, (struct cm_span){joined, t.len}).p;
    return *socket != NULL ? NULL : out_of_memory;
}

/* --- numbers written as text --- */

bool cm_parse_duration(const char *text, unsigned *out_ms)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = 0;
    if (!cm_parse_u64((struct cm_span){text, digits}, 1000000, &value)) {
        return false;
    }
    if (strcmp(text + digits, "s") == 0) {
        value *= 1000;
    } else if (strcmp(text + digits, "ms") != 0) {
        return false;
    }
    *out_ms = (unsigned)value;
    return true;
}

bool cm_parse_days(const char *text, unsigned *out_days)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = 0;
    if (!cm_parse_u64((struct cm_span){text, digits}, 1000000, &value) || strcmp(text + digits, "d") != 0) {
        return false;
    }
    *out_days = (unsigned)value;
    return true;
}

bool cm_parse_octal(const char *text, unsigned *out_value)
{
    size_t len = strlen(text);
    unsigned value = 0;
    if (len < 3 || len > 4 || strspn(text, "01234567") != len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        value = value << 3 | (unsigned)(text[i] - '0');
    }
    *out_value = value;
    return true;
}
