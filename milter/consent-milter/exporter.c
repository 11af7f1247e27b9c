#include "exporter.h"

#include <libmilter/mfapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "callbacks.h"
#include "ops/process.h"
#include "stages.h"

#define STATUS_OK 200
#define STATUS_UNAVAILABLE 503

static void write_build(struct cm_exposition *exposition)
{
    char libmilter[32];
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
    (void)smfi_version(&major, &minor, &patch); /* cannot fail with these arguments */
    (void)snprintf(libmilter, sizeof(libmilter), "%u.%u.%u", major, minor, patch); /* it fits */
    cm_exposition_family(exposition, "consent_milter_build_info", CM_METRIC_GAUGE, "1, with versions as labels.");
    cm_exposition_count(exposition, CM_LABELS({"version", CM_VERSION}, {"libmilter", libmilter}), 1);
}

static void write_stages(struct cm_exposition *exposition)
{
    cm_exposition_family(exposition, "consent_milter_stage_duration_seconds", CM_METRIC_HISTOGRAM,
                         "How long the mail server waited for an answer, by stage.");
    for (size_t i = 0; i < CM_STAGE_COUNT; i++) {
        enum cm_stage stage = (enum cm_stage)i;
        cm_exposition_histogram(exposition, CM_LABELS({"stage", cm_stage_name(stage)}), cm_stage_times(stage));
    }
}

static void write_door(struct cm_exposition *exposition)
{
    const struct cm_door_counts counts = cm_door_counts();
    const struct {
        const char *name;
        enum cm_metric_type type;
        const char *help;
        uint64_t value;
    } rows[] = {
        {"consent_milter_sessions", CM_METRIC_GAUGE, "Connections of mail servers now.", counts.sessions},
        {"consent_milter_sessions_total", CM_METRIC_COUNTER, "Connections of mail servers.", counts.sessions_total},
        {"consent_milter_sessions_refused_total", CM_METRIC_COUNTER,
         "Connections beyond limits.sessions, whose mail was deferred.", counts.sessions_refused},
        {"consent_milter_transactions", CM_METRIC_GAUGE, "Messages that have begun and not ended.",
         (uint64_t)cm_door_transactions()},
        {"consent_milter_messages_total", CM_METRIC_COUNTER, "Messages that began.", counts.messages_total},
        {"consent_milter_recipients_total", CM_METRIC_COUNTER, "Recipients that were named, ours to judge or not.",
         counts.rcpts_total},
        {"consent_milter_draining", CM_METRIC_GAUGE, "1 while new messages are deferred so that the filter can stop.",
         cm_door_is_stopping() ? 1 : 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cm_exposition_family(exposition, rows[i].name, rows[i].type, rows[i].help);
        cm_exposition_count(exposition, CM_NO_LABELS, rows[i].value);
    }
}

static void write_reload(struct cm_reloader *reloader, struct cm_exposition *exposition)
{
    struct cm_reload_status last;
    cm_reload_last(reloader, &last);
    cm_exposition_family(exposition, "consent_milter_config_last_reload_successful", CM_METRIC_GAUGE,
                         "0 if the last reload was refused and an older configuration is in force.");
    cm_exposition_count(exposition, CM_NO_LABELS, last.at == 0 || last.ok ? 1 : 0);
    cm_exposition_family(exposition, "consent_milter_config_last_reload_timestamp_seconds", CM_METRIC_GAUGE,
                         "When the last reload was tried; 0 if there was none.");
    cm_exposition_value(exposition, CM_NO_LABELS, (double)last.at / 1e3);
}

/* Names and units as Prometheus' own clients have them. */
static void write_process(struct cm_exposition *exposition)
{
    struct cm_process_measure measure;
    cm_process_measure(&measure);
    const struct {
        const char *name;
        enum cm_metric_type type;
        const char *help;
        double value;
    } rows[] = {
        {"process_open_fds", CM_METRIC_GAUGE, "Number of open file descriptors.", (double)measure.open_descriptors},
        {"process_max_fds", CM_METRIC_GAUGE, "Maximum number of open file descriptors.",
         (double)measure.max_descriptors},
        {"process_threads", CM_METRIC_GAUGE, "Number of threads.", (double)measure.threads},
        {"process_resident_memory_bytes", CM_METRIC_GAUGE, "Resident memory size in bytes.",
         (double)measure.resident_bytes},
        {"process_cpu_seconds_total", CM_METRIC_COUNTER, "Total user and system CPU time spent in seconds.",
         measure.cpu_s},
        {"process_start_time_seconds", CM_METRIC_GAUGE, "Start time of the process since unix epoch in seconds.",
         measure.started_at_s},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cm_exposition_family(exposition, rows[i].name, rows[i].type, rows[i].help);
        cm_exposition_value(exposition, CM_NO_LABELS, rows[i].value);
    }
}

static void answer_metrics(const struct cm_exporter *exporter, struct cm_http_answer *out)
{
    struct cm_exposition exposition;
    cm_exposition_begin(&exposition);
    write_build(&exposition);
    cm_metrics_write(exporter->metrics, &exposition);
    write_door(&exposition);
    write_stages(&exposition);
    write_reload(exporter->reloader, &exposition);
    write_process(&exposition);
    out->status = STATUS_OK;
    out->type = CM_EXPOSITION_TYPE;
    out->body = cm_exposition_end(&exposition, &out->len);
}

static void answer_text(struct cm_http_answer *out, unsigned status, const char *text)
{
    out->status = status;
    out->body = strdup(text);
    out->len = strlen(text);
}

static void answer_health(const struct cm_exporter *exporter, struct cm_http_answer *out)
{
    (void)exporter;
    answer_text(out, STATUS_OK, "ok\n");
}

static void answer_readiness(const struct cm_exporter *exporter, struct cm_http_answer *out)
{
    char text[80];
    struct cm_err err;
    enum cm_trouble trouble = cm_store_probe(exporter->store, &err);
    if (trouble != CM_TROUBLE_NONE) {
        (void)snprintf(text, sizeof(text), "store: trouble=%s\n", cm_trouble_name(trouble)); /* it fits */
        answer_text(out, STATUS_UNAVAILABLE, text);
    } else if (cm_door_is_stopping()) {
        answer_text(out, STATUS_UNAVAILABLE, "draining\n");
    } else {
        answer_text(out, STATUS_OK, "ready\n");
    }
}

bool cm_exporter_answer(void *context, const char *path, struct cm_http_answer *out)
{
    static const struct {
        const char *path;
        void (*answer)(const struct cm_exporter *exporter, struct cm_http_answer *out);
    } pages[] = {{"/metrics", answer_metrics}, {"/healthz", answer_health}, {"/readyz", answer_readiness}};
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (strcmp(path, pages[i].path) == 0) {
            pages[i].answer(context, out);
            return true;
        }
    }
    return false;
}
