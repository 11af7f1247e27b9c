#include "service/writer_keeper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define TRIES 2
#define ANSWER_MARGIN_MS 10000 /* beyond the wait: the store's deadlines, and an fsync on a busy disk */

static int connect_to(const char *path, unsigned timeout_ms, struct cm_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000};
    if (!cm_copy(address.sun_path, sizeof(address.sun_path), cm_span_of(path))) {
        cm_err_set(err, "%s is too long for a unix socket", path);
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        cm_err_set(err, "the keeper cannot be reached at %s: %s", path, strerror(errno));
        if (fd >= 0) {
            (void)close(fd); /* nothing was said */
        }
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* One line without its end; false if there is none. */
static bool receive_line(int fd, char *out, size_t size, size_t *out_len)
{
    size_t len = 0;
    while (len < size) {
        ssize_t n = recv(fd, out + len, size - len, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return false;
        }
        const char *end = memchr(out + len, '\n', (size_t)n);
        len += (size_t)n;
        if (end != NULL) {
            *out_len = (size_t)(end - out);
            return true;
        }
    }
    return false;
}

enum talk { TALK_UNREACHABLE, TALK_LOST, TALK_ANSWERED };

/* Sends one line and reads one. `out` has CM_KEEPER_LINE_MAX bytes. */
static enum talk talk(const char *socket, unsigned wait_ms, const char *request, char *out, size_t *out_len,
                      struct cm_err *err)
{
    int fd = connect_to(socket, wait_ms + ANSWER_MARGIN_MS, err);
    if (fd < 0) {
        return TALK_UNREACHABLE;
    }
    /* Even if it cannot take all of the line it may have said why. */
    bool is_sent = send_all(fd, request, strlen(request)) && send_all(fd, "\n", 1);
    bool is_answered = receive_line(fd, out, CM_KEEPER_LINE_MAX, out_len);
    (void)close(fd); /* nothing more is awaited */
    if (!is_answered) {
        cm_err_set(err, "the keeper at %s did not answer%s", socket, is_sent ? "" : " and did not listen");
    }
    return is_answered ? TALK_ANSWERED : TALK_LOST;
}

static void take_answer(struct cm_keeper_link *link, const struct cm_keeper_answer *answer, struct cm_write_result *out,
                        struct cm_err *err)
{
    static const enum cm_write_status statuses[] = {
        [CM_KEEPER_STATUS_UNSET] = CM_WRITE_UNCERTAIN,
        [CM_KEEPER_APPLIED] = CM_WRITE_APPLIED,
        [CM_KEEPER_STALE] = CM_WRITE_STALE,
        [CM_KEEPER_DUPLICATE] = CM_WRITE_DUPLICATE,
        [CM_KEEPER_REFUSED] = CM_WRITE_REFUSED,
        [CM_KEEPER_NOT_DONE] = CM_WRITE_NOT_DONE,
        [CM_KEEPER_UNCERTAIN] = CM_WRITE_UNCERTAIN,
        [CM_KEEPER_RECEIVED] = CM_WRITE_APPLIED,
        [CM_KEEPER_DONE] = CM_WRITE_UNCERTAIN,
    };
    *out = (struct cm_write_result){
        .status = statuses[answer->status],
        .trouble = answer->trouble,
        .ledger = answer->ledger,
        .event_at = answer->event_at,
    };
    link->is_in_effect = link->is_in_effect && answer->in_effect;
    link->is_received_only = link->is_received_only || answer->status == CM_KEEPER_RECEIVED;
    bool is_trouble = out->status == CM_WRITE_NOT_DONE || out->status == CM_WRITE_UNCERTAIN;
    if (is_trouble && out->trouble == CM_TROUBLE_NONE) {
        out->trouble = CM_TROUBLE_UNREACHABLE; /* the keeper did not say what ails the store */
    }
    if (is_trouble || out->status == CM_WRITE_REFUSED) {
        *err = answer->err;
    }
}

static void write_by_keeper(void *context, const struct cm_write *write, struct cm_write_result *out,
                            struct cm_err *err)
{
    struct cm_keeper_link *link = context;
    struct cm_keeper_answer answer;
    size_t len = 0;
    struct cm_err local_err = {{0}};
    char *line = malloc(CM_KEEPER_LINE_MAX);
    char *request = cm_keeper_request_write(write, link->wait_ms);
    bool was_sent = false;
    *out = (struct cm_write_result){.status = CM_WRITE_NOT_DONE, .trouble = CM_TROUBLE_UNREACHABLE};
    cm_err_set(&local_err, "out of memory, or a document that is no UTF-8");
    for (int i = 0; line != NULL && request != NULL && i < TRIES; i++) {
        enum talk result = talk(link->socket, link->wait_ms, request, line, &len, &local_err);
        if (result == TALK_ANSWERED && cm_keeper_answer_read((struct cm_span){line, len}, &answer, &local_err)) {
            take_answer(link, &answer, out, &local_err);
            was_sent = false;
            break;
        }
        was_sent = was_sent || result != TALK_UNREACHABLE;
    }
    if (was_sent) {
        *out = (struct cm_write_result){.status = CM_WRITE_UNCERTAIN, .trouble = CM_TROUBLE_CONNECTION_LOST};
    }
    if (out->status == CM_WRITE_NOT_DONE || out->status == CM_WRITE_UNCERTAIN) {
        link->is_in_effect = false;
    }
    if (err != NULL && out->status != CM_WRITE_APPLIED && out->status != CM_WRITE_STALE &&
        out->status != CM_WRITE_DUPLICATE) {
        *err = local_err;
    }
    free(request);
    free(line);
}

struct cm_writer cm_writer_keeper(struct cm_keeper_link *link)
{
    return (struct cm_writer){write_by_keeper, link};
}

bool cm_keeper_ask(const char *socket, enum cm_keeper_wish wish, struct cm_keeper_report *out, struct cm_err *err)
{
    char *line = malloc(CM_KEEPER_LINE_MAX);
    size_t len = 0;
    const char *request = wish == CM_KEEPER_REPLAY_ALL ? "{\"do\":\"replay\"}" : "{\"do\":\"status\"}";
    if (line == NULL) {
        cm_err_set(err, "out of memory");
        return false;
    }
    bool ok = talk(socket, 0, request, line, &len, err) == TALK_ANSWERED &&
              cm_keeper_report_read((struct cm_span){line, len}, out, err);
    free(line);
    return ok;
}
