/*
 * A disk that fails. The calls to it are replaced here, for a program's own definition comes before a library's: each
 * can be told to fail from the nth on, and what is written is counted.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "journal/journal.h"

enum call { CALL_WRITE, CALL_FDATASYNC, CALL_FSYNC, CALL_PREAD, CALL_FTRUNCATE, CALL_GETRANDOM, CALLS };

static struct {
    int left; /* calls that still succeed; -1: all */
    int error;
    bool once;
} faults[CALLS];

static size_t write_most = SIZE_MAX; /* bytes that one write takes */
static size_t written;
static int syncs;

static int forget_faults(void **state)
{
    for (size_t i = 0; i < CALLS; i++) {
        faults[i].left = -1;
    }
    write_most = SIZE_MAX;
    written = 0;
    syncs = 0;
    return empty_box(state);
}

static void fail_at(enum call call, int after, int error, bool once)
{
    faults[call].left = after;
    faults[call].error = error;
    faults[call].once = once;
}

static bool fails(enum call call)
{
    if (faults[call].left < 0) {
        return false;
    }
    if (faults[call].left > 0) {
        faults[call].left--;
        return false;
    }
    if (faults[call].once) {
        faults[call].left = -1;
    }
    errno = faults[call].error;
    return true;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    if (fails(CALL_WRITE)) {
        return -1;
    }
    ssize_t n = syscall(SYS_write, fd, bytes, len < write_most ? len : write_most);
    written += n > 0 ? (size_t)n : 0;
    return n;
}

int fdatasync(int fd)
{
    syncs++;
    return fails(CALL_FDATASYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    syncs++;
    return fails(CALL_FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
    return fails(CALL_PREAD) ? -1 : (ssize_t)syscall(SYS_pread64, fd, bytes, len, at);
}

int ftruncate(int fd, off_t len)
{
    return fails(CALL_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

ssize_t getrandom(void *bytes, size_t len, unsigned flags)
{
    return fails(CALL_GETRANDOM) ? -1 : (ssize_t)syscall(SYS_getrandom, bytes, len, flags);
}

/* After a failed commit nothing is answered any more, whatever the disk does now. */
static void assert_in_doubt(struct cm_journal *journal)
{
    struct cm_err err = {.text = ""};
    struct seen seen = {.text = ""};
    uint64_t number = 0;
    int syncs_before = syncs;
    assert_false(cm_journal_commit(journal, 9, &err));
    assert_string_equal(err.text, "the journal is in doubt since a commit failed; it must be opened anew");
    assert_false(cm_journal_add(journal, CM_SPAN("more"), &number, NULL));
    assert_false(cm_journal_read(journal, 0, see, &seen, NULL));
    assert_false(cm_journal_expire(journal, 9, 9, NULL));
    assert_int_equal(syncs, syncs_before);
}

static void a_failed_commit_is_in_doubt_until_opened_anew(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum call call;
        int after;
        int error;
        size_t write_most;
        size_t want_cut;
        const char *want; /* after the reopening */
    } rows[] = {
        {"no space", CALL_WRITE, 0, ENOSPC, SIZE_MAX, 0, "1@1=first "},
        {"disk error", CALL_WRITE, 0, EIO, SIZE_MAX, 0, "1@1=first "},
        {"no space within a record", CALL_WRITE, 1, ENOSPC, 50, 50, "1@1=first "},
        {"no space within the next record", CALL_WRITE, 2, ENOSPC, 50, 46, "1@1=first 2@2=second "},
        {"no space after the last byte but one", CALL_WRITE, 1, ENOSPC, 106, 52, "1@1=first 2@2=second "},
        {"sync fails", CALL_FDATASYNC, 0, EIO, SIZE_MAX, 0, "1@1=first 2@2=second 3@2=third "},
        {"sync interrupted", CALL_FDATASYNC, 0, EINTR, SIZE_MAX, 0, "1@1=first 2@2=second 3@2=third "},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_err err = {.text = ""};
        struct cm_journal *journal = open_good(BIG, 0);
        put_record(journal, "first", 1);
        add(journal, CM_SPAN("second"));
        add(journal, CM_SPAN("third"));
        fail_at(rows[i].call, rows[i].after, rows[i].error, true);
        write_most = rows[i].write_most;
        if (cm_journal_commit(journal, 2, &err) || strstr(err.text, strerror(rows[i].error)) == NULL ||
            strstr(err.text, "0000000001.journal: cannot be ") == NULL) {
            fail_msg("%s: %s", rows[i].name, err.text);
        }
        assert_in_doubt(journal);
        assert_range(journal, 1, 1);
        cm_journal_close(journal);
        write_most = SIZE_MAX;
        journal = open_good(BIG, rows[i].want_cut);
        assert_records(journal, 0, rows[i].want);
        put_record(journal, "next", 3);
        cm_journal_close(journal);
        cm_journal_close(open_good(BIG, 0));
        assert_int_equal(forget_faults(NULL), 0);
    }
}

/* What a failed sync leaves in memory looks whole and clean; only writing it again makes the kernel take it to the
 * disk. */
static void the_last_commit_is_written_again_at_the_opening(void **state)
{
    (void)state;
    struct cm_journal *journal = open_good(BIG, 0);
    put_record(journal, "first", 1);
    add(journal, CM_SPAN("second"));
    put_record(journal, "third", 2);
    cm_journal_close(journal);
    size_t len = 0;
    char *bytes = get_bytes(FIRST_FILE, &len);
    static const int errors[] = {0, EIO, ENOSPC};
    for (size_t i = 0; i < COUNT(errors); i++) {
        written = 0;
        if (errors[i] != 0) {
            fail_at(CALL_WRITE, 0, errors[i], true);
            open_bad(CM_JOURNAL_FAILED, "0000000001.journal: cannot be repaired: ");
        } else {
            cm_journal_close(open_good(BIG, 0));
            assert_int_equal(written, 2 * AROUND_BYTES + strlen("second") + strlen("third"));
        }
        size_t now_len = 0;
        char *now = get_bytes(FIRST_FILE, &now_len);
        assert_int_equal(now_len, len);
        assert_memory_equal(now, bytes, len);
        free(now);
    }
    free(bytes);
}

static void interruptions_and_short_writes_are_coped_with(void **state)
{
    (void)state;
    for (size_t most = 1; most < 60; most += 7) {
        write_most = most;
        fail_at(CALL_WRITE, 1, EINTR, true);
        fail_at(CALL_PREAD, 0, EINTR, true);
        struct cm_journal *journal = open_good(0, 0);
        put_record(journal, "first", 1);
        fail_at(CALL_WRITE, 0, EINTR, true);
        put_record(journal, "second", 2);
        fail_at(CALL_PREAD, 0, EINTR, true);
        assert_records(journal, 0, "1@1=first 2@2=second ");
        cm_journal_close(journal);
        fail_at(CALL_PREAD, 0, EINTR, true);
        journal = open_good(0, 0);
        assert_range(journal, 1, 2);
        cm_journal_close(journal);
        assert_int_equal(forget_faults(NULL), 0);
    }
}

static void a_file_that_cannot_be_begun_fails_the_commit(void **state)
{
    (void)state;
    static const struct {
        enum call call;
        int after;
        int error;
        size_t write_most;
    } rows[] = {{CALL_WRITE, 0, ENOSPC, SIZE_MAX},
                {CALL_WRITE, 1, ENOSPC, 20},
                {CALL_FSYNC, 0, EIO, SIZE_MAX},
                {CALL_FSYNC, 1, EIO, SIZE_MAX},
                {CALL_GETRANDOM, 0, ENOSYS, SIZE_MAX}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_err err = {.text = ""};
        struct cm_journal *journal = open_good(0, 0);
        put_record(journal, "first", 1);
        add(journal, CM_SPAN("second"));
        fail_at(rows[i].call, rows[i].after, rows[i].error, true);
        write_most = rows[i].write_most;
        assert_false(cm_journal_commit(journal, 2, &err));
        assert_non_null(strstr(err.text, "0000000002.journal: cannot be begun: "));
        assert_in_doubt(journal);
        cm_journal_close(journal);
        write_most = SIZE_MAX;
        size_t torn = size_of("j/0000000002.journal");
        journal = open_good(0, torn < HEADER_BYTES ? torn : 0);
        assert_records(journal, 0, "1@1=first ");
        assert_int_equal(put_record(journal, "next", 3), 2);
        cm_journal_close(journal);
        cm_journal_close(open_good(0, 0));
        assert_int_equal(forget_faults(NULL), 0);
    }
}

/* Each call of an opening fails in turn; the next opening finds everything. */
static void an_opening_that_fails_loses_nothing(void **state)
{
    (void)state;
    for (int call = 0; call < CALLS; call++) {
        bool was_good = false;
        for (int after = 0; !was_good; after++) {
            struct cm_journal_options options = {.directory = "j", .file_bytes = 0};
            struct cm_journal *journal = open_good(0, 0);
            struct cm_err err = {.text = ""};
            size_t cut = 0;
            put_record(journal, "first", 1);
            put_record(journal, "second", 2);
            cm_journal_close(journal);
            journal = NULL;
            put_bytes("j/0000000003.journal", "cmjourn", 7);
            fail_at((enum call)call, after, EIO, true);
            enum cm_journal_status status = cm_journal_open(&options, &journal, &cut, &err);
            was_good = status == CM_JOURNAL_OK;
            if (!was_good && (status != CM_JOURNAL_FAILED || journal != NULL || err.text[0] == '\0')) {
                fail_msg("call %d after %d: %d", call, after, (int)status);
            }
            cm_journal_close(journal);
            for (int i = 0; i < CALLS; i++) {
                faults[i].left = -1;
            }
            journal = NULL;
            assert_int_equal(cm_journal_open(&options, &journal, &cut, &err), CM_JOURNAL_OK);
            assert_records(journal, 0, "1@1=first 2@2=second ");
            assert_int_equal(put_record(journal, "third", 3), 3);
            cm_journal_close(journal);
            assert_int_equal(empty_box(NULL), 0);
        }
    }
}

/* A new journal counts only when its file, the name of the file and the name of the directory are durable. */
static void a_first_opening_that_cannot_be_synced_fails(void **state)
{
    (void)state;
    static const char *const want[] = {
        "the parent of the journal's directory cannot be synced: ", "0000000001.journal: cannot be begun: ",
        "0000000001.journal: cannot be begun: "};
    for (size_t i = 0; i < COUNT(want); i++) {
        fail_at(CALL_FSYNC, (int)i, EIO, true);
        open_bad(CM_JOURNAL_FAILED, want[i]);
        struct cm_journal *journal = open_good(BIG, 0);
        assert_int_equal(put_record(journal, "first", 1), 1);
        cm_journal_close(journal);
        assert_int_equal(forget_faults(NULL), 0);
    }
    fail_at(CALL_FSYNC, (int)COUNT(want), EIO, true);
    cm_journal_close(open_good(BIG, 0));
}

static void reading_that_fails_is_said(void **state)
{
    (void)state;
    struct cm_journal *journal = open_good(0, 0);
    struct cm_err err = {.text = ""};
    struct seen seen = {.text = ""};
    put_record(journal, "first", 1);
    put_record(journal, "second", 2);
    fail_at(CALL_PREAD, 1, EIO, true);
    assert_false(cm_journal_read(journal, 0, see, &seen, &err));
    assert_string_equal(seen.text, "1@1=first ");
    assert_string_equal(err.text, "0000000002.journal: byte 44: Input/output error");
    assert_records(journal, 0, "1@1=first 2@2=second "); /* reading changes nothing, so it may be tried again */
    cm_journal_close(journal);
}

static void an_expiry_that_cannot_be_synced_is_said(void **state)
{
    (void)state;
    struct cm_journal *journal = open_good(0, 0);
    put_record(journal, "first", 1);
    put_record(journal, "second", 2);
    put_record(journal, "third", 3);
    fail_at(CALL_FSYNC, 0, EIO, true);
    assert_false(cm_journal_expire(journal, 9, 9, NULL));
    assert_range(journal, 2, 3);
    assert_true(cm_journal_expire(journal, 9, 9, NULL));
    assert_range(journal, 3, 3);
    assert_int_equal(put_record(journal, "fourth", 4), 4);
    cm_journal_close(journal);
}

/* A commit is not answered for a file that is not in the directory any more, or that somebody else wrote to. */
static void a_file_changed_by_others_fails_the_commit(void **state)
{
    (void)state;
    static const char *const commands[] = {"rm " FIRST_FILE, "truncate -s -1 " FIRST_FILE, "echo >>" FIRST_FILE};
    for (size_t i = 0; i < COUNT(commands); i++) {
        struct cm_journal *journal = open_good(BIG, 0);
        struct cm_err err = {.text = ""};
        put_record(journal, "first", 1);
        assert_int_equal(system(commands[i]), 0); /* NOLINT(cert-env33-c): our own fixed text */
        add(journal, CM_SPAN("second"));
        assert_false(cm_journal_commit(journal, 2, &err));
        assert_string_equal(err.text, "0000000001.journal: was removed or changed by somebody else");
        assert_in_doubt(journal);
        cm_journal_close(journal);
        assert_int_equal(empty_box(NULL), 0);
    }
}

/* The kernel's own refusal, in the middle of a record. */
static void the_limit_of_a_file_is_met(void **state)
{
    (void)state;
    struct rlimit before;
    struct cm_journal *journal = open_good(BIG, 0);
    put_record(journal, "first", 1);
    add(journal, CM_SPAN("second"));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 120, .rlim_max = before.rlim_max};
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool ok = cm_journal_commit(journal, 2, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_false(ok);
    assert_in_doubt(journal);
    cm_journal_close(journal);
    journal = open_good(BIG, 120 - HEADER_BYTES - AROUND_BYTES - strlen("first"));
    assert_records(journal, 0, "1@1=first ");
    cm_journal_close(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_failed_commit_is_in_doubt_until_opened_anew, forget_faults),
        cmocka_unit_test_setup(the_last_commit_is_written_again_at_the_opening, forget_faults),
        cmocka_unit_test_setup(interruptions_and_short_writes_are_coped_with, forget_faults),
        cmocka_unit_test_setup(a_file_that_cannot_be_begun_fails_the_commit, forget_faults),
        cmocka_unit_test_setup(an_opening_that_fails_loses_nothing, forget_faults),
        cmocka_unit_test_setup(a_first_opening_that_cannot_be_synced_fails, forget_faults),
        cmocka_unit_test_setup(reading_that_fails_is_said, forget_faults),
        cmocka_unit_test_setup(an_expiry_that_cannot_be_synced_is_said, forget_faults),
        cmocka_unit_test_setup(a_file_changed_by_others_fails_the_commit, forget_faults),
        cmocka_unit_test_setup(the_limit_of_a_file_is_met, forget_faults),
    };
    return cmocka_run_group_tests(tests, enter_box, leave_box);
}
