/* What a service manager is told, at a socket of our own, and how often it wants to hear from us. */
#include "ops/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char sandbox[] = "/tmp/cm-notify-XXXXXX";

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

/* A manager that listens at `path`; "@" begins a name without a file. A datagram is there once sendto returned. */
static int open_manager(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    assert_true(len < sizeof(address.sun_path));
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(
        bind(fd, (const struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    return fd;
}

/* The next message, or "" if there is none. */
static const char *heard(int fd, char out[256])
{
    ssize_t n = recv(fd, out, 255, MSG_DONTWAIT);
    out[n > 0 ? n : 0] = '\0';
    return out;
}

static void set(const char *name, const char *value)
{
    assert_int_equal(value != NULL ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void the_manager_hears_at_a_path_and_at_a_name(void **state)
{
    (void)state;
    char text[256];
    char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    char name[64];
    (void)snprintf(path, sizeof(path), "%s/notify", sandbox);             /* fits */
    (void)snprintf(name, sizeof(name), "@cm-notify-%ld", (long)getpid()); /* fits */
    for (size_t i = 0; i < 2; i++) {
        const char *where = i == 0 ? path : name;
        int manager = open_manager(where);
        set("NOTIFY_SOCKET", where);
        cm_notify("READY=1\nSTATUS=serving");
        assert_string_equal(heard(manager, text), "READY=1\nSTATUS=serving");
        assert_string_equal(heard(manager, text), "");
        (void)close(manager); /* heard all */
    }
    assert_int_equal(unlink(path), 0);
}

static void a_reload_is_told_with_its_time(void **state)
{
    (void)state;
    char text[256];
    char name[64];
    struct timespec before;
    struct timespec after;
    long long at = 0;
    char rest = '\0';
    (void)snprintf(name, sizeof(name), "@cm-reload-%ld", (long)getpid()); /* fits */
    int manager = open_manager(name);
    set("NOTIFY_SOCKET", name);
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &before), 0);
    cm_notify_reloading();
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &after), 0);
    static const char start[] = "RELOADING=1\nMONOTONIC_USEC=";
    assert_memory_equal(heard(manager, text), start, sizeof(start) - 1);
    /* NOLINTNEXTLINE(cert-err34-c): what is not a number matches nothing here. */
    assert_int_equal(sscanf(text + sizeof(start) - 1, "%lld%c", &at, &rest), 1);
    assert_true(at >= (long long)before.tv_sec * 1000000 + before.tv_nsec / 1000);
    assert_true(at <= (long long)after.tv_sec * 1000000 + after.tv_nsec / 1000);
    (void)close(manager); /* heard all */
}

/* A manager listens at "./notify", but the variable does not name it so. */
static void nobody_is_told_without_a_good_address(void **state)
{
    (void)state;
    char text[256];
    char too_long[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
    memset(too_long, '/', sizeof(too_long) - 1);
    too_long[sizeof(too_long) - 1] = '\0';
    const char *rows[] = {NULL, "", "notify", "./notify", "/nonexistent/notify", "@", too_long};
    int manager = open_manager("notify");
    for (size_t i = 0; i < COUNT(rows); i++) {
        set("NOTIFY_SOCKET", rows[i]);
        cm_notify("READY=1");
        cm_notify_reloading();
        assert_string_equal(heard(manager, text), "");
    }
    (void)close(manager); /* heard nothing */
    assert_int_equal(unlink("notify"), 0);
}

/* A manager that does not read must not hold us up. */
static void a_full_manager_does_not_block(void **state)
{
    (void)state;
    char name[64];
    (void)snprintf(name, sizeof(name), "@cm-full-%ld", (long)getpid()); /* fits */
    int manager = open_manager(name);
    set("NOTIFY_SOCKET", name);
    (void)alarm(20); /* blocked, this test ends by the signal */
    for (unsigned i = 0; i < 5000; i++) {
        cm_notify("WATCHDOG=1");
    }
    (void)alarm(0);
    (void)close(manager); /* what it has not read is lost */
}

static void the_watchdog_is_told_twice_a_period(void **state)
{
    (void)state;
    char own[24];
    char other[24];
    (void)snprintf(own, sizeof(own), "%ld", (long)getpid());      /* fits */
    (void)snprintf(other, sizeof(other), "%ld", (long)getppid()); /* fits */
    const struct {
        const char *period;
        const char *pid;
        unsigned want;
    } rows[] = {
        {NULL, NULL, 0},
        {NULL, own, 0},
        {"30000000", NULL, 15000},
        {"30000000", own, 15000},
        {"30000000", other, 0},
        {"30000000", "", 0},
        {"30000000", "x", 0},
        {"30000000", "99999999999999999999", 0},
        {"2000", NULL, 1},
        {"1999", NULL, 0},
        {"3600000000", NULL, 1800000},
        {"3600000001", NULL, 0},
        {"0", NULL, 0},
        {"", NULL, 0},
        {"-30000000", NULL, 0},
        {"+30000000", NULL, 0},
        {" 30000000", NULL, 0},
        {"30000000s", NULL, 0},
        {"3e7", NULL, 0},
        {"99999999999999999999999", NULL, 0},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        set("WATCHDOG_USEC", rows[i].period);
        set("WATCHDOG_PID", rows[i].pid);
        if (cm_notify_watchdog_ms() != rows[i].want) {
            fail_msg("row %zu: %u", i, cm_notify_watchdog_ms());
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_manager_hears_at_a_path_and_at_a_name), cmocka_unit_test(a_reload_is_told_with_its_time),
        cmocka_unit_test(nobody_is_told_without_a_good_address),     cmocka_unit_test(a_full_manager_does_not_block),
        cmocka_unit_test(the_watchdog_is_told_twice_a_period),
    };
    return cmocka_run_group_tests(tests, make_sandbox, remove_sandbox);
}
