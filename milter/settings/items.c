#include <string.h>

#include "internal.h"

const char *cm_type_name(const config_setting_t *setting)
{
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP: return "a group { }";
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64: return "a number";
    case CONFIG_TYPE_FLOAT: return "a decimal number";
    case CONFIG_TYPE_STRING: return "text";
    case CONFIG_TYPE_BOOL: return "true or false";
    case CONFIG_TYPE_ARRAY: return "a list [ ]";
    case CONFIG_TYPE_LIST: return "a list ( )";
    default: return "nothing";
    }
}

static bool fail_type(const struct cm_item *item, const char *right)
{
    return cm_reader_fail(item->reader, item->setting, item->path, "is %s; write %s", cm_type_name(item->setting),
                          item->key->right != NULL ? item->key->right : right);
}

static bool fail_text(const struct cm_item *item, const config_setting_t *at, const char *text, const char *problem)
{
    char quoted[CM_QUOTE_BYTES];
    return cm_reader_fail(item->reader, at, item->path, "\"%s\" %s", cm_quote(text, quoted), problem);
}

/* No text of the configuration needs one, and it would reach logs and replies. */
static bool check_no_control(const struct cm_item *item, const config_setting_t *at, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            return fail_text(item, at, text, "holds a control character; leave it out");
        }
    }
    return true;
}

/* --- single values --- */

static bool take_text(const struct cm_item *item, const char *right, const char **out_text)
{
    const struct cm_key *key = item->key;
    if (config_setting_type(item->setting) != CONFIG_TYPE_STRING) {
        return fail_type(item, right);
    }
    const char *text = config_setting_get_string(item->setting);
    text = text != NULL ? text : "";
    size_t len = strlen(text);
    if (len < key->min && len == 0) {
        return cm_reader_fail(item->reader, item->setting, item->path, "is empty; write %s%s",
                              key->right != NULL ? key->right : right, key->required ? "" : ", or leave the key out");
    }
    if (key->max > 0 && (len < key->min || len > key->max)) {
        return cm_reader_fail(item->reader, item->setting, item->path, "has %zu bytes; %u to %u are right", len,
                              key->min, key->max);
    }
    *out_text = text;
    return check_no_control(item, item->setting, text);
}

static bool read_text(const struct cm_item *item, void *out)
{
    const char *text = "";
    if (!take_text(item, "text in quotes", &text)) {
        return false;
    }
    const char *problem = item->key->problem != NULL ? item->key->problem(text) : NULL;
    if (problem != NULL) {
        return fail_text(item, item->setting, text, problem);
    }
    const char *copy = cm_arena_copy(item->reader->arena, cm_span_of(text)).p;
    if (copy == NULL) {
        return cm_reader_fail_memory(item->reader);
    }
    *(const char **)out = copy;
    return true;
}

static bool read_parsed(const struct cm_item *item, void *out)
{
    const char *text = "";
    if (!take_text(item, "text in quotes", &text)) {
        return false;
    }
    const char *problem = item->key->parse(item->reader->arena, text, out);
    if (problem != NULL && item->key->may_hold_secret && strchr(text, '@') != NULL) {
        return cm_reader_fail(item->reader, item->setting, item->path, "%s",
                              problem); /* what was written stays untold */
    }
    return problem == NULL || fail_text(item, item->setting, text, problem);
}

static bool read_flag(const struct cm_item *item, void *out)
{
    if (config_setting_type(item->setting) != CONFIG_TYPE_BOOL) {
        return fail_type(item, "true or false, without quotes");
    }
    *(bool *)out = config_setting_get_bool(item->setting) != CONFIG_FALSE;
    return true;
}

static bool read_count(const struct cm_item *item, void *out)
{
    const struct cm_key *key = item->key;
    int type = config_setting_type(item->setting);
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
        return fail_type(item, "a whole number, without quotes");
    }
    long long value = config_setting_get_int64(item->setting);
    if (value < (long long)key->min || value > (long long)key->max) {
        return cm_reader_fail(item->reader, item->setting, item->path, "is %lld; write a number from %u to %u", value,
                              key->min, key->max);
    }
    *(unsigned *)out = (unsigned)value;
    return true;
}

/* A number with a unit. `unit` is the one that the bounds are in, `right` what a right text is like. */
static bool read_with_unit(const struct cm_item *item, bool (*parse)(const char *text, unsigned *out_value),
                           const char *unit, const char *right, void *out)
{
    const struct cm_key *key = item->key;
    char quoted[CM_QUOTE_BYTES];
    unsigned value = 0;
    if (config_setting_type(item->setting) != CONFIG_TYPE_STRING) {
        return fail_type(item, right);
    }
    const char *text = config_setting_get_string(item->setting);
    if (!parse(text, &value)) {
        return cm_reader_fail(item->reader, item->setting, item->path, "\"%s\" is no duration; write %s",
                              cm_quote(text, quoted), right);
    }
    if (value < key->min || value > key->max) {
        return cm_reader_fail(item->reader, item->setting, item->path,
                              "\"%s\" is out of bounds; %u%s to %u%s are right", cm_quote(text, quoted), key->min, unit,
                              key->max, unit);
    }
    *(unsigned *)out = value;
    return true;
}

static bool read_duration(const struct cm_item *item, void *out)
{
    return read_with_unit(item, cm_parse_duration, "ms", "text with a unit, such as \"800ms\" or \"1s\"", out);
}

static bool read_days(const struct cm_item *item, void *out)
{
    return read_with_unit(item, cm_parse_days, "d", "a number of days with its unit, such as \"35d\"", out);
}

static bool read_octal(const struct cm_item *item, void *out)
{
    char quoted[CM_QUOTE_BYTES];
    unsigned value = 0;
    if (config_setting_type(item->setting) != CONFIG_TYPE_STRING) {
        return fail_type(item, "octal digits in quotes, such as \"0660\"");
    }
    const char *text = config_setting_get_string(item->setting);
    (void)cm_quote(text, quoted); /* for each of the messages */
    if (!cm_parse_octal(text, &value) || value > 0777) {
        return cm_reader_fail(item->reader, item->setting, item->path,
                              "\"%s\" is no file mode; write octal digits such as \"0660\"", quoted);
    }
    if ((value & 0002) != 0) {
        return cm_reader_fail(item->reader, item->setting, item->path,
                              "\"%s\" lets everybody connect; write \"0660\" and set the group", quoted);
    }
    if ((value & 0600) != 0600) {
        return cm_reader_fail(item->reader, item->setting, item->path,
                              "\"%s\" keeps the owner out; write \"0600\" or \"0660\"", quoted);
    }
    *(unsigned *)out = value;
    return true;
}

static bool find_word(const struct cm_item *item, const config_setting_t *at, const char *text, unsigned *out_value)
{
    char right[160];
    struct cm_text t = cm_text_over(right, sizeof(right));
    cm_suggest_word(item->key->words, &t);
    for (const struct cm_word *w = item->key->words; w->word != NULL; w++) {
        if (strcmp(text, w->word) == 0) {
            *out_value = w->value;
            return true;
        }
    }
    char quoted[CM_QUOTE_BYTES];
    return cm_reader_fail(item->reader, at, item->path, "\"%s\" is not known; %s", cm_quote(text, quoted), right);
}

static bool read_word(const struct cm_item *item, void *out)
{
    const char *text = "";
    return take_text(item, "one word in quotes", &text) && find_word(item, item->setting, text, out);
}

/* --- lists --- */

static bool check_list(const struct cm_item *item, const char *right, size_t *out_count)
{
    if (!config_setting_is_array(item->setting) && !config_setting_is_list(item->setting)) {
        return fail_type(item, right);
    }
    size_t count = (size_t)config_setting_length(item->setting);
    unsigned most = item->key->max > 0 ? item->key->max : CM_SETTINGS_LIST_VALUES;
    if (count > most) {
        return cm_reader_fail(item->reader, item->setting, item->path, "has %zu values; at most %u are right", count,
                              most);
    }
    *out_count = count;
    return true;
}

/* The text of one value of a list, borrowed. */
static bool take_element(const struct cm_item *item, size_t index, const config_setting_t **out_at,
                         const char **out_text)
{
    const config_setting_t *at = config_setting_get_elem(item->setting, (unsigned)index);
    if (config_setting_type(at) != CONFIG_TYPE_STRING) {
        return cm_reader_fail(item->reader, at, item->path, "holds %s; write texts, as in [\"a\", \"b\"]",
                              cm_type_name(at));
    }
    const char *text = config_setting_get_string(at);
    *out_at = at;
    *out_text = text != NULL ? text : "";
    return check_no_control(item, at, *out_text);
}

static const char list_right[] = "a list, as in [\"a\", \"b\"]";

static bool read_patterns(const struct cm_item *item, void *out)
{
    struct cm_patterns patterns = {.items = NULL};
    size_t count = 0;
    if (!check_list(item, list_right, &count)) {
        return false;
    }
    patterns.items = cm_arena_array(item->reader->arena, count + 1, sizeof(*patterns.items));
    if (patterns.items == NULL) {
        return cm_reader_fail_memory(item->reader);
    }
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *at = NULL;
        const char *text = "";
        if (!take_element(item, i, &at, &text)) {
            return false;
        }
        const char *problem = item->key->problem(text);
        if (problem != NULL) {
            return fail_text(item, at, text, problem);
        }
        patterns.items[i] = cm_arena_copy(item->reader->arena, cm_span_of(text)).p;
        if (patterns.items[i] == NULL) {
            return cm_reader_fail_memory(item->reader);
        }
    }
    patterns.count = count;
    *(struct cm_patterns *)out = patterns;
    return true;
}

static bool read_networks(const struct cm_item *item, void *out)
{
    struct cm_networks networks = {.items = NULL};
    size_t count = 0;
    if (!check_list(item, list_right, &count)) {
        return false;
    }
    networks.items = cm_arena_array(item->reader->arena, count + 1, sizeof(*networks.items));
    if (networks.items == NULL) {
        return cm_reader_fail_memory(item->reader);
    }
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *at = NULL;
        const char *text = "";
        if (!take_element(item, i, &at, &text)) {
            return false;
        }
        if (!cm_cidr_parse(cm_span_of(text), &networks.items[i])) {
            return fail_text(item, at, text,
                             "is no network; write an address or ADDRESS/BITS without bits behind the prefix, as in "
                             "\"10.0.0.0/8\" or \"2001:db8::/32\"");
        }
    }
    networks.count = count;
    *(struct cm_networks *)out = networks;
    return true;
}

static bool read_words(const struct cm_item *item, void *out)
{
    unsigned all = 0;
    size_t count = 0;
    if (!check_list(item, list_right, &count)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const config_setting_t *at = NULL;
        const char *text = "";
        unsigned value = 0;
        if (!take_element(item, i, &at, &text) || !find_word(item, at, text, &value)) {
            return false;
        }
        if ((all & value) != 0) {
            return fail_text(item, at, text, "stands there twice; name it once");
        }
        all |= value;
    }
    if (all == 0 && item->key->min > 0) {
        return cm_reader_fail(item->reader, item->setting, item->path, "is empty, so nothing would ever pass; %s",
                              "name at least one, or leave the key out");
    }
    *(unsigned *)out = all;
    return true;
}

static bool read_list(const struct cm_item *item, void *out)
{
    if (!config_setting_is_list(item->setting)) {
        /* "[]" is the one array that can stand for a list: it is empty. */
        if (!config_setting_is_array(item->setting) || config_setting_length(item->setting) > 0) {
            return fail_type(item, "a list of groups");
        }
    }
    *(const config_setting_t **)out = item->setting;
    return true;
}

bool cm_item_read(const struct cm_item *item, void *out)
{
    switch (item->key->type) {
    case CM_KEY_TEXT: return read_text(item, out);
    case CM_KEY_PARSED: return read_parsed(item, out);
    case CM_KEY_FLAG: return read_flag(item, out);
    case CM_KEY_COUNT: return read_count(item, out);
    case CM_KEY_DURATION: return read_duration(item, out);
    case CM_KEY_DAYS: return read_days(item, out);
    case CM_KEY_OCTAL: return read_octal(item, out);
    case CM_KEY_WORD: return read_word(item, out);
    case CM_KEY_WORDS: return read_words(item, out);
    case CM_KEY_PATTERNS: return read_patterns(item, out);
    case CM_KEY_NETWORKS: return read_networks(item, out);
    case CM_KEY_LIST: return read_list(item, out);
    }
    return false;
}
