#include "settings/settings.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "internal.h"

#define KEPT_BYTES ((size_t)64 * 1048576)    /* memory of one loaded configuration */
#define LOADING_BYTES ((size_t)16 * 1048576) /* paths and bookkeeping while it is loaded */

/* What callers hold; the settings come first, so the one pointer serves both. */
struct handle {
    struct cm_settings settings;
    struct cm_arena arena;
};

/* One file with what libconfig made of it. */
struct document {
    const char *path;
    config_t config;
};

struct loading {
    struct cm_arena scratch;
    struct cm_source_set sources;
    struct handle *handle;
    struct document *documents; /* the main file and its fragments, in reading order */
    size_t count;               /* of those that are ready */
    struct cm_draft draft;
    struct cm_err *err;
};

/* --- files --- */

static const char *explain_parse_error(const char *text)
{
    static const char *const explained[][2] = {
        {"syntax error",
         "syntax error; on this line or the one before, a ';', '=', quote or bracket is missing or too many"},
        {"duplicate setting name", "a key is given twice in its group; keep one of them"},
        {"mismatched element type in array", "a list [ ] holds values of different types; make them all the same"},
    };
    for (size_t i = 0; i < sizeof(explained) / sizeof(explained[0]); i++) {
        if (text != NULL && strcmp(text, explained[i][0]) == 0) {
            return explained[i][1];
        }
    }
    return text != NULL ? text : "cannot be parsed";
}

static struct cm_reader reader_for(const struct loading *loading, const struct document *document)
{
    return (struct cm_reader){.arena = &loading->handle->arena,
                              .file = document->path,
                              .directory = loading->sources.directory,
                              .err = loading->err};
}

static bool fail_parse(const struct loading *loading, const struct document *document)
{
    const config_t *config = &document->config;
    const char *included = config_error_file(config);
    const char *problem = explain_parse_error(config_error_text(config));
    if (included == NULL) {
        cm_err_set(loading->err, "%s:%d: %s", document->path, config_error_line(config), problem);
    } else {
        cm_err_set(loading->err, "%s: in the included file %s:%d: %s", document->path, included,
                   config_error_line(config), problem);
    }
    return false;
}

/* Adds the file to the documents; what libconfig holds is released with them. */
static bool load_document(struct loading *loading, const char *path)
{
    struct document *document = &loading->documents[loading->count];
    char *text = cm_source_read(&loading->sources, path);
    if (text == NULL) {
        return false;
    }
    document->path = path;
    config_init(&document->config);
    config_set_include_dir(&document->config, loading->sources.directory);
    loading->count++;
    bool right = config_read_string(&document->config, text) == CONFIG_TRUE || fail_parse(loading, document);
    free(text);
    return right;
}

static bool load_documents(struct loading *loading, const char *file)
{
    const char **fragments = NULL;
    size_t fragment_count = 0;
    if (!cm_source_fragments(&loading->sources, &fragments, &fragment_count)) {
        return false;
    }
    loading->documents = cm_arena_array(&loading->scratch, fragment_count + 1, sizeof(*loading->documents));
    if (loading->documents == NULL) {
        cm_err_set(loading->err, "%s: cannot be loaded: out of memory", file);
        return false;
    }
    if (!load_document(loading, file)) {
        return false;
    }
    for (size_t i = 0; i < fragment_count; i++) {
        if (!load_document(loading, fragments[i])) {
            return false;
        }
    }
    return true;
}

/* --- the top level --- */

static bool read_top(struct loading *loading)
{
    const struct document *main_document = &loading->documents[0];
    const struct cm_reader reader = reader_for(loading, main_document);
    return cm_top_read(&reader, config_root_setting(&main_document->config), &loading->draft);
}

static const struct cm_key fragment_keys[] = {
    {.path = "streams", .type = CM_KEY_LIST, .right = "a list of groups, as in streams: ( { name = ...; } );"},
};
static const struct cm_key_table fragment_table = {.keys = fragment_keys, .count = 1, .name = ""};

/* The `streams` list of a fragment, NULL if it has none. */
static bool read_fragment(const struct loading *loading, const struct document *fragment,
                          const config_setting_t **out_list)
{
    const struct cm_reader reader = reader_for(loading, fragment);
    const config_setting_t *root = config_root_setting(&fragment->config);
    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *member = config_setting_get_elem(root, (unsigned)i);
        const char *name = config_setting_name(member);
        if (strcmp(name, fragment_keys[0].path) != 0) {
            return cm_reader_fail(&reader, member, name,
                                  "stands in a fragment, which may hold streams only; move it to %s",
                                  loading->documents[0].path);
        }
    }
    return cm_reader_group(&reader, root, &fragment_table, out_list);
}

/* --- streams --- */

static bool gather_lists(struct loading *loading, struct cm_stream_list *lists, size_t *out_total)
{
    size_t total = 0;
    for (size_t i = 0; i < loading->count; i++) {
        lists[i] = (struct cm_stream_list){.reader = reader_for(loading, &loading->documents[i])};
        if (i == 0) {
            lists[i].list = loading->draft.streams;
        } else if (!read_fragment(loading, &loading->documents[i], &lists[i].list)) {
            return false;
        }
        total += lists[i].list != NULL ? (size_t)config_setting_length(lists[i].list) : 0;
        if (total > CM_LIMIT_STREAMS) {
            return cm_reader_fail(&lists[i].reader, lists[i].list, "streams",
                                  "makes more than %d streams in all; join some, with several patterns each",
                                  CM_LIMIT_STREAMS);
        }
    }
    *out_total = total;
    return true;
}

static void observe_all(struct cm_stream_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        table->streams[i].mode = CM_MODE_OBSERVE;
    }
}

static bool read_streams(struct loading *loading)
{
    size_t total = 0;
    struct cm_stream_table *table = &loading->draft.settings.streams;
    struct cm_stream_list *lists = cm_arena_array(&loading->scratch, loading->count, sizeof(*lists));
    if (lists == NULL) {
        cm_err_set(loading->err, "%s: cannot be loaded: out of memory", loading->documents[0].path);
        return false;
    }
    if (!gather_lists(loading, lists, &total)) {
        return false;
    }
    table->streams = cm_arena_array(&loading->handle->arena, total + 1, sizeof(*table->streams));
    if (table->streams == NULL) {
        return cm_reader_fail_memory(&lists[0].reader);
    }
    for (size_t i = 0; i < loading->count; i++) {
        if (lists[i].list != NULL && !cm_streams_read(&lists[i].reader, lists[i].list, table)) {
            return false;
        }
    }
    if (table->mode == CM_MODE_OBSERVE) {
        observe_all(table);
    }
    if (!cm_streams_check_names(lists, table)) {
        return false;
    }
    return cm_stream_table_index(table, &loading->handle->arena) || cm_reader_fail_memory(&lists[0].reader);
}

/* --- all of it --- */

static bool finish(struct loading *loading, const char *file)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    struct cm_settings *settings = &loading->draft.settings;
    struct cm_text hex = cm_text_over(settings->sha256, sizeof(settings->sha256));
    settings->file = cm_arena_copy(&loading->handle->arena, cm_span_of(file)).p;
    if (settings->file == NULL || EVP_DigestFinal_ex(loading->sources.digest, digest, &digest_len) != 1) {
        cm_err_set(loading->err, "%s: cannot be loaded: out of memory", file);
        return false;
    }
    cm_text_add_hex(&hex, digest, digest_len);
    loading->handle->settings = *settings;
    return true;
}

static bool load_all(struct loading *loading, const char *file)
{
    loading->sources = (struct cm_source_set){.arena = &loading->scratch,
                                              .directory = cm_source_directory(&loading->scratch, file),
                                              .digest = EVP_MD_CTX_new(),
                                              .err = loading->err};
    if (loading->handle == NULL || loading->sources.directory == NULL || loading->sources.digest == NULL ||
        EVP_DigestInit_ex(loading->sources.digest, EVP_sha256(), NULL) != 1) {
        cm_err_set(loading->err, "%s: cannot be loaded: out of memory", file);
        return false;
    }
    cm_arena_init(&loading->handle->arena, KEPT_BYTES);
    return load_documents(loading, file) && read_top(loading) && read_streams(loading) && finish(loading, file);
}

struct cm_settings *cm_settings_load(const char *file, struct cm_err *err)
{
    struct loading loading = {.handle = calloc(1, sizeof(struct handle)), .err = err};
    cm_arena_init(&loading.scratch, LOADING_BYTES);
    bool right = load_all(&loading, file);
    for (size_t i = 0; i < loading.count; i++) {
        config_destroy(&loading.documents[i].config);
    }
    EVP_MD_CTX_free(loading.sources.digest);
    cm_arena_done(&loading.scratch);
    if (!right) {
        cm_settings_free(loading.handle != NULL ? &loading.handle->settings : NULL);
        return NULL;
    }
    return &loading.handle->settings;
}

void cm_settings_free(struct cm_settings *settings)
{
    if (settings != NULL) {
        struct handle *handle = (struct handle *)settings; /* its first member */
        cm_arena_done(&handle->arena);
        free(handle);
    }
}
