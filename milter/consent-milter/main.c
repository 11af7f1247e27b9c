/* consent-milter(8): the filter. Reads its configuration, opens its socket, hands over to libmilter, and stops cleanly.
 */
#include <libmilter/mfapi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "callbacks.h"
#include "commands.h"
#include "exporter.h"
#include "interpose.h"
#include "listen.h"
#include "ops/control.h"
#include "ops/log.h"
#include "ops/notify.h"
#include "ops/options.h"
#include "ops/process.h"
#include "service/declaration.h"
#include "service/open.h"

#define DRAIN_S 10
#define ALARM_EVERY_S 900 /* mails to the officer */
#define ALARM_AGAIN_S 60
#define LAST_CALLBACKS_MS 2000

struct daemon {
    const struct cm_settings *settings; /* of the first generation, which lives as long as we do */
    struct cm_generation *generation;
    struct cm_tally *tally;
    struct cm_keys keys;
    struct cm_store *store;        /* look-ups */
    struct cm_store *record_store; /* the recorder's own, so that its trouble is not the look-ups' */
    struct cm_recorder *recorder;
    struct cm_filter *filter;
    struct cm_reloader *reloader;
    struct cm_commands commands;
    struct cm_control *control; /* NULL: none is configured */
    pthread_t watcher;
    bool is_watched;
    struct cm_alarm *alarm;
    struct cm_exporter exporter;
    struct cm_http *http; /* NULL: none is configured */
};

static int complain(int code, const struct cm_err *err)
{
    (void)fprintf(stderr, "consent-milter: %s\n", err->text);
    return code;
}

static void warn(void *context, const char *text)
{
    (void)context;
    (void)fprintf(stderr, "consent-milter: warning: %s\n", text);
}

/* All that must be there before the first mail; nothing here asks Redis, which may be down. */
static bool assemble(struct daemon *daemon, struct cm_err *err)
{
    uint32_t number = 0;
    if (!cm_random_bytes((uint8_t *)&number, sizeof(number))) {
        cm_err_set(err, "the system has no random bytes");
        return false;
    }
    daemon->store = cm_open_store(daemon->settings, &daemon->keys, 0, err);
    daemon->record_store = cm_open_store(daemon->settings, &daemon->keys, 1, err);
    if (daemon->store == NULL || daemon->record_store == NULL) {
        return false;
    }
    daemon->alarm = cm_alarm_new(ALARM_EVERY_S, ALARM_AGAIN_S);
    daemon->recorder = cm_recorder_new(daemon->record_store, daemon->tally, number, err);
    struct cm_filter_parts parts = {
        .generation = daemon->generation,
        .tally = daemon->tally,
        .keys = &daemon->keys,
        .store = daemon->store,
        .recorder = daemon->recorder,
        .alarm = daemon->alarm,
        .daemon = number,
    };
    daemon->filter = daemon->recorder != NULL && daemon->alarm != NULL ? cm_filter_new(&parts) : NULL;
    if (daemon->filter == NULL) {
        return false;
    }
    struct cm_declaration *declaration = cm_declaration_new("consent-milter", daemon->settings, err);
    cm_recorder_note(daemon->recorder, declaration);
    daemon->reloader = cm_reloader_new(daemon->settings->file, daemon->generation, daemon->filter, daemon->tally,
                                       daemon->recorder);
    const struct cm_metrics_parts shown = {.filter = daemon->filter,
                                           .tally = daemon->tally,
                                           .store = daemon->store,
                                           .recorder = daemon->recorder,
                                           .alarm = daemon->alarm};
    daemon->exporter = (struct cm_exporter){
        .metrics = cm_metrics_new(&shown), .store = daemon->store, .reloader = daemon->reloader};
    if (declaration == NULL || daemon->reloader == NULL || daemon->exporter.metrics == NULL) {
        return false;
    }
    daemon->commands = (struct cm_commands){
        .filter = daemon->filter,
        .reloader = daemon->reloader,
        .recorder = daemon->recorder,
        .store = daemon->store,
    };
    return cm_door_register(daemon->filter, daemon->store);
}

static void dismantle(struct daemon *daemon)
{
    if (daemon->is_watched) {
        (void)pthread_cancel(daemon->watcher); /* it waits, or sends a word, when it ends */
        (void)pthread_join(daemon->watcher, NULL);
    }
    cm_http_free(daemon->http);
    cm_metrics_free(daemon->exporter.metrics);
    cm_control_free(daemon->control);
    cm_reloader_free(daemon->reloader);
    cm_recorder_free(daemon->recorder);
    cm_filter_free(daemon->filter);
    cm_alarm_free(daemon->alarm);
    cm_store_free(daemon->record_store);
    cm_store_free(daemon->store);
    cm_keys_wipe(&daemon->keys);
    cm_generation_unref(daemon->generation);
    cm_tally_free(daemon->tally);
}

/* The signals that stop us are libmilter's to wait for; every thread must be born with them blocked. */
static void prepare_signals(void)
{
    sigset_t stops;
    (void)sigemptyset(&stops); /* a valid set and valid signals: none of these can fail */
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGINT);
    (void)sigaddset(&stops, SIGHUP);
    (void)sigaddset(&stops, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &stops, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void reload(void *context)
{
    struct cm_err err;
    (void)cm_reload(((struct daemon *)context)->reloader, &err); /* said in the log */
}

/* Says WATCHDOG=1 as often as it is due, from a thread that takes the lock which every new session takes. */
static void *watch(void *context)
{
    unsigned pause_ms = cm_notify_watchdog_ms();
    for (;;) {
        (void)poll(NULL, 0, (int)pause_ms); /* being interrupted is only early */
        cm_generation_unref(cm_filter_generation(context));
        cm_notify("WATCHDOG=1");
    }
    return NULL;
}

/* The threads beside libmilter's own. */
static bool start_threads(struct daemon *daemon, struct cm_err *err)
{
    if (!cm_recorder_start(daemon->recorder, err) || !cm_alarm_start(daemon->alarm, err) ||
        (daemon->http != NULL && !cm_http_start(daemon->http, err)) ||
        (daemon->control != NULL && !cm_control_start(daemon->control, err))) {
        return false;
    }
    if (cm_notify_watchdog_ms() == 0) {
        return true;
    }
    daemon->is_watched = pthread_create(&daemon->watcher, NULL, watch, daemon->filter) == 0;
    if (!daemon->is_watched) {
        cm_err_set(err, "cannot start the thread of the watchdog");
    }
    return daemon->is_watched;
}

/* libmilter has returned: what its workers still do must end before anything is freed under them. */
static bool last_callbacks_ended(void)
{
    cm_door_close();
    for (int waited = 0; cm_door_running() > 0 && waited < LAST_CALLBACKS_MS; waited += 10) {
        (void)poll(NULL, 0, 10); /* a short pause; being interrupted is as good */
    }
    return cm_door_running() == 0;
}

/* From an open socket to the end. Returns the exit code. */
static int serve(struct daemon *daemon, const struct cm_daemon_options *options, const char *socket)
{
    struct cm_err err;
    if ((options->pid_file != NULL && !cm_process_write_pid(options->pid_file, &err)) ||
        (options->user != NULL && !cm_process_become(options->user, &err))) {
        return complain(EX_NOPERM, &err);
    }
    cm_interpose_on_reload(reload, daemon);
    if (!start_threads(daemon, &err)) {
        return complain(EX_OSERR, &err);
    }
    cm_interpose_drain_for(DRAIN_S);
    cm_log(CM_LOG_NOTICE, "consent-milter %s started: socket=%s streams=%zu mode=%s configuration=%s", CM_VERSION,
           socket, daemon->settings->streams.count,
           daemon->settings->streams.mode == CM_MODE_OBSERVE ? "observe" : "enforce", daemon->settings->sha256);
    cm_process_ready();
    cm_notify("READY=1\nSTATUS=serving");
    int result = smfi_main();
    cm_notify("STOPPING=1");
    cm_listen_remove(socket);
    if (options->pid_file != NULL) {
        (void)unlink(options->pid_file); /* after a change of user this may not be ours to remove */
    }
    cm_log(CM_LOG_NOTICE, "consent-milter stopped");
    if (!last_callbacks_ended()) {
        _exit(result == MI_SUCCESS ? EX_OK : EX_SOFTWARE); /* a callback still uses what would be freed */
    }
    return result == MI_SUCCESS ? EX_OK : EX_SOFTWARE;
}

/* What administrators and their tools come by; the sockets are opened before a change of user. */
static bool open_side_doors(struct daemon *daemon, struct cm_err *err)
{
    const struct cm_control_settings *control = &daemon->settings->control;
    const char *metrics = daemon->settings->metrics_listen;
    if (control->socket[0] != '\0') {
        daemon->control = cm_control_new(control->socket, control->mode, control->group, cm_commands_answer,
                                         &daemon->commands, err);
    }
    if (control->socket[0] != '\0' && daemon->control == NULL) {
        return false;
    }
    if (metrics != NULL) {
        daemon->http = cm_http_new(metrics, "metrics.listen", cm_exporter_answer, &daemon->exporter, err);
    }
    return metrics == NULL || daemon->http != NULL;
}

static int run(struct daemon *daemon, const struct cm_daemon_options *options)
{
    struct cm_err err = {{0}};
    const char *socket = options->socket != NULL ? options->socket : daemon->settings->milter.socket;
    if (!cm_keys_load(daemon->settings->keys, false, &daemon->keys, &err)) {
        return complain(EX_CONFIG, &err);
    }
    if (!options->foreground && !cm_process_detach(&err)) {
        return complain(EX_OSERR, &err);
    }
    cm_log_open("consent-milter", options->foreground);
    cm_process_raise_descriptors();
    prepare_signals();
    if (!assemble(daemon, &err)) {
        return complain(EX_OSERR, &err);
    }
    if (!cm_listen(socket, &daemon->settings->milter, &err)) {
        return complain(EX_UNAVAILABLE, &err);
    }
    if (!open_side_doors(daemon, &err)) {
        return complain(EX_UNAVAILABLE, &err);
    }
    return serve(daemon, options, socket);
}

int main(int argc, char **argv)
{
    struct cm_daemon_options options;
    struct daemon daemon = {0};
    struct cm_err err;
    int code = EX_OK;
    const char *environment = getenv(CM_SETTINGS_ENVIRONMENT);
    const struct cm_daemon_words words = {
        .name = "consent-milter",
        .default_file = environment != NULL ? environment : CM_SETTINGS_DEFAULT_FILE,
        .socket_setting = "milter.socket",
        .become_user_after = "opening the socket and reading the keys",
    };
    if (!cm_daemon_options_parse(argc, argv, &words, &options, &code)) {
        return code;
    }
    struct cm_settings *settings = cm_settings_load(options.file, &err);
    if (settings == NULL) {
        return complain(EX_CONFIG, &err);
    }
    daemon.tally = cm_tally_new();
    daemon.generation = daemon.tally != NULL ? cm_generation_new(settings, 1, daemon.tally) : NULL;
    if (daemon.generation == NULL) {
        return complain(EX_OSERR, &(struct cm_err){"out of memory"});
    }
    daemon.settings = settings;
    cm_settings_warn(daemon.settings, warn, NULL);
    if (options.check_only) {
        (void)printf("%s: configuration is good: %zu streams\n", options.file, daemon.settings->streams.count);
    } else {
        code = run(&daemon, &options);
    }
    dismantle(&daemon);
    return code;
}
