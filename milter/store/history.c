#include <string.h>

#include "core/seal.h"
#include "store/archive.h"
#include "store/ledger.h"
#include "store_internal.h"

#define PAGE 1000
#define PAGE_OF_NOTES 50 /* partition 0 holds notes, and those are large */
#define SEALS_MAX 256    /* senders that hold evidence of one subject; documents of more are told as lost */

/* Hands entries on and remembers how far it came. */
struct reading {
    bool (*each)(void *context, const struct cm_ledger_raw *entry);
    void *context;
    uint64_t last;
    bool ended; /* `each` wants no more */
};

static bool pass_on(void *opaque, const struct cm_ledger_raw *entry)
{
    struct reading *reading = opaque;
    if (entry->id > reading->last) { /* each once, wherever it lies */
        reading->last = entry->id;
        reading->ended = !reading->each(reading->context, entry);
    }
    return !reading->ended;
}

/* Reads one page of the tail. The archiver says what it will trim before it does, and only what is safely in the
 * archive; so if the trimmed part reaches beyond where we are, the page is not handed on, but *out_gap tells how far.
 */
static enum cm_trouble read_page(struct cm_store *store, unsigned partition, struct reading *reading, bool *out_more,
                                 uint64_t *out_gap, struct cm_err *err)
{
    struct cm_archive_mark mark;
    struct cm_tail_page page;
    unsigned limit = partition == 0 ? PAGE_OF_NOTES : PAGE;
    enum cm_trouble trouble = cm_tail_read(store, partition, reading->last, limit, &page, &mark, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    *out_gap = mark.trim > reading->last + 1 ? mark.trim : 0;
    *out_more = *out_gap != 0 || page.count == limit;
    for (size_t i = 0; *out_gap == 0 && trouble == CM_TROUBLE_NONE && !reading->ended && i < page.count; i++) {
        struct cm_ledger_raw entry;
        trouble = cm_tail_entry(&page, i, partition, &entry, err);
        if (trouble == CM_TROUBLE_NONE) {
            (void)pass_on(reading, &entry); /* `ended` says the same */
        }
    }
    cm_tail_page_free(&page);
    return trouble;
}

enum cm_trouble cm_ledger_read(struct cm_store *store, const struct cm_past *past, unsigned partition, uint64_t after,
                               bool (*each)(void *context, const struct cm_ledger_raw *entry), void *context,
                               struct cm_err *err)
{
    struct reading reading = {.each = each, .context = context, .last = after};
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    uint64_t known_gap = 0; /* seen before the past was read last */
    bool look_back = past != NULL && !past->is_known;
    bool missing = false;
    for (bool more = true; trouble == CM_TROUBLE_NONE && more;) {
        uint64_t gap = 0;
        if (look_back && !past->read(past->context, partition, reading.last, pass_on, &reading, err)) {
            return CM_TROUBLE_MALFORMED;
        }
        if (reading.ended) {
            return CM_TROUBLE_NONE;
        }
        trouble = read_page(store, partition, &reading, &more, &gap, err);
        if (gap != 0 && (past == NULL || gap <= known_gap)) {
            missing = true;
            reading.last = gap - 1;
        }
        look_back = past != NULL && gap > known_gap;
        known_gap = gap != 0 ? gap : known_gap;
        more = more && !reading.ended;
    }
    if (trouble == CM_TROUBLE_NONE && missing) {
        cm_err_set(err, "entries of partition %u were moved to an archive which is not here, or which has lost them",
                   partition);
        trouble = CM_TROUBLE_MALFORMED;
    }
    return trouble;
}

struct seals {
    struct cm_record records[SEALS_MAX];
    size_t count;
};

/* The salts under one field, to open its documents with. */
static enum cm_trouble read_seals(struct cm_store *store, const struct cm_subject *subject, struct seals *out,
                                  struct cm_err *err)
{
    struct cm_arena arena;
    struct cm_subject_records records;
    struct cm_lookup lookup = {0};
    cm_arena_init(&arena, CM_LIMIT_MESSAGE_BYTES);
    enum cm_trouble trouble = cm_store_lookup(store, subject, 1, &arena, &records, &lookup, err);
    out->count = 0;
    if (trouble == CM_TROUBLE_NONE) {
        bool same = records.exact == records.family;
        for (size_t i = 0; i < records.exact_count && out->count < SEALS_MAX; i++) {
            if (records.exact[i].kind == CM_KIND_SEAL) {
                out->records[out->count++] = records.exact[i];
            }
        }
        for (size_t i = 0; !same && i < records.family_count && out->count < SEALS_MAX; i++) {
            if (records.family[i].kind == CM_KIND_SEAL) {
                out->records[out->count++] = records.family[i];
            }
        }
        cm_registry_unref(lookup.registry);
    }
    cm_arena_done(&arena);
    return trouble;
}

/* Opens a document with whichever salt fits: the tag tells. */
static void open_document(const struct cm_store *store, const struct seals *seals, struct cm_span sealed,
                          char buffer[CM_LIMIT_EVIDENCE_BYTES + 1], struct cm_ledger_entry *entry)
{
    uint8_t sha[CM_SHA256_BYTES];
    if ((entry->event.record.flags & CM_RECORD_HAS_EVIDENCE) == 0 || entry->event.act == CM_ACT_FORWARD) {
        return; /* the document of a moved record stays with the event that brought it */
    }
    entry->document_lost = true;
    if (!store->keys->has_seal || !cm_sha256(sealed, sha) ||
        memcmp(sha, entry->event.evidence_sha256, sizeof(sha)) != 0) {
        return;
    }
    for (size_t i = 0; i < seals->count && entry->document_lost; i++) {
        size_t len = 0;
        if (cm_keys_unseal(store->keys, seals->records[i].salt, sealed, buffer, &len)) {
            entry->document = (struct cm_span){buffer, len};
            entry->document_lost = false;
        }
    }
}

static bool concerns(const struct cm_event *event, const struct cm_subject_place *place)
{
    return event->bucket == place->bucket && (memcmp(event->field, place->exact, CM_FIELD_BYTES) == 0 ||
                                              memcmp(event->field, place->family, CM_FIELD_BYTES) == 0);
}

struct history {
    const struct cm_store *store;
    struct cm_subject_place place; /* that is being read */
    struct seals seals;
    bool (*each)(void *context, const struct cm_ledger_entry *entry);
    void *context;
    char document[CM_LIMIT_EVIDENCE_BYTES + 1];
    bool ended; /* `each` wants no more */
    bool failed;
    struct cm_err err;
};

static bool tell_entry(void *opaque, const struct cm_ledger_raw *raw)
{
    struct history *history = opaque;
    struct cm_ledger_entry entry = {.id = raw->id};
    if (!cm_event_decode(raw->event, &entry.event)) {
        cm_err_set(&history->err, "an event of the ledger cannot be read");
        history->failed = true;
        return false;
    }
    if (!concerns(&entry.event, &history->place)) {
        return true;
    }
    open_document(history->store, &history->seals, raw->document, history->document, &entry);
    history->ended = !history->each(history->context, &entry);
    return !history->ended;
}

enum cm_trouble cm_store_history(struct cm_store *store, const struct cm_past *past, const struct cm_subject *subject,
                                 bool (*each)(void *context, const struct cm_ledger_entry *entry), void *context,
                                 struct cm_err *err)
{
    struct history history = {.store = store, .each = each, .context = context};
    struct cm_subject_place places[CM_PEPPERS_READABLE];
    size_t count = cm_subject_places(subject, places);
    enum cm_trouble trouble = read_seals(store, subject, &history.seals, err);
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && !history.ended && !history.failed && i < count; i++) {
        history.place = places[i];
        trouble = cm_ledger_read(store, past, history.place.partition, 0, tell_entry, &history, err);
    }
    if (history.failed) {
        cm_err_set(err, "%s", history.err.text);
        trouble = CM_TROUBLE_MALFORMED;
    }
    return trouble;
}
