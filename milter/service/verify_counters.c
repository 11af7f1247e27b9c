#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "verify_internal.h"

/* Number of records of one scope, kind and state, ended or not. */
struct count {
    uint64_t key;
    int64_t is;
    int64_t want;
};

struct tally {
    struct count *rows;
    size_t count;
    size_t size;
    bool failed; /* without memory */
    uint64_t events;
    uint64_t newest_grant;
    uint64_t note;
    bool malformed;
    char bad_name[64];
};

static void add(struct tally *tally, uint64_t key, int64_t is, int64_t want)
{
    if (tally->count == tally->size) {
        size_t size = tally->size == 0 ? 256 : tally->size * 2;
        struct count *rows = realloc(tally->rows, size * sizeof(*rows));
        tally->failed = tally->failed || rows == NULL;
        if (rows == NULL) {
            return;
        }
        tally->rows = rows;
        tally->size = size;
    }
    tally->rows[tally->count++] = (struct count){.key = key, .is = is, .want = want};
}

static uint64_t key_of(uint32_t scope, unsigned kind, unsigned state, bool ended)
{
    return (uint64_t)scope << 16 | (uint64_t)kind << 8 | (uint64_t)state << 1 | (ended ? 1U : 0U);
}

/* "SCOPE:KIND:STATE" or "SCOPE:KIND:STATE:ended". */
static bool parse_name(struct cm_span name, uint64_t *out_key)
{
    static const uint64_t most[3] = {UINT32_MAX, 15, 15};
    uint64_t values[3];
    struct cm_span word;
    for (size_t i = 0; i < 3; i++) {
        if (!cm_span_next(&name, ':', &word) || !cm_parse_u64(word, most[i], &values[i])) {
            return false;
        }
    }
    bool ended = name.p != NULL;
    *out_key = key_of((uint32_t)values[0], (unsigned)values[1], (unsigned)values[2], ended);
    return !ended || cm_span_equal(name, CM_SPAN("ended"));
}

static bool read_counter(void *opaque, struct cm_span name, struct cm_span value)
{
    struct tally *tally = opaque;
    uint64_t key = 0;
    uint64_t number = 0;
    bool good = true;
    if (cm_span_equal(name, CM_SPAN("events"))) {
        good = cm_parse_u64(value, INT64_MAX, &tally->events);
    } else if (cm_span_equal(name, CM_SPAN("newest_grant"))) {
        good = cm_parse_u64(value, (uint64_t)CM_MS_MAX, &tally->newest_grant);
    } else if (cm_span_equal(name, CM_SPAN("note"))) {
        good = cm_ledger_id_parse(value, &tally->note);
    } else if (!cm_span_starts_with(name, "mark:") && !cm_span_equal(name, CM_SPAN("used"))) {
        good = parse_name(name, &key) && cm_parse_u64(value, INT64_MAX, &number);
        if (good && number > 0) {
            add(tally, key, (int64_t)number, 0);
        }
    }
    if (!good && !tally->malformed) {
        tally->malformed = true;
        (void)cm_copy(tally->bad_name, sizeof(tally->bad_name), name); /* only to be shown */
    }
    return true;
}

static void count_folded(const struct cm_folded_partition *folded, struct tally *tally)
{
    for (unsigned b = 0; b < CM_BUCKETS; b++) {
        for (uint32_t i = 0; i < folded->buckets[b].count; i++) {
            const struct cm_folded *subject = &folded->buckets[b].subjects[i];
            for (size_t r = 0; r < subject->count; r++) {
                struct cm_record record;
                if (cm_record_decode(subject->records + r * CM_RECORD_BYTES, &record) &&
                    record.kind != CM_KIND_FORWARD) {
                    add(tally, key_of(record.scope, record.kind, record.state, (record.flags & CM_RECORD_ENDED) != 0),
                        0, 1);
                }
            }
        }
    }
}

static int compare_keys(const void *left, const void *right)
{
    const struct count *a = left;
    const struct count *b = right;
    return (a->key > b->key) - (a->key < b->key);
}

static void tell_count(struct cm_verify_run *run, unsigned partition, const struct count *sum)
{
    char scope[160];
    enum cm_kind kind = (enum cm_kind)(sum->key >> 8 & 15);
    const char *kind_name = cm_kind_name(kind);
    const char *state = cm_state_name(kind, (unsigned)(sum->key >> 1 & 15));
    cm_registry_scope_name(run->options->registry, (uint32_t)(sum->key >> 16), scope);
    cm_verify_tell(run, CM_FAULT_COUNTER_WRONG, (int)partition, 0, 0, "%s %s %s%s: counted %lld, there are %lld", scope,
                   kind_name != NULL ? kind_name : "?", state != NULL ? state : "?",
                   (sum->key & 1) != 0 ? " ended" : "", (long long)sum->is, (long long)sum->want);
}

static void compare_counts(struct cm_verify_run *run, unsigned partition, struct tally *tally)
{
    if (tally->count > 0) {
        qsort(tally->rows, tally->count, sizeof(*tally->rows), compare_keys);
    }
    for (size_t i = 0; i < tally->count;) {
        struct count sum = {.key = tally->rows[i].key};
        for (; i < tally->count && tally->rows[i].key == sum.key; i++) {
            sum.is += tally->rows[i].is;
            sum.want += tally->rows[i].want;
        }
        if (sum.is != sum.want) {
            tell_count(run, partition, &sum);
        }
    }
}

/* Every entry that was ever added must be one that we have read. */
static void compare_events(struct cm_verify_run *run, unsigned partition, const struct tally *tally,
                           const struct cm_tail_facts *facts)
{
    const struct cm_folded_partition *folded = &run->partitions[partition - run->first];
    unsigned long long have = (unsigned long long)folded->events;
    if (facts->last < folded->last) {
        char ends[CM_LEDGER_ID_TEXT_BYTES];
        cm_ledger_id_format(facts->last, ends);
        cm_verify_tell(run, CM_FAULT_ROLLED_BACK, (int)partition, folded->last, 0,
                       "the ledger in Redis ends at %s, before the archive does", ends);
        return; /* its numbers are as old */
    }
    if (tally->events != folded->events) {
        enum cm_fault fault = tally->events > folded->events ? CM_FAULT_EVENTS_MISSING : CM_FAULT_EVENTS_FORGED;
        cm_verify_tell(run, fault, (int)partition, 0, 0,
                       "the functions have written %llu events, and the ledger has %llu",
                       (unsigned long long)tally->events, have);
    }
    if (facts->added > folded->events) {
        cm_verify_tell(run, CM_FAULT_EVENTS_MISSING, (int)partition, 0, 0,
                       "%llu entries were added to the ledger, and it has %llu: some were deleted or trimmed",
                       (unsigned long long)facts->added, have);
    }
    if (tally->note != folded->note) {
        cm_verify_tell(run, CM_FAULT_COUNTER_WRONG, (int)partition, tally->note, 0,
                       "the counters name another note than the last one");
    }
    if (tally->newest_grant < (uint64_t)folded->newest_grant_at) {
        cm_verify_tell(run, CM_FAULT_COUNTER_WRONG, (int)partition, 0, 0, "newest_grant lies before the newest grant");
    }
    if (tally->malformed) {
        cm_verify_tell(run, CM_FAULT_COUNTER_WRONG, (int)partition, 0, 0, "counter %s cannot be read", tally->bad_name);
    }
}

enum cm_trouble cm_verify_counters(struct cm_verify_run *run, unsigned partition, bool *out_stable, struct cm_err *err)
{
    struct cm_folded_partition *folded = &run->partitions[partition - run->first];
    struct tally tally = {0};
    struct cm_tail_facts facts;
    enum cm_trouble trouble = cm_counters_read(run->store, partition, read_counter, &tally, &facts, err);
    /* The last id given may be of an entry that is gone: then it stays the same while the ledger was read on. */
    bool stable = trouble == CM_TROUBLE_NONE && (facts.last <= folded->last || facts.last == folded->last_given);
    folded->last_given = trouble == CM_TROUBLE_NONE ? facts.last : 0;
    if (stable) {
        count_folded(folded, &tally);
    }
    if (trouble == CM_TROUBLE_NONE && tally.failed) {
        cm_err_set(err, "out of memory");
        trouble = CM_TROUBLE_MEMORY;
    }
    if (trouble == CM_TROUBLE_NONE && stable) {
        compare_counts(run, partition, &tally);
        compare_events(run, partition, &tally, &facts);
    }
    free(tally.rows);
    *out_stable = stable;
    return trouble;
}
