/*
 * How long things took: counts in fixed steps from 50 microseconds to 5 seconds, with their sum. Takes no lock and
 * reads no clock. Thread-safe; zeroed memory is an empty histogram.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define CM_HISTOGRAM_STEPS 16

struct cm_histogram {
    _Atomic uint64_t counts[CM_HISTOGRAM_STEPS + 1]; /* the last: longer than every step */
    _Atomic uint64_t sum_ns;
};

/* The longest time that still belongs to a step, in nanoseconds; ascending. */
extern const uint64_t cm_histogram_steps_ns[CM_HISTOGRAM_STEPS];

void cm_histogram_add(struct cm_histogram *histogram, uint64_t took_ns);

#endif
