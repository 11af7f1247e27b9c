/* keeper status, keeper replay. */
#include "consentctl.h"
#include "service/writer_keeper.h"
#include "store/beat.h"

static int tell(const struct context *context, const struct cm_keeper_report *report)
{
    cm_ctl_say(context, "keeper %s: %s%s%s", report->keeper, report->state, report->trouble[0] != '\0' ? ", " : "",
               report->trouble);
    if (report->incarnation.run_id[0] != '\0') {
        cm_ctl_say(context, "follows Redis run %s, replication %s", report->incarnation.run_id,
                   report->incarnation.replication_id);
    }
    if (report->beat_age_ms >= 0) {
        cm_ctl_say(context, "last beat %lld ms ago", (long long)report->beat_age_ms);
    }
    cm_ctl_say(context, "journal %llu to %llu: %llu acts, %llu of them not in the store yet",
               (unsigned long long)report->first, (unsigned long long)report->last, (unsigned long long)report->acts,
               (unsigned long long)report->pending);
    cm_ctl_emit(context, json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "keeper", report->keeper,
                                   "state", report->state, "trouble", report->trouble, "run_id",
                                   report->incarnation.run_id, "replication_id", report->incarnation.replication_id,
                                   "beat_age_ms", (json_int_t)report->beat_age_ms, "first", (json_int_t)report->first,
                                   "last", (json_int_t)report->last, "acts", (json_int_t)report->acts, "pending",
                                   (json_int_t)report->pending));
    return EX_OK;
}

static int ask(struct context *context, enum cm_keeper_wish wish)
{
    struct cm_keeper_report report;
    struct cm_err err;
    const struct cm_keeper_settings *keeper = &context->settings->keeper;
    if (keeper->name == NULL) {
        return cm_ctl_fail(EX_CONFIG, "keeper.name is not set: no keeper is configured on this host");
    }
    return cm_keeper_ask(keeper->socket, wish, &report, &err) ? tell(context, &report)
                                                              : cm_ctl_fail(EX_UNAVAILABLE, "%s", err.text);
}

int cm_ctl_keeper_replay(struct context *context)
{
    return ask(context, CM_KEEPER_REPLAY_ALL);
}

/* The keepers of all hosts, as the store knows them. */
static int tell_known(struct context *context)
{
    struct cm_beats beats;
    struct cm_err err;
    enum cm_trouble trouble = cm_store_beats(context->store, &beats, &err);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    for (size_t i = 0; i < beats.count; i++) {
        const struct cm_kept_beat *beat = &beats.beats[i];
        const char *state = cm_beat_state_name(beat->state);
        bool is_here = cm_incarnation_is_same(&beat->incarnation, &beats.incarnation);
        cm_ctl_say(context, "the store knows %s: %s, %lld ms ago%s", beat->keeper, state != NULL ? state : "unreadable",
                   (long long)(beats.now - beat->at), is_here ? "" : ", of another incarnation");
        cm_ctl_emit(context,
                    json_pack("{s:s, s:s, s:I, s:b, s:I}", "known", beat->keeper, "state",
                              state != NULL ? state : "unreadable", "age_ms", (json_int_t)(beats.now - beat->at),
                              "this_incarnation", (int)is_here, "journal", (json_int_t)beat->journal));
    }
    return EX_OK;
}

int cm_ctl_keeper_status(struct context *context)
{
    int code = ask(context, CM_KEEPER_STATUS);
    int known = tell_known(context);
    return code != EX_OK ? code : known;
}
