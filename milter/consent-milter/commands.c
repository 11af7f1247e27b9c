/* status, reload, observe, enforce, drain: each with a result, unlike a signal. */
#include "commands.h"

#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "callbacks.h"
#include "ops/log.h"
#include "service/declaration.h"

#define POLL_MS 20

static json_t *fail(const char *text)
{
    return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static const char *mode_name(enum cm_mode mode)
{
    return mode == CM_MODE_OBSERVE ? "observe" : "enforce";
}

static json_t *describe_streams(struct cm_filter *filter, const struct cm_generation *generation)
{
    json_t *modes = json_object();
    const struct cm_stream_table *table = &generation->settings->streams;
    for (size_t i = 0; i < table->count; i++) {
        (void)json_object_set_new(modes, table->streams[i].name,
                                  json_string(mode_name(cm_filter_mode(filter, generation, i)))); /* or a name less */
    }
    return modes;
}

static json_t *describe_reload(struct cm_reloader *reloader)
{
    struct cm_reload_status last;
    char at[CM_TIME_TEXT_BYTES];
    cm_reload_last(reloader, &last);
    if (last.at == 0) {
        return json_null();
    }
    cm_time_format(last.at, at);
    return json_pack("{s:s, s:b, s:s}", "at", at, "ok", (int)last.ok, "error", last.ok ? "" : last.err.text);
}

static json_t *describe_macros(void)
{
    json_t *stages = json_object();
    struct cm_door_macro macro;
    for (size_t i = 0; cm_door_macro_at(i, &macro); i++) {
        json_t *stage = json_object_get(stages, macro.stage);
        if (stage == NULL) {
            stage = json_object();
            (void)json_object_set_new(stages, macro.stage, stage); /* without memory the answer lacks it */
        }
        (void)json_object_set_new(stage, macro.name, json_integer((json_int_t)macro.seen));
    }
    struct cm_door_counts counts = cm_door_counts();
    (void)json_object_set_new(stages, "sessions", json_integer((json_int_t)counts.sessions_total));
    (void)json_object_set_new(stages, "messages", json_integer((json_int_t)counts.messages_total));
    (void)json_object_set_new(stages, "rcpts", json_integer((json_int_t)counts.rcpts_total));
    return stages;
}

static json_t *status(const struct cm_commands *commands, const char *caller, const json_t *request)
{
    (void)request;
    (void)caller;
    char at[CM_TIME_TEXT_BYTES];
    struct cm_door_counts counts = cm_door_counts();
    struct cm_generation *generation = cm_filter_generation(commands->filter);
    cm_time_format(generation->loaded_at, at);
    json_t *answer = json_pack(
        "{s:b, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:i, s:b, s:o, s:o}", "ok", 1, "version",
        CM_VERSION, "pid", (int)getpid(), "generation", (int)generation->number, "file", generation->settings->file,
        "sha256", generation->settings->sha256, "loaded_at", at, "mode",
        mode_name(cm_filter_mode(commands->filter, generation, CM_NO_STREAM)), "streams",
        describe_streams(commands->filter, generation), "sessions", (json_int_t)counts.sessions, "sessions_ceiling",
        (json_int_t)generation->settings->limits.sessions, "sessions_refused", (json_int_t)counts.sessions_refused,
        "transactions", cm_door_transactions(), "draining", (int)cm_door_is_stopping(), "last_reload",
        describe_reload(commands->reloader), "macros", describe_macros());
    cm_generation_unref(generation);
    return answer;
}

static json_t *reload(const struct cm_commands *commands, const char *caller, const json_t *request)
{
    struct cm_err err = {{0}};
    (void)request;
    (void)caller;
    return cm_reload(commands->reloader, &err) ? status(commands, caller, request) : fail(err.text);
}

/* LAW-16: what was changed by hand, and by whom. */
static void note(const struct cm_commands *commands, const char *what, const char *stream, const char *caller)
{
    struct cm_err err = {{0}};
    json_t *document = json_pack("{s:s, s:s, s:s, s:s}", "note", "daemon", "actor", caller, "command", what, "stream",
                                 stream != NULL ? stream : "*");
    struct cm_declaration *declaration = cm_declaration_of_note(document, &err);
    if (declaration == NULL) {
        cm_log(CM_LOG_WARNING, "%s is not in the ledger: %s", what, err.text);
    }
    cm_recorder_note(commands->recorder, declaration);
    cm_log(CM_LOG_NOTICE, "%s said: %s stream=%s", caller, what, stream != NULL ? stream : "*");
}

static bool is_stream(struct cm_filter *filter, const char *name)
{
    bool found = false;
    struct cm_generation *generation = cm_filter_generation(filter);
    const struct cm_stream_table *table = &generation->settings->streams;
    for (size_t i = 0; i < table->count; i++) {
        found = found || strcmp(table->streams[i].name, name) == 0;
    }
    cm_generation_unref(generation);
    return found;
}

static json_t *set_mode(const struct cm_commands *commands, const char *caller, const json_t *request,
                        enum cm_mode mode)
{
    const char *stream = json_string_value(json_object_get(request, "stream"));
    if (stream != NULL && !is_stream(commands->filter, stream)) {
        return fail("no stream of that name is configured");
    }
    if (!cm_filter_override(commands->filter, stream, mode)) {
        return fail("out of memory");
    }
    note(commands, mode_name(mode), stream, caller);
    return status(commands, caller, request);
}

static json_t *observe(const struct cm_commands *commands, const char *caller, const json_t *request)
{
    return set_mode(commands, caller, request, CM_MODE_OBSERVE);
}

static json_t *enforce(const struct cm_commands *commands, const char *caller, const json_t *request)
{
    return set_mode(commands, caller, request, CM_MODE_ENFORCE);
}

/* New messages are deferred from now on; waits for those under way, so that the daemon can be stopped without any. */
static json_t *drain(const struct cm_commands *commands, const char *caller, const json_t *request)
{
    if (json_is_true(json_object_get(request, "end"))) {
        cm_door_resume();
        note(commands, "drain --end", NULL, caller);
        return status(commands, caller, request);
    }
    cm_door_stop();
    note(commands, "drain", NULL, caller);
    for (unsigned waited = 0; cm_door_transactions() > 0 && waited < commands->drain_s * 1000; waited += POLL_MS) {
        (void)poll(NULL, 0, POLL_MS); /* a short pause; being interrupted is as good */
    }
    return cm_door_transactions() == 0 ? status(commands, caller, request) : fail("messages are still under way");
}

char *cm_commands_answer(void *context, const char *caller, const char *request)
{
    static const struct {
        const char *name;
        json_t *(*run)(const struct cm_commands *commands, const char *caller, const json_t *request);
    } table[] = {{"status", status}, {"reload", reload}, {"observe", observe}, {"enforce", enforce}, {"drain", drain}};
    json_t *asked = json_loads(request, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(asked, "command"));
    json_t *answer = NULL;
    for (size_t i = 0; name != NULL && i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i].name, name) == 0) {
            answer = table[i].run(context, caller, asked);
            break;
        }
    }
    if (name == NULL || answer == NULL) {
        answer = fail("no such command; status, reload, observe, enforce and drain are known");
    }
    char *text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(answer);
    json_decref(asked);
    return text;
}
