/* Both ends of the control socket, with callers that are right, too long, silent, or gone. */
#include "ops/control.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SOCKET "control.sock"
#define PATIENCE_MS 20000 /* longer than any bound that is tested, so that a hang is a failure and no hang */

static char sandbox[] = "/tmp/cm-control-XXXXXX";

/* What the daemon's side does. */
struct desk {
    struct cm_control *control;
    atomic_size_t answer_bytes; /* how long an answer is, or 0: it is what was asked, behind the caller */
    atomic_bool is_out_of_memory;
};

static char *answer(void *context, const char *caller, const char *request)
{
    const struct desk *desk = context;
    size_t bytes = desk->answer_bytes;
    size_t size = bytes > 0 ? bytes + 1 : strlen(caller) + strlen(request) + 2;
    char *text = desk->is_out_of_memory ? NULL : malloc(size);
    if (text != NULL && bytes > 0) {
        memset(text, 'a', size - 1);
        text[size - 1] = '\0';
    } else if (text != NULL) {
        (void)snprintf(text, size, "%s:%s", caller, request); /* fits */
    }
    return text;
}

static int make_sandbox(void **state)
{
    (void)state;
    return mkdtemp(sandbox) != NULL && chdir(sandbox) == 0 ? 0 : -1;
}

static int remove_sandbox(void **state)
{
    (void)state;
    return chdir("/") == 0 && rmdir(sandbox) == 0 ? 0 : -1; /* a test that leaves a file in it fails here */
}

static int open_desk(void **state)
{
    struct cm_err err = {""};
    struct desk *desk = calloc(1, sizeof(*desk));
    assert_non_null(desk);
    desk->control = cm_control_new(SOCKET, 0600, NULL, answer, desk, &err);
    if (desk->control == NULL || !cm_control_start(desk->control, &err)) {
        fail_msg("%s", err.text);
    }
    *state = desk;
    return 0;
}

static int close_desk(void **state)
{
    struct desk *desk = *state;
    cm_control_free(desk->control);
    free(desk);
    return access(SOCKET, F_OK) != 0 && errno == ENOENT ? 0 : -1;
}

static int64_t now_ms(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static struct sockaddr_un address(void)
{
    return (struct sockaddr_un){.sun_family = AF_UNIX, .sun_path = SOCKET};
}

static int dial(void)
{
    struct sockaddr_un there = address();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&there, sizeof(there)), 0);
    return fd;
}

/* All that comes until the other end closes. */
static const char *hear(int fd, char *out, size_t size)
{
    size_t len = 0;
    for (;;) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&entry, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);
        if (n <= 0) { /* an end, or a reset because it did not read all that we sent */
            out[len] = '\0';
            return out;
        }
        len += (size_t)n;
    }
}

/* What is answered to a request of that many bytes before its line end. */
static const char *answer_to(size_t bytes, char *out, size_t size)
{
    static char request[CM_CONTROL_REQUEST_BYTES + 64];
    int fd = dial();
    assert_true(bytes < sizeof(request));
    memset(request, 'q', bytes);
    request[bytes] = '\n';
    assert_int_equal(send(fd, request, bytes + 1, MSG_NOSIGNAL), (ssize_t)bytes + 1);
    hear(fd, out, size);
    (void)close(fd); /* heard all */
    return out;
}

static char *ask(const char *request)
{
    char *text = NULL;
    struct cm_err err = {""};
    if (!cm_control_ask(SOCKET, request, &text, &err)) {
        fail_msg("%s", err.text);
    }
    return text;
}

static void expect_no_answer(const char *path, const char *word)
{
    char *text = NULL;
    struct cm_err err = {""};
    assert_false(cm_control_ask(path, "{}", &text, &err));
    assert_null(text);
    if (strstr(err.text, word) == NULL || strstr(err.text, path) == NULL) {
        fail_msg("%s", err.text);
    }
}

static void the_kernel_says_who_asks(void **state)
{
    (void)state;
    char uid[32];
    char *text = ask("{\"command\":\"status\"}");
    (void)snprintf(uid, sizeof(uid), "(uid %ld):", (long)getuid()); /* fits */
    assert_non_null(strstr(text, uid));
    assert_non_null(strstr(text, ":{\"command\":\"status\"}"));
    free(text);
}

static void a_request_has_a_ceiling(void **state)
{
    (void)state;
    static char text[2 * CM_CONTROL_REQUEST_BYTES];
    const char *told = strchr(answer_to(CM_CONTROL_REQUEST_BYTES, text, sizeof(text)), ':');
    assert_non_null(told);
    assert_int_equal(strspn(told + 1, "q"), CM_CONTROL_REQUEST_BYTES);
    assert_string_equal(answer_to(CM_CONTROL_REQUEST_BYTES + 1, text, sizeof(text)),
                        "{\"ok\":false,\"error\":\"a request is one line of JSON, at most 4096 bytes\"}");
    assert_non_null(strchr(answer_to(0, text, sizeof(text)), ':')); /* what an empty line means is the desk's affair */
}

static void an_answer_has_a_ceiling(void **state)
{
    struct desk *desk = *state;
    desk->answer_bytes = CM_CONTROL_ANSWER_BYTES - 1;
    char *text = ask("{}");
    assert_int_equal(strlen(text), CM_CONTROL_ANSWER_BYTES - 1);
    free(text);
    desk->answer_bytes = CM_CONTROL_ANSWER_BYTES;
    expect_no_answer(SOCKET, "too long");
    desk->answer_bytes = 0;
    free(ask("{}"));
}

static void a_desk_without_memory_says_so(void **state)
{
    struct desk *desk = *state;
    desk->is_out_of_memory = true;
    char *text = ask("{}");
    assert_string_equal(text, "{\"ok\":false,\"error\":\"out of memory\"}");
    free(text);
}

/* One that connects and is silent, one that says half a line: both are given up, and the next is served. */
static void a_silent_caller_does_not_keep_the_next(void **state)
{
    (void)state;
    int silent = dial();
    int slow = dial();
    int64_t began = now_ms();
    assert_int_equal(send(slow, "{", 1, MSG_NOSIGNAL), 1);
    free(ask("{}"));
    assert_true(now_ms() - began >= 2000); /* they were there first; `ask` waits for less than any more of them */
    char text[16];
    assert_string_equal(hear(silent, text, sizeof(text)), "");
    assert_string_equal(hear(slow, text, sizeof(text)), "");
    (void)close(silent); /* given up by the other end */
    (void)close(slow);   /* as before */
}

/* Gone before it asks, in the middle, and before it takes a long answer. If each was waited for, `ask` would give up.
 */
static void callers_that_vanish_do_no_harm(void **state)
{
    struct desk *desk = *state;
    static const char *const rows[] = {"", "{\"comm", "{}\n"};
    desk->answer_bytes = CM_CONTROL_ANSWER_BYTES - 1;
    for (size_t i = 0; i < 3 * 10; i++) {
        int fd = dial();
        const char *said = rows[i % 3];
        assert_int_equal(send(fd, said, strlen(said), MSG_NOSIGNAL), (ssize_t)strlen(said));
        (void)close(fd); /* vanishes */
    }
    free(ask("{}"));
}

/* A caller that asks and does not read is given up too: the answer is longer than the socket holds. */
static void a_caller_that_does_not_read_does_not_keep_the_next(void **state)
{
    struct desk *desk = *state;
    desk->answer_bytes = 8 * CM_CONTROL_ANSWER_BYTES;
    int fd = dial();
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    assert_int_equal(send(fd, "{}\n", 3, MSG_NOSIGNAL), 3);
    assert_int_equal(poll(&entry, 1, PATIENCE_MS), 1); /* it is being answered */
    desk->answer_bytes = 0;
    free(ask("{}"));
    (void)close(fd); /* given up by the other end */
}

/* Without a thread: what becomes of the path. */
static void a_stale_socket_is_replaced_and_a_living_one_is_not(void **state)
{
    (void)state;
    struct sockaddr_un there = address();
    struct cm_err err = {""};
    struct stat st;
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(stale, (const struct sockaddr *)&there, sizeof(there)), 0);
    (void)close(stale); /* as after a crash: the file stays */
    expect_no_answer(SOCKET, "Connection refused");

    struct cm_control *control = cm_control_new(SOCKET, 0640, NULL, answer, NULL, &err);
    if (control == NULL) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(stat(SOCKET, &st), 0);
    assert_int_equal(st.st_mode & 07777U, 0640);
    assert_null(cm_control_new(SOCKET, 0600, NULL, answer, NULL, &err));
    assert_non_null(strstr(err.text, "another instance answers on " SOCKET));
    assert_int_equal(stat(SOCKET, &st), 0); /* and it is untouched */
    assert_int_equal(st.st_mode & 07777U, 0640);
    cm_control_free(control);
    assert_int_equal(access(SOCKET, F_OK), -1);
}

static void a_path_that_cannot_be_listened_on(void **state)
{
    (void)state;
    char too_long[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    FILE *file = fopen("file", "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    const struct {
        const char *path;
        const char *group;
        const char *word;
    } rows[] = {
        {"file", NULL, "file exists and is not a socket"},
        {"none/control.sock", NULL, "No such file or directory"},
        {too_long, NULL, "is too long"},
        {SOCKET, "no-such-group-here", "there is no group no-such-group-here"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_err err = {""};
        assert_null(cm_control_new(rows[i].path, 0600, rows[i].group, answer, NULL, &err));
        if (strstr(err.text, rows[i].word) == NULL) {
            fail_msg("%s: %s", rows[i].path, err.text);
        }
        assert_int_equal(access(SOCKET, F_OK), -1);
    }
    assert_int_equal(unlink("file"), 0);
    cm_control_free(NULL);
}

static void nobody_there_is_said_clearly(void **state)
{
    (void)state;
    char too_long[200];
    memset(too_long, 'x', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    expect_no_answer("missing.sock", "no answer from the daemon: No such file or directory; does it run");
    expect_no_answer(too_long, "is too long");
}

int main(void)
{
#define WITH_DESK(test) cmocka_unit_test_setup_teardown(test, open_desk, close_desk)
    const struct CMUnitTest tests[] = {
        WITH_DESK(the_kernel_says_who_asks),
        WITH_DESK(a_request_has_a_ceiling),
        WITH_DESK(an_answer_has_a_ceiling),
        WITH_DESK(a_desk_without_memory_says_so),
        WITH_DESK(a_silent_caller_does_not_keep_the_next),
        WITH_DESK(callers_that_vanish_do_no_harm),
        WITH_DESK(a_caller_that_does_not_read_does_not_keep_the_next),
        cmocka_unit_test(a_stale_socket_is_replaced_and_a_living_one_is_not),
        cmocka_unit_test(a_path_that_cannot_be_listened_on),
        cmocka_unit_test(nobody_there_is_said_clearly),
    };
    return cmocka_run_group_tests(tests, make_sandbox, remove_sandbox);
}
