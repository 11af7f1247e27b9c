/*
 * Who is who: the address that an MTA will deliver to, in its two canonical forms (DESIGN 5).
 *
 * The recipient argument of SMTP is raw client text. MTAs deliver `<Foo <x@d>>`, `<@a:x@d>`, `<grp:x@d;>`, `<x@d (c)>`,
 * `<us\er@d>` and `<x@d.>` all to x@d, so a filter that compares the text as typed is walked around. This module parses
 * the argument as the MTA does (RFC 822 tokens inside the SMTP brackets) and canonicalises what is found:
 *   exact   ASCII A-Z folded in local part and domain, NFC in the local part, needless quotes and escapes gone, domain
 *           without trailing dot and as A-labels (IDNA 2008, non-transitional), address literals normalised;
 *   family  the exact form, widened for listed domains (dots and +tag are no difference at gmail.com, ...), for stops.
 * Never NFKC, never full case folding, never anything removed from the exact form: two mailboxes must not become one.
 *
 * Pure and thread-safe. Nothing is allocated that stays allocated. Text is UTF-8; spans may hold NULs (refused).
 */
#ifndef CORE_ADDRESS_H
#define CORE_ADDRESS_H

#include "base/text.h"

/* RFC 5321 4.5.3.1: 64 octets of local part and 255 of domain. Longer input is refused, never cut. NFC and A-labels may
 * lengthen what came in, so the limits hold for the canonical form as well as for the input. */
#define CM_ADDRESS_LOCAL_MAX 64
#define CM_ADDRESS_DOMAIN_MAX 255
/* The longest form, with a quoted local part of nothing but escapes; without the NUL. */
#define CM_ADDRESS_MAX (2 * CM_ADDRESS_LOCAL_MAX + 2 + 1 + CM_ADDRESS_DOMAIN_MAX)
#define CM_ADDRESS_INPUT_MAX 2048  /* longest raw argument looked at */
#define CM_ADDRESS_CANON_VERSION 1 /* raised whenever any input would get another form */

enum cm_address_status {
    CM_ADDRESS_UNSET = 0, /* undecided: a library ran out of memory. Don't know, never a refusal of the address */
    CM_ADDRESS_OK,
    CM_ADDRESS_EMPTY,     /* nothing there: "", "<>", only comments */
    CM_ADDRESS_NO_DOMAIN, /* a local part alone; `out` is filled with an empty domain */
    CM_ADDRESS_SYNTAX,    /* not one address: unbalanced brackets or quotes, two addresses, ASCII control characters */
    CM_ADDRESS_TOO_LONG,  /* raw text, local part or domain as a whole */
    CM_ADDRESS_BAD_UTF8, /* not UTF-8, or a code point no mailbox may hold (C1, unassigned, bidi control, separators) */
    CM_ADDRESS_BAD_DOMAIN, /* a label that is empty, above 63 octets or not LDH; IDNA failure; malformed literal */
};

struct cm_address {
    char local[CM_ADDRESS_LOCAL_MAX + 1];   /* canonical, without quotes; may hold any byte but NUL and controls */
    char domain[CM_ADDRESS_DOMAIN_MAX + 1]; /* canonical A-labels or "[literal]"; empty when there is none */
    char exact[CM_ADDRESS_MAX + 1];         /* local@domain, the local part quoted only where RFC 5321 needs it */
    char family[CM_ADDRESS_MAX + 1];        /* the same text as exact for all but listed domains */
};

/* A short word for logs and messages ("syntax", "bad_domain"); never NULL. */
const char *cm_address_status_name(enum cm_address_status status);

/*
 * Parses one raw argument of MAIL or RCPT, an address typed by a person, or a macro's value. Outer SMTP angle brackets
 * are optional. `out` is written on OK and NO_DOMAIN only.
 */
enum cm_address_status cm_address_parse(struct cm_span raw, struct cm_address *out);

/*
 * What a client wrote, for the MTA's own comparison, which is exact: not canonical in any way.
 * The text behind a source route ("@a,@b:user@domain"), without brackets; it points into `argument`. False if there is
 * none.
 */
bool cm_address_cut_route(struct cm_span argument, struct cm_span *out);
/* The one mailbox that the argument names, without comments, names and routes, its case kept, quoted where it must be.
 * False if it names none. */
bool cm_address_as_written(struct cm_span argument, char out[CM_ADDRESS_MAX + 1]);

enum cm_recipient_status {
    CM_RECIPIENT_UNSET = 0, /* undecided: a library ran out of memory. Don't know: 451 4.3.0 */
    CM_RECIPIENT_OK,
    CM_RECIPIENT_UNPARSABLE, /* the argument is no address: 550 5.1.3 */
    CM_RECIPIENT_AMBIGUOUS,  /* the MTA read another mailbox out of it than we did: 550 5.7.1 */
};

/*
 * The identity behind a recipient (DESIGN 4): parsed from the client's `argument`, cross-checked against the MTA's own
 * reading `rcpt_addr` (the macro {rcpt_addr}; p == NULL when the MTA sent none) and completed by `own_domain` (macro j;
 * may be empty).
 *   - local parts are compared after full Unicode case folding of both, because Postfix folds its macro; a difference
 * is AMBIGUOUS;
 *   - the argument has no domain, or the macro's domain is the argument's plus a suffix: the macro's domain is taken;
 *   - the macro has no domain (Sendmail, for mailboxes of its own host): it says nothing against the argument's;
 *   - no domain anywhere: own_domain is taken; that too empty: UNPARSABLE;
 *   - any other difference of the domains is AMBIGUOUS; a macro that cannot be parsed is AMBIGUOUS.
 * `out` is written on OK only. out_why, if not NULL, is written on all else, for the log: the status of the argument
 * (or own_domain) when UNPARSABLE, that of the macro when AMBIGUOUS (CM_ADDRESS_OK: it names another mailbox).
 */
enum cm_recipient_status cm_address_recipient(struct cm_span argument, struct cm_span rcpt_addr,
                                              struct cm_span own_domain, struct cm_address *out,
                                              enum cm_address_status *out_why);

#endif
