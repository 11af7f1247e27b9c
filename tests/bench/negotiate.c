#include "negotiate.h"

#include <stdio.h>
#include <sysexits.h>

/* libmilter's prototypes take char * for strings that it only reads. */
static char list_connect[] = "j {daemon_name}";
static char list_mail[] = "i {auth_authen} {mail_mailer} {mail_addr}";
static char list_rcpt[] = "i {rcpt_addr}";
static char list_eom[] = "i";

sfsistat cm_bench_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
                            unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3)
{
    unsigned long wanted = SMFIP_NR_CONN | SMFIP_NOHELO | SMFIP_NR_MAIL | SMFIP_NODATA | SMFIP_NOBODY | SMFIP_NOHDRS |
                           SMFIP_NOEOH | SMFIP_NOUNKNOWN;

    (void)f0;
    (void)f2;
    (void)f3;
    if ((f1 & wanted) != wanted) {
        return SMFIS_REJECT;
    }
    if (smfi_setsymlist(ctx, SMFIM_CONNECT, list_connect) != MI_SUCCESS ||
        smfi_setsymlist(ctx, SMFIM_ENVFROM, list_mail) != MI_SUCCESS ||
        smfi_setsymlist(ctx, SMFIM_ENVRCPT, list_rcpt) != MI_SUCCESS ||
        smfi_setsymlist(ctx, SMFIM_EOM, list_eom) != MI_SUCCESS) {
        return SMFIS_REJECT;
    }
    *pf0 = 0;
    *pf1 = wanted;
    *pf2 = 0;
    *pf3 = 0;
    return SMFIS_CONTINUE;
}

int cm_bench_filter_main(struct smfiDesc *filter, const char *socket)
{
    char address[128];

    if ((size_t)snprintf(address, sizeof(address), "unix:%s", socket) >= sizeof(address)) {
        return EX_USAGE;
    }
    if (smfi_setconn(address) != MI_SUCCESS || smfi_register(*filter) != MI_SUCCESS ||
        smfi_opensocket(0) != MI_SUCCESS) {
        fprintf(stderr, "cannot listen on %s\n", address);
        return EX_UNAVAILABLE;
    }
    return smfi_main() == MI_SUCCESS ? EX_OK : EX_SOFTWARE;
}
