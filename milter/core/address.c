#include "address_internal.h"

#include <string.h>

const char cm_address_ascii_classes[129] = "xxxxxxxxxxxxxxxx"  /* 0x00 */
                                           "xxxxxxxxxxxxxxxx"  /* 0x10 */
                                           "xtxtttttxxttx-.t"  /* 0x20  !"#$%&'()*+,-./ */
                                           "aaaaaaaaaaxxxtxt"  /* 0x30 0123456789:;<=>? */
                                           "@uuuuuuuuuuuuuuu"  /* 0x40 @A ... O */
                                           "uuuuuuuuuuuxxxtt"  /* 0x50 P ... Z[\]^_ */
                                           "taaaaaaaaaaaaaaa"  /* 0x60 `a ... o */
                                           "aaaaaaaaaaattttx"; /* 0x70 p ... z{|}~ DEL */

const char *cm_address_status_name(enum cm_address_status status)
{
    switch (status) {
    case CM_ADDRESS_UNSET: return "undecided";
    case CM_ADDRESS_OK: return "ok";
    case CM_ADDRESS_EMPTY: return "empty";
    case CM_ADDRESS_NO_DOMAIN: return "no_domain";
    case CM_ADDRESS_SYNTAX: return "syntax";
    case CM_ADDRESS_TOO_LONG: return "too_long";
    case CM_ADDRESS_BAD_UTF8: return "bad_utf8";
    case CM_ADDRESS_BAD_DOMAIN: return "bad_domain";
    }
    return "unknown";
}

/* ---- The two forms as text ---- */

/* Providers whose own rules say that several spellings reach one mailbox. Part of CM_ADDRESS_CANON_VERSION. */
static const struct provider {
    const char *domain;
    const char *family_domain;
    bool ignores_dots;
} providers[] = {
    {"gmail.com", "gmail.com", true},      {"googlemail.com", "gmail.com", true}, {"outlook.com", "outlook.com", false},
    {"hotmail.com", "hotmail.com", false}, {"live.com", "live.com", false},
};

static const struct provider *find_provider(const char *domain)
{
    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
        if (strcmp(domain, providers[i].domain) == 0) {
            return &providers[i];
        }
    }
    return NULL;
}

static bool is_dot_atom(const char *local)
{
    char before = '.';
    for (; *local != '\0'; local++) {
        if (*local == '.' ? before == '.' : !cm_address_is_atom_char(*local)) {
            return false;
        }
        before = *local;
    }
    return before != '.';
}

/* Writes into storage of CM_ADDRESS_MAX + 1 bytes, which the longest local part and domain fit exactly. */
void cm_address_write(const char *local, const char *domain, char out[CM_ADDRESS_MAX + 1])
{
    struct cm_text text = cm_text_over(out, CM_ADDRESS_MAX + 1);
    if (is_dot_atom(local)) {
        cm_text_add_str(&text, local);
    } else {
        cm_text_add_char(&text, '"');
        for (; *local != '\0'; local++) {
            if (*local == '"' || *local == '\\') {
                cm_text_add_char(&text, '\\');
            }
            cm_text_add_char(&text, *local);
        }
        cm_text_add_char(&text, '"');
    }
    if (domain[0] != '\0') {
        cm_text_add_char(&text, '@');
        cm_text_add_str(&text, domain);
    }
}

/* The local part without its +tag and, where the provider ignores them, its dots. False when nothing would be left:
 * such an address is no spelling of another mailbox. */
static bool widen_local(const char *local, bool ignores_dots, char out[CM_ADDRESS_LOCAL_MAX + 1])
{
    char kept[CM_ADDRESS_LOCAL_MAX];
    size_t len = 0;
    for (; *local != '\0' && *local != '+'; local++) {
        if (*local != '.' || !ignores_dots) {
            kept[len++] = *local;
        }
    }
    /* Canonicalised once more: without the dot between them a letter and an accent compose. */
    return len > 0 && cm_address_canon_local((struct cm_span){kept, len}, out) == CM_ADDRESS_OK;
}

void cm_address_compose(struct cm_address *address)
{
    char widened[CM_ADDRESS_LOCAL_MAX + 1];
    cm_address_write(address->local, address->domain, address->exact);
    const struct provider *provider = find_provider(address->domain);
    if (provider != NULL && widen_local(address->local, provider->ignores_dots, widened)) {
        cm_address_write(widened, provider->family_domain, address->family);
    } else {
        memcpy(address->family, address->exact, strlen(address->exact) + 1);
    }
}

/* ---- Parsing ---- */

struct cm_span cm_address_without_brackets(struct cm_span s)
{
    if (s.len >= 2 && s.p[0] == '<' && s.p[s.len - 1] == '>') {
        return (struct cm_span){s.p + 1, s.len - 2};
    }
    return s;
}

/* The length of a dot-atom of ASCII in front of an at sign; 0 when it is anything else. */
static size_t plain_local_length(struct cm_span s)
{
    char before = '.';
    for (size_t i = 0; i < s.len && i <= CM_ADDRESS_LOCAL_MAX; i++) {
        char class = cm_address_class(s.p[i]);
        if (class == '@') {
            return before != '.' ? i : 0;
        }
        if (class == 'x' || class == 'n' || (class == '.' && before == '.')) {
            return 0;
        }
        before = class;
    }
    return 0;
}

/* Whether this is a DNS name in ASCII that needs nothing but lower case: no trailing dot, no A-label. */
static bool is_plain_domain(struct cm_span s)
{
    size_t start = 0;
    if (s.len == 0 || s.len > CM_ADDRESS_DNS_MAX) {
        return false;
    }
    for (size_t i = 0; i <= s.len; i++) {
        char class = i < s.len ? cm_address_class(s.p[i]) : '.';
        if (class == '.') {
            if (i == start || i - start > CM_ADDRESS_LABEL_MAX || s.p[start] == '-' || s.p[i - 1] == '-') {
                return false;
            }
            start = i + 1;
        } else if (class != 'a' && class != 'u' && class != '-') {
            return false;
        } else if (class == '-' && i - start == 3 && s.p[i - 1] == '-') {
            return false; /* "xn--" or another reserved label */
        }
    }
    return true;
}

static void copy_folded(char *out, struct cm_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        out[i] = cm_ascii_lower(s.p[i]);
    }
    out[s.len] = '\0';
}

/* Nearly every recipient is a plain "<local@domain>". This decides those and leaves all others, right or wrong, to
 * parse_any, which gives the same answers. */
static bool parse_plain(struct cm_span raw, struct cm_address *out)
{
    struct cm_span text = cm_address_without_brackets(raw);
    size_t local_len = plain_local_length(text);
    if (local_len == 0) {
        return false;
    }
    struct cm_span domain = {text.p + local_len + 1, text.len - local_len - 1};
    if (!is_plain_domain(domain)) {
        return false;
    }
    copy_folded(out->local, (struct cm_span){text.p, local_len});
    copy_folded(out->domain, domain);
    cm_address_compose(out);
    return true;
}

static bool has_control(struct cm_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == '\x7f') {
            return true;
        }
    }
    return false;
}

static enum cm_address_status parse_any(struct cm_span raw, struct cm_address *out)
{
    struct cm_address_parts parts;
    struct cm_address made = {0};
    if (raw.len > CM_ADDRESS_INPUT_MAX) {
        return CM_ADDRESS_TOO_LONG;
    }
    if (has_control(raw)) {
        return CM_ADDRESS_SYNTAX;
    }
    if (!cm_address_is_utf8(raw)) {
        return CM_ADDRESS_BAD_UTF8;
    }
    enum cm_address_status found = cm_address_split(cm_address_without_brackets(cm_span_trim(raw)), &parts);
    if (found != CM_ADDRESS_OK && found != CM_ADDRESS_NO_DOMAIN) {
        return found;
    }
    enum cm_address_status status = cm_address_canon_local((struct cm_span){parts.local, parts.local_len}, made.local);
    if (status == CM_ADDRESS_OK && parts.has_domain) {
        status = cm_address_canon_domain((struct cm_span){parts.domain, parts.domain_len}, made.domain);
    }
    if (status != CM_ADDRESS_OK) {
        return status;
    }
    cm_address_compose(&made);
    *out = made;
    return found;
}

enum cm_address_status cm_address_parse(struct cm_span raw, struct cm_address *out)
{
    return parse_plain(raw, out) ? CM_ADDRESS_OK : parse_any(raw, out);
}
