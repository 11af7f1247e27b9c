/*
 * Arguments of RCPT as a hostile client may write them. The input is up to three lines: the argument, the MTA's
 * {rcpt_addr} and our own domain; a line that is not there is a macro that was not sent.
 *
 * What must hold for whatever comes in: no crash, no fault; every form is a fixed point, with and without brackets; the
 * family form is its own family; the fast path and the full parser agree; what the cross-check lets pass is the
 * argument's own local part.
 */
#include "core/address.h"
#include "require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_parsed(enum cm_address_status status)
{
    return status == CM_ADDRESS_OK || status == CM_ADDRESS_NO_DOMAIN;
}

static void require_equal(const struct cm_address *a, const struct cm_address *b)
{
    REQUIRE(strcmp(a->local, b->local) == 0);
    REQUIRE(strcmp(a->domain, b->domain) == 0);
    REQUIRE(strcmp(a->exact, b->exact) == 0);
    REQUIRE(strcmp(a->family, b->family) == 0);
}

static void require_stable(const struct cm_address *a, enum cm_address_status status)
{
    struct cm_address again;
    char bracketed[CM_ADDRESS_MAX + 3];
    REQUIRE(cm_address_parse(cm_span_of(a->exact), &again) == status);
    require_equal(&again, a);
    (void)snprintf(bracketed, sizeof(bracketed), "<%s>", a->exact);
    REQUIRE(cm_address_parse(cm_span_of(bracketed), &again) == status);
    require_equal(&again, a);
    REQUIRE(cm_address_parse(cm_span_of(a->family), &again) == status);
    REQUIRE(strcmp(again.exact, a->family) == 0);
    REQUIRE(strcmp(again.family, a->family) == 0);
}

/* A blank in front means nothing, but the fast path does not take it. */
static void require_paths_agree(struct cm_span raw, enum cm_address_status status, const struct cm_address *parsed)
{
    char blank_first[CM_ADDRESS_INPUT_MAX];
    struct cm_address full;
    struct cm_text text = cm_text_over(blank_first, sizeof(blank_first));
    cm_text_add_char(&text, ' ');
    cm_text_add(&text, raw);
    if (!text.truncated) {
        REQUIRE(cm_address_parse((struct cm_span){blank_first, text.len}, &full) == status);
        if (is_parsed(status)) {
            require_equal(&full, parsed);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_span rest = {(const char *)data, size};
    struct cm_span argument = {NULL, 0};
    struct cm_span rcpt_addr = {NULL, 0};
    struct cm_span own_domain = {NULL, 0};
    struct cm_address parsed;
    struct cm_address recipient;
    (void)cm_span_next(&rest, '\n', &argument);   /* an absent line leaves the span empty */
    (void)cm_span_next(&rest, '\n', &rcpt_addr);  /* likewise */
    (void)cm_span_next(&rest, '\n', &own_domain); /* likewise */

    enum cm_address_status status = cm_address_parse(argument, &parsed);
    REQUIRE(status != CM_ADDRESS_UNSET);
    if (is_parsed(status)) {
        REQUIRE((status == CM_ADDRESS_OK) == (parsed.domain[0] != '\0'));
        require_stable(&parsed, status);
    }
    require_paths_agree(argument, status, &parsed);

    enum cm_recipient_status decided = cm_address_recipient(argument, rcpt_addr, own_domain, &recipient, NULL);
    REQUIRE(decided != CM_RECIPIENT_UNSET);
    if (decided == CM_RECIPIENT_OK) {
        REQUIRE(is_parsed(status));
        REQUIRE(strcmp(recipient.local, parsed.local) == 0);
        REQUIRE(strncmp(recipient.domain, parsed.domain, strlen(parsed.domain)) == 0);
        require_stable(&recipient, CM_ADDRESS_OK);
    } else if (decided == CM_RECIPIENT_UNPARSABLE) {
        REQUIRE(status != CM_ADDRESS_OK);
    }
    return 0;
}
