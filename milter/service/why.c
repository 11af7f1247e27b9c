#include "why.h"

#include "core/pattern.h"

static void begin(struct cm_text *out, const char *word)
{
    cm_text_add_format(out, "%s%s", out->len > 0 ? ", " : "", word);
}

/* Adds which of the patterns it is that the text meets. */
static void tell_patterns(struct cm_text *out, const char *word, const struct cm_patterns *patterns,
                          struct cm_span text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (cm_pattern_match(patterns->items[i], text, NULL)) {
            begin(out, word);
            cm_text_add_format(out, " meets \"%s\"", patterns->items[i]);
            return;
        }
    }
}

static void tell_conditions(const struct cm_session *session, const struct cm_stream *stream, struct cm_text *out)
{
    tell_patterns(out, "auth", &stream->session.auth, cm_span_of(session->auth));
    tell_patterns(out, "daemon", &stream->session.daemon, cm_span_of(session->daemon));
    for (size_t i = 0; i < stream->session.client.count; i++) {
        if (cm_cidr_contains(&stream->session.client.items[i], &session->client_ip)) {
            begin(out, "client");
            cm_text_add_format(out, " is in network %zu of its list", i + 1);
            break;
        }
    }
    if (stream->session.local) {
        begin(out, "local mail");
    }
    tell_patterns(out, "mail_from", &stream->mail_from, cm_span_of(session->mail_from));
    for (size_t i = 0; i < stream->header_count; i++) {
        begin(out, "header ");
        cm_text_add_format(out, "%s is \"%s\"", stream->headers[i].name, stream->headers[i].value);
    }
    if (out->len == 0) {
        cm_text_add_str(out, "the stream has no conditions");
    }
}

void cm_session_why(const struct cm_session *session, size_t stream, char out[CM_WHY_BYTES])
{
    struct cm_text text = cm_text_over(out, CM_WHY_BYTES);
    if (stream != CM_NO_STREAM) {
        tell_conditions(session, &session->table->streams[stream], &text);
    } else if (session->claim.claimed) {
        cm_text_add_str(&text, "the session belongs to a marketing stream, but MAIL FROM and headers fit none of them");
    } else if (session->claim.outgoing) {
        cm_text_add_str(&text, "no stream takes this session, which is one of our own users");
    } else {
        cm_text_add_str(&text, "no stream takes this session, which is not one of our own users");
    }
}
