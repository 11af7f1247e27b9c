/*
 * What the files of the address module share, and nobody else uses.
 *
 *   address.c            entry points, the plain fast path, the two forms as text
 *   address_syntax.c     RFC 822 tokens: which mailbox an argument names
 *   address_local.c      local parts: UTF-8, NFC, case folding (libunistring)
 *   address_domain.c     domains: labels, IDNA, address literals (libidn2)
 *   address_recipient.c  the argument against the MTA's own reading
 *   address_written.c    the mailbox as the client wrote it
 */
#ifndef CORE_ADDRESS_INTERNAL_H
#define CORE_ADDRESS_INTERNAL_H

#include "core/address.h"

/* DNS allows 253 octets of text without the final dot, and 63 in a label. The limit of RFC 5321 holds for the input. */
#define CM_ADDRESS_DNS_MAX 253
#define CM_ADDRESS_LABEL_MAX 63

/* One letter for each ASCII byte: 'u' upper-case letter, 'a' lower-case letter or digit, '-' the hyphen, 't' any other
 * character of an RFC 5322 atom, '.' the dot, '@' the at sign, 'x' special, blank or control. */
extern const char cm_address_ascii_classes[129];

static inline char cm_address_class(char c)
{
    unsigned char byte = (unsigned char)c;
    return byte < 128 ? cm_address_ascii_classes[byte] : 'n';
}

/* Letters, digits, other atom characters, and everything that is not ASCII (RFC 6532). */
static inline bool cm_address_is_atom_char(char c)
{
    char class = cm_address_class(c);
    return class != 'x' && class != '.' && class != '@';
}

/* A mailbox as written, without quotes, escapes and comments, but not canonical in any way. */
struct cm_address_parts {
    char local[CM_ADDRESS_LOCAL_MAX];
    size_t local_len;
    bool has_domain;
    char domain[CM_ADDRESS_DOMAIN_MAX]; /* an address literal with its brackets */
    size_t domain_len;
};

/* Finds the one mailbox in `text`: valid UTF-8 without control characters other than TAB, outer SMTP brackets gone, at
 * most CM_ADDRESS_INPUT_MAX bytes. Returns OK, NO_DOMAIN, EMPTY, SYNTAX, BAD_DOMAIN or TOO_LONG; after the last four
 * what stands in `out` means nothing. */
enum cm_address_status cm_address_split(struct cm_span text, struct cm_address_parts *out);

bool cm_address_is_utf8(struct cm_span s);

/* NFC and ASCII folding of an unquoted local part of 1 to CM_ADDRESS_LOCAL_MAX bytes of valid UTF-8. Returns OK,
 * TOO_LONG (NFC made it longer), BAD_UTF8 (a code point that is refused) or UNSET (no memory). */
enum cm_address_status cm_address_canon_local(struct cm_span local, char out[CM_ADDRESS_LOCAL_MAX + 1]);

/* Whether two canonical local parts are the same after full Unicode case folding. False when memory ran out;
 * *out_same is written only when true is returned. */
bool cm_address_fold_equal(const char *a, const char *b, bool *out_same);

/* Lower-case A-labels without the trailing dot, or a normalised address literal. `domain` is valid UTF-8. Returns OK,
 * TOO_LONG, BAD_DOMAIN or UNSET (no memory). `out` is written on OK only. */
enum cm_address_status cm_address_canon_domain(struct cm_span domain, char out[CM_ADDRESS_DOMAIN_MAX + 1]);

/* Without one pair of outer angle brackets, as the MTA takes them off: by the first and the last byte. */
struct cm_span cm_address_without_brackets(struct cm_span s);

/* local@domain, the local part quoted where it must be. Text of both may have any length that their buffers allow. */
void cm_address_write(const char *local, const char *domain, char out[CM_ADDRESS_MAX + 1]);

/* Fills `exact` and `family` from the canonical `local` and `domain`. */
void cm_address_compose(struct cm_address *address);

#endif
