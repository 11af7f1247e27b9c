/* consent-milter(8): the filter. Reads its configuration, opens its socket, hands over to libmilter, and stops cleanly.
 */
#include <libmilter/mfapi.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "callbacks.h"
#include "interpose.h"
#include "listen.h"
#include "ops/log.h"
#include "ops/options.h"
#include "ops/process.h"
#include "service/open.h"

#define DRAIN_S 10
#define LAST_CALLBACKS_MS 2000

struct daemon {
    struct cm_settings *settings;
    struct cm_keys keys;
    struct cm_store *store;        /* look-ups */
    struct cm_store *record_store; /* the recorder's own, so that its trouble is not the look-ups' */
    struct cm_recorder *recorder;
    struct cm_filter *filter;
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
    daemon->recorder = cm_recorder_new(daemon->record_store, daemon->settings, number, err);
    struct cm_filter_parts parts = {
        .settings = daemon->settings,
        .keys = &daemon->keys,
        .store = daemon->store,
        .recorder = daemon->recorder,
        .daemon = number,
    };
    daemon->filter = daemon->recorder != NULL ? cm_filter_new(&parts) : NULL;
    return daemon->filter != NULL && cm_door_register(daemon->filter, daemon->settings, daemon->store);
}

static void dismantle(struct daemon *daemon)
{
    cm_recorder_free(daemon->recorder);
    cm_filter_free(daemon->filter);
    cm_store_free(daemon->record_store);
    cm_store_free(daemon->store);
    cm_keys_wipe(&daemon->keys);
    cm_settings_free(daemon->settings);
}

/* The signals that stop us are libmilter's to wait for; every thread must be born with them blocked. */
static void prepare_signals(void)
{
    sigset_t stops;
    (void)sigemptyset(&stops); /* a valid set and valid signals: none of these can fail */
    (void)sigaddset(&stops, SIGTERM);
    (void)sigaddset(&stops, SIGINT);
    (void)sigaddset(&stops, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &stops, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN); /* asks for a reload, which this version cannot do; it must not end us either */
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
    if (!cm_recorder_start(daemon->recorder, &err)) {
        return complain(EX_OSERR, &err);
    }
    cm_interpose_drain_for(DRAIN_S);
    cm_log(CM_LOG_NOTICE, "consent-milter %s started: socket=%s streams=%zu mode=%s configuration=%s", CM_VERSION,
           socket, daemon->settings->streams.count,
           daemon->settings->streams.mode == CM_MODE_OBSERVE ? "observe" : "enforce", daemon->settings->sha256);
    cm_process_ready();
    int result = smfi_main();
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
    daemon.settings = cm_settings_load(options.file, &err);
    if (daemon.settings == NULL) {
        return complain(EX_CONFIG, &err);
    }
    cm_settings_warn(daemon.settings, warn, NULL);
    if (options.check_only) {
        (void)printf("%s: configuration is good: %zu streams\n", options.file, daemon.settings->streams.count);
    } else {
        code = run(&daemon, &options);
    }
    dismantle(&daemon);
    return code;
}
