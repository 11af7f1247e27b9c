/* A transport with TLS and its scripted server. */
#ifndef TESTS_UNIT_STORE_TLS_BENCH_H
#define TESTS_UNIT_STORE_TLS_BENCH_H

#include <poll.h>

#include "base/clock.h"
#include "tls_server.h"
#include "transport_tls.h"
#include "transport_tls_context.h"

#define LONG_MS 20000
#define SHORT_MS 100
#define NAME "redis.test"

struct bench {
    char directory[40];
    char ca_file[64];
    char cert_file[64];
    char key_file[64];
    char other_file[64];
    struct identity ca;
    struct identity other_ca;
    struct identity server;
    struct identity client;
    struct tls_server peer;
    struct cm_store_options options;
    struct cm_transport transport;
    struct cm_err err;
};

static inline int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    (void)snprintf(bench->directory, sizeof(bench->directory), "/tmp/cm-tls-XXXXXX"); /* fits, as those below */
    assert_non_null(mkdtemp(bench->directory));
    (void)snprintf(bench->ca_file, sizeof(bench->ca_file), "%s/ca", bench->directory);
    (void)snprintf(bench->cert_file, sizeof(bench->cert_file), "%s/cert", bench->directory);
    (void)snprintf(bench->key_file, sizeof(bench->key_file), "%s/key", bench->directory);
    (void)snprintf(bench->other_file, sizeof(bench->other_file), "%s/other", bench->directory);
    bench->ca = make_authority("our authority");
    bench->other_ca = make_authority("another authority");
    bench->server = make_identity(&(struct wanted){.alt_names = "DNS:" NAME, .above = &bench->ca});
    bench->client = make_identity(&(struct wanted){.above = &bench->ca});
    write_cert(bench->ca_file, &bench->ca);
    write_cert(bench->cert_file, &bench->client);
    write_key(bench->key_file, &bench->client, NULL);
    write_cert(bench->other_file, &bench->other_ca);
    bench->peer = (struct tls_server){.identity = &bench->server, .serve = server_drain};
    bench->options = (struct cm_store_options){.host = "127.0.0.1",
                                               .port = bench->peer.port,
                                               .tls = {.on = true, .ca_file = bench->ca_file, .server_name = NAME}};
    *state = bench;
    return 0;
}

/* What the store does once, for all its connections. */
static inline void prepare(struct bench *bench)
{
    if (bench->options.tls.context == NULL) {
        bench->options.tls.context = cm_tls_context_new(&bench->options, &bench->err);
        assert_non_null(bench->options.tls.context);
    }
}

/* The options may change. */
static inline void forget(struct bench *bench)
{
    cm_tls_context_free(bench->options.tls.context);
    bench->options.tls.context = NULL;
}

static inline int tear_down(void **state)
{
    struct bench *bench = *state;
    forget(bench);
    (void)unlink(bench->ca_file);
    (void)unlink(bench->cert_file);
    (void)unlink(bench->key_file);
    (void)unlink(bench->other_file);
    (void)rmdir(bench->directory);
    drop_identity(&bench->ca);
    drop_identity(&bench->other_ca);
    drop_identity(&bench->server);
    drop_identity(&bench->client);
    free(bench);
    return 0;
}

static inline enum cm_trouble open_within(struct bench *bench, int64_t ms)
{
    prepare(bench);
    bench->err.text[0] = '\0';
    enum cm_trouble trouble = cm_transport_open(&bench->options, cm_clock_monotonic_ms() + ms, &bench->transport,
                                                &bench->err);
    assert_int_equal(trouble == CM_TROUBLE_NONE, bench->err.text[0] == '\0');
    return trouble;
}

static inline void open_good(struct bench *bench)
{
    enum cm_trouble trouble = open_within(bench, LONG_MS);
    if (trouble != CM_TROUBLE_NONE) {
        fail_msg("%s", bench->err.text);
    }
}

static inline void close_it(struct bench *bench)
{
    bench->transport.ops->close(&bench->transport);
    assert_null(bench->transport.ops);
    assert_int_equal(bench->transport.fd, -1);
}

static inline enum cm_io say(struct bench *bench, struct cm_span bytes, int64_t ms, int trip_fd)
{
    return bench->transport.ops->send(&bench->transport, bytes, cm_clock_monotonic_ms() + ms, trip_fd);
}

static inline enum cm_io hear(struct bench *bench, char *out, size_t size, size_t *out_len, int64_t ms)
{
    return bench->transport.ops->receive(&bench->transport, out, size, out_len, cm_clock_monotonic_ms() + ms, -1);
}

static inline enum cm_io quiet(struct bench *bench)
{
    return bench->transport.ops->quiet(&bench->transport);
}

/* Until it is something else than DONE: what the other end does takes a while to arrive. */
static inline enum cm_io quiet_until_not(struct bench *bench)
{
    int64_t deadline = cm_clock_monotonic_ms() + LONG_MS;
    enum cm_io io = CM_IO_DONE;
    while ((io = quiet(bench)) == CM_IO_DONE) {
        assert_true(cm_clock_monotonic_ms() < deadline);
        (void)poll(NULL, 0, 1);
    }
    return io;
}

static inline void hear_text(struct bench *bench, const char *want)
{
    char buffer[64];
    size_t got = 0;
    while (got < strlen(want)) {
        size_t n = 0;
        assert_int_equal(hear(bench, buffer + got, sizeof(buffer) - got, &n, LONG_MS), CM_IO_DONE);
        got += n;
    }
    assert_int_equal(got, strlen(want));
    assert_memory_equal(buffer, want, got);
}

static inline void echo(struct tls_server *server)
{
    static const size_t size = 65536;
    char *buffer = malloc(size);
    int n = 0;
    while ((n = SSL_read(server->ssl, buffer, (int)size)) > 0 && SSL_write(server->ssl, buffer, n) == n) {
    }
    server->was_told_goodbye = SSL_get_error(server->ssl, n) == SSL_ERROR_ZERO_RETURN;
    free(buffer);
}

#endif
