#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* --- messages --- */

void cm_reader_place(const struct cm_reader *reader, const config_setting_t *at, struct cm_text *out)
{
    const char *included = at != NULL ? config_setting_source_file(at) : NULL;
    unsigned line = at != NULL ? (unsigned)config_setting_source_line(at) : 0;
    struct cm_span directory = cm_span_of(reader->directory);
    if (included == NULL) {
        cm_text_add_str(out, reader->file);
    } else {
        /* libconfig 1.5 tells the name as written in the @include line, later versions the whole path. */
        if (included[0] != '/' &&
            !(cm_span_starts_with(cm_span_of(included), reader->directory) && included[directory.len] == '/')) {
            cm_text_add(out, directory);
            cm_text_add_char(out, '/');
        }
        cm_text_add_str(out, included);
    }
    if (line > 0) {
        cm_text_add_format(out, ":%u", line);
    }
}

bool cm_reader_fail(const struct cm_reader *reader, const config_setting_t *at, const char *path, const char *format,
                    ...)
{
    char place[CM_ERR_BYTES];
    char problem[CM_ERR_BYTES];
    struct cm_text t = cm_text_over(place, sizeof(place));
    cm_reader_place(reader, at, &t);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(problem, sizeof(problem), format, args); /* cutting is right for a message */
    va_end(args);
    cm_err_set(reader->err, "%s: %s%s%s", place, path, path[0] != '\0' ? ": " : "", problem);
    return false;
}

bool cm_reader_fail_memory(const struct cm_reader *reader)
{
    cm_err_set(reader->err, "%s: cannot be loaded: out of memory", reader->file);
    return false;
}

const char *cm_quote(const char *text, char out[CM_QUOTE_BYTES])
{
    static const char cut_mark[] = "...";
    size_t len = strlen(text);
    size_t kept = len < CM_QUOTE_BYTES ? len : CM_QUOTE_BYTES - sizeof(cut_mark);
    for (size_t i = 0; i < kept; i++) {
        bool is_control = (unsigned char)text[i] < ' ' || text[i] == 0x7f;
        out[i] = text[i];
        if (is_control) {
            out[i] = '?';
        }
    }
    memcpy(out + kept, kept < len ? cut_mark : "", kept < len ? sizeof(cut_mark) : 1);
    return out;
}

/* NULL if it is not there; out_deepest gets the innermost of the groups around it that is. */
static const config_setting_t *find_member(const config_setting_t *group, const char *path,
                                           const config_setting_t **out_deepest)
{
    const config_setting_t *at = group;
    struct cm_span rest = cm_span_of(path);
    struct cm_span part;
    while (cm_span_next(&rest, '.', &part)) {
        char name[CM_SETTINGS_PATH_BYTES];
        *out_deepest = at;
        at = config_setting_is_group(at) && cm_copy(name, sizeof(name), part) ? config_setting_get_member(at, name)
                                                                              : NULL;
        if (at == NULL) {
            return NULL;
        }
    }
    *out_deepest = at;
    return at;
}

const config_setting_t *cm_reader_member(const config_setting_t *group, const char *path)
{
    const config_setting_t *deepest = group;
    (void)find_member(group, path, &deepest); /* not there: its group is the place to point at */
    return deepest;
}

bool cm_reader_has(const config_setting_t *group, const char *path)
{
    const config_setting_t *deepest = group;
    return find_member(group, path, &deepest) != NULL;
}

/* --- groups --- */

static bool set_default(const struct cm_reader *reader, const struct cm_key *key, void *out)
{
    switch (key->type) {
    case CM_KEY_TEXT: *(const char **)out = key->text; break;
    case CM_KEY_PARSED: return key->text == NULL || key->parse(reader->arena, key->text, out) == NULL;
    case CM_KEY_FLAG: *(bool *)out = key->number != 0; break;
    case CM_KEY_COUNT:
    case CM_KEY_DURATION:
    case CM_KEY_DAYS:
    case CM_KEY_OCTAL:
    case CM_KEY_WORD:
    case CM_KEY_WORDS: *(unsigned *)out = key->number; break;
    case CM_KEY_PATTERNS:
    case CM_KEY_NETWORKS:
    case CM_KEY_LIST: break; /* empty, as the memory is */
    }
    return true;
}

struct walk {
    const struct cm_reader *reader;
    const struct cm_key_table *table;
    unsigned char *base;
};

static const struct cm_key *find_key(const struct cm_key_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++) {
        if (strcmp(table->keys[i].path, path) == 0) {
            return &table->keys[i];
        }
    }
    return NULL;
}

static bool is_inner_group(const struct cm_key_table *table, const char *path)
{
    size_t len = strlen(path);
    for (size_t i = 0; i < table->count; i++) {
        if (strncmp(table->keys[i].path, path, len) == 0 && table->keys[i].path[len] == '.') {
            return true;
        }
    }
    return false;
}

static void whole_path(const struct cm_key_table *table, const char *path, char out[CM_SETTINGS_PATH_BYTES])
{
    struct cm_text t = cm_text_over(out, CM_SETTINGS_PATH_BYTES);
    cm_text_add_str(&t, table->name);
    cm_text_add_str(&t, table->name[0] != '\0' ? "." : "");
    cm_text_add_str(&t, path);
}

static bool walk_group(const struct walk *walk, const config_setting_t *group, const char *prefix);

static bool walk_member(const struct walk *walk, const config_setting_t *member, const char *prefix)
{
    char path[CM_SETTINGS_PATH_BYTES];
    char whole[CM_SETTINGS_PATH_BYTES];
    const char *name = config_setting_name(member);
    struct cm_text t = cm_text_over(path, sizeof(path));
    cm_text_add_str(&t, prefix);
    cm_text_add_str(&t, name);
    whole_path(walk->table, path, whole);
    const struct cm_key *key = find_key(walk->table, path);
    if (key != NULL) {
        const struct cm_item item = {.reader = walk->reader, .key = key, .setting = member, .path = whole};
        return cm_item_read(&item, walk->base + key->offset);
    }
    if (!is_inner_group(walk->table, path)) {
        char advice[CM_ERR_BYTES];
        struct cm_text a = cm_text_over(advice, sizeof(advice));
        cm_suggest_key(walk->table, prefix, name, &a);
        return cm_reader_fail(walk->reader, member, whole, "is not known; %s", advice);
    }
    if (!config_setting_is_group(member)) {
        return cm_reader_fail(walk->reader, member, whole, "is %s; write a group, as in %s: { ... };",
                              cm_type_name(member), name);
    }
    cm_text_add_char(&t, '.');
    return walk_group(walk, member, path);
}

/* As deep as the table is, whatever the file is like. */
static bool walk_group(const struct walk *walk, const config_setting_t *group, const char *prefix)
{
    int count = config_setting_length(group);
    for (int i = 0; i < count; i++) {
        if (!walk_member(walk, config_setting_get_elem(group, (unsigned)i), prefix)) {
            return false;
        }
    }
    return true;
}

static bool check_required(const struct cm_reader *reader, const config_setting_t *group,
                           const struct cm_key_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct cm_key *key = &table->keys[i];
        char whole[CM_SETTINGS_PATH_BYTES];
        if (key->required && !cm_reader_has(group, key->path)) {
            whole_path(table, key->path, whole);
            return cm_reader_fail(reader, cm_reader_member(group, key->path), whole, "is missing; write %s",
                                  key->right);
        }
    }
    return true;
}

bool cm_reader_group(const struct cm_reader *reader, const config_setting_t *group, const struct cm_key_table *table,
                     void *base)
{
    const struct walk walk = {.reader = reader, .table = table, .base = base};
    for (size_t i = 0; i < table->count; i++) {
        if (!set_default(reader, &table->keys[i], walk.base + table->keys[i].offset)) {
            return cm_reader_fail_memory(reader);
        }
    }
    return walk_group(&walk, group, "") && check_required(reader, group, table);
}
