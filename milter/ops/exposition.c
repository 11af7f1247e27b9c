#include "ops/exposition.h"

#include <inttypes.h>
#include <stdlib.h>

void cm_exposition_begin(struct cm_exposition *exposition)
{
    *exposition = (struct cm_exposition){0};
    exposition->stream = open_memstream(&exposition->text, &exposition->len);
}

void cm_exposition_family(struct cm_exposition *exposition, const char *name, enum cm_metric_type type,
                          const char *help)
{
    static const char *const names[] = {
        [CM_METRIC_COUNTER] = "counter", [CM_METRIC_GAUGE] = "gauge", [CM_METRIC_HISTOGRAM] = "histogram"};
    exposition->family = name;
    if (exposition->stream != NULL) {
        (void)fprintf(exposition->stream, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                      names[type]); /* end looks for trouble */
    }
}

static void put_value_of_label(FILE *stream, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"') {
            (void)fputc('\\', stream); /* end looks for trouble, here and below */
        }
        (void)fputs(*value == '\n' ? "\\n" : (const char[]){*value, '\0'}, stream);
    }
}

/* Name, suffix and labels, up to the blank before the number. `step`: value of a label `le`, or NULL. */
static void put_head(struct cm_exposition *exposition, const char *suffix, const struct cm_label *labels,
                     const char *step)
{
    FILE *stream = exposition->stream;
    const char *before = "{";
    (void)fprintf(stream, "%s%s", exposition->family, suffix); /* end looks for trouble, here and below */
    for (const struct cm_label *label = labels; label != NULL && label->name != NULL; label++) {
        (void)fprintf(stream, "%s%s=\"", before, label->name);
        put_value_of_label(stream, label->value);
        (void)fputc('"', stream);
        before = ",";
    }
    if (step != NULL) {
        (void)fprintf(stream, "%sle=\"%s\"", before, step);
        before = ",";
    }
    (void)fputs(*before == ',' ? "} " : " ", stream);
}

static void put_count(struct cm_exposition *exposition, const char *suffix, const struct cm_label *labels,
                      const char *step, uint64_t count)
{
    if (exposition->stream != NULL) {
        put_head(exposition, suffix, labels, step);
        (void)fprintf(exposition->stream, "%" PRIu64 "\n", count); /* end looks for trouble */
    }
}

static void put_value(struct cm_exposition *exposition, const char *suffix, const struct cm_label *labels, double value)
{
    if (exposition->stream != NULL) {
        put_head(exposition, suffix, labels, NULL);
        (void)fprintf(exposition->stream, "%.15g\n", value); /* end looks for trouble */
    }
}

void cm_exposition_count(struct cm_exposition *exposition, const struct cm_label *labels, uint64_t count)
{
    put_count(exposition, "", labels, NULL, count);
}

void cm_exposition_value(struct cm_exposition *exposition, const struct cm_label *labels, double value)
{
    put_value(exposition, "", labels, value);
}

void cm_exposition_histogram(struct cm_exposition *exposition, const struct cm_label *label,
                             const struct cm_histogram *histogram)
{
    uint64_t sum = 0;
    for (size_t i = 0; i <= CM_HISTOGRAM_STEPS; i++) {
        char step[32] = "+Inf";
        if (i < CM_HISTOGRAM_STEPS) {
            (void)snprintf(step, sizeof(step), "%.9g", (double)cm_histogram_steps_ns[i] / 1e9); /* it fits */
        }
        sum += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
        put_count(exposition, "_bucket", label, step, sum);
    }
    put_value(exposition, "_sum", label, (double)atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) / 1e9);
    put_count(exposition, "_count", label, NULL, sum);
}

char *cm_exposition_end(struct cm_exposition *exposition, size_t *out_len)
{
    bool ok = exposition->stream != NULL && ferror(exposition->stream) == 0;
    ok = exposition->stream != NULL && fclose(exposition->stream) == 0 && ok;
    exposition->stream = NULL;
    if (!ok) {
        free(exposition->text);
        return NULL;
    }
    *out_len = exposition->len;
    return exposition->text;
}
