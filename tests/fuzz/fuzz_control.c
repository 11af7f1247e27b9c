/*
 * What a caller of the control socket asks for. What must hold: no crash; what is refused has a text and writes
 * nothing; what fits is a known command with no more than that command takes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_request.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_command_request request = {.command = CM_COMMAND_UNSET};
    char *text = malloc(size + 1);
    REQUIRE(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0'; /* as the socket's reader ends a line */
    enum cm_command_problem problem = cm_command_request_read(text, &request);
    free(text);
    if (problem != CM_COMMAND_FITS) {
        REQUIRE(problem < CM_COMMAND_PROBLEM_COUNT && cm_command_problem_text(problem)[0] != '\0');
        REQUIRE(request.command == CM_COMMAND_UNSET);
        return 0;
    }
    REQUIRE(request.command > CM_COMMAND_UNSET && request.command < CM_COMMAND_COUNT);
    REQUIRE(!request.end || request.command == CM_COMMAND_DRAIN);
    REQUIRE(!request.has_stream || request.command == CM_COMMAND_OBSERVE || request.command == CM_COMMAND_ENFORCE);
    REQUIRE(memchr(request.stream, '\0', sizeof(request.stream)) != NULL);
    REQUIRE(request.has_stream == (request.stream[0] != '\0'));
    return 0;
}
