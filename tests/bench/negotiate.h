/*
 * What the two comparison filters ask of the MTA: the same stages, replies and macros as consent-milter asks for when
 * no stream has header conditions.  They would otherwise be slower for a reason that has nothing to do with the check.
 */
#ifndef CM_BENCH_NEGOTIATE_H
#define CM_BENCH_NEGOTIATE_H

#include <libmilter/mfapi.h>

/* An xxfi_negotiate callback; SMFIS_REJECT if the MTA lacks a protocol step that is needed. */
sfsistat cm_bench_negotiate(SMFICTX *ctx, unsigned long f0, unsigned long f1, unsigned long f2, unsigned long f3,
                            unsigned long *pf0, unsigned long *pf1, unsigned long *pf2, unsigned long *pf3);

/*
 * Registers the filter, listens on the socket and serves until SIGTERM.  Returns the exit code for main.
 * The socket file must not exist; the caller's directory is private to the benchmark.
 */
int cm_bench_filter_main(struct smfiDesc *filter, const char *socket);

#endif
