#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consentctl.h"

int cm_ctl_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("consentctl: ", stderr); /* with standard error gone there is nobody to tell, as below */
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return code;
}

int cm_ctl_fail_trouble(enum cm_trouble trouble, const struct cm_err *err)
{
    int code = EX_TEMPFAIL;
    if (trouble == CM_TROUBLE_AUTHENTICATION || trouble == CM_TROUBLE_NO_PERMISSION) {
        code = EX_NOPERM;
    } else if (trouble == CM_TROUBLE_UNREACHABLE) {
        code = EX_UNAVAILABLE;
    }
    return cm_ctl_fail(code, "%s: %s\n  %s", cm_trouble_name(trouble), err->text, cm_trouble_advice(trouble));
}

/* What stands in titles, references and evidence was typed by somebody, and must not speak to the terminal. */
static void clean(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            *text = '?';
        }
    }
}

void cm_ctl_say(const struct context *context, const char *format, ...)
{
    char *line = NULL;
    if (context->options->quiet || context->options->json) {
        return;
    }
    va_list args;
    va_start(args, format);
    int len = vasprintf(&line, format, args);
    va_end(args);
    if (len < 0) {
        (void)cm_ctl_fail(EX_OSERR, "out of memory");
        return;
    }
    clean(line);
    (void)puts(line); /* a broken pipe is found when standard output is closed */
    free(line);
}

json_t *cm_ctl_json_text(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL) {
        return string;
    }
    char *copy = strdup(text); /* not UTF-8: shown with '?' for what is not ASCII, so that no line is missing */
    for (char *at = copy; at != NULL && *at != '\0'; at++) {
        if ((unsigned char)*at >= 0x80) {
            *at = '?';
        }
    }
    string = copy != NULL ? json_string(copy) : NULL;
    free(copy);
    return string;
}

void cm_ctl_emit(const struct context *context, json_t *object)
{
    if (context->options->json && object != NULL) {
        (void)json_dumpf(object, stdout, JSON_COMPACT); /* as in say */
        (void)putchar('\n');
    }
    json_decref(object);
}

bool cm_ctl_subject_of(struct context *context, const struct cm_address *address, struct cm_subject *out)
{
    if (context->hasher == NULL || context->peppers != cm_keys_in_use(&context->keys)) {
        cm_hasher_free(context->hasher);
        context->hasher = cm_keys_hasher(&context->keys, &context->peppers);
    }
    return context->hasher != NULL && cm_subject_of(context->hasher, address, out);
}

int cm_ctl_read_subject(struct context *context, const char *text, struct cm_address *out_address,
                        struct cm_subject *out)
{
    enum cm_address_status status = cm_address_parse(cm_span_of(text), out_address);
    if (status != CM_ADDRESS_OK) {
        return cm_ctl_fail(EX_DATAERR, "%s is not an address (%s)", text, cm_address_status_name(status));
    }
    if (!cm_ctl_subject_of(context, out_address, out)) {
        return cm_ctl_fail(EX_SOFTWARE, "libcrypto cannot compute HMAC-SHA256");
    }
    return EX_OK;
}

const struct cm_registry_purpose *cm_ctl_find_purpose(const struct cm_registry *registry, const char *path)
{
    const struct cm_registry_purpose *purpose = cm_registry_purpose(registry, cm_span_of(path));
    if (purpose == NULL) {
        (void)cm_ctl_fail(EX_DATAERR, "purpose %s is not registered: see `consentctl purpose list`", path);
    }
    return purpose;
}

bool cm_ctl_read_time(const char *name, const char *text, cm_ms *out)
{
    *out = 0;
    if (text != NULL && !cm_time_parse(cm_span_of(text), out)) {
        (void)cm_ctl_fail(EX_USAGE, "--%s: %s is not a time like 2026-11-23 or 2026-11-23T18:00:00Z", name, text);
        return false;
    }
    if (text != NULL && *out == 0) {
        *out = 1; /* writers take 0 for the present; a millisecond is no matter */
    }
    return true;
}

char *cm_ctl_read_file(const char *path, size_t max_bytes, size_t *out_len)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = malloc(max_bytes + 2);
    if (file == NULL || text == NULL) {
        (void)cm_ctl_fail(EX_NOINPUT, "cannot read %s: %s", path, strerror(errno));
        free(text);
        text = NULL;
    } else {
        *out_len = fread(text, 1, max_bytes + 1, file);
        text[*out_len] = '\0';
        if (ferror(file) != 0 || *out_len > max_bytes) {
            (void)cm_ctl_fail(EX_DATAERR, "%s: %s", path, ferror(file) != 0 ? strerror(errno) : "the file is too long");
            free(text);
            text = NULL;
        }
    }
    if (file != NULL && file != stdin) {
        (void)fclose(file); /* opened for reading only */
    }
    return text;
}

json_t *cm_ctl_json_time(cm_ms at)
{
    char text[CM_TIME_TEXT_BYTES];
    cm_time_format(at, text);
    return json_string(text);
}
