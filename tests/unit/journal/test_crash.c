/*
 * kill -9 at any moment: a child appends commit by commit and says on a pipe which number is durable; it is killed, and
 * in every second round what it had not yet said is torn as a loss of power would tear it. Whatever it said must be
 * there. LAW-11
 *
 * CM_CRASH_ROUNDS (default 60) and CM_CRASH_SEED (default: the clock; printed) rule it.
 */
#include "box.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "journal/journal.h"

#define FILE_BYTES 6000
#define CONTENT_MAX 1500

static uint64_t chance; /* xorshift; never 0 */

static uint64_t draw(uint64_t below)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return chance % below;
}

/* The content of a record follows from its number; no byte of it is zero. */
static struct cm_span content_of(uint64_t number, char bytes[CONTENT_MAX])
{
    size_t len = (size_t)(number * 2654435761U % CONTENT_MAX);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)(1 + (number * 31 + i * 7) % 255);
    }
    return (struct cm_span){bytes, len};
}

/* Never returns. Dies with 1 if the journal refuses anything. */
static void append_for_ever(int said)
{
    struct cm_journal_options options = {.directory = "j", .file_bytes = FILE_BYTES};
    struct cm_journal *journal = NULL;
    struct cm_err err = {.text = ""};
    char bytes[CONTENT_MAX];
    size_t cut = 0;
    uint64_t first = 0;
    uint64_t last = 0;
    if (cm_journal_open(&options, &journal, &cut, &err) != CM_JOURNAL_OK) {
        _exit(1);
    }
    cm_journal_range(journal, &first, &last);
    for (;;) {
        uint64_t number = last;
        for (uint64_t i = draw(12) + 1; i > 0; i--) {
            if (!cm_journal_add(journal, content_of(number + 1, bytes), &number, &err)) {
                _exit(1);
            }
        }
        if (!cm_journal_commit(journal, 1, &err) || write(said, &number, sizeof(number)) != (ssize_t)sizeof(number)) {
            _exit(1);
        }
        last = number;
    }
}

/* Lets a child write for a random time, then kills it; answers the last number it said, or `before`. */
static uint64_t run_and_kill(uint64_t before)
{
    int ends[2];
    int status = 0;
    uint64_t said = before;
    uint64_t number = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(ends[0]); /* the parent's */
        append_for_ever(ends[1]);
    }
    assert_int_equal(close(ends[1]), 0);
    struct timespec wait = {.tv_nsec = (long)draw(25000000)};
    assert_int_equal(nanosleep(&wait, NULL), 0);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status)) {
        fail_msg("the child ended by itself: %d", status);
    }
    while (read(ends[0], &number, sizeof(number)) == (ssize_t)sizeof(number)) {
        said = number;
    }
    assert_int_equal(close(ends[0]), 0);
    return said;
}

static uint64_t last_file(void)
{
    FILE *list = popen("ls j | tail -n 1", "r"); /* NOLINT(cert-env33-c): our own fixed text */
    char line[64] = "";
    uint64_t first = 0;
    assert_non_null(list);
    char *got = fgets(line, sizeof(line), list);
    assert_int_equal(pclose(list), 0);
    return got != NULL && cm_parse_u64((struct cm_span){line, 10}, CM_JOURNAL_NUMBER_MAX, &first) ? first : 0;
}

/* Cuts the last file somewhere behind what was said, or takes a sector there away. */
static void lose_power(uint64_t said)
{
    char bytes[CONTENT_MAX];
    char path[64];
    uint64_t first = last_file();
    if (first == 0) {
        return; /* killed before there was any */
    }
    (void)snprintf(path, sizeof(path), "j/%010llu.journal", (unsigned long long)first); /* fits */
    size_t len = size_of(path);
    size_t kept = HEADER_BYTES;
    for (uint64_t number = first; number <= said; number++) {
        kept += AROUND_BYTES + content_of(number, bytes).len;
    }
    if (len <= kept) {
        return;
    }
    size_t at = kept + (size_t)draw(len - kept);
    if (draw(2) == 0) {
        assert_int_equal(truncate(path, (off_t)at), 0);
        return;
    }
    size_t from = at - at % 512 > kept ? at - at % 512 : kept;
    size_t to = at - at % 512 + 512 < len ? at - at % 512 + 512 : len;
    static const char zeros[512];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, zeros, to - from, (off_t)from), to - from);
    assert_int_equal(close(fd), 0);
}

static bool check(void *context, uint64_t number, int64_t at_s, struct cm_span content)
{
    uint64_t *next = context;
    char bytes[CONTENT_MAX];
    assert_int_equal(number, *next);
    assert_int_equal(at_s, 1);
    assert_true(cm_span_equal(content, content_of(number, bytes)));
    ++*next;
    return true;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    uint64_t value = 0;
    const char *text = getenv(name);
    return text != NULL && cm_parse_u64(cm_span_of(text), UINT64_MAX, &value) ? value : otherwise;
}

static void what_was_said_to_be_durable_is_there(void **state)
{
    (void)state;
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    uint64_t rounds = number_from("CM_CRASH_ROUNDS", 60);
    uint64_t seed = number_from("CM_CRASH_SEED", (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec);
    uint64_t said = 0;
    uint64_t cuts = 0;
    uint64_t beyond = 0;
    print_message("CM_CRASH_SEED=%llu CM_CRASH_ROUNDS=%llu\n", (unsigned long long)seed, (unsigned long long)rounds);
    chance = seed | 1;
    for (uint64_t round = 0; round < rounds; round++) {
        struct cm_journal_options options = {.directory = "j", .file_bytes = FILE_BYTES};
        struct cm_journal *journal = NULL;
        struct cm_err err = {.text = ""};
        size_t cut = 0;
        uint64_t first = 0;
        uint64_t last = 0;
        said = run_and_kill(said);
        if (round % 2 == 1) {
            lose_power(said);
        }
        if (cm_journal_open(&options, &journal, &cut, &err) != CM_JOURNAL_OK) {
            fail_msg("round %llu: %s", (unsigned long long)round, err.text);
        }
        cm_journal_range(journal, &first, &last);
        if (last < said) {
            fail_msg("round %llu: %llu was said to be durable, %llu is the last", (unsigned long long)round,
                     (unsigned long long)said, (unsigned long long)last);
        }
        cuts += cut > 0 ? 1 : 0;
        beyond += last > said ? 1 : 0;
        uint64_t next = first;
        assert_true(cm_journal_read(journal, 0, check, &next, NULL));
        assert_int_equal(next, last > 0 ? last + 1 : 0);
        assert_true(cm_journal_expire(journal, INT64_MAX, last > 100 ? last - 100 : 0, NULL));
        cm_journal_close(journal);
        said = last;
    }
    print_message("%llu records, %llu cuts, %llu times more than was said\n", (unsigned long long)said,
                  (unsigned long long)cuts, (unsigned long long)beyond);
    assert_true(said > rounds); /* else it proved nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_said_to_be_durable_is_there),
    };
    return cmocka_run_group_tests(tests, enter_box, leave_box);
}
