/* status, reload, observe, enforce, drain: each with a result, unlike a signal. */
#include "commands.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "callbacks.h"
#include "command_request.h"
#include "macros.h"
#include "ops/log.h"
#include "service/declaration.h"

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

static json_t *describe_store(struct cm_store *store)
{
    struct cm_store_state state;
    cm_store_state(store, &state);
    const char *trouble = state.trouble == CM_TROUBLE_UNSET ? "not asked yet" : cm_trouble_name(state.trouble);
    return json_pack("{s:s, s:b, s:i, s:i, s:i, s:i}", "trouble", trouble, "breaker_open", (int)state.breaker_is_open,
                     "connections", (int)state.open, "busy", (int)state.busy, "waiting", (int)state.waiting,
                     "connections_max", (int)state.max);
}

static json_t *describe_macros(void)
{
    json_t *stages = json_object();
    for (size_t i = 0; i < CM_MACRO_COUNT; i++) {
        struct cm_macro_count macro = cm_macro_count((enum cm_macro)i);
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

static json_t *status(const struct cm_commands *commands, const char *caller, const struct cm_command_request *request)
{
    (void)request;
    (void)caller;
    char at[CM_TIME_TEXT_BYTES];
    struct cm_door_counts counts = cm_door_counts();
    struct cm_generation *generation = cm_filter_generation(commands->filter);
    cm_time_format(generation->loaded_at, at);
    json_t *answer = json_pack(
        "{s:b, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:i, s:b, s:o, s:o, s:o}", "ok", 1, "version",
        CM_VERSION, "pid", (int)getpid(), "generation", (int)generation->number, "file", generation->settings->file,
        "sha256", generation->settings->sha256, "loaded_at", at, "mode",
        mode_name(cm_filter_mode(commands->filter, generation, CM_NO_STREAM)), "streams",
        describe_streams(commands->filter, generation), "sessions", (json_int_t)counts.sessions, "sessions_ceiling",
        (json_int_t)generation->settings->limits.sessions, "sessions_refused", (json_int_t)counts.sessions_refused,
        "transactions", cm_door_transactions(), "draining", (int)cm_door_is_stopping(), "last_reload",
        describe_reload(commands->reloader), "store", describe_store(commands->store), "macros", describe_macros());
    cm_generation_unref(generation);
    return answer;
}

static json_t *reload(const struct cm_commands *commands, const char *caller, const struct cm_command_request *request)
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

static json_t *set_mode(const struct cm_commands *commands, const char *caller,
                        const struct cm_command_request *request, enum cm_mode mode)
{
    const char *stream = request->has_stream ? request->stream : NULL;
    if (stream != NULL && !is_stream(commands->filter, stream)) {
        return fail("no stream of that name is configured");
    }
    if (!cm_filter_override(commands->filter, stream, mode)) {
        return fail("out of memory");
    }
    note(commands, mode_name(mode), stream, caller);
    return status(commands, caller, request);
}

static json_t *observe(const struct cm_commands *commands, const char *caller, const struct cm_command_request *request)
{
    return set_mode(commands, caller, request, CM_MODE_OBSERVE);
}

static json_t *enforce(const struct cm_commands *commands, const char *caller, const struct cm_command_request *request)
{
    return set_mode(commands, caller, request, CM_MODE_ENFORCE);
}

/* New messages are deferred from now on. Whoever wants to know when those under way have ended asks for the status. */
static json_t *drain(const struct cm_commands *commands, const char *caller, const struct cm_command_request *request)
{
    if (request->end) {
        cm_door_resume();
    } else {
        cm_door_stop();
    }
    note(commands, request->end ? "drain --end" : "drain", NULL, caller);
    return status(commands, caller, request);
}

char *cm_commands_answer(void *context, const char *caller, const char *request)
{
    static json_t *(*const table[CM_COMMAND_COUNT])(const struct cm_commands *commands, const char *caller,
                                                    const struct cm_command_request *request) = {
        [CM_COMMAND_STATUS] = status,   [CM_COMMAND_RELOAD] = reload, [CM_COMMAND_OBSERVE] = observe,
        [CM_COMMAND_ENFORCE] = enforce, [CM_COMMAND_DRAIN] = drain,
    };
    struct cm_command_request asked;
    enum cm_command_problem problem = cm_command_request_read(request, &asked);
    json_t *answer = problem == CM_COMMAND_FITS ? table[asked.command](context, caller, &asked)
                                                : fail(cm_command_problem_text(problem));
    char *text = json_dumps(answer, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(answer);
    return text;
}
