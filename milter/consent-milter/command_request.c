#include "command_request.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

#include "base/text.h"

static const struct {
    const char *name;
    bool takes_stream;
    bool takes_end;
} commands[CM_COMMAND_COUNT] = {
    [CM_COMMAND_STATUS] = {.name = "status"},
    [CM_COMMAND_RELOAD] = {.name = "reload"},
    [CM_COMMAND_OBSERVE] = {.name = "observe", .takes_stream = true},
    [CM_COMMAND_ENFORCE] = {.name = "enforce", .takes_stream = true},
    [CM_COMMAND_DRAIN] = {.name = "drain", .takes_end = true},
};

const char *cm_command_problem_text(enum cm_command_problem problem)
{
    static const char *const texts[CM_COMMAND_PROBLEM_COUNT] = {
        [CM_COMMAND_FITS] = "",
        [CM_COMMAND_NO_OBJECT] = "a request is a JSON object on one line, as {\"command\":\"status\"}",
        [CM_COMMAND_UNKNOWN] = "no such command; status, reload, observe, enforce and drain are known",
        [CM_COMMAND_UNKNOWN_MEMBER] =
            "the command does not take that; observe and enforce take stream, drain takes end",
        [CM_COMMAND_WRONG_TYPE] = "stream is a text, end is true or false",
        [CM_COMMAND_BAD_STREAM] = "no stream has such a name: it is empty, or longer than 64 bytes",
    };
    return texts[problem];
}

static enum cm_command find_command(const char *name)
{
    for (unsigned i = CM_COMMAND_UNSET + 1; name != NULL && i < CM_COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return (enum cm_command)i;
        }
    }
    return CM_COMMAND_UNSET;
}

static enum cm_command_problem read_member(const char *name, const json_t *value, struct cm_command_request *out)
{
    if (strcmp(name, "command") == 0) {
        return CM_COMMAND_FITS; /* read before the others */
    }
    if (commands[out->command].takes_stream && strcmp(name, "stream") == 0) {
        const char *stream = json_string_value(value);
        if (stream == NULL) {
            return CM_COMMAND_WRONG_TYPE;
        }
        out->has_stream = true;
        return stream[0] != '\0' && cm_copy(out->stream, sizeof(out->stream), cm_span_of(stream))
                   ? CM_COMMAND_FITS
                   : CM_COMMAND_BAD_STREAM;
    }
    if (commands[out->command].takes_end && strcmp(name, "end") == 0) {
        out->end = json_is_true(value);
        return json_is_boolean(value) ? CM_COMMAND_FITS : CM_COMMAND_WRONG_TYPE;
    }
    return CM_COMMAND_UNKNOWN_MEMBER;
}

static enum cm_command_problem read_object(json_t *root, struct cm_command_request *out)
{
    struct cm_command_request request = {.command = find_command(json_string_value(json_object_get(root, "command")))};
    enum cm_command_problem problem = request.command != CM_COMMAND_UNSET ? CM_COMMAND_FITS : CM_COMMAND_UNKNOWN;
    const char *name = NULL;
    json_t *value = NULL;
    if (problem == CM_COMMAND_FITS) {
        json_object_foreach(root, name, value)
        {
            problem = read_member(name, value, &request);
            if (problem != CM_COMMAND_FITS) {
                break;
            }
        }
    }
    if (problem == CM_COMMAND_FITS) {
        *out = request;
    }
    return problem;
}

enum cm_command_problem cm_command_request_read(const char *text, struct cm_command_request *out)
{
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    enum cm_command_problem problem = json_is_object(root) ? read_object(root, out) : CM_COMMAND_NO_OBJECT;
    json_decref(root);
    return problem;
}
