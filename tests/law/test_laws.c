/*
 * Reads cases.txt (its head explains the form) and asks cm_decide about every row. A row that cannot be read is a
 * failure, and so is a table that has become too small or has lost a law.
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define CASES_MIN 60
#define LINE_BYTES 1024

static const unsigned laws_needed[] = {1, 3, 4, 5, 6, 7, 8, 9, 14};

struct row {
    struct world_event events[WORLD_EVENTS_MAX];
    size_t count;
    struct cm_question question;
    enum cm_verdict verdict;
    enum cm_reason reason;
};

static const char *problem; /* why the present row cannot be read */

static bool fail(const char *why)
{
    problem = why;
    return false;
}

/* "12" or "12.345" seconds to milliseconds. */
static bool read_time(struct cm_span s, cm_ms *out)
{
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

static bool read_event_word(struct cm_span word, struct cm_record *record, bool *has_time)
{
    struct cm_span key;
    uint64_t number = 0;
    if (cm_span_equal(word, CM_SPAN("evidence"))) {
        record->flags = CM_RECORD_HAS_EVIDENCE;
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
    return has_head && has_time ? true : fail("an event without a head or a time");
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

static bool read_question(struct cm_span text, struct cm_question *out)
{
    struct cm_span word;
    struct cm_span key;
    *out = (struct cm_question){
        .path = &world_path, .class = CM_CLASS_MARKETING, .accept_basis = CM_BASIS_EXPRESS, .now = 1000000};
    while (cm_span_next(&text, ' ', &word)) {
        uint64_t number = 0;
        if (word.len == 0) {
            continue;
        }
        (void)cm_span_next(&word, '=', &key); /* without '=' the value is NULL and no branch below takes it */
        if (cm_span_equal(key, CM_SPAN("class")) && cm_span_equal(word, CM_SPAN("consent_request"))) {
            out->class = CM_CLASS_CONSENT_REQUEST;
        } else if (cm_span_equal(key, CM_SPAN("accept"))) {
            if (!read_bases(word, &out->accept_basis)) {
                return false;
            }
        } else if (cm_span_equal(key, CM_SPAN("floor")) && cm_parse_u64(word, UINT16_MAX, &number)) {
            out->statement_floor = (uint16_t)number;
        } else if (!cm_span_equal(key, CM_SPAN("now")) || !read_time(word, &out->now)) {
            return fail("an unknown word in the question");
        }
    }
    return true;
}

static bool read_answer(struct cm_span text, struct row *row)
{
    struct cm_span verdict;
    (void)cm_span_next(&text, ' ', &verdict); /* an empty text gives an empty verdict, which is none */
    for (unsigned v = CM_VERDICT_ACCEPT; v <= CM_VERDICT_DEFER; v++) {
        if (cm_span_equal(verdict, cm_span_of(cm_verdict_name((enum cm_verdict)v)))) {
            row->verdict = (enum cm_verdict)v;
        }
    }
    for (unsigned r = 1; r < CM_REASON_COUNT; r++) {
        if (cm_span_equal(text, cm_span_of(cm_reason_name((enum cm_reason)r)))) {
            row->reason = (enum cm_reason)r;
        }
    }
    return row->verdict != CM_VERDICT_UNDECIDED && row->reason != CM_REASON_UNSET ? true : fail("an unknown answer");
}

static bool read_laws(struct cm_span text, unsigned *laws)
{
    struct cm_span part;
    while (cm_span_next(&text, ',', &part)) {
        uint64_t law = 0;
        if (!cm_parse_u64(part, 16, &law) || law == 0) {
            return fail("an unknown law");
        }
        *laws |= 1U << law;
    }
    return true;
}

static bool read_row(struct cm_span line, struct row *row, struct cm_span *name, unsigned *laws)
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
    return read_laws(parts[0], laws) && read_events(parts[2], row) && read_answer(parts[3], row) &&
           read_question(parts[4], &row->question);
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
        if (got.verdict != row->verdict || got.reason != row->reason) {
            (void)printf("%s:%u: %.*s: want %s %s, got %s %s (%s)\n", file, line, (int)name.len, name.p,
                         cm_verdict_name(row->verdict), cm_reason_name(row->reason), cm_verdict_name(got.verdict),
                         cm_reason_name(got.reason), orders[order]);
            return false;
        }
    }
    return true;
}

static int run(FILE *in, const char *file)
{
    char line[LINE_BYTES];
    unsigned laws = 0;
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
        if (strchr(line, '\n') == NULL || !read_row(text, &row, &name, &laws)) {
            (void)printf("%s:%u: cannot be read: %s\n", file, number,
                         strchr(line, '\n') == NULL ? "line too long, or without its end" : problem);
            failed++;
        } else if (!row_holds(&row, file, number, name)) {
            failed++;
        }
    }
    for (size_t i = 0; i < sizeof(laws_needed) / sizeof(laws_needed[0]); i++) {
        if ((laws >> laws_needed[i] & 1) == 0) {
            (void)printf("%s: no case for law %u\n", file, laws_needed[i]);
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
