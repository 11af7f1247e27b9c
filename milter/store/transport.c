#include "transport.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport_tls.h"

enum cm_io cm_transport_wait(int fd, short events, int64_t deadline_ms, int trip_fd)
{
    struct pollfd fds[2] = {{.fd = fd, .events = events}, {.fd = trip_fd, .events = POLLIN}};
    for (;;) {
        int64_t left = deadline_ms - cm_clock_monotonic_ms();
        int n = poll(fds, trip_fd >= 0 ? 2 : 1, left > 0 ? (int)left : 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return CM_IO_CLOSED;
        }
        if (fds[0].revents != 0) { /* an answer that is there counts, even if the breaker opened meanwhile */
            return CM_IO_DONE;
        }
        if (n > 0) {
            return CM_IO_TRIPPED;
        }
        if (cm_clock_monotonic_ms() >= deadline_ms) {
            return CM_IO_TIMEOUT;
        }
    }
}

static enum cm_io plain_send(struct cm_transport *transport, struct cm_span bytes, int64_t deadline_ms, int trip_fd)
{
    while (bytes.len > 0) {
        ssize_t n = send(transport->fd, bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            bytes = (struct cm_span){bytes.p + n, bytes.len - (size_t)n};
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            enum cm_io io = cm_transport_wait(transport->fd, POLLOUT, deadline_ms, trip_fd);
            if (io != CM_IO_DONE) {
                return io;
            }
        } else if (n < 0 && errno != EINTR) {
            return CM_IO_CLOSED;
        }
    }
    return CM_IO_DONE;
}

static enum cm_io plain_receive(struct cm_transport *transport, char *out, size_t size, size_t *out_len,
                                int64_t deadline_ms, int trip_fd)
{
    for (;;) {
        enum cm_io io = cm_transport_wait(transport->fd, POLLIN, deadline_ms, trip_fd);
        if (io != CM_IO_DONE) {
            return io;
        }
        ssize_t n = recv(transport->fd, out, size, MSG_DONTWAIT);
        if (n > 0) {
            *out_len = (size_t)n;
            return CM_IO_DONE;
        }
        if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            return CM_IO_CLOSED;
        }
    }
}

static enum cm_io plain_quiet(const struct cm_transport *transport)
{
    char byte;
    ssize_t n = recv(transport->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0) {
        return CM_IO_UNSET;
    }
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? CM_IO_DONE : CM_IO_CLOSED;
}

static void plain_close(struct cm_transport *transport)
{
    (void)close(transport->fd); /* nothing is left to be done about a failing close */
    *transport = (struct cm_transport){.fd = -1};
}

static const struct cm_transport_ops plain_ops = {plain_send, plain_receive, plain_quiet, plain_close};

static enum cm_trouble connect_within(int fd, const struct sockaddr *address, socklen_t len, int64_t deadline_ms)
{
    for (;;) {
        if (connect(fd, address, len) == 0 || errno == EISCONN) {
            return CM_TROUBLE_NONE;
        }
        if (errno == EINTR) {
            continue;
        }
        if (errno == EAGAIN) { /* a unix socket whose backlog is full: the server does not accept */
            return CM_TROUBLE_TIMEOUT;
        }
        if (errno != EINPROGRESS && errno != EALREADY) {
            return CM_TROUBLE_UNREACHABLE;
        }
        enum cm_io io = cm_transport_wait(fd, POLLOUT, deadline_ms, -1);
        if (io != CM_IO_DONE) {
            return CM_TROUBLE_TIMEOUT;
        }
        int error = 0;
        socklen_t error_len = sizeof(error);
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) != 0 || error != 0) {
            errno = error;
            return CM_TROUBLE_UNREACHABLE;
        }
    }
}

/* One address: a connected socket in *out_fd, or the trouble with errno set. */
static enum cm_trouble try_address(const struct sockaddr *address, socklen_t len, int64_t deadline_ms, int *out_fd)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return CM_TROUBLE_UNREACHABLE;
    }
    enum cm_trouble trouble = connect_within(fd, address, len, deadline_ms);
    if (trouble != CM_TROUBLE_NONE) {
        int saved = errno;
        (void)close(fd); /* it was never connected */
        errno = saved;
        return trouble;
    }
    *out_fd = fd;
    return CM_TROUBLE_NONE;
}

static enum cm_trouble open_unix(const struct cm_store_options *options, int64_t deadline_ms, int *out_fd,
                                 struct cm_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!cm_copy(address.sun_path, sizeof(address.sun_path), cm_span_of(options->unix_path))) {
        cm_err_set(err, "socket path %s is longer than %zu bytes", options->unix_path, sizeof(address.sun_path) - 1);
        return CM_TROUBLE_UNREACHABLE;
    }
    enum cm_trouble trouble = try_address((struct sockaddr *)&address, sizeof(address), deadline_ms, out_fd);
    if (trouble != CM_TROUBLE_NONE) {
        cm_err_set(err, "cannot connect to Redis at unix:%s: %s", options->unix_path, strerror(errno));
    }
    return trouble;
}

static enum cm_trouble open_tcp(const struct cm_store_options *options, int64_t deadline_ms, int *out_fd,
                                struct cm_err *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    enum cm_trouble trouble = CM_TROUBLE_UNREACHABLE;
    int code = getaddrinfo(options->host, options->port, &hints, &list);
    if (code != 0) {
        cm_err_set(err, "cannot resolve Redis host %s: %s", options->host, gai_strerror(code));
        return trouble;
    }
    for (struct addrinfo *at = list; at != NULL && trouble != CM_TROUBLE_NONE; at = at->ai_next) {
        trouble = try_address(at->ai_addr, at->ai_addrlen, deadline_ms, out_fd);
        if (trouble != CM_TROUBLE_NONE) {
            cm_err_set(err, "cannot connect to Redis at %s port %s: %s", options->host, options->port, strerror(errno));
        }
    }
    freeaddrinfo(list);
    if (trouble == CM_TROUBLE_NONE) {
        int on = 1;
        (void)setsockopt(*out_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* slower without, not wrong */
    }
    return trouble;
}

enum cm_trouble cm_transport_open(const struct cm_store_options *options, int64_t deadline_ms, struct cm_transport *out,
                                  struct cm_err *err)
{
    int fd = -1;
    enum cm_trouble trouble = options->unix_path != NULL ? open_unix(options, deadline_ms, &fd, err)
                                                         : open_tcp(options, deadline_ms, &fd, err);
    if (trouble == CM_TROUBLE_NONE && options->tls.on) {
        trouble = cm_tls_open(options, fd, deadline_ms, out, err);
        if (trouble != CM_TROUBLE_NONE) {
            (void)close(fd); /* nothing but the handshake went over it */
        }
    } else if (trouble == CM_TROUBLE_NONE) {
        *out = (struct cm_transport){.ops = &plain_ops, .fd = fd};
    }
    return trouble;
}
