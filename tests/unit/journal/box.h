/* A directory of its own for a test program of the journal; the journal is `j` in it, the working directory. */
#ifndef TESTS_UNIT_JOURNAL_BOX_H
#define TESTS_UNIT_JOURNAL_BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "journal/journal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FIRST_FILE "j/0000000001.journal"
/* As format.h says; written again here, so that a change of the format is noticed. */
#define HEADER_BYTES ((size_t)44)
#define HEAD_BYTES ((size_t)40)
#define AROUND_BYTES ((size_t)48)
#define BIG ((size_t)1 << 30)

static char box[] = "/tmp/cm-journal-XXXXXX";

static inline int enter_box(void **state)
{
    (void)state;
    return mkdtemp(box) != NULL && chdir(box) == 0 ? 0 : -1;
}

static inline int empty_box(void **state)
{
    (void)state;
    return system("rm -rf ./*") == 0 ? 0 : -1; /* NOLINT(cert-env33-c): our own fixed text */
}

static inline int leave_box(void **state)
{
    return empty_box(state) == 0 && chdir("/") == 0 && rmdir(box) == 0 ? 0 : -1;
}

/* The whole of a file; the caller's to free. */
static inline char *get_bytes(const char *path, size_t *out_len)
{
    struct stat about;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &about), 0);
    *out_len = (size_t)about.st_size;
    char *bytes = malloc(*out_len + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *out_len, file), *out_len);
    assert_int_equal(fclose(file), 0);
    return bytes;
}

static inline void put_bytes(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline size_t size_of(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return (size_t)about.st_size;
}

static inline struct cm_journal *open_good(size_t file_bytes, size_t want_cut)
{
    struct cm_journal_options options = {.directory = "j", .file_bytes = file_bytes};
    struct cm_journal *journal = NULL;
    struct cm_err err = {.text = ""};
    size_t cut = 4711;
    if (cm_journal_open(&options, &journal, &cut, &err) != CM_JOURNAL_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(cut, want_cut);
    return journal;
}

/* Opens it and expects `want`, and a message with this text in it. */
static inline void open_bad(enum cm_journal_status want, const char *text)
{
    struct cm_journal_options options = {.directory = "j", .file_bytes = BIG};
    struct cm_journal *journal = NULL;
    struct cm_err err = {.text = ""};
    size_t cut = 4711;
    assert_int_equal(cm_journal_open(&options, &journal, &cut, &err), want);
    assert_null(journal);
    assert_int_equal(cut, 4711);
    if (strstr(err.text, text) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    }
}

static inline uint64_t add(struct cm_journal *journal, struct cm_span content)
{
    struct cm_err err = {.text = ""};
    uint64_t number = 0;
    if (!cm_journal_add(journal, content, &number, &err)) {
        fail_msg("%s", err.text);
    }
    return number;
}

static inline void commit(struct cm_journal *journal, int64_t now_s)
{
    struct cm_err err = {.text = ""};
    if (!cm_journal_commit(journal, now_s, &err)) {
        fail_msg("%s", err.text);
    }
}

/* One record a commit. */
static inline uint64_t put_record(struct cm_journal *journal, const char *content, int64_t now_s)
{
    uint64_t number = add(journal, cm_span_of(content));
    commit(journal, now_s);
    return number;
}

static inline void assert_range(const struct cm_journal *journal, uint64_t first, uint64_t last)
{
    uint64_t got_first = 4711;
    uint64_t got_last = 4711;
    cm_journal_range(journal, &got_first, &got_last);
    assert_int_equal(got_first, first);
    assert_int_equal(got_last, last);
}

/* What a reading saw: "NUMBER@SECOND=CONTENT " for each record, and stops after `stop_after` of them, if not 0. */
struct seen {
    char text[4096];
    size_t count;
    size_t stop_after;
};

static inline bool see(void *context, uint64_t number, int64_t at_s, struct cm_span content)
{
    struct seen *seen = context;
    struct cm_text text = {.p = seen->text, .len = strlen(seen->text), .size = sizeof(seen->text)};
    cm_text_add_format(&text, "%llu@%lld=%.*s ", (unsigned long long)number, (long long)at_s, (int)content.len,
                       content.p);
    return ++seen->count != seen->stop_after;
}

static inline void assert_records(struct cm_journal *journal, uint64_t from, const char *want)
{
    struct seen seen = {.text = ""};
    struct cm_err err = {.text = ""};
    if (!cm_journal_read(journal, from, see, &seen, &err)) {
        fail_msg("%s", err.text);
    }
    assert_string_equal(seen.text, want);
}

#endif
