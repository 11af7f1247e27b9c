/* TLS below the store: what passes, and what is refused and why. */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "tls_bench.h"

/* --- a good connection --- */

static void bytes_go_both_ways_and_the_end_is_said(void **state)
{
    struct bench *bench = *state;
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    bench->peer.serve = echo;
    for (size_t i = 0; i < COUNT(versions); i++) {
        bench->peer.max_version = versions[i];
        bench->peer.was_told_goodbye = false;
        server_start(&bench->peer);
        open_good(bench);
        assert_int_equal(quiet(bench), CM_IO_DONE);
        assert_int_equal(say(bench, CM_SPAN("hello"), LONG_MS, -1), CM_IO_DONE);
        hear_text(bench, "hello");
        assert_int_equal(quiet(bench), CM_IO_DONE);
        close_it(bench);
        server_join(&bench->peer);
        assert_string_equal(bench->peer.asked_name, NAME);
        assert_true(bench->peer.was_told_goodbye);
    }
}

/* More than all buffers hold is sent before the first byte is read. */
static void swallow_then_answer(struct tls_server *server)
{
    static const size_t size = 8 * 1048576;
    char *all = malloc(size);
    size_t got = 0;
    int n = 1;
    MUST(all != NULL);
    server_await(server);
    while (got < size && (n = SSL_read(server->ssl, all + got, (int)(size - got))) > 0) {
        got += (size_t)n;
    }
    if (got == size) {
        (void)SSL_write(server->ssl, all, (int)size);
    }
    server_drain(server);
    free(all);
}

static void *let_go_soon(void *argument)
{
    struct tls_server *server = argument;
    (void)usleep(SHORT_MS * 1000);
    server->go = true;
    return NULL;
}

static void large_amounts_pass_a_slow_peer(void **state)
{
    struct bench *bench = *state;
    const size_t size = 8 * 1048576;
    char *sent = malloc(size);
    char *got = malloc(size);
    size_t len = 0;
    pthread_t thread;
    for (size_t i = 0; i < size; i++) {
        sent[i] = (char)(i * 31 >> 3);
    }
    bench->peer.serve = swallow_then_answer;
    server_start(&bench->peer);
    open_good(bench);
    assert_int_equal(pthread_create(&thread, NULL, let_go_soon, &bench->peer), 0);
    assert_int_equal(say(bench, (struct cm_span){sent, size}, LONG_MS, -1), CM_IO_DONE);
    while (len < size) {
        size_t n = 0;
        assert_int_equal(hear(bench, got + len, size - len, &n, LONG_MS), CM_IO_DONE);
        len += n;
    }
    assert_memory_equal(sent, got, size);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close_it(bench);
    server_join(&bench->peer);
    free(sent);
    free(got);
}

/* --- whom we talk to --- */

static void the_name_decides(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *alt_names;
        const char *server_name;
        const char *asked; /* SNI; NULL: the certificate must be refused */
    } rows[] = {
        {"DNS:redis.test", "redis.test", "redis.test"},
        {"DNS:redis.test", "REDIS.test", "REDIS.test"},
        {"DNS:redis.test", "redis.test.", "redis.test"},
        {"DNS:*.redis.test", "a.redis.test", "a.redis.test"},
        {"DNS:other.test,DNS:redis.test", "redis.test", "redis.test"},
        {"IP:192.0.2.1", "192.0.2.1", ""},
        {"IP:2001:db8::1", "2001:db8:0:0::1", ""},
        {"IP:127.0.0.1", NULL, ""}, /* the host */
        {"DNS:127.0.0.1", NULL, NULL},
        {"DNS:redis.test", NULL, NULL},
        {"DNS:redis.test", "redis2.test", NULL},
        {"DNS:redis.test", "test", NULL},
        {"DNS:redis.test", "a.redis.test", NULL},
        {"DNS:*.redis.test", "redis.test", NULL},
        {"DNS:*.redis.test", "a.b.redis.test", NULL},
        {"DNS:a*.redis.test", "ab.redis.test", NULL},
        {"DNS:redis.test", "192.0.2.1", NULL},
        {"IP:192.0.2.1", "192.0.2.2", NULL},
        {"DNS:192.0.2.1", "192.0.2.1", NULL},
        {NULL, "redis.test", NULL}, /* a common name is no name */
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct identity server = make_identity(
            &(struct wanted){.alt_names = rows[i].alt_names, .common_name = NAME, .above = &bench->ca});
        bench->peer.identity = &server;
        bench->options.tls.server_name = rows[i].server_name;
        forget(bench);
        server_start(&bench->peer);
        enum cm_trouble want = rows[i].asked != NULL ? CM_TROUBLE_NONE : CM_TROUBLE_TLS;
        if (open_within(bench, LONG_MS) != want) {
            fail_msg("row %zu: %s", i, bench->err.text);
        }
        if (want == CM_TROUBLE_NONE) {
            close_it(bench);
        } else {
            assert_non_null(strstr(bench->err.text, "another name"));
        }
        server_join(&bench->peer);
        assert_true(rows[i].asked == NULL || strcmp(bench->peer.asked_name, rows[i].asked) == 0);
        drop_identity(&server);
    }
}

static void a_certificate_that_proves_nothing_is_refused(void **state)
{
    struct bench *bench = *state;
    const struct {
        struct wanted wanted;
        const char *want;
    } rows[] = {
        {{.from_s = -2 * DAY_S, .until_s = -60, .above = &bench->ca}, "has expired"},
        {{.from_s = 3600, .above = &bench->ca}, "not valid yet"},
        {{.above = &bench->other_ca}, "unknown authority"},
        {{.above = NULL}, "unknown authority"},
        {{.usage = "clientAuth", .above = &bench->ca}, "its certificate is not good: "},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct wanted wanted = rows[i].wanted;
        wanted.alt_names = "DNS:" NAME;
        struct identity server = make_identity(&wanted);
        bench->peer.identity = &server;
        server_start(&bench->peer);
        assert_int_equal(open_within(bench, LONG_MS), CM_TROUBLE_TLS);
        server_join(&bench->peer);
        assert_false(bench->peer.shook_hands && bench->peer.was_told_goodbye);
        drop_identity(&server);
        if (strstr(bench->err.text, rows[i].want) == NULL || strstr(bench->err.text, bench->peer.port) == NULL) {
            fail_msg("row %zu: %s", i, bench->err.text);
        }
    }
}

static void renewed_files_are_used_by_the_next_connection(void **state)
{
    struct bench *bench = *state;
    write_cert(bench->ca_file, &bench->other_ca);
    server_start(&bench->peer);
    assert_int_equal(open_within(bench, LONG_MS), CM_TROUBLE_TLS);
    server_join(&bench->peer);
    write_cert(bench->ca_file, &bench->ca);
    server_start(&bench->peer);
    open_good(bench);
    close_it(bench);
    server_join(&bench->peer);
}

static SSL_CTX *begin_one(struct bench *bench)
{
    SSL *ssl = cm_tls_context_begin(bench->options.tls.context, &bench->err);
    assert_non_null(ssl);
    SSL_CTX *made_of = SSL_get_SSL_CTX(ssl);
    SSL_free(ssl);
    return made_of; /* to be compared only */
}

static void files_are_read_again_only_when_they_have_changed(void **state)
{
    struct bench *bench = *state;
    const char *const files[] = {bench->ca_file, bench->cert_file, bench->key_file};
    bench->options.tls.cert_file = bench->cert_file;
    bench->options.tls.key_file = bench->key_file;
    prepare(bench);
    for (size_t i = 0; i < COUNT(files); i++) {
        SSL *before = cm_tls_context_begin(bench->options.tls.context, &bench->err); /* keeps what it is made of */
        assert_ptr_equal(begin_one(bench), SSL_get_SSL_CTX(before));
        FILE *file = fopen(files[i], "a");
        assert_true(file != NULL && fputs("\n", file) >= 0 && fclose(file) == 0);
        assert_ptr_not_equal(begin_one(bench), SSL_get_SSL_CTX(before));
        SSL_free(before);
    }
}

struct beginner {
    struct bench *bench;
    pthread_t thread;
};

static void *begin_many(void *argument)
{
    struct beginner *beginner = argument;
    for (unsigned i = 0; i < 100; i++) {
        struct cm_err err;
        SSL *ssl = cm_tls_context_begin(beginner->bench->options.tls.context, &err);
        MUST(ssl != NULL);
        SSL_free(ssl);
    }
    return NULL;
}

static void threads_share_what_is_renewed_under_them(void **state)
{
    struct bench *bench = *state;
    struct beginner beginners[4];
    char renewed[80];
    prepare(bench);
    for (size_t i = 0; i < COUNT(beginners); i++) {
        beginners[i].bench = bench;
        assert_int_equal(pthread_create(&beginners[i].thread, NULL, begin_many, &beginners[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++) { /* as a good program renews files: never is half of one there */
        (void)snprintf(renewed, sizeof(renewed), "%s.new", bench->ca_file); /* fits */
        write_cert(renewed, i % 2 == 0 ? &bench->other_ca : &bench->ca);
        assert_int_equal(rename(renewed, bench->ca_file), 0);
    }
    for (size_t i = 0; i < COUNT(beginners); i++) {
        assert_int_equal(pthread_join(beginners[i].thread, NULL), 0);
    }
}

/* --- who we are --- */

static void a_certificate_of_ours_is_shown(void **state)
{
    struct bench *bench = *state;
    bench->peer.clients = &bench->ca;
    bench->peer.serve = echo;
    bench->options.tls.cert_file = bench->cert_file;
    bench->options.tls.key_file = bench->key_file;
    server_start(&bench->peer);
    open_good(bench);
    assert_int_equal(say(bench, CM_SPAN("hello"), LONG_MS, -1), CM_IO_DONE);
    hear_text(bench, "hello");
    close_it(bench);
    server_join(&bench->peer);
}

/* In TLS 1.3 the other end judges our certificate only after our side of the handshake is done. */
static void what_the_other_end_makes_of_ours_is_told(void **state)
{
    struct bench *bench = *state;
    struct identity expired = make_identity(&(struct wanted){.until_s = -60, .from_s = -DAY_S, .above = &bench->ca});
    const struct {
        int version;
        const struct identity *shown;
        const struct identity *known;
        const char *want;
    } rows[] = {
        {TLS1_3_VERSION, NULL, &bench->ca, "asks for a certificate of ours"},
        {TLS1_2_VERSION, NULL, &bench->ca, "ask for a certificate of ours"},
        {TLS1_3_VERSION, &bench->client, &bench->other_ca, "does not know the authority of our certificate"},
        {TLS1_2_VERSION, &bench->client, &bench->other_ca, "does not know the authority of our certificate"},
        {TLS1_3_VERSION, &expired, &bench->ca, "our certificate has expired"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench->options.tls.cert_file = rows[i].shown != NULL ? bench->cert_file : NULL;
        bench->options.tls.key_file = rows[i].shown != NULL ? bench->key_file : NULL;
        if (rows[i].shown != NULL) {
            write_cert(bench->cert_file, rows[i].shown);
            write_key(bench->key_file, rows[i].shown, NULL);
        }
        forget(bench);
        bench->peer.clients = rows[i].known;
        bench->peer.max_version = rows[i].version;
        server_start(&bench->peer);
        if (open_within(bench, LONG_MS) == CM_TROUBLE_NONE) {
            assert_int_equal(quiet_until_not(bench), CM_IO_TLS);
            cm_tls_explain(bench->transport.tls, &bench->err);
            close_it(bench);
        }
        server_join(&bench->peer);
        if (strstr(bench->err.text, rows[i].want) == NULL) {
            fail_msg("row %zu: %s", i, bench->err.text);
        }
    }
    drop_identity(&expired);
}

static bool can_be_used(const struct cm_store_options *options, struct cm_err *err)
{
    struct cm_tls_context *context = cm_tls_context_new(options, err);
    cm_tls_context_free(context);
    return context != NULL;
}

static void files_that_cannot_be_used_are_named(void **state)
{
    struct bench *bench = *state;
    write_key(bench->other_file, &bench->client, "secret");
    const struct {
        struct cm_tls_options tls;
        const char *want;
        const char *file;
    } rows[] = {
        {{.ca_file = "/nowhere/ca"}, "store.tls.ca_file", "/nowhere/ca: No such file"},
        {{.ca_file = bench->key_file}, "store.tls.ca_file", bench->key_file},
        {{.cert_file = "/nowhere/cert", .key_file = bench->key_file}, "store.tls.cert_file", "/nowhere/cert: No such"},
        {{.cert_file = bench->key_file, .key_file = bench->key_file}, "store.tls.cert_file", bench->key_file},
        {{.cert_file = bench->cert_file, .key_file = "/nowhere/key"}, "store.tls.key_file", "/nowhere/key: No such"},
        {{.cert_file = bench->cert_file, .key_file = bench->cert_file}, "store.tls.key_file", bench->cert_file},
        {{.cert_file = bench->ca_file, .key_file = bench->key_file}, "store.tls.key_file", "mismatch"},
        {{.cert_file = bench->cert_file, .key_file = bench->other_file}, "store.tls.key_file", bench->other_file},
        {{.cert_file = bench->cert_file}, "store.tls.key_file", ""},
        {{.server_name = "."}, "store.tls.server_name", ""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_err err = {""};
        bench->options.tls = rows[i].tls;
        bench->options.tls.on = true;
        assert_false(can_be_used(&bench->options, &err));
        if (strstr(err.text, rows[i].want) == NULL || strstr(err.text, rows[i].file) == NULL) {
            fail_msg("row %zu: %s", i, err.text);
        }
    }
    /* No name at all must never mean any name. */
    struct cm_err err = {""};
    bench->options.tls = (struct cm_tls_options){.on = true};
    bench->options.host = NULL;
    assert_false(can_be_used(&bench->options, &err));
    assert_non_null(strstr(err.text, "server_name"));
    bench->options.tls = (struct cm_tls_options){.on = true, .server_name = NAME}; /* with the system's authorities */
    assert_true(can_be_used(&bench->options, &err));
}

/* OpenSSL would ask for the password on the terminal, and a daemon started from one would hang there. */
static void a_password_is_never_asked_for(void **state)
{
    struct bench *bench = *state;
    write_key(bench->key_file, &bench->client, "secret");
    bench->options.tls.cert_file = bench->cert_file;
    bench->options.tls.key_file = bench->key_file;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(LONG_MS / 1000); /* ends a wait for the password */
        /* The first terminal that the leader of a session opens becomes that of its session. */
        bool has_terminal = setsid() > 0 && open(ptsname(terminal), O_RDWR) >= 0;
        _exit(has_terminal && !can_be_used(&bench->options, NULL) ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(terminal);
}

static void a_file_lost_later_is_trouble(void **state)
{
    struct bench *bench = *state;
    bench->peer.serve_raw = NULL;
    server_listen(&bench->peer);
    prepare(bench);
    (void)unlink(bench->ca_file);
    assert_int_equal(open_within(bench, LONG_MS), CM_TROUBLE_TLS);
    assert_non_null(strstr(bench->err.text, bench->ca_file));
    (void)close(bench->peer.listener);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(bytes_go_both_ways_and_the_end_is_said),
        CASE(large_amounts_pass_a_slow_peer),
        CASE(the_name_decides),
        CASE(a_certificate_that_proves_nothing_is_refused),
        CASE(renewed_files_are_used_by_the_next_connection),
        CASE(files_are_read_again_only_when_they_have_changed),
        CASE(threads_share_what_is_renewed_under_them),
        CASE(a_certificate_of_ours_is_shown),
        CASE(what_the_other_end_makes_of_ours_is_told),
        CASE(files_that_cannot_be_used_are_named),
        CASE(a_password_is_never_asked_for),
        CASE(a_file_lost_later_is_trouble),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* for the server, whose OpenSSL writes with write(2) */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
