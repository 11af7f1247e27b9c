/* Becoming a daemon: background, PID file, user; and what it takes of the system. */
#ifndef OPS_PROCESS_H
#define OPS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

/*
 * Goes to the background. The parent stays until the child calls cm_process_ready, and exits with 0; or until the child
 * exits before that, and takes its exit code. Returns in the child only. Must run before any thread exists.
 */
bool cm_process_detach(struct cm_err *err);
/* Lets the waiting parent go and gives up the terminal. Harmless without detach. */
void cm_process_ready(void);

bool cm_process_write_pid(const char *file, struct cm_err *err);

/* USER[:GROUP], with the user's supplementary groups. Must be root to change anything. */
bool cm_process_become(const char *user_and_group, struct cm_err *err);

/* As many descriptors as the hard limit allows: every session takes one. */
void cm_process_raise_descriptors(void);

/* What the kernel says of this process now; what it does not say is 0. Thread-safe. */
struct cm_process_measure {
    uint64_t open_descriptors;
    uint64_t max_descriptors;
    uint64_t threads;
    uint64_t resident_bytes;
    double cpu_s;
    double started_at_s; /* wall clock */
};
void cm_process_measure(struct cm_process_measure *out);

#endif
