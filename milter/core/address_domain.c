/* Domains: DNS labels, international names, address literals. The one file that knows libidn2. */
#include "address_internal.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdlib.h>
#include <string.h>

/* Never IDN2_USE_STD3_ASCII_RULES: it deletes what it does not like ("a_b" becomes "ab"), and one address would inherit
 * the consent of another. Labels are checked here instead, after the conversion. */
#define IDN_FLAGS (IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT)

/* "[192.0.2.1]", "[IPv6:2001:db8::1]"; written again from the binary address, so that all spellings become one. Other
 * tags of RFC 5321 are not delivered by anybody and are refused. */
static enum cm_address_status canon_literal(struct cm_span literal, char out[CM_ADDRESS_DOMAIN_MAX + 1])
{
    static const struct cm_span tag = CM_SPAN("ipv6:");
    struct in6_addr binary;
    char given[INET6_ADDRSTRLEN];
    char text[INET6_ADDRSTRLEN];
    struct cm_span inner = {literal.p + 1, literal.len - 2};
    if (literal.len < 2 || literal.p[literal.len - 1] != ']') {
        return CM_ADDRESS_BAD_DOMAIN;
    }
    bool is_six = inner.len > tag.len && cm_span_equal_nocase((struct cm_span){inner.p, tag.len}, tag);
    if (is_six) {
        inner = (struct cm_span){inner.p + tag.len, inner.len - tag.len};
    }
    int family = is_six ? AF_INET6 : AF_INET;
    if (!cm_copy(given, sizeof(given), inner) || strlen(given) != inner.len || inet_pton(family, given, &binary) != 1 ||
        inet_ntop(family, &binary, text, sizeof(text)) == NULL) {
        return CM_ADDRESS_BAD_DOMAIN;
    }
    struct cm_text written = cm_text_over(out, CM_ADDRESS_DOMAIN_MAX + 1);
    cm_text_add_char(&written, '[');
    cm_text_add_str(&written, is_six ? "ipv6:" : "");
    cm_text_add_str(&written, text);
    cm_text_add_char(&written, ']');
    return CM_ADDRESS_OK;
}

static bool is_label(struct cm_span label)
{
    if (label.len == 0 || label.len > CM_ADDRESS_LABEL_MAX || label.p[0] == '-' || label.p[label.len - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.len; i++) {
        if (label.p[i] != '-' && !cm_ascii_is_alnum(label.p[i])) {
            return false;
        }
    }
    return true;
}

/* Copies an ASCII name in lower case when it is nothing but LDH labels; tells whether one of them is an A-label. */
static enum cm_address_status copy_labels(struct cm_span name, char out[CM_ADDRESS_DOMAIN_MAX + 1],
                                          bool *out_has_alabel)
{
    struct cm_span rest = name;
    struct cm_span label;
    *out_has_alabel = false;
    if (name.len > CM_ADDRESS_DNS_MAX) {
        return CM_ADDRESS_TOO_LONG;
    }
    while (cm_span_next(&rest, '.', &label)) {
        if (!is_label(label)) {
            return CM_ADDRESS_BAD_DOMAIN;
        }
        *out_has_alabel |= label.len >= 4 && cm_span_equal_nocase((struct cm_span){label.p, 4}, CM_SPAN("xn--"));
    }
    for (size_t i = 0; i < name.len; i++) {
        out[i] = cm_ascii_lower(name.p[i]);
    }
    out[name.len] = '\0';
    return CM_ADDRESS_OK;
}

static enum cm_address_status idn_failure(int code)
{
    if (code == IDN2_MALLOC) {
        return CM_ADDRESS_UNSET;
    }
    return code == IDN2_TOO_BIG_DOMAIN ? CM_ADDRESS_TOO_LONG : CM_ADDRESS_BAD_DOMAIN;
}

/* Converts to A-labels and checks what came out. */
static enum cm_address_status to_alabels(const char *name, char out[CM_ADDRESS_DOMAIN_MAX + 1], bool *out_has_alabel)
{
    char *ascii = NULL;
    int code = idn2_to_ascii_8z(name, &ascii, IDN_FLAGS);
    if (code != IDN2_OK) {
        return idn_failure(code);
    }
    enum cm_address_status status = copy_labels(cm_span_of(ascii), out, out_has_alabel);
    idn2_free(ascii);
    return status;
}

/* An A-label that does not decode, or that decodes to text whose A-label is another one, is no name at all: two
 * spellings of one domain would otherwise be two identities. */
static enum cm_address_status check_alabels(const char *name)
{
    char again[CM_ADDRESS_DOMAIN_MAX + 1];
    char *text = NULL;
    bool has_alabel = false;
    int code = idn2_to_unicode_8z8z(name, &text, IDN_FLAGS);
    if (code != IDN2_OK) {
        return idn_failure(code);
    }
    enum cm_address_status status = to_alabels(text, again, &has_alabel);
    idn2_free(text);
    if (status == CM_ADDRESS_OK && strcmp(again, name) != 0) {
        return CM_ADDRESS_BAD_DOMAIN;
    }
    return status;
}

static bool is_ascii(struct cm_span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if ((unsigned char)s.p[i] >= 128) {
            return false;
        }
    }
    return true;
}

enum cm_address_status cm_address_canon_domain(struct cm_span domain, char out[CM_ADDRESS_DOMAIN_MAX + 1])
{
    char given[CM_ADDRESS_DOMAIN_MAX + 1];
    char made[CM_ADDRESS_DOMAIN_MAX + 1];
    bool has_alabel = false;
    if (domain.len > CM_ADDRESS_DOMAIN_MAX) {
        return CM_ADDRESS_TOO_LONG;
    }
    if (domain.len > 0 && domain.p[0] == '[') {
        return canon_literal(domain, out);
    }
    if (domain.len > 0 && domain.p[domain.len - 1] == '.') {
        domain.len--;
    }
    if (domain.len == 0 || memchr(domain.p, '\0', domain.len) != NULL) {
        return CM_ADDRESS_BAD_DOMAIN;
    }
    enum cm_address_status status = CM_ADDRESS_OK;
    if (is_ascii(domain)) {
        status = copy_labels(domain, made, &has_alabel);
    } else {
        (void)cm_copy(given, sizeof(given), domain); /* it fits: the length was checked */
        status = to_alabels(given, made, &has_alabel);
    }
    if (status == CM_ADDRESS_OK && has_alabel) {
        status = check_alabels(made);
    }
    if (status == CM_ADDRESS_OK) {
        memcpy(out, made, strlen(made) + 1);
    }
    return status;
}
