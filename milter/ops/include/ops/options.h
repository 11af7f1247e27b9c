/* The options that all our daemons take (DESIGN 7). Thread-safe but for getopt: call it once, first. */
#ifndef OPS_OPTIONS_H
#define OPS_OPTIONS_H

#include <stdbool.h>

struct cm_daemon_options {
    const char *file;     /* -c: configuration */
    const char *socket;   /* -p; NULL: as configured */
    const char *pid_file; /* -P; NULL: none */
    const char *user;     /* -u USER[:GROUP]; NULL: stay who we are */
    bool foreground;      /* -f */
    bool check_only;      /* -n */
};

/* What a daemon says of itself; all texts are borrowed. */
struct cm_daemon_words {
    const char *name;
    const char *default_file;      /* of the configuration */
    const char *socket_setting;    /* that -p takes the place of */
    const char *become_user_after; /* "opening the socket and reading the keys" */
};

/* False: the program is to end with *out_exit; help, version or a complaint were printed. out points into argv. */
bool cm_daemon_options_parse(int argc, char **argv, const struct cm_daemon_words *words, struct cm_daemon_options *out,
                             int *out_exit);

#endif
