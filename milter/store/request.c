#include <stdlib.h>
#include <string.h>

#include "connection.h"

#define LENGTH_BYTES 23 /* mark, twenty digits, line end */
#define FIRST_BYTES 512 /* a look-up of one recipient fits */

static bool reserve(struct cm_request *request, size_t more)
{
    if (request->size - request->len >= more) {
        return true;
    }
    size_t size = request->len + more > FIRST_BYTES / 2 ? (request->len + more) * 2 : FIRST_BYTES;
    char *bytes = realloc(request->bytes, size);
    if (bytes == NULL) {
        return false;
    }
    request->bytes = bytes;
    request->size = size;
    return true;
}

/* "*3\r\n", "$24\r\n": returns where it ends. */
static char *put_length(char *out, char mark, size_t value)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    *out++ = mark;
    while (count > 0) {
        *out++ = digits[--count];
    }
    *out++ = '\r';
    *out++ = '\n';
    return out;
}

/* Formatted here and not by redisFormatCommandArgv, which measured as a quarter of all that a look-up costs us. */
void cm_request_add(struct cm_request *request, const struct cm_span *args, size_t count)
{
    size_t need = LENGTH_BYTES;
    for (size_t i = 0; i < count; i++) {
        need += LENGTH_BYTES + args[i].len + 2;
    }
    if (request->failed || !reserve(request, need)) {
        request->failed = true;
        return;
    }
    char *at = put_length(request->bytes + request->len, '*', count);
    for (size_t i = 0; i < count; i++) {
        at = put_length(at, '$', args[i].len);
        if (args[i].len > 0) {
            memcpy(at, args[i].p, args[i].len);
        }
        at += args[i].len;
        *at++ = '\r';
        *at++ = '\n';
    }
    request->len = (size_t)(at - request->bytes);
    request->commands++;
}

void cm_request_append(struct cm_request *request, const struct cm_request *more)
{
    if (request->failed || more->failed || !reserve(request, more->len)) {
        request->failed = true;
        return;
    }
    if (more->len > 0) {
        memcpy(request->bytes + request->len, more->bytes, more->len);
    }
    request->len += more->len;
    request->commands += more->commands;
}

void cm_request_done(struct cm_request *request)
{
    free(request->bytes);
    *request = (struct cm_request){0};
}
