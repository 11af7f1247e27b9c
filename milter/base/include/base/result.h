/*
 * How a function says what went wrong outside the program.
 *
 * Three kinds of failure are kept apart everywhere: a bug (assert), a refusal of input (a result value), and trouble
 * outside (a result value and a cm_err). The err is written on failure only and adds what, where and what to do.
 */
#ifndef BASE_RESULT_H
#define BASE_RESULT_H

#define CM_ERR_BYTES 512

struct cm_err {
    char text[CM_ERR_BYTES];
};

/* Sets the text, cut where it does not fit. `err` may be NULL: the caller does not want to know. */
void cm_err_set(struct cm_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts context in front of what stands there: "context: old text". */
void cm_err_prefix(struct cm_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
