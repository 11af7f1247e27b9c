/* stats. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consentctl.h"
#include "store/ledger.h"

#define COUNTS_MAX 512

struct counts {
    struct {
        char name[160];
        uint64_t count;
    } rows[COUNTS_MAX];
    size_t count;
    bool overflow;
};

static void add_count(void *opaque, struct cm_span name, uint64_t count)
{
    struct counts *counts = opaque;
    for (size_t i = 0; i < counts->count; i++) {
        if (cm_span_equal(name, cm_span_of(counts->rows[i].name))) {
            counts->rows[i].count += count;
            return;
        }
    }
    if (counts->count == COUNTS_MAX) {
        counts->overflow = true;
        return;
    }
    (void)cm_copy(counts->rows[counts->count].name, sizeof(counts->rows[0].name), name); /* names of ours fit */
    counts->rows[counts->count++].count = count;
}

/* "SCOPE:KIND:STATE" as words. */
static void name_record_count(const struct cm_registry *registry, const char *name, char out[224])
{
    uint64_t scope = 0;
    uint64_t kind = 0;
    uint64_t state = 0;
    char scope_name[160];
    struct cm_text text = cm_text_over(out, 224);
    struct cm_span rest = cm_span_of(name);
    struct cm_span part;
    if (!cm_span_next(&rest, ':', &part) || !cm_parse_u64(part, UINT32_MAX, &scope) ||
        !cm_span_next(&rest, ':', &part) || !cm_parse_u64(part, 15, &kind) || !cm_parse_u64(rest, 15, &state) ||
        cm_state_name((enum cm_kind)kind, (unsigned)state) == NULL) {
        cm_text_add_str(&text, name); /* "events", or a stream's decisions */
        return;
    }
    cm_registry_scope_name(registry, (uint32_t)scope, scope_name);
    cm_text_add_format(&text, "%s:%s:%s", scope_name, cm_kind_name((enum cm_kind)kind),
                       cm_state_name((enum cm_kind)kind, (unsigned)state));
}

static void print_counts(const struct context *context, const struct cm_registry *registry, const struct counts *counts,
                         const char *what)
{
    json_t *object = json_object();
    cm_ctl_say(context, "%s", what);
    for (size_t i = 0; i < counts->count; i++) {
        char name[224];
        if (strcmp(counts->rows[i].name, "newest_grant") == 0) {
            continue; /* a date, kept beside the counters */
        }
        name_record_count(registry, counts->rows[i].name, name);
        cm_ctl_say(context, "  %-48s %12llu", name, (unsigned long long)counts->rows[i].count);
        (void)json_object_set_new(object, name, json_integer((json_int_t)counts->rows[i].count));
    }
    if (counts->overflow) {
        cm_ctl_say(context, "  (more than %d counters; the rest is not shown)", COUNTS_MAX);
    }
    cm_ctl_emit(context, json_pack("{s:o}", what, object));
}

/* Both kinds of counters; `records` and `decisions` are zeroed. */
static int print_stats(struct context *context, struct counts *records, struct counts *decisions)
{
    struct cm_err err;
    const struct cm_registry *registry = NULL;
    char today[9];
    int code = cm_ctl_read_registry(context, &registry);
    if (code != EX_OK) {
        return code;
    }
    cm_time_day((cm_ms)time(NULL) * 1000, today);
    enum cm_trouble trouble = cm_store_record_counts(context->store, add_count, records, &err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_day_counts(context->store, today, add_count, decisions, &err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        print_counts(context, registry, records, "records");
        print_counts(context, registry, decisions, "decisions today");
    } else {
        code = cm_ctl_fail_trouble(trouble, &err);
    }
    cm_registry_unref(registry);
    return code;
}

int cm_ctl_stats(struct context *context)
{
    struct counts *counts = calloc(2, sizeof(*counts));
    if (counts == NULL) {
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    int code = print_stats(context, &counts[0], &counts[1]);
    free(counts);
    return code;
}
