/*
 * Files of the configuration.
 *
 * libconfig 1.5 has four habits that a mail server cannot live with, so every text is scanned before libconfig sees it:
 * an @include of a directory ends the process (exit 2), a NUL ends the text without an error, an integer beyond 32 bits
 * wraps round, and a missing quote is reported wherever the next one happens to be.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "internal.h"

#define NUMBER_DIGITS 9 /* of the longest number that is surely within 32 bits; no key needs as many */

static const char *error_name(int number, char *storage, size_t size)
{
    return strerror_r(number, storage, size);
}

static bool fail_errno(struct cm_err *err, const char *path, const char *what_to_do)
{
    char storage[128];
    cm_err_set(err, "%s: %s; %s", path, error_name(errno, storage, sizeof(storage)), what_to_do);
    return false;
}

/* `is_main`: the file that the administrator named, not one that another file names. */
static const char *advice_for(int number, bool is_main)
{
    switch (number) {
    case ENOENT:
        return is_main ? "give the path of the configuration with -c or in " CM_SETTINGS_ENVIRONMENT
                       : "name a file that is there";
    case EACCES: return "let the user that runs this program read it";
    default: return "put a readable file there";
    }
}

/* --- reading one file --- */

static bool fail_size(const char *path, struct cm_err *err)
{
    cm_err_set(err, "%s: is larger than 4 MiB; split it (streams go into conf.d/*.conf)", path);
    return false;
}

/* out_size is what the file says of itself; it may still grow. */
static bool check_kind(int fd, const char *path, bool is_main, size_t *out_size, struct cm_err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return fail_errno(err, path, advice_for(errno, is_main));
    }
    if (S_ISDIR(st.st_mode)) {
        cm_err_set(err, "%s: is a directory; name the file in it", path);
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        cm_err_set(err, "%s: is no regular file; put the configuration into a file", path);
        return false;
    }
    if (st.st_size > CM_SETTINGS_FILE_BYTES) {
        return fail_size(path, err);
    }
    *out_size = (size_t)st.st_size;
    return true;
}

struct buffer {
    char *text; /* on the heap */
    size_t len;
    size_t size;
};

/* Room for at least one byte more; false when there is no memory. */
static bool make_room(struct buffer *buffer)
{
    if (buffer->len < buffer->size) {
        return true;
    }
    char *larger = realloc(buffer->text, buffer->size * 2);
    if (larger == NULL) {
        return false;
    }
    buffer->text = larger;
    buffer->size *= 2;
    return true;
}

/* Reads to the end, and leaves room for a NUL. */
static bool fill_buffer(int fd, const char *path, bool is_main, struct buffer *buffer, struct cm_err *err)
{
    for (;;) {
        if (!make_room(buffer)) {
            cm_err_set(err, "%s: cannot be read: out of memory", path);
            return false;
        }
        ssize_t n = read(fd, buffer->text + buffer->len, buffer->size - buffer->len);
        if (n < 0 && errno != EINTR) {
            return fail_errno(err, path, advice_for(errno, is_main));
        }
        if (n == 0) {
            return true;
        }
        buffer->len += n > 0 ? (size_t)n : 0;
        if (buffer->len > CM_SETTINGS_FILE_BYTES) {
            return fail_size(path, err);
        }
    }
}

static char *read_file(const char *path, bool is_main, size_t *out_len, struct cm_err *err)
{
    /* Non-blocking, so that a FIFO in place of the file is refused and not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t size = 0;
    if (fd < 0) {
        (void)fail_errno(err, path, advice_for(errno, is_main));
        return NULL;
    }
    bool right = check_kind(fd, path, is_main, &size, err);
    /* One byte for the NUL, and one so that the end is seen without growing. */
    struct buffer buffer = {.text = right ? malloc(size + 2) : NULL, .size = size + 2};
    if (right && buffer.text == NULL) {
        cm_err_set(err, "%s: cannot be read: out of memory", path);
        right = false;
    }
    right = right && fill_buffer(fd, path, is_main, &buffer, err);
    (void)close(fd); /* was only read */
    if (!right) {
        free(buffer.text);
        return NULL;
    }
    buffer.text[buffer.len] = '\0'; /* make_room was asked before the last read */
    *out_len = buffer.len;
    return buffer.text;
}

/* --- scanning --- */

struct scan {
    struct cm_source_set *set;
    const char *path;
    const char *p;
    const char *end;
    unsigned line;
    bool at_line_start; /* nothing but blanks since the last line end, as libconfig's own scanner wants for @include */
    unsigned depth;     /* of includes */
};

static bool scan_file(struct cm_source_set *set, const char *path, unsigned depth, char **out_text);

static bool scan_fail(const struct scan *s, const char *problem)
{
    cm_err_set(s->set->err, "%s:%u: %s", s->path, s->line, problem);
    return false;
}

static bool is_zero_escape(const char *p, const char *end)
{
    return end - p >= 4 && p[0] == '\\' && p[1] == 'x' && p[2] == '0' && p[3] == '0';
}

/* Behind the opening quote. */
static bool scan_string(struct scan *s)
{
    while (s->p < s->end && *s->p != '"') {
        if (*s->p == '\n') {
            return scan_fail(s, "a text runs over the end of the line; close it with a '\"'");
        }
        if (is_zero_escape(s->p, s->end)) {
            return scan_fail(s, "a text holds \\x00; no text may hold a NUL");
        }
        s->p += *s->p == '\\' && s->end - s->p > 1 && s->p[1] != '\n' ? 2 : 1;
    }
    if (s->p == s->end) {
        return scan_fail(s, "a text runs over the end of the file; close it with a '\"'");
    }
    s->p++;
    return true;
}

static bool scan_block_comment(struct scan *s)
{
    const char *close = memmem(s->p, (size_t)(s->end - s->p), "*/", 2);
    if (close == NULL) {
        return scan_fail(s, "a comment begins here and never ends; close it with */");
    }
    for (; s->p < close; s->p++) {
        s->line += *s->p == '\n';
    }
    s->p += 2;
    return true;
}

static void scan_line_comment(struct scan *s)
{
    const char *newline = memchr(s->p, '\n', (size_t)(s->end - s->p));
    s->p = newline != NULL ? newline : s->end;
}

/* A name or a number: libconfig takes the longest run of these characters. */
static bool scan_word(struct scan *s)
{
    const char *start = s->p;
    while (s->p < s->end && (cm_ascii_is_alnum(*s->p) || *s->p == '_' || *s->p == '-' || *s->p == '*')) {
        s->p++;
    }
    bool is_number = cm_ascii_is_digit(*start);
    return !is_number || s->p - start <= NUMBER_DIGITS || scan_fail(s, "a number is too large; at most 9 digits");
}

/* The path between the quotes; false when this is no include that libconfig would follow. */
static bool take_include(struct scan *s, struct cm_span *out_path)
{
    static const char keyword[] = "@include";
    struct cm_span rest = {s->p, (size_t)(s->end - s->p)};
    if (!cm_span_starts_with(rest, keyword)) {
        return false;
    }
    const char *p = s->p + sizeof(keyword) - 1;
    while (p < s->end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    const char *close = p < s->end && *p == '"' ? memchr(p + 1, '"', (size_t)(s->end - p - 1)) : NULL;
    if (close == NULL) {
        return false;
    }
    *out_path = (struct cm_span){p + 1, (size_t)(close - p - 1)};
    s->p = close + 1;
    return true;
}

/* Backslashes would be read differently by libconfig's versions; control characters would reach the log. */
static bool is_include_path(struct cm_span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if ((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f || name.p[i] == '\\') {
            return false;
        }
    }
    return name.len > 0 && name.p[0] != '/';
}

static bool scan_include(struct scan *s)
{
    struct cm_span name;
    char *ignored_text = NULL;
    if (!take_include(s, &name)) {
        return scan_fail(s, "@ is not known here; the one such word is a line of the form @include \"FILE\"");
    }
    if (!is_include_path(name)) {
        return scan_fail(s, "@include takes a path relative to the directory of the main file, as in \"more.conf\"");
    }
    if (s->depth >= CM_SETTINGS_INCLUDE_DEPTH || s->set->includes >= CM_SETTINGS_INCLUDES) {
        return scan_fail(s, "@include goes too deep or too far; at most 8 levels and 256 files");
    }
    s->set->includes++;
    size_t size = strlen(s->set->directory) + 1 + name.len + 1;
    char *path = cm_arena_alloc(s->set->arena, size);
    if (path == NULL) {
        return scan_fail(s, "@include cannot be followed: out of memory");
    }
    struct cm_text t = cm_text_over(path, size);
    cm_text_add_format(&t, "%s/%.*s", s->set->directory, (int)name.len, name.p);
    if (!scan_file(s->set, path, s->depth + 1, &ignored_text)) {
        if (s->set->err != NULL && s->depth == 0) {
            cm_err_prefix(s->set->err, "%s:%u: @include", s->path, s->line);
        }
        return false;
    }
    free(ignored_text);
    return true;
}

static bool scan_next(struct scan *s)
{
    char c = *s->p;
    char next = s->end - s->p > 1 ? s->p[1] : '\0';
    if (c == '\n') {
        s->line++;
        s->p++;
        s->at_line_start = true;
        return true;
    }
    if (c == ' ' || c == '\t') {
        s->p++;
        return true;
    }
    bool was_at_line_start = s->at_line_start;
    s->at_line_start = false;
    if (c == '\0') {
        return scan_fail(s, "holds a NUL byte; the configuration is text");
    }
    if (c == '@' && was_at_line_start) {
        return scan_include(s);
    }
    if (c == '"') {
        s->p++;
        return scan_string(s);
    }
    if (c == '/' && next == '*') {
        s->p += 2;
        return scan_block_comment(s);
    }
    if (c == '#' || (c == '/' && next == '/')) {
        scan_line_comment(s);
        return true;
    }
    if (cm_ascii_is_alnum(c)) {
        return scan_word(s);
    }
    s->p++;
    return true;
}

static bool scan_file(struct cm_source_set *set, const char *path, unsigned depth, char **out_text)
{
    size_t len = 0;
    char *text = read_file(path, depth == 0, &len, set->err);
    if (text == NULL) {
        return false;
    }
    struct scan s = {.set = set, .path = path, .p = text, .end = text + len, .line = 1, .depth = depth};
    s.at_line_start = true;
    bool right = EVP_DigestUpdate(set->digest, text, len) == 1 || scan_fail(&s, "cannot be hashed: out of memory");
    while (right && s.p < s.end) {
        right = scan_next(&s);
    }
    if (!right) {
        free(text);
        return false;
    }
    *out_text = text;
    return true;
}

char *cm_source_read_list(const char *path, size_t *out_len, struct cm_err *err)
{
    return read_file(path, false, out_len, err);
}

char *cm_source_read(struct cm_source_set *set, const char *path)
{
    char *text = NULL;
    return scan_file(set, path, 0, &text) ? text : NULL;
}

/* --- conf.d --- */

const char *cm_source_directory(struct cm_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return ".";
    }
    size_t len = slash == path ? 1 : (size_t)(slash - path);
    return cm_arena_copy(arena, (struct cm_span){path, len}).p;
}

static int is_fragment(const struct dirent *entry)
{
    const char *name = entry->d_name;
    size_t len = strlen(name);
    return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".conf") == 0 && strstr(name, ".dpkg-") == NULL;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool join_fragments(struct cm_source_set *set, struct dirent **entries, size_t count, const char **paths)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(set->directory) + sizeof("/conf.d/") + strlen(entries[i]->d_name);
        char *path = cm_arena_alloc(set->arena, size);
        if (path == NULL) {
            return false;
        }
        struct cm_text t = cm_text_over(path, size);
        cm_text_add_format(&t, "%s/conf.d/%s", set->directory, entries[i]->d_name);
        paths[i] = path;
    }
    return true;
}

bool cm_source_fragments(struct cm_source_set *set, const char ***out_paths, size_t *out_count)
{
    struct dirent **entries = NULL;
    size_t size = strlen(set->directory) + sizeof("/conf.d");
    char *directory = cm_arena_alloc(set->arena, size);
    *out_count = 0;
    if (directory == NULL) {
        cm_err_set(set->err, "out of memory");
        return false;
    }
    struct cm_text t = cm_text_over(directory, size);
    cm_text_add_format(&t, "%s/conf.d", set->directory);
    int found = scandir(directory, &entries, is_fragment, by_bytes);
    if (found < 0 && errno == ENOENT) {
        return true;
    }
    if (found < 0) {
        return fail_errno(set->err, directory, "make it a readable directory of *.conf files, or remove it");
    }
    const char **paths = cm_arena_array(set->arena, (size_t)found + 1, sizeof(*paths));
    bool right = found <= CM_SETTINGS_FRAGMENTS && paths != NULL && join_fragments(set, entries, (size_t)found, paths);
    if (!right) {
        cm_err_set(set->err,
                   found > CM_SETTINGS_FRAGMENTS ? "%s: holds more than 1024 *.conf files; join some of them"
                                                 : "%s: cannot be listed: out of memory",
                   directory);
    }
    for (int i = 0; i < found; i++) {
        free(entries[i]);
    }
    free(entries);
    *out_paths = paths;
    *out_count = (size_t)found;
    return right;
}
