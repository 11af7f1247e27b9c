#include "service/keeper_wire.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define SUBJECT_PLACE_DIGITS 5

static const char *const wishes[] = {
    [CM_KEEPER_WRITE] = "write", [CM_KEEPER_STATUS] = "status", [CM_KEEPER_REPLAY_ALL] = "replay"};

static const char *const statuses[] = {
    [CM_KEEPER_APPLIED] = "applied",   [CM_KEEPER_STALE] = "stale",       [CM_KEEPER_DUPLICATE] = "duplicate",
    [CM_KEEPER_REFUSED] = "refused",   [CM_KEEPER_NOT_DONE] = "not_done", [CM_KEEPER_UNCERTAIN] = "uncertain",
    [CM_KEEPER_RECEIVED] = "received", [CM_KEEPER_DONE] = "done",
};

/* The index of `text` in `words`, whose first is unused; 0: it is none of them. */
static unsigned find_word(const char *const *words, size_t count, const char *text)
{
    for (unsigned i = 1; i < count; i++) {
        if (text != NULL && words[i] != NULL && strcmp(words[i], text) == 0) {
            return i;
        }
    }
    return 0;
}

const char *cm_keeper_status_word(enum cm_keeper_status status)
{
    return statuses[status];
}

static json_t *parse_line(struct cm_span line, struct cm_err *err)
{
    json_error_t error;
    json_t *root = json_loadb(line.p, line.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        cm_err_set(err, "not a JSON object: %s", root == NULL ? error.text : "another type");
        json_decref(root);
        return NULL;
    }
    return root;
}

/* --- requests --- */

/* The values of a write as they stand in the line. */
struct raw_write {
    const char *act, *event, *subject, *family, *kind, *source, *request, *document;
    json_int_t sender_scope, scope, state, statement, flags, at, expiry, wait_ms;
    json_t *related;
    int exact;
};

static bool unpack_write(json_t *root, struct raw_write *raw, struct cm_err *err)
{
    json_error_t error;
    const char *wish = NULL;
    *raw = (struct raw_write){0};
    int failed = json_unpack_ex(
        root, &error, JSON_STRICT,
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:I, s?s, s?I, s?I, s?I, s?I, s?b, s?o, s?s, s?s, s?I}", "do", &wish,
        "act", &raw->act, "event", &raw->event, "subject", &raw->subject, "family", &raw->family, "sender_scope",
        &raw->sender_scope, "scope", &raw->scope, "kind", &raw->kind, "state", &raw->state, "source", &raw->source,
        "statement", &raw->statement, "flags", &raw->flags, "at", &raw->at, "expiry", &raw->expiry, "exact",
        &raw->exact, "related", &raw->related, "request", &raw->request, "document", &raw->document, "wait_ms",
        &raw->wait_ms);
    if (failed != 0) {
        cm_err_set(err, "%s", error.text);
    }
    return failed == 0;
}

static bool in_ranges(const struct raw_write *raw, struct cm_err *err)
{
    const struct {
        const char *name;
        json_int_t value;
        json_int_t max;
    } rows[] = {
        {"sender_scope", raw->sender_scope, UINT32_MAX},
        {"scope", raw->scope, UINT32_MAX},
        {"state", raw->state, 15},
        {"statement", raw->statement, UINT16_MAX},
        {"flags", raw->flags, CM_RECORD_BY_GUARDIAN},
        {"at", raw->at, CM_MS_MAX},
        {"expiry", raw->expiry, UINT32_MAX},
        {"wait_ms", raw->wait_ms, CM_KEEPER_WAIT_MAX_MS},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].value < 0 || rows[i].value > rows[i].max) {
            cm_err_set(err, "%s is out of range", rows[i].name);
            return false;
        }
    }
    return true;
}

/* The reverse of cm_subject_format, with the family field beside it. */
static bool read_subject(const char *subject, const char *family, struct cm_subject *out)
{
    uint8_t place[(SUBJECT_PLACE_DIGITS + 1) / 2];
    char digits[SUBJECT_PLACE_DIGITS + 2] = "0";
    struct cm_span text = cm_span_of(subject);
    if (text.len != CM_SUBJECT_TEXT_BYTES - 1) {
        return false;
    }
    memcpy(digits + 1, text.p, SUBJECT_PLACE_DIGITS);
    struct cm_span field = {text.p + SUBJECT_PLACE_DIGITS, text.len - SUBJECT_PLACE_DIGITS};
    if (!cm_hex_decode((struct cm_span){digits, sizeof(digits) - 1}, place, sizeof(place)) ||
        !cm_hex_decode(field, out->exact, CM_FIELD_BYTES) ||
        !cm_hex_decode(cm_span_of(family), out->family, CM_FIELD_BYTES)) {
        return false;
    }
    unsigned bits = (unsigned)cm_get_be(place, sizeof(place));
    out->partition = (uint16_t)(bits >> 10);
    out->bucket = (uint16_t)(bits & 0x3ff);
    return true;
}

static bool read_names(const struct raw_write *raw, struct cm_write *write, struct cm_err *err)
{
    for (unsigned i = 1; cm_act_name((enum cm_act)i) != NULL; i++) {
        if (strcmp(cm_act_name((enum cm_act)i), raw->act) == 0) {
            write->act = (enum cm_act)i;
        }
    }
    for (unsigned i = 1; cm_kind_name((enum cm_kind)i) != NULL; i++) {
        if (strcmp(cm_kind_name((enum cm_kind)i), raw->kind) == 0) {
            write->record.kind = (enum cm_kind)i;
        }
    }
    if (raw->source != NULL) {
        write->record.source = cm_source_by_name(cm_span_of(raw->source));
    }
    if (write->act == CM_ACT_UNSET || write->record.kind == CM_KIND_UNSET ||
        (raw->source != NULL && write->record.source == CM_SOURCE_UNSET)) {
        cm_err_set(err, "act, kind or source is none that is known");
        return false;
    }
    return true;
}

static bool read_related(const json_t *list, struct cm_keeper_request *out, struct cm_err *err)
{
    size_t count = json_array_size(list); /* 0 for what is no array */
    if (list != NULL && (!json_is_array(list) || count > CM_KEEPER_RELATED_MAX)) {
        cm_err_set(err, "related is no list of at most %d scopes", CM_KEEPER_RELATED_MAX);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        json_int_t scope = json_integer_value(item);
        if (!json_is_integer(item) || scope < 0 || scope > UINT32_MAX) {
            cm_err_set(err, "related holds what is no scope");
            return false;
        }
        out->scopes[i] = (uint32_t)scope;
    }
    out->write.related = out->scopes;
    out->write.related_count = count;
    return true;
}

static bool read_write(json_t *root, struct cm_keeper_request *out, struct cm_err *err)
{
    struct raw_write raw;
    struct cm_write *write = &out->write;
    if (!unpack_write(root, &raw, err) || !in_ranges(&raw, err)) {
        return false;
    }
    *write = (struct cm_write){
        .under_exact = raw.exact != 0,
        .sender_scope = (uint32_t)raw.sender_scope,
        .record = {.scope = (uint32_t)raw.scope,
                   .state = (unsigned)raw.state,
                   .statement = (uint16_t)raw.statement,
                   .flags = (unsigned)raw.flags,
                   .event_at = (cm_ms)raw.at,
                   .expiry_s = (uint32_t)raw.expiry},
    };
    out->wait_ms = (unsigned)raw.wait_ms;
    if ((raw.flags & ~(json_int_t)CM_RECORD_BY_GUARDIAN) != 0) {
        cm_err_set(err, "flags may tell of a guardian only");
        return false;
    }
    if (!cm_hex_decode(cm_span_of(raw.event), write->event_id, CM_EVENT_ID_BYTES) ||
        !read_subject(raw.subject, raw.family, &write->subject)) {
        cm_err_set(err, "event, subject or family has not its digits");
        return false;
    }
    if (raw.request != NULL && !cm_ledger_id_parse(cm_span_of(raw.request), &write->request)) {
        cm_err_set(err, "request is no ledger id");
        return false;
    }
    if (raw.document != NULL && !cm_copy(out->document, sizeof(out->document), cm_span_of(raw.document))) {
        cm_err_set(err, "the document is longer than %d bytes", CM_LIMIT_EVIDENCE_BYTES);
        return false;
    }
    write->document = raw.document != NULL ? cm_span_of(out->document) : (struct cm_span){NULL, 0};
    return read_names(&raw, write, err) && read_related(raw.related, out, err);
}

bool cm_keeper_request_read(struct cm_span line, struct cm_keeper_request *out, struct cm_err *err)
{
    json_t *root = parse_line(line, err);
    if (root == NULL) {
        return false;
    }
    out->wish = (enum cm_keeper_wish)find_word(wishes, sizeof(wishes) / sizeof(wishes[0]),
                                               json_string_value(json_object_get(root, "do")));
    bool ok = false;
    if (out->wish == CM_KEEPER_WISH_UNSET) {
        cm_err_set(err, "\"do\" is none of write, status, replay");
    } else if (out->wish == CM_KEEPER_WRITE) {
        ok = read_write(root, out, err);
    } else {
        ok = json_object_size(root) == 1;
        if (!ok) {
            cm_err_set(err, "%s takes nothing else", wishes[out->wish]);
        }
    }
    json_decref(root);
    return ok;
}

static bool add(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0; /* also false where `value` could not be made */
}

static json_t *hex_text(const uint8_t *bytes, size_t count)
{
    char hex[2 * CM_EVENT_ID_BYTES + 1];
    struct cm_text text = cm_text_over(hex, sizeof(hex));
    cm_text_add_hex(&text, bytes, count);
    return json_string(hex);
}

/* What is not its default. */
static bool add_rest(json_t *root, const struct cm_write *write, unsigned wait_ms)
{
    const struct cm_record *record = &write->record;
    const struct {
        const char *key;
        json_int_t value;
    } numbers[] = {
        {"statement", record->statement},
        {"flags", record->flags & (unsigned)CM_RECORD_BY_GUARDIAN},
        {"at", record->event_at},
        {"expiry", record->expiry_s},
        {"wait_ms", wait_ms},
    };
    bool ok = true;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        ok = ok && (numbers[i].value == 0 || add(root, numbers[i].key, json_integer(numbers[i].value)));
    }
    if (record->source != CM_SOURCE_UNSET) {
        ok = ok && add(root, "source", json_string(cm_source_name(record->source)));
    }
    if (write->under_exact) {
        ok = ok && add(root, "exact", json_true());
    }
    if (write->request != 0) {
        char id[CM_LEDGER_ID_TEXT_BYTES];
        cm_ledger_id_format(write->request, id);
        ok = ok && add(root, "request", json_string(id));
    }
    if (write->document.len > 0) {
        ok = ok && add(root, "document", json_stringn(write->document.p, write->document.len));
    }
    if (write->related_count > 0) {
        json_t *list = json_array();
        for (size_t i = 0; i < write->related_count; i++) {
            ok = ok && json_array_append_new(list, json_integer(write->related[i])) == 0;
        }
        ok = add(root, "related", list) && ok;
    }
    return ok;
}

char *cm_keeper_request_write(const struct cm_write *write, unsigned wait_ms)
{
    char subject[CM_SUBJECT_TEXT_BYTES];
    cm_subject_format(&write->subject, subject);
    json_t *root = json_pack("{s:s, s:s, s:o, s:s, s:o, s:I, s:I, s:s, s:I}", "do", wishes[CM_KEEPER_WRITE], "act",
                             cm_act_name(write->act), "event", hex_text(write->event_id, CM_EVENT_ID_BYTES), "subject",
                             subject, "family", hex_text(write->subject.family, CM_FIELD_BYTES), "sender_scope",
                             (json_int_t)write->sender_scope, "scope", (json_int_t)write->record.scope, "kind",
                             cm_kind_name(write->record.kind), "state", (json_int_t)write->record.state);
    char *text = root != NULL && add_rest(root, write, wait_ms) ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

/* --- answers --- */

/* Takes the object over. What jansson cannot make (no memory, a text that is no UTF-8) becomes a plain word: the other
 * side then does not know, which is safe. */
static void add_line(json_t *root, bool ok, struct cm_text *out)
{
    char *text = ok ? json_dumps(root, JSON_COMPACT) : NULL;
    cm_text_add_str(out, text != NULL ? text : "{\"status\":\"uncertain\",\"error\":\"the answer cannot be written\"}");
    cm_text_add_char(out, '\n');
    free(text);
    json_decref(root);
}

void cm_keeper_answer_write(const struct cm_keeper_answer *answer, struct cm_text *out)
{
    char ledger[CM_LEDGER_ID_TEXT_BYTES];
    json_t *root = json_pack("{s:s, s:b}", "status", cm_keeper_status_word(answer->status), "effect",
                             (int)answer->in_effect);
    bool ok = root != NULL;
    if (answer->ledger != 0) {
        cm_ledger_id_format(answer->ledger, ledger);
        ok = ok && add(root, "ledger", json_string(ledger)) && add(root, "at", json_integer(answer->event_at));
    }
    if (answer->err.text[0] != '\0') {
        /* Errors may quote what somebody sent. */
        json_t *text = json_string(answer->err.text);
        ok = ok && add(root, "error", text != NULL ? text : json_string("(not printable)"));
    }
    if (answer->trouble != CM_TROUBLE_UNSET && answer->trouble != CM_TROUBLE_NONE) {
        ok = ok && add(root, "trouble", json_string(cm_trouble_name(answer->trouble)));
    }
    add_line(root, ok, out);
}

static enum cm_trouble trouble_by_name(const char *name)
{
    for (unsigned i = CM_TROUBLE_NONE + 1; name != NULL && i < CM_TROUBLE_COUNT; i++) {
        if (strcmp(cm_trouble_name((enum cm_trouble)i), name) == 0) {
            return (enum cm_trouble)i;
        }
    }
    return CM_TROUBLE_NONE;
}

bool cm_keeper_answer_read(struct cm_span line, struct cm_keeper_answer *out, struct cm_err *err)
{
    json_error_t error;
    const char *status = NULL;
    const char *ledger = NULL;
    const char *text = NULL;
    const char *trouble = NULL;
    json_int_t at = 0;
    int effect = 0;
    struct cm_keeper_answer answer = {0};
    json_t *root = parse_line(line, err);
    if (root == NULL) {
        return false;
    }
    bool ok = json_unpack_ex(root, &error, 0, "{s:s, s?b, s?s, s?I, s?s, s?s}", "status", &status, "effect", &effect,
                             "ledger", &ledger, "at", &at, "error", &text, "trouble", &trouble) == 0;
    answer.status = (enum cm_keeper_status)find_word(statuses, sizeof(statuses) / sizeof(statuses[0]), status);
    ok = ok && answer.status != CM_KEEPER_STATUS_UNSET && at >= 0 && at <= CM_MS_MAX &&
         (ledger == NULL || cm_ledger_id_parse(cm_span_of(ledger), &answer.ledger));
    if (ok) {
        answer.in_effect = effect != 0;
        answer.event_at = (cm_ms)at;
        answer.trouble = trouble_by_name(trouble);
        (void)cm_copy(answer.err.text, sizeof(answer.err.text), cm_span_of(text)); /* a long one is cut */
        *out = answer;
    } else {
        cm_err_set(err, "the keeper's answer cannot be read");
    }
    json_decref(root);
    return ok;
}

void cm_keeper_report_write(const struct cm_keeper_report *report, struct cm_text *out)
{
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "status",
                             statuses[CM_KEEPER_DONE], "keeper", report->keeper, "state", report->state, "trouble",
                             report->trouble, "run_id", report->incarnation.run_id, "replication_id",
                             report->incarnation.replication_id, "beat_age_ms", (json_int_t)report->beat_age_ms,
                             "first", (json_int_t)report->first, "last", (json_int_t)report->last, "acts",
                             (json_int_t)report->acts, "pending", (json_int_t)report->pending);
    add_line(root, root != NULL, out);
}

bool cm_keeper_report_read(struct cm_span line, struct cm_keeper_report *out, struct cm_err *err)
{
    struct cm_keeper_answer answer;
    struct cm_keeper_report report = {0};
    const char *texts[5] = {0};
    json_int_t numbers[5] = {0};
    if (!cm_keeper_answer_read(line, &answer, err)) {
        return false;
    }
    if (answer.status != CM_KEEPER_DONE) {
        cm_err_set(err, "%s", answer.err.text);
        return false;
    }
    json_error_t error;
    json_t *root = parse_line(line, err);
    bool ok = json_unpack_ex(root, &error, 0, "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "keeper", &texts[0],
                             "state", &texts[1], "trouble", &texts[2], "run_id", &texts[3], "replication_id", &texts[4],
                             "beat_age_ms", &numbers[0], "first", &numbers[1], "last", &numbers[2], "acts", &numbers[3],
                             "pending", &numbers[4]) == 0;
    ok = ok && cm_copy(report.keeper, sizeof(report.keeper), cm_span_of(texts[0])) &&
         cm_copy(report.state, sizeof(report.state), cm_span_of(texts[1])) &&
         cm_copy(report.trouble, sizeof(report.trouble), cm_span_of(texts[2])) &&
         cm_copy(report.incarnation.run_id, sizeof(report.incarnation.run_id), cm_span_of(texts[3])) &&
         cm_copy(report.incarnation.replication_id, sizeof(report.incarnation.replication_id), cm_span_of(texts[4]));
    if (ok) {
        report.beat_age_ms = numbers[0];
        report.first = (uint64_t)numbers[1];
        report.last = (uint64_t)numbers[2];
        report.acts = (uint64_t)numbers[3];
        report.pending = (uint64_t)numbers[4];
        *out = report;
    } else {
        cm_err_set(err, "the keeper's answer cannot be read");
    }
    json_decref(root);
    return ok;
}
