/*
 * What the HTTP port of the filter shows (ops/http.h):
 *   /metrics  Prometheus' text
 *   /healthz  200 while the process answers
 *   /readyz   200 if mail can be judged now: a look-up in the store is answered and no drain is under way; else 503
 *             with the cause
 */
#ifndef CONSENT_MILTER_EXPORTER_H
#define CONSENT_MILTER_EXPORTER_H

#include "ops/http.h"
#include "reload.h"
#include "service/metrics.h"

struct cm_exporter {
    struct cm_metrics *metrics;
    struct cm_store *store; /* of the look-ups */
    struct cm_reloader *reloader;
};

/* A cm_http_handler; `context` is a struct cm_exporter. */
bool cm_exporter_answer(void *context, const char *path, struct cm_http_answer *out);

#endif
