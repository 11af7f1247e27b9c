#include "stages.h"

#include "base/clock.h"

static struct cm_histogram times[CM_STAGE_COUNT];

void cm_stage_took(enum cm_stage stage, uint64_t began_ns)
{
    cm_histogram_add(&times[stage], cm_clock_monotonic_ns() - began_ns);
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
