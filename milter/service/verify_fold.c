#include <stdlib.h>
#include <string.h>

#include "core/seal.h"
#include "verify_internal.h"

bool cm_folded_init(struct cm_folded_partition *partition)
{
    *partition = (struct cm_folded_partition){.buckets = calloc(CM_BUCKETS, sizeof(*partition->buckets))};
    return partition->buckets != NULL;
}

void cm_folded_done(struct cm_folded_partition *partition)
{
    for (unsigned b = 0; partition->buckets != NULL && b < CM_BUCKETS; b++) {
        struct cm_folded_bucket *bucket = &partition->buckets[b];
        for (uint32_t i = 0; i < bucket->count; i++) {
            free(bucket->subjects[i].records);
        }
        free(bucket->subjects);
    }
    free(partition->buckets);
    partition->buckets = NULL;
}

struct cm_folded *cm_folded_find(const struct cm_folded_partition *partition, unsigned bucket,
                                 const uint8_t field[CM_FIELD_BYTES])
{
    const struct cm_folded_bucket *in = &partition->buckets[bucket];
    for (uint32_t i = 0; i < in->count; i++) {
        if (memcmp(in->subjects[i].field, field, CM_FIELD_BYTES) == 0) {
            return &in->subjects[i];
        }
    }
    return NULL;
}

/* The subject's records; made where there are none. NULL without memory. */
static struct cm_folded *obtain(struct cm_folded_partition *partition, unsigned bucket,
                                const uint8_t field[CM_FIELD_BYTES])
{
    struct cm_folded_bucket *in = &partition->buckets[bucket];
    struct cm_folded *found = cm_folded_find(partition, bucket, field);
    if (found != NULL) {
        return found;
    }
    if (in->count == in->size) {
        uint32_t size = in->size == 0 ? 2 : in->size * 2;
        struct cm_folded *subjects = realloc(in->subjects, size * sizeof(*subjects));
        if (subjects == NULL) {
            return NULL;
        }
        in->subjects = subjects;
        in->size = size;
    }
    struct cm_folded *subject = &in->subjects[in->count++];
    *subject = (struct cm_folded){0};
    memcpy(subject->field, field, CM_FIELD_BYTES);
    return subject;
}

/* Into the scratch room and back: folding wants records, keeping them wants few bytes. */
static struct cm_fold unpack(const struct cm_verify_run *run, const struct cm_folded *subject)
{
    struct cm_fold fold = {.records = run->scratch, .count = subject->count, .size = CM_LIMIT_RECORDS};
    for (size_t i = 0; i < fold.count; i++) {
        (void)cm_record_decode(subject->records + i * CM_RECORD_BYTES, &fold.records[i]); /* we have packed it */
    }
    return fold;
}

static bool pack(struct cm_folded *subject, const struct cm_fold *fold)
{
    if (fold->count != subject->count) {
        uint8_t *records = realloc(subject->records, fold->count * CM_RECORD_BYTES + 1);
        if (records == NULL) {
            return false;
        }
        subject->records = records;
    }
    subject->count = (uint16_t)fold->count;
    for (size_t i = 0; i < fold->count; i++) {
        cm_record_encode(&fold->records[i], subject->records + i * CM_RECORD_BYTES);
    }
    return true;
}

/* Paths of purposes are the tree: what begins with the sender's or the purpose's and a slash lies below it. */
static bool is_below(void *context, uint32_t scope, uint32_t above)
{
    const struct cm_registry *registry = context;
    char name[160];
    char above_name[160];
    cm_registry_scope_name(registry, scope, name);
    cm_registry_scope_name(registry, above, above_name);
    size_t len = strlen(above_name);
    return strncmp(name, above_name, len) == 0 && name[len] == '/';
}

static void judge_document(struct cm_verify_run *run, const struct cm_ledger_raw *entry, const struct cm_event *event,
                           const char *subject)
{
    uint8_t sha[CM_SHA256_BYTES] = {0};
    bool has = event->act == CM_ACT_NOTE || (event->record.flags & CM_RECORD_HAS_EVIDENCE) != 0;
    /* A forwarded record keeps its flag; its document stayed with the event that brought it. */
    bool elsewhere = event->act == CM_ACT_FORWARD && memcmp(event->evidence_sha256, sha, sizeof(sha)) == 0;
    if (!has || elsewhere) {
        if (entry->document.len > 0) {
            cm_verify_tell(run, CM_FAULT_DOCUMENT_CHANGED, (int)entry->partition, entry->id, 0,
                           "%s: a document stands where the event has none", subject);
        }
    } else if (entry->document.len == 0) {
        cm_verify_tell(run, CM_FAULT_DOCUMENT_MISSING, (int)entry->partition, entry->id, 0,
                       "%s: the document of this event is gone", subject);
    } else if (!cm_sha256(entry->document, sha) || memcmp(sha, event->evidence_sha256, sizeof(sha)) != 0) {
        cm_verify_tell(run, CM_FAULT_DOCUMENT_CHANGED, (int)entry->partition, entry->id, 0,
                       "%s: the document is not the one that this event was written with", subject);
    }
}

static void judge_chain(struct cm_verify_run *run, const struct cm_ledger_raw *entry, const struct cm_event *event,
                        uint64_t last, const char *subject)
{
    char named[CM_LEDGER_ID_TEXT_BYTES];
    char want[CM_LEDGER_ID_TEXT_BYTES];
    if (event->previous == last) {
        return;
    }
    cm_ledger_id_format(event->previous, named);
    cm_ledger_id_format(last, want);
    cm_verify_tell(run, CM_FAULT_CHAIN_BROKEN, (int)entry->partition, entry->id, 0,
                   "%s: this event names %s as the one before it, and the ledger has %s", subject, named, want);
}

/* Whether the outcome is what the order of records asks for. Erasures and confirmations have rules of their own. */
static void judge_outcome(struct cm_verify_run *run, const struct cm_ledger_raw *entry, const struct cm_event *event,
                          const struct cm_record *old, const char *subject)
{
    bool applied = event->outcome == CM_OUTCOME_APPLIED;
    if (old == NULL || event->act == CM_ACT_ERASE || event->act == CM_ACT_CONFIRM) {
        return;
    }
    if (cm_record_supersedes(&event->record, old) != applied) {
        cm_verify_tell(run, CM_FAULT_OUTCOME_WRONG, (int)entry->partition, entry->id, 0,
                       "%s: this event was %s, and by the law it is not", subject, cm_outcome_name(event->outcome));
    }
}

static bool is_forwarding(const struct cm_event *event)
{
    return event->act == CM_ACT_FORWARD && event->record.kind == CM_KIND_FORWARD;
}

static bool fold_event(struct cm_verify_run *run, struct cm_folded_partition *partition,
                       const struct cm_ledger_raw *entry, const struct cm_event *event, const char *subject_text)
{
    struct cm_folded *subject = obtain(partition, event->bucket, event->field);
    if (subject == NULL) {
        return false;
    }
    struct cm_fold fold = unpack(run, subject);
    const struct cm_record *old = is_forwarding(event) ? NULL : cm_fold_find(&fold, &event->record);
    judge_chain(run, entry, event, old != NULL ? old->ledger : 0, subject_text);
    judge_outcome(run, entry, event, old, subject_text);
    if (!cm_fold_apply(&fold, event, entry->id, is_below, (void *)run->options->registry)) {
        cm_verify_tell(run, CM_FAULT_RECORD_MALFORMED, (int)entry->partition, entry->id, 0,
                       "%s: more records than a subject can have", subject_text);
        return true;
    }
    partition->buckets[event->bucket].is_touched = true;
    if (event->outcome == CM_OUTCOME_APPLIED && event->record.kind <= CM_KIND_REQUEST && event->act != CM_ACT_FORWARD &&
        event->record.event_at > partition->newest_grant_at) {
        partition->newest_grant_at = event->record.event_at;
    }
    return pack(subject, &fold);
}

bool cm_verify_fold(struct cm_verify_run *run, const struct cm_ledger_raw *entry)
{
    struct cm_folded_partition *partition = &run->partitions[entry->partition - run->first];
    struct cm_event event;
    char subject[CM_SUBJECT_TEXT_BYTES];
    partition->last = entry->id;
    partition->events++;
    run->sums.events++;
    if (!cm_event_decode(entry->event, &event)) {
        cm_verify_tell(run, CM_FAULT_EVENT_MALFORMED, (int)entry->partition, entry->id, 0,
                       "this entry is no event that the functions write");
        return true;
    }
    cm_verify_subject(entry->partition, event.bucket, event.field, subject);
    judge_document(run, entry, &event, event.act == CM_ACT_NOTE ? "note" : subject);
    if (event.act == CM_ACT_NOTE) {
        judge_chain(run, entry, &event, partition->note, "note");
        partition->note = entry->id;
        return true;
    }
    return fold_event(run, partition, entry, &event, subject);
}
