/*
 * Preloaded into redis-server: its wall clock is off by as many milliseconds as the file named by CLOCK_SHIM says, from
 * the moment it is written. Other clocks go on as they are.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

EXPORT int clock_gettime(clockid_t clock, struct timespec *out);
EXPORT int gettimeofday(struct timeval *restrict out, void *restrict zone);
EXPORT time_t time(time_t *out);

static long long offset_ms(void)
{
    char text[32] = "";
    const char *path = getenv("CLOCK_SHIM");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!read(fd, text, sizeof(text) - 1); /* nothing there: no offset */
        (void)close(fd);
    }
    return strtoll(text, NULL, 10);
}

static void shift(struct timespec *time)
{
    long long ms = (long long)time->tv_sec * 1000 + time->tv_nsec / 1000000 + offset_ms();
    time->tv_sec = (time_t)(ms / 1000);
    time->tv_nsec = (long)(ms % 1000) * 1000000 + time->tv_nsec % 1000000;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
    int (*real)(clockid_t, struct timespec *) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, out);
    if (result == 0 && clock == CLOCK_REALTIME) {
        shift(out);
    }
    return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone; /* obsolete */
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}
