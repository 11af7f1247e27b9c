#include "listen.h"

#include <errno.h>
#include <libmilter/mfapi.h>
#include <string.h>
#include <sys/stat.h>

#include "ops/unix_socket.h"

/* The path of a unix socket, or NULL for other families. */
static const char *unix_path(const char *socket)
{
    static const char *const prefixes[] = {"unix:", "local:"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(socket, prefixes[i], strlen(prefixes[i])) == 0) {
            return socket + strlen(prefixes[i]);
        }
    }
    return NULL;
}

bool cm_listen(const char *socket, const struct cm_milter_settings *settings, struct cm_err *err)
{
    const char *path = unix_path(socket);
    /* libmilter fails on a stale socket and would steal a living one; so the path is cleared here. */
    if (path != NULL && !cm_unix_socket_clear(path, "milter.socket", err)) {
        return false;
    }
    mode_t old = umask(0177); /* nobody else gets in before mode and group are set */
    bool open = smfi_setconn((char *)socket) == MI_SUCCESS && smfi_opensocket(false) == MI_SUCCESS;
    int saved = errno;
    (void)umask(old); /* cannot fail */
    if (!open) {
        cm_err_set(err, "cannot listen on %s: %s", socket, saved != 0 ? strerror(saved) : "see the log");
        return false;
    }
    return path == NULL || cm_unix_socket_set_access(path, settings->mode, settings->group, "milter.group", err);
}

void cm_listen_remove(const char *socket)
{
    const char *path = unix_path(socket);
    if (path != NULL) {
        cm_unix_socket_remove(path);
    }
}
