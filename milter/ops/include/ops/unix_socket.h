/* The path of a unix socket that a daemon listens on: made free, made accessible, removed. Thread-safe. */
#ifndef OPS_UNIX_SOCKET_H
#define OPS_UNIX_SOCKET_H

#include <stdbool.h>

#include "base/result.h"

/* Removes a stale socket. False and err if somebody may be listening there, or if it is no socket. `setting` names what
 * to change. A path that is not there is free. */
bool cm_unix_socket_clear(const char *path, const char *setting, struct cm_err *err);
/* `group` NULL: leave it. `setting` is the group's. */
bool cm_unix_socket_set_access(const char *path, unsigned mode, const char *group, const char *setting,
                               struct cm_err *err);
/* Removes it if it is a socket. */
void cm_unix_socket_remove(const char *path);

#endif
