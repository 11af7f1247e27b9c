#include "mta_send.h"

#include "recipients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmilter/mfdef.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Numbers of the macro lists in SMFIR_SETSYMLIST; mfapi.h has them too, but that is the filter's side. */
enum { LIST_CONNECT, LIST_HELO, LIST_MAIL, LIST_RCPT, LIST_DATA, LIST_EOM, LIST_EOH };

enum { ACTIONS_OFFERED = 0x1ff, STEPS_OFFERED = 0x1fffff, VERSION_OFFERED = 6 };

/* One stage of the protocol: its command, the bits that switch it or its reply off, and its macros. */
struct stage {
    char command;
    uint32_t skip;
    uint32_t no_reply;
    int list;
    bool macros_when_skipped;
};

static const struct stage stages[] = {
    [CM_MTA_STEP_CONNECT] = {SMFIC_CONNECT, SMFIP_NOCONNECT, SMFIP_NR_CONN, LIST_CONNECT, true},
    [CM_MTA_STEP_HELO] = {SMFIC_HELO, SMFIP_NOHELO, SMFIP_NR_HELO, LIST_HELO, true},
    [CM_MTA_STEP_MAIL] = {SMFIC_MAIL, SMFIP_NOMAIL, SMFIP_NR_MAIL, LIST_MAIL, true},
    [CM_MTA_STEP_RCPT] = {SMFIC_RCPT, SMFIP_NORCPT, SMFIP_NR_RCPT, LIST_RCPT, true},
    [CM_MTA_STEP_DATA] = {SMFIC_DATA, SMFIP_NODATA, SMFIP_NR_DATA, LIST_DATA, true},
    [CM_MTA_STEP_HEADER] = {SMFIC_HEADER, SMFIP_NOHDRS, SMFIP_NR_HDR, LIST_EOM, false},
    [CM_MTA_STEP_EOH] = {SMFIC_EOH, SMFIP_NOEOH, SMFIP_NR_EOH, LIST_EOH, false},
    [CM_MTA_STEP_BODY] = {SMFIC_BODY, SMFIP_NOBODY, SMFIP_NR_BODY, LIST_EOM, false},
    [CM_MTA_STEP_EOM] = {SMFIC_BODYEOB, 0, 0, LIST_EOM, true},
};

/* All macros that we can send; the numbers in a session's lists are indexes into this table, 0 ends a list. */
static const char *const macro_names[] = {
    "",
    "j",
    "{daemon_name}",
    "{daemon_addr}",
    "v",
    "_",
    "i",
    "{auth_type}",
    "{auth_authen}",
    "{mail_addr}",
    "{mail_host}",
    "{mail_mailer}",
    "{rcpt_addr}",
    "{rcpt_host}",
    "{rcpt_mailer}",
    "{client_addr}",
    "{client_name}",
    "{client_ptr}",
};

static const char *const default_lists[CM_MTA_LISTS] = {
    [LIST_CONNECT] = "j {daemon_name} {daemon_addr} v _",
    [LIST_HELO] = "",
    [LIST_MAIL] = "i {auth_type} {auth_authen} {mail_addr} {mail_host} {mail_mailer}",
    [LIST_RCPT] = "i {rcpt_addr} {rcpt_host} {rcpt_mailer}",
    [LIST_DATA] = "i",
    [LIST_EOM] = "i",
    [LIST_EOH] = "i",
};

static void put(struct cm_mta_session *s, const void *data, size_t length)
{
    if (s->out_length + length > CM_MTA_OUT_BYTES) {
        abort(); /* milterload bounds headers and body so that one batch fits */
    }
    memcpy(s->out + s->out_length, data, length);
    s->out_length += length;
}

static void put_text(struct cm_mta_session *s, const char *text)
{
    put(s, text, strlen(text) + 1);
}

static void put_number(struct cm_mta_session *s, uint32_t number)
{
    uint32_t wire = htonl(number);

    put(s, &wire, sizeof(wire));
}

/* Starts a packet; the length is filled in by packet_end(). */
static size_t packet_begin(struct cm_mta_session *s, char command)
{
    size_t start = s->out_length;

    put_number(s, 0);
    put(s, &command, 1);
    return start;
}

static void packet_end(struct cm_mta_session *s, size_t start)
{
    uint32_t wire = htonl((uint32_t)(s->out_length - start - 4));

    memcpy(s->out + start, &wire, sizeof(wire));
}

bool cm_mta_flush(struct cm_mta_session *s)
{
    size_t done = 0;

    while (done < s->out_length) {
        ssize_t n = send(s->fd, s->out + done, s->out_length - done, MSG_NOSIGNAL);

        if (n > 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd p = {.fd = s->fd, .events = POLLOUT};

            if (poll(&p, 1, (int)s->plan->timeout_ms) == 0) {
                break;
            }
        } else if (errno != EINTR) {
            break;
        }
    }
    if (done < s->out_length) {
        return false;
    }
    s->out_length = 0;
    return true;
}

static const char *behind_at(const char *address)
{
    const char *at = strchr(address, '@');

    return at != NULL ? at + 1 : NULL;
}

/* NULL: the macro has no value now, Postfix leaves it out. */
static const char *macro_value(const struct cm_mta_session *s, const char *name)
{
    if (strcmp(name, "i") == 0) {
        return s->accepted_count > 0 ? s->queue_id : NULL;
    }
    if (strcmp(name, "{rcpt_addr}") == 0) {
        return s->recipient;
    }
    if (strcmp(name, "{auth_authen}") == 0) {
        return s->plan->login;
    }
    if (strcmp(name, "{auth_type}") == 0) {
        return s->plan->login != NULL ? "PLAIN" : NULL;
    }
    if (strcmp(name, "{mail_addr}") == 0) {
        return s->plan->from;
    }
    if (strcmp(name, "{rcpt_mailer}") == 0 || strcmp(name, "{mail_mailer}") == 0) {
        return "smtp";
    }
    if (strcmp(name, "{rcpt_host}") == 0) {
        return behind_at(s->recipient);
    }
    if (strcmp(name, "{mail_host}") == 0) {
        return behind_at(s->plan->from);
    }
    if (strcmp(name, "{client_addr}") == 0 || strcmp(name, "{daemon_addr}") == 0) {
        return "127.0.0.1";
    }
    if (strcmp(name, "{client_name}") == 0 || strcmp(name, "{client_ptr}") == 0) {
        return "localhost";
    }
    if (strcmp(name, "v") == 0) {
        return "Postfix 3.7.11";
    }
    if (strcmp(name, "_") == 0) {
        return "localhost [127.0.0.1]";
    }
    return "mx.bench.test"; /* j and {daemon_name} */
}

static void put_macros(struct cm_mta_session *s, const struct stage *stage)
{
    size_t start = packet_begin(s, SMFIC_MACRO);

    put(s, &stage->command, 1);
    for (const uint8_t *m = s->lists[stage->list]; *m != 0; m++) {
        const char *value = macro_value(s, macro_names[*m]);

        if (value != NULL) {
            put_text(s, macro_names[*m]);
            put_text(s, value);
        }
    }
    packet_end(s, start);
}

static void put_header(struct cm_mta_session *s)
{
    char name[32], value[64];

    (void)snprintf(name, sizeof(name), "X-Bench-%u", s->header_index);
    (void)snprintf(value, sizeof(value), "value %u of message %llu", s->header_index,
                   (unsigned long long)s->message_number);
    put_text(s, s->header_index == 0 ? "From" : name);
    put_text(s, s->header_index == 0 ? s->plan->from : value);
}

static void put_body(struct cm_mta_session *s)
{
    static const char line[] = "All work and no play makes a dull body of a message, line by line.\r\n";
    size_t left = s->plan->body_bytes;

    while (left > 0) {
        size_t n = left < sizeof(line) - 1 ? left : sizeof(line) - 1;

        put(s, line, n);
        left -= n;
    }
}

static void put_payload(struct cm_mta_session *s)
{
    static const unsigned char port[3] = {SMFIA_INET, 0xe0, 0x6a};
    char text[CM_BENCH_ADDRESS_BYTES + 80];

    switch (s->step) {
    case CM_MTA_STEP_CONNECT:
        put_text(s, "localhost");
        put(s, port, sizeof(port));
        put_text(s, "127.0.0.1");
        break;
    case CM_MTA_STEP_HELO: put_text(s, "client.bench.test"); break;
    case CM_MTA_STEP_MAIL:
        (void)snprintf(text, sizeof(text), "<%s>", s->plan->from);
        put_text(s, text);
        put_text(s, "size=2048");
        break;
    case CM_MTA_STEP_RCPT:
        (void)snprintf(text, sizeof(text), "<%s>", s->recipient);
        put_text(s, text);
        break;
    case CM_MTA_STEP_HEADER: put_header(s); break;
    case CM_MTA_STEP_BODY: put_body(s); break;
    default: break;
    }
}

bool cm_mta_put_stage(struct cm_mta_session *s)
{
    const struct stage *stage = &stages[s->step];
    bool skipped = (s->protocol & stage->skip) != 0;
    size_t start;

    if (!skipped || stage->macros_when_skipped) {
        put_macros(s, stage);
    }
    if (skipped) {
        return false;
    }
    start = packet_begin(s, stage->command);
    put_payload(s);
    packet_end(s, start);
    return (s->protocol & stage->no_reply) == 0;
}

void cm_mta_put_bare(struct cm_mta_session *s, char command)
{
    packet_end(s, packet_begin(s, command));
}

static void set_list(struct cm_mta_session *s, int list, const char *names)
{
    unsigned count = 0;
    char copy[512], *rest = copy;
    const char *name;

    (void)snprintf(copy, sizeof(copy), "%s", names);
    while ((name = strtok_r(rest, " ,", &rest)) != NULL) {
        for (size_t i = 1; i < sizeof(macro_names) / sizeof(macro_names[0]); i++) {
            if (strcmp(name, macro_names[i]) == 0 && count < CM_MTA_LIST_MACROS) {
                s->lists[list][count++] = (uint8_t)i;
            }
        }
    }
    s->lists[list][count] = 0;
}

/* What the filter asks for: 12 bytes of bits, then macro lists as stage number and text. */
bool cm_mta_take_negotiation(struct cm_mta_session *s, const unsigned char *data, size_t length)
{
    uint32_t words[3];

    if (length < sizeof(words)) {
        return false;
    }
    memcpy(words, data, sizeof(words));
    s->protocol = ntohl(words[2]);
    if (ntohl(words[0]) > VERSION_OFFERED || (ntohl(words[1]) & ~(uint32_t)ACTIONS_OFFERED) != 0 ||
        (s->protocol & ~(uint32_t)STEPS_OFFERED) != 0 || (s->protocol & (SMFIP_NORCPT | SMFIP_NR_RCPT)) != 0) {
        return false;
    }
    data += sizeof(words);
    length -= sizeof(words);
    while (length > 4) {
        uint32_t list;
        size_t names = strnlen((const char *)data + 4, length - 4);

        memcpy(&list, data, sizeof(list));
        list = ntohl(list);
        if (list >= CM_MTA_LISTS || names == length - 4) {
            return false;
        }
        set_list(s, (int)list, (const char *)data + 4);
        data += 4 + names + 1;
        length -= 4 + names + 1;
    }
    return length == 0;
}

void cm_mta_set_default_lists(struct cm_mta_session *s)
{
    for (int i = 0; i < CM_MTA_LISTS; i++) {
        set_list(s, i, default_lists[i]);
    }
}

void cm_mta_put_offer(struct cm_mta_session *s)
{
    size_t start = packet_begin(s, SMFIC_OPTNEG);

    put_number(s, VERSION_OFFERED);
    put_number(s, ACTIONS_OFFERED);
    put_number(s, STEPS_OFFERED);
    packet_end(s, start);
}

char cm_mta_command(enum cm_mta_step step)
{
    return stages[step].command;
}
