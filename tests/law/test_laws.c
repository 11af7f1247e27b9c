/*
 * Reads cases.txt (its head explains the form) and asks cm_decide about every row. A row that cannot be read is a
 * failure, and so is a table that has become too small or has lost a law or statute.
 */
#include <stdlib.h>
#include <string.h>

#include "core/statement.h"
#include "world.h"

#define CASES_MIN 200
#define LINE_BYTES 1024
#define STATEMENTS_MAX 4

/* Where a rule may come from. Each must have its case; "LAW-n" is a law of ours. */
static const char *const sources[] = {
    "LAW-1",   "LAW-3",   "LAW-4",   "LAW-5",   "LAW-6",   "LAW-7",        "LAW-8",  "LAW-9",
    "LAW-14",  "LAW-15",  "CASL-6",  "CASL-10", "CASL-11", "PECR-22",      "GDPR-7", "GDPR-8",
    "GDPR-17", "GDPR-18", "GDPR-21", "PIPEDA",  "POLICY",  "AG-161C12736",
};

#define SOURCE_COUNT (sizeof(sources) / sizeof(sources[0]))

struct row {
    struct world_event events[WORLD_EVENTS_MAX];
    size_t count;
    struct cm_question question;
    struct cm_statement statements[STATEMENTS_MAX];
    size_t statement_count;
    enum cm_verdict verdict;
    enum cm_reason reason;
    bool dormant;
};

static const char *problem; /* why the present row cannot be read */

static bool fail(const char *why)
{
    problem = why;
    return false;
}

/* "12" or "12.345" seconds, or a date as cm_time_parse reads it, to milliseconds. */
static bool read_time(struct cm_span s, cm_ms *out)
{
    if (cm_time_parse(s, out)) {
        return true;
    }
    struct cm_span whole;
    uint64_t seconds = 0;
    uint64_t millis = 0;
    if (!cm_span_next(&s, '.', &whole) || !cm_parse_u64(whole, (uint64_t)CM_MS_MAX / 1000, &seconds) ||
        (s.p != NULL && (s.len != 3 || !cm_parse_u64(s, 999, &millis)))) {
        return fail("a time that is no time");
    }
    *out = (cm_ms)(seconds * 1000 + millis);
    return true;
}

static bool read_scope(struct cm_span name, uint32_t *out)
{
    for (uint32_t scope = 0; scope < 64; scope++) {
        if (world_scope_name(scope) != NULL && cm_span_equal(name, cm_span_of(world_scope_name(scope)))) {
            *out = scope;
            return true;
        }
    }
    return fail("an unknown scope");
}

/* KIND[.STATE]@SCOPE, perhaps with the field in front. */
static bool read_event_head(struct cm_span word, struct world_event *event)
{
    struct cm_span kind;
    struct cm_span name;
    if (cm_span_starts_with(word, "exact:")) {
        event->field = WORLD_EXACT;
        word = (struct cm_span){word.p + 6, word.len - 6};
    } else if (cm_span_starts_with(word, "family:")) {
        event->field = WORLD_FAMILY;
        word = (struct cm_span){word.p + 7, word.len - 7};
    }
    (void)cm_span_next(&word, '@', &kind); /* an empty word gives an empty kind, which is none */
    if (word.p == NULL || !read_scope(word, &event->record.scope)) {
        return fail("an event without a known scope");
    }
    (void)cm_span_next(&kind, '.', &name);
    for (unsigned i = 1; i < 16; i++) {
        if (cm_kind_name((enum cm_kind)i) != NULL && cm_span_equal(name, cm_span_of(cm_kind_name((enum cm_kind)i)))) {
            event->record.kind = (enum cm_kind)i;
            event->record.state = kind.p == NULL ? CM_STATE_GIVEN : cm_state_by_name(event->record.kind, kind);
            bool must_name_state = cm_state_name(event->record.kind, 2) != NULL;
            return event->record.state != CM_STATE_UNSET && must_name_state == (kind.p != NULL)
                       ? true
                       : fail("an event whose state is missing or unknown");
        }
    }
    return fail("an unknown kind");
}

static bool read_rank(struct cm_span name, enum cm_rank *out)
{
    for (unsigned i = CM_RANK_SUBJECT; i <= CM_RANK_SYSTEM; i++) {
        if (cm_span_equal(name, cm_span_of(cm_rank_name((enum cm_rank)i)))) {
            *out = (enum cm_rank)i;
            return true;
        }
    }
    return fail("an unknown rank");
}

/* "YYYY-MM": the month of last use. */
static bool read_month(struct cm_span s, uint8_t *out)
{
    struct cm_span year;
    uint64_t y = 0;
    uint64_t m = 0;
    if (!cm_span_next(&s, '-', &year) || s.p == NULL || !cm_parse_u64(year, 2041, &y) || y < 2020 ||
        !cm_parse_u64(s, 12, &m) || m == 0) {
        return fail("a month that is no month, or no longer fits a record");
    }
    *out = (uint8_t)((y - 2020) * 12 + m - 1);
    return *out != 0 ? true : fail("the first month means: never used");
}

static bool read_flag(struct cm_span word, struct cm_record *record)
{
    for (unsigned i = 0; i < 3; i++) {
        if (cm_span_equal(word, cm_span_of(world_flags[i]))) {
            record->flags |= 1U << i;
            return true;
        }
    }
    return false;
}

static bool read_event_word(struct cm_span word, struct cm_record *record, bool *has_time)
{
    struct cm_span key;
    uint64_t number = 0;
    if (read_flag(word, record)) {
        return true;
    }
    (void)cm_span_next(&word, '=', &key); /* a word without '=' leaves word.p NULL, refused by every reader below */
    if (cm_span_equal(key, CM_SPAN("t"))) {
        *has_time = true;
        return read_time(word, &record->event_at);
    }
    if (cm_span_equal(key, CM_SPAN("by"))) {
        return read_rank(word, &record->rank);
    }
    if (cm_span_equal(key, CM_SPAN("expiry")) && cm_parse_u64(word, UINT32_MAX, &number) && number > 0) {
        record->expiry_s = (uint32_t)number;
        return true;
    }
    if (cm_span_equal(key, CM_SPAN("statement")) && cm_parse_u64(word, UINT16_MAX, &number)) {
        record->statement = (uint16_t)number;
        return true;
    }
    if (cm_span_equal(key, CM_SPAN("used"))) {
        return read_month(word, &record->last_use_month);
    }
    return fail("an unknown word in an event");
}

static bool read_event(struct cm_span text, struct world_event *out)
{
    struct cm_span word;
    bool has_head = false;
    bool has_time = false;
    *out = (struct world_event){.record.rank = CM_RANK_SUBJECT};
    while (cm_span_next(&text, ' ', &word)) {
        if (word.len == 0) {
            continue;
        }
        if (!has_head) {
            has_head = true;
            if (!read_event_head(word, out)) {
                return false;
            }
        } else if (!read_event_word(word, &out->record, &has_time)) {
            return false;
        }
    }
    uint8_t packed[CM_RECORD_BYTES];
    struct cm_record again;
    if (!has_head || !has_time) {
        return fail("an event without a head or a time");
    }
    cm_record_encode(&out->record, packed);
    return cm_record_decode(packed, &again) ? true : fail("a record that no store could hold");
}

static bool read_events(struct cm_span text, struct row *row)
{
    struct cm_span part;
    if (cm_span_equal(text, CM_SPAN("-"))) {
        return true;
    }
    while (cm_span_next(&text, ';', &part)) {
        if (row->count == WORLD_EVENTS_MAX) {
            return fail("too many events");
        }
        if (!read_event(cm_span_trim(part), &row->events[row->count])) {
            return false;
        }
        if ((row->events[row->count].field == WORLD_BOTH) != (row->events[0].field == WORLD_BOTH)) {
            return fail("either every event of a row names its form or none");
        }
        row->count++;
    }
    return true;
}

static bool read_bases(struct cm_span names, unsigned *out)
{
    static const struct {
        const char *name;
        unsigned bit;
    } bases[] = {{"none", 0},
                 {"express", CM_BASIS_EXPRESS},
                 {"implied", CM_BASIS_IMPLIED},
                 {"soft_optin", CM_BASIS_SOFT_OPTIN},
                 {"asserted", CM_BASIS_ASSERTED}};
    struct cm_span name;
    *out = 0;
    while (cm_span_next(&names, ',', &name)) {
        size_t i = 0;
        while (i < sizeof(bases) / sizeof(bases[0]) && !cm_span_equal(name, cm_span_of(bases[i].name))) {
            i++;
        }
        if (i == sizeof(bases) / sizeof(bases[0])) {
            return fail("an unknown basis");
        }
        *out |= bases[i].bit;
    }
    return true;
}

/* "VERSION@TIME" */
static bool read_statement(struct cm_span s, bool material, struct row *row)
{
    struct cm_span version;
    uint64_t number = 0;
    if (row->statement_count == STATEMENTS_MAX || !cm_span_next(&s, '@', &version) || s.p == NULL ||
        !cm_parse_u64(version, UINT16_MAX, &number) || number == 0) {
        return fail("a statement without a version and a date, or one too many");
    }
    struct cm_statement *statement = &row->statements[row->statement_count++];
    *statement = (struct cm_statement){.version = (uint16_t)number, .material = material};
    return read_time(s, &statement->effective_at);
}

/* "refuse:MONTHS" or "warn:MONTHS" */
static bool read_dormancy(struct cm_span s, struct cm_dormancy *out)
{
    struct cm_span act;
    uint64_t months = 0;
    (void)cm_span_next(&s, ':', &act); /* without ':' no months follow */
    if (s.p == NULL || !cm_parse_u64(s, CM_DORMANCY_MONTHS_MAX, &months) || months == 0 ||
        !(cm_span_equal(act, CM_SPAN("refuse")) || cm_span_equal(act, CM_SPAN("warn")))) {
        return fail("a dormancy that is none");
    }
    *out = (struct cm_dormancy){(unsigned)months,
                                cm_span_equal(act, CM_SPAN("warn")) ? CM_DORMANCY_WARN : CM_DORMANCY_REFUSE};
    return true;
}

/* Names of reasons, divided by ','. */
static bool read_stops(struct cm_span s, unsigned *out)
{
    struct cm_span name;
    while (cm_span_next(&s, ',', &name)) {
        unsigned reason = 1;
        while (reason < CM_REASON_COUNT && !cm_span_equal(name, cm_span_of(cm_reason_name((enum cm_reason)reason)))) {
            reason++;
        }
        if (reason == CM_REASON_COUNT) {
            return fail("an unknown stop");
        }
        *out |= 1U << reason;
    }
    return true;
}

static bool read_class(struct cm_span word, enum cm_stream_class *out)
{
    if (!cm_span_equal(word, CM_SPAN("consent_request")) && !cm_span_equal(word, CM_SPAN("service"))) {
        return fail("an unknown class");
    }
    *out = cm_span_equal(word, CM_SPAN("service")) ? CM_CLASS_SERVICE : CM_CLASS_CONSENT_REQUEST;
    return true;
}

static bool read_question_word(struct cm_span key, struct cm_span word, struct row *row)
{
    struct cm_question *q = &row->question;
    if (cm_span_equal(key, CM_SPAN("class"))) {
        return read_class(word, &q->class);
    }
    if (cm_span_equal(key, CM_SPAN("stops"))) {
        return read_stops(word, &q->service_stops);
    }
    if (cm_span_equal(key, CM_SPAN("accept"))) {
        return read_bases(word, &q->accept_basis);
    }
    if (cm_span_equal(key, CM_SPAN("material")) || cm_span_equal(key, CM_SPAN("editorial"))) {
        return read_statement(word, cm_span_equal(key, CM_SPAN("material")), row);
    }
    if (cm_span_equal(key, CM_SPAN("dormancy"))) {
        return read_dormancy(word, &q->dormancy);
    }
    return cm_span_equal(key, CM_SPAN("now")) ? read_time(word, &q->now) : fail("an unknown word in the question");
}

static bool read_question(struct cm_span text, struct row *row)
{
    struct cm_span word;
    struct cm_span key;
    row->question = (struct cm_question){
        .path = &world_path, .class = CM_CLASS_MARKETING, .accept_basis = CM_BASIS_EXPRESS, .now = 1000000};
    while (cm_span_next(&text, ' ', &word)) {
        if (word.len == 0) {
            continue;
        }
        (void)cm_span_next(&word, '=', &key); /* without '=' the value is NULL and no reader takes it */
        if (!read_question_word(key, word, row)) {
            return false;
        }
    }
    row->question.statement_floor = cm_statement_floor(row->statements, row->statement_count, row->question.now);
    return true;
}

static bool read_answer(struct cm_span text, struct row *row)
{
    struct cm_span verdict;
    struct cm_span reason;
    (void)cm_span_next(&text, ' ', &verdict); /* an empty text gives an empty verdict, which is none */
    (void)cm_span_next(&text, ' ', &reason);
    for (unsigned v = CM_VERDICT_ACCEPT; v <= CM_VERDICT_DEFER; v++) {
        if (cm_span_equal(verdict, cm_span_of(cm_verdict_name((enum cm_verdict)v)))) {
            row->verdict = (enum cm_verdict)v;
        }
    }
    for (unsigned r = 1; r < CM_REASON_COUNT; r++) {
        if (cm_span_equal(reason, cm_span_of(cm_reason_name((enum cm_reason)r)))) {
            row->reason = (enum cm_reason)r;
        }
    }
    row->dormant = cm_span_equal(text, CM_SPAN("dormant"));
    return row->verdict != CM_VERDICT_UNDECIDED && row->reason != CM_REASON_UNSET && row->dormant == (text.p != NULL)
               ? true
               : fail("an unknown answer");
}

static bool read_sources(struct cm_span text, bool seen[SOURCE_COUNT])
{
    struct cm_span part;
    while (cm_span_next(&text, ' ', &part)) {
        size_t i = 0;
        while (i < SOURCE_COUNT && !cm_span_equal(part, cm_span_of(sources[i]))) {
            i++;
        }
        if (i == SOURCE_COUNT) {
            return fail("an unknown law or statute");
        }
        seen[i] = true;
    }
    return true;
}

static bool read_row(struct cm_span line, struct row *row, struct cm_span *name, bool seen[SOURCE_COUNT])
{
    struct cm_span parts[5] = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {"", 0}};
    size_t count = 0;
    while (count < 5 && cm_span_next(&line, '|', &parts[count])) {
        parts[count] = cm_span_trim(parts[count]);
        count++;
    }
    *row = (struct row){0};
    *name = parts[1];
    if (count < 4 || line.p != NULL || name->len == 0) {
        return fail("not four or five parts");
    }
    return read_sources(parts[0], seen) && read_events(parts[2], row) && read_answer(parts[3], row) &&
           read_question(parts[4], row);
}

enum order { FORWARD, REVERSE, TWICE, ORDERS };

static struct cm_decision answer_of(const struct row *row, enum order order)
{
    struct world_records records = {0};
    for (int round = 0; round < (order == TWICE ? 2 : 1); round++) {
        for (size_t i = 0; i < row->count; i++) {
            world_fold(&records, &row->events[order == REVERSE ? row->count - 1 - i : i]);
        }
    }
    return world_ask(&records, &row->question);
}

static bool row_holds(const struct row *row, const char *file, unsigned line, struct cm_span name)
{
    static const char *const orders[ORDERS] = {"in order", "in reverse", "told twice"};
    for (unsigned order = 0; order < ORDERS; order++) {
        struct cm_decision got = answer_of(row, (enum order)order);
        if (got.verdict != row->verdict || got.reason != row->reason || got.dormant != row->dormant) {
            (void)printf("%s:%u: %.*s: want %s %s%s, got %s %s%s (%s)\n", file, line, (int)name.len, name.p,
                         cm_verdict_name(row->verdict), cm_reason_name(row->reason), row->dormant ? " dormant" : "",
                         cm_verdict_name(got.verdict), cm_reason_name(got.reason), got.dormant ? " dormant" : "",
                         orders[order]);
            return false;
        }
    }
    return true;
}

static int run(FILE *in, const char *file)
{
    char line[LINE_BYTES];
    bool seen[SOURCE_COUNT] = {false};
    unsigned cases = 0;
    unsigned failed = 0;
    for (unsigned number = 1; fgets(line, sizeof(line), in) != NULL; number++) {
        struct cm_span text = cm_span_trim(cm_span_of(line));
        struct row row;
        struct cm_span name;
        if (text.len == 0 || text.p[0] == '#') {
            continue;
        }
        cases++;
        if (strchr(line, '\n') == NULL || !read_row(text, &row, &name, seen)) {
            (void)printf("%s:%u: cannot be read: %s\n", file, number,
                         strchr(line, '\n') == NULL ? "line too long, or without its end" : problem);
            failed++;
        } else if (!row_holds(&row, file, number, name)) {
            failed++;
        }
    }
    for (size_t i = 0; i < SOURCE_COUNT; i++) {
        if (!seen[i]) {
            (void)printf("%s: no case comes from %s\n", file, sources[i]);
            failed++;
        }
    }
    (void)printf("%u cases, %u failed\n", cases, failed);
    return failed == 0 && cases >= CASES_MIN ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    FILE *in = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (in == NULL) {
        (void)fprintf(stderr, "usage: %s CASES.TXT (a file that can be read)\n", argv[0]);
        return EXIT_FAILURE;
    }
    int status = run(in, argv[1]);
    (void)fclose(in); /* read only */
    return status;
}
