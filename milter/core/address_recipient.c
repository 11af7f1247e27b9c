#include "address_internal.h"

#include <string.h>

/* Whether `longer` is `shorter` with labels behind it ("host" and "host.corp.test"). */
static bool is_completed(const char *shorter, const char *longer)
{
    size_t len = strlen(shorter);
    return strncmp(shorter, longer, len) == 0 && longer[len] == '.';
}

/* Compares with the MTA's reading and takes its domain where ours is missing or cut short. */
static enum cm_recipient_status check_macro(struct cm_address *ours, struct cm_span rcpt_addr,
                                            enum cm_address_status *out_why)
{
    struct cm_address theirs;
    bool same = false;
    enum cm_address_status status = cm_address_parse(rcpt_addr, &theirs);
    if (status != CM_ADDRESS_OK && status != CM_ADDRESS_NO_DOMAIN) {
        *out_why = status;
        return status == CM_ADDRESS_UNSET ? CM_RECIPIENT_UNSET : CM_RECIPIENT_AMBIGUOUS;
    }
    if (!cm_address_fold_equal(ours->local, theirs.local, &same)) {
        *out_why = CM_ADDRESS_UNSET;
        return CM_RECIPIENT_UNSET;
    }
    *out_why = CM_ADDRESS_OK;
    if (!same) {
        return CM_RECIPIENT_AMBIGUOUS;
    }
    /* Sendmail's macro has no domain for mailboxes of its own host; then it says nothing against ours. */
    if (theirs.domain[0] == '\0' || strcmp(ours->domain, theirs.domain) == 0) {
        return CM_RECIPIENT_OK;
    }
    if (ours->domain[0] != '\0' && !is_completed(ours->domain, theirs.domain)) {
        return CM_RECIPIENT_AMBIGUOUS;
    }
    memcpy(ours->domain, theirs.domain, strlen(theirs.domain) + 1);
    cm_address_compose(ours);
    return CM_RECIPIENT_OK;
}

static enum cm_recipient_status find_recipient(struct cm_span argument, struct cm_span rcpt_addr,
                                               struct cm_span own_domain, struct cm_address *out,
                                               enum cm_address_status *out_why)
{
    *out_why = cm_address_parse(argument, out);
    if (*out_why != CM_ADDRESS_OK && *out_why != CM_ADDRESS_NO_DOMAIN) {
        return *out_why == CM_ADDRESS_UNSET ? CM_RECIPIENT_UNSET : CM_RECIPIENT_UNPARSABLE;
    }
    if (rcpt_addr.p != NULL) {
        enum cm_recipient_status checked = check_macro(out, rcpt_addr, out_why);
        if (checked != CM_RECIPIENT_OK) {
            return checked;
        }
    }
    if (out->domain[0] == '\0') {
        if (own_domain.len == 0) {
            *out_why = CM_ADDRESS_NO_DOMAIN;
            return CM_RECIPIENT_UNPARSABLE;
        }
        *out_why = cm_address_is_utf8(own_domain) ? cm_address_canon_domain(own_domain, out->domain)
                                                  : CM_ADDRESS_BAD_DOMAIN;
        if (*out_why != CM_ADDRESS_OK) {
            return *out_why == CM_ADDRESS_UNSET ? CM_RECIPIENT_UNSET : CM_RECIPIENT_UNPARSABLE;
        }
        cm_address_compose(out);
    }
    return CM_RECIPIENT_OK;
}

enum cm_recipient_status cm_address_recipient(struct cm_span argument, struct cm_span rcpt_addr,
                                              struct cm_span own_domain, struct cm_address *out,
                                              enum cm_address_status *out_why)
{
    struct cm_address found;
    enum cm_address_status why = CM_ADDRESS_UNSET;
    enum cm_recipient_status status = find_recipient(argument, rcpt_addr, own_domain, &found, &why);
    if (status == CM_RECIPIENT_OK) {
        *out = found;
    } else if (out_why != NULL) {
        *out_why = why;
    }
    return status;
}
