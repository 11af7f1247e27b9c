/* The archive on disk: what was committed is read again, a torn end is cut and nothing else, and what somebody removed,
 * changed, swapped or signed anew is found and named. */
#include "archive_world.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct cm_archive_place known[CM_PARTITIONS]; /* nothing: what a fresh Redis says */

static struct cm_archive *open_archive(const struct cm_archive_site *where, uint64_t want_cut)
{
    struct cm_archive *archive = NULL;
    struct cm_err err = {""};
    uint64_t cut = UINT64_MAX;
    if (cm_archive_open(where, &archive, &err) != CM_ARCHIVE_OK ||
        cm_archive_recover(archive, known, &cut, &err) != CM_ARCHIVE_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(cut, want_cut);
    return archive;
}

static void add(struct cm_archive *archive, unsigned partition, uint64_t id, cm_ms now)
{
    struct cm_err err = {""};
    struct cm_ledger_raw entry = entry_of(partition, id, id % 50);
    if (!cm_archive_add(archive, &entry, now, &err)) {
        fail_msg("%s", err.text);
    }
}

static void commit(struct cm_archive *archive, cm_ms now, bool seal)
{
    struct cm_err err = {""};
    if (!cm_archive_commit(archive, now, seal, &err)) {
        fail_msg("%s", err.text);
    }
}

/* Entries 1.. `count` of partitions 0 to 2 in turn, `batch` in a commit, a segment sealed after each `segment`. */
static void fill(uint64_t count, uint64_t batch, uint64_t segment)
{
    struct cm_archive *archive = open_archive(&site, 0);
    for (uint64_t i = 1; i <= count; i++) {
        add(archive, (unsigned)(i % 3), i, NOW);
        if (i % batch == 0 || i == count) {
            commit(archive, NOW, i % segment == 0);
        }
    }
    cm_archive_close(archive);
}

struct seen {
    uint64_t ids[64];
    size_t count;
    size_t stop_at; /* 0: never */
    unsigned damages;
    uint64_t damaged; /* the first one's segment */
    char text[CM_ERR_BYTES];
};

static bool see(void *opaque, const struct cm_ledger_raw *entry)
{
    struct seen *seen = opaque;
    assert_in_range(seen->count, 0, 63);
    struct cm_ledger_raw want = entry_of(entry->partition, entry->id, entry->id % 50);
    assert_true(cm_span_equal(want.event, entry->event));
    assert_true(cm_span_equal(want.document, entry->document));
    seen->ids[seen->count++] = entry->id;
    return seen->count != seen->stop_at;
}

static void see_damage(void *opaque, uint64_t segment, const char *text)
{
    struct seen *seen = opaque;
    if (seen->damages++ == 0) {
        seen->damaged = segment;
        (void)snprintf(seen->text, sizeof(seen->text), "%s", text); /* only to be shown */
    }
}

static void see_progress(void *opaque, uint64_t bytes, uint64_t of_bytes)
{
    (void)opaque;
    assert_true(bytes <= of_bytes);
}

static enum cm_archive_status scan(struct seen *seen)
{
    struct cm_err err = {""};
    struct cm_segment_walk *end = NULL;
    struct cm_archive_visitor visitor = {.entry = see, .damage = see_damage, .progress = see_progress, .context = seen};
    *seen = (struct seen){0};
    enum cm_archive_status status = cm_archive_scan(&site, &visitor, &end, &err);
    free(end);
    return status;
}

static void expect_whole(uint64_t count)
{
    struct seen seen;
    assert_int_equal(scan(&seen), CM_ARCHIVE_OK);
    assert_int_equal(seen.count, count);
    for (size_t i = 0; i < seen.count; i++) {
        assert_int_equal(seen.ids[i], i + 1);
    }
}

static void expect_damage(uint64_t segment, const char *word, unsigned want_damages)
{
    struct seen seen;
    assert_int_equal(scan(&seen), CM_ARCHIVE_DAMAGED);
    if (seen.damaged != segment || strstr(seen.text, word) == NULL || seen.damages != want_damages) {
        fail_msg("segment %llu: %s", (unsigned long long)seen.damaged, seen.text);
    }
}

static void test_what_was_committed_is_there(void **state)
{
    (void)state;
    for (uint64_t segment = 1; segment <= 31; segment += 10) {
        (void)no_archive(state);
        fill(30, segment == 1 ? 1 : 2, segment == 1 ? 1 : segment - 1);
        expect_whole(30);
    }
}

static void test_an_uncommitted_batch_is_not_there(void **state)
{
    (void)state;
    fill(6, 2, 100);
    struct cm_archive *archive = open_archive(&site, 0);
    assert_int_equal(cm_archive_holds(archive, 0).last, 6);
    assert_int_equal(cm_archive_holds(archive, 1).count, 2);
    add(archive, 0, 7, NOW);
    assert_int_equal(cm_archive_holds(archive, 0).last, 7);
    assert_true(cm_archive_waiting(archive) > 0);
    cm_archive_close(archive);
    expect_whole(6);
}

static void test_a_day_and_a_wish_seal(void **state)
{
    (void)state;
    struct cm_archive *archive = open_archive(&site, 0);
    add(archive, 1, 1, NOW);
    commit(archive, NOW, false);
    commit(archive, NOW, false); /* nothing to do */
    commit(archive, NOW + DAY_MS, false);
    assert_int_equal(access("archive/0000000002.segment", F_OK), -1);
    add(archive, 2, 2, NOW + DAY_MS);
    commit(archive, NOW + DAY_MS, true);
    commit(archive, NOW + DAY_MS, true); /* no segment is open */
    add(archive, 0, 3, NOW + DAY_MS);
    commit(archive, NOW + DAY_MS, false);
    cm_archive_close(archive);
    assert_int_equal(access("archive/0000000003.segment", F_OK), 0);
    assert_int_equal(access("archive/0000000004.segment", F_OK), -1);
    expect_whole(3);
}

static off_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* A crash in the middle of a batch, at every byte of it: all before is whole, the writer goes on, and no entry is there
 * twice. */
static void test_a_torn_batch_is_cut(void **state)
{
    (void)state;
    fill(4, 2, 100);
    off_t whole = size_of("archive/0000000001.segment");
    struct cm_archive *archive = open_archive(&site, 0);
    add(archive, 2, 5, NOW);
    commit(archive, NOW, false);
    cm_archive_close(archive);
    off_t torn = size_of("archive/0000000001.segment");
    run_shell("cp archive/0000000001.segment full");
    for (off_t len = whole; len < torn; len++) {
        run_shell("cp full archive/0000000001.segment");
        assert_int_equal(truncate("archive/0000000001.segment", len), 0);
        expect_whole(4);
        archive = open_archive(&site, (uint64_t)(len - whole));
        assert_int_equal(cm_archive_holds(archive, 2).last, 2);
        add(archive, 2, 5, NOW);
        commit(archive, NOW, false);
        cm_archive_close(archive);
        expect_whole(5);
    }
}

/* The same while a segment is being begun, the first one or a later one. */
static void test_a_torn_beginning_is_begun_anew(void **state)
{
    (void)state;
    for (uint64_t before = 0; before <= 3; before += 3) {
        char path[64];
        (void)no_archive(state);
        if (before > 0) {
            fill(before, 3, 3);
        }
        (void)snprintf(path, sizeof(path), "archive/%010d.segment", before > 0 ? 2 : 1); /* fits */
        struct cm_archive *archive = open_archive(&site, 0);
        add(archive, (unsigned)((before + 1) % 3), before + 1, NOW);
        commit(archive, NOW, false);
        cm_archive_close(archive);
        off_t size = size_of(path);
        static const off_t cuts[] = {0, 1, 4, 100, 16000, 16468, 16500, -1};
        for (size_t i = 0; i < COUNT(cuts); i++) {
            assert_int_equal(truncate(path, cuts[i] >= 0 ? cuts[i] : size - 1), 0);
            expect_whole(before);
            archive = open_archive(&site, 0);
            add(archive, (unsigned)((before + 1) % 3), before + 1, NOW);
            commit(archive, NOW, false);
            cm_archive_close(archive);
            expect_whole(before + 1);
        }
    }
}

static void test_there_is_one_writer(void **state)
{
    (void)state;
    struct cm_err err = {""};
    struct cm_archive *second = NULL;
    struct cm_archive *archive = open_archive(&site, 0);
    assert_int_equal(cm_archive_open(&site, &second, &err), CM_ARCHIVE_LOCKED);
    assert_non_null(strstr(err.text, "another archiver"));
    cm_archive_close(archive);
    cm_archive_close(open_archive(&site, 0));
}

static void expect_refused(const struct cm_archive_site *where, const char *word)
{
    struct cm_err err = {""};
    struct cm_archive *archive = NULL;
    uint64_t cut = 0;
    enum cm_archive_status status = cm_archive_open(where, &archive, &err);
    if (status == CM_ARCHIVE_OK) {
        status = cm_archive_recover(archive, known, &cut, &err);
        cm_archive_close(archive);
    }
    assert_int_equal(status, CM_ARCHIVE_DAMAGED);
    assert_int_equal(cut, 0);
    if (strstr(err.text, word) == NULL) {
        fail_msg("%s", err.text);
    }
}

/* Redis knows of more than the archive holds: segments are gone, or this is another directory. Nothing is cut. */
static void test_a_lost_archive_is_refused(void **state)
{
    (void)state;
    fill(6, 2, 100);
    known[0] = (struct cm_archive_place){.last = 9, .count = 3};
    assert_int_equal(truncate("archive/0000000001.segment", size_of("archive/0000000001.segment") - 1), 0);
    off_t size = size_of("archive/0000000001.segment");
    expect_refused(&site, "has lost entries");
    assert_int_equal(size_of("archive/0000000001.segment"), size);
    (void)no_archive(state);
    expect_refused(&site, "has lost entries");
    known[0] = (struct cm_archive_place){0};
}

static void test_another_key_or_store_is_refused(void **state)
{
    (void)state;
    fill(3, 3, 100);
    struct cm_archive_site foreign = site;
    foreign.key = &other_key;
    expect_refused(&foreign, "not signed by our key");
    foreign = site;
    foreign.store_id = OTHER_STORE_ID;
    expect_refused(&foreign, "another store");
    expect_whole(3);
}

/* What hands do to three sealed segments of six entries each and an open one. */
static void test_damage_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *command;
        uint64_t segment;
        const char *word;
        unsigned damages;
    } rows[] = {
        {"a changed byte", "printf X | dd of=archive/0000000002.segment bs=1 seek=16500 conv=notrunc 2>/dev/null", 2,
         "0000000002", 1},
        {"a changed byte of the open one",
         "printf X | dd of=archive/0000000004.segment bs=1 seek=16500 conv=notrunc 2>/dev/null", 4, "0000000004", 1},
        {"a cut end", "truncate -s -1 archive/0000000002.segment", 2, "not sealed", 1},
        {"a whole batch cut off", "truncate -s -123 archive/0000000003.segment", 3, "not sealed", 1},
        {"an emptied segment", "truncate -s 0 archive/0000000002.segment", 2, "no head", 1},
        {"a removed segment", "rm archive/0000000002.segment", 2, "missing", 1},
        {"a removed first segment", "rm archive/0000000001.segment", 1, "missing", 1},
        {"swapped segments",
         "mv archive/0000000001.segment x && mv archive/0000000002.segment archive/0000000001.segment && "
         "mv x archive/0000000002.segment",
         1, "under another's name", 2},
        {"something appended", "echo more >> archive/0000000001.segment", 1, "0000000001", 1},
        {"zeros appended to the open one", "head -c 200 /dev/zero >> archive/0000000004.segment", 4, "no frame", 1},
        {"one removed entry of the open one",
         "head -c 16468 archive/0000000004.segment > x && tail -c +16650 archive/0000000004.segment >> x && "
         "mv x archive/0000000004.segment",
         4, "0000000004", 1},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)no_archive(state);
        fill(21, 3, 6);
        expect_whole(21);
        run_shell(rows[i].command);
        print_message("%s\n", rows[i].what);
        expect_damage(rows[i].segment, rows[i].word, rows[i].damages);
    }
}

/* A forger without the key writes a whole archive of their own. */
static void test_a_segment_signed_by_another_key_is_found(void **state)
{
    (void)state;
    struct cm_archive_site forged = site;
    forged.key = &other_key;
    struct cm_archive *archive = open_archive(&forged, 0);
    add(archive, 1, 1, NOW);
    commit(archive, NOW, true);
    cm_archive_close(archive);
    expect_damage(1, "not signed", 1);
}

static void test_reading_one_partition(void **state)
{
    (void)state;
    fill(30, 3, 6);
    for (uint64_t after = 0; after <= 31; after++) {
        struct seen seen = {.count = 0};
        struct cm_err err = {""};
        assert_int_equal(cm_archive_read(&site, 2, after, see, &seen, &err), CM_ARCHIVE_OK);
        size_t at = 0;
        for (uint64_t id = 2; id <= 30; id += 3) {
            if (id > after) {
                assert_int_equal(seen.ids[at++], id);
            }
        }
        assert_int_equal(seen.count, at);
    }
    struct seen seen = {.stop_at = 2};
    struct cm_err err = {""};
    assert_int_equal(cm_archive_read(&site, 2, 0, see, &seen, &err), CM_ARCHIVE_OK);
    assert_int_equal(seen.count, 2);
    seen = (struct seen){0};
    assert_int_equal(cm_archive_read(&site, 900, 0, see, &seen, &err), CM_ARCHIVE_OK);
    assert_int_equal(seen.count, 0);
}

/* A segment that does not touch the partition is not read, so its damage does not matter. */
static void test_reading_skips_what_it_does_not_need(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct cm_err err = {""};
    struct cm_archive *archive = open_archive(&site, 0);
    for (uint64_t i = 1; i <= 5; i++) {
        add(archive, i == 3 ? 7 : 8, i, NOW);
        commit(archive, NOW, true);
    }
    cm_archive_close(archive);
    run_shell("printf X | dd of=archive/0000000003.segment bs=1 seek=16500 conv=notrunc 2>/dev/null");
    assert_int_equal(cm_archive_read(&site, 8, 0, see, &seen, &err), CM_ARCHIVE_OK);
    assert_int_equal(seen.count, 4);
    assert_int_equal(cm_archive_read(&site, 7, 0, see, &seen, &err), CM_ARCHIVE_DAMAGED);
}

static void test_reading_where_nothing_is(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct cm_err err = {""};
    assert_int_equal(cm_archive_read(&site, 1, 0, see, &seen, &err), CM_ARCHIVE_NONE);
    run_shell("mkdir archive");
    assert_int_equal(cm_archive_read(&site, 1, 0, see, &seen, &err), CM_ARCHIVE_NONE);
    assert_int_equal(scan(&seen), CM_ARCHIVE_NONE);
    run_shell("touch archive/0000000001.segment archive/readme archive/1.segment archive/0000000002.segment.bak");
    assert_int_equal(cm_archive_read(&site, 1, 0, see, &seen, &err), CM_ARCHIVE_NONE);
    assert_int_equal(scan(&seen), CM_ARCHIVE_OK);
    assert_int_equal(seen.count, 0);
    fill(6, 3, 3);
    run_shell("rm archive/0000000001.segment");
    assert_int_equal(cm_archive_read(&site, 1, 0, see, &seen, &err), CM_ARCHIVE_DAMAGED);
    assert_non_null(strstr(err.text, "before 2"));
}

/* A full disk: the commit fails, the archive wants to be opened anew, and holds what it held. */
static void test_a_write_that_fails_leaves_doubt(void **state)
{
    (void)state;
    fill(3, 3, 100);
    rlim_t size = (rlim_t)size_of("archive/0000000001.segment");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct cm_err err = {""};
        struct rlimit limit = {.rlim_cur = size + 10, .rlim_max = size + 10};
        struct cm_archive *archive = open_archive(&site, 0);
        struct cm_ledger_raw entry = entry_of(1, 9, 4);
        (void)signal(SIGXFSZ, SIG_IGN);
        bool added = setrlimit(RLIMIT_FSIZE, &limit) == 0 && cm_archive_add(archive, &entry, NOW, &err);
        bool refused = !cm_archive_commit(archive, NOW, false, &err) && strstr(err.text, "cannot write") != NULL &&
                       !cm_archive_add(archive, &entry, NOW, &err) && strstr(err.text, "in doubt") != NULL;
        _exit(added && refused ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    expect_whole(3);
    cm_archive_close(open_archive(&site, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_was_committed_is_there, no_archive),
        cmocka_unit_test_setup(test_an_uncommitted_batch_is_not_there, no_archive),
        cmocka_unit_test_setup(test_a_day_and_a_wish_seal, no_archive),
        cmocka_unit_test_setup(test_a_torn_batch_is_cut, no_archive),
        cmocka_unit_test_setup(test_a_torn_beginning_is_begun_anew, no_archive),
        cmocka_unit_test_setup(test_there_is_one_writer, no_archive),
        cmocka_unit_test_setup(test_a_lost_archive_is_refused, no_archive),
        cmocka_unit_test_setup(test_another_key_or_store_is_refused, no_archive),
        cmocka_unit_test_setup(test_damage_is_named, no_archive),
        cmocka_unit_test_setup(test_a_segment_signed_by_another_key_is_found, no_archive),
        cmocka_unit_test_setup(test_reading_one_partition, no_archive),
        cmocka_unit_test_setup(test_reading_skips_what_it_does_not_need, no_archive),
        cmocka_unit_test_setup(test_reading_where_nothing_is, no_archive),
        cmocka_unit_test_setup(test_a_write_that_fails_leaves_doubt, no_archive),
    };
    return cmocka_run_group_tests(tests, enter_sandbox, leave_sandbox);
}
