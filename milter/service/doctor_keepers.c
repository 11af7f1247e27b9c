/* The keepers' beats (LAW-12), as the doctor sees them: who is waited for, who beats, and where the two differ. */
#include <string.h>

#include "service/doctor.h"

#define NAME "keeper"

static const struct cm_kept_beat *find_beat(const struct cm_beats *beats, const char *keeper)
{
    for (size_t i = 0; i < beats->count; i++) {
        if (strcmp(beats->beats[i].keeper, keeper) == 0) {
            return &beats->beats[i];
        }
    }
    return NULL;
}

static bool is_configured(const struct cm_doctor_facts *facts, const char *keeper)
{
    for (size_t i = 0; i < facts->keeper_count; i++) {
        if (strcmp(facts->keepers[i], keeper) == 0) {
            return true;
        }
    }
    return false;
}

/* One that filters wait for, and that has beaten. */
static void judge_beat(const struct cm_beats *beats, const struct cm_kept_beat *beat, struct cm_findings *findings)
{
    const char *advice = cm_trouble_advice(CM_TROUBLE_BEAT_STALE);
    long long age = (long long)(beats->now - beat->at);
    if (beat->state == CM_BEAT_UNSET) {
        cm_findings_add(findings, NAME, CM_HEALTH_BAD, cm_trouble_advice(CM_TROUBLE_MALFORMED),
                        "%s: its beat cannot be read; filters defer", beat->keeper);
    } else if (beat->state == CM_BEAT_RETIRED) {
        cm_findings_add(findings, NAME, CM_HEALTH_WARN, "Take it out of `keepers` in all filters' configurations.",
                        "%s was retired by `consentctl store accept`", beat->keeper);
    } else if (!cm_incarnation_is_same(&beat->incarnation, &beats->incarnation)) {
        cm_findings_add(findings, NAME, CM_HEALTH_BAD, advice,
                        "%s has not beaten since Redis was started or replaced; filters defer", beat->keeper);
    } else if (beat->state == CM_BEAT_OFF && age < CM_BEAT_OFF_MS) {
        cm_findings_add(findings, NAME, CM_HEALTH_GOOD, "", "%s has signed off", beat->keeper);
    } else if (age >= CM_BEAT_FRESH_MS) {
        cm_findings_add(findings, NAME, CM_HEALTH_BAD, advice, "%s has last beaten %lld ms ago; filters defer",
                        beat->keeper, age);
    } else {
        cm_findings_add(findings, NAME, CM_HEALTH_GOOD, "", "%s beats", beat->keeper);
    }
}

void cm_doctor_judge_keepers(const struct cm_doctor_facts *facts, struct cm_findings *findings)
{
    const struct cm_beats *beats = &facts->beats;
    if (!facts->beats_known) {
        cm_findings_add(findings, NAME, CM_HEALTH_UNKNOWN, "See the other findings.", "their beats cannot be read");
        return;
    }
    if (facts->keeper_count == 0) {
        cm_findings_add(findings, NAME, CM_HEALTH_WARN,
                        "Run consent-keeper on each host that takes withdrawals and name all of them in `keepers`: "
                        "without beats a filter does not notice a store that lost its last writes.",
                        "`keepers` is empty: filters of this configuration wait for no beat");
    }
    for (size_t i = 0; i < facts->keeper_count; i++) {
        const struct cm_kept_beat *beat = find_beat(beats, facts->keepers[i]);
        if (beat != NULL) {
            judge_beat(beats, beat, findings);
        } else {
            cm_findings_add(findings, NAME, CM_HEALTH_BAD, cm_trouble_advice(CM_TROUBLE_BEAT_MISSING),
                            "%s has never beaten in this store; filters defer", facts->keepers[i]);
        }
    }
    for (size_t i = 0; i < beats->count; i++) {
        if (!is_configured(facts, beats->beats[i].keeper) && beats->beats[i].state != CM_BEAT_RETIRED) {
            cm_findings_add(findings, NAME, CM_HEALTH_WARN,
                            "Add it to `keepers` in all filters' configurations, or retire it by `consentctl store "
                            "accept`.",
                            "%s beats or has beaten here, but is not in `keepers` of this configuration",
                            beats->beats[i].keeper);
        }
    }
    if (beats->left_off > 0) {
        cm_findings_add(findings, NAME, CM_HEALTH_UNKNOWN, "Retire the keepers that are gone.",
                        "there are beats of %zu keepers more than were looked at", beats->left_off);
    }
}
