/*
 * The fold: what the records under one field are after its events, in the order of the ledger. consent.lua writes
 * records and events in one step; folding the events again must give the same records, and who wrote past the functions
 * is found out by that.
 *
 * Two things are in no event and stay out of the fold: seals, and the month of last use, which is 0 here. Pure and
 * thread-safe; the caller owns the room for the records.
 */
#ifndef CORE_FOLD_H
#define CORE_FOLD_H

#include "core/event.h"

struct cm_fold {
    struct cm_record *records; /* sorted by key; the caller's */
    size_t count;
    size_t size; /* room; CM_LIMIT_RECORDS is always enough */
};

/* Applies one event, whose ledger id is given; that it belongs to this bucket and field is the caller's to check.
 * is_below tells whether `scope` lies below `above` in the registry: a purpose of that sender, or below that purpose.
 * False, with nothing changed, if there is no room left. */
bool cm_fold_apply(struct cm_fold *fold, const struct cm_event *event, uint64_t ledger,
                   bool (*is_below)(void *context, uint32_t scope, uint32_t above), void *context);

/* The standing record with the key of `like`, or NULL. What an event names as `previous` is that record's ledger id as
 * it was before the event, or 0. The pointer holds until the next event. */
const struct cm_record *cm_fold_find(const struct cm_fold *fold, const struct cm_record *like);

#endif
