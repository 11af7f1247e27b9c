#include "listen.h"

#include <errno.h>
#include <grp.h>
#include <libmilter/mfapi.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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

/* True unless it is certain that nobody listens there: an instance that we may not reach, or whose backlog is full,
 * lives. */
static bool may_be_alive(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!cm_copy(address.sun_path, sizeof(address.sun_path), cm_span_of(path))) {
        return false; /* libmilter will refuse so long a path */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED;
    if (fd >= 0) {
        (void)close(fd); /* only a probe */
    }
    return !refused;
}

/* libmilter fails on a stale socket and would steal a living one; so the path is cleared here. */
static bool clear_path(const char *path, struct cm_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return true; /* not there, or libmilter will say what is wrong */
    }
    if (!S_ISSOCK(st.st_mode)) {
        cm_err_set(err, "%s exists and is not a socket: remove it or choose another milter.socket", path);
        return false;
    }
    if (may_be_alive(path)) {
        cm_err_set(err, "another instance answers on %s: stop it first", path);
        return false;
    }
    if (unlink(path) != 0) {
        cm_err_set(err, "cannot remove the stale socket %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

static bool set_access(const char *path, const struct cm_milter_settings *settings, struct cm_err *err)
{
    if (settings->group != NULL) {
        const struct group *group = getgrnam(settings->group);
        if (group == NULL) {
            cm_err_set(err, "milter.group: there is no group %s", settings->group);
            return false;
        }
        if (chown(path, (uid_t)-1, group->gr_gid) != 0) {
            cm_err_set(err, "cannot give %s to group %s: %s", path, settings->group, strerror(errno));
            return false;
        }
    }
    if (chmod(path, (mode_t)settings->mode) != 0) {
        cm_err_set(err, "cannot set the mode of %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

bool cm_listen(const char *socket, const struct cm_milter_settings *settings, struct cm_err *err)
{
    const char *path = unix_path(socket);
    if (path != NULL && !clear_path(path, err)) {
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
    return path == NULL || set_access(path, settings, err);
}

void cm_listen_remove(const char *socket)
{
    const char *path = unix_path(socket);
    struct stat st;
    if (path != NULL && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        (void)unlink(path); /* the next start would clear it as well */
    }
}
