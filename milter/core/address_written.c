#include "address_internal.h"

/* ---- As written: how an MTA may hold a recipient that the client gave it ---- */

bool cm_address_cut_route(struct cm_span argument, struct cm_span *out)
{
    struct cm_span text = cm_address_without_brackets(cm_span_trim(argument));
    bool in_literal = false;
    if (text.len == 0 || text.p[0] != '@') {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '[' || text.p[i] == ']') {
            in_literal = text.p[i] == '[';
        } else if (text.p[i] == ':' && !in_literal) {
            *out = (struct cm_span){text.p + i + 1, text.len - i - 1};
            return out->len > 0;
        }
    }
    return false;
}

bool cm_address_as_written(struct cm_span argument, char out[CM_ADDRESS_MAX + 1])
{
    struct cm_address_parts parts;
    char local[CM_ADDRESS_LOCAL_MAX + 1];
    char domain[CM_ADDRESS_DOMAIN_MAX + 1] = "";
    if (argument.len > CM_ADDRESS_INPUT_MAX || !cm_address_is_utf8(argument)) {
        return false;
    }
    enum cm_address_status status = cm_address_split(cm_address_without_brackets(cm_span_trim(argument)), &parts);
    if (status != CM_ADDRESS_OK && status != CM_ADDRESS_NO_DOMAIN) {
        return false;
    }
    (void)cm_copy(local, sizeof(local), (struct cm_span){parts.local, parts.local_len}); /* same size */
    if (parts.has_domain) {
        (void)cm_copy(domain, sizeof(domain), (struct cm_span){parts.domain, parts.domain_len}); /* same size */
    }
    cm_address_write(local, domain, out);
    return true;
}
