/* What a crash leaves is cut; everything else is damage, and then nothing is changed. LAW-11 */
#include "box.h"

#include "journal/journal.h"

#define SECTOR ((size_t)512)

/* A file of three records, the last two of one commit, that another program wrote from the description of the format.
 */
static const char golden_hex[] =
    "636d6a6f75726e00000000010000000000000007000102030405060708090a0b0c0d0e0f42f6da482cacb524436d5201000000050000000000"
    "0000070000000000000007000000006553f100101a48ca81e9496266697273744708ba09731e5459436d520100000000000000000000000800"
    "00000000000008000000006553f101284db0839afa74fd3e136a61cf2e21c2436d52010000000d000000000000000900000000000000080000"
    "00006553f10142cde646aae2fe2574686972642c2065696768742b6cf2f2e5513a31e1";

static void a_known_file_is_read(void **state)
{
    (void)state;
    uint8_t bytes[(sizeof(golden_hex) - 1) / 2];
    assert_true(cm_hex_decode(CM_SPAN(golden_hex), bytes, sizeof(bytes)));
    assert_int_equal(mkdir("j", 0700), 0);
    put_bytes("j/0000000007.journal", bytes, sizeof(bytes));
    struct cm_journal *journal = open_good(BIG, 0);
    assert_range(journal, 7, 9);
    assert_records(journal, 0, "7@1700000000=first 8@1700000001= 9@1700000001=third, eight+ ");
    cm_journal_close(journal);
}

/* Written by that other program as well: sound records, but not where the journal would have put them. */
static void a_sound_record_out_of_its_place_is_damage(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *hex; /* behind the header of the file above, which begins with record 7 */
        size_t want_at;
    } rows[] = {
        {"a number too high",
         "436d520100000000000000000000000800000000000000080000000000000001d90246fdb6fb9e901368f9a8ce274b8e", 44},
        {"a number too low",
         "436d520100000000000000000000000600000000000000060000000000000001251008325f5b8a80a58dc8c1a90d4553", 44},
        {"a commit that begins before the file",
         "436d520100000000000000000000000700000000000000060000000000000001fec87c8c3ad67891f09983dc98605422", 44},
        {"a commit that begins behind its record",
         "436d52010000000000000000000000070000000000000008000000000000000145a74db4c567f3db8c2a46e7fdec073d", 44},
        {"back in an older commit",
         "436d5201000000000000000000000007000000000000000700000000000000014d9a4a7ab7cedb67178d802726adcc84"
         "436d520100000000000000000000000800000000000000080000000000000001d90246fdb6fb9e901368f9a8ce274b8e"
         "436d520100000000000000000000000900000000000000070000000000000001546a564bcbae3cea92b566bcf7c38477",
         140},
    };
    assert_int_equal(mkdir("j", 0700), 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t bytes[HEADER_BYTES + 3 * AROUND_BYTES];
        char want[64];
        size_t len = strlen(rows[i].hex) / 2;
        assert_true(cm_hex_decode((struct cm_span){golden_hex, 2 * HEADER_BYTES}, bytes, HEADER_BYTES));
        assert_true(cm_hex_decode(cm_span_of(rows[i].hex), bytes + HEADER_BYTES, len));
        put_bytes("j/0000000007.journal", bytes, HEADER_BYTES + len);
        (void)snprintf(want, sizeof(want), "damaged at byte %zu: a record out of its place",
                       rows[i].want_at); /* fits */
        open_bad(CM_JOURNAL_DAMAGED, want);
    }
}

/* Two commits: "first", then "second" and "third". Returns the bytes of the file. */
static char *two_commits(size_t *out_len)
{
    struct cm_journal *journal = open_good(BIG, 0);
    put_record(journal, "first", 1);
    add(journal, CM_SPAN("second"));
    put_record(journal, "third", 2);
    cm_journal_close(journal);
    return get_bytes(FIRST_FILE, out_len);
}

static void a_file_torn_anywhere_keeps_what_is_whole(void **state)
{
    (void)state;
    size_t len = 0;
    char *bytes = two_commits(&len);
    size_t ends[] = {0, HEADER_BYTES, HEADER_BYTES + AROUND_BYTES + 5, 0, len};
    ends[3] = ends[2] + AROUND_BYTES + 6;
    static const char *const want[] = {"1@9=next ", "1@9=next ", "1@1=first 2@9=next ",
                                       "1@1=first 2@2=second 3@9=next ", "1@1=first 2@2=second 3@2=third 4@9=next "};
    for (size_t at = 0; at <= len; at++) {
        size_t whole = 0;
        while (whole + 1 < COUNT(ends) && ends[whole + 1] <= at) {
            whole++;
        }
        put_bytes(FIRST_FILE, bytes, at);
        struct cm_journal *journal = open_good(BIG, at - ends[whole]);
        put_record(journal, "next", 9);
        cm_journal_close(journal);
        journal = open_good(BIG, 0);
        assert_records(journal, 0, want[whole]);
        cm_journal_close(journal);
    }
    free(bytes);
}

static void assert_unchanged(const char *path, const char *bytes, size_t len)
{
    size_t now_len = 0;
    char *now = get_bytes(path, &now_len);
    assert_int_equal(now_len, len);
    assert_memory_equal(now, bytes, len);
    free(now);
}

/* Also in the last record: it is as long as it was, so somebody may have been answered for it. */
static void a_flipped_bit_is_damage_wherever_it_is(void **state)
{
    (void)state;
    size_t len = 0;
    char *bytes = two_commits(&len);
    size_t starts[] = {0, HEADER_BYTES, HEADER_BYTES + AROUND_BYTES + 5, HEADER_BYTES + 2 * AROUND_BYTES + 11};
    for (size_t at = 0; at < len; at++) {
        char want[80];
        size_t part = 0;
        while (part + 1 < COUNT(starts) && starts[part + 1] <= at) {
            part++;
        }
        (void)snprintf(want, sizeof(want), "0000000001.journal: damaged at byte %zu: ", starts[part]); /* fits */
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            bytes[at] = (char)((unsigned char)bytes[at] ^ bit);
            put_bytes(FIRST_FILE, bytes, len);
            open_bad(CM_JOURNAL_DAMAGED, want);
            assert_unchanged(FIRST_FILE, bytes, len);
            bytes[at] = (char)((unsigned char)bytes[at] ^ bit);
        }
    }
    free(bytes);
}

/* Records 1 (a commit), 2, 3 and 4 (a commit), and perhaps 5, of 2000 bytes each. */
static char *large_records(bool with_fifth, size_t *out_len)
{
    static char content[2000];
    memset(content, 'x', sizeof(content));
    assert_int_equal(empty_box(NULL), 0);
    struct cm_journal *journal = open_good(BIG, 0);
    for (int i = 1; i <= (with_fifth ? 5 : 4); i++) {
        add(journal, (struct cm_span){content, sizeof(content)});
        if (i == 1 || i >= 4) {
            commit(journal, 1);
        }
    }
    cm_journal_close(journal);
    return get_bytes(FIRST_FILE, out_len);
}

static void sectors_that_were_never_written_are_a_crash(void **state)
{
    (void)state;
    enum { SIZE = 2048 }; /* of a record; record n begins at HEADER_BYTES + (n - 1) * SIZE, 44 bytes into a sector */
    static const struct {
        const char *name;
        bool with_fifth;
        size_t from;
        size_t to;
        uint64_t want_last; /* 99: damage */
    } rows[] = {
        {"the last record's end", false, 16 * SECTOR, 16 * SECTOR + 44, 3},
        {"a sector within the last", false, 14 * SECTOR, 15 * SECTOR, 3},
        {"the last record's head, to the end of the sector", false, 12 * SECTOR + 44, 13 * SECTOR, 3},
        {"all of the last record", false, 12 * SECTOR + 44, 16 * SECTOR + 44, 3},
        {"less than a sector", false, 14 * SECTOR, 15 * SECTOR - 1, 99},
        {"a sector's worth, but no sector", false, 14 * SECTOR + 1, 15 * SECTOR + 1, 99},
        {"the head alone, not the rest of its sector", false, 12 * SECTOR + 44, 12 * SECTOR + 84, 99},
        {"within the commit, sound records behind", false, 6 * SECTOR, 7 * SECTOR, 1},
        {"the same with a later commit behind", true, 6 * SECTOR, 7 * SECTOR, 99},
        {"the end of the commit with a later one behind", true, 14 * SECTOR, 15 * SECTOR, 99},
        {"the first commit", false, SECTOR, 2 * SECTOR, 99},
        {"the last of all", true, 18 * SECTOR, 19 * SECTOR, 4},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t len = 0;
        char *bytes = large_records(rows[i].with_fifth, &len);
        memset(bytes + rows[i].from, 0, rows[i].to - rows[i].from);
        put_bytes(FIRST_FILE, bytes, len);
        struct cm_journal_options options = {.directory = "j", .file_bytes = BIG};
        struct cm_journal *journal = NULL;
        size_t cut = 0;
        struct cm_err err = {.text = ""};
        enum cm_journal_status status = cm_journal_open(&options, &journal, &cut, &err);
        uint64_t first = 0;
        uint64_t last = 99;
        if (status == CM_JOURNAL_OK) {
            cm_journal_range(journal, &first, &last);
            assert_int_equal(cut, len - HEADER_BYTES - (size_t)last * SIZE);
            assert_int_equal(put_record(journal, "next", 1), last + 1);
        } else {
            assert_int_equal(status, CM_JOURNAL_DAMAGED);
            assert_unchanged(FIRST_FILE, bytes, len);
        }
        if (last != rows[i].want_last) {
            fail_msg("%s: %llu %s", rows[i].name, (unsigned long long)last, err.text);
        }
        cm_journal_close(journal);
        free(bytes);
    }
}

static void what_follows_the_last_record_is_judged(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t count;
        int byte;
        bool is_cut;
    } rows[] = {{"one byte", 1, 'x', true},
                {"less than a head", 39, 'x', true},
                {"as much as a head", 40, 'x', false},
                {"much", 5000, 'x', false},
                {"one zero", 1, 0, true},
                {"a head of zeros", 40, 0, true},
                {"many zeros", 5000, 0, true}};
    size_t len = 0;
    char *bytes = two_commits(&len);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *longer = calloc(1, len + rows[i].count);
        assert_non_null(longer);
        memcpy(longer, bytes, len);
        memset(longer + len, rows[i].byte, rows[i].count);
        put_bytes(FIRST_FILE, longer, len + rows[i].count);
        if (rows[i].is_cut) {
            struct cm_journal *journal = open_good(BIG, rows[i].count);
            assert_range(journal, 1, 3);
            cm_journal_close(journal);
            assert_unchanged(FIRST_FILE, bytes, len);
        } else {
            open_bad(CM_JOURNAL_DAMAGED, "a record that was changed after it was written");
        }
        free(longer);
    }
    free(bytes);
}

/* Contents come from strangers: bytes in them that look like a later record must not make damage of a crash. */
static void a_record_within_a_record_is_none(void **state)
{
    (void)state;
    uint8_t inner[(sizeof(golden_hex) - 1) / 2];
    assert_true(cm_hex_decode(CM_SPAN(golden_hex), inner, sizeof(inner)));
    struct cm_journal *journal = open_good(BIG, 0);
    add(journal, (struct cm_span){(const char *)inner, sizeof(inner)});
    commit(journal, 1);
    cm_journal_close(journal);
    assert_int_equal(truncate(FIRST_FILE, (off_t)(HEADER_BYTES + AROUND_BYTES + sizeof(inner) - 1)), 0);
    journal = open_good(BIG, AROUND_BYTES + sizeof(inner) - 1);
    assert_range(journal, 0, 0);
    cm_journal_close(journal);
}

/* Three files: 1-2, 3-4, 5. */
static void three_files(void)
{
    struct cm_journal *journal = open_good(HEADER_BYTES + AROUND_BYTES + 2, 0);
    for (int i = 0; i < 5; i++) {
        put_record(journal, "a", 1);
    }
    cm_journal_close(journal);
}

#define SECOND_FILE "j/0000000003.journal"
#define THIRD_FILE "j/0000000005.journal"

static void files_that_do_not_fit_together_are_damage(void **state)
{
    (void)state;
    static const struct {
        const char *command;
        const char *want;
    } rows[] = {
        {"rm " SECOND_FILE,
         "0000000005.journal: damaged at byte 0: the file before it ends with record 2: records are missing"},
        {"cp " SECOND_FILE " j/0000000004.journal", "0000000004.journal: damaged at byte 0: the number in the header"},
        {"cp " FIRST_FILE " " SECOND_FILE, "0000000003.journal: damaged at byte 0: the number in the header"},
        {"mv " THIRD_FILE " j/0000000006.journal", "0000000006.journal: damaged at byte 0: the number in the header"},
        {": >" SECOND_FILE, "0000000003.journal: damaged at byte 0: not a header"},
        {"truncate -s 44 " SECOND_FILE, "0000000005.journal: damaged at byte 0: the file before it ends with record 2"},
        {"truncate -s 93 " SECOND_FILE, "0000000005.journal: damaged at byte 0: the file before it ends with record 3"},
        {"truncate -s -1 " SECOND_FILE, "0000000003.journal: damaged at byte 93: not a sound record"},
        {"truncate -s +1 " SECOND_FILE, "0000000003.journal: damaged at byte 142: not a sound record"},
        {": >j/0000000007.journal",
         "0000000007.journal: damaged at byte 0: the file before it ends with record 5: records are missing"},
        {": >j/0000000002.journal", "0000000002.journal: damaged at byte 0: not a header"},
        {"dd if=/dev/zero bs=45 count=1 of=j/0000000006.journal 2>/dev/null",
         "0000000006.journal: damaged at byte 0: not a header"},
        {"rm " THIRD_FILE "; mkfifo " THIRD_FILE, "0000000005.journal: "},
        {"rm " SECOND_FILE "; mkfifo " SECOND_FILE, "0000000003.journal: "},
        {"rm " SECOND_FILE "; mkdir " SECOND_FILE, "0000000003.journal: "},
        {"mv " SECOND_FILE " other; ln -s ../other " SECOND_FILE, "0000000003.journal: "},
        {": >j/.journal", ".journal: not a name of a journal file"},
        {": >j/0000000000.journal", "0000000000.journal: not a name"},
        {": >j/00000000001.journal", "00000000001.journal: not a name"},
        {": >j/000000000a.journal", "000000000a.journal: not a name"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_journal_options options = {.directory = "j", .file_bytes = BIG};
        struct cm_journal *journal = NULL;
        struct cm_err err = {.text = ""};
        size_t cut = 0;
        three_files();
        assert_int_equal(system(rows[i].command), 0); /* NOLINT(cert-env33-c): our own fixed text */
        enum cm_journal_status status = cm_journal_open(&options, &journal, &cut, &err);
        if ((status != CM_JOURNAL_DAMAGED && status != CM_JOURNAL_FAILED) || strstr(err.text, rows[i].want) == NULL) {
            fail_msg("%s: %d \"%s\"", rows[i].command, (int)status, err.text);
        }
        assert_int_equal(empty_box(NULL), 0);
    }
}

static void what_may_lie_in_the_directory_does_no_harm(void **state)
{
    (void)state;
    static const char *const commands[] = {
        ": >j/README; mkdir j/lost+found; : >j/0000000009.journal~",
        ": >j/0000000006.journal",                                           /* a crash before its header was written */
        "dd if=/dev/zero bs=44 count=1 of=j/0000000006.journal 2>/dev/null", /* or before it reached the disk */
        ("rm " FIRST_FILE),                                                  /* expired */
    };
    for (size_t i = 0; i < COUNT(commands); i++) {
        three_files();
        assert_int_equal(system(commands[i]), 0); /* NOLINT(cert-env33-c): our own fixed text */
        struct cm_journal *journal = open_good(0, i == 2 ? 44 : 0);
        assert_int_equal(put_record(journal, "six", 6), 6);
        cm_journal_close(journal);
        journal = open_good(0, 0);
        assert_records(journal, 5, "5@1=a 6@6=six ");
        cm_journal_close(journal);
        assert_int_equal(empty_box(NULL), 0);
    }
}

static void damage_after_the_opening_is_found_by_reading(void **state)
{
    (void)state;
    size_t len = 0;
    char *bytes = two_commits(&len);
    struct cm_journal *journal = open_good(BIG, 0);
    size_t second = HEADER_BYTES + AROUND_BYTES + 5;
    bytes[second + HEAD_BYTES] ^= 1;
    put_bytes(FIRST_FILE, bytes, len);
    struct seen seen = {.text = ""};
    struct cm_err err = {.text = ""};
    assert_false(cm_journal_read(journal, 0, see, &seen, &err));
    assert_string_equal(err.text, "0000000001.journal: byte 97: damaged since the journal was opened");
    assert_string_equal(seen.text, "1@1=first ");
    cm_journal_close(journal);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_known_file_is_read, empty_box),
        cmocka_unit_test_teardown(a_sound_record_out_of_its_place_is_damage, empty_box),
        cmocka_unit_test_teardown(a_file_torn_anywhere_keeps_what_is_whole, empty_box),
        cmocka_unit_test_teardown(a_flipped_bit_is_damage_wherever_it_is, empty_box),
        cmocka_unit_test_teardown(sectors_that_were_never_written_are_a_crash, empty_box),
        cmocka_unit_test_teardown(what_follows_the_last_record_is_judged, empty_box),
        cmocka_unit_test_teardown(a_record_within_a_record_is_none, empty_box),
        cmocka_unit_test_teardown(files_that_do_not_fit_together_are_damage, empty_box),
        cmocka_unit_test_teardown(what_may_lie_in_the_directory_does_no_harm, empty_box),
        cmocka_unit_test_teardown(damage_after_the_opening_is_found_by_reading, empty_box),
    };
    return cmocka_run_group_tests(tests, enter_box, leave_box);
}
