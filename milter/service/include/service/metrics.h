/*
 * What the filter counts, as Prometheus reads it: decisions by stream and reason, troubles, ceilings, the store and its
 * pool, the recorder, canaries and the configuration. What only the process knows is added by the program.
 *
 * Label values are words of ours and names of streams, never anything of a message. A family has at most
 * CM_METRICS_SERIES_MAX series: once they are taken, decisions of further streams are told under the stream "other". A
 * series that was told once is told for ever, so that none goes back.
 */
#ifndef SERVICE_METRICS_H
#define SERVICE_METRICS_H

#include "ops/exposition.h"
#include "service/session.h"

#define CM_METRICS_SERIES_MAX 200

struct cm_metrics_parts {
    struct cm_filter *filter;
    struct cm_tally *tally;
    struct cm_store *store; /* of the look-ups */
    struct cm_recorder *recorder;
    struct cm_alarm *alarm;
};

struct cm_metrics;

/* Borrows what the parts name. NULL without memory. */
struct cm_metrics *cm_metrics_new(const struct cm_metrics_parts *parts);
void cm_metrics_free(struct cm_metrics *metrics);

/* Writes all families. For one thread at a time. */
void cm_metrics_write(struct cm_metrics *metrics, struct cm_exposition *exposition);

#endif
