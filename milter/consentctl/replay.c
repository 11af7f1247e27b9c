/* replay: what of a log or a mailbox would be decided otherwise today, or by another configuration. */
#include "replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ops/log.h"

#define PROGRESS_EVERY 100000

static bool is_same(const struct outcome *a, const struct outcome *b)
{
    return a->verdict == b->verdict && a->reason == b->reason && a->observed == b->observed;
}

static void add_row(struct replay *replay, const char *stream, const struct outcome *was, const struct outcome *is)
{
    for (size_t i = 0; i < replay->row_count; i++) {
        if (strcmp(replay->rows[i].stream, stream) == 0 && is_same(&replay->rows[i].was, was) &&
            is_same(&replay->rows[i].is, is)) {
            replay->rows[i].count++;
            return;
        }
    }
    if (replay->row_count == REPLAY_ROWS) {
        return; /* the sums still count it */
    }
    (void)cm_copy(replay->rows[replay->row_count].stream, sizeof(replay->rows[0].stream),
                  cm_span_of(stream)); /* a long name is cut */
    replay->rows[replay->row_count].was = *was;
    replay->rows[replay->row_count].is = *is;
    replay->rows[replay->row_count++].count = 1;
}

void cm_replay_count(struct replay *replay, const char *id, const char *stream, const struct outcome *was,
                     const struct outcome *is)
{
    bool changed = was->verdict != CM_VERDICT_UNDECIDED && !is_same(was, is);
    replay->decisions++;
    replay->changed += changed ? 1 : 0;
    replay->refused += is->verdict == CM_VERDICT_REFUSE ? 1 : 0;
    replay->unknown += is->verdict == CM_VERDICT_DEFER ? 1 : 0;
    add_row(replay, stream, was, is);
    cm_ctl_emit(replay->context,
                json_pack("{s:s, s:o, s:s, s:s, s:b, s:s, s:s, s:b, s:b}", "id", id, "stream", cm_ctl_json_text(stream),
                          "verdict", cm_verdict_name(is->verdict), "reason", cm_reason_name(is->reason), "observed",
                          (int)is->observed, "was_verdict", cm_verdict_name(was->verdict), "was_reason",
                          cm_reason_name(was->reason), "was_observed", (int)was->observed, "changed", (int)changed));
}

void cm_replay_broken(struct replay *replay, unsigned long line)
{
    if (replay->broken++ == 0) {
        replay->first_broken = line;
    }
}

void cm_replay_progress(const struct replay *replay)
{
    if (replay->line % PROGRESS_EVERY == 0 && !replay->context->options->quiet && isatty(STDERR_FILENO) == 1) {
        (void)fprintf(stderr, "\r%lu lines, %lu decisions", replay->line, replay->decisions);
    }
}

static void format_outcome(const struct outcome *outcome, char out[64])
{
    struct cm_text text = cm_text_over(out, 64);
    if (outcome->verdict == CM_VERDICT_UNDECIDED) {
        cm_text_add_str(&text, "-");
        return;
    }
    cm_text_add_format(&text, "%s %s%s", cm_verdict_name(outcome->verdict), cm_reason_name(outcome->reason),
                       outcome->observed ? " (observed)" : "");
}

static int report(const struct replay *replay)
{
    const struct context *context = replay->context;
    cm_ctl_say(context, "%-24s %-36s    %-36s %10s", "stream", "was", "would be", "count");
    for (size_t i = 0; i < replay->row_count; i++) {
        char was[64];
        char is[64];
        format_outcome(&replay->rows[i].was, was);
        format_outcome(&replay->rows[i].is, is);
        cm_ctl_say(context, "%-24s %-36s -> %-36s %10lu", replay->rows[i].stream, was, is, replay->rows[i].count);
    }
    cm_ctl_say(context, "%lu decisions by %s: %lu would be refused, %lu are not known, %lu change", replay->decisions,
               replay->settings->file, replay->refused, replay->unknown, replay->changed);
    cm_ctl_emit(context, json_pack("{s:I, s:I, s:I, s:I, s:I}", "decisions", (json_int_t)replay->decisions, "refused",
                                   (json_int_t)replay->refused, "unknown", (json_int_t)replay->unknown, "changed",
                                   (json_int_t)replay->changed, "unreadable", (json_int_t)replay->broken));
    if (replay->broken > 0) {
        (void)cm_ctl_fail(EX_DATAERR, "%lu entries cannot be read; the first is %s:%lu", replay->broken, replay->path,
                          replay->first_broken);
    }
    if (replay->trouble[0] != '\0') {
        (void)cm_ctl_fail(EX_TEMPFAIL, "not known: %s", replay->trouble);
    }
    if (replay->refused > 0) {
        return EXIT_NOT_PERMITTED;
    }
    return replay->unknown > 0 || replay->broken > 0 ? EX_TEMPFAIL : EX_OK;
}

/* Reads all of the file and reports. */
static int run(struct replay *replay)
{
    const struct options *options = replay->context->options;
    bool is_stdin = strcmp(replay->path, "-") == 0;
    replay->file = is_stdin ? stdin : fopen(replay->path, "re");
    if (replay->file == NULL) {
        return cm_ctl_fail(EX_NOINPUT, "%s: %s", replay->path, strerror(errno));
    }
    int code = options->log != NULL ? cm_replay_log(replay) : cm_replay_mbox(replay);
    if (code == EX_OK && ferror(replay->file) != 0) {
        code = cm_ctl_fail(EX_IOERR, "%s cannot be read to its end", replay->path);
    }
    if (!is_stdin) {
        (void)fclose(replay->file); /* only read */
    }
    return code == EX_OK ? report(replay) : code;
}

int cm_ctl_replay(struct context *context)
{
    const struct options *options = context->options;
    bool of_session = options->auth != NULL || options->daemon != NULL || options->client != NULL || options->local;
    struct cm_err err;
    if ((options->log != NULL) == (options->mbox != NULL) || (options->stream != NULL && of_session) ||
        (options->log != NULL && (of_session || options->stream != NULL))) {
        return cm_ctl_fail(EX_USAGE, "replay takes --log FILE, or --mbox FILE with what the session was or --stream");
    }
    struct replay *replay = calloc(1, sizeof(*replay));
    if (replay == NULL) {
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    cm_log_open("consentctl", true);
    replay->context = context;
    replay->path = options->log != NULL ? options->log : options->mbox;
    struct cm_settings *settings = cm_settings_load(options->config != NULL ? options->config : options->file, &err);
    replay->settings = settings;
    int code = settings != NULL ? run(replay) : cm_ctl_fail(EX_CONFIG, "%s", err.text);
    cm_settings_free(settings);
    free(replay);
    return code;
}
