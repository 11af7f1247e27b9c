#include "service/archiver.h"

#include <stdlib.h>
#include <string.h>

#define COMMIT_BYTES (4u * 1048576u)

_Static_assert(CM_PARTITIONS % CM_ARCHIVE_GROUP == 0, "partitions are asked in whole groups");

struct cm_archiver {
    struct cm_store *store;
    struct cm_archiver_options options;
    struct cm_archive *archive;
    struct cm_archiver_sums sums;
    cm_ms now;                                      /* of the present round */
    struct cm_archive_mark marks[CM_PARTITIONS];    /* as they stand in Redis */
    struct cm_archive_place durable[CM_PARTITIONS]; /* what is durable in the archive */
    bool has_trimmed;                               /* since the opening, up to all marks */
    bool alarmed[CM_PARTITIONS];
    bool stuck[CM_PARTITIONS]; /* its next entry is none of ours */
    struct cm_err failure;     /* of a callback */
};

static bool end_with(struct cm_archive_end *out, enum cm_trouble trouble, enum cm_archive_status archive)
{
    *out = (struct cm_archive_end){.trouble = trouble, .archive = archive};
    return trouble == CM_TROUBLE_NONE && archive == CM_ARCHIVE_OK;
}

static void alarm_once(struct cm_archiver *archiver, unsigned partition, const char *what)
{
    struct cm_err text;
    if (archiver->alarmed[partition]) {
        return;
    }
    archiver->alarmed[partition] = true;
    archiver->sums.alarms++;
    cm_err_set(&text, "partition %u: %s", partition, what);
    archiver->options.alarm(archiver->options.alarm_context, text.text);
}

static void note_durable(struct cm_archiver *archiver)
{
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        archiver->durable[p] = cm_archive_holds(archiver->archive, p);
    }
}

/* Marks first: they say what is there, and only then may the archive cut what it cannot prove. */
static bool compare(struct cm_archiver *archiver, struct cm_archive_end *out_end, struct cm_err *err)
{
    struct cm_archive_place known[CM_PARTITIONS];
    enum cm_trouble trouble = cm_archive_check_store(archiver->store, err);
    for (unsigned p = 0; trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p += CM_ARCHIVE_GROUP) {
        trouble = cm_archive_read_marks(archiver->store, p, CM_ARCHIVE_GROUP, archiver->marks + p, err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        return end_with(out_end, trouble, CM_ARCHIVE_OK);
    }
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        known[p] = (struct cm_archive_place){.last = archiver->marks[p].cursor, .count = archiver->marks[p].count};
    }
    enum cm_archive_status status = cm_archive_recover(archiver->archive, known, &archiver->sums.cut_bytes, err);
    if (status == CM_ARCHIVE_OK) {
        note_durable(archiver);
    }
    return end_with(out_end, CM_TROUBLE_NONE, status);
}

struct cm_archiver *cm_archiver_open(struct cm_store *store, const struct cm_archiver_options *options,
                                     struct cm_archive_end *out_end, struct cm_err *err)
{
    struct cm_archiver *archiver = calloc(1, sizeof(*archiver));
    if (archiver == NULL) {
        cm_err_set(err, "out of memory");
        (void)end_with(out_end, CM_TROUBLE_MEMORY, CM_ARCHIVE_OK); /* NULL says the same */
        return NULL;
    }
    archiver->store = store;
    archiver->options = *options;
    enum cm_archive_status status = cm_archive_open(&archiver->options.where, &archiver->archive, err);
    if (!end_with(out_end, CM_TROUBLE_NONE, status) || !compare(archiver, out_end, err)) {
        cm_archiver_close(archiver);
        return NULL;
    }
    return archiver;
}

void cm_archiver_close(struct cm_archiver *archiver)
{
    if (archiver != NULL) {
        cm_archive_close(archiver->archive);
    }
    free(archiver);
}

struct cm_archiver_sums cm_archiver_sums(const struct cm_archiver *archiver)
{
    return archiver->sums;
}

/* Below which ledger id a partition may be trimmed: never beyond what is durable here, and never back. */
static uint64_t trim_below(const struct cm_archiver *archiver, unsigned partition)
{
    cm_ms old = archiver->now - archiver->options.keep_for_ms;
    uint64_t by_age = old > 0 ? (uint64_t)old << 16 : 0;
    uint64_t archived = archiver->durable[partition].last;
    uint64_t below = archived == 0 ? 0 : archived + 1;
    if (archiver->options.keep_for_ms > 0 && by_age < below) {
        below = by_age;
    }
    return below > archiver->marks[partition].trim ? below : archiver->marks[partition].trim;
}

static enum cm_trouble carry_out(struct cm_archiver *archiver, const struct cm_archive_order *orders, size_t count,
                                 struct cm_err *err)
{
    uint64_t trimmed = 0;
    enum cm_trouble trouble = cm_archive_write_marks(archiver->store, orders, count, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_archive_trim(archiver->store, orders, count, &trimmed, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        archiver->sums.trimmed += trimmed;
        for (size_t i = 0; i < count; i++) {
            archiver->marks[orders[i].partition] = orders[i].mark;
        }
    }
    return trouble;
}

/* Writes the marks of the partitions whose archive has grown, or with `all` of every one that has something, and trims
 * them. */
static enum cm_trouble update_marks(struct cm_archiver *archiver, bool all, struct cm_err *err)
{
    struct cm_archive_order orders[CM_ARCHIVE_GROUP];
    size_t count = 0;
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    for (unsigned p = 0; trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p++) {
        const struct cm_archive_place *place = &archiver->durable[p];
        uint64_t below = trim_below(archiver, p);
        bool grown = place->last != archiver->marks[p].cursor || place->count != archiver->marks[p].count;
        if (grown || (all && below != archiver->marks[p].trim)) {
            orders[count] = (struct cm_archive_order){
                .partition = p, .mark = {.cursor = place->last, .count = place->count, .trim = below}};
            count++;
        }
        if (count == CM_ARCHIVE_GROUP || (count > 0 && p == CM_PARTITIONS - 1)) {
            trouble = carry_out(archiver, orders, count, err);
            count = 0;
        }
    }
    return trouble;
}

/* A crash between marks and trimming leaves what the marks say is trimmed: once a run, all is trimmed up to its mark.
 */
static enum cm_trouble finish_trimming(struct cm_archiver *archiver, struct cm_err *err)
{
    struct cm_archive_order orders[CM_ARCHIVE_GROUP];
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    for (unsigned p = 0; trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p += CM_ARCHIVE_GROUP) {
        uint64_t trimmed = 0;
        for (unsigned i = 0; i < CM_ARCHIVE_GROUP; i++) {
            orders[i] = (struct cm_archive_order){.partition = p + i, .mark = archiver->marks[p + i]};
        }
        trouble = cm_archive_trim(archiver->store, orders, CM_ARCHIVE_GROUP, &trimmed, err);
        archiver->sums.trimmed += trimmed;
    }
    archiver->has_trimmed = trouble == CM_TROUBLE_NONE;
    return trouble;
}

static bool commit(struct cm_archiver *archiver, bool seal, struct cm_archive_end *out_end, struct cm_err *err)
{
    if (!cm_archive_commit(archiver->archive, archiver->now, seal, err)) {
        return end_with(out_end, CM_TROUBLE_NONE, CM_ARCHIVE_FAILED);
    }
    note_durable(archiver);
    return end_with(out_end, update_marks(archiver, false, err), CM_ARCHIVE_OK);
}

static bool take(void *opaque, unsigned partition, uint64_t id, const struct cm_ledger_raw *entry)
{
    struct cm_archiver *archiver = opaque;
    if (entry == NULL) {
        char text[CM_ERR_BYTES];
        char at[CM_LEDGER_ID_TEXT_BYTES];
        struct cm_text what = cm_text_over(text, sizeof(text));
        cm_ledger_id_format(id, at);
        cm_text_add_format(&what,
                           "entry %s of the ledger is not as the functions write them. It is left there, with all "
                           "after it: see `consentctl ledger verify`",
                           id != 0 ? at : "(unreadable)");
        archiver->stuck[partition] = true;
        alarm_once(archiver, partition, text);
        return true;
    }
    if (!cm_archive_add(archiver->archive, entry, archiver->now, &archiver->failure)) {
        return false;
    }
    archiver->sums.archived++;
    return true;
}

/* One page of each partition of a group. */
static bool fetch_group(struct cm_archiver *archiver, unsigned first, bool *out_more, struct cm_archive_end *out_end,
                        struct cm_err *err)
{
    uint64_t after[CM_ARCHIVE_GROUP];
    bool full[CM_ARCHIVE_GROUP];
    for (unsigned i = 0; i < CM_ARCHIVE_GROUP; i++) {
        after[i] = cm_archive_holds(archiver->archive, first + i).last;
    }
    archiver->failure = (struct cm_err){{0}};
    enum cm_trouble trouble = cm_archive_fetch(archiver->store, first, CM_ARCHIVE_GROUP, after, take, archiver, full,
                                               err);
    if (archiver->failure.text[0] != '\0') {
        cm_err_set(err, "%s", archiver->failure.text);
        return end_with(out_end, CM_TROUBLE_NONE, CM_ARCHIVE_FAILED);
    }
    for (unsigned i = 0; trouble == CM_TROUBLE_NONE && i < CM_ARCHIVE_GROUP; i++) {
        *out_more = *out_more || (full[i] && !archiver->stuck[first + i]);
    }
    return end_with(out_end, trouble, CM_ARCHIVE_OK);
}

bool cm_archiver_round(struct cm_archiver *archiver, cm_ms now, bool *out_more, struct cm_archive_end *out_end,
                       struct cm_err *err)
{
    archiver->now = now;
    *out_more = false;
    bool ok = end_with(out_end, cm_archive_check_store(archiver->store, err), CM_ARCHIVE_OK);
    for (unsigned p = 0; ok && p < CM_PARTITIONS; p += CM_ARCHIVE_GROUP) {
        ok = fetch_group(archiver, p, out_more, out_end, err);
        if (ok && cm_archive_waiting(archiver->archive) >= COMMIT_BYTES) {
            ok = commit(archiver, false, out_end, err);
        }
    }
    return ok && commit(archiver, false, out_end, err);
}

/* Redis counts every entry ever added. If we are at its end and have another number, entries went past us; if it ends
 * before us, it has been rolled back. */
static void judge(struct cm_archiver *archiver, unsigned partition, const struct cm_tail_facts *facts)
{
    const struct cm_archive_place *place = &archiver->durable[partition];
    char text[CM_ERR_BYTES];
    char ends[CM_LEDGER_ID_TEXT_BYTES];
    struct cm_text what = cm_text_over(text, sizeof(text));
    if (facts->last < place->last) {
        cm_ledger_id_format(facts->last, ends);
        cm_text_add_format(&what, "Redis was rolled back: its ledger ends at %s, before the archive does", ends);
    } else if (facts->last == place->last && facts->added != place->count) {
        cm_text_add_format(&what,
                           "%llu entries were added to the ledger in Redis, and %llu were archived: some were deleted "
                           "or trimmed by another hand, or Redis was rolled back",
                           (unsigned long long)facts->added, (unsigned long long)place->count);
    }
    if (what.len > 0) {
        alarm_once(archiver, partition, text);
    }
}

bool cm_archiver_tidy(struct cm_archiver *archiver, cm_ms now, bool seal, struct cm_archive_end *out_end,
                      struct cm_err *err)
{
    archiver->now = now;
    if (!commit(archiver, seal, out_end, err)) {
        return false;
    }
    enum cm_trouble trouble = update_marks(archiver, true, err);
    if (trouble == CM_TROUBLE_NONE && !archiver->has_trimmed) {
        trouble = finish_trimming(archiver, err);
    }
    for (unsigned p = 0; trouble == CM_TROUBLE_NONE && p < CM_PARTITIONS; p += CM_ARCHIVE_GROUP) {
        struct cm_tail_facts facts[CM_ARCHIVE_GROUP];
        trouble = cm_archive_read_facts(archiver->store, p, CM_ARCHIVE_GROUP, facts, err);
        for (unsigned i = 0; trouble == CM_TROUBLE_NONE && i < CM_ARCHIVE_GROUP; i++) {
            judge(archiver, p + i, &facts[i]);
        }
    }
    return end_with(out_end, trouble, CM_ARCHIVE_OK);
}
