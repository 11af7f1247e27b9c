#include "ops/unix_socket.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

/* True unless it is certain that nobody listens there: an instance that we may not reach, or whose backlog is full,
 * lives. */
static bool may_be_alive(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!cm_copy(address.sun_path, sizeof(address.sun_path), cm_span_of(path))) {
        return false; /* whoever binds it will refuse so long a path */
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED;
    if (fd >= 0) {
        (void)close(fd); /* only a probe */
    }
    return !refused;
}

bool cm_unix_socket_clear(const char *path, const char *setting, struct cm_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return true; /* not there, or binding it will say what is wrong */
    }
    if (!S_ISSOCK(st.st_mode)) {
        cm_err_set(err, "%s exists and is not a socket: remove it or choose another %s", path, setting);
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

bool cm_unix_socket_set_access(const char *path, unsigned mode, const char *group, const char *setting,
                               struct cm_err *err)
{
    if (group != NULL) {
        const struct group *found = getgrnam(group);
        if (found == NULL) {
            cm_err_set(err, "%s: there is no group %s", setting, group);
            return false;
        }
        if (chown(path, (uid_t)-1, found->gr_gid) != 0) {
            cm_err_set(err, "cannot give %s to group %s: %s", path, group, strerror(errno));
            return false;
        }
    }
    if (chmod(path, (mode_t)mode) != 0) {
        cm_err_set(err, "cannot set the mode of %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

void cm_unix_socket_remove(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        (void)unlink(path); /* the next start would clear it as well */
    }
}
