#include "core/log_line.h"

#include <string.h>

#define VALUE_BYTES 512 /* no value of ours that is looked at is longer */

/* Where our part of the line begins: behind "QUEUEID: ". p == NULL: nowhere. */
static struct cm_span find_ours(struct cm_span line)
{
    static const char mark[] = ": session=";
    size_t len = sizeof(mark) - 1;
    for (size_t i = 0; i + len <= line.len; i++) {
        if (memcmp(line.p + i, mark, len) == 0 && i > 0 && cm_ascii_is_alnum(line.p[i - 1])) {
            return (struct cm_span){line.p + i + 2, line.len - i - 2};
        }
    }
    return (struct cm_span){NULL, 0};
}

/* The quoted rest of a value, with \xHH undone. False if it does not end, or ends in something else than we write. */
static bool take_quoted(struct cm_span *rest, struct cm_text *value)
{
    size_t i = 1;
    while (i < rest->len && rest->p[i] != '"') {
        uint8_t byte = (uint8_t)rest->p[i];
        if (byte == '\\') {
            if (i + 3 >= rest->len || rest->p[i + 1] != 'x' ||
                !cm_hex_decode((struct cm_span){rest->p + i + 2, 2}, &byte, 1)) {
                return false;
            }
            i += 3;
        }
        cm_text_add_char(value, (char)byte);
        i++;
    }
    if (i >= rest->len) {
        return false;
    }
    *rest = (struct cm_span){rest->p + i + 1, rest->len - i - 1};
    return true;
}

/* One key=value of a line; *rest becomes what follows, without the blank. False at what is none. */
static bool take_pair(struct cm_span *rest, struct cm_span *out_key, struct cm_text *value)
{
    size_t len = 0;
    while (len < rest->len && rest->p[len] != '=' && rest->p[len] != ' ') {
        len++;
    }
    if (len == 0 || len == rest->len || rest->p[len] != '=') {
        return false;
    }
    *out_key = (struct cm_span){rest->p, len};
    *rest = (struct cm_span){rest->p + len + 1, rest->len - len - 1};
    if (rest->len > 0 && rest->p[0] == '"') {
        if (!take_quoted(rest, value)) {
            return false;
        }
    } else {
        for (len = 0; len < rest->len && rest->p[len] != ' '; len++) {
            cm_text_add_char(value, rest->p[len]);
        }
        *rest = (struct cm_span){rest->p + len, rest->len - len};
    }
    if (rest->len > 0 && rest->p[0] != ' ') {
        return false;
    }
    if (rest->len > 0) {
        *rest = (struct cm_span){rest->p + 1, rest->len - 1};
    }
    return !value->truncated;
}

static bool read_id(struct cm_span value, struct cm_log_line *line)
{
    struct cm_decision_id id;
    return cm_decision_id_parse(value, &id) && cm_copy(line->id, sizeof(line->id), value);
}

static bool read_verdict(struct cm_span value, struct cm_log_line *line)
{
    for (unsigned i = CM_VERDICT_ACCEPT; i <= CM_VERDICT_DEFER; i++) {
        if (cm_span_equal(value, cm_span_of(cm_verdict_name((enum cm_verdict)i)))) {
            line->verdict = (enum cm_verdict)i;
        }
    }
    return line->verdict != CM_VERDICT_UNDECIDED;
}

static bool read_reason(struct cm_span value, struct cm_log_line *line)
{
    return cm_reason_by_name(value, &line->reason) && line->reason != CM_REASON_UNSET;
}

static bool read_mode(struct cm_span value, struct cm_log_line *line)
{
    line->observed = cm_span_equal(value, CM_SPAN("observe"));
    return line->observed;
}

static bool read_stream(struct cm_span value, struct cm_log_line *line)
{
    return value.len > 0 && memchr(value.p, '\0', value.len) == NULL &&
           cm_copy(line->stream, sizeof(line->stream), value);
}

static bool read_purpose(struct cm_span value, struct cm_log_line *line)
{
    bool is_none = cm_span_equal(value, CM_SPAN("-"));
    return (is_none || cm_purpose_path_is_valid(value)) &&
           cm_copy(line->purpose, sizeof(line->purpose), is_none ? CM_SPAN("") : value);
}

/* The family is the exact form unless told otherwise. */
static bool read_subject(struct cm_span value, struct cm_log_line *line)
{
    line->has_subject = !cm_span_equal(value, CM_SPAN("-"));
    return !line->has_subject || cm_subject_read(value, &line->subject);
}

static bool read_family(struct cm_span value, struct cm_log_line *line)
{
    return value.len == 16 && cm_hex_decode(value, line->subject.family, CM_FIELD_BYTES);
}

static bool read_pepper(struct cm_span value, struct cm_log_line *line)
{
    uint64_t pepper = 0;
    bool ok = cm_parse_u64(value, CM_PEPPER_ID_MAX, &pepper);
    line->subject.pepper = (uint8_t)pepper;
    return ok && pepper > 0;
}

static const struct {
    const char *key;
    bool (*read)(struct cm_span value, struct cm_log_line *line);
    bool needed;
} keys[] = {
    {"id", read_id, true},          {"verdict", read_verdict, true}, {"reason", read_reason, true},
    {"stream", read_stream, true},  {"purpose", read_purpose, true}, {"subject", read_subject, true},
    {"family", read_family, false}, {"pepper", read_pepper, false},  {"mode", read_mode, false},
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))
#define KEY_FAMILY 6

/* Reads all pairs; `seen` tells which keys there were. False at the first that is not as we write it. */
static bool read_pairs(struct cm_span rest, struct cm_log_line *line, bool seen[KEY_COUNT])
{
    while (rest.len > 0) {
        char storage[VALUE_BYTES];
        struct cm_text value = cm_text_over(storage, sizeof(storage));
        struct cm_span key;
        if (!take_pair(&rest, &key, &value)) {
            return false;
        }
        for (size_t i = 0; i < KEY_COUNT; i++) {
            if (cm_span_equal(key, cm_span_of(keys[i].key))) {
                if (seen[i] || !keys[i].read((struct cm_span){storage, value.len}, line)) {
                    return false;
                }
                seen[i] = true;
            }
        }
    }
    return true;
}

static bool contains(struct cm_span text, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (memcmp(text.p + i, word, len) == 0) {
            return true;
        }
    }
    return false;
}

enum cm_log_line_status cm_log_line_parse(struct cm_span line, struct cm_log_line *out)
{
    struct cm_log_line found = {.id = ""};
    bool seen[KEY_COUNT] = {false};
    struct cm_span ours = find_ours(line);
    if (ours.p == NULL || !contains(ours, " id=") || !contains(ours, " verdict=")) {
        return CM_LOG_LINE_OTHER;
    }
    while (ours.len > 0 && (ours.p[ours.len - 1] == '\n' || ours.p[ours.len - 1] == '\r')) {
        ours.len--;
    }
    bool ok = read_pairs(ours, &found, seen);
    for (size_t i = 0; i < KEY_COUNT; i++) {
        ok = ok && (seen[i] || !keys[i].needed);
    }
    if (!ok) {
        return CM_LOG_LINE_BROKEN;
    }
    if (!seen[KEY_FAMILY]) {
        memcpy(found.subject.family, found.subject.exact, CM_FIELD_BYTES);
    }
    *out = found;
    return CM_LOG_LINE_DECISION;
}
