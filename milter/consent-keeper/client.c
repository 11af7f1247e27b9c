#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops/log.h"

/* While the store answers, an act gets this long to be written before it is told as received or uncertain. */
#define TRY_MS 2000

struct cm_client *cm_client_new(int fd, const struct cm_caller *caller, int64_t now_ms)
{
    struct cm_client *client = calloc(1, sizeof(*client));
    if (client != NULL) {
        client->fd = fd;
        client->caller = *caller;
        client->active_ms = now_ms;
    }
    return client;
}

void cm_client_free(struct cm_client *client)
{
    if (client != NULL) {
        (void)close(client->fd); /* what was sent is sent */
        free(client);
    }
}

bool cm_client_may_read(const struct cm_client *client)
{
    return !client->has_ended && !client->is_failing && client->pending_count < CM_CLIENT_PENDING &&
           client->out_len < CM_CLIENT_OUT_BYTES / 2;
}

static struct cm_pending *pending_at(struct cm_client *client, size_t i)
{
    return &client->pending[(client->pending_from + i) % CM_CLIENT_PENDING];
}

struct cm_pending *cm_client_find(struct cm_client *client, uint64_t number)
{
    for (size_t i = 0; i < client->pending_count; i++) {
        if (pending_at(client, i)->number == number) {
            return pending_at(client, i);
        }
    }
    return NULL;
}

static void decline(struct cm_pending *pending, enum cm_keeper_status status, const char *text)
{
    pending->number = 0;
    pending->answer = (struct cm_keeper_answer){.status = status};
    cm_err_set(&pending->answer.err, "%s", text);
}

/* Who did what to whom, for the log line that the answer makes. */
static void describe(const struct cm_client *client, const struct cm_write *write, struct cm_pending *pending)
{
    char subject[CM_SUBJECT_TEXT_BYTES];
    struct cm_text what = cm_text_over(pending->what, sizeof(pending->what));
    cm_subject_format(&write->subject, subject);
    cm_text_add_str(&what, " event=");
    cm_text_add_hex(&what, write->event_id, CM_EVENT_ID_BYTES);
    cm_log_add(&what, "caller", cm_span_of(client->caller.name));
    cm_text_add_format(&what, " rank=%s do=%s kind=%s scope=%" PRIu32 " subject=%s", cm_rank_name(client->caller.rank),
                       cm_act_name(write->act), cm_kind_name(write->record.kind), write->record.scope, subject);
}

static void handle(struct cm_client *client, struct cm_keeper *keeper, struct cm_keeper_request *request,
                   struct cm_pending *pending)
{
    switch (request->wish) {
    case CM_KEEPER_WRITE:
        request->write.rank = client->caller.rank; /* LAW-6 */
        pending->wait_ms = request->wait_ms;
        pending->forbids = cm_keeper_forbids(request->write.act);
        describe(client, &request->write, pending);
        if (!cm_keeper_take(keeper, &request->write, &pending->number, &pending->answer)) {
            pending->number = 0;
        }
        break;
    case CM_KEEPER_STATUS:
        pending->is_report = true;
        cm_keeper_describe(keeper, &pending->report);
        break;
    case CM_KEEPER_REPLAY_ALL:
        if (client->caller.rank != CM_RANK_ADMIN) {
            decline(pending, CM_KEEPER_REFUSED, "only an administrator may ask for that");
            break;
        }
        cm_log(CM_LOG_NOTICE, "%s asks to write the whole journal again", client->caller.name);
        cm_keeper_write_all_again(keeper);
        pending->is_report = true;
        cm_keeper_describe(keeper, &pending->report);
        break;
    case CM_KEEPER_WISH_UNSET: break;
    }
}

static void take_line(struct cm_client *client, struct cm_keeper *keeper, struct cm_span line,
                      struct cm_keeper_request *scratch, int64_t now_ms)
{
    struct cm_err err;
    struct cm_pending *pending = pending_at(client, client->pending_count++);
    *pending = (struct cm_pending){.asked_ms = now_ms};
    client->active_ms = now_ms;
    if (!cm_keeper_request_read(line, scratch, &err)) {
        decline(pending, CM_KEEPER_REFUSED, err.text);
        return;
    }
    handle(client, keeper, scratch, pending);
}

static void take_lines(struct cm_client *client, struct cm_keeper *keeper, struct cm_keeper_request *scratch,
                       int64_t now_ms)
{
    size_t used = 0;
    const char *end = NULL;
    while (client->pending_count < CM_CLIENT_PENDING && !client->is_failing &&
           (end = memchr(client->in + used, '\n', client->in_len - used)) != NULL) {
        size_t len = (size_t)(end - client->in) - used;
        take_line(client, keeper, (struct cm_span){client->in + used, len}, scratch, now_ms);
        used += len + 1;
    }
    client->in_len -= used;
    memmove(client->in, client->in + used, client->in_len);
    if (client->in_len == sizeof(client->in) && client->pending_count < CM_CLIENT_PENDING) {
        struct cm_pending *pending = pending_at(client, client->pending_count++);
        *pending = (struct cm_pending){.asked_ms = now_ms};
        decline(pending, CM_KEEPER_REFUSED, "the line is too long");
        client->is_failing = true; /* where the next one begins is not known */
    }
}

bool cm_client_has_line(const struct cm_client *client)
{
    bool is_full = client->in_len == sizeof(client->in);
    return client->pending_count < CM_CLIENT_PENDING && !client->is_failing &&
           (is_full || memchr(client->in, '\n', client->in_len) != NULL);
}

bool cm_client_read(struct cm_client *client, struct cm_keeper *keeper, struct cm_keeper_request *scratch,
                    int64_t now_ms)
{
    size_t room = sizeof(client->in) - client->in_len;
    if (cm_client_may_read(client) && room > 0) {
        ssize_t n = recv(client->fd, client->in + client->in_len, room, MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        client->has_ended = n == 0; /* it may still wait for its answers */
        client->in_len += n > 0 ? (size_t)n : 0;
    }
    take_lines(client, keeper, scratch, now_ms);
    return true;
}

/* Whether the answer to an act is due; fills it. LAW-12 */
static bool is_due(struct cm_pending *pending, const struct cm_keeper *keeper, int64_t now_ms, bool is_last)
{
    struct cm_keeper_answer *answer = &pending->answer;
    int64_t waited_ms = now_ms - pending->asked_ms;
    if (pending->number == 0) {
        return true;
    }
    if (pending->is_settled && answer->ledger == 0) {
        return true; /* refused, or given up */
    }
    if (!pending->forbids) {
        if (!pending->is_settled) {
            *answer = (struct cm_keeper_answer){.status = CM_KEEPER_UNCERTAIN};
            cm_err_set(&answer->err, "the store does not answer: it may or may not be recorded");
            return is_last || (waited_ms >= pending->wait_ms && waited_ms >= TRY_MS);
        }
        answer->in_effect = true;
        return true;
    }
    answer->in_effect = cm_keeper_act_is_in_effect(keeper, pending->number);
    if (!pending->is_settled) {
        answer->status = CM_KEEPER_RECEIVED;
    }
    bool may_soon_be_settled = !pending->is_settled && !cm_keeper_is_cut_off(keeper);
    return answer->in_effect || is_last ||
           (waited_ms >= pending->wait_ms && (!may_soon_be_settled || waited_ms >= TRY_MS));
}

static void log_answer(const struct cm_pending *pending)
{
    char text[CM_LOG_LINE_BYTES];
    char ledger[CM_LEDGER_ID_TEXT_BYTES];
    const struct cm_keeper_answer *answer = &pending->answer;
    struct cm_text line = cm_text_over(text, sizeof(text));
    if (pending->what[0] == '\0') {
        return;
    }
    cm_text_add_format(&line, "act=%" PRIu64 "%s status=%s effect=%s", pending->number, pending->what,
                       cm_keeper_status_word(answer->status), answer->in_effect ? "yes" : "no");
    if (answer->ledger != 0) {
        cm_ledger_id_format(answer->ledger, ledger);
        cm_log_add(&line, "ledger", cm_span_of(ledger));
    }
    if (answer->err.text[0] != '\0') {
        cm_log_add(&line, "error", cm_span_of(answer->err.text));
    }
    cm_log_line(CM_LOG_INFO, (struct cm_span){line.p, line.len});
}

static void make_answers(struct cm_client *client, const struct cm_keeper *keeper, int64_t now_ms, bool is_last)
{
    while (client->pending_count > 0 && sizeof(client->out) - client->out_len > CM_CLIENT_ANSWER_BYTES) {
        struct cm_pending *pending = pending_at(client, 0);
        struct cm_text out = cm_text_over(client->out + client->out_len, CM_CLIENT_ANSWER_BYTES + 1);
        if (!is_due(pending, keeper, now_ms, is_last)) {
            return;
        }
        if (pending->is_report) {
            cm_keeper_report_write(&pending->report, &out);
        } else {
            cm_keeper_answer_write(&pending->answer, &out);
            log_answer(pending);
        }
        client->out_len += out.len;
        client->pending_from = (client->pending_from + 1) % CM_CLIENT_PENDING;
        client->pending_count--;
        client->active_ms = now_ms;
    }
}

bool cm_client_answer(struct cm_client *client, const struct cm_keeper *keeper, int64_t now_ms, bool is_last)
{
    make_answers(client, keeper, now_ms, is_last);
    if (client->out_len > 0) {
        ssize_t n = send(client->fd, client->out, client->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            client->out_len -= (size_t)n;
            memmove(client->out, client->out + n, client->out_len);
            client->active_ms = now_ms;
        }
    }
    bool is_quiet = client->pending_count == 0 && client->out_len == 0;
    if (is_quiet && (client->is_failing || (client->has_ended && !cm_client_has_line(client)))) {
        return false;
    }
    /* Who waits for an act is not idle; who does not take its answers is. */
    bool is_waiting = client->pending_count > 0 && client->out_len == 0;
    return is_waiting || now_ms - client->active_ms < CM_CLIENT_IDLE_MS;
}
