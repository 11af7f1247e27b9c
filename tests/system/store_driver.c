/*
 * Subjects that consent and withdraw as fast as the store lets them, and filters that ask meanwhile; what they were
 * told goes to standard output, for tests that kill something or compare what was told with what happened.
 *
 * usage: store_driver write CONFIG SUBJECTS THREADS [KEEPER-SOCKET]
 *        store_driver check CONFIG SUBJECTS
 *        store_driver race CONFIG SUBJECTS WRITERS READERS OPERATIONS
 *
 * write: until it is killed. "I EVENT SUBJECT ACT REQUEST" before each act, "A EVENT STATUS LEDGER" after it. Acts of a
 *   former run whose result is not known are repeated first: they are read from standard input as such I lines.
 * check: "SUBJECT VERDICT" for each.
 * race: the history, "KIND THREAD SUBJECT PURPOSE INVOKED ANSWERED RESULT" with instants in ns of CLOCK_MONOTONIC.
 *
 * Subject N is sN@driver.test; it belongs to thread N modulo THREADS alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "service/enforce.h"
#include "service/open.h"
#include "service/writer_keeper.h"

#define PURPOSES 2
#define ALL_PURPOSES PURPOSES /* the sender-wide scope, where a purpose is told */
#define MOST_SUBJECTS 4096
#define MOST_THREADS 64
#define LINE_BYTES 128
#define EVENT_HEX ((size_t)CM_EVENT_ID_BYTES * 2)
#define PAUSE_NS 2000000  /* a grant in the millisecond of the withdrawal before would not be newer than it. LAW-5 */
#define RETRY_NS 10000000 /* while the store is away */
#define FEW 16            /* acts of one subject whose result is not known */

static const char *const purposes[PURPOSES] = {"acme/newsletter", "acme/offers"};

struct driver {
    struct cm_settings *settings;
    struct cm_keys keys;
    struct cm_store *store;
    struct cm_subject subjects[MOST_SUBJECTS];
    size_t subject_count;
    uint32_t scopes[PURPOSES + 1]; /* the last one is the sender */
    const char *keeper_socket;     /* NULL: written directly */
    size_t thread_count;           /* that write */
    atomic_bool is_over;           /* write: only a kill ends it */
    atomic_long operations;        /* race: left to do */
};

struct act {
    enum cm_act act;
    size_t subject;
    unsigned purpose;
    uint64_t request; /* of a confirmation */
    char event[EVENT_HEX + 1];
};

struct row {
    char kind; /* W withdrawal, G grant, R look-up */
    size_t subject;
    unsigned purpose;
    int64_t invoked;
    int64_t answered;
    char result;
};

struct thread {
    struct driver *driver;
    size_t number;
    pthread_t id;
    unsigned seed;
    struct row *rows; /* race: what this thread has seen */
    size_t row_count;
    size_t row_room;
    struct act old[FEW]; /* write: to be repeated */
    size_t old_count;
};

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "store_driver: %s\n", what);
    exit(EX_SOFTWARE);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void pause_ns(long ns)
{
    struct timespec rest = {.tv_nsec = ns};
    (void)nanosleep(&rest, NULL); /* shorter is good enough */
}

/* One write(2) a line, so that a killed process leaves whole ones. */
static void tell(const char *line, int len)
{
    if (len < 0 || len >= LINE_BYTES || write(STDOUT_FILENO, line, (size_t)len) != len) {
        die("cannot tell what happened");
    }
}

/* --- opening --- */

static void find_scopes(struct driver *driver)
{
    struct cm_arena arena;
    struct cm_subject_records records;
    struct cm_lookup lookup;
    struct cm_err err;
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    if (cm_store_lookup(driver->store, driver->subjects, 1, &arena, &records, &lookup, &err) != CM_TROUBLE_NONE) {
        die(err.text);
    }
    for (size_t i = 0; i < PURPOSES; i++) {
        const struct cm_registry_purpose *purpose = cm_registry_purpose(lookup.registry, cm_span_of(purposes[i]));
        if (purpose == NULL) {
            die("the purposes are not registered");
        }
        driver->scopes[i] = purpose->scopes.ids[0];
        driver->scopes[PURPOSES] = purpose->scopes.ids[purpose->scopes.count - 2];
    }
    cm_registry_unref(lookup.registry);
    cm_arena_done(&arena);
}

static void open_driver(struct driver *driver, const char *file, const char *subjects)
{
    struct cm_err err;
    struct cm_address address;
    char text[64];
    driver->settings = cm_settings_load(file, &err);
    if (driver->settings == NULL || !cm_keys_load(driver->settings->keys, true, &driver->keys, &err)) {
        die(err.text);
    }
    driver->store = cm_open_store(driver->settings, &driver->keys, 0, &err);
    uint32_t peppers = 0; /* none is made while this runs */
    struct cm_hasher *hasher = cm_keys_hasher(&driver->keys, &peppers);
    driver->subject_count = strtoul(subjects, NULL, 10);
    if (driver->store == NULL || hasher == NULL || driver->subject_count == 0 ||
        driver->subject_count > MOST_SUBJECTS) {
        die("no store, no memory or no subjects");
    }
    for (size_t i = 0; i < driver->subject_count; i++) {
        (void)snprintf(text, sizeof(text), "s%zu@driver.test", i); /* fits */
        if (cm_address_parse(cm_span_of(text), &address) != CM_ADDRESS_OK ||
            !cm_subject_of(hasher, &address, &driver->subjects[i])) {
            die("an address cannot be hashed");
        }
    }
    cm_hasher_free(hasher);
    find_scopes(driver);
}

static void close_driver(struct driver *driver)
{
    cm_store_free(driver->store);
    cm_keys_wipe(&driver->keys);
    cm_settings_free(driver->settings);
}

/* --- acts --- */

static struct act new_act(const struct driver *driver, enum cm_act act, size_t subject, unsigned purpose)
{
    uint8_t id[CM_EVENT_ID_BYTES];
    struct act made = {.act = act, .subject = subject, .purpose = purpose};
    struct cm_text text = cm_text_over(made.event, sizeof(made.event));
    if (!cm_random_bytes(id, sizeof(id)) || subject >= driver->subject_count) {
        die("no random bytes, or no such subject");
    }
    cm_text_add_hex(&text, id, sizeof(id));
    return made;
}

/* Withdrawals and confirmations are the subject's own; the request before a confirmation is the sender's. LAW-6 */
static void write_act(struct driver *driver, const struct act *act, struct cm_write_result *out, bool *out_received)
{
    struct cm_err err;
    struct cm_keeper_link link = {.socket = driver->keeper_socket, .is_in_effect = true};
    bool by_sender = act->act == CM_ACT_REQUEST;
    bool is_stop = act->act == CM_ACT_WITHDRAW;
    struct cm_write write = {
        .rank = by_sender ? CM_RANK_SENDER : CM_RANK_SUBJECT,
        .act = act->act,
        .subject = driver->subjects[act->subject],
        .sender_scope = driver->scopes[PURPOSES],
        .record = {.scope = driver->scopes[act->purpose],
                   .kind = is_stop     ? CM_KIND_STOP
                           : by_sender ? CM_KIND_REQUEST
                                       : CM_KIND_GRANT,
                   .state = is_stop ? CM_STATE_WITHDRAWN : CM_STATE_GIVEN,
                   .source = by_sender ? CM_SOURCE_API : CM_SOURCE_PREFERENCE_PAGE,
                   .statement = by_sender},
        .request = act->request,
    };
    struct cm_writer writer = driver->keeper_socket == NULL || by_sender ? cm_writer_direct(driver->store)
                                                                         : cm_writer_keeper(&link);
    if (!cm_hex_decode(cm_span_of(act->event), write.event_id, sizeof(write.event_id))) {
        die("not an event id");
    }
    writer.write(writer.context, &write, out, &err);
    *out_received = link.is_received_only;
}

static bool is_done(const struct cm_write_result *result)
{
    return result->status == CM_WRITE_APPLIED || result->status == CM_WRITE_STALE ||
           result->status == CM_WRITE_DUPLICATE;
}

/* --- write --- */

static const char *word_of(const struct cm_write_result *result, bool is_received)
{
    static const char *const words[] = {
        [CM_WRITE_UNSET] = "unset",         [CM_WRITE_APPLIED] = "applied",     [CM_WRITE_STALE] = "stale",
        [CM_WRITE_DUPLICATE] = "duplicate", [CM_WRITE_REFUSED] = "refused",     [CM_WRITE_OTHER_SEAL] = "other_seal",
        [CM_WRITE_NOT_DONE] = "not_done",   [CM_WRITE_UNCERTAIN] = "uncertain",
    };
    return is_received ? "received" : words[result->status];
}

/* Repeats the act until its result is known; true if it was done. `is_uncertain`: it may have been done before, and
 * then one that is not done now says nothing of that. */
static bool act_and_tell(struct driver *driver, const struct act *act, bool is_uncertain, struct cm_write_result *out)
{
    char line[LINE_BYTES];
    char ledger[CM_LEDGER_ID_TEXT_BYTES];
    bool is_received = false;
    tell(line, snprintf(line, sizeof(line), "I %s %zu %d %" PRIu64 "\n", act->event, act->subject, (int)act->act,
                        act->request));
    do {
        write_act(driver, act, out, &is_received);
        is_uncertain = out->status == CM_WRITE_UNCERTAIN || (is_uncertain && out->status == CM_WRITE_NOT_DONE);
        out->status = is_uncertain ? CM_WRITE_UNCERTAIN : out->status;
        cm_ledger_id_format(out->ledger, ledger);
        tell(line, snprintf(line, sizeof(line), "A %s %s %s\n", act->event, word_of(out, is_received), ledger));
        if (!is_done(out)) {
            pause_ns(RETRY_NS);
        }
    } while (is_uncertain);
    return is_done(out);
}

static void *write_for_ever(void *context)
{
    struct thread *thread = context;
    struct driver *driver = thread->driver;
    struct cm_write_result result;
    for (size_t i = 0; i < thread->old_count; i++) {
        (void)act_and_tell(driver, &thread->old[i], true, &result); /* the next act of this subject needs no result */
    }
    size_t subject = thread->number;
    while (!atomic_load(&driver->is_over)) {
        subject += driver->thread_count;
        subject = subject < driver->subject_count ? subject : thread->number;
        struct act request = new_act(driver, CM_ACT_REQUEST, subject, 0);
        if (!act_and_tell(driver, &request, false, &result)) {
            continue;
        }
        struct act confirm = new_act(driver, CM_ACT_CONFIRM, subject, 0);
        confirm.request = result.ledger;
        if (act_and_tell(driver, &confirm, false, &result)) {
            struct act withdraw = new_act(driver, CM_ACT_WITHDRAW, subject, 0);
            /* Half of them stay as they are, so that both verdicts are seen. */
            if (rand_r(&thread->seed) % 2 == 0) {
                (void)act_and_tell(driver, &withdraw, false, &result); /* told */
            }
        }
        pause_ns(PAUSE_NS);
    }
    return NULL;
}

static void read_old_acts(struct driver *driver, struct thread *threads)
{
    char line[LINE_BYTES];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct act act = {.purpose = 0};
        int code = 0;
        if (sscanf(line, "I %16s %zu %d %" SCNu64, act.event, &act.subject, &code, &act.request) != 4) {
            die("not an act");
        }
        act.act = (enum cm_act)code;
        struct thread *thread = &threads[act.subject % driver->thread_count];
        if (thread->old_count == FEW) {
            die("too many acts whose result is not known");
        }
        thread->old[thread->old_count++] = act;
    }
}

static void run_threads(struct thread *threads, size_t count, void *(*run)(void *thread))
{
    for (size_t i = 0; i < count; i++) {
        if (pthread_create(&threads[i].id, NULL, run, &threads[i]) != 0) {
            die("no thread");
        }
    }
    for (size_t i = 0; i < count; i++) {
        (void)pthread_join(threads[i].id, NULL); /* cannot fail for a thread of ours */
    }
}

/* --- look-ups --- */

static void ask(struct driver *driver, size_t subject, char out[PURPOSES])
{
    struct cm_enforce_question questions[PURPOSES];
    struct cm_decision decisions[PURPOSES];
    struct cm_arena arena;
    struct cm_err err;
    for (size_t i = 0; i < PURPOSES; i++) {
        questions[i] = (struct cm_enforce_question){.purpose = purposes[i],
                                                    .class = CM_CLASS_MARKETING,
                                                    .accept_basis = CM_BASIS_EXPRESS,
                                                    .purpose_is_fixed = true};
    }
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    (void)cm_enforce(driver->store, &driver->subjects[subject], 1, questions, PURPOSES, &arena, decisions, NULL,
                     &err); /* the verdicts tell */
    cm_arena_done(&arena);
    for (size_t i = 0; i < PURPOSES; i++) {
        out[i] = (char)(decisions[i].verdict == CM_VERDICT_ACCEPT   ? 'a'
                        : decisions[i].verdict == CM_VERDICT_REFUSE ? 'r'
                                                                    : 'd');
    }
}

static void check_all(struct driver *driver)
{
    char verdicts[PURPOSES];
    for (size_t i = 0; i < driver->subject_count; i++) {
        ask(driver, i, verdicts);
        (void)printf("%zu %c\n", i, verdicts[0]); /* a lost line is missed by the reader */
    }
}

/* --- race --- */

static void add_row(struct thread *thread, const struct row *row)
{
    if (thread->row_count == thread->row_room) {
        thread->row_room = thread->row_room == 0 ? 1024 : 2 * thread->row_room;
        thread->rows = realloc(thread->rows, thread->row_room * sizeof(*thread->rows));
        if (thread->rows == NULL) {
            die("out of memory");
        }
    }
    thread->rows[thread->row_count++] = *row;
}

static void write_and_keep(struct thread *thread, const struct act *act)
{
    struct cm_write_result result;
    bool is_received = false;
    struct row row = {.kind = act->act == CM_ACT_WITHDRAW ? 'W' : 'G', .subject = act->subject, .invoked = now_ns()};
    write_act(thread->driver, act, &result, &is_received);
    row.answered = now_ns();
    row.result = result.status == CM_WRITE_APPLIED ? 'y' : result.status == CM_WRITE_UNCERTAIN ? '?' : 'n';
    for (unsigned purpose = 0; purpose < PURPOSES; purpose++) {
        row.purpose = purpose;
        if (act->purpose == purpose || act->purpose == ALL_PURPOSES) {
            add_row(thread, &row);
        }
    }
}

static void regrant(struct thread *thread, size_t subject, unsigned purpose)
{
    struct cm_write_result result;
    bool is_received = false;
    struct act request = new_act(thread->driver, CM_ACT_REQUEST, subject, purpose);
    struct act confirm = new_act(thread->driver, CM_ACT_CONFIRM, subject, purpose);
    write_act(thread->driver, &request, &result, &is_received);
    if (result.status != CM_WRITE_APPLIED) {
        die("a request was not taken");
    }
    confirm.request = result.ledger;
    write_and_keep(thread, &confirm);
}

/* One writer a subject: grants what is withdrawn, and else withdraws one purpose, or now and then both by the sender.
 */
static void *race_writer(void *context)
{
    struct thread *thread = context;
    struct driver *driver = thread->driver;
    bool granted[MOST_SUBJECTS][PURPOSES] = {{false}};
    int64_t free_at[MOST_SUBJECTS] = {0};
    size_t mine = (driver->subject_count - thread->number + driver->thread_count - 1) / driver->thread_count;
    while (atomic_fetch_sub(&driver->operations, 1) > 0) {
        size_t subject = thread->number + (size_t)rand_r(&thread->seed) % mine * driver->thread_count;
        unsigned purpose = (unsigned)rand_r(&thread->seed) % PURPOSES;
        int64_t early_ns = free_at[subject] - now_ns();
        if (early_ns > 0) {
            pause_ns((long)early_ns);
        }
        if (granted[subject][purpose]) {
            bool all = rand_r(&thread->seed) % 4 == 0;
            struct act act = new_act(driver, CM_ACT_WITHDRAW, subject, all ? ALL_PURPOSES : purpose);
            write_and_keep(thread, &act);
            for (unsigned i = 0; i < PURPOSES; i++) {
                granted[subject][i] = granted[subject][i] && !all && i != purpose;
            }
            free_at[subject] = now_ns() + PAUSE_NS;
        } else {
            regrant(thread, subject, purpose);
            granted[subject][purpose] = true;
        }
    }
    return NULL;
}

static void *race_reader(void *context)
{
    struct thread *thread = context;
    struct driver *driver = thread->driver;
    while (atomic_fetch_sub(&driver->operations, 1) > 0) {
        char verdicts[PURPOSES];
        struct row row = {.kind = 'R', .subject = (size_t)rand_r(&thread->seed) % driver->subject_count};
        row.invoked = now_ns();
        ask(driver, row.subject, verdicts);
        row.answered = now_ns();
        for (row.purpose = 0; row.purpose < PURPOSES; row.purpose++) {
            row.result = verdicts[row.purpose];
            add_row(thread, &row);
        }
    }
    return NULL;
}

static void *race_any(void *context)
{
    struct thread *thread = context;
    return thread->number < thread->driver->thread_count ? race_writer(thread) : race_reader(thread);
}

static void print_history(const struct thread *threads, size_t count)
{
    for (size_t t = 0; t < count; t++) {
        for (size_t i = 0; i < threads[t].row_count; i++) {
            const struct row *row = &threads[t].rows[i];
            (void)printf("%c %zu %zu %u %" PRId64 " %" PRId64 " %c\n", row->kind, t, row->subject, row->purpose,
                         row->invoked, row->answered, row->result); /* the end line tells that all were written */
        }
        free(threads[t].rows);
    }
    (void)printf("end\n");
}

int main(int argc, char **argv)
{
    static struct driver driver; /* too large for a stack */
    static struct thread threads[MOST_THREADS];
    size_t count = 0;
    if (argc < 4) {
        die("usage: store_driver write|check|race CONFIG SUBJECTS ...");
    }
    open_driver(&driver, argv[2], argv[3]);
    bool writes = strcmp(argv[1], "write") == 0 && (argc == 5 || argc == 6);
    bool races = strcmp(argv[1], "race") == 0 && argc == 7;
    driver.thread_count = writes || races ? strtoul(argv[4], NULL, 10) : 1;
    count = driver.thread_count + (races ? strtoul(argv[5], NULL, 10) : 0);
    if (driver.thread_count == 0 || count > MOST_THREADS || driver.subject_count < driver.thread_count) {
        die("too many threads, or too few subjects");
    }
    for (size_t i = 0; i < count; i++) {
        threads[i] = (struct thread){.driver = &driver, .number = i, .seed = (unsigned)(i + 1)};
    }
    if (writes) {
        driver.keeper_socket = argc == 6 ? argv[5] : NULL;
        read_old_acts(&driver, threads);
        run_threads(threads, count, write_for_ever);
    } else if (races) {
        atomic_store(&driver.operations, strtol(argv[6], NULL, 10));
        run_threads(threads, count, race_any);
        print_history(threads, count);
    } else {
        check_all(&driver);
    }
    close_driver(&driver);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
