#include "desk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "ops/log.h"
#include "ops/unix_socket.h"

#define BACKLOG 128
#define REFUSALS_EVERY_MS 1000 /* more often a caller who is not served is only counted */
#define ACCEPT_PAUSE_MS 100    /* without descriptors */

struct cm_desk {
    const struct cm_keeper_settings *settings;
    char *path;
    int fd; /* -1: takes no more connections */
    bool has_stopped;
    int64_t accept_at_ms;
    int64_t refusals_at_ms;
    unsigned refusals;
    struct cm_client *clients[CM_DESK_CLIENTS];
    size_t count;
    struct cm_keeper_request scratch;
};

static bool listen_at(struct cm_desk *desk, struct cm_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!cm_copy(address.sun_path, sizeof(address.sun_path), cm_span_of(desk->path))) {
        cm_err_set(err, "keeper.socket: %s is too long for a unix socket", desk->path);
        return false;
    }
    if (!cm_unix_socket_clear(desk->path, "keeper.socket", err)) {
        return false;
    }
    desk->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177); /* nobody else gets in before mode and group are set */
    bool ok = desk->fd >= 0 && bind(desk->fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
              listen(desk->fd, BACKLOG) == 0;
    int saved = errno;
    (void)umask(old); /* cannot fail */
    if (!ok) {
        cm_err_set(err, "cannot listen on %s: %s", desk->path, strerror(saved));
        return false;
    }
    return cm_unix_socket_set_access(desk->path, desk->settings->mode, desk->settings->group, "keeper.group", err);
}

struct cm_desk *cm_desk_open(const char *path, const struct cm_keeper_settings *settings, struct cm_err *err)
{
    struct cm_desk *desk = calloc(1, sizeof(*desk));
    if (desk == NULL) {
        cm_err_set(err, "out of memory");
        return NULL;
    }
    desk->settings = settings;
    desk->fd = -1;
    desk->path = strdup(path);
    if (desk->path == NULL || !listen_at(desk, err)) {
        if (desk->fd >= 0) {
            (void)close(desk->fd); /* nobody was let in */
        }
        free(desk->path);
        free(desk);
        return NULL;
    }
    return desk;
}

void cm_desk_stop_reading(struct cm_desk *desk)
{
    desk->has_stopped = true;
    if (desk->fd >= 0) {
        (void)close(desk->fd); /* a listening socket holds nothing to lose */
        desk->fd = -1;
    }
}

void cm_desk_close(struct cm_desk *desk)
{
    if (desk != NULL) {
        cm_desk_stop_reading(desk);
        for (size_t i = 0; i < desk->count; i++) {
            cm_client_free(desk->clients[i]);
        }
        cm_unix_socket_remove(desk->path);
        free(desk->path);
        free(desk);
    }
}

size_t cm_desk_poll_fds(struct cm_desk *desk, struct pollfd *out)
{
    size_t count = 0;
    for (size_t i = 0; i < desk->count; i++) {
        const struct cm_client *client = desk->clients[i];
        bool reads = !desk->has_stopped && cm_client_may_read(client);
        short events = (short)((reads ? POLLIN : 0) | (client->out_len > 0 ? POLLOUT : 0));
        /* Who waits is not looked at: one that has hung up would wake us for nothing until its answer is due. */
        out[count++] = (struct pollfd){.fd = events != 0 ? client->fd : -1, .events = events};
    }
    out[count++] = (struct pollfd){.fd = desk->fd, .events = POLLIN};
    return count;
}

static void remove_client(struct cm_desk *desk, size_t i)
{
    cm_client_free(desk->clients[i]);
    desk->clients[i] = desk->clients[--desk->count];
}

/* Says why, if the other side listens, and closes. */
static void turn_away(int fd, const char *why)
{
    char line[256];
    struct cm_keeper_answer answer = {.status = CM_KEEPER_REFUSED};
    struct cm_text text = cm_text_over(line, sizeof(line));
    cm_err_set(&answer.err, "%s", why);
    cm_keeper_answer_write(&answer, &text);
    (void)send(fd, text.p, text.len, MSG_DONTWAIT | MSG_NOSIGNAL); /* a courtesy */
    (void)close(fd);                                               /* nothing was promised */
}

static void log_refusal(struct cm_desk *desk, const char *name, int64_t now_ms)
{
    desk->refusals++;
    if (now_ms >= desk->refusals_at_ms) {
        cm_log(CM_LOG_WARNING, "refused: caller %s is not among keeper.callers (%u since the last such line)", name,
               desk->refusals);
        desk->refusals = 0;
        desk->refusals_at_ms = now_ms + REFUSALS_EVERY_MS;
    }
}

/* Makes room by sending away who has been idle longest; false if all wait for something. */
static bool make_room(struct cm_desk *desk)
{
    size_t oldest = desk->count;
    for (size_t i = 0; i < desk->count; i++) {
        const struct cm_client *client = desk->clients[i];
        if (client->pending_count == 0 &&
            (oldest == desk->count || client->active_ms < desk->clients[oldest]->active_ms)) {
            oldest = i;
        }
    }
    if (oldest == desk->count) {
        return false;
    }
    remove_client(desk, oldest);
    return true;
}

static void take_connection(struct cm_desk *desk, int fd, int64_t now_ms)
{
    struct cm_caller caller = {.rank = CM_RANK_UNSET};
    if (!cm_caller_of(fd, desk->settings, &caller) || caller.rank == CM_RANK_UNSET) {
        log_refusal(desk, caller.name, now_ms);
        turn_away(fd, "this keeper does not serve you: see keeper.callers in its configuration");
        return;
    }
    if (desk->count == CM_DESK_CLIENTS && !make_room(desk)) {
        turn_away(fd, "too many connections");
        return;
    }
    struct cm_client *client = cm_client_new(fd, &caller, now_ms);
    if (client == NULL) {
        turn_away(fd, "out of memory");
        return;
    }
    desk->clients[desk->count++] = client;
}

static void take_connections(struct cm_desk *desk, int64_t now_ms)
{
    for (int i = 0; i < BACKLOG && now_ms >= desk->accept_at_ms; i++) {
        int fd = accept4(desk->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            take_connection(desk, fd, now_ms);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            cm_log(CM_LOG_WARNING, "cannot take a connection: %s", strerror(errno));
            desk->accept_at_ms = now_ms + ACCEPT_PAUSE_MS;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return; /* none is waiting */
        }
    }
}

void cm_desk_read(struct cm_desk *desk, const struct pollfd *fds, size_t count, struct cm_keeper *keeper,
                  int64_t now_ms)
{
    /* From the end: whoever goes is replaced by one that was looked at already. */
    for (size_t i = desk->count; i-- > 0 && !desk->has_stopped;) {
        bool is_ready = (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0;
        if ((is_ready || cm_client_has_line(desk->clients[i])) &&
            !cm_client_read(desk->clients[i], keeper, &desk->scratch, now_ms)) {
            remove_client(desk, i);
        }
    }
    if (desk->fd >= 0 && (fds[count - 1].revents & POLLIN) != 0) {
        take_connections(desk, now_ms);
    }
}

void cm_desk_settled(void *context, uint64_t number, const struct cm_write_result *result, const struct cm_err *err)
{
    static const enum cm_keeper_status statuses[] = {
        [CM_WRITE_UNSET] = CM_KEEPER_UNCERTAIN,   [CM_WRITE_APPLIED] = CM_KEEPER_APPLIED,
        [CM_WRITE_STALE] = CM_KEEPER_STALE,       [CM_WRITE_DUPLICATE] = CM_KEEPER_DUPLICATE,
        [CM_WRITE_REFUSED] = CM_KEEPER_REFUSED,   [CM_WRITE_OTHER_SEAL] = CM_KEEPER_UNCERTAIN,
        [CM_WRITE_NOT_DONE] = CM_KEEPER_NOT_DONE, [CM_WRITE_UNCERTAIN] = CM_KEEPER_UNCERTAIN,
    };
    struct cm_desk *desk = context;
    struct cm_pending *pending = NULL;
    for (size_t i = 0; i < desk->count && pending == NULL; i++) {
        pending = cm_client_find(desk->clients[i], number);
    }
    if (pending == NULL) {
        cm_log(CM_LOG_INFO, "act=%" PRIu64 " status=%s, after it was answered", number,
               cm_keeper_status_word(statuses[result->status]));
        return;
    }
    pending->is_settled = true;
    pending->answer = (struct cm_keeper_answer){
        .status = statuses[result->status],
        .ledger = result->ledger,
        .event_at = result->event_at,
        .trouble = result->trouble,
        .err = *err,
    };
}

void cm_desk_answer(struct cm_desk *desk, const struct cm_keeper *keeper, int64_t now_ms, bool is_last)
{
    for (size_t i = desk->count; i-- > 0;) {
        if (!cm_client_answer(desk->clients[i], keeper, now_ms, is_last)) {
            remove_client(desk, i);
        }
    }
}

bool cm_desk_is_waiting(const struct cm_desk *desk)
{
    for (size_t i = 0; i < desk->count; i++) {
        if (desk->clients[i]->pending_count > 0) {
            return true;
        }
    }
    return false;
}

bool cm_desk_has_more(const struct cm_desk *desk)
{
    for (size_t i = 0; i < desk->count && !desk->has_stopped; i++) {
        if (cm_client_has_line(desk->clients[i])) {
            return true;
        }
    }
    return false;
}
