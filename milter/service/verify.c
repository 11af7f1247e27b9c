#include "service/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify_internal.h"

#define EVENT_MEMORY_BYTES 128 /* of one event that made a record of its own, with the allocator's share */

static const struct {
    const char *name;
    const char *advice;
} faults[CM_FAULT_COUNT] = {
    [CM_FAULT_UNSET] = {"unset", ""},
    [CM_FAULT_EVENT_MALFORMED] = {"event_malformed",
                                  "Somebody else than the functions wrote into the ledger: see who may XADD."},
    [CM_FAULT_EVENTS_MISSING] = {"events_missing",
                                 "Look for them in the keepers' journals and the backups; see who may XDEL and XTRIM."},
    [CM_FAULT_EVENTS_FORGED] = {"events_forged",
                                "Somebody else than the functions wrote into the ledger: see who may XADD."},
    [CM_FAULT_CHAIN_BROKEN] = {"chain_broken",
                               "An event before it is gone or came from elsewhere, or Redis was rolled back."},
    [CM_FAULT_OUTCOME_WRONG] = {"outcome_wrong",
                                "The event was forged, or the functions are not ours: `consentctl init`."},
    [CM_FAULT_DOCUMENT_MISSING] = {"document_missing", "This evidence proves nothing any more: look in the backups."},
    [CM_FAULT_DOCUMENT_CHANGED] = {"document_changed", "This evidence proves nothing any more: look in the backups."},
    [CM_FAULT_RECORD_ORPHAN] = {"record_orphan",
                                "It was written past the functions: treat it as no consent, and withdraw it."},
    [CM_FAULT_RECORD_MISSING] = {"record_missing", "It was deleted past the functions: repeat its last event."},
    [CM_FAULT_RECORD_CHANGED] = {"record_changed",
                                 "It was changed past the functions: repeat its last event; see who may HSET."},
    [CM_FAULT_RECORD_MALFORMED] = {"record_malformed", "Look-ups of this subject are deferred: restore the field."},
    [CM_FAULT_COUNTER_WRONG] = {"counter_wrong", "Statistics are wrong; no decision depends on them."},
    [CM_FAULT_ARCHIVE_DAMAGED] = {"archive_damaged", "Restore this segment from the backup, and verify again."},
    [CM_FAULT_ARCHIVE_SHORT] = {"archive_short", "Segments are missing or cut: restore them from the backup."},
    [CM_FAULT_ROLLED_BACK] = {"rolled_back", "Redis lost what the archive has: let the keepers replay."},
    [CM_FAULT_UNREADABLE] = {"unreadable", "See what else was found: the ledger of this partition is not whole."},
    [CM_FAULT_UNSTABLE] = {"unstable", "Verify again when there is less to do."},
};

const char *cm_fault_name(enum cm_fault fault)
{
    return faults[fault].name;
}

const char *cm_fault_advice(enum cm_fault fault)
{
    return faults[fault].advice;
}

void cm_verify_tell(struct cm_verify_run *run, enum cm_fault fault, int partition, uint64_t ledger, uint64_t segment,
                    const char *format, ...)
{
    char text[CM_ERR_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args); /* cut where it does not fit */
    va_end(args);
    struct cm_verify_finding finding = {
        .fault = fault, .partition = partition, .ledger = ledger, .segment = segment, .text = text};
    run->sums.findings += fault == CM_FAULT_UNSTABLE || fault == CM_FAULT_UNREADABLE ? 0 : 1;
    run->options->finding(run->options->context, &finding);
}

void cm_verify_subject(unsigned partition, unsigned bucket, const uint8_t field[CM_FIELD_BYTES],
                       char out[CM_SUBJECT_TEXT_BYTES])
{
    struct cm_subject subject = {.partition = (uint16_t)partition, .bucket = (uint16_t)bucket};
    memcpy(subject.exact, field, CM_FIELD_BYTES);
    memcpy(subject.family, field, CM_FIELD_BYTES);
    cm_subject_format(&subject, out);
}

static bool take_archived(void *opaque, const struct cm_ledger_raw *entry)
{
    struct cm_verify_run *run = opaque;
    if (entry->partition >= run->first && entry->partition < run->end) {
        run->sums.archived++;
        run->out_of_memory = !cm_verify_fold(run, entry);
    }
    return !run->out_of_memory;
}

static void tell_damage(void *opaque, uint64_t segment, const char *text)
{
    struct cm_verify_run *run = opaque;
    if (run->first_pass) {
        cm_verify_tell(run, CM_FAULT_ARCHIVE_DAMAGED, -1, 0, segment, "%s", text);
    }
}

static void tell_progress(void *opaque, uint64_t bytes, uint64_t of_bytes)
{
    const struct cm_verify_run *run = opaque;
    run->options->progress(run->options->context, "archive", bytes, of_bytes);
}

static bool end_with(struct cm_archive_end *out, enum cm_trouble trouble, enum cm_archive_status archive)
{
    *out = (struct cm_archive_end){.trouble = trouble, .archive = archive};
    return trouble == CM_TROUBLE_NONE && archive == CM_ARCHIVE_OK;
}

/* What Redis says that the archive holds; asked before the archive is read, for an archiver may add to it meanwhile. */
static enum cm_trouble read_marks(struct cm_verify_run *run, bool *out_any, struct cm_err *err)
{
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    *out_any = false;
    for (unsigned p = run->first; trouble == CM_TROUBLE_NONE && p < run->end; p += CM_ARCHIVE_GROUP) {
        struct cm_archive_mark marks[CM_ARCHIVE_GROUP];
        unsigned count = run->end - p < CM_ARCHIVE_GROUP ? run->end - p : CM_ARCHIVE_GROUP;
        trouble = cm_archive_read_marks(run->store, p, count, marks, err);
        for (unsigned i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
            run->partitions[p - run->first + i].marked = marks[i].count;
            *out_any = *out_any || marks[i].count > 0;
        }
    }
    return trouble;
}

/* The archived part of the group's ledger, which must hold at least what Redis says. */
static bool scan(struct cm_verify_run *run, struct cm_archive_end *out_end, struct cm_err *err)
{
    struct cm_archive_visitor visitor = {
        .entry = take_archived, .damage = tell_damage, .progress = tell_progress, .context = run};
    struct cm_segment_walk *end = NULL;
    bool must_be = false;
    if (!end_with(out_end, read_marks(run, &must_be, err), CM_ARCHIVE_OK)) {
        return false;
    }
    enum cm_archive_status status = cm_archive_scan(run->options->where, &visitor, &end, err);
    free(end);
    if (run->out_of_memory) {
        cm_err_set(err, "out of memory");
        return end_with(out_end, CM_TROUBLE_MEMORY, CM_ARCHIVE_OK);
    }
    if (status == CM_ARCHIVE_FAILED || (status == CM_ARCHIVE_NONE && must_be)) {
        cm_err_prefix(err, "events of this store were archived");
        return end_with(out_end, CM_TROUBLE_NONE, status);
    }
    for (unsigned p = run->first; p < run->end; p++) {
        const struct cm_folded_partition *folded = &run->partitions[p - run->first];
        if (folded->marked > folded->events) {
            cm_verify_tell(run, CM_FAULT_ARCHIVE_SHORT, (int)p, folded->last, 0,
                           "%llu events were archived, and the archive has %llu of them",
                           (unsigned long long)folded->marked, (unsigned long long)folded->events);
        }
    }
    return true;
}

static bool prepare_group(struct cm_verify_run *run)
{
    unsigned count = run->end - run->first;
    run->partitions = calloc(count, sizeof(*run->partitions));
    bool ok = run->partitions != NULL;
    for (unsigned i = 0; ok && i < count; i++) {
        ok = cm_folded_init(&run->partitions[i]);
    }
    return ok;
}

static bool judge_group(struct cm_verify_run *run, struct cm_archive_end *out_end, struct cm_err *err)
{
    bool ok = prepare_group(run);
    if (!ok) {
        cm_err_set(err, "out of memory");
        (void)end_with(out_end, CM_TROUBLE_MEMORY, CM_ARCHIVE_OK); /* `ok` is false already */
    }
    ok = ok && scan(run, out_end, err);
    for (unsigned p = run->first; ok && p < run->end; p++) {
        ok = end_with(out_end, cm_verify_partition(run, p, err), CM_ARCHIVE_OK);
        run->options->progress(run->options->context, "partitions", p + 1, CM_PARTITIONS);
    }
    for (unsigned i = 0; run->partitions != NULL && i < run->end - run->first; i++) {
        cm_folded_done(&run->partitions[i]);
    }
    free(run->partitions);
    run->partitions = NULL;
    return ok;
}

static enum cm_trouble ask_numbers(struct cm_verify_run *run, struct cm_err *err)
{
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    for (unsigned p = 0; trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p += CM_ARCHIVE_GROUP) {
        struct cm_tail_facts facts[CM_ARCHIVE_GROUP];
        trouble = cm_archive_read_facts(run->store, p, CM_ARCHIVE_GROUP, facts, err);
        for (unsigned i = 0; trouble == CM_TROUBLE_NONE && i < CM_ARCHIVE_GROUP; i++) {
            run->added[p + i] = facts[i].added;
        }
    }
    return trouble;
}

/* As many partitions as fit into the memory by their numbers of events, at least one. */
static void choose_group(struct cm_verify_run *run)
{
    uint64_t events = run->added[run->first];
    run->end = run->first + 1;
    while (run->end < CM_PARTITIONS && events + run->added[run->end] <= CM_VERIFY_MEMORY_BYTES / EVENT_MEMORY_BYTES) {
        events += run->added[run->end++];
    }
}

bool cm_verify(struct cm_store *store, const struct cm_verify_options *options, struct cm_verify_sums *out,
               struct cm_archive_end *out_end, struct cm_err *err)
{
    struct cm_verify_run run = {.store = store, .options = options, .first_pass = true};
    run.scratch = calloc(CM_LIMIT_RECORDS, sizeof(*run.scratch));
    enum cm_trouble trouble = cm_archive_check_store(store, err);
    if (run.scratch == NULL) {
        cm_err_set(err, "out of memory");
        trouble = CM_TROUBLE_MEMORY;
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = ask_numbers(&run, err);
    }
    bool ok = end_with(out_end, trouble, CM_ARCHIVE_OK);
    while (ok && run.first < CM_PARTITIONS) {
        choose_group(&run);
        ok = judge_group(&run, out_end, err);
        run.first = run.end;
        run.first_pass = false;
    }
    free(run.scratch);
    *out = run.sums;
    return ok;
}
