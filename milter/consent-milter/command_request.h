/*
 * What is asked at the control socket, as a value: a JSON object with `command` and what that command takes. Strict,
 * for a member that was misspelled and passed over would turn "observe this stream" into "observe everything". Pure.
 */
#ifndef CONSENT_MILTER_COMMAND_REQUEST_H
#define CONSENT_MILTER_COMMAND_REQUEST_H

#include <stdbool.h>

#define CM_COMMAND_STREAM_BYTES 64 /* as long as a stream's name may be */

enum cm_command {
    CM_COMMAND_UNSET,
    CM_COMMAND_STATUS,
    CM_COMMAND_RELOAD,
    CM_COMMAND_OBSERVE,
    CM_COMMAND_ENFORCE,
    CM_COMMAND_DRAIN,
    CM_COMMAND_COUNT
};

enum cm_command_problem {
    CM_COMMAND_FITS,
    CM_COMMAND_NO_OBJECT, /* not JSON, or not an object */
    CM_COMMAND_UNKNOWN,   /* absent too */
    CM_COMMAND_UNKNOWN_MEMBER,
    CM_COMMAND_WRONG_TYPE,
    CM_COMMAND_BAD_STREAM, /* too long, or empty: no stream has such a name */
    CM_COMMAND_PROBLEM_COUNT
};

struct cm_command_request {
    enum cm_command command;
    bool has_stream;                          /* observe and enforce; without it they are for everything */
    bool end;                                 /* of drain */
    char stream[CM_COMMAND_STREAM_BYTES + 1]; /* if has_stream */
};

/* Writes *out if the text fits. Out of memory reads as CM_COMMAND_NO_OBJECT. */
enum cm_command_problem cm_command_request_read(const char *text, struct cm_command_request *out);

/* For the caller: what was wrong, and what is right. */
const char *cm_command_problem_text(enum cm_command_problem problem);

#endif
