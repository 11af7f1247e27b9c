/*
 * The clocks, in one place and header only: base and core read none (tests/style looks at their archives), and the
 * layers above hand instants down. Thread-safe.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <time.h>

#include "base/time.h"

/* For durations and deadlines: never set, and stands still while the host is suspended. */
static inline uint64_t cm_clock_monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline int64_t cm_clock_monotonic_ms(void)
{
    return (int64_t)(cm_clock_monotonic_ns() / 1000000);
}

/* What people call the time; may be set back. */
static inline cm_ms cm_clock_wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (cm_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#endif
