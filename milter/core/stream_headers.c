/* What the headers of a message tell: marks of bulk mail, whether it is what it declares, and which must be kept. */
#include <string.h>

#include "core/address.h"
#include "core/pattern.h"
#include "core/stream.h"
#include "stream_internal.h"

/* --- marks of bulk mail --- */

static const char *const bulk_marks[] = {"List-Id", "List-Unsubscribe", "Feedback-ID"};
static const char *const bulk_precedences[] = {"bulk", "list", "junk"};
static const char precedence[] = "Precedence";

static bool is_any_of(struct cm_span text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (cm_span_equal_nocase(text, cm_span_of(words[i]))) {
            return true;
        }
    }
    return false;
}

bool cm_header_marks_bulk(const struct cm_header *header)
{
    if (cm_header_is_named(header, precedence)) {
        return is_any_of(cm_span_trim(header->value), bulk_precedences,
                         sizeof(bulk_precedences) / sizeof(bulk_precedences[0]));
    }
    return is_any_of(cm_span_trim(header->name), bulk_marks, sizeof(bulk_marks) / sizeof(bulk_marks[0]));
}

/* What the large sending services put on the messages of a campaign, and on no receipt. */
static const char *const campaign_marks[] = {"X-Campaign",   "X-CampaignID",     "X-Campaign-Id",     "X-MC-User",
                                             "X-Mailer-LID", "X-CSA-Complaints", "X-List-Unsubscribe"};

bool cm_header_marks_campaign(const struct cm_header *header)
{
    return cm_header_marks_bulk(header) ||
           is_any_of(cm_span_trim(header->name), campaign_marks, sizeof(campaign_marks) / sizeof(campaign_marks[0]));
}

/* --- what a message says of itself --- */

/* The only header of this name; NULL if there is none or more than one, which *out_count tells. */
static const struct cm_header *only_one(const char *name, const struct cm_header *headers, size_t count,
                                        size_t *out_count)
{
    const struct cm_header *found = NULL;
    *out_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (cm_header_is_named(&headers[i], name)) {
            found = &headers[i];
            (*out_count)++;
        }
    }
    return *out_count == 1 ? found : NULL;
}

/* RFC 2919: the identifier stands in angle brackets at the end; what is before is for people. */
static struct cm_span list_identifier(struct cm_span value)
{
    struct cm_span text = cm_span_trim(value);
    if (text.len < 2 || text.p[text.len - 1] != '>') {
        return text;
    }
    size_t at = text.len - 1;
    while (at > 0 && text.p[at - 1] != '<') {
        at--;
    }
    return at == 0 ? text : cm_span_trim((struct cm_span){text.p + at, text.len - 1 - at});
}

/* `path` is the declared purpose below the sender. A pattern without {purpose} captures nothing and needs no more. */
static bool pattern_agrees(const struct cm_patterns *patterns, struct cm_span text, struct cm_span path)
{
    for (size_t i = 0; i < patterns->count; i++) {
        struct cm_span said = {NULL, 0};
        if (cm_pattern_match(patterns->items[i], text, &said) && (said.p == NULL || cm_span_equal_nocase(said, path))) {
            return true;
        }
    }
    return false;
}

static bool from_agrees(const struct cm_stream *stream, struct cm_span path, const struct cm_header *headers,
                        size_t count)
{
    size_t found = 0;
    struct cm_address address;
    const struct cm_header *from = only_one("From", headers, count, &found);
    return from != NULL && cm_address_parse(cm_span_trim(from->value), &address) == CM_ADDRESS_OK &&
           pattern_agrees(&stream->from, cm_span_of(address.exact), path);
}

bool cm_stream_agrees(const struct cm_stream *stream, const char *purpose, const struct cm_header *headers,
                      size_t header_count)
{
    size_t found = 0;
    const char *slash = strchr(purpose, '/');
    struct cm_span path = slash != NULL ? cm_span_of(slash + 1) : CM_SPAN("");
    if (stream->from.count > 0 && !from_agrees(stream, path, headers, header_count)) {
        return false;
    }
    const struct cm_header *list_id = only_one("List-Id", headers, header_count, &found);
    return stream->list_id.count == 0 || found == 0 ||
           (list_id != NULL && list_id->value.len < CM_LIMIT_HEADER_VALUE_BYTES &&
            pattern_agrees(&stream->list_id, list_identifier(list_id->value), path));
}

/* --- which headers matter --- */

static bool wants_marks_of_campaigns(const struct cm_stream_table *table)
{
    for (size_t i = 0; table->service_honesty != CM_HONESTY_OFF && i < table->count; i++) {
        if (table->streams[i].class == CM_CLASS_SERVICE) {
            return true;
        }
    }
    return false;
}

bool cm_stream_table_needs_headers(const struct cm_stream_table *table)
{
    if (table->refuse_unmatched_bulk || wants_marks_of_campaigns(table)) {
        return true;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct cm_stream *stream = &table->streams[i];
        if (stream->header_count > 0 || stream->purpose_from == CM_PURPOSE_HEADER || stream->list_id.count > 0 ||
            stream->from.count > 0 || stream->mode == CM_MODE_OBSERVE) { /* observed: forged tags are taken away */
            return true;
        }
    }
    return false;
}

bool cm_stream_wants_header(const struct cm_stream *stream, const struct cm_header *header)
{
    if ((stream->purpose_from == CM_PURPOSE_HEADER && cm_header_is_named(header, stream->purpose_header)) ||
        (stream->list_id.count > 0 && cm_header_is_named(header, "List-Id")) ||
        (stream->from.count > 0 && cm_header_is_named(header, "From"))) {
        return true;
    }
    for (size_t i = 0; i < stream->header_count; i++) {
        if (cm_header_is_named(header, stream->headers[i].name)) {
            return true;
        }
    }
    return false;
}

bool cm_stream_table_wants_header(const struct cm_stream_table *table, struct cm_span name)
{
    const struct cm_header header = {.name = name};
    bool marks_bulk = cm_header_is_named(&header, precedence) || cm_header_marks_bulk(&header);
    if (cm_header_is_named(&header, CM_STATUS_HEADER) || (table->refuse_unmatched_bulk && marks_bulk) ||
        ((marks_bulk || cm_header_marks_campaign(&header)) && wants_marks_of_campaigns(table))) {
        return true;
    }
    if (table->index != NULL) {
        return cm_stream_index_names(table->index, cm_span_trim(name));
    }
    for (size_t i = 0; i < table->count; i++) {
        if (cm_stream_wants_header(&table->streams[i], &header)) {
            return true;
        }
    }
    return false;
}
