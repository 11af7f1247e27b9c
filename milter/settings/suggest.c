#include <string.h>

#include "internal.h"

#define WORD_MAX_BYTES 32
#define NEAR_ENOUGH 2

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Insertions, deletions and replacements that lead from a to b, without case. */
static size_t distance(struct cm_span a, struct cm_span b)
{
    size_t row[WORD_MAX_BYTES + 1];
    if (a.len > WORD_MAX_BYTES || b.len > WORD_MAX_BYTES) {
        return WORD_MAX_BYTES;
    }
    for (size_t j = 0; j <= b.len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t above = row[j];
            size_t changed = cm_ascii_lower(a.p[i - 1]) == cm_ascii_lower(b.p[j - 1]) ? 0 : 1;
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + changed);
            diagonal = above;
        }
    }
    return row[b.len];
}

/* The part of a row's path that stands in the group `prefix` ("" or "a."); false if the row is not in there. */
static bool name_in_group(const struct cm_key *key, const char *prefix, struct cm_span *out_name)
{
    struct cm_span rest = cm_span_of(key->path);
    size_t len = strlen(prefix);
    if (!cm_span_starts_with(rest, prefix)) {
        return false;
    }
    rest = (struct cm_span){rest.p + len, rest.len - len};
    return cm_span_next(&rest, '.', out_name);
}

static bool nearest(const struct cm_key_table *table, const char *prefix, struct cm_span wrong,
                    struct cm_span *out_name)
{
    size_t best = NEAR_ENOUGH + 1;
    for (size_t i = 0; i < table->count; i++) {
        struct cm_span name;
        if (!name_in_group(&table->keys[i], prefix, &name)) {
            continue;
        }
        size_t d = distance(wrong, name);
        if (d < best && d < name.len) {
            best = d;
            *out_name = name;
        }
    }
    return best <= NEAR_ENOUGH;
}

/* A key that was written into the wrong group. */
static const struct cm_key *namesake(const struct cm_key_table *table, struct cm_span name)
{
    for (size_t i = 0; i < table->count; i++) {
        const char *dot = strrchr(table->keys[i].path, '.');
        if (dot != NULL && cm_span_equal(name, cm_span_of(dot + 1))) {
            return &table->keys[i];
        }
    }
    return NULL;
}

static void list_known(const struct cm_key_table *table, const char *prefix, struct cm_text *out)
{
    struct cm_span last = {NULL, 0};
    cm_text_add_str(out, "known here:");
    for (size_t i = 0; i < table->count; i++) {
        struct cm_span name;
        if (!name_in_group(&table->keys[i], prefix, &name) || cm_span_equal(last, name)) {
            continue;
        }
        cm_text_add_str(out, last.p != NULL ? ", " : " ");
        cm_text_add(out, name);
        last = name;
    }
}

void cm_suggest_key(const struct cm_key_table *table, const char *prefix, const char *wrong, struct cm_text *out)
{
    struct cm_span near;
    if (nearest(table, prefix, cm_span_of(wrong), &near)) {
        cm_text_add_str(out, "did you mean \"");
        cm_text_add(out, near);
        cm_text_add_str(out, "\"?");
        return;
    }
    const struct cm_key *elsewhere = namesake(table, cm_span_of(wrong));
    if (elsewhere != NULL) {
        cm_text_add_str(out, "did you mean ");
        cm_text_add_str(out, table->name);
        cm_text_add_str(out, table->name[0] != '\0' ? "." : "");
        cm_text_add_str(out, elsewhere->path);
        cm_text_add_str(out, "?");
        return;
    }
    list_known(table, prefix, out);
}

void cm_suggest_word(const struct cm_word *words, struct cm_text *out)
{
    cm_text_add_str(out, "write ");
    for (const struct cm_word *w = words; w->word != NULL; w++) {
        if (w->value == 0) {
            continue;
        }
        cm_text_add_format(out, "%s\"%s\"", w == words ? "" : " or ", w->word);
    }
}
