/* replay --log: the decisions of a mail log, by their subject keys. */
#include <stdlib.h>
#include <string.h>

#include "core/log_line.h"
#include "replay.h"

#define LINE_BYTES 8192 /* syslog cuts far below */

struct batch {
    struct cm_log_line lines[CM_LIMIT_LOOKUP_BATCH];
    const struct cm_stream *streams[CM_LIMIT_LOOKUP_BATCH]; /* of the configuration to decide by */
    bool done[CM_LIMIT_LOOKUP_BATCH];
    size_t count;
    struct cm_subject subjects[CM_LIMIT_LOOKUP_BATCH];
    size_t members[CM_LIMIT_LOOKUP_BATCH];
    struct cm_decision decisions[CM_LIMIT_LOOKUP_BATCH];
};

/* True if the message decided, not who it went to: a line does not hold what would tell it anew. */
static bool is_of_message(enum cm_reason reason)
{
    static const bool rows[CM_REASON_COUNT] = {
        [CM_REASON_NOT_OURS] = true,
        [CM_REASON_UNDECLARED_BULK] = true,
        [CM_REASON_CONTRADICTED] = true,
        [CM_REASON_SERVICE_DISHONEST] = true,
        [CM_REASON_TOO_MANY_RECIPIENTS] = true,
        [CM_REASON_RECIPIENT_UNPARSABLE] = true,
        [CM_REASON_RECIPIENT_AMBIGUOUS] = true,
        [CM_REASON_OTHER_RECIPIENT] = true,
    };
    return rows[reason];
}

static struct outcome outcome_of(const struct cm_log_line *line)
{
    return (struct outcome){line->verdict, line->reason, line->observed};
}

static void count(struct replay *replay, const struct cm_log_line *line, const struct cm_stream *stream,
                  const struct cm_decision *decision)
{
    struct outcome was = outcome_of(line);
    struct outcome is = {decision->verdict, decision->reason,
                         stream != NULL ? stream->mode == CM_MODE_OBSERVE : line->observed};
    cm_replay_count(replay, line->id, line->stream, &was, &is);
}

static void note_trouble(struct replay *replay, const char *text)
{
    if (replay->trouble[0] == '\0') {
        (void)cm_copy(replay->trouble, sizeof(replay->trouble), cm_span_of(text)); /* a long one is cut */
    }
}

/* The purpose that the line's mail would have now; "" if it had none. */
static void purpose_of(const struct cm_stream *stream, const struct cm_log_line *line,
                       char out[CM_LIMIT_PURPOSE_BYTES + 1])
{
    memcpy(out, line->purpose, CM_LIMIT_PURPOSE_BYTES + 1);
    if (stream->purpose_from == CM_PURPOSE_FIXED) {
        (void)cm_stream_purpose(stream, CM_SPAN(""), NULL, 0, out); /* the configuration holds a valid one */
    } else if (stream->class == CM_CLASS_SERVICE) {
        (void)cm_copy(out, CM_LIMIT_PURPOSE_BYTES + 1, cm_span_of(stream->sender)); /* shorter than a purpose */
    }
}

/* Asks once for all lines of one stream and purpose, the first of which is `first`. */
static void ask_group(struct replay *replay, struct batch *batch, size_t first)
{
    const struct cm_stream *stream = batch->streams[first];
    struct cm_arena arena;
    struct cm_err err = {{0}};
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1];
    size_t asked = 0;
    purpose_of(stream, &batch->lines[first], purpose);
    for (size_t i = first; i < batch->count; i++) {
        char other[CM_LIMIT_PURPOSE_BYTES + 1];
        if (batch->done[i] || batch->streams[i] != stream) {
            continue;
        }
        purpose_of(stream, &batch->lines[i], other);
        if (strcmp(purpose, other) == 0) {
            batch->done[i] = true;
            batch->members[asked] = i;
            batch->subjects[asked++] = batch->lines[i].subject;
        }
    }
    struct cm_enforce_question question = cm_ctl_question_of(&replay->settings->streams, stream, purpose);
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    if (cm_enforce(replay->context->store, batch->subjects, asked, &question, 1, &arena, batch->decisions, NULL,
                   &err) != CM_TROUBLE_NONE) {
        note_trouble(replay, err.text);
    }
    cm_arena_done(&arena);
    for (size_t i = 0; i < asked; i++) {
        count(replay, &batch->lines[batch->members[i]], stream, &batch->decisions[i]);
    }
}

static void flush(struct replay *replay, struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (!batch->done[i]) {
            ask_group(replay, batch, i);
        }
    }
    batch->count = 0;
}

/* Counts at once what needs no store, keeps the rest for the next batch. */
static void take(struct replay *replay, struct batch *batch, const struct cm_log_line *line, unsigned pepper)
{
    struct cm_decision decision = cm_decision_of(line->verdict, line->reason);
    const struct cm_stream *stream = cm_ctl_find_stream(replay->settings, line->stream);
    bool has_stream = strcmp(line->stream, "-") != 0;
    if (!has_stream || is_of_message(line->reason) || (!line->has_subject && stream != NULL)) {
        count(replay, line, stream, &decision);
        return;
    }
    if (stream == NULL) {
        note_trouble(replay, "the configuration lacks a stream of the log; --mbox tells which one takes its mail");
        decision = cm_decision_of(CM_VERDICT_DEFER, CM_REASON_CONFIGURATION);
        count(replay, line, NULL, &decision);
        return;
    }
    if (stream->class == CM_CLASS_SERVICE && replay->settings->streams.service_stops == 0) {
        decision = cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_SERVICE);
        count(replay, line, stream, &decision);
        return;
    }
    if (line->subject.pepper != pepper ||
        (line->purpose[0] == '\0' && stream->purpose_from != CM_PURPOSE_FIXED && stream->class != CM_CLASS_SERVICE)) {
        note_trouble(replay, line->subject.pepper != pepper
                                 ? "keys of the log were made with another pepper than the store's of now"
                                 : "a line holds no purpose");
        decision = cm_decision_trouble(CM_TROUBLE_WRONG_PEPPER);
        count(replay, line, stream, &decision);
        return;
    }
    batch->lines[batch->count] = *line;
    batch->streams[batch->count] = stream;
    batch->done[batch->count++] = false;
    if (batch->count == CM_LIMIT_LOOKUP_BATCH) {
        flush(replay, batch);
    }
}

/* Reads one line; one that is too long is cut, which makes it broken if it is ours. */
static bool read_line(FILE *file, char text[LINE_BYTES], struct cm_span *out)
{
    int c = EOF;
    size_t len = 0;
    while ((c = getc_unlocked(file)) != EOF && c != '\n') {
        if (len < LINE_BYTES) {
            text[len++] = (char)c;
        }
    }
    *out = (struct cm_span){text, len};
    return c != EOF || len > 0;
}

int cm_replay_log(struct replay *replay)
{
    struct cm_address address;
    struct cm_subject like_ours;
    char text[LINE_BYTES];
    struct cm_span line;
    struct cm_log_line decision;
    struct batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL || cm_address_parse(CM_SPAN("any@example.org"), &address) != CM_ADDRESS_OK ||
        !cm_ctl_subject_of(replay->context, &address, &like_ours)) {
        free(batch);
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    while (read_line(replay->file, text, &line)) {
        replay->line++;
        enum cm_log_line_status status = cm_log_line_parse(line, &decision);
        if (status == CM_LOG_LINE_BROKEN) {
            cm_replay_broken(replay, replay->line);
        } else if (status == CM_LOG_LINE_DECISION) {
            take(replay, batch, &decision, like_ours.pepper);
        }
        cm_replay_progress(replay);
    }
    flush(replay, batch);
    free(batch);
    return EX_OK;
}
