#include "service/metrics.h"

#include <stdlib.h>
#include <string.h>

enum { MODE_ENFORCE = 0, MODE_OBSERVE, MODE_COUNT };

static const char *const mode_names[MODE_COUNT] = {"enforce", "observe"};
static const char other[] = "other";

/* What is left of CM_METRICS_SERIES_MAX once every verdict and mode may have its series of "other". */
#define OWN_SERIES_MAX (CM_METRICS_SERIES_MAX - 3 * MODE_COUNT)

/* A series of one stream: it keeps its place once it has one. */
struct series {
    size_t row; /* of the tally */
    enum cm_reason reason;
    unsigned mode;
};

struct cm_metrics {
    struct cm_metrics_parts parts;
    struct series series[OWN_SERIES_MAX]; /* in the order in which they first counted */
    size_t series_count;
};

struct cm_metrics *cm_metrics_new(const struct cm_metrics_parts *parts)
{
    struct cm_metrics *metrics = calloc(1, sizeof(*metrics));
    if (metrics != NULL) {
        metrics->parts = *parts;
    }
    return metrics;
}

void cm_metrics_free(struct cm_metrics *metrics)
{
    free(metrics);
}

static uint64_t read_cell(struct cm_tally_row *row, enum cm_reason reason, unsigned mode)
{
    return atomic_load(mode == MODE_OBSERVE ? &row->observed[reason] : &row->applied[reason]);
}

static bool has_series(const struct cm_metrics *metrics, const struct series *wanted)
{
    for (size_t i = 0; i < metrics->series_count; i++) {
        const struct series *own = &metrics->series[i];
        if (own->row == wanted->row && own->reason == wanted->reason && own->mode == wanted->mode) {
            return true;
        }
    }
    return false;
}

static void write_decision(struct cm_exposition *exposition, const char *stream, enum cm_verdict verdict,
                           const char *reason, unsigned mode, uint64_t count)
{
    cm_exposition_count(exposition,
                        CM_LABELS({"stream", stream}, {"verdict", cm_verdict_name(verdict)}, {"reason", reason},
                                  {"mode", mode_names[mode]}),
                        count);
}

/* Gives a place to each cell that counts and has none, and adds up by verdict and mode what finds none. */
static void gather(struct cm_metrics *metrics, uint64_t rest[CM_VERDICT_DEFER + 1][MODE_COUNT])
{
    struct cm_tally_row *row;
    for (size_t r = 0; (row = cm_tally_at(metrics->parts.tally, r)) != NULL; r++) {
        for (size_t i = 1; i < CM_REASON_COUNT; i++) {
            for (unsigned mode = 0; mode < MODE_COUNT; mode++) {
                const struct series cell = {r, (enum cm_reason)i, mode};
                uint64_t count = read_cell(row, cell.reason, mode);
                if (count == 0 || has_series(metrics, &cell)) {
                    continue;
                }
                if (metrics->series_count < OWN_SERIES_MAX) {
                    metrics->series[metrics->series_count++] = cell;
                } else {
                    rest[cm_reason_verdict(cell.reason)][mode] += count;
                }
            }
        }
    }
}

static void write_decisions(struct cm_metrics *metrics, struct cm_exposition *exposition)
{
    uint64_t rest[CM_VERDICT_DEFER + 1][MODE_COUNT] = {{0}};
    gather(metrics, rest);
    cm_exposition_family(exposition, "consent_milter_decisions_total", CM_METRIC_COUNTER,
                         "Decisions, one for a recipient or for a message that was judged as a whole.");
    for (size_t i = 0; i < metrics->series_count; i++) {
        const struct series *own = &metrics->series[i];
        struct cm_tally_row *row = cm_tally_at(metrics->parts.tally, own->row);
        write_decision(exposition, row->name, cm_reason_verdict(own->reason), cm_reason_name(own->reason), own->mode,
                       read_cell(row, own->reason, own->mode));
    }
    for (size_t verdict = CM_VERDICT_ACCEPT; verdict <= CM_VERDICT_DEFER; verdict++) {
        for (unsigned mode = 0; mode < MODE_COUNT; mode++) {
            if (rest[verdict][mode] > 0) {
                write_decision(exposition, other, (enum cm_verdict)verdict, other, mode, rest[verdict][mode]);
            }
        }
    }
}

/* All of them from the start: what never happened is 0, so that a rate shows its first time. */
static void write_causes(const struct cm_metrics *metrics, struct cm_exposition *exposition)
{
    cm_exposition_family(exposition, "consent_milter_store_troubles_total", CM_METRIC_COUNTER,
                         "Decisions that were \"don't know\" because of the store, by cause.");
    for (size_t i = CM_TROUBLE_NONE + 1; i < CM_TROUBLE_COUNT; i++) {
        enum cm_trouble trouble = (enum cm_trouble)i;
        cm_exposition_count(exposition, CM_LABELS({"trouble", cm_trouble_name(trouble)}),
                            cm_tally_troubles(metrics->parts.tally, trouble));
    }
    cm_exposition_family(exposition, "consent_milter_message_limits_reached_total", CM_METRIC_COUNTER,
                         "Messages and recipients that were deferred because of a ceiling of one message.");
    for (size_t i = CM_CEILING_NONE + 1; i < CM_CEILING_COUNT; i++) {
        enum cm_ceiling ceiling = (enum cm_ceiling)i;
        cm_exposition_count(exposition, CM_LABELS({"limit", cm_ceiling_name(ceiling)}),
                            cm_tally_ceilings(metrics->parts.tally, ceiling));
    }
}

static void write_gauge(struct cm_exposition *exposition, const char *name, const char *help, uint64_t value)
{
    cm_exposition_family(exposition, name, CM_METRIC_GAUGE, help);
    cm_exposition_count(exposition, CM_NO_LABELS, value);
}

static void write_store(const struct cm_metrics *metrics, struct cm_exposition *exposition)
{
    struct cm_store_state state;
    cm_store_state(metrics->parts.store, &state);
    write_gauge(exposition, "consent_milter_store_up",
                "1 if the last look-up was answered, or if there was none yet; 0 if it met trouble.",
                state.trouble == CM_TROUBLE_NONE || state.trouble == CM_TROUBLE_UNSET ? 1 : 0);
    write_gauge(exposition, "consent_milter_store_breaker_open",
                "1 while look-ups are refused at once because the store fails.", state.breaker_is_open ? 1 : 0);
    write_gauge(exposition, "consent_milter_store_examined",
                "1 if the doctor found this run of Redis fit, 0 if nobody has examined it.",
                cm_store_doctor_is_missing(metrics->parts.store) ? 0 : 1);
    cm_exposition_family(exposition, "consent_milter_store_connections", CM_METRIC_GAUGE,
                         "Connections of the pool, by what they do.");
    cm_exposition_count(exposition, CM_LABELS({"state", "busy"}), state.busy);
    cm_exposition_count(exposition, CM_LABELS({"state", "idle"}), state.open - state.busy);
    write_gauge(exposition, "consent_milter_store_connections_max", "Connections of the pool at most (store.pool).",
                state.max);
    write_gauge(exposition, "consent_milter_store_waiting", "Look-ups that wait for a connection.", state.waiting);
    cm_exposition_family(exposition, "consent_milter_lookup_duration_seconds", CM_METRIC_HISTOGRAM,
                         "How long look-ups in the store took, whatever their answer.");
    cm_exposition_histogram(exposition, NULL, cm_store_latency(metrics->parts.store));
}

static void write_recorder(const struct cm_metrics *metrics, struct cm_exposition *exposition)
{
    struct cm_recorder_state state;
    cm_recorder_state(metrics->parts.recorder, &state);
    cm_exposition_family(exposition, "consent_milter_recorder_queued", CM_METRIC_GAUGE,
                         "What waits to be written to the store.");
    cm_exposition_count(exposition, CM_LABELS({"kind", "refusal"}), state.refusals);
    cm_exposition_count(exposition, CM_LABELS({"kind", "use"}), state.uses);
    cm_exposition_count(exposition, CM_LABELS({"kind", "note"}), state.notes);
    cm_exposition_family(exposition, "consent_milter_recorder_lost_total", CM_METRIC_COUNTER,
                         "What found no room to wait, or may be written already and was not written again.");
    cm_exposition_count(exposition, CM_LABELS({"kind", "refusal"}), state.lost_refusals);
    cm_exposition_count(exposition, CM_LABELS({"kind", "use"}), state.lost_uses);
    cm_exposition_count(exposition, CM_LABELS({"kind", "note"}), state.lost_notes);
}

static void write_canaries(const struct cm_metrics *metrics, struct cm_exposition *exposition)
{
    struct cm_alarm_counts counts = cm_alarm_counts(metrics->parts.alarm);
    cm_exposition_family(exposition, "consent_milter_canary_recipients_total", CM_METRIC_COUNTER,
                         "Recipients of marketing mail that are canaries.");
    cm_exposition_count(exposition, CM_NO_LABELS, counts.raised);
    cm_exposition_family(exposition, "consent_milter_alarm_mails_total", CM_METRIC_COUNTER,
                         "Mails to the officer about canaries, by what came of them.");
    cm_exposition_count(exposition, CM_LABELS({"result", "sent"}), counts.mailed);
    cm_exposition_count(exposition, CM_LABELS({"result", "failed"}), counts.failed);
}

static void write_configuration(const struct cm_metrics *metrics, struct cm_exposition *exposition)
{
    struct cm_generation *generation = cm_filter_generation(metrics->parts.filter);
    enum cm_mode mode = cm_filter_mode(metrics->parts.filter, generation, CM_NO_STREAM);
    write_gauge(exposition, "consent_milter_config_generation", "Number of the configuration that is in force.",
                generation->number);
    cm_exposition_family(exposition, "consent_milter_config_loaded_timestamp_seconds", CM_METRIC_GAUGE,
                         "When the configuration that is in force was loaded.");
    cm_exposition_value(exposition, CM_NO_LABELS, (double)generation->loaded_at / 1e3);
    write_gauge(exposition, "consent_milter_streams", "Streams of the configuration.",
                generation->settings->streams.count);
    write_gauge(exposition, "consent_milter_observing", "1 while nothing is refused, whatever is decided.",
                mode == CM_MODE_OBSERVE ? 1 : 0);
    cm_generation_unref(generation);
}

void cm_metrics_write(struct cm_metrics *metrics, struct cm_exposition *exposition)
{
    write_decisions(metrics, exposition);
    write_causes(metrics, exposition);
    write_store(metrics, exposition);
    write_recorder(metrics, exposition);
    write_canaries(metrics, exposition);
    write_configuration(metrics, exposition);
}
