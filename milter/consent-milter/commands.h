/* What the control socket of the filter answers (ops/control.h). See commands.c. */
#ifndef CONSENT_MILTER_COMMANDS_H
#define CONSENT_MILTER_COMMANDS_H

#include "reload.h"

struct cm_commands {
    struct cm_filter *filter;
    struct cm_reloader *reloader;
    struct cm_recorder *recorder;
    struct cm_store *store; /* of the look-ups */
};

/* A cm_control_answer; `context` is a struct cm_commands. */
char *cm_commands_answer(void *context, const char *caller, const char *request);

#endif
