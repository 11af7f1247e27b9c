#include "mta.h"

#include "mta_send.h"
#include "recipients.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libmilter/mfdef.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static void note(char *first, size_t size, const char *text, size_t length)
{
    size_t i;

    if (first[0] != '\0') {
        return;
    }
    for (i = 0; i < length && i + 1 < size; i++) {
        first[i] = isprint((unsigned char)text[i]) && text[i] != '"' && text[i] != '\\' ? text[i] : '?';
    }
    first[i] = '\0';
}

static void drop(struct cm_mta_session *s)
{
    if (s->fd >= 0) {
        (void)close(s->fd); /* nothing can be done about a failing close of a socket */
    }
    s->fd = -1;
    s->state = CM_MTA_CLOSED;
    free(s->out);
    s->out = NULL;
}

static void fail(struct cm_mta_session *s, uint64_t *counter, const char *text)
{
    (*counter)++;
    note(s->stats->trouble, sizeof(s->stats->trouble), text, strlen(text));
    drop(s);
}

static bool flush(struct cm_mta_session *s)
{
    if (cm_mta_flush(s)) {
        return true;
    }
    fail(s, &s->stats->protocol_errors, "the filter closed its side or reads no more");
    return false;
}

/* ---- the course of a session ---- */

static void begin_message(struct cm_mta_session *s)
{
    if (!s->first_message) {
        cm_mta_put_bare(s, SMFIC_ABORT);
    }
    s->first_message = false;
    s->message_number++;
    s->recipient_index = 0;
    s->accepted_count = 0;
    s->header_index = 0;
    s->recipient[0] = '\0';
    (void)snprintf(s->queue_id, sizeof(s->queue_id), "%05X%06X", (unsigned)(s->random >> 44),
                   (unsigned)(s->message_number & 0xffffff));
}

/* Goes to the step after the present one.  Called before the step's reply has come: replies never choose the way,
 * except that a message without accepted recipient ends after its last RCPT (see enter_step). */
static void next_step(struct cm_mta_session *s)
{
    if (s->step == CM_MTA_STEP_RCPT) {
        s->recipient_index++;
    } else if (s->step == CM_MTA_STEP_HEADER) {
        s->header_index++;
    } else {
        s->step++;
    }
    if (s->step == CM_MTA_STEP_NEXT) {
        s->step = CM_MTA_STEP_MAIL;
    }
}

static void enter_step(struct cm_mta_session *s)
{
    if (s->step == CM_MTA_STEP_RCPT && s->recipient_index >= s->plan->recipient_count) {
        s->step = s->accepted_count > 0 ? CM_MTA_STEP_DATA : CM_MTA_STEP_MAIL;
    }
    if (s->step == CM_MTA_STEP_HEADER &&
        (s->header_index >= s->plan->header_count || (s->protocol & SMFIP_NOHDRS) != 0)) {
        s->step = CM_MTA_STEP_EOH;
    }
    if (s->step == CM_MTA_STEP_BODY && s->plan->body_bytes == 0) {
        s->step = CM_MTA_STEP_EOM;
    }
    if (s->step == CM_MTA_STEP_MAIL) {
        begin_message(s);
    }
    if (s->step == CM_MTA_STEP_RCPT) {
        s->person = cm_bench_pick(&s->random, s->plan->share_without);
        (void)cm_bench_address(s->recipient, s->person);
    }
}

void cm_mta_advance(struct cm_mta_session *s)
{
    for (;;) {
        enum cm_mta_step step;
        bool wait;

        enter_step(s);
        step = (enum cm_mta_step)s->step;
        wait = cm_mta_put_stage(s);
        next_step(s);
        if (!wait && step != CM_MTA_STEP_DATA) {
            continue;
        }
        if (!flush(s)) {
            return;
        }
        if (wait) {
            s->awaiting = cm_mta_command(step);
            s->sent_ns = cm_latency_now_ns();
            s->state = CM_MTA_AWAITING;
            return;
        }
    }
}

/* ---- reading ---- */

enum answer { ANSWER_NONSENSE = 0, ANSWER_ACCEPT, ANSWER_REFUSE, ANSWER_DEFER, ANSWER_NOT_YET };

/* A reply text must be what Postfix takes for one, else Postfix turns it into a 451 of its own. */
static enum answer classify_text(struct cm_mta_session *s, const char *text, size_t length)
{
    bool sound = length >= 5 && text[length - 1] == '\0' && (text[0] == '4' || text[0] == '5') &&
                 isdigit((unsigned char)text[1]) && isdigit((unsigned char)text[2]) &&
                 (text[3] == ' ' || text[3] == '-') && text[4] == text[0];

    if (!sound) {
        return ANSWER_NONSENSE;
    }
    if (text[0] == '5') {
        note(s->stats->refusal, sizeof(s->stats->refusal), text, length - 1);
        return ANSWER_REFUSE;
    }
    note(s->stats->deferral, sizeof(s->stats->deferral), text, length - 1);
    return ANSWER_DEFER;
}

static enum answer classify(struct cm_mta_session *s, const unsigned char *packet, size_t length)
{
    switch (packet[0]) {
    case SMFIR_CONTINUE: return length == 1 ? ANSWER_ACCEPT : ANSWER_NONSENSE;
    case SMFIR_ACCEPT: /* before the end it would let all later recipients pass unseen */
        return s->awaiting == SMFIC_BODYEOB ? ANSWER_ACCEPT : ANSWER_NONSENSE;
    case SMFIR_REJECT: return ANSWER_REFUSE;
    case SMFIR_TEMPFAIL: return ANSWER_DEFER;
    case SMFIR_REPLYCODE: return classify_text(s, (const char *)packet + 1, length - 1);
    case SMFIR_PROGRESS: return ANSWER_NOT_YET;
    case SMFIR_ADDRCPT:
    case SMFIR_DELRCPT:
    case SMFIR_ADDRCPT_PAR:
    case SMFIR_REPLBODY:
    case SMFIR_CHGFROM:
    case SMFIR_ADDHEADER:
    case SMFIR_INSHEADER:
    case SMFIR_CHGHEADER:
    case SMFIR_QUARANTINE:
        s->stats->modifications++;
        return s->awaiting == SMFIC_BODYEOB ? ANSWER_NOT_YET : ANSWER_NONSENSE;
    default: return ANSWER_NONSENSE;
    }
}

static void count_recipient(struct cm_mta_session *s, enum answer answer)
{
    bool consents = s->plan->expect == CM_MTA_EXPECT_ACCEPT || cm_bench_consents(s->person);

    if (answer == ANSWER_ACCEPT) {
        s->stats->accepted++;
        s->stats->wrong_accepted += !consents;
        s->accepted_count++;
    } else if (answer == ANSWER_REFUSE) {
        s->stats->refused++;
        s->stats->wrong_refused += consents;
    } else {
        s->stats->deferred++;
    }
}

static void count_message(struct cm_mta_session *s, enum answer answer)
{
    if (answer == ANSWER_ACCEPT) {
        s->stats->eom_accepted++;
    } else if (answer == ANSWER_REFUSE) {
        s->stats->eom_refused++;
    } else {
        s->stats->eom_deferred++;
    }
}

static void take_answer(struct cm_mta_session *s, enum answer answer)
{
    uint64_t wait_ns = cm_latency_now_ns() - s->sent_ns;

    if (s->awaiting == SMFIC_RCPT || s->awaiting == SMFIC_BODYEOB) {
        bool rcpt = s->awaiting == SMFIC_RCPT;

        cm_latency_add(rcpt ? &s->stats->rcpt : &s->stats->eom, wait_ns);
        if (wait_ns > s->longest_ns) {
            s->longest_ns = wait_ns;
        }
        if (rcpt) {
            count_recipient(s, answer);
        } else {
            count_message(s, answer);
        }
    } else if (answer != ANSWER_ACCEPT) {
        fail(s, &s->stats->protocol_errors, "refused at a stage other than RCPT and end of message");
        return;
    }
    s->state = CM_MTA_READY;
}

/* The length of the packet at the start of the buffer including its length field; 0 incomplete, 1 impossible. */
static size_t packet_length(const struct cm_mta_session *s)
{
    uint32_t wire;

    if (s->in_length < 5) {
        return 0;
    }
    memcpy(&wire, s->in, sizeof(wire));
    wire = ntohl(wire);
    if (wire < 1 || wire > CM_MTA_IN_BYTES - 4) {
        return 1;
    }
    return s->in_length < wire + 4u ? 0 : wire + 4u;
}

void cm_mta_receive(struct cm_mta_session *s)
{
    ssize_t n = recv(s->fd, s->in + s->in_length, sizeof(s->in) - s->in_length, 0);
    size_t length;

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        fail(s, &s->stats->missing_replies, "the filter closed the connection instead of answering");
        return;
    }
    s->in_length += (size_t)n;
    while (s->state == CM_MTA_AWAITING && (length = packet_length(s)) != 0) {
        enum answer answer = length == 1 ? ANSWER_NONSENSE : classify(s, s->in + 4, length - 4);

        if (answer == ANSWER_NONSENSE) {
            fail(s, &s->stats->protocol_errors, "an answer that Postfix would not understand");
            return;
        }
        memmove(s->in, s->in + length, s->in_length - length);
        s->in_length -= length;
        if (answer != ANSWER_NOT_YET) {
            take_answer(s, answer);
        }
    }
    if (s->state == CM_MTA_READY && s->in_length > 0) {
        fail(s, &s->stats->protocol_errors, "an answer to nothing that was asked");
    }
}

/* ---- opening and closing ---- */

static int connect_to(const char *where)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET};
    const char *at = strchr(where, '@');
    int fd, one = 1;

    if (strncmp(where, "inet:", 5) == 0) {
        inet.sin_port = htons((uint16_t)strtoul(where + 5, NULL, 10));
        if (at == NULL || inet_pton(AF_INET, at + 1, &inet.sin_addr) != 1) {
            return -1;
        }
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0 &&
            connect(fd, (struct sockaddr *)&inet, sizeof(inet)) == 0) {
            return fd;
        }
    } else {
        const char *path = strncmp(where, "unix:", 5) == 0 ? where + 5 : where;

        if (strlen(path) >= sizeof(local.sun_path)) {
            return -1;
        }
        memcpy(local.sun_path, path, strlen(path) + 1);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&local, sizeof(local)) == 0) {
            return fd;
        }
    }
    if (fd >= 0) {
        (void)close(fd); /* the failure to report is that of connect() */
    }
    return -1;
}

static bool negotiate(struct cm_mta_session *s)
{
    size_t length;

    cm_mta_put_offer(s);
    if (!flush(s)) {
        return false;
    }
    while ((length = packet_length(s)) == 0) {
        ssize_t n = recv(s->fd, s->in + s->in_length, sizeof(s->in) - s->in_length, 0);

        if (n <= 0) {
            fail(s, &s->stats->missing_replies, "no answer to the negotiation");
            return false;
        }
        s->in_length += (size_t)n;
    }
    if (length != s->in_length || s->in[4] != SMFIC_OPTNEG || !cm_mta_take_negotiation(s, s->in + 5, length - 5)) {
        fail(s, &s->stats->protocol_errors, "negotiation not understood, or no verdict at RCPT");
        return false;
    }
    s->in_length = 0;
    return true;
}

bool cm_mta_open(struct cm_mta_session *s, const struct cm_mta_plan *plan, struct cm_mta_stats *stats, uint64_t seed)
{
    struct timeval limit = {.tv_sec = plan->timeout_ms / 1000, .tv_usec = (plan->timeout_ms % 1000) * 1000};

    memset(s, 0, sizeof(*s));
    s->plan = plan;
    s->stats = stats;
    s->random = seed;
    s->first_message = true;
    s->step = CM_MTA_STEP_CONNECT;
    cm_mta_set_default_lists(s);
    s->out = malloc(CM_MTA_OUT_BYTES);
    s->fd = connect_to(plan->socket);
    if (s->out == NULL || s->fd < 0) {
        fail(s, &stats->failed_connections, "cannot connect to the filter");
        return false;
    }
    if (setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) {
        fail(s, &stats->failed_connections, "cannot set a time limit");
        return false;
    }
    if (!negotiate(s)) {
        return false;
    }
    s->state = CM_MTA_READY;
    return true;
}

void cm_mta_give_up(struct cm_mta_session *s)
{
    uint64_t wait_ns = cm_latency_now_ns() - s->sent_ns;

    if (wait_ns > s->longest_ns) {
        s->longest_ns = wait_ns;
    }
    fail(s, &s->stats->missing_replies, "no answer in time");
}

void cm_mta_close(struct cm_mta_session *s)
{
    if (s->state == CM_MTA_CLOSED) {
        return;
    }
    cm_mta_put_bare(s, SMFIC_ABORT);
    cm_mta_put_bare(s, SMFIC_ABORT);
    cm_mta_put_bare(s, SMFIC_QUIT);
    (void)send(s->fd, s->out, s->out_length, MSG_NOSIGNAL | MSG_DONTWAIT); /* a courtesy; the close says the same */
    drop(s);
}
