/* What the files of replay share: the counting of what was and what would be. */
#ifndef CONSENTCTL_REPLAY_H
#define CONSENTCTL_REPLAY_H

#include <stdio.h>

#include "explain.h"

#define REPLAY_ROWS 1024

struct outcome {
    enum cm_verdict verdict; /* UNDECIDED: there was none */
    enum cm_reason reason;
    bool observed;
};

struct replay {
    struct context *context;
    const struct cm_settings *settings; /* to decide by */
    FILE *file;
    const char *path;
    unsigned long line;
    struct {
        char stream[64];
        struct outcome was;
        struct outcome is;
        unsigned long count;
    } rows[REPLAY_ROWS];
    size_t row_count;
    unsigned long decisions;
    unsigned long changed;
    unsigned long refused;
    unsigned long unknown; /* deferred, or not to be told */
    unsigned long broken;  /* lines or messages that cannot be read */
    unsigned long first_broken;
    char trouble[256]; /* the first of the store */
};

/* Counts one decision, and prints it with --json. `id` may be empty. */
void cm_replay_count(struct replay *replay, const char *id, const char *stream, const struct outcome *was,
                     const struct outcome *is);
/* Counts what cannot be read at this line. */
void cm_replay_broken(struct replay *replay, unsigned long line);
/* A word on a terminal that we are still at work. */
void cm_replay_progress(const struct replay *replay);

/* EX_OK, or the code after printing why it could not be done at all. */
int cm_replay_log(struct replay *replay);
int cm_replay_mbox(struct replay *replay);

#endif
