#include "base/histogram.h"

#include <stddef.h>

#define US UINT64_C(1000)
#define MS (1000 * US)

const uint64_t cm_histogram_steps_ns[CM_HISTOGRAM_STEPS] = {
    50 * US, 100 * US, 250 * US, 500 * US, 1 * MS,   2500 * US, 5 * MS,    10 * MS,
    25 * MS, 50 * MS,  100 * MS, 250 * MS, 500 * MS, 1000 * MS, 2500 * MS, 5000 * MS,
};

void cm_histogram_add(struct cm_histogram *histogram, uint64_t took_ns)
{
    size_t step = 0;
    while (step < CM_HISTOGRAM_STEPS && took_ns > cm_histogram_steps_ns[step]) {
        step++;
    }
    atomic_fetch_add_explicit(&histogram->counts[step], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, took_ns, memory_order_relaxed);
}
