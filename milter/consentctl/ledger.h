/* Where the archive of this host lies: shared by ledger and history. */
#ifndef CONSENTCTL_LEDGER_H
#define CONSENTCTL_LEDGER_H

#include "consentctl.h"
#include "service/archive.h"

#define EXIT_FINDINGS 1

struct ledger_site {
    struct cm_archive_site site; /* points into the rest */
    char directory[1024];
    struct cm_archive_key key;
};

/* The store id must be loaded. False and err. */
bool cm_ctl_archive_site(const struct context *context, bool to_sign, struct ledger_site *out, struct cm_err *err);

#endif
