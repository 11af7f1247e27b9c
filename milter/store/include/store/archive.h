/*
 * What an archiver needs of Redis: the tails of the ledger, its own marks, and trimming. It needs neither pepper nor
 * seal master, and these commands only: on l: XRANGE, XTRIM, XINFO STREAM; on a: HMGET, HSET; on m: HGET.
 *
 * The marks of a partition stand in `a:{pHHH}`: `cursor` the last ledger id that is safely in the archive, `count` how
 * many entries that makes, `trim` the ledger id below which the archiver may have trimmed. They follow the archive and
 * never lead it, so that a restored Redis can only lag behind. Thread-safe, as the store is.
 */
#ifndef STORE_ARCHIVE_H
#define STORE_ARCHIVE_H

#include "store/ledger.h"

struct cm_archive_mark {
    uint64_t cursor;
    uint64_t count;
    uint64_t trim;
};

/* What Redis says of one ledger stream. */
struct cm_tail_facts {
    uint64_t last;  /* last ledger id ever given, 0: none */
    uint64_t added; /* entries ever added */
    uint64_t length;
};

/* Makes sure that this is the store of our keys' store id. */
enum cm_trouble cm_archive_check_store(struct cm_store *store, struct cm_err *err);

/* One page of one partition's tail: `count` entries after `after`, and the partition's marks, read after it. */
struct cm_tail_page {
    void *replies[2];
    size_t count;
};
enum cm_trouble cm_tail_read(struct cm_store *store, unsigned partition, uint64_t after, unsigned limit,
                             struct cm_tail_page *out, struct cm_archive_mark *out_mark, struct cm_err *err);
/* An entry that is not as the functions write them has an empty event; MALFORMED if not even its id can be read. */
enum cm_trouble cm_tail_entry(const struct cm_tail_page *page, size_t index, unsigned partition,
                              struct cm_ledger_raw *out, struct cm_err *err);
void cm_tail_page_free(struct cm_tail_page *page);

/* Partitions asked in one pipeline by the functions below: none blocks Redis for long, whatever documents there are. */
#define CM_ARCHIVE_GROUP 64

/*
 * For `count` (at most CM_ARCHIVE_GROUP) partitions from `first` on, one page each of the entries after after[i].
 * `each` is called in order; entry == NULL tells that the partition's next entry is none that the functions write (the
 * rest of its page is left out then), with its ledger id if that can be read, else 0. False from `each` ends the
 * reading: that is CM_TROUBLE_INTERNAL, with err left to `each`. out_full[i] tells that there may be more.
 */
enum cm_trouble cm_archive_fetch(struct cm_store *store, unsigned first, size_t count, const uint64_t *after,
                                 bool (*each)(void *context, unsigned partition, uint64_t id,
                                              const struct cm_ledger_raw *entry),
                                 void *context, bool *out_full, struct cm_err *err);
enum cm_trouble cm_archive_read_marks(struct cm_store *store, unsigned first, size_t count, struct cm_archive_mark *out,
                                      struct cm_err *err);
enum cm_trouble cm_archive_read_facts(struct cm_store *store, unsigned first, size_t count, struct cm_tail_facts *out,
                                      struct cm_err *err);

/* At most CM_ARCHIVE_GROUP orders at once. The marks are written first, and only when that succeeded is trimmed what
 * lies below mark.trim: a reader that finds the trimmed part gone then also finds the mark. *out_trimmed is the number
 * of entries. */
struct cm_archive_order {
    unsigned partition;
    struct cm_archive_mark mark;
};
enum cm_trouble cm_archive_write_marks(struct cm_store *store, const struct cm_archive_order *orders, size_t count,
                                       struct cm_err *err);
enum cm_trouble cm_archive_trim(struct cm_store *store, const struct cm_archive_order *orders, size_t count,
                                uint64_t *out_trimmed, struct cm_err *err);

#endif
