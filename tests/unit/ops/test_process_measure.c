/* What the kernel says of this very process. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "ops/process.h"

static void *wait_at(void *context)
{
    (void)pthread_barrier_wait(context);
    (void)pthread_barrier_wait(context);
    return NULL;
}

static void what_grows_is_seen(void **state)
{
    struct cm_process_measure before;
    struct cm_process_measure after;
    pthread_barrier_t barrier;
    pthread_t thread;
    (void)state;
    cm_process_measure(&before);
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_at, &barrier), 0);
    (void)pthread_barrier_wait(&barrier);
    cm_process_measure(&after);
    (void)pthread_barrier_wait(&barrier);
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_barrier_destroy(&barrier);
    (void)close(fd);
    assert_int_equal(after.open_descriptors, before.open_descriptors + 1);
    assert_true(after.max_descriptors >= after.open_descriptors);
    assert_true(after.threads >= before.threads + 1);
    assert_true(after.resident_bytes > 100000);
    double now = (double)time(NULL);
    assert_true(after.started_at_s > now - 600 && after.started_at_s < now + 2);
    while (after.cpu_s == 0) { /* a tick of the clock of processes is some ms */
        cm_process_measure(&after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_grows_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
