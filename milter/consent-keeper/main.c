/* consent-keeper(8): takes acts over its unix socket, journals them, writes them, and beats. One thread, one loop: all
 * requests that came in one turn are made durable by one fsync, and then written. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "chores.h"
#include "desk.h"
#include "ops/log.h"
#include "ops/notify.h"
#include "ops/options.h"
#include "ops/process.h"
#include "service/open.h"

#define JOURNAL_FILE_BYTES (8 * 1048576)
#define WORK_MS 100        /* at a time, so that callers are served between */
#define WAITING_TICK_MS 50 /* while answers wait */
#define LONGEST_TICK_MS 1000
#define STOP_MS 5000 /* to write what is left at a stop */

struct daemon {
    struct cm_settings *settings;
    struct cm_keys keys;
    struct cm_store *store;
    struct cm_desk *desk;
    struct cm_keeper *keeper;
    struct cm_chores chores;
    int signal_fd;
};

static int complain(int code, const struct cm_err *err)
{
    (void)fprintf(stderr, "consent-keeper: %s\n", err->text);
    return code;
}

static void warn(void *context, const char *text)
{
    (void)context;
    (void)fprintf(stderr, "consent-keeper: warning: %s\n", text);
}

static int64_t boot_ms(void *context)
{
    struct timespec now;
    (void)context;
    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail for this clock */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Stops come as something to read; what asks a filter for a reload must not end us, who have nothing to reload. */
static bool prepare_signals(struct daemon *daemon, struct cm_err *err)
{
    sigset_t stops;
    (void)sigemptyset(&stops); /* a valid set and valid signals: none of these can fail */
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &stops, NULL);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    daemon->signal_fd = signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK);
    if (daemon->signal_fd < 0) {
        cm_err_set(err, "cannot wait for signals: %s", strerror(errno));
    }
    return daemon->signal_fd >= 0;
}

static bool open_keeper(struct daemon *daemon, enum cm_journal_status *out_status, struct cm_err *err)
{
    char directory[1024];
    struct cm_text path = cm_text_over(directory, sizeof(directory));
    cm_text_add_format(&path, "%s/journal", daemon->settings->state);
    struct cm_keeper_options options = {
        .name = daemon->settings->keeper.name,
        .directory = directory,
        .file_bytes = JOURNAL_FILE_BYTES,
        .store = cm_keeper_store_of(&daemon->store),
        .clock = boot_ms,
        .settled = cm_desk_settled,
        .settled_context = daemon->desk,
    };
    *out_status = CM_JOURNAL_FAILED;
    if (path.truncated) {
        cm_err_set(err, "state: the path is too long");
        return false;
    }
    *out_status = cm_keeper_open(&options, &daemon->keeper, err);
    return *out_status == CM_JOURNAL_OK;
}

/* Takes the signals that came, so that they are told once. */
static bool is_asked_to_stop(const struct daemon *daemon)
{
    struct signalfd_siginfo info;
    bool asked = false;
    while (read(daemon->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        asked = true;
    }
    return asked;
}

/* One turn: what came in is journaled, then all that is due is done, then what can be answered is answered. *timeout_ms
 * is how long the next one may wait. False and err: the journal is in doubt. */
static bool turn(struct daemon *daemon, int *timeout_ms, bool *out_stops, struct cm_err *err)
{
    struct pollfd fds[CM_DESK_CLIENTS + 2];
    int64_t due_ms = 0;
    size_t count = cm_desk_poll_fds(daemon->desk, fds);
    fds[count] = (struct pollfd){.fd = daemon->signal_fd, .events = POLLIN};
    if (poll(fds, count + 1, *timeout_ms) < 0) {
        for (size_t i = 0; i <= count; i++) {
            fds[i].revents = 0; /* interrupted, or short of memory: as if nothing had come */
        }
    }
    *out_stops = is_asked_to_stop(daemon);
    int64_t now_ms = boot_ms(NULL);
    int64_t now_s = time(NULL);
    cm_desk_read(daemon->desk, fds, count, daemon->keeper, now_ms);
    if (!cm_keeper_commit(daemon->keeper, now_s, err) ||
        !cm_keeper_work(daemon->keeper, now_s, WORK_MS, &due_ms, err)) {
        return false;
    }
    cm_desk_answer(daemon->desk, daemon->keeper, boot_ms(NULL), false);
    cm_chores_do(&daemon->chores, daemon->keeper, &daemon->store, boot_ms(NULL), now_s);
    int64_t left_ms = cm_desk_has_more(daemon->desk) ? 0 : due_ms - boot_ms(NULL);
    int64_t longest_ms = cm_desk_is_waiting(daemon->desk) ? WAITING_TICK_MS : LONGEST_TICK_MS;
    *timeout_ms = (int)(left_ms < 0 ? 0 : left_ms < longest_ms ? left_ms : longest_ms);
    return true;
}

/* Writes what is left, answers everybody, and signs off. */
static bool stop(struct daemon *daemon, struct cm_err *err)
{
    int64_t until_ms = boot_ms(NULL) + STOP_MS;
    int timeout_ms = 0;
    bool ok = true;
    bool is_asked = false; /* once is enough */
    cm_desk_stop_reading(daemon->desk);
    while (ok && !cm_keeper_has_written_all(daemon->keeper) && boot_ms(NULL) < until_ms) {
        ok = turn(daemon, &timeout_ms, &is_asked, err);
        timeout_ms = timeout_ms < WAITING_TICK_MS ? WAITING_TICK_MS : timeout_ms;
    }
    cm_desk_answer(daemon->desk, daemon->keeper, boot_ms(NULL), true);
    return ok;
}

static int serve(struct daemon *daemon)
{
    struct cm_err err = {{0}};
    int timeout_ms = 0;
    bool stops = false;
    bool ok = true;
    const int64_t watchdog_ms = cm_notify_watchdog_ms(); /* 0: nobody watches */
    int64_t due_ms = boot_ms(NULL) + watchdog_ms;
    cm_notify("READY=1\nSTATUS=serving");
    while (ok && !stops) {
        ok = turn(daemon, &timeout_ms, &stops, &err);
        if (ok && watchdog_ms > 0 && boot_ms(NULL) >= due_ms) {
            cm_notify("WATCHDOG=1"); /* a turn is short: see WORK_MS */
            due_ms = boot_ms(NULL) + watchdog_ms;
        }
    }
    cm_notify("STOPPING=1");
    ok = ok && stop(daemon, &err);
    if (!ok) {
        cm_log(CM_LOG_ERROR, "the journal fails, so nothing can be acknowledged any more: %s", err.text);
        return EX_IOERR;
    }
    if (cm_keeper_sign_off(daemon->keeper, time(NULL), &err)) {
        cm_log(CM_LOG_NOTICE, "consent-keeper stopped, signed off: the filters do not wait for it");
    } else {
        cm_log(CM_LOG_WARNING, "consent-keeper stopped without signing off, so marketing mail is deferred: %s",
               err.text);
    }
    return EX_OK;
}

/* Everything in the order that each needs: the socket as who we were, the journal as who we are then. */
static int start(struct daemon *daemon, const struct cm_daemon_options *options)
{
    struct cm_err err = {{0}};
    enum cm_journal_status status = CM_JOURNAL_UNSET;
    const struct cm_keeper_settings *settings = &daemon->settings->keeper;
    const char *socket = options->socket != NULL ? options->socket : settings->socket;
    if (!prepare_signals(daemon, &err)) {
        return complain(EX_OSERR, &err);
    }
    daemon->store = cm_open_store(daemon->settings, &daemon->keys, 1, &err);
    if (daemon->store == NULL) {
        return complain(EX_OSERR, &err);
    }
    daemon->desk = cm_desk_open(socket, settings, &err);
    if (daemon->desk == NULL) {
        return complain(EX_UNAVAILABLE, &err);
    }
    if ((options->pid_file != NULL && !cm_process_write_pid(options->pid_file, &err)) ||
        (options->user != NULL && !cm_process_become(options->user, &err))) {
        return complain(EX_NOPERM, &err);
    }
    if (!open_keeper(daemon, &status, &err)) {
        return complain(status == CM_JOURNAL_DAMAGED ? EX_DATAERR : EX_UNAVAILABLE, &err);
    }
    cm_log(CM_LOG_NOTICE, "consent-keeper %s started: keeper=%s socket=%s configuration=%s", CM_VERSION, settings->name,
           socket, daemon->settings->sha256);
    cm_process_ready();
    int code = serve(daemon);
    if (options->pid_file != NULL) {
        (void)unlink(options->pid_file); /* after a change of user this may not be ours to remove */
    }
    return code;
}

static int run(struct daemon *daemon, const struct cm_daemon_options *options)
{
    struct cm_err err = {{0}};
    if (!cm_keys_load(daemon->settings->keys, true, &daemon->keys, &err)) {
        return complain(EX_CONFIG, &err);
    }
    if (!options->foreground && !cm_process_detach(&err)) {
        return complain(EX_OSERR, &err);
    }
    cm_log_open("consent-keeper", options->foreground);
    cm_process_raise_descriptors();
    daemon->chores = (struct cm_chores){.settings = daemon->settings, .keys = &daemon->keys};
    return start(daemon, options);
}

static void dismantle(struct daemon *daemon)
{
    cm_chores_done(&daemon->chores);
    cm_keeper_close(daemon->keeper);
    cm_desk_close(daemon->desk);
    cm_store_free(daemon->store);
    cm_keys_wipe(&daemon->keys);
    cm_settings_free(daemon->settings);
    if (daemon->signal_fd >= 0) {
        (void)close(daemon->signal_fd); /* nothing more is waited for */
    }
}

int main(int argc, char **argv)
{
    struct cm_daemon_options options;
    struct daemon daemon = {.signal_fd = -1};
    struct cm_err err = {{0}};
    int code = EX_OK;
    const char *environment = getenv(CM_SETTINGS_ENVIRONMENT);
    const struct cm_daemon_words words = {
        .name = "consent-keeper",
        .default_file = environment != NULL ? environment : CM_SETTINGS_DEFAULT_FILE,
        .socket_setting = "keeper.socket",
        .become_user_after = "opening the socket and reading the keys",
    };
    if (!cm_daemon_options_parse(argc, argv, &words, &options, &code)) {
        return code;
    }
    daemon.settings = cm_settings_load(options.file, &err);
    if (daemon.settings != NULL && daemon.settings->keeper.name == NULL) {
        cm_err_set(&err, "%s: keeper.name is not set: which of the `keepers` runs here?", options.file);
        code = complain(EX_CONFIG, &err);
    } else if (daemon.settings == NULL) {
        return complain(EX_CONFIG, &err);
    } else if (options.check_only) {
        (void)printf("%s: configuration is good: keeper %s\n", options.file, daemon.settings->keeper.name);
    } else {
        cm_settings_warn(daemon.settings, warn, NULL);
        code = run(&daemon, &options);
    }
    dismantle(&daemon);
    return code;
}
