/*
 * The log: one event, one line. To syslog (facility mail), or to standard error in the foreground, where systemd and
 * people read it. Text from outside is quoted when a line is built, and control bytes never reach the sink whatever was
 * built.
 *
 * Levels: error = someone must act; warning = we coped, and the line says how; notice = state changed; info = one line
 * a decision. Thread-safe after cm_log_open.
 */
#ifndef OPS_LOG_H
#define OPS_LOG_H

#include "base/text.h"

enum cm_log_level { CM_LOG_UNSET = 0, CM_LOG_ERROR, CM_LOG_WARNING, CM_LOG_NOTICE, CM_LOG_INFO };

#define CM_LOG_LINE_BYTES 1536 /* a longer line is cut */

/* `ident` is borrowed for ever. Call once, before other threads exist. */
void cm_log_open(const char *ident, bool to_stderr);
void cm_log(enum cm_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a line that was built; no format is read. */
void cm_log_line(enum cm_log_level level, struct cm_span line);

/* Begins a line about a message: "QUEUEID:", or "NOQUEUE:" while it has none. An id is letters and digits in every MTA;
 * other bytes become '?', so that none can pretend to be a key. */
void cm_log_begin(struct cm_text *line, struct cm_span queue_id);
/* Appends " key=value". A value with bytes outside [A-Za-z0-9@._:/+-], or an empty one, is quoted, with \xHH for what
 * is not printable ASCII, '"' or '\'. */
void cm_log_add(struct cm_text *line, const char *key, struct cm_span value);

#endif
