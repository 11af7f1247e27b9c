#include "ops/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

static int ready_fd = -1; /* the child's end of the pipe to the waiting parent */

/* In the parent: waits for the word or the end of the child. */
static void wait_for_child(pid_t child, int fd)
{
    char word = 0;
    int status = 0;
    ssize_t n;
    do {
        n = read(fd, &word, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1) {
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : EXIT_FAILURE);
}

bool cm_process_detach(struct cm_err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        cm_err_set(err, "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    pid_t child = fork();
    if (child < 0) {
        cm_err_set(err, "cannot fork: %s", strerror(errno));
        return false;
    }
    if (child > 0) {
        (void)close(fds[1]); /* the child's end */
        wait_for_child(child, fds[0]);
    }
    (void)close(fds[0]); /* the parent's end */
    ready_fd = fds[1];
    (void)setsid(); /* a fresh child is no group leader: cannot fail */
    return true;
}

void cm_process_ready(void)
{
    if (ready_fd < 0) {
        return;
    }
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; fd++) {
        (void)dup2(null, fd); /* the terminal stays if this fails, which is only ugly */
    }
    if (null > 2) {
        (void)close(null); /* its copies stay */
    }
    (void)!write(ready_fd, "r", 1); /* a parent that is gone needs no word */
    (void)close(ready_fd);          /* told, or nobody to tell */
    ready_fd = -1;
}

bool cm_process_write_pid(const char *file, struct cm_err *err)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool ok = fd >= 0 && write(fd, text, (size_t)len) == len;
    if (!ok) {
        cm_err_set(err, "cannot write the PID file %s: %s", file, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd); /* a number, written whole */
    }
    return ok;
}

static bool find_ids(const char *user_and_group, struct passwd const **out_user, gid_t *out_group, struct cm_err *err)
{
    char user[64];
    const char *colon = strchr(user_and_group, ':');
    size_t len = colon != NULL ? (size_t)(colon - user_and_group) : strlen(user_and_group);
    *out_user = cm_copy(user, sizeof(user), (struct cm_span){user_and_group, len}) ? getpwnam(user) : NULL;
    if (*out_user == NULL) {
        cm_err_set(err, "there is no user %.*s", (int)len, user_and_group);
        return false;
    }
    *out_group = (*out_user)->pw_gid;
    if (colon != NULL) {
        const struct group *group = getgrnam(colon + 1);
        if (group == NULL) {
            cm_err_set(err, "there is no group %s", colon + 1);
            return false;
        }
        *out_group = group->gr_gid;
    }
    return true;
}

bool cm_process_become(const char *user_and_group, struct cm_err *err)
{
    const struct passwd *user = NULL;
    gid_t group = 0;
    if (!find_ids(user_and_group, &user, &group, err)) {
        return false;
    }
    if (geteuid() == user->pw_uid && getegid() == group) {
        return true;
    }
    if (initgroups(user->pw_name, group) != 0 || setgid(group) != 0 || setuid(user->pw_uid) != 0) {
        cm_err_set(err, "cannot become %s: %s", user_and_group, strerror(errno));
        return false;
    }
    if (user->pw_uid != 0 && setuid(0) == 0) { /* the way back must be closed */
        cm_err_set(err, "%s could become root again", user_and_group);
        return false;
    }
    return true;
}

void cm_process_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* then the lower limit holds, and running out is handled */
    }
}
