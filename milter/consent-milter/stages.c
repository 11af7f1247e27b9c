#include "stages.h"

#include <time.h>

static struct cm_histogram times[CM_STAGE_COUNT];

uint64_t cm_stage_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void cm_stage_took(enum cm_stage stage, uint64_t began_ns)
{
    cm_histogram_add(&times[stage], cm_stage_clock_ns() - began_ns);
}

const char *cm_stage_name(enum cm_stage stage)
{
    static const char *const names[CM_STAGE_COUNT] = {"connect", "mail", "rcpt", "end_of_message"};
    return names[stage];
}

const struct cm_histogram *cm_stage_times(enum cm_stage stage)
{
    return &times[stage];
}
