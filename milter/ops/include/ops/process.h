/* Becoming a daemon: background, PID file, user. */
#ifndef OPS_PROCESS_H
#define OPS_PROCESS_H

#include <stdbool.h>

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

#endif
