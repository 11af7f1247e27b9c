/* Where the HTTP server listens, and what it says of places where it cannot; its answers are tested on the filter. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/http.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool nothing(void *context, const char *path, struct cm_http_answer *out)
{
    (void)context;
    (void)path;
    (void)out;
    return false;
}

static void places_that_are_none(void **state)
{
    static const char *const places[] = {"",      "127.0.0.1", "localhost:80", "127.0.0.1:",  ":80",
                                         "[::1]", "[::1:80",   "[]:80",        "[127.0.0.1",  "127.0.0.1:http",
                                         "]:80",  "[",         "unix:",        "300.0.0.1:80"};
    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        struct cm_err err = {""};
        struct cm_http *http = cm_http_new(places[i], "metrics.listen", nothing, NULL, &err);
        if (http != NULL || strstr(err.text, "metrics.listen") == NULL) {
            fail_msg("\"%s\": %s", places[i], err.text);
        }
    }
}

static void a_path_that_does_not_fit(void **state)
{
    char place[200] = "unix:/";
    struct cm_err err = {""};
    (void)state;
    memset(place + 6, 'a', sizeof(place) - 7);
    place[sizeof(place) - 1] = '\0';
    assert_null(cm_http_new(place, "metrics.listen", nothing, NULL, &err));
    assert_non_null(strstr(err.text, "too long a one"));
}

static void loopback_of_both_families(void **state)
{
    static const char *const places[] = {"127.0.0.1:0", "[::1]:0"};
    (void)state;
    for (size_t i = 0; i < COUNT(places); i++) {
        struct cm_err err = {""};
        struct cm_http *http = cm_http_new(places[i], "metrics.listen", nothing, NULL, &err);
        if (http == NULL && i == 1 && strstr(err.text, "assign") != NULL) {
            continue; /* a machine without IPv6 */
        }
        assert_non_null(http);
        assert_true(cm_http_start(http, &err));
        cm_http_free(http);
    }
    cm_http_free(NULL);
}

static void a_port_that_is_taken(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    char place[32];
    struct cm_err err = {""};
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(place, sizeof(place), "127.0.0.1:%u", ntohs(address.sin_port)); /* fits */
    assert_null(cm_http_new(place, "metrics.listen", nothing, NULL, &err));
    assert_non_null(strstr(err.text, "cannot listen on metrics.listen 127.0.0.1:"));
    (void)close(fd);
}

static void a_unix_socket_is_made_and_removed(void **state)
{
    char directory[] = "/tmp/cm-http-XXXXXX";
    char place[64];
    struct stat st;
    struct cm_err err = {""};
    (void)state;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(place, sizeof(place), "unix:%s/s", directory); /* fits */
    struct cm_http *http = cm_http_new(place, "metrics.listen", nothing, NULL, &err);
    assert_non_null(http);
    assert_int_equal(stat(place + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    struct cm_err second = {""};
    assert_null(cm_http_new(place, "metrics.listen", nothing, NULL, &second));
    assert_non_null(strstr(second.text, "another instance"));
    cm_http_free(http); /* also before it was started */
    assert_int_not_equal(stat(place + 5, &st), 0);
    FILE *file = fopen(place + 5, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_null(cm_http_new(place, "metrics.listen", nothing, NULL, &second));
    assert_non_null(strstr(second.text, "not a socket"));
    assert_int_equal(unlink(place + 5), 0); /* a file that is no socket was left alone */
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_that_are_none),
        cmocka_unit_test(a_path_that_does_not_fit),
        cmocka_unit_test(loopback_of_both_families),
        cmocka_unit_test(a_port_that_is_taken),
        cmocka_unit_test(a_unix_socket_is_made_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
