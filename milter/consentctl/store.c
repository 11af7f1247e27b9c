/* store status, store accept. */
#include <stdlib.h>
#include <string.h>

#include "consentctl.h"
#include "store/admin.h"
#include "store/beat.h"

#define NOTES_SHOWN 10

static void show_beat(const struct context *context, const struct cm_beats *beats, const struct cm_kept_beat *beat)
{
    const char *state = cm_beat_state_name(beat->state);
    bool is_here = memcmp(&beat->incarnation, &beats->incarnation, sizeof(beat->incarnation)) == 0;
    char at[CM_TIME_TEXT_BYTES];
    cm_time_format(beat->at, at);
    cm_ctl_say(context, "keeper %s: %s since %s (%lld ms ago)%s, journal %llu", beat->keeper,
               state != NULL ? state : "a beat that cannot be read", at, (long long)(beats->now - beat->at),
               is_here || beat->state == CM_BEAT_RETIRED ? "" : ", for another incarnation of Redis",
               (unsigned long long)beat->journal);
    cm_ctl_emit(context,
                json_pack("{s:s, s:s, s:s, s:I, s:b, s:I}", "keeper", beat->keeper, "state",
                          state != NULL ? state : "unreadable", "at", at, "age_ms", (json_int_t)(beats->now - beat->at),
                          "this_incarnation", is_here, "journal", (json_int_t)beat->journal));
}

struct notes {
    const struct context *context;
    size_t count;
};

static bool show_note(void *opaque, cm_ms at, struct cm_span document)
{
    struct notes *notes = opaque;
    char text[CM_TIME_TEXT_BYTES];
    cm_time_format(at, text);
    cm_ctl_say(notes->context, "note %s %.*s", text, (int)document.len, document.p);
    cm_ctl_emit(notes->context,
                json_pack("{s:s, s:o?}", "at", text, "note", json_loadb(document.p, document.len, 0, NULL)));
    return ++notes->count < NOTES_SHOWN;
}

int cm_ctl_store_status(struct context *context)
{
    struct cm_err err;
    struct cm_beats beats;
    struct notes notes = {.context = context};
    enum cm_trouble trouble = cm_store_beats(context->store, &beats, &err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_ctl_say(context, "store %s, Redis run %s", context->keys.store_id, beats.incarnation.run_id);
        cm_ctl_emit(context, json_pack("{s:s, s:s, s:s}", "store", context->keys.store_id, "run_id",
                                       beats.incarnation.run_id, "replication_id", beats.incarnation.replication_id));
        for (size_t i = 0; i < beats.count; i++) {
            show_beat(context, &beats, &beats.beats[i]);
        }
        trouble = cm_store_notes(context->store, show_note, &notes, &err);
    }
    return trouble == CM_TROUBLE_NONE ? EX_OK : cm_ctl_fail_trouble(trouble, &err);
}

/* LAW-12: the only way past it, so it asks for a reason and leaves a note. */
int cm_ctl_store_accept(struct context *context)
{
    const struct options *options = context->options;
    const char *keeper = options->words[0];
    struct cm_err err;
    if (options->retire == options->readmit || options->reason == NULL) {
        return cm_ctl_fail(EX_USAGE,
                           "store accept needs --reason and one of --retire (the keeper will not come back: what "
                           "only its journal held is lost) and --readmit (it begins a new journal, its old one "
                           "is lost)");
    }
    if (!cm_purpose_path_is_valid(cm_span_of(keeper)) || strchr(keeper, '/') != NULL ||
        strlen(keeper) > CM_LIMIT_KEEPER_NAME_BYTES) {
        return cm_ctl_fail(EX_USAGE, "%s is no keeper's name: use a-z, 0-9, '.', '_' and '-'", keeper);
    }
    json_t *note = json_pack("{s:s, s:s, s:s, s:s}", "note", options->retire ? "keeper_retire" : "keeper_readmit",
                             "actor", context->actor, "keeper", keeper, "reason", options->reason);
    char *document = note != NULL ? json_dumps(note, JSON_COMPACT) : NULL;
    json_decref(note);
    if (document == NULL) {
        return cm_ctl_fail(EX_USAGE, "--reason must be UTF-8");
    }
    enum cm_trouble trouble = cm_store_accept(context->store, keeper, options->retire, cm_span_of(document), &err);
    free(document);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    cm_ctl_say(context, "keeper %s %s: filters %s", keeper, options->retire ? "retired" : "readmitted",
               options->retire ? "no longer need its beat" : "wait for its next beat");
    cm_ctl_emit(context, json_pack("{s:s, s:s}", "keeper", keeper, "accepted", options->retire ? "retire" : "readmit"));
    return EX_OK;
}
