#include "negotiation.h"

/* What we may have to do to a message by this configuration. */
static unsigned long needed_actions(const struct cm_stream_table *table)
{
    unsigned long actions = table->count > 0 || table->refuse_unmatched_bulk ? SMFIF_ADDHDRS | SMFIF_CHGHDRS : 0;
    for (size_t i = 0; i < table->count; i++) {
        actions |= table->streams[i].mixed == CM_MIXED_REMOVE ? SMFIF_DELRCPT : 0;
        actions |= table->streams[i].mixed == CM_MIXED_QUARANTINE ? SMFIF_QUARANTINE : 0;
    }
    return actions;
}

struct cm_negotiation cm_negotiate(const struct cm_stream_table *table, unsigned long offered_actions,
                                   unsigned long offered_steps)
{
    unsigned long steps = SMFIP_NOHELO | SMFIP_NODATA | SMFIP_NOBODY | SMFIP_NOUNKNOWN | SMFIP_NOEOH | SMFIP_NR_CONN |
                          SMFIP_NR_MAIL | SMFIP_NR_HDR;
    if (table->count == 0 && !cm_stream_table_needs_headers(table)) { /* a stream's mail may bring forged ones */
        steps |= SMFIP_NOHDRS;
    }
    return (struct cm_negotiation){.offered_actions = offered_actions,
                                   .offered_steps = offered_steps,
                                   .actions = needed_actions(table) & offered_actions,
                                   .steps = steps & offered_steps};
}

bool cm_negotiation_is_outgrown(const struct cm_negotiation *had, const struct cm_stream_table *table, int64_t age_ms)
{
    struct cm_negotiation now = cm_negotiate(table, had->offered_actions, had->offered_steps);
    bool lacks = (now.actions & ~had->actions) != 0 || (had->steps & ~now.steps & SMFIP_NOHDRS) != 0;
    return lacks && age_ms > CM_OUTGROWN_AFTER_MS;
}

/* {mail_addr} is never empty-handed, so that MAIL always brings a packet: without one libmilter would answer with the
 * last message's macros. */
static const struct {
    int stage;
    const char *names;
} wanted_macros[] = {
    {SMFIM_CONNECT, "j {daemon_name}"},
    {SMFIM_ENVFROM, "i {auth_authen} {mail_mailer} {mail_addr}"},
    {SMFIM_ENVRCPT, "i {rcpt_addr}"},
    {SMFIM_EOM, "i"},
};

bool cm_negotiate_macros(SMFICTX *ctx)
{
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof(wanted_macros) / sizeof(wanted_macros[0]); i++) {
        ok = smfi_setsymlist(ctx, wanted_macros[i].stage, (char *)wanted_macros[i].names) == MI_SUCCESS;
    }
    return ok;
}
