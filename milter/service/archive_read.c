#include <stdlib.h>
#include <string.h>

#include "archive_internal.h"

/* Chooses the entries of one partition after one ledger id. */
struct choice {
    unsigned partition;
    uint64_t after;
    bool (*each)(void *context, const struct cm_ledger_raw *entry);
    void *context;
};

static bool choose(void *opaque, const struct cm_ledger_raw *entry)
{
    const struct choice *choice = opaque;
    return entry->partition != choice->partition || entry->id <= choice->after || choice->each(choice->context, entry);
}

/* Walks a segment up to its last head, handing out what is proven. DAMAGED also if something stands behind that head
 * which no crash leaves. */
static enum cm_archive_status run_proven(const struct cm_archive_site *where, struct cm_segment_file *file,
                                         struct cm_segment_walk *walk,
                                         bool (*each)(void *context, const struct cm_ledger_raw *entry), void *context,
                                         bool *out_ended, struct cm_err *err)
{
    cm_segment_walk_init(walk, where->store_id);
    enum cm_archive_status status = cm_segment_run(file, walk, UINT64_MAX, NULL, NULL, out_ended, err);
    if (status == CM_ARCHIVE_FAILED || walk->head_bytes == 0) {
        return status;
    }
    if (!cm_segment_proven(walk, where->key)) {
        cm_err_set(err, "%s: its last head is not signed by the archiver's key %u", file->path, where->key->number);
        return CM_ARCHIVE_DAMAGED;
    }
    uint64_t limit = walk->head_bytes;
    cm_segment_walk_init(walk, where->store_id);
    enum cm_archive_status again = cm_segment_run(file, walk, limit, each, context, out_ended, err);
    return again != CM_ARCHIVE_OK ? again : status;
}

static enum cm_archive_status read_one(const struct cm_archive_site *where, uint64_t number, struct choice *choice,
                                       struct cm_segment_walk *walk, bool *out_ended, struct cm_err *err)
{
    bool absent = false;
    struct cm_segment_file *file = cm_segment_open(where->directory, number, &absent, err);
    if (file == NULL) {
        return absent ? CM_ARCHIVE_DAMAGED : CM_ARCHIVE_FAILED;
    }
    enum cm_archive_status status = run_proven(where, file, walk, choose, choice, out_ended, err);
    cm_segment_close(file);
    return status;
}

/* The segment to begin with: the last one that begins at or before `after`. A newest file without a whole first frame
 * holds nothing; *out_last is corrected. */
static enum cm_archive_status find_start(const struct cm_archive_site *where, unsigned partition, uint64_t after,
                                         uint64_t first, uint64_t *out_last, uint64_t *out_start,
                                         struct cm_segment_walk *walk, struct cm_err *err)
{
    for (uint64_t number = *out_last; number >= first; number--) {
        enum cm_archive_status status = cm_segment_peek(where, number, walk, err);
        if (status == CM_ARCHIVE_NONE && number == *out_last) {
            *out_last = number - 1;
            continue;
        }
        if (status != CM_ARCHIVE_OK) {
            return status == CM_ARCHIVE_NONE ? CM_ARCHIVE_DAMAGED : status;
        }
        if (walk->before_places[partition].last <= after) {
            *out_start = number;
            return CM_ARCHIVE_OK;
        }
    }
    if (*out_last < first) {
        return CM_ARCHIVE_NONE; /* nothing but a torn first file */
    }
    cm_err_set(err, "the segments before %llu are not in %s", (unsigned long long)first, where->directory);
    return CM_ARCHIVE_DAMAGED;
}

/* True if the segment after `number` says that this partition is the same there as at its beginning: nothing to read.
 */
static bool is_untouched(const struct cm_archive_site *where, uint64_t number, unsigned partition,
                         struct cm_segment_walk *walk)
{
    if (cm_segment_peek(where, number, walk, NULL) != CM_ARCHIVE_OK) {
        return false;
    }
    uint64_t count = walk->before_places[partition].count;
    return cm_segment_peek(where, number + 1, walk, NULL) == CM_ARCHIVE_OK &&
           walk->before_places[partition].count == count;
}

enum cm_archive_status cm_archive_read(const struct cm_archive_site *where, unsigned partition, uint64_t after,
                                       bool (*each)(void *context, const struct cm_ledger_raw *entry), void *context,
                                       struct cm_err *err)
{
    struct choice choice = {.partition = partition, .after = after, .each = each, .context = context};
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t start = 0;
    bool ended = false;
    enum cm_archive_status status = cm_segment_range(where->directory, &first, &last, err);
    struct cm_segment_walk *walk = status == CM_ARCHIVE_OK ? malloc(sizeof(*walk)) : NULL;
    if (status == CM_ARCHIVE_OK && walk == NULL) {
        cm_err_set(err, "out of memory");
        status = CM_ARCHIVE_FAILED;
    }
    if (status == CM_ARCHIVE_OK) {
        status = find_start(where, partition, after, first, &last, &start, walk, err);
    }
    for (uint64_t number = start; status == CM_ARCHIVE_OK && number <= last && !ended; number++) {
        if (number == last || !is_untouched(where, number, partition, walk)) {
            status = read_one(where, number, &choice, walk, &ended, err);
        }
    }
    free(walk);
    return status;
}

struct scan {
    const struct cm_archive_site *where;
    const struct cm_archive_visitor *visitor;
    struct cm_segment_walk *end; /* of the segment before */
    struct cm_segment_walk *here;
    uint64_t bytes;
    uint64_t of_bytes;
    bool damaged;
    bool broken; /* the segment before is damaged: what it ended with is not known */
    bool ended;
};

static void tell_damage(struct scan *scan, uint64_t segment, const char *text)
{
    scan->damaged = true;
    scan->broken = true;
    scan->visitor->damage(scan->visitor->context, segment, text);
}

/* One segment; the walk at its end becomes scan->end. */
static enum cm_archive_status scan_one(struct scan *scan, uint64_t number, bool is_last, struct cm_err *err)
{
    bool absent = false;
    struct cm_err cause = {{0}};
    struct cm_segment_file *file = cm_segment_open(scan->where->directory, number, &absent, &cause);
    if (file == NULL && !absent) {
        cm_err_set(err, "%s", cause.text);
        return CM_ARCHIVE_FAILED;
    }
    if (file == NULL) {
        tell_damage(scan, number, "the segment is missing");
        return CM_ARCHIVE_OK;
    }
    struct cm_segment_walk *walk = scan->here;
    bool follows = !scan->broken;
    scan->broken = false;
    enum cm_archive_status status = run_proven(scan->where, file, walk, scan->visitor->entry, scan->visitor->context,
                                               &scan->ended, &cause);
    scan->bytes += file->size;
    cm_segment_close(file);
    if (status == CM_ARCHIVE_FAILED) {
        cm_err_set(err, "%s", cause.text);
        return status;
    }
    if (status == CM_ARCHIVE_DAMAGED) {
        tell_damage(scan, number, cause.text);
    }
    if (walk->segment == 0 || walk->head_bytes == 0) {
        if (status == CM_ARCHIVE_OK && !is_last) {
            tell_damage(scan, number, "the segment has no head");
        }
        return CM_ARCHIVE_OK; /* the newest file may have been begun and torn: it holds nothing */
    }
    if (!scan->ended && !is_last && status == CM_ARCHIVE_OK && !walk->head.sealed) {
        tell_damage(scan, number, "the segment was not sealed: its end is missing");
    }
    if (follows && !cm_segment_continues(scan->end, walk, &cause)) {
        tell_damage(scan, number, cause.text);
    }
    scan->here = scan->end;
    scan->end = walk;
    return CM_ARCHIVE_OK;
}

static uint64_t size_of_all(const struct cm_archive_site *where, uint64_t last)
{
    uint64_t sum = 0;
    for (uint64_t number = 1; number <= last; number++) {
        bool absent = false;
        struct cm_segment_file *file = cm_segment_open(where->directory, number, &absent, NULL);
        sum += file != NULL ? file->size : 0;
        cm_segment_close(file);
    }
    return sum;
}

enum cm_archive_status cm_archive_scan(const struct cm_archive_site *where, const struct cm_archive_visitor *visitor,
                                       struct cm_segment_walk **out_end, struct cm_err *err)
{
    struct scan scan = {.where = where, .visitor = visitor};
    uint64_t first = 0;
    uint64_t last = 0;
    *out_end = NULL;
    enum cm_archive_status status = cm_segment_range(where->directory, &first, &last, err);
    if (status != CM_ARCHIVE_OK) {
        return status;
    }
    scan.end = malloc(sizeof(*scan.end));
    scan.here = malloc(sizeof(*scan.here));
    if (scan.end == NULL || scan.here == NULL) {
        cm_err_set(err, "out of memory");
        status = CM_ARCHIVE_FAILED;
    } else {
        cm_segment_walk_init(scan.end, where->store_id);
        scan.of_bytes = size_of_all(where, last);
    }
    for (uint64_t number = 1; status == CM_ARCHIVE_OK && number <= last && !scan.ended; number++) {
        status = scan_one(&scan, number, number == last, err);
        visitor->progress(visitor->context, scan.bytes, scan.of_bytes);
    }
    if (status == CM_ARCHIVE_OK) {
        *out_end = scan.end;
        scan.end = NULL;
    }
    free(scan.end);
    free(scan.here);
    return status == CM_ARCHIVE_OK && scan.damaged ? CM_ARCHIVE_DAMAGED : status;
}

static bool read_past(void *opaque, unsigned partition, uint64_t after,
                      bool (*each)(void *each_context, const struct cm_ledger_raw *entry), void *each_context,
                      struct cm_err *err)
{
    enum cm_archive_status status = cm_archive_read(opaque, partition, after, each, each_context, err);
    return status == CM_ARCHIVE_OK || status == CM_ARCHIVE_NONE; /* where none is, Redis' marks tell what is missing */
}

struct cm_past cm_archive_past(const struct cm_archive_site *where, bool is_known)
{
    return (struct cm_past){.read = read_past, .context = (void *)where, .is_known = is_known};
}
