/*
 * A journal whose last file was written over by anybody. The input is a small program: its first byte says whether the
 * file is taken from it as it is, or written by the journal and then edited. What must hold: no crash; the answer is OK
 * or DAMAGED; damage changes nothing; what is read was written, in order and without gap; after OK the journal goes on,
 * and opens again without another cut.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "journal/journal.h"
#include "require.h"

#define FILE_MAX 16384
#define RECORDS 8
#define BIG ((size_t)1 << 30)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/cm-fuzz-journal-XXXXXX";
static char path[sizeof(directory) + 32];

static void remove_all(void)
{
    (void)unlink(path); /* it may not be there */
    (void)rmdir(directory);
}

static void make_directory(void)
{
    if (path[0] == '\0') {
        REQUIRE(mkdtemp(directory) != NULL);
        (void)snprintf(path, sizeof(path), "%s/0000000001.journal", directory); /* fits */
        REQUIRE(atexit(remove_all) == 0);
    }
    (void)unlink(path); /* it may not be there */
}

static enum cm_journal_status open_it(struct cm_journal **out, size_t *out_cut)
{
    struct cm_journal_options options = {.directory = directory, .file_bytes = BIG};
    struct cm_err err = {.text = ""};
    enum cm_journal_status status = cm_journal_open(&options, out, out_cut, &err);
    REQUIRE(status == CM_JOURNAL_OK || (status == CM_JOURNAL_DAMAGED && err.text[0] != '\0'));
    return status;
}

static size_t get_file(uint8_t out[FILE_MAX])
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    size_t len = fread(out, 1, FILE_MAX, file);
    (void)fclose(file); /* read only */
    return len;
}

static void put_file(const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
}

/* Record n holds n bytes times 90 of the value n; records 3 to 5 are one commit. */
static struct cm_span content_of(uint64_t number, char bytes[RECORDS * 90])
{
    size_t len = (size_t)number * 90;
    memset(bytes, (int)number, len);
    return (struct cm_span){bytes, len};
}

static size_t write_journal(uint8_t out[FILE_MAX])
{
    struct cm_journal *journal = NULL;
    char bytes[RECORDS * 90];
    size_t cut = 0;
    REQUIRE(open_it(&journal, &cut) == CM_JOURNAL_OK);
    for (uint64_t n = 1; n <= RECORDS; n++) {
        uint64_t number = 0;
        REQUIRE(cm_journal_add(journal, content_of(n, bytes), &number, NULL) && number == n);
        REQUIRE(n == 3 || n == 4 || cm_journal_commit(journal, (int64_t)n, NULL));
    }
    cm_journal_close(journal);
    return get_file(out);
}

/* Edits of seven bytes: what, where, how far, how. */
static size_t edit(uint8_t file[FILE_MAX], size_t len, const uint8_t *data, size_t size)
{
    for (; size >= 7; data += 7, size -= 7) {
        size_t at = (size_t)cm_get_be(data + 1, 2) % (len + 1);
        size_t count = (size_t)cm_get_be(data + 3, 2) % (len - at + 1);
        size_t from = (size_t)cm_get_be(data + 5, 2) % (len - count + 1);
        switch (data[0] % 6) {
        case 0: len = at; break;
        case 1: memset(file + at, 0, count); break;
        case 2: memmove(file + at, file + from, count); break;
        case 3: file[at < len ? at : 0] ^= data[6]; break;
        case 4: /* a whole sector */
            at -= at % 512;
            memset(file + at, 0, len - at < 512 ? len - at : 512);
            break;
        default:
            count = len + count <= FILE_MAX ? count : FILE_MAX - len;
            memmove(file + len, file + from, count);
            len += count;
            break;
        }
    }
    return len;
}

static bool is_written(void *context, uint64_t number, int64_t at_s, struct cm_span content)
{
    uint64_t *next = context;
    char bytes[RECORDS * 90];
    REQUIRE(number == *next && number <= RECORDS);
    REQUIRE(at_s == (number == 3 || number == 4 ? 5 : (int64_t)number));
    REQUIRE(cm_span_equal(content, content_of(number, bytes)));
    ++*next;
    return true;
}

static bool ignore(void *context, uint64_t number, int64_t at_s, struct cm_span content)
{
    uint64_t *next = context;
    (void)at_s; /* hostile, but sound */
    REQUIRE(number == (*next)++ && content.len <= CM_JOURNAL_RECORD_MAX);
    return true;
}

static void check_good(struct cm_journal *journal, bool is_edited)
{
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t next = 1;
    uint64_t number = 0;
    size_t cut = 0;
    cm_journal_range(journal, &first, &last);
    REQUIRE(cm_journal_read(journal, 0, is_edited ? is_written : ignore, &next, NULL));
    REQUIRE(next == last + 1);
    REQUIRE(cm_journal_add(journal, CM_SPAN("next"), &number, NULL) && number == next);
    REQUIRE(cm_journal_commit(journal, 9, NULL));
    cm_journal_close(journal);
    REQUIRE(open_it(&journal, &cut) == CM_JOURNAL_OK && cut == 0);
    cm_journal_range(journal, &first, &last);
    REQUIRE(first == 1 && last == number);
    cm_journal_close(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_MAX];
    static uint8_t after[FILE_MAX];
    struct cm_journal *journal = NULL;
    size_t cut = 0;
    if (size == 0) {
        return 0;
    }
    bool is_edited = data[0] % 2 == 1;
    make_directory();
    size_t len = is_edited ? write_journal(file) : 0;
    if (is_edited) {
        len = edit(file, len, data + 1, size - 1);
    } else {
        len = size - 1 < FILE_MAX ? size - 1 : FILE_MAX;
        memcpy(file, data + 1, len);
    }
    put_file(file, len);
    if (open_it(&journal, &cut) == CM_JOURNAL_OK) {
        REQUIRE(cut <= len);
        check_good(journal, is_edited);
    } else {
        REQUIRE(get_file(after) == len && memcmp(file, after, len) == 0);
    }
    return 0;
}
