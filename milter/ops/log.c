#include "ops/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#define QUEUE_ID_MAX 64 /* of the longest that is told */

static struct {
    const char *ident;
    bool to_stderr;
} sink = {"consent-milter", true};

void cm_log_open(const char *ident, bool to_stderr)
{
    sink.ident = ident;
    sink.to_stderr = to_stderr;
    if (!to_stderr) {
        openlog(ident, LOG_PID | LOG_NDELAY, LOG_MAIL);
    }
}

static int priority_of(enum cm_log_level level)
{
    switch (level) {
    case CM_LOG_ERROR: return LOG_ERR;
    case CM_LOG_WARNING: return LOG_WARNING;
    case CM_LOG_NOTICE: return LOG_NOTICE;
    case CM_LOG_INFO: return LOG_INFO;
    case CM_LOG_UNSET: break;
    }
    return LOG_ERR; /* a line without a level is a bug worth seeing */
}

static const char *label_of(enum cm_log_level level)
{
    switch (level) {
    case CM_LOG_ERROR: return "error: ";
    case CM_LOG_WARNING: return "warning: ";
    case CM_LOG_NOTICE:
    case CM_LOG_INFO:
    case CM_LOG_UNSET: break;
    }
    return "";
}

void cm_log_line(enum cm_log_level level, struct cm_span line)
{
    char out[CM_LOG_LINE_BYTES + 16];
    struct cm_text text = cm_text_over(out, sizeof(out) - 1); /* room for the line end */
    cm_text_add_str(&text, label_of(level));
    size_t from = text.len;
    cm_text_add(&text, line);
    for (size_t i = from; i < text.len; i++) {
        if ((unsigned char)out[i] < ' ' || out[i] == 0x7f) {
            out[i] = '?';
        }
    }
    if (!sink.to_stderr) {
        syslog(priority_of(level), "%s", out);
        return;
    }
    out[text.len] = '\n';
    (void)!write(STDERR_FILENO, out, text.len + 1); /* there is nowhere left to complain to */
}

void cm_log(enum cm_log_level level, const char *format, ...)
{
    char line[CM_LOG_LINE_BYTES];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0) {
        cm_log_line(level, cm_span_of(line));
    }
}

/* By table: every decision asks this of some two hundred bytes. */
static bool is_plain(char c)
{
    static const char marks[128] = {['@'] = 1, ['.'] = 1, ['_'] = 1, [':'] = 1, ['/'] = 1, ['+'] = 1, ['-'] = 1};
    unsigned char byte = (unsigned char)c;
    return cm_ascii_is_alnum(c) || (byte < sizeof(marks) && marks[byte] != 0);
}

void cm_log_begin(struct cm_text *line, struct cm_span queue_id)
{
    for (size_t i = 0; i < queue_id.len && i < QUEUE_ID_MAX; i++) {
        bool is_right = cm_ascii_is_alnum(queue_id.p[i]) || queue_id.p[i] == '-' || queue_id.p[i] == '_';
        cm_text_add_char(line, is_right ? queue_id.p[i] : '?');
    }
    cm_text_add_str(line, queue_id.len > 0 ? ":" : "NOQUEUE:");
}

void cm_log_add(struct cm_text *line, const char *key, struct cm_span value)
{
    bool plain = value.len > 0;
    for (size_t i = 0; plain && i < value.len; i++) {
        plain = is_plain(value.p[i]);
    }
    cm_text_add_char(line, ' ');
    cm_text_add_str(line, key);
    cm_text_add_char(line, '=');
    if (plain) {
        cm_text_add(line, value);
        return;
    }
    cm_text_add_char(line, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (is_plain(value.p[i])) {
            cm_text_add_char(line, value.p[i]);
        } else {
            cm_text_add_format(line, "\\x%02X", (unsigned char)value.p[i]);
        }
    }
    cm_text_add_char(line, '"');
}
