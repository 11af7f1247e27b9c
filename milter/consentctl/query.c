/* check, show, history. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "consentctl.h"
#include "ledger.h"
#include "store/ledger.h"

#define LINE_BYTES 1024
#define PROGRESS_EVERY 1000

/* What the streams for this purpose accept: check and the filter must not answer differently. */
static unsigned accepted_bases(const struct cm_settings *settings, const char *purpose)
{
    for (size_t i = 0; i < settings->streams.count; i++) {
        const struct cm_stream *stream = &settings->streams.streams[i];
        char path[CM_LIMIT_PURPOSE_BYTES + 1];
        if (stream->class == CM_CLASS_MARKETING && stream->purpose_from == CM_PURPOSE_FIXED &&
            cm_stream_purpose(stream, CM_SPAN(""), NULL, 0, path) == CM_PURPOSE_FOUND && strcmp(path, purpose) == 0) {
            return stream->accept_basis;
        }
    }
    return CM_BASIS_EXPRESS;
}

static int code_of(enum cm_verdict verdict)
{
    switch (verdict) {
    case CM_VERDICT_ACCEPT: return EX_OK;
    case CM_VERDICT_REFUSE: return EXIT_NOT_PERMITTED;
    case CM_VERDICT_UNDECIDED:
    case CM_VERDICT_DEFER: break;
    }
    return EX_TEMPFAIL;
}

static void tell(const struct context *context, const char *address, const struct cm_decision *decision)
{
    const char *word = decision->verdict == CM_VERDICT_ACCEPT   ? "permitted"
                       : decision->verdict == CM_VERDICT_REFUSE ? "not permitted"
                                                                : "don't know";
    const char *reason = decision->reason == CM_REASON_TROUBLE ? cm_trouble_name(decision->trouble)
                                                               : cm_reason_name(decision->reason);
    cm_ctl_say(context, "%s: %s (%s%s)", address, word, reason, decision->dormant ? ", dormant" : "");
    cm_ctl_emit(context, json_pack("{s:o, s:s, s:s, s:b}", "address", cm_ctl_json_text(address), "verdict",
                                   cm_verdict_name(decision->verdict), "reason", reason, "dormant", decision->dormant));
}

/* One answer; what cannot be parsed is never permitted. */
static struct cm_decision ask(struct context *context, struct cm_span address_text,
                              const struct cm_enforce_question *question, cm_ms at, struct cm_err *err)
{
    struct cm_address address;
    struct cm_subject subject;
    struct cm_arena arena;
    struct cm_decision decision;
    struct cm_enforce_context when = {.at = at};
    enum cm_address_status status = cm_address_parse(address_text, &address);
    if (status == CM_ADDRESS_UNSET) {
        return cm_decision_trouble(CM_TROUBLE_MEMORY);
    }
    if (status != CM_ADDRESS_OK) {
        return cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_RECIPIENT_UNPARSABLE);
    }
    if (!cm_ctl_subject_of(context, &address, &subject)) {
        return cm_decision_trouble(CM_TROUBLE_INTERNAL);
    }
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    (void)cm_enforce(context->store, &subject, 1, question, 1, &arena, &decision, &when,
                     err); /* the decision says it */
    cm_arena_done(&arena);
    return decision;
}

/* The worse of two answers: don't know before not permitted before permitted. */
static int worse(int a, int b)
{
    return a > b ? a : b;
}

static int check_list(struct context *context, const struct cm_enforce_question *question, cm_ms at)
{
    const char *path = context->options->list;
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *line = NULL;
    size_t line_room = 0;
    ssize_t line_len;
    size_t count = 0;
    int code = EX_OK;
    bool progress = !context->options->quiet && isatty(STDERR_FILENO) != 0;
    if (file == NULL) {
        return cm_ctl_fail(EX_NOINPUT, "cannot read %s: %s", path, strerror(errno));
    }
    while ((line_len = getline(&line, &line_room, file)) >= 0) {
        struct cm_err err;
        struct cm_span trimmed = cm_span_trim((struct cm_span){line, (size_t)line_len});
        char address[LINE_BYTES];
        (void)cm_copy(address, sizeof(address), trimmed); /* only to be shown; a long line is cut there */
        if (trimmed.len == 0) {
            continue;
        }
        struct cm_decision decision = ask(context, trimmed, question, at, &err);
        tell(context, address, &decision);
        code = worse(code, code_of(decision.verdict));
        if (decision.reason == CM_REASON_TROUBLE) {
            code = worse(code, cm_ctl_fail_trouble(decision.trouble, &err));
            break; /* the rest would meet the same */
        }
        if (++count % PROGRESS_EVERY == 0 && progress) {
            (void)fprintf(stderr, "\r%zu checked", count); /* only for the eyes, as the next */
        }
    }
    if (progress && count >= PROGRESS_EVERY) {
        (void)fprintf(stderr, "\r%zu checked\n", count);
    }
    if (ferror(file) != 0) {
        code = cm_ctl_fail(EX_IOERR, "cannot read %s: %s", path, strerror(errno));
    }
    free(line);
    if (file != stdin) {
        (void)fclose(file); /* opened for reading only */
    }
    return code == EX_UNAVAILABLE || code == EX_NOPERM ? EX_TEMPFAIL : code;
}

int cm_ctl_check(struct context *context)
{
    const struct options *options = context->options;
    struct cm_err err;
    cm_ms at = 0;
    bool is_list = options->list != NULL;
    if (options->word_count != (is_list ? 1 : 2)) {
        return cm_ctl_fail(EX_USAGE, "check takes ADDRESS SENDER/PURPOSE, or --list FILE SENDER/PURPOSE");
    }
    if (!cm_ctl_read_time("at", options->at, &at)) {
        return EX_USAGE;
    }
    if (at != 0 && at / 1000 < (cm_ms)time(NULL)) {
        return cm_ctl_fail(EX_USAGE,
                           "--at: only the future can be computed from present records; for the past see `history`");
    }
    const char *purpose = options->words[is_list ? 0 : 1];
    struct cm_enforce_question question = {
        .purpose = purpose,
        .class = CM_CLASS_MARKETING,
        .accept_basis = accepted_bases(context->settings, purpose),
    };
    if (is_list) {
        return check_list(context, &question, at);
    }
    struct cm_decision decision = ask(context, cm_span_of(options->words[0]), &question, at, &err);
    tell(context, options->words[0], &decision);
    if (decision.reason == CM_REASON_TROUBLE) {
        (void)cm_ctl_fail_trouble(decision.trouble, &err);
    } else if (decision.verdict != CM_VERDICT_ACCEPT) {
        cm_ctl_say(context, "  %s", cm_reason_explanation(decision.reason));
    }
    return code_of(decision.verdict);
}

#define MONTH_BYTES 8 /* "2026-11" */

/* The month of last use, or "never". */
static const char *format_month(const struct cm_record *record, char out[MONTH_BYTES])
{
    unsigned months = CM_LAST_USE_EPOCH + record->last_use_month;
    struct cm_text text = cm_text_over(out, MONTH_BYTES);
    if (record->last_use_month == 0) {
        return "never";
    }
    cm_text_add_format(&text, "%04u-%02u", 1970 + months / 12, months % 12 + 1);
    return out;
}

/* Where the records stand now. */
static void show_forward(const struct context *context, const struct cm_record *record)
{
    cm_ctl_say(context, "  forward: kept under pepper %u", record->forward.pepper);
    cm_ctl_emit(context, json_pack("{s:s, s:i}", "kind", cm_kind_name(record->kind), "pepper", record->forward.pepper));
}

static void show_record(const struct context *context, const struct cm_registry *registry,
                        const struct cm_record *record)
{
    char scope[160];
    char at[CM_TIME_TEXT_BYTES];
    char until[CM_TIME_TEXT_BYTES] = "never";
    char ledger[CM_LEDGER_ID_TEXT_BYTES];
    char month[MONTH_BYTES];
    bool ended = (record->flags & CM_RECORD_ENDED) != 0;
    bool by_guardian = (record->flags & CM_RECORD_BY_GUARDIAN) != 0;
    if (record->kind == CM_KIND_SEAL) {
        return; /* no state of consent, and its salt is a secret */
    }
    if (record->kind == CM_KIND_FORWARD) {
        show_forward(context, record);
        return;
    }
    cm_registry_scope_name(registry, record->scope, scope);
    cm_time_format(record->event_at, at);
    cm_ledger_id_format(record->ledger, ledger);
    if (record->expiry_s != 0) {
        cm_time_format((cm_ms)record->expiry_s * 1000, until);
    }
    const char *state = cm_state_name(record->kind, record->state);
    const char *last_use = format_month(record, month);
    cm_ctl_say(context, "  %-24s %s %s%s, by %s%s, source %s, statement %u, dated %s, expires %s, ledger %s", scope,
               cm_kind_name(record->kind), state, ended ? " (ended)" : "", cm_rank_name(record->rank),
               by_guardian ? " for a guardian" : "", cm_source_name(record->source), record->statement, at, until,
               ledger);
    if (record->last_use_month != 0) {
        cm_ctl_say(context, "  %-24s last used in %s", "", last_use);
    }
    cm_ctl_emit(context, json_pack("{s:s, s:s, s:s, s:b, s:s, s:b, s:s, s:i, s:s, s:s, s:s, s:s}", "scope", scope,
                                   "kind", cm_kind_name(record->kind), "state", state, "ended", ended, "rank",
                                   cm_rank_name(record->rank), "guardian", by_guardian, "source",
                                   cm_source_name(record->source), "statement", (int)record->statement, "at", at,
                                   "expires", until, "last_use", last_use, "ledger", ledger));
}

int cm_ctl_show(struct context *context)
{
    struct cm_address address;
    struct cm_subject subject;
    struct cm_arena arena;
    struct cm_subject_records records;
    struct cm_lookup lookup;
    struct cm_err err;
    char key[CM_SUBJECT_TEXT_BYTES];
    int code = cm_ctl_read_subject(context, context->options->words[0], &address, &subject);
    if (code != EX_OK) {
        return code;
    }
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    enum cm_trouble trouble = cm_store_lookup(context->store, &subject, 1, &arena, &records, &lookup, &err);
    if (trouble != CM_TROUBLE_NONE) {
        cm_arena_done(&arena);
        return cm_ctl_fail_trouble(trouble, &err);
    }
    cm_subject_format(&subject, key);
    cm_ctl_say(context, "%s (subject %s)", address.exact, key);
    for (size_t i = 0; i < records.exact_count; i++) {
        show_record(context, lookup.registry, &records.exact[i]);
    }
    if (cm_subject_has_family(&subject)) {
        cm_ctl_say(context, "%s (mailbox family)", address.family);
        for (size_t i = 0; i < records.family_count; i++) {
            show_record(context, lookup.registry, &records.family[i]);
        }
    }
    if (records.exact_count + records.family_count == 0) {
        cm_ctl_say(context, "  no records");
    }
    cm_registry_unref(lookup.registry);
    cm_arena_done(&arena);
    return EX_OK;
}

#define TOMBSTONES_MAX 64

struct history {
    const struct context *context;
    const struct cm_registry *registry;
    struct cm_record tombstones[TOMBSTONES_MAX];
    size_t tombstone_count;
    size_t count;
};

static void keep_tombstones(struct history *history, const struct cm_record *records, size_t count)
{
    for (size_t i = 0; i < count && history->tombstone_count < TOMBSTONES_MAX; i++) {
        if (records[i].kind == CM_KIND_ERASED) {
            history->tombstones[history->tombstone_count++] = records[i];
        }
    }
}

/* The erasures that stand, which tell why evidence is gone. */
static enum cm_trouble read_tombstones(struct history *history, const struct cm_subject *subject, struct cm_err *err)
{
    struct cm_arena arena;
    struct cm_subject_records records;
    struct cm_lookup lookup;
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    enum cm_trouble trouble = cm_store_lookup(history->context->store, subject, 1, &arena, &records, &lookup, err);
    if (trouble == CM_TROUBLE_NONE) {
        keep_tombstones(history, records.exact, records.exact_count);
        keep_tombstones(history, records.family, records.family_count);
        cm_registry_unref(lookup.registry);
    }
    cm_arena_done(&arena);
    return trouble;
}

static bool lies_below(const struct cm_registry *registry, uint32_t scope, uint32_t above)
{
    size_t count = cm_registry_below(registry, above, NULL, 0);
    uint32_t *below = calloc(count + 1, sizeof(*below));
    bool found = false;
    count = below != NULL ? cm_registry_below(registry, above, below, count) : 0;
    for (size_t i = 0; i < count && !found; i++) {
        found = below[i] == scope;
    }
    free(below);
    return found;
}

static bool is_erased(const struct history *history, const struct cm_ledger_entry *entry)
{
    for (size_t i = 0; i < history->tombstone_count; i++) {
        const struct cm_record *tombstone = &history->tombstones[i];
        uint32_t scope = entry->event.record.scope;
        if (tombstone->ledger > entry->id && (tombstone->scope == CM_SCOPE_EVERYBODY || tombstone->scope == scope ||
                                              lies_below(history->registry, scope, tombstone->scope))) {
            return true;
        }
    }
    return false;
}

/* What became of the evidence, and what is said instead of it where it cannot be shown. */
static const struct fate {
    const char *name;
    const char *text;
} none = {"none", "none"}, shown = {"shown", NULL}, moved = {"moved", "(stands with its event at the old place)"},
  erased = {"erased", "(erased)"}, lost = {"lost", "(evidence cannot be opened)"};

static const struct fate *fate_of(const struct history *history, const struct cm_ledger_entry *entry)
{
    bool has_evidence = (entry->event.record.flags & CM_RECORD_HAS_EVIDENCE) != 0;
    if (!has_evidence || entry->document.p != NULL) {
        return has_evidence ? &shown : &none;
    }
    if (entry->event.act == CM_ACT_FORWARD) {
        return &moved;
    }
    return is_erased(history, entry) ? &erased : &lost;
}

static void print_event(const struct history *history, const struct cm_ledger_entry *entry, json_t *document)
{
    const struct cm_event *event = &entry->event;
    const struct cm_record *record = &event->record;
    char scope[160];
    char at[CM_TIME_TEXT_BYTES];
    char recorded[CM_TIME_TEXT_BYTES];
    char id[CM_LEDGER_ID_TEXT_BYTES];
    const struct fate *fate = fate_of(history, entry);
    const char *actor = json_string_value(json_object_get(document, "actor"));
    const char *language = json_string_value(json_object_get(document, "language"));
    const char *state = cm_state_name(record->kind, record->state);
    bool by_guardian = (record->flags & CM_RECORD_BY_GUARDIAN) != 0;
    cm_registry_scope_name(history->registry, record->scope, scope);
    cm_time_format(record->event_at, at);
    cm_time_format((cm_ms)(entry->id >> 16), recorded);
    cm_ledger_id_format(entry->id, id);
    cm_ctl_say(history->context, "%s %s %s: %s %s, %s, by %s%s, source %s, statement %u%s%s, dated %s", recorded, id,
               cm_act_name(event->act), scope, cm_kind_name(record->kind), cm_outcome_name(event->outcome),
               cm_rank_name(record->rank), by_guardian ? " for a guardian" : "", cm_source_name(record->source),
               record->statement, language != NULL ? " in " : "", language != NULL ? language : "", at);
    cm_ctl_say(history->context, "    %s; actor %s; evidence: %s", state, actor != NULL ? actor : "unknown",
               fate->text != NULL ? fate->text : entry->document.p);
    cm_ctl_emit(history->context,
                json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:i, s:s, s:s?, s:s?, s:s, s:O, s:b}",
                          "ledger", id, "recorded", recorded, "act", cm_act_name(event->act), "scope", scope, "kind",
                          cm_kind_name(record->kind), "state", state, "outcome", cm_outcome_name(event->outcome),
                          "rank", cm_rank_name(record->rank), "guardian", by_guardian, "source",
                          cm_source_name(record->source), "statement", (int)record->statement, "at", at, "actor", actor,
                          "language", language, "evidence_is", fate->name, "evidence", document, "evidence_lost",
                          entry->document_lost));
}

static bool show_event(void *opaque, const struct cm_ledger_entry *entry)
{
    struct history *history = opaque;
    json_t *document = entry->document.p != NULL ? json_loadb(entry->document.p, entry->document.len, 0, NULL) : NULL;
    document = document != NULL ? document : json_null();
    history->count++;
    print_event(history, entry, document);
    json_decref(document);
    return true;
}

int cm_ctl_history(struct context *context)
{
    struct cm_address address;
    struct cm_subject subject;
    struct cm_err err;
    struct ledger_site where;
    struct history history = {.context = context};
    int code = cm_ctl_read_subject(context, context->options->words[0], &address, &subject);
    if (code == EX_OK) {
        code = cm_ctl_read_registry(context, &history.registry);
    }
    if (code != EX_OK) {
        return code;
    }
    if (!cm_ctl_archive_site(context, false, &where, &err)) {
        cm_registry_unref(history.registry);
        return cm_ctl_fail(EX_CONFIG, "%s", err.text);
    }
    struct cm_past past = cm_archive_past(&where.site, false);
    enum cm_trouble trouble = read_tombstones(&history, &subject, &err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_history(context->store, &past, &subject, show_event, &history, &err);
    }
    cm_registry_unref(history.registry);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    if (history.count == 0) {
        cm_ctl_say(context, "no events");
    }
    return EX_OK;
}
