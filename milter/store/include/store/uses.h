/*
 * Uses of consent: that a grant let mail pass in some month, which dormancy asks for. The filter, which may not write
 * records, leaves them in the streams `u:{pHHH}` (field `u`: bucket 2, field 8, scope 4, month 1); a keeper marks them
 * in the records. A use that is lost is left again by the next mail. Thread-safe, as the store is.
 */
#ifndef STORE_USES_H
#define STORE_USES_H

#include "store/store.h"

struct cm_use {
    uint16_t partition;
    uint16_t bucket;
    uint8_t field[CM_FIELD_BYTES]; /* of the exact address */
    uint32_t scope;
    uint8_t month; /* as cm_record.last_use_month */
};

/* Leaves `count` uses, at most CM_LIMIT_LOOKUP_BATCH, in one pipeline. */
enum cm_trouble cm_store_leave_uses(struct cm_store *store, const struct cm_use *uses, size_t count,
                                    struct cm_err *err);

/* Marks what was left since the last time in `count` partitions from `first` on (at most CM_USES_WINDOW), a page of
 * each. Harmless to repeat. MALFORMED and err also if something there is no use; it is passed over. */
#define CM_USES_WINDOW 64
enum cm_trouble cm_store_mark_uses(struct cm_store *store, unsigned first, unsigned count, struct cm_err *err);

#endif
