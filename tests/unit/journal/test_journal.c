#include "journal/journal.h"

#include "box.h"

static void records_come_back_as_they_were_put(void **state)
{
    (void)state;
    struct cm_journal *journal = open_good(BIG, 0);
    assert_range(journal, 0, 0);
    assert_records(journal, 0, "");
    commit(journal, 5); /* of nothing */
    assert_range(journal, 0, 0);
    assert_int_equal(put_record(journal, "one", 10), 1);
    assert_int_equal(add(journal, CM_SPAN("two")), 2);
    assert_int_equal(add(journal, CM_SPAN("")), 3);
    assert_range(journal, 1, 1); /* nothing counts before its commit */
    assert_records(journal, 0, "1@10=one ");
    commit(journal, -20);
    assert_range(journal, 1, 3);
    for (int round = 0; round < 2; round++) {
        assert_records(journal, 0, "1@10=one 2@-20=two 3@-20= ");
        cm_journal_close(journal);
        journal = open_good(BIG, 0);
        assert_range(journal, 1, 3);
    }
    assert_int_equal(put_record(journal, "four", 30), 4);
    assert_records(journal, 3, "3@-20= 4@30=four ");
    add(journal, CM_SPAN("never committed"));
    cm_journal_close(journal);
    journal = open_good(BIG, 0);
    assert_range(journal, 1, 4);
    cm_journal_close(journal);
    cm_journal_close(NULL);
}

static bool equals(void *context, uint64_t number, int64_t at_s, struct cm_span content)
{
    const struct cm_span *want = context;
    assert_int_equal(number, 1);
    assert_int_equal(at_s, 77);
    assert_true(cm_span_equal(content, *want));
    return true;
}

static void every_length_up_to_the_limit_is_kept(void **state)
{
    (void)state;
    static char bytes[CM_JOURNAL_RECORD_MAX + 1];
    static const size_t lengths[] = {0, 1, 7, 8, 9, 464, 465, CM_JOURNAL_RECORD_MAX - 1, CM_JOURNAL_RECORD_MAX};
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 7);
    }
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct cm_span content = {bytes, lengths[i]};
        struct cm_journal *journal = open_good(BIG, 0);
        add(journal, content);
        commit(journal, 77);
        cm_journal_close(journal);
        assert_int_equal(size_of(FIRST_FILE), HEADER_BYTES + AROUND_BYTES + lengths[i]);
        journal = open_good(BIG, 0);
        assert_range(journal, 1, 1);
        assert_true(cm_journal_read(journal, 1, equals, &content, NULL));
        cm_journal_close(journal);
        assert_int_equal(empty_box(NULL), 0);
    }
    struct cm_journal *journal = open_good(BIG, 0);
    struct cm_err err = {.text = ""};
    uint64_t number = 4711;
    assert_int_equal(add(journal, CM_SPAN("before")), 1);
    assert_false(cm_journal_add(journal, (struct cm_span){bytes, sizeof(bytes)}, &number, &err));
    assert_string_equal(err.text, "a record of 16385 bytes; more than 16384 may not be journaled");
    assert_int_equal(number, 4711);
    assert_int_equal(put_record(journal, "after", 1), 2); /* what was refused left no trace */
    assert_records(journal, 0, "1@1=before 2@1=after ");
    cm_journal_close(journal);
}

static void a_commit_has_a_ceiling(void **state)
{
    (void)state;
    static char bytes[CM_JOURNAL_RECORD_MAX];
    struct cm_span largest = {bytes, sizeof(bytes)};
    struct cm_journal *journal = open_good(BIG, 0);
    struct cm_err err = {.text = ""};
    uint64_t number = 0;
    uint64_t fit = CM_JOURNAL_PENDING_MAX / (AROUND_BYTES + sizeof(bytes));
    size_t rest = CM_JOURNAL_PENDING_MAX - (size_t)fit * (AROUND_BYTES + sizeof(bytes)) - AROUND_BYTES;
    for (uint64_t i = 1; i <= fit; i++) {
        assert_int_equal(add(journal, largest), i);
    }
    assert_false(cm_journal_add(journal, (struct cm_span){bytes, rest + 1}, &number, &err));
    assert_non_null(strstr(err.text, "wait to be committed"));
    assert_int_equal(add(journal, (struct cm_span){bytes, rest}), fit + 1);
    commit(journal, 1);
    assert_range(journal, 1, fit + 1);
    assert_int_equal(put_record(journal, "next", 2), fit + 2);
    cm_journal_close(journal);
    journal = open_good(BIG, 0); /* and a commit larger than the window is repaired and read */
    assert_range(journal, 1, fit + 2);
    cm_journal_close(journal);
}

static void a_full_file_is_followed_by_another(void **state)
{
    (void)state;
    size_t one = HEADER_BYTES + AROUND_BYTES + 1;
    static const struct {
        const char *name;
        size_t file_bytes_less; /* less than a file with one record of one byte */
        size_t file_bytes_more;
        bool has_second;
    } rows[] = {{"none at all", HEADER_BYTES + AROUND_BYTES + 1, 0, true},
                {"one less than a record", 1, 0, true},
                {"just one record", 0, 0, true},
                {"one more than a record", 0, 1, false}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_journal *journal = open_good(one - rows[i].file_bytes_less + rows[i].file_bytes_more, 0);
        put_record(journal, "a", 1);
        assert_int_not_equal(access("j/0000000002.journal", F_OK), 0); /* not before it is needed */
        put_record(journal, "b", 2);
        if ((access("j/0000000002.journal", F_OK) == 0) != rows[i].has_second) {
            fail_msg("%s", rows[i].name);
        }
        put_record(journal, "c", 3);
        assert_records(journal, 0, "1@1=a 2@2=b 3@3=c ");
        cm_journal_close(journal);
        journal = open_good(BIG, 0);
        assert_range(journal, 1, 3);
        assert_records(journal, 2, "2@2=b 3@3=c ");
        cm_journal_close(journal);
        assert_int_equal(empty_box(NULL), 0);
    }
}

static void reading_begins_and_ends_where_it_is_told(void **state)
{
    (void)state;
    static const struct {
        uint64_t from;
        size_t stop_after;
        const char *want;
    } rows[] = {{0, 0, "1@1=a 2@2=b 3@2=c 4@3=d 5@4=e "},
                {1, 1, "1@1=a "},
                {2, 2, "2@2=b 3@2=c "},
                {3, 0, "3@2=c 4@3=d 5@4=e "},
                {4, 0, "4@3=d 5@4=e "},
                {5, 0, "5@4=e "},
                {6, 0, ""},
                {UINT64_MAX, 0, ""},
                {0, 3, "1@1=a 2@2=b 3@2=c "}};
    struct cm_journal *journal = open_good(2 * AROUND_BYTES, 0); /* two commits a file */
    put_record(journal, "a", 1);
    add(journal, CM_SPAN("b"));
    put_record(journal, "c", 2);
    put_record(journal, "d", 3);
    put_record(journal, "e", 4);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct seen seen = {.stop_after = rows[i].stop_after};
        assert_true(cm_journal_read(journal, rows[i].from, see, &seen, NULL));
        assert_string_equal(seen.text, rows[i].want);
    }
    cm_journal_close(journal);
}

/* Five files of one record, of the seconds 10, 30, 20, 40, 50. */
static struct cm_journal *five_files(void)
{
    static const int64_t seconds[] = {10, 30, 20, 40, 50};
    struct cm_journal *journal = open_good(0, 0);
    for (size_t i = 0; i < COUNT(seconds); i++) {
        put_record(journal, "x", seconds[i]);
    }
    return journal;
}

static void old_files_expire(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t before_s;
        uint64_t below;
        uint64_t want_first;
    } rows[] = {{"too young by a second", 10, 100, 1},
                {"just old enough", 11, 100, 2},
                {"the second is too young, the third must wait for it", 30, 100, 2},
                {"the second just old enough", 31, 100, 4},
                {"the number not yet below", 1000, 1, 1},
                {"the number just below", 1000, 2, 2},
                {"up to the active one", 1000, 5, 5},
                {"never the active one", 1000, 100, 5}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_journal *journal = five_files();
        assert_true(cm_journal_expire(journal, rows[i].before_s, rows[i].below, NULL));
        for (int round = 0; round < 2; round++) {
            uint64_t first = 0;
            uint64_t last = 0;
            cm_journal_range(journal, &first, &last);
            if (first != rows[i].want_first || last != 5) {
                fail_msg("%s: %llu to %llu", rows[i].name, (unsigned long long)first, (unsigned long long)last);
            }
            cm_journal_close(journal);
            journal = open_good(0, 0);
        }
        assert_int_equal(put_record(journal, "next", 60), 6);
        cm_journal_close(journal);
        assert_int_equal(empty_box(NULL), 0);
    }
}

/* The clock may go back while a file is written. */
static void a_file_is_as_young_as_its_youngest_record(void **state)
{
    (void)state;
    struct cm_journal *journal = open_good(HEADER_BYTES + AROUND_BYTES + 2, 0);
    put_record(journal, "a", 30);
    put_record(journal, "b", 20);
    put_record(journal, "c", 20);
    for (int round = 0; round < 2; round++) {
        assert_true(cm_journal_expire(journal, 30, 100, NULL));
        assert_range(journal, 1, 3);
        cm_journal_close(journal);
        journal = open_good(BIG, 0);
    }
    assert_true(cm_journal_expire(journal, 31, 100, NULL));
    assert_range(journal, 3, 3);
    cm_journal_close(journal);
}

/* A crash can leave the active file without a record; the one before it then keeps the number. */
static void the_last_number_is_never_forgotten(void **state)
{
    (void)state;
    struct cm_journal *journal = five_files();
    cm_journal_close(journal);
    put_bytes("j/0000000006.journal", "", 0);
    journal = open_good(0, 0);
    assert_int_equal(size_of("j/0000000006.journal"), HEADER_BYTES);
    assert_true(cm_journal_expire(journal, 1000, 1000, NULL));
    assert_range(journal, 5, 5);
    assert_int_equal(put_record(journal, "next", 60), 6);
    assert_records(journal, 0, "5@50=x 6@60=next ");
    cm_journal_close(journal);
}

static void a_file_that_cannot_be_removed_is_said(void **state)
{
    (void)state;
    struct cm_journal *journal = five_files();
    struct cm_err err = {.text = ""};
    assert_int_equal(unlink("j/0000000002.journal"), 0);
    assert_false(cm_journal_expire(journal, 1000, 100, &err));
    assert_non_null(strstr(err.text, "0000000002.journal: cannot be removed: "));
    assert_range(journal, 2, 5);
    err.text[0] = '\0';
    assert_false(cm_journal_read(journal, 0, see, &(struct seen){.text = ""}, &err));
    assert_non_null(strstr(err.text, "0000000002.journal: "));
    assert_records(journal, 3, "3@20=x 4@40=x 5@50=x ");
    cm_journal_close(journal);
}

static void numbers_end_where_names_end(void **state)
{
    (void)state;
    assert_int_equal(mkdir("j", 0700), 0);
    put_bytes("j/9999999999.journal", "", 0); /* as a crash after its creation leaves it */
    struct cm_journal *journal = open_good(0, 0);
    struct cm_err err = {.text = ""};
    uint64_t number = 0;
    assert_range(journal, 0, 0);
    assert_int_equal(put_record(journal, "last", 1), CM_JOURNAL_NUMBER_MAX);
    assert_false(cm_journal_add(journal, CM_SPAN("beyond"), &number, &err));
    assert_string_equal(err.text, "the journal's numbers are used up");
    assert_range(journal, CM_JOURNAL_NUMBER_MAX, CM_JOURNAL_NUMBER_MAX);
    cm_journal_close(journal);
}

static void a_journal_is_opened_once(void **state)
{
    (void)state;
    struct cm_journal *journal = open_good(BIG, 0);
    open_bad(CM_JOURNAL_LOCKED, "j: another process has this journal open");
    put_record(journal, "still works", 1);
    cm_journal_close(journal);
    cm_journal_close(open_good(BIG, 0));
}

static void only_a_directory_of_our_own_will_do(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        const char *want; /* NULL: good */
    } rows[] = {{0700, NULL},
                {0755, NULL},
                {0720, "others may write to it (mode 0720)"},
                {0702, "others may write to it (mode 0702)"},
                {01777, "others may write to it (mode 1777)"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(mkdir("j", 0700), 0);
        assert_int_equal(chmod("j", rows[i].mode), 0);
        if (rows[i].want == NULL) {
            cm_journal_close(open_good(BIG, 0));
        } else {
            open_bad(CM_JOURNAL_FAILED, rows[i].want);
            assert_int_not_equal(access(FIRST_FILE, F_OK), 0);
        }
        assert_int_equal(empty_box(NULL), 0);
    }
    if (geteuid() == 0) { /* only root can give a directory away */
        assert_int_equal(mkdir("j", 0700), 0);
        assert_int_equal(chown("j", 1, 1), 0);
        open_bad(CM_JOURNAL_FAILED, "belongs to user 1, but this process is user 0");
        assert_int_equal(empty_box(NULL), 0);
    }
    put_bytes("j", "", 0);
    open_bad(CM_JOURNAL_FAILED, "j: ");
    struct cm_journal_options options = {.directory = "missing/j"};
    struct cm_journal *journal = NULL;
    size_t cut = 0;
    assert_int_equal(cm_journal_open(&options, &journal, &cut, NULL), CM_JOURNAL_FAILED);
}

static void a_new_directory_and_its_files_are_private(void **state)
{
    (void)state;
    struct stat about;
    mode_t before = umask(0);
    cm_journal_close(open_good(BIG, 0));
    (void)umask(before); /* answers what was set here */
    assert_int_equal(stat("j", &about), 0);
    assert_int_equal(about.st_mode & 0777U, 0700);
    assert_int_equal(stat(FIRST_FILE, &about), 0);
    assert_int_equal(about.st_mode & 0777U, 0600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(records_come_back_as_they_were_put, empty_box),
        cmocka_unit_test_teardown(every_length_up_to_the_limit_is_kept, empty_box),
        cmocka_unit_test_teardown(a_commit_has_a_ceiling, empty_box),
        cmocka_unit_test_teardown(a_full_file_is_followed_by_another, empty_box),
        cmocka_unit_test_teardown(reading_begins_and_ends_where_it_is_told, empty_box),
        cmocka_unit_test_teardown(old_files_expire, empty_box),
        cmocka_unit_test_teardown(a_file_is_as_young_as_its_youngest_record, empty_box),
        cmocka_unit_test_teardown(the_last_number_is_never_forgotten, empty_box),
        cmocka_unit_test_teardown(a_file_that_cannot_be_removed_is_said, empty_box),
        cmocka_unit_test_teardown(numbers_end_where_names_end, empty_box),
        cmocka_unit_test_teardown(a_journal_is_opened_once, empty_box),
        cmocka_unit_test_teardown(only_a_directory_of_our_own_will_do, empty_box),
        cmocka_unit_test_teardown(a_new_directory_and_its_files_are_private, empty_box),
    };
    return cmocka_run_group_tests(tests, enter_box, leave_box);
}
