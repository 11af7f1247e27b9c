#include "service/alarm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ops/log.h"
#include "ops/mail.h"

#define TEXT_BYTES 2048

/* What the next mail will tell. */
struct pending {
    uint64_t count; /* 0: nothing */
    struct cm_alarm_report newest;
    char file[1024];
    char server[263];
    char from[255];
    char to[255];
};

struct cm_alarm {
    unsigned every_s;
    unsigned again_s;
    _Atomic uint64_t raised;
    _Atomic uint64_t mailed;
    _Atomic uint64_t failed;
    atomic_bool stopping;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t wake;
    struct pending pending;
    time_t next_at; /* monotonic: no mail before */
};

struct cm_alarm *cm_alarm_new(unsigned every_s, unsigned again_s)
{
    struct cm_alarm *alarm = calloc(1, sizeof(*alarm));
    if (alarm != NULL) {
        pthread_condattr_t attributes;
        alarm->every_s = every_s;
        alarm->again_s = again_s;
        (void)pthread_condattr_init(&attributes);
        (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC); /* valid arguments: cannot fail, as the next */
        (void)pthread_cond_init(&alarm->wake, &attributes);
        (void)pthread_mutex_init(&alarm->mutex, NULL);
        (void)pthread_condattr_destroy(&attributes);
    }
    return alarm;
}

static const char *or_none(const char *text)
{
    return text[0] != '\0' ? text : "none";
}

static void log_it(const struct cm_alarm_report *report)
{
    char storage[CM_LOG_LINE_BYTES];
    struct cm_text line = cm_text_over(storage, sizeof(storage));
    cm_log_begin(&line, cm_span_of(report->queue_id));
    cm_log_add(&line, "session", cm_span_of(report->session));
    cm_text_add_format(&line, " canary=%u", report->line);
    cm_log_add(&line, "stream", cm_span_of(report->stream));
    cm_log_add(&line, "client", cm_span_of(report->client));
    cm_log_add(&line, "auth", cm_span_of(report->auth[0] != '\0' ? report->auth : "-"));
    cm_log_line(CM_LOG_WARNING, (struct cm_span){storage, line.len});
}

void cm_alarm_raise(struct cm_alarm *alarm, const struct cm_settings *settings, const struct cm_alarm_report *report)
{
    if (alarm == NULL) {
        return;
    }
    atomic_fetch_add(&alarm->raised, 1);
    log_it(report);
    if (settings->mail.server == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&alarm->mutex);
    struct pending *pending = &alarm->pending;
    pending->count++;
    pending->newest = *report;
    (void)(cm_copy(pending->file, sizeof(pending->file), cm_span_of(settings->canaries_file)) &&
           cm_copy(pending->server, sizeof(pending->server), cm_span_of(settings->mail.server)) &&
           cm_copy(pending->from, sizeof(pending->from), cm_span_of(settings->mail.from)) &&
           cm_copy(pending->to, sizeof(pending->to), cm_span_of(settings->officer))); /* texts of the settings fit */
    (void)pthread_cond_signal(&alarm->wake);
    (void)pthread_mutex_unlock(&alarm->mutex);
}

static bool mail_it(const struct cm_alarm *alarm, const struct pending *pending, struct cm_err *err)
{
    char text[TEXT_BYTES];
    const struct cm_alarm_report *report = &pending->newest;
    (void)snprintf(
        text, sizeof(text),
        "Marketing mail was addressed to a canary: an address that was planted to see whether a list was built\n"
        "from consent. Whoever sent it has it from elsewhere.\n\n"
        "canary        line %u of %s\n"
        "stream        %s\n"
        "login         %s\n"
        "client        %s\n"
        "listener      %s\n"
        "queue id      %s\n"
        "session       %s\n\n"
        "Such recipients since the last mail: %llu. The log has a line with canary= for each, and the decisions\n"
        "of the session. The next mail comes in %u minutes at the earliest.\n"
        "To stop the sender at once: consentctl daemon halt SENDER --reason canary\n",
        report->line, pending->file, report->stream, or_none(report->auth), report->client, or_none(report->daemon),
        or_none(report->queue_id), report->session, (unsigned long long)pending->count,
        alarm->every_s / 60); /* cut at the end if it must be */
    struct cm_mail mail = {
        .server = pending->server,
        .from = pending->from,
        .to = pending->to,
        .subject = "Marketing mail to a canary",
        .text = text,
    };
    return cm_mail_send(&mail, &alarm->stopping, err);
}

/* With the mutex held, until there is something to mail and it may be. False: stopping. */
static bool wait_for_work(struct cm_alarm *alarm)
{
    struct timespec until = {0};
    for (;;) {
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
        if (atomic_load(&alarm->stopping)) {
            return false;
        }
        if (alarm->pending.count == 0) {
            (void)pthread_cond_wait(&alarm->wake, &alarm->mutex); /* cannot fail with a mutex that is held */
        } else if (now.tv_sec < alarm->next_at) {
            until.tv_sec = alarm->next_at;
            (void)pthread_cond_timedwait(&alarm->wake, &alarm->mutex, &until); /* time or news: both looked at */
        } else {
            return true;
        }
    }
}

static void *run(void *context)
{
    struct cm_alarm *alarm = context;
    (void)pthread_mutex_lock(&alarm->mutex);
    while (wait_for_work(alarm)) {
        struct cm_err err = {{0}};
        struct timespec now;
        struct pending pending = alarm->pending;
        (void)pthread_mutex_unlock(&alarm->mutex);
        bool ok = mail_it(alarm, &pending, &err);
        atomic_fetch_add(ok ? &alarm->mailed : &alarm->failed, 1);
        if (!ok && !atomic_load(&alarm->stopping)) {
            cm_log(CM_LOG_ERROR, "the officer was not told of a canary: %s; it is tried again in %u s", err.text,
                   alarm->again_s);
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail for this clock */
        (void)pthread_mutex_lock(&alarm->mutex);
        alarm->next_at = now.tv_sec + (time_t)(ok ? alarm->every_s : alarm->again_s);
        alarm->pending.count -= ok ? pending.count : 0; /* those that came meanwhile stay */
    }
    (void)pthread_mutex_unlock(&alarm->mutex);
    return NULL;
}

bool cm_alarm_start(struct cm_alarm *alarm, struct cm_err *err)
{
    if (pthread_create(&alarm->thread, NULL, run, alarm) != 0) {
        cm_err_set(err, "cannot start the thread of the alarms");
        return false;
    }
    alarm->started = true;
    return true;
}

void cm_alarm_free(struct cm_alarm *alarm)
{
    if (alarm == NULL) {
        return;
    }
    if (alarm->started) {
        (void)pthread_mutex_lock(&alarm->mutex);
        atomic_store(&alarm->stopping, true);
        (void)pthread_cond_signal(&alarm->wake);
        (void)pthread_mutex_unlock(&alarm->mutex);
        (void)pthread_join(alarm->thread, NULL); /* the thread exists and is joined once */
    }
    (void)pthread_cond_destroy(&alarm->wake);
    (void)pthread_mutex_destroy(&alarm->mutex);
    free(alarm);
}

struct cm_alarm_counts cm_alarm_counts(const struct cm_alarm *alarm)
{
    return (struct cm_alarm_counts){.raised = atomic_load(&alarm->raised),
                                    .mailed = atomic_load(&alarm->mailed),
                                    .failed = atomic_load(&alarm->failed)};
}
