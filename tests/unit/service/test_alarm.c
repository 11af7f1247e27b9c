/* Mail to the officer, by a real libcurl and a mail server of this file: that it comes, how often, and what a server
 * that refuses or hangs does. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "service/alarm.h"

enum manner { TAKES, REFUSES, HANGS };

struct server {
    int listener;
    char address[32];
    _Atomic enum manner manner;
    atomic_uint taken;
    atomic_uint connections;
    char text[8192]; /* of the last mail; read after `taken` has grown */
    pthread_t thread;
};

static void say(FILE *stream, const char *line)
{
    (void)fprintf(stream, "%s\r\n", line);
    (void)fflush(stream);
}

static void take_text(struct server *server, FILE *stream)
{
    char line[1024];
    size_t len = 0;
    say(stream, "354 go on");
    while (fgets(line, sizeof(line), stream) != NULL && strcmp(line, ".\r\n") != 0) {
        size_t n = strlen(line);
        assert_true(len + n < sizeof(server->text));
        memcpy(server->text + len, line, n + 1);
        len += n;
    }
    atomic_fetch_add(&server->taken, 1);
    say(stream, "250 taken");
}

static void talk(struct server *server, FILE *stream)
{
    char line[1024];
    say(stream, "220 test");
    while (fgets(line, sizeof(line), stream) != NULL) {
        if (strncmp(line, "DATA", 4) == 0) {
            take_text(server, stream);
        } else if (strncmp(line, "RCPT", 4) == 0 && server->manner == REFUSES) {
            say(stream, "554 no");
        } else {
            say(stream, strncmp(line, "QUIT", 4) == 0 ? "221 bye" : "250 ok");
        }
    }
}

static void *serve(void *context)
{
    struct server *server = context;
    int fd;
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        char byte;
        atomic_fetch_add(&server->connections, 1);
        FILE *stream = server->manner == HANGS ? NULL : fdopen(fd, "r+");
        if (stream != NULL) {
            talk(server, stream);
            (void)fclose(stream);
        } else {
            (void)!read(fd, &byte, 1); /* until the other end gives up */
            (void)close(fd);
        }
    }
    return NULL;
}

static void start_server(struct server *server, enum manner manner)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    memset(server, 0, sizeof(*server));
    server->manner = manner;
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (const struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 4), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", ntohs(address.sin_port)); /* fits */
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop_server(struct server *server)
{
    (void)shutdown(server->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
}

static struct cm_settings settings_for(const struct server *server)
{
    return (struct cm_settings){.officer = "officer@acme.example",
                                .canaries_file = "/etc/canaries",
                                .mail = {.server = server->address, .from = "milter@acme.example"}};
}

static void raise_one(struct cm_alarm *alarm, const struct cm_settings *settings, unsigned line)
{
    const struct cm_alarm_report report = {
        .line = line, .stream = "acme-news", .session = "1-2", .client = "192.0.2.1", .auth = "acme"};
    cm_alarm_raise(alarm, settings, &report);
}

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until a counter of the alarm has come so far. */
static void await(struct cm_alarm *alarm, bool mailed, uint64_t count)
{
    int64_t deadline = now_ms() + 20000;
    for (;;) {
        struct cm_alarm_counts counts = cm_alarm_counts(alarm);
        if ((mailed ? counts.mailed : counts.failed) >= count) {
            return;
        }
        assert_true(now_ms() < deadline);
        (void)usleep(2000);
    }
}

static void what_comes_between_two_mails_is_told_by_the_next(void **state)
{
    struct server server;
    (void)state;
    start_server(&server, TAKES);
    struct cm_settings settings = settings_for(&server);
    struct cm_alarm *alarm = cm_alarm_new(2, 1);
    struct cm_err err;
    assert_true(cm_alarm_start(alarm, &err));
    raise_one(alarm, &settings, 7);
    await(alarm, true, 1);
    int64_t first = now_ms();
    assert_int_equal(server.taken, 1);
    assert_non_null(strstr(server.text, "\r\nTo: <officer@acme.example>\r\n"));
    assert_non_null(strstr(server.text, "line 7 of /etc/canaries\r\n"));
    assert_non_null(strstr(server.text, "since the last mail: 1."));
    raise_one(alarm, &settings, 8);
    raise_one(alarm, &settings, 9);
    await(alarm, true, 2);
    assert_true(now_ms() - first > 900); /* the clock of waiting has whole seconds */
    assert_int_equal(server.taken, 2);
    assert_non_null(strstr(server.text, "line 9 of /etc/canaries\r\n"));
    assert_non_null(strstr(server.text, "since the last mail: 2."));
    assert_int_equal(cm_alarm_counts(alarm).raised, 3);
    cm_alarm_free(alarm);
    stop_server(&server);
}

static void a_server_that_refuses_is_tried_again(void **state)
{
    struct server server;
    (void)state;
    start_server(&server, REFUSES);
    struct cm_settings settings = settings_for(&server);
    struct cm_alarm *alarm = cm_alarm_new(900, 1);
    struct cm_err err;
    assert_true(cm_alarm_start(alarm, &err));
    raise_one(alarm, &settings, 7);
    await(alarm, false, 1);
    server.manner = TAKES;
    await(alarm, true, 1);
    assert_int_equal(server.taken, 1);
    assert_non_null(strstr(server.text, "since the last mail: 1."));
    cm_alarm_free(alarm);
    stop_server(&server);
}

static void a_server_that_hangs_does_not_delay_a_stop(void **state)
{
    struct server server;
    (void)state;
    start_server(&server, HANGS);
    struct cm_settings settings = settings_for(&server);
    struct cm_alarm *alarm = cm_alarm_new(900, 60);
    struct cm_err err;
    assert_true(cm_alarm_start(alarm, &err));
    raise_one(alarm, &settings, 7);
    int64_t began = now_ms();
    while (server.connections == 0) {
        assert_true(now_ms() - began < 20000);
        (void)usleep(2000);
    }
    began = now_ms();
    cm_alarm_free(alarm);
    assert_true(now_ms() - began < 5000);
    stop_server(&server);
}

static void without_a_server_nothing_is_kept(void **state)
{
    struct cm_settings settings = {.canaries_file = "/etc/canaries"};
    struct cm_alarm *alarm = cm_alarm_new(900, 60);
    (void)state;
    raise_one(alarm, &settings, 7);
    cm_alarm_raise(NULL, &settings, &(struct cm_alarm_report){.line = 1});
    assert_int_equal(cm_alarm_counts(alarm).raised, 1);
    cm_alarm_free(alarm);
    cm_alarm_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_between_two_mails_is_told_by_the_next),
        cmocka_unit_test(a_server_that_refuses_is_tried_again),
        cmocka_unit_test(a_server_that_hangs_does_not_delay_a_stop),
        cmocka_unit_test(without_a_server_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
