/* replay --mbox: the messages of a mailbox, each through the session. */
#include <arpa/inet.h>
#include <string.h>

#include "replay.h"
#include "service/mbox.h"
#include "service/offline.h"

#define RECIPIENTS_MAX 1000 /* of one message */

/* What stands for a session that is described by a stream's own conditions. */
struct disguise {
    char auth[CM_LIMIT_PATTERN_BYTES + 1];
    char daemon[CM_LIMIT_PATTERN_BYTES + 1];
    char client[INET6_ADDRSTRLEN];
};

static void ignore_candidate(void *context, const struct cm_stream *stream, const char *why)
{
    (void)context; /* only what is decided counts, here and below */
    (void)stream;
    (void)why;
}

static void ignore_answer(void *context, struct cm_span recipient, const struct cm_reply *reply)
{
    (void)context;
    (void)recipient;
    (void)reply;
}

static void ignore_end(void *context, const struct cm_disposition *disposition)
{
    (void)context;
    (void)disposition;
}

static void count(void *opaque, const struct cm_booked *booked)
{
    struct replay *replay = opaque;
    const struct cm_record_entry *entry = booked->entry;
    struct outcome was = {CM_VERDICT_UNDECIDED, CM_REASON_UNSET, false};
    struct outcome is = {entry->decision.verdict, entry->decision.reason, entry->observed};
    cm_replay_count(replay, "", entry->row->name, &was, &is);
}

/* A text that the first pattern matches. */
static void fill_pattern(const struct cm_patterns *patterns, char *out, size_t size)
{
    struct cm_text text = cm_text_over(out, size);
    for (const char *p = patterns->count > 0 ? patterns->items[0] : ""; *p != '\0'; p++) {
        cm_text_add_char(&text, *p == '*' ? 'x' : *p);
    }
}

/* A session that meets the conditions of this stream. */
static void disguise_as(const struct cm_stream *stream, struct disguise *disguise, struct cm_offline_message *message)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    fill_pattern(&stream->session.auth, disguise->auth, sizeof(disguise->auth));
    fill_pattern(&stream->session.daemon, disguise->daemon, sizeof(disguise->daemon));
    disguise->client[0] = '\0';
    if (stream->session.client.count > 0) {
        const uint8_t *bytes = stream->session.client.items[0].bytes;
        bool is_v4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;
        (void)inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? bytes + sizeof(mapped) : bytes, disguise->client,
                        sizeof(disguise->client)); /* there is room */
    }
    message->auth = cm_span_of(disguise->auth);
    message->daemon = cm_span_of(disguise->daemon);
    message->client = cm_span_of(disguise->client);
    message->local = stream->session.local;
}

/* Adds the addresses of all headers of this name. False if there are too many. */
static bool add_recipients(const struct cm_mbox_message *mail, const char *name, struct cm_span *recipients,
                           size_t *count_of)
{
    for (size_t i = 0; i < mail->header_count; i++) {
        struct cm_span rest = mail->headers[i].value;
        struct cm_span address;
        if (!cm_span_equal_nocase(cm_span_trim(mail->headers[i].name), cm_span_of(name))) {
            continue;
        }
        while (cm_address_list_next(&rest, &address)) {
            if (*count_of == RECIPIENTS_MAX) {
                return false;
            }
            recipients[(*count_of)++] = address;
        }
    }
    return true;
}

/* Who it went to: what the delivery wrote, or else what the author wrote. */
static bool find_recipients(const struct cm_mbox_message *mail, struct cm_span *recipients, size_t *out_count)
{
    static const char *const names[][3] = {
        {"X-Original-To", NULL, NULL}, {"Delivered-To", NULL, NULL}, {"To", "Cc", "Bcc"}};
    bool ok = true;
    *out_count = 0;
    for (size_t i = 0; ok && *out_count == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t j = 0; ok && j < 3 && names[i][j] != NULL; j++) {
            ok = add_recipients(mail, names[i][j], recipients, out_count);
        }
    }
    return ok && *out_count > 0;
}

/* Return-Path, or the "From " line, or From. */
static struct cm_span find_sender(const struct cm_mbox_message *mail)
{
    struct cm_span found[RECIPIENTS_MAX];
    size_t count_of = 0;
    for (size_t i = 0; i < mail->header_count; i++) {
        if (cm_span_equal_nocase(mail->headers[i].name, CM_SPAN("Return-Path"))) {
            struct cm_span path = mail->headers[i].value;
            return cm_span_equal(path, CM_SPAN("<>")) ? CM_SPAN("") : path;
        }
    }
    if (mail->sender.len > 0 && memchr(mail->sender.p, '@', mail->sender.len) != NULL) {
        return mail->sender;
    }
    (void)add_recipients(mail, "From", found, &count_of); /* the first is enough */
    return count_of > 0 ? found[0] : CM_SPAN("");
}

static bool try_message(struct replay *replay, struct cm_offline *offline, const struct cm_mbox_message *mail,
                        const struct cm_offline_message *session)
{
    struct cm_span recipients[RECIPIENTS_MAX];
    struct cm_offline_message message = *session;
    if (mail->is_cut || !find_recipients(mail, recipients, &message.recipient_count)) {
        cm_replay_broken(replay, mail->line);
        return true;
    }
    message.from = find_sender(mail);
    message.recipients = recipients;
    message.headers = mail->headers;
    message.header_count = mail->header_count;
    return cm_offline_try(offline, &message);
}

static int run(struct replay *replay, struct cm_offline *offline)
{
    const struct options *options = replay->context->options;
    struct cm_offline_message message = {.auth = cm_span_of(options->auth),
                                         .daemon = cm_span_of(options->daemon),
                                         .client = cm_span_of(options->client),
                                         .local = options->local};
    struct disguise disguise;
    struct cm_mbox mbox;
    struct cm_mbox_message mail;
    struct cm_arena arena;
    bool ok = true;
    if (options->stream != NULL) {
        const struct cm_stream *stream = cm_ctl_find_stream(replay->settings, options->stream);
        if (stream == NULL) {
            return cm_ctl_fail(EX_DATAERR, "there is no stream %s in %s", options->stream, replay->settings->file);
        }
        disguise_as(stream, &disguise, &message);
    }
    cm_mbox_open(&mbox, replay->file);
    cm_arena_init(&arena, CM_LIMIT_MESSAGE_BYTES);
    while (ok && cm_mbox_next(&mbox, &arena, &mail)) {
        ok = try_message(replay, offline, &mail, &message);
        cm_arena_reset(&arena);
        replay->line = mbox.line;
    }
    cm_arena_done(&arena);
    return ok ? EX_OK : cm_ctl_fail(EX_OSERR, "out of memory");
}

int cm_replay_mbox(struct replay *replay)
{
    static const struct cm_offline_watcher silent = {NULL, ignore_candidate, count, ignore_answer, ignore_end};
    struct cm_offline_watcher watcher = silent;
    struct cm_err err;
    watcher.context = replay;
    struct cm_settings *settings = cm_settings_load(replay->settings->file, &err);
    if (settings == NULL) {
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    struct cm_offline *offline = cm_offline_new(settings, &replay->context->keys, replay->context->store, &watcher);
    if (offline == NULL) {
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    int code = run(replay, offline);
    cm_offline_free(offline);
    return code;
}
