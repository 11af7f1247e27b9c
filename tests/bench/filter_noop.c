/*
 * Party (a) of the benchmark: a filter that does nothing.  What it costs is libmilter, the socket and the scheduler,
 * and nobody who uses libmilter can be cheaper.
 *
 *     filter_noop SOCKET
 */
#include "negotiate.h"

#include <stdio.h>
#include <sysexits.h>

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    (void)ctx;
    (void)host;
    (void)address;
    return SMFIS_NOREPLY; /* anything else makes libmilter log an error for each session */
}

static sfsistat on_mail(SMFICTX *ctx, char **argv)
{
    (void)ctx;
    (void)argv;
    return SMFIS_NOREPLY;
}

static sfsistat on_rcpt(SMFICTX *ctx, char **argv)
{
    (void)ctx;
    (void)argv;
    return SMFIS_CONTINUE;
}

static sfsistat on_message(SMFICTX *ctx)
{
    (void)ctx;
    return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
    static char name[] = "bench-noop";
    struct smfiDesc filter = {
        .xxfi_name = name,
        .xxfi_version = SMFI_VERSION,
        .xxfi_connect = on_connect,
        .xxfi_envfrom = on_mail,
        .xxfi_envrcpt = on_rcpt,
        .xxfi_eom = on_message,
        .xxfi_abort = on_message,
        .xxfi_close = on_message,
        .xxfi_negotiate = cm_bench_negotiate,
    };

    if (argc != 2) {
        fputs("usage: filter_noop SOCKET\n", stderr);
        return EX_USAGE;
    }
    return cm_bench_filter_main(&filter, argv[1]);
}
