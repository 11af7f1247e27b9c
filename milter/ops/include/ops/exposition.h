/*
 * Prometheus' text format (version 0.0.4): families of samples, written one after the other into memory.
 *
 * A family is announced once, and all its samples follow it. Names are ours; label values may hold anything. Not
 * thread-safe: a text is made by one thread.
 */
#ifndef OPS_EXPOSITION_H
#define OPS_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/histogram.h"

#define CM_EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct cm_exposition {
    FILE *stream; /* NULL: without memory */
    char *text;
    size_t len;
    const char *family; /* the one announced last */
};

struct cm_label {
    const char *name; /* NULL ends a list */
    const char *value;
};
#define CM_LABELS(...) ((const struct cm_label[]){__VA_ARGS__, {NULL, NULL}})
#define CM_NO_LABELS NULL

enum cm_metric_type { CM_METRIC_COUNTER = 1, CM_METRIC_GAUGE, CM_METRIC_HISTOGRAM };

void cm_exposition_begin(struct cm_exposition *exposition);
void cm_exposition_family(struct cm_exposition *exposition, const char *name, enum cm_metric_type type,
                          const char *help);
/* Samples of the family. Counts are exact, values have fifteen digits. */
void cm_exposition_count(struct cm_exposition *exposition, const struct cm_label *labels, uint64_t count);
void cm_exposition_value(struct cm_exposition *exposition, const struct cm_label *labels, double value);
/* In seconds, with at most one label of its own. */
void cm_exposition_histogram(struct cm_exposition *exposition, const struct cm_label *label,
                             const struct cm_histogram *histogram);
/* The text, the caller's to free; NULL without memory. */
char *cm_exposition_end(struct cm_exposition *exposition, size_t *out_len);

#endif
