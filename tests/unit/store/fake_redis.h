/*
 * A Redis that says what a test tells it to: one thread behind a unix socket in a directory of its own. Commands are
 * parsed by hiredis' reader and handed to `answer`, which speaks RESP with fake_say, stays silent, or closes.
 */
#ifndef TESTS_UNIT_STORE_FAKE_REDIS_H
#define TESTS_UNIT_STORE_FAKE_REDIS_H

#include <hiredis/hiredis.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define FAKE_CLIENTS 64
#define FAKE_MASTER "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define FAKE_RUN_ID "1111111111111111111111111111111111111111"
#define FAKE_REPLICATION_ID "2222222222222222222222222222222222222222"

struct fake_client {
    int fd;
    unsigned number;   /* in order of acceptance, from 1 */
    unsigned commands; /* so far, this one included */
    bool close;        /* after this answer */
    redisReader *reader;
};

struct fake_redis {
    void (*answer)(struct fake_redis *fake, struct fake_client *client, const redisReply *command);
    void *context;
    const char *unasked;
    char directory[40];
    char path[64];
    int control[2];
    int listener;
    pthread_t thread;
    _Atomic unsigned accepted;
    _Atomic unsigned open;
    _Atomic unsigned max_open;
    _Atomic unsigned commands;
    struct fake_client clients[FAKE_CLIENTS];
};

static inline void fake_say_bytes(const struct fake_client *client, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t n = send(client->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0) {
            return; /* the other side has gone */
        }
        at += n;
        len -= (size_t)n;
    }
}

static inline void fake_say(const struct fake_client *client, const char *text)
{
    fake_say_bytes(client, text, strlen(text));
}

/* A text as a bulk string; NULL is nil. */
static inline void fake_say_bulk(const struct fake_client *client, const char *text, size_t len)
{
    char head[32];
    (void)snprintf(head, sizeof(head), text != NULL ? "$%zu\r\n" : "$-1\r\n", len); /* fits */
    fake_say(client, head);
    if (text != NULL) {
        fake_say_bytes(client, text, len);
        fake_say(client, "\r\n");
    }
}

/* Both sections that are asked for at connecting, as one. */
static inline void fake_say_info(const struct fake_client *client, const char *run_id, const char *replication_id)
{
    char text[512];
    int len = snprintf(text, sizeof(text),
                       "# Server\r\nredis_version:7.0.15\r\nrun_id:%s\r\n# Replication\r\nrole:master\r\n"
                       "master_replid:%s\r\nmaster_replid2:0000000000000000000000000000000000000000\r\n",
                       run_id, replication_id);
    fake_say_bulk(client, text, (size_t)len); /* fits */
}

static inline bool fake_is(const redisReply *command, size_t word, const char *text)
{
    return command->elements > word && strcasecmp(command->element[word]->str, text) == 0;
}

static inline void fake_listen(struct fake_redis *fake)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, fake->path, strlen(fake->path));
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fake->listener < 0 || bind(fake->listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fake->listener, FAKE_CLIENTS) != 0) {
        abort();
    }
}

static inline void fake_drop(struct fake_redis *fake, struct fake_client *client)
{
    (void)close(client->fd);
    redisReaderFree(client->reader);
    *client = (struct fake_client){.fd = -1};
    fake->open--;
}

static inline void fake_accept(struct fake_redis *fake)
{
    int fd = accept(fake->listener, NULL, NULL);
    for (size_t i = 0; fd >= 0 && i < FAKE_CLIENTS; i++) {
        struct fake_client *client = &fake->clients[i];
        if (client->fd < 0) {
            *client = (struct fake_client){.fd = fd, .number = ++fake->accepted, .reader = redisReaderCreate()};
            unsigned open = ++fake->open;
            fake->max_open = open > fake->max_open ? open : fake->max_open;
            return;
        }
    }
    abort(); /* more connections than any test expects */
}

static inline void fake_serve(struct fake_redis *fake, struct fake_client *client)
{
    char buffer[16384];
    ssize_t n = recv(client->fd, buffer, sizeof(buffer), 0);
    if (n <= 0) {
        fake_drop(fake, client);
        return;
    }
    (void)redisReaderFeed(client->reader, buffer, (size_t)n);
    for (;;) {
        void *command = NULL;
        if (redisReaderGetReply(client->reader, &command) != REDIS_OK || command == NULL) {
            return;
        }
        client->commands++;
        fake->commands++;
        fake->answer(fake, client, command);
        freeReplyObject(command);
        if (client->close) {
            fake_drop(fake, client);
            return;
        }
    }
}

/* What a test asks of the thread: 'd' drop all clients, 'r' refuse connections, 'l' listen again, 's' say to all
 * clients what nobody asked for, 'q' end. */
static inline bool fake_obey(struct fake_redis *fake)
{
    char order = 'q';
    if (recv(fake->control[1], &order, 1, 0) != 1) {
        return false;
    }
    for (size_t i = 0; i < FAKE_CLIENTS; i++) {
        if (fake->clients[i].fd < 0) {
            continue;
        }
        if (order == 's') {
            fake_say(&fake->clients[i], fake->unasked);
        } else if (order == 'd' || order == 'q') {
            fake_drop(fake, &fake->clients[i]);
        }
    }
    if (order == 'l') {
        fake_listen(fake);
    } else if ((order == 'r' || order == 'q') && fake->listener >= 0) {
        (void)close(fake->listener);
        (void)unlink(fake->path);
        fake->listener = -1;
    }
    (void)send(fake->control[1], &order, 1, MSG_NOSIGNAL);
    return order != 'q';
}

static inline void *fake_run(void *context)
{
    struct fake_redis *fake = context;
    for (;;) {
        struct pollfd fds[FAKE_CLIENTS + 2] = {{.fd = fake->control[1], .events = POLLIN},
                                               {.fd = fake->listener, .events = POLLIN}};
        for (size_t i = 0; i < FAKE_CLIENTS; i++) {
            fds[i + 2] = (struct pollfd){.fd = fake->clients[i].fd, .events = POLLIN};
        }
        (void)poll(fds, FAKE_CLIENTS + 2, -1);
        if (fds[0].revents != 0) {
            if (!fake_obey(fake)) {
                return NULL;
            }
            continue; /* what was polled may be gone */
        }
        for (size_t i = 0; i < FAKE_CLIENTS; i++) {
            if (fds[i + 2].revents != 0) {
                fake_serve(fake, &fake->clients[i]);
            }
        }
        if (fds[1].revents != 0) {
            fake_accept(fake);
        }
    }
}

/* Gives an order and waits until it is carried out. */
static inline void fake_order(struct fake_redis *fake, char order)
{
    char done = 0;
    assert_int_equal(send(fake->control[0], &order, 1, MSG_NOSIGNAL), 1);
    assert_int_equal(recv(fake->control[0], &done, 1, 0), 1);
}

static inline void fake_start(struct fake_redis *fake,
                              void (*answer)(struct fake_redis *, struct fake_client *, const redisReply *),
                              void *context)
{
    *fake = (struct fake_redis){.answer = answer, .context = context, .listener = -1};
    (void)snprintf(fake->directory, sizeof(fake->directory), "/tmp/cm-fake-redis-XXXXXX"); /* fits, as the next */
    assert_non_null(mkdtemp(fake->directory));
    (void)snprintf(fake->path, sizeof(fake->path), "%s/s", fake->directory);
    for (size_t i = 0; i < FAKE_CLIENTS; i++) {
        fake->clients[i].fd = -1;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fake->control), 0);
    fake_listen(fake);
    assert_int_equal(pthread_create(&fake->thread, NULL, fake_run, fake), 0);
}

static inline void fake_stop(struct fake_redis *fake)
{
    fake_order(fake, 'q');
    (void)pthread_join(fake->thread, NULL);
    (void)close(fake->control[0]);
    (void)close(fake->control[1]);
    (void)rmdir(fake->directory);
}

#endif
