/* TLS below the store: what the other end may do to a connection, and that no wait is longer than its deadline. */
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "tls_bench.h"

#include "base/clock.h"

/* --- what is TLS' own is no stray byte --- */

static void send_tickets_and_new_keys(struct tls_server *server)
{
    server_await(server);
    MUST(SSL_new_session_ticket(server->ssl) == 1 && SSL_do_handshake(server->ssl) == 1);
    MUST(SSL_key_update(server->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(server->ssl) == 1);
    server->go = true;
    echo(server);
}

static void tickets_and_new_keys_are_no_stray_bytes(void **state)
{
    struct bench *bench = *state;
    bench->peer.serve = send_tickets_and_new_keys;
    server_start(&bench->peer);
    open_good(bench);
    bench->peer.go = true;
    struct pollfd there = {.fd = bench->transport.fd, .events = POLLIN};
    for (unsigned i = 0; i < 50; i++) { /* they arrive at any moment */
        assert_true(poll(&there, 1, 1) >= 0);
        assert_int_equal(quiet(bench), CM_IO_DONE);
    }
    assert_int_equal(say(bench, CM_SPAN("hello"), LONG_MS, -1), CM_IO_DONE);
    hear_text(bench, "hello");
    assert_int_equal(quiet(bench), CM_IO_DONE);
    close_it(bench);
    server_join(&bench->peer);
    assert_true(bench->peer.was_told_goodbye);
}

/* What is left of a record after a short read lies in OpenSSL, where poll does not see it. */
static void say_hello_unasked(struct tls_server *server)
{
    server_send(server, "hello");
    server_drain(server);
}

static void stray_bytes_are_seen_wherever_they_lie(void **state)
{
    struct bench *bench = *state;
    char first;
    size_t n = 0;
    bench->peer.serve = say_hello_unasked;
    server_start(&bench->peer);
    open_good(bench);
    assert_int_equal(quiet_until_not(bench), CM_IO_UNSET);
    assert_int_equal(hear(bench, &first, 1, &n, LONG_MS), CM_IO_DONE);
    assert_int_equal(first, 'h');
    assert_int_equal(quiet(bench), CM_IO_UNSET);
    hear_text(bench, "ello");
    assert_int_equal(quiet(bench), CM_IO_DONE);
    close_it(bench);
    server_join(&bench->peer);
}

/* --- the end of a connection --- */

static void say_goodbye(struct tls_server *server)
{
    server_send(server, "last");
    (void)SSL_shutdown(server->ssl);
    server_drain(server);
}

static void go_without_a_word(struct tls_server *server)
{
    server_send(server, "last");
}

static void a_peer_that_closes_is_closed_with_or_without_goodbye(void **state)
{
    struct bench *bench = *state;
    static void (*const ways[])(struct tls_server * server) = {say_goodbye, go_without_a_word};
    for (size_t i = 0; i < COUNT(ways); i++) {
        char byte;
        size_t n = 0;
        bench->peer.serve = ways[i];
        server_start(&bench->peer);
        open_good(bench);
        hear_text(bench, "last");
        assert_int_equal(quiet_until_not(bench), CM_IO_CLOSED);
        assert_int_equal(hear(bench, &byte, 1, &n, LONG_MS), CM_IO_CLOSED);
        close_it(bench);
        server_join(&bench->peer);
    }
}

static void send_garbage(struct tls_server *server)
{
    static const char garbage[] = "\x17\x03\x03\x00\x05hello";
    (void)send(server->fd, garbage, sizeof(garbage) - 1, MSG_NOSIGNAL);
    server_drain(server);
}

static void bytes_that_were_forged_on_the_way_end_it(void **state)
{
    struct bench *bench = *state;
    char byte;
    size_t n = 0;
    bench->peer.serve = send_garbage;
    server_start(&bench->peer);
    open_good(bench);
    assert_int_equal(hear(bench, &byte, 1, &n, LONG_MS), CM_IO_TLS);
    cm_tls_explain(bench->transport.tls, &bench->err);
    assert_non_null(strstr(bench->err.text, "TLS with Redis: "));
    close_it(bench);
    server_join(&bench->peer);
}

static void ask_for_renegotiation(struct tls_server *server)
{
    char byte;
    (void)SSL_renegotiate(server->ssl); /* it must fail, now or at the next call */
    (void)SSL_do_handshake(server->ssl);
    (void)SSL_read(server->ssl, &byte, 1);
    server->shook_hands = SSL_num_renegotiations(server->ssl) == 0 || SSL_in_init(server->ssl);
}

static void renegotiation_is_refused(void **state)
{
    struct bench *bench = *state;
    bench->peer.max_version = TLS1_2_VERSION;
    bench->peer.serve = ask_for_renegotiation;
    server_start(&bench->peer);
    open_good(bench);
    char byte;
    size_t n = 0;
    (void)hear(bench, &byte, 1, &n, SHORT_MS); /* it ends, or nothing comes: the server's thread tells more */
    close_it(bench);
    server_join(&bench->peer);
    assert_true(bench->peer.shook_hands);
}

/* With the default action of SIGPIPE in a process of its own, as cmocka's would be ended too. */
static void writing_to_a_peer_that_has_gone_raises_no_signal(void **state)
{
    struct bench *bench = *state;
    bench->peer.serve = go_without_a_word;
    server_start(&bench->peer);
    open_good(bench);
    server_join(&bench->peer);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGPIPE, SIG_DFL);
        enum cm_io io = CM_IO_DONE;
        for (unsigned i = 0; i < 1000 && io == CM_IO_DONE; i++) {
            io = say(bench, CM_SPAN("hello"), LONG_MS, -1);
        }
        bench->transport.ops->close(&bench->transport); /* it has a last word to say as well */
        _exit(io == CM_IO_CLOSED ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close_it(bench);
}

/* --- waiting --- */

static void hold(struct tls_server *server)
{
    server_await(server);
}

static void a_wait_ends_at_its_deadline_or_when_it_is_tripped(void **state)
{
    struct bench *bench = *state;
    const size_t size = 16 * 1048576; /* more than the sockets hold */
    struct cm_span much = {calloc(size, 1), size};
    char byte;
    size_t n = 0;
    uint64_t one = 1;
    int trip_fd = eventfd(0, EFD_CLOEXEC);
    bench->peer.serve = hold;
    for (unsigned i = 0; i < 2; i++) {
        server_start(&bench->peer);
        open_good(bench);
        int64_t before = cm_clock_monotonic_ms();
        assert_int_equal(hear(bench, &byte, 1, &n, SHORT_MS), CM_IO_TIMEOUT);
        if (i == 0) {
            assert_int_equal(say(bench, much, SHORT_MS, trip_fd), CM_IO_TIMEOUT);
            assert_in_range(cm_clock_monotonic_ms() - before, 2 * SHORT_MS - 1, LONG_MS / 2);
            assert_int_equal(write(trip_fd, &one, sizeof(one)), sizeof(one));
        } else {
            assert_int_equal(say(bench, much, LONG_MS, trip_fd), CM_IO_TRIPPED);
            assert_in_range(cm_clock_monotonic_ms() - before, SHORT_MS - 1, LONG_MS / 2);
        }
        bench->peer.go = true;
        close_it(bench);
        server_join(&bench->peer);
    }
    (void)close(trip_fd);
    free((char *)much.p);
}

static void wait_for_a_reader(struct tls_server *server)
{
    server_await(server);
    server_send(server, "late");
    server_drain(server);
}

static void an_answer_counts_even_if_the_breaker_has_opened(void **state)
{
    struct bench *bench = *state;
    char buffer[8];
    size_t n = 0;
    int trip_fd = eventfd(1, EFD_CLOEXEC);
    const struct cm_transport_ops *ops = NULL;
    bench->peer.serve = wait_for_a_reader;
    server_start(&bench->peer);
    open_good(bench);
    ops = bench->transport.ops;
    int64_t deadline = cm_clock_monotonic_ms() + LONG_MS;
    assert_int_equal(ops->receive(&bench->transport, buffer, sizeof(buffer), &n, deadline, trip_fd), CM_IO_TRIPPED);
    bench->peer.go = true;
    assert_int_equal(quiet_until_not(bench), CM_IO_UNSET);
    assert_int_equal(ops->receive(&bench->transport, buffer, sizeof(buffer), &n, deadline, trip_fd), CM_IO_DONE);
    assert_int_equal(n, 4);
    close_it(bench);
    server_join(&bench->peer);
    (void)close(trip_fd);
}

/* --- what is not TLS, or not enough of it --- */

static void raw_silence(struct tls_server *server)
{
    server_await(server);
}

/* A record that is announced and never ends: each byte is something to read. */
static void raw_drip(struct tls_server *server)
{
    (void)send(server->fd, "\x16\x03\x03\x3f\xff", 5, MSG_NOSIGNAL);
    while (!server->go && send(server->fd, "\x02", 1, MSG_NOSIGNAL) == 1) {
        (void)usleep(1000);
    }
}

static void the_handshake_ends_at_the_deadline(void **state)
{
    struct bench *bench = *state;
    static void (*const ways[])(struct tls_server * server) = {raw_silence, raw_drip};
    for (size_t i = 0; i < COUNT(ways); i++) {
        bench->peer.go = false;
        bench->peer.serve_raw = ways[i];
        server_start(&bench->peer);
        int64_t before = cm_clock_monotonic_ms();
        assert_int_equal(open_within(bench, SHORT_MS), CM_TROUBLE_TIMEOUT);
        assert_in_range(cm_clock_monotonic_ms() - before, SHORT_MS - 1, LONG_MS / 2);
        assert_non_null(strstr(bench->err.text, bench->peer.port));
        bench->peer.go = true;
        server_join(&bench->peer);
    }
}

static void raw_redis(struct tls_server *server)
{
    char buffer[4096];
    static const char answer[] = "-ERR unknown command\r\n";
    (void)recv(server->fd, buffer, sizeof(buffer), 0);
    (void)send(server->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
    (void)recv(server->fd, buffer, sizeof(buffer), 0);
}

static void raw_close(struct tls_server *server)
{
    char buffer[4096];
    (void)recv(server->fd, buffer, sizeof(buffer), 0);
}

static void what_is_no_tls_is_told(void **state)
{
    struct bench *bench = *state;
    static const struct {
        void (*serve_raw)(struct tls_server *server);
        int max_version;
        enum cm_trouble want;
        const char *text;
    } rows[] = {
        {raw_redis, 0, CM_TROUBLE_TLS, "does not speak TLS"},
        {raw_close, 0, CM_TROUBLE_CONNECTION_LOST, "closed the connection during the handshake"},
        {NULL, TLS1_1_VERSION, CM_TROUBLE_TLS, "no version of TLS from 1.2 on"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench->peer.serve_raw = rows[i].serve_raw;
        bench->peer.max_version = rows[i].max_version;
        server_start(&bench->peer);
        enum cm_trouble trouble = open_within(bench, LONG_MS);
        if (trouble != rows[i].want || strstr(bench->err.text, rows[i].text) == NULL) {
            fail_msg("row %zu: %s", i, bench->err.text);
        }
        server_join(&bench->peer);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(tickets_and_new_keys_are_no_stray_bytes),
        CASE(stray_bytes_are_seen_wherever_they_lie),
        CASE(a_peer_that_closes_is_closed_with_or_without_goodbye),
        CASE(bytes_that_were_forged_on_the_way_end_it),
        CASE(renegotiation_is_refused),
        CASE(writing_to_a_peer_that_has_gone_raises_no_signal),
        CASE(a_wait_ends_at_its_deadline_or_when_it_is_tripped),
        CASE(an_answer_counts_even_if_the_breaker_has_opened),
        CASE(the_handshake_ends_at_the_deadline),
        CASE(what_is_no_tls_is_told),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* for the server, whose OpenSSL writes with write(2) */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
