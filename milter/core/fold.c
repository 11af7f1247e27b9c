#include "core/fold.h"

#include <string.h>

#include "core/scope.h"

/* The first record whose key is not lower than that of `like`. */
static size_t locate(const struct cm_fold *fold, const struct cm_record *like)
{
    size_t at = 0;
    while (at < fold->count && cm_record_compare_keys(&fold->records[at], like) < 0) {
        at++;
    }
    return at;
}

static bool stands_at(const struct cm_fold *fold, size_t at, const struct cm_record *like)
{
    return at < fold->count && cm_record_same_key(&fold->records[at], like);
}

const struct cm_record *cm_fold_find(const struct cm_fold *fold, const struct cm_record *like)
{
    size_t at = locate(fold, like);
    return stands_at(fold, at, like) ? &fold->records[at] : NULL;
}

/* Whether an applied event takes this record away. */
static bool takes(const struct cm_event *event, const struct cm_record *record,
                  bool (*is_below)(void *context, uint32_t scope, uint32_t above), void *context)
{
    const struct cm_record *by = &event->record;
    if (event->act == CM_ACT_CONFIRM) {
        return record->kind == CM_KIND_REQUEST && record->scope == by->scope; /* it is answered */
    }
    if (event->act == CM_ACT_ERASE) {
        /* What others hold against the subject stays, and what came after. */
        bool covers = by->scope == CM_SCOPE_EVERYBODY || by->scope == record->scope ||
                      is_below(context, record->scope, by->scope);
        return covers && record->kind != CM_KIND_RESTRICTED && record->kind != CM_KIND_SUSPENDED &&
               record->event_at <= by->event_at;
    }
    return by->kind == CM_KIND_FORWARD; /* all have moved */
}

/* False if there is no room. */
static bool put(struct cm_fold *fold, const struct cm_record *record)
{
    size_t at = locate(fold, record);
    if (!stands_at(fold, at, record)) {
        if (fold->count == fold->size) {
            return false;
        }
        memmove(&fold->records[at + 1], &fold->records[at], (fold->count - at) * sizeof(fold->records[0]));
        fold->count++;
    }
    fold->records[at] = *record;
    return true;
}

/* What came too late changes nothing but the end of its record's chain, if there is such a record. */
static void note_stale(struct cm_fold *fold, const struct cm_record *record, uint64_t ledger)
{
    size_t at = locate(fold, record);
    if (stands_at(fold, at, record)) {
        fold->records[at].ledger = ledger;
    }
}

bool cm_fold_apply(struct cm_fold *fold, const struct cm_event *event, uint64_t ledger,
                   bool (*is_below)(void *context, uint32_t scope, uint32_t above), void *context)
{
    if (event->act == CM_ACT_NOTE) {
        return true;
    }
    if (event->outcome != CM_OUTCOME_APPLIED) {
        note_stale(fold, &event->record, ledger);
        return true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < fold->count; i++) {
        if (!takes(event, &fold->records[i], is_below, context)) {
            fold->records[kept++] = fold->records[i];
        }
    }
    fold->count = kept;
    struct cm_record record = event->record;
    record.ledger = record.kind == CM_KIND_FORWARD ? 0 : ledger; /* a forward has no room for it */
    return put(fold, &record); /* if it fails, nothing was taken either: that would have made room */
}
