#include "ops/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "ops/unix_socket.h"

#define BACKLOG 16
#define CALLER_BYTES 80
#define CALLER_MS 2000 /* for a caller to say what it wants, and to take the answer */

/* Waits for one of `events` until the deadline. */
static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - cm_clock_monotonic_ms();
        struct pollfd entry = {.fd = fd, .events = events};
        if (left <= 0) {
            errno = ETIMEDOUT;
            return false;
        }
        int n = poll(&entry, 1, (int)left);
        if (n > 0) {
            return true;
        }
        if (n < 0 && errno != EINTR) {
            return false;
        }
    }
}

static bool send_all(int fd, const char *data, size_t len, int64_t deadline_ms)
{
    while (len > 0) {
        if (!wait_for(fd, POLLOUT, deadline_ms)) {
            return false;
        }
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Reads up to a line end, which becomes a NUL; false on time, end, or a line that does not fit. */
static bool read_line(int fd, char *line, size_t size, int64_t deadline_ms)
{
    size_t len = 0;
    while (len < size) {
        if (!wait_for(fd, POLLIN, deadline_ms)) {
            return false;
        }
        ssize_t n = recv(fd, line + len, size - len, MSG_DONTWAIT);
        if (n == 0) {
            errno = ECONNRESET;
            return false;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        char *end = n > 0 ? memchr(line + len, '\n', (size_t)n) : NULL;
        if (end != NULL) {
            *end = '\0';
            return true;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    errno = EMSGSIZE;
    return false;
}

static bool address_of(const char *path, struct sockaddr_un *out, struct cm_err *err)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!cm_copy(out->sun_path, sizeof(out->sun_path), cm_span_of(path))) {
        cm_err_set(err, "control.socket: %s is too long", path);
        return false;
    }
    return true;
}

bool cm_control_ask(const char *path, const char *request, char **out_answer, struct cm_err *err)
{
    struct sockaddr_un address;
    int64_t deadline_ms = cm_clock_monotonic_ms() + CM_CONTROL_TIMEOUT_MS;
    if (!address_of(path, &address, err)) {
        return false;
    }
    char *answer = malloc(CM_CONTROL_ANSWER_BYTES);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = answer != NULL && fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
              send_all(fd, request, strlen(request), deadline_ms) && send_all(fd, "\n", 1, deadline_ms) &&
              read_line(fd, answer, CM_CONTROL_ANSWER_BYTES, deadline_ms);
    if (!ok) {
        cm_err_set(err, "%s: no answer from the daemon: %s; does it run, and may you connect?", path, strerror(errno));
        free(answer);
    } else {
        *out_answer = answer;
    }
    if (fd >= 0) {
        (void)close(fd); /* answered, or given up */
    }
    return ok;
}

struct cm_control {
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    int listener;
    cm_control_answer *answer;
    void *context;
    pthread_t thread;
    bool started;
    int stop_pipe[2];
};

/* Whoever it is; the login stays a number where nobody knows it. */
static void name_caller(int fd, char *out, size_t size)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof(peer);
    struct passwd entry;
    struct passwd *found = NULL;
    char storage[1024];
    struct cm_text text = cm_text_over(out, size);
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);           /* else nobody we know */
    (void)getpwuid_r(peer.uid, &entry, storage, sizeof(storage), &found); /* else a number */
    cm_text_add_format(&text, "%s (uid %ld)", found != NULL ? found->pw_name : "unknown", (long)peer.uid);
}

/* One caller, whatever it sends; a slow one is given up, so that the next is served. */
static void serve(struct cm_control *control, int fd)
{
    static const char refused[] = "{\"ok\":false,\"error\":\"a request is one line of JSON, at most 4096 bytes\"}";
    static const char no_memory[] = "{\"ok\":false,\"error\":\"out of memory\"}";
    char request[CM_CONTROL_REQUEST_BYTES + 1];
    if (!read_line(fd, request, sizeof(request), cm_clock_monotonic_ms() + CALLER_MS)) {
        if (errno == EMSGSIZE) {
            (void)send_all(fd, refused, sizeof(refused) - 1,
                           cm_clock_monotonic_ms() + CALLER_MS); /* it may not listen */
        }
        return;
    }
    char caller[CALLER_BYTES];
    name_caller(fd, caller, sizeof(caller));
    char *answer = control->answer(control->context, caller, request);
    const char *text = answer != NULL ? answer : no_memory;
    int64_t deadline_ms = cm_clock_monotonic_ms() + CALLER_MS;
    (void)(send_all(fd, text, strlen(text), deadline_ms) && send_all(fd, "\n", 1, deadline_ms)); /* or it has gone */
    free(answer);
}

static void *run(void *context)
{
    struct cm_control *control = context;
    for (;;) {
        struct pollfd entries[] = {{.fd = control->listener, .events = POLLIN},
                                   {.fd = control->stop_pipe[0], .events = POLLIN}};
        if (poll(entries, 2, -1) < 0) {
            continue; /* interrupted */
        }
        if (entries[1].revents != 0) {
            return NULL;
        }
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            serve(control, fd);
            (void)close(fd); /* answered, or given up */
        } else {
            (void)poll(NULL, 0, 50); /* out of descriptors: no spinning */
        }
    }
}

struct cm_control *cm_control_new(const char *path, unsigned mode, const char *group, cm_control_answer *answer,
                                  void *context, struct cm_err *err)
{
    struct sockaddr_un address;
    struct cm_control *control = calloc(1, sizeof(*control));
    if (control == NULL || !address_of(path, &address, err) || !cm_unix_socket_clear(path, "control.socket", err)) {
        free(control);
        return NULL;
    }
    memcpy(control->path, address.sun_path, sizeof(control->path));
    control->answer = answer;
    control->context = context;
    control->stop_pipe[0] = control->stop_pipe[1] = -1;
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    mode_t old = umask(0177); /* nobody else gets in before mode and group are set */
    bool ok = control->listener >= 0 && pipe2(control->stop_pipe, O_CLOEXEC) == 0 &&
              bind(control->listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(control->listener, BACKLOG) == 0;
    int saved = errno;
    (void)umask(old); /* cannot fail */
    if (!ok) {
        cm_err_set(err, "cannot listen on control.socket %s: %s", path, strerror(saved));
    }
    if (!ok || !cm_unix_socket_set_access(path, mode, group, "control.group", err)) {
        cm_control_free(control);
        return NULL;
    }
    return control;
}

bool cm_control_start(struct cm_control *control, struct cm_err *err)
{
    if (pthread_create(&control->thread, NULL, run, control) != 0) {
        cm_err_set(err, "cannot start the thread of the control socket");
        return false;
    }
    control->started = true;
    return true;
}

void cm_control_free(struct cm_control *control)
{
    if (control == NULL) {
        return;
    }
    if (control->started) {
        (void)!write(control->stop_pipe[1], "x", 1); /* an empty pipe takes a byte */
        (void)pthread_join(control->thread, NULL);   /* the thread exists and is joined once */
    }
    int fds[] = {control->listener, control->stop_pipe[0], control->stop_pipe[1]};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]); /* nothing was buffered */
        }
    }
    cm_unix_socket_remove(control->path);
    free(control);
}
