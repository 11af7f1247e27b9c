#include "chores.h"

#include <stdlib.h>
#include <string.h>

#include "ops/log.h"
#include "service/open.h"
#include "store/uses.h"

#define DOCTOR_EVERY_MS 60000
#define COMPARE_EVERY_MS 5000
#define EXPIRE_EVERY_MS 3600000
#define USES_EVERY_MS 1000 /* a window of the partitions each: all of them in a quarter of a minute */
#define DAY_S 86400

/* Tells what is bad when it changes. */
static void tell(struct cm_chores *chores, const struct cm_findings *findings)
{
    unsigned bad = 0;
    for (size_t i = 0; i < findings->count; i++) {
        if (findings->rows[i].health == CM_HEALTH_BAD) {
            bad = bad * 31 + (unsigned)i + 1;
        }
    }
    for (size_t i = 0; bad != chores->bad && i < findings->count; i++) {
        const struct cm_finding *row = &findings->rows[i];
        if (row->health == CM_HEALTH_BAD) {
            cm_log(CM_LOG_ERROR, "doctor: %s: %s. %s", row->name, row->found, row->advice);
        }
    }
    if (bad == 0 && chores->bad != 0) {
        cm_log(CM_LOG_NOTICE, "doctor: nothing is bad any more");
    }
    chores->bad = bad;
}

static void call_doctor(struct cm_chores *chores)
{
    struct cm_err err;
    struct cm_findings *findings = calloc(1, sizeof(*findings));
    if (chores->doctor_store == NULL) {
        chores->doctor_store = cm_open_store(chores->settings, chores->keys, 1, &err);
    }
    if (findings == NULL || chores->doctor_store == NULL) {
        cm_log(CM_LOG_WARNING, "the doctor is not called: %s", findings == NULL ? "out of memory" : err.text);
        free(findings);
        return;
    }
    enum cm_trouble trouble = cm_doctor_run(chores->doctor_store, chores->settings, findings, &err);
    if (trouble == CM_TROUBLE_NONE) {
        tell(chores, findings);
    } else {
        cm_log(CM_LOG_WARNING, "the doctor got no answer: %s", err.text);
    }
    free(findings);
}

/* A replication id changes also under a connection that goes on: a new connection sees the new one, and so do filters.
 */
static void compare(struct cm_chores *chores, const struct cm_incarnation *followed, struct cm_store **store)
{
    struct cm_err err;
    struct cm_beats *beats = malloc(sizeof(*beats));
    struct cm_store *fresh = cm_open_store(chores->settings, chores->keys, 1, &err);
    if (beats != NULL && fresh != NULL && cm_store_beats(fresh, beats, &err) == CM_TROUBLE_NONE &&
        !cm_incarnation_is_same(&beats->incarnation, followed)) {
        cm_log(CM_LOG_NOTICE, "the store has become another incarnation under an open connection");
        struct cm_store *old = *store;
        *store = fresh;
        fresh = old;
    }
    cm_store_free(fresh);
    free(beats);
}

/* Marks what the filters have left, so that a purpose with dormancy knows its grants are used. */
static void mark_uses(struct cm_chores *chores, struct cm_store *store)
{
    struct cm_err err;
    enum cm_trouble trouble = cm_store_mark_uses(store, chores->uses_from, CM_USES_WINDOW, &err);
    chores->uses_from = (chores->uses_from + CM_USES_WINDOW) % CM_PARTITIONS;
    if (trouble != CM_TROUBLE_NONE && trouble != chores->uses_trouble) {
        cm_log(CM_LOG_WARNING, "uses of consent cannot be marked: trouble=%s: %s", cm_trouble_name(trouble), err.text);
    }
    chores->uses_trouble = trouble;
}

void cm_chores_do(struct cm_chores *chores, struct cm_keeper *keeper, struct cm_store **store, int64_t now_ms,
                  int64_t now_s)
{
    struct cm_incarnation incarnation;
    struct cm_err err;
    if (!cm_keeper_is_beating(keeper, &incarnation)) {
        return;
    }
    if (now_ms >= chores->doctor_at_ms || !cm_incarnation_is_same(&chores->examined, &incarnation)) {
        chores->doctor_at_ms = now_ms + DOCTOR_EVERY_MS;
        chores->examined = incarnation;
        call_doctor(chores);
    }
    if (now_ms >= chores->compare_at_ms) {
        chores->compare_at_ms = now_ms + COMPARE_EVERY_MS;
        compare(chores, &incarnation, store);
    }
    if (now_ms >= chores->uses_at_ms) {
        chores->uses_at_ms = now_ms + USES_EVERY_MS;
        mark_uses(chores, *store);
    }
    if (now_ms >= chores->expire_at_ms) {
        chores->expire_at_ms = now_ms + EXPIRE_EVERY_MS;
        if (!cm_keeper_expire(keeper, now_s - (int64_t)chores->settings->keeper.retain_days * DAY_S, &err)) {
            cm_log(CM_LOG_ERROR, "old files of the journal cannot be removed: %s", err.text);
        }
    }
}

void cm_chores_done(struct cm_chores *chores)
{
    cm_store_free(chores->doctor_store);
}
