#include "core/stream.h"

#include <string.h>

#include "core/pattern.h"
#include "stream_internal.h"

#define PURPOSE_SEGMENTS_MAX 8

/* --- conditions of the session and the envelope --- */

static bool any_pattern_matches(const struct cm_patterns *patterns, struct cm_span text)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (cm_pattern_match(patterns->items[i], text, NULL)) {
            return true;
        }
    }
    return false;
}

/* What the MTA did not tell meets no pattern, not even "*": otherwise silence would be the best disguise. */
static bool any_pattern_matches_known(const struct cm_patterns *patterns, struct cm_span text)
{
    return text.len > 0 && any_pattern_matches(patterns, text);
}

static bool any_network_contains(const struct cm_networks *networks, const struct cm_ip *ip)
{
    for (size_t i = 0; i < networks->count; i++) {
        if (cm_cidr_contains(&networks->items[i], ip)) {
            return true;
        }
    }
    return false;
}

static bool meets_all(const struct cm_session_conditions *conditions, const struct cm_session_facts *facts)
{
    return (conditions->auth.count == 0 || any_pattern_matches_known(&conditions->auth, facts->auth)) &&
           (conditions->daemon.count == 0 || any_pattern_matches_known(&conditions->daemon, facts->daemon)) &&
           (conditions->client.count == 0 || any_network_contains(&conditions->client, &facts->client)) &&
           (!conditions->local || facts->local);
}

static bool meets_any(const struct cm_session_conditions *conditions, const struct cm_session_facts *facts)
{
    return any_pattern_matches_known(&conditions->auth, facts->auth) ||
           any_pattern_matches_known(&conditions->daemon, facts->daemon) ||
           any_network_contains(&conditions->client, &facts->client) || (conditions->local && facts->local);
}

/* A class nobody set claims as marketing does. LAW-1 */
static bool class_claims(enum cm_stream_class class)
{
    switch (class) {
    case CM_CLASS_UNSET:
    case CM_CLASS_MARKETING: return true;
    case CM_CLASS_SERVICE:
    case CM_CLASS_CONSENT_REQUEST: return false;
    }
    return true;
}

/* What is known of the streams that were looked at so far. */
struct gathering {
    const struct cm_stream_table *table;
    const struct cm_session_facts *facts;
    struct cm_span mail_from;
    struct cm_claim claim;
    uint16_t *candidates;
    size_t count;
};

/* To be called in the order of the streams. The claim looks at every stream that the session meets, also behind the
 * last candidate: the order of streams never releases anybody. */
static void gather(struct gathering *gathering, size_t index)
{
    const struct cm_stream *stream = &gathering->table->streams[index];
    struct cm_claim *claim = &gathering->claim;
    if (!meets_all(&stream->session, gathering->facts)) {
        return;
    }
    if (class_claims(stream->class)) {
        claim->claimed = true;
        claim->observed = claim->observed && stream->mode == CM_MODE_OBSERVE;
    }
    if (!claim->may_match_none ||
        (stream->mail_from.count > 0 && !any_pattern_matches(&stream->mail_from, gathering->mail_from))) {
        return;
    }
    gathering->candidates[gathering->count++] = (uint16_t)index;
    claim->may_match_none = stream->header_count > 0;
}

size_t cm_stream_candidates(const struct cm_stream_table *table, const struct cm_session_facts *facts,
                            struct cm_span mail_from, uint16_t *out_candidates, struct cm_claim *out_claim)
{
    struct gathering gathering = {
        .table = table,
        .facts = facts,
        .mail_from = mail_from,
        .claim = {.outgoing = meets_any(&table->outgoing, facts), .observed = true, .may_match_none = true},
        .candidates = out_candidates,
    };
    if (table->index != NULL) {
        struct cm_stream_walk walk = cm_stream_walk_begin(table->index, facts);
        for (size_t i = cm_stream_walk_next(&walk); i != CM_NO_STREAM; i = cm_stream_walk_next(&walk)) {
            gather(&gathering, i);
        }
    }
    for (size_t i = 0; table->index == NULL && i < table->count; i++) {
        gather(&gathering, i);
    }
    gathering.claim.observed = gathering.claim.observed && gathering.claim.claimed;
    *out_claim = gathering.claim;
    return gathering.count;
}

/* --- conditions of the header --- */

bool cm_header_is_named(const struct cm_header *header, const char *name)
{
    return cm_span_equal_nocase(cm_span_trim(header->name), cm_span_of(name));
}

bool cm_header_value_matches(const char *pattern, struct cm_span value)
{
    size_t len = strlen(pattern);
    bool open_end = len > 0 && pattern[len - 1] == '*';
    return (value.len < CM_LIMIT_HEADER_VALUE_BYTES || open_end) && cm_pattern_match(pattern, value, NULL);
}

static bool condition_met(const struct cm_header_condition *condition, const struct cm_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (cm_header_is_named(&headers[i], condition->name) &&
            cm_header_value_matches(condition->value, headers[i].value)) {
            return true;
        }
    }
    return false;
}

static bool all_conditions_met(const struct cm_stream *stream, const struct cm_header *headers, size_t count)
{
    for (size_t i = 0; i < stream->header_count; i++) {
        if (!condition_met(&stream->headers[i], headers, count)) {
            return false;
        }
    }
    return true;
}

size_t cm_stream_select(const struct cm_stream_table *table, const uint16_t *candidates, size_t candidate_count,
                        const struct cm_header *headers, size_t header_count)
{
    for (size_t i = 0; i < candidate_count; i++) {
        if (all_conditions_met(&table->streams[candidates[i]], headers, header_count)) {
            return candidates[i];
        }
    }
    return CM_NO_STREAM;
}

/* --- the purpose --- */

static bool is_purpose_byte(char c)
{
    return (c >= 'a' && c <= 'z') || cm_ascii_is_digit(c) || c == '.' || c == '_' || c == '-';
}

bool cm_purpose_path_is_valid(struct cm_span path)
{
    size_t segments = 0;
    struct cm_span segment;
    if (path.len == 0 || path.len > CM_LIMIT_PURPOSE_BYTES) {
        return false;
    }
    while (cm_span_next(&path, '/', &segment)) {
        if (segment.len == 0 || ++segments > PURPOSE_SEGMENTS_MAX) {
            return false;
        }
        for (size_t i = 0; i < segment.len; i++) {
            if (!is_purpose_byte(segment.p[i])) {
                return false;
            }
        }
    }
    return true;
}

/* The part of MAIL FROM that {purpose} stands for in the first pattern that matches; an empty span if there is none. */
static struct cm_span purpose_of_mail_from(const struct cm_stream *stream, struct cm_span mail_from)
{
    struct cm_span purpose = {NULL, 0};
    for (size_t i = 0; i < stream->mail_from.count; i++) {
        if (cm_pattern_match(stream->mail_from.items[i], mail_from, &purpose)) {
            break;
        }
    }
    return purpose;
}

/* An empty span if the header is absent or there twice: two declarations are none. */
static struct cm_span purpose_of_headers(const struct cm_stream *stream, const struct cm_header *headers, size_t count)
{
    const struct cm_header *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!cm_header_is_named(&headers[i], stream->purpose_header)) {
            continue;
        }
        if (found != NULL) {
            return (struct cm_span){NULL, 0};
        }
        found = &headers[i];
    }
    return found != NULL ? cm_span_trim(found->value) : (struct cm_span){NULL, 0};
}

/* Writes "sender/path" in lower case, if that is a purpose. */
static enum cm_purpose_status join_purpose(const char *sender, struct cm_span path,
                                           char out[CM_LIMIT_PURPOSE_BYTES + 1])
{
    char joined[CM_LIMIT_PURPOSE_BYTES + 1];
    struct cm_text t = cm_text_over(joined, sizeof(joined));
    cm_text_add_str(&t, sender);
    cm_text_add_char(&t, '/');
    for (size_t i = 0; i < path.len && !t.truncated; i++) {
        cm_text_add_char(&t, cm_ascii_lower(path.p[i]));
    }
    if (t.truncated || path.len == 0 || !cm_purpose_path_is_valid((struct cm_span){joined, t.len})) {
        return CM_PURPOSE_MISSING;
    }
    memcpy(out, joined, t.len + 1);
    return CM_PURPOSE_FOUND;
}

enum cm_purpose_status cm_stream_purpose(const struct cm_stream *stream, struct cm_span mail_from,
                                         const struct cm_header *headers, size_t header_count,
                                         char out[CM_LIMIT_PURPOSE_BYTES + 1])
{
    switch (stream->purpose_from) {
    case CM_PURPOSE_FIXED: return join_purpose(stream->sender, cm_span_of(stream->purpose), out);
    case CM_PURPOSE_MAIL_FROM: return join_purpose(stream->sender, purpose_of_mail_from(stream, mail_from), out);
    case CM_PURPOSE_HEADER:
        if (headers == NULL) {
            return CM_PURPOSE_NEEDS_HEADERS;
        }
        return join_purpose(stream->sender, purpose_of_headers(stream, headers, header_count), out);
    case CM_PURPOSE_UNSET:
    case CM_PURPOSE_NONE: break;
    }
    return CM_PURPOSE_MISSING;
}
