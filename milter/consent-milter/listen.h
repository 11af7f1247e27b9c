/* The milter socket. See listen.c. */
#ifndef CONSENT_MILTER_LISTEN_H
#define CONSENT_MILTER_LISTEN_H

#include <stdbool.h>

#include "base/result.h"
#include "settings/settings.h"

/* Opens `socket` (libmilter's form) for libmilter: replaces a stale unix socket, refuses to take one that another
 * process answers on, and sets mode and group. False and err. */
bool cm_listen(const char *socket, const struct cm_milter_settings *settings, struct cm_err *err);
/* Removes a unix socket that was opened, so that no stale one is left; harmless for others. */
void cm_listen_remove(const char *socket);

#endif
