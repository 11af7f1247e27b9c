#include "base/result.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void cm_err_set(struct cm_err *err, const char *format, ...)
{
    if (err == NULL) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args); /* cutting is the contract */
    va_end(args);
}

void cm_err_prefix(struct cm_err *err, const char *format, ...)
{
    if (err == NULL) {
        return;
    }
    struct cm_err old = *err;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args); /* cutting is the contract */
    va_end(args);
    struct cm_text all = {.p = err->text, .len = strlen(err->text), .size = sizeof(err->text)};
    cm_text_add_str(&all, ": ");
    cm_text_add_str(&all, old.text);
}
