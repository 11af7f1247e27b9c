#include <string.h>

#include "base/bytes.h"
#include "verify_internal.h"

#define TRIES 20

enum { AT_KIND = 4, AT_HOLDER = 5, HEAD_BYTES = 19, AT_LEDGER = 19, LEDGER_BYTES = 8 };

/* A packed record's key as a number that sorts as records do. */
static uint64_t key_of(const uint8_t *record)
{
    unsigned kind = record[AT_KIND] & 15U;
    bool is_held = kind == CM_KIND_RESTRICTED || kind == CM_KIND_SUSPENDED;
    return cm_get_be(record, 5) << 8 | (is_held ? record[AT_HOLDER] : 0U);
}

static unsigned kind_of(const uint8_t *record)
{
    return record[AT_KIND] & 15U;
}

/* A forward record has its place where others have dates and ledger id. */
static uint64_t ledger_of(const uint8_t *record)
{
    return kind_of(record) == CM_KIND_FORWARD ? 0 : cm_get_be(record + AT_LEDGER, LEDGER_BYTES);
}

/* What is compared, and where to say it. */
struct comparison {
    struct cm_verify_run *run;
    unsigned partition;
    const char *subject;
};

static void tell_record(const struct comparison *about, enum cm_fault fault, const uint8_t *record, const char *what)
{
    char scope[160];
    cm_registry_scope_name(about->run->options->registry, (uint32_t)cm_get_be(record, 4), scope);
    const char *kind = cm_kind_name((enum cm_kind)kind_of(record));
    cm_verify_tell(about->run, fault, (int)about->partition, ledger_of(record), 0, "%s %s %s: %s", about->subject,
                   scope, kind != NULL ? kind : "record", what);
}

static void compare_record(const struct comparison *about, const uint8_t *is, const uint8_t *want)
{
    if (memcmp(is, want, HEAD_BYTES) != 0) {
        tell_record(about, CM_FAULT_RECORD_CHANGED, is, "the record is not what its events make it");
    } else if (ledger_of(is) != ledger_of(want)) {
        char last[CM_LEDGER_ID_TEXT_BYTES];
        char text[96];
        struct cm_text what = cm_text_over(text, sizeof(text));
        cm_ledger_id_format(ledger_of(want), last);
        cm_text_add_format(&what, "the record names another event than its last one, %s", last);
        tell_record(about, CM_FAULT_RECORD_CHANGED, is, text);
    }
}

/* Both sorted by key. Seals are in no event. */
static void compare_records(const struct comparison *about, struct cm_span is, const struct cm_folded *want)
{
    size_t is_count = is.len / CM_RECORD_BYTES;
    size_t want_count = want != NULL ? want->count : 0;
    for (size_t i = 0, w = 0; i < is_count || w < want_count;) {
        const uint8_t *found = i < is_count ? (const uint8_t *)is.p + i * CM_RECORD_BYTES : NULL;
        const uint8_t *wanted = w < want_count ? want->records + w * CM_RECORD_BYTES : NULL;
        if (found != NULL && kind_of(found) == CM_KIND_SEAL) {
            i++;
        } else if (found != NULL && (wanted == NULL || key_of(found) < key_of(wanted))) {
            tell_record(about, CM_FAULT_RECORD_ORPHAN, found, "no event of the ledger made this record");
            i++;
        } else if (wanted != NULL && (found == NULL || key_of(found) > key_of(wanted))) {
            tell_record(about, CM_FAULT_RECORD_MISSING, wanted, "the ledger has made this record, and it is gone");
            w++;
        } else if (found != NULL && wanted != NULL) {
            compare_record(about, found, wanted);
            i++;
            w++;
        }
    }
}

/* Whole records of this version, in order, no key twice. */
static bool is_well_formed(struct cm_span packed)
{
    const uint8_t *at = (const uint8_t *)packed.p;
    struct cm_record unused;
    if (packed.p == NULL || packed.len == 0 || packed.len % CM_RECORD_BYTES != 0 ||
        packed.len > CM_LIMIT_RECORDS * CM_RECORD_BYTES) {
        return false;
    }
    for (size_t i = 0; i < packed.len; i += CM_RECORD_BYTES) {
        if (!cm_record_decode(at + i, &unused) || (i > 0 && key_of(at + i) <= key_of(at + i - CM_RECORD_BYTES))) {
            return false;
        }
    }
    return true;
}

static void compare_bucket(struct cm_verify_run *run, unsigned partition, unsigned number,
                           const struct cm_bucket_dump *dump, size_t index)
{
    struct cm_folded_partition *folded = &run->partitions[partition - run->first];
    struct cm_folded_bucket *bucket = &folded->buckets[number];
    char text[CM_SUBJECT_TEXT_BYTES];
    struct comparison about = {.run = run, .partition = partition, .subject = text};
    size_t count = 0;
    if (!cm_bucket_size(dump, index, &count)) {
        cm_verify_tell(run, CM_FAULT_RECORD_MALFORMED, (int)partition, 0, 0, "bucket %04x is not a hash", number);
        return;
    }
    for (uint32_t i = 0; i < bucket->count; i++) {
        bucket->subjects[i].seen = false;
    }
    for (size_t i = 0; i < count; i++) {
        struct cm_span field;
        struct cm_span records;
        cm_bucket_subject(dump, index, i, &field, &records);
        if (field.len != CM_FIELD_BYTES || !is_well_formed(records)) {
            cm_verify_tell(run, CM_FAULT_RECORD_MALFORMED, (int)partition, 0, 0,
                           "bucket %04x holds something that is no row of records", number);
            continue;
        }
        struct cm_folded *want = cm_folded_find(folded, number, (const uint8_t *)field.p);
        cm_verify_subject(partition, number, (const uint8_t *)field.p, text);
        compare_records(&about, records, want);
        run->sums.records += records.len / CM_RECORD_BYTES;
        if (want != NULL) {
            want->seen = true;
        }
    }
    for (uint32_t i = 0; i < bucket->count; i++) {
        if (!bucket->subjects[i].seen) {
            cm_verify_subject(partition, number, bucket->subjects[i].field, text);
            compare_records(&about, (struct cm_span){NULL, 0}, &bucket->subjects[i]);
        }
    }
}

static bool fold_entry(void *opaque, const struct cm_ledger_raw *entry)
{
    struct cm_verify_run *run = opaque;
    run->out_of_memory = !cm_verify_fold(run, entry);
    return !run->out_of_memory;
}

/* Folds what came since. */
static enum cm_trouble advance(struct cm_verify_run *run, unsigned partition, struct cm_err *err)
{
    struct cm_past past = cm_archive_past(run->options->where, true);
    enum cm_trouble trouble = cm_ledger_read(run->store, &past, partition, run->partitions[partition - run->first].last,
                                             fold_entry, run, err);
    if (trouble == CM_TROUBLE_NONE && run->out_of_memory) {
        cm_err_set(err, "out of memory");
        trouble = CM_TROUBLE_MEMORY;
    }
    return trouble;
}

/*
 * Reads some buckets and then, if it has gone on, the ledger. A bucket which no event touched between the fold before
 * and the fold after its reading was at rest, and is compared; the others are left in `list` for another try.
 */
static enum cm_trouble compare_group(struct cm_verify_run *run, unsigned partition, uint16_t *list, size_t *count,
                                     struct cm_err *err)
{
    const struct cm_folded_partition *folded = &run->partitions[partition - run->first];
    struct cm_folded_bucket *buckets = folded->buckets;
    struct cm_bucket_dump dump;
    size_t left = 0;
    bool quiet = false;
    for (size_t i = 0; i < *count; i++) {
        buckets[list[i]].is_touched = false;
    }
    enum cm_trouble trouble = cm_buckets_read(run->store, partition, list, *count, folded->last, &dump, &quiet, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    if (!quiet) {
        trouble = advance(run, partition, err);
    }
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < *count; i++) {
        if (buckets[list[i]].is_touched) {
            list[left++] = list[i];
        } else {
            compare_bucket(run, partition, list[i], &dump, i);
        }
    }
    cm_bucket_dump_free(&dump);
    *count = left;
    return trouble;
}

enum cm_trouble cm_verify_partition(struct cm_verify_run *run, unsigned partition, struct cm_err *err)
{
    bool stable = true;
    enum cm_trouble trouble = advance(run, partition, err);
    for (unsigned b = 0; trouble == CM_TROUBLE_NONE && b < CM_BUCKETS; b += CM_BUCKET_GROUP) {
        uint16_t list[CM_BUCKET_GROUP];
        size_t count = CM_BUCKET_GROUP;
        for (unsigned i = 0; i < CM_BUCKET_GROUP; i++) {
            list[i] = (uint16_t)(b + i);
        }
        for (unsigned i = 0; trouble == CM_TROUBLE_NONE && count > 0 && i < TRIES; i++) {
            trouble = compare_group(run, partition, list, &count, err);
        }
        stable = stable && count == 0;
    }
    bool counted = false;
    for (unsigned i = 0; trouble == CM_TROUBLE_NONE && !counted && i < TRIES; i++) {
        trouble = i > 0 ? advance(run, partition, err) : CM_TROUBLE_NONE;
        if (trouble == CM_TROUBLE_NONE) {
            trouble = cm_verify_counters(run, partition, &counted, err);
        }
    }
    if (trouble == CM_TROUBLE_MALFORMED) { /* of this partition alone; the others can be judged */
        run->sums.unknown++;
        cm_verify_tell(run, CM_FAULT_UNREADABLE, (int)partition, 0, 0, "%s", err->text);
        return CM_TROUBLE_NONE;
    }
    if (trouble == CM_TROUBLE_NONE && (!stable || !counted)) {
        run->sums.unknown++;
        cm_verify_tell(run, CM_FAULT_UNSTABLE, (int)partition, 0, 0,
                       "events came faster than %d readings: what it holds is not known", TRIES);
    }
    return trouble;
}
