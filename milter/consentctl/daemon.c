/* daemon status, reload, observe, enforce, drain: what the running filter is asked over its control socket. */
#include <poll.h>
#include <stdlib.h>

#include "consentctl.h"
#include "ops/control.h"

#define DRAIN_MS 10000
#define DRAIN_POLL_MS 100

/* Asks, and takes the request over. EX_OK and the answer, or the code after printing. */
static int ask(struct context *context, json_t *request, int refused, json_t **out_answer)
{
    struct cm_err err;
    char *line = NULL;
    const char *socket = context->settings->control.socket;
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (text == NULL) {
        return cm_ctl_fail(EX_DATAERR, "the name of the stream is not UTF-8, or out of memory");
    }
    bool answered = socket[0] != '\0' && cm_control_ask(socket, text, &line, &err);
    free(text);
    if (!answered) {
        return cm_ctl_fail(EX_UNAVAILABLE, "%s", socket[0] != '\0' ? err.text : "control.socket is empty");
    }
    json_t *answer = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    free(line);
    if (!json_is_object(answer)) {
        json_decref(answer);
        return cm_ctl_fail(EX_PROTOCOL, "the filter's answer is no JSON object");
    }
    if (!json_is_true(json_object_get(answer, "ok"))) {
        const char *why = json_string_value(json_object_get(answer, "error"));
        int code = cm_ctl_fail(refused, "%s", why != NULL ? why : "refused without a word");
        cm_ctl_emit(context, answer);
        return code;
    }
    *out_answer = answer;
    return EX_OK;
}

/* Each member as a line; objects as JSON. */
static void say_members(const struct context *context, json_t *answer)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(answer, name, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        cm_ctl_say(context, "%-14s %s", name,
                   text != NULL            ? text
                   : json_is_string(value) ? json_string_value(value)
                                           : "");
        free(text);
    }
}

/* Prints an answer if there is a good one, and frees it. Hands the code through. */
static int show(struct context *context, int code, json_t *answer)
{
    if (code == EX_OK) {
        (void)json_object_del(answer, "ok"); /* the exit code says it; absent is as good */
        say_members(context, answer);
        cm_ctl_emit(context, answer);
    } else {
        json_decref(answer);
    }
    return code;
}

static int run(struct context *context, json_t *request, int refused)
{
    json_t *answer = NULL;
    int code = ask(context, request, refused, &answer);
    return show(context, code, answer);
}

int cm_ctl_daemon_status(struct context *context)
{
    return run(context, json_pack("{s:s}", "command", "status"), EX_SOFTWARE);
}

int cm_ctl_daemon_reload(struct context *context)
{
    return run(context, json_pack("{s:s}", "command", "reload"), EX_CONFIG);
}

static int set_mode(struct context *context, const char *mode)
{
    json_t *request = json_pack("{s:s, s:s*}", "command", mode, "stream", context->options->words[0]);
    return run(context, request, EX_DATAERR);
}

int cm_ctl_daemon_observe(struct context *context)
{
    return set_mode(context, "observe");
}

int cm_ctl_daemon_enforce(struct context *context)
{
    return set_mode(context, "enforce");
}

/* Waits until no message is under way; the last status. EX_TEMPFAIL if that takes too long. */
static int await_drained(struct context *context, json_t **answer)
{
    int code = EX_OK;
    for (unsigned waited_ms = 0; code == EX_OK && json_integer_value(json_object_get(*answer, "transactions")) > 0;
         waited_ms += DRAIN_POLL_MS) {
        if (waited_ms >= DRAIN_MS) {
            return cm_ctl_fail(EX_TEMPFAIL, "messages are still under way; new ones go on being deferred");
        }
        (void)poll(NULL, 0, DRAIN_POLL_MS); /* a short pause; being interrupted is as good */
        json_decref(*answer);
        *answer = NULL;
        code = ask(context, json_pack("{s:s}", "command", "status"), EX_SOFTWARE, answer);
    }
    return code;
}

int cm_ctl_daemon_drain(struct context *context)
{
    json_t *answer = NULL;
    json_t *request = json_pack("{s:s, s:b}", "command", "drain", "end", context->options->end);
    int code = ask(context, request, EX_SOFTWARE, &answer);
    if (code == EX_OK && !context->options->end) {
        code = await_drained(context, &answer);
    }
    return show(context, code, answer);
}
