/*
 * The archive: the ledger for good, in segment files (service/segment.h) `NNNNNNNNNN.segment` of one directory. One
 * row of segments holds all partitions; the table at the beginning of each segment tells which of them it touches.
 *
 * Segments are only appended to, and a sealed one is never touched again: it may be copied away, and made immutable by
 * the file system. A writer appends a batch and a signed head in one go and syncs; what a crash leaves behind the last
 * head is cut off at the next opening, for Redis still has it. Readers never look behind the
 * last head. There is one writer at a time (flock); any number of readers beside it.
 *
 * Thread-safety: an open archive belongs to one thread; reading shares nothing.
 */
#ifndef SERVICE_ARCHIVE_H
#define SERVICE_ARCHIVE_H

#include "service/segment.h"

#define CM_ARCHIVE_SEGMENT_BYTES \
    (64u * 1048576u) /* a segment that has reached this is sealed; so is one of yesterday */

/* Whose archive, and where. All is borrowed. */
struct cm_archive_site {
    const char *directory;
    const char *store_id;
    const struct cm_archive_key *key;
};

enum cm_archive_status {
    CM_ARCHIVE_UNSET = 0,
    CM_ARCHIVE_OK,
    CM_ARCHIVE_NONE,    /* reading: there is no archive here */
    CM_ARCHIVE_LOCKED,  /* another archiver runs */
    CM_ARCHIVE_DAMAGED, /* something is not as it was written */
    CM_ARCHIVE_FAILED,  /* the system refused */
};

/* What ended work on both Redis and the archive: NONE and OK, or trouble of Redis, or something about the archive. */
struct cm_archive_end {
    enum cm_trouble trouble;
    enum cm_archive_status archive;
};

struct cm_archive;

/* Makes the directory (0700; its parent must exist) if it is missing, and locks it. Looks at the last segment only. The
 * key must be able to sign. */
enum cm_archive_status cm_archive_open(const struct cm_archive_site *where, struct cm_archive **out,
                                       struct cm_err *err);
/* Must follow, before anything is added: cuts off what stands behind the last head, if the archive still holds all that
 * Redis says it holds (known[CM_PARTITIONS]); else it has lost something, is DAMAGED, and nothing is cut. */
enum cm_archive_status cm_archive_recover(struct cm_archive *archive, const struct cm_archive_place *known,
                                          uint64_t *out_cut, struct cm_err *err);
/* What was added and not committed is forgotten. NULL is harmless. */
void cm_archive_close(struct cm_archive *archive);

/* What the archive holds of a partition, with what was added. */
struct cm_archive_place cm_archive_holds(const struct cm_archive *archive, unsigned partition);

/*
 * Adds to the batch; then one commit writes, signs and syncs all of it. Nothing is durable before the commit has
 * answered true. After a false of either the archive is in doubt and refuses everything until it is opened anew.
 * `now` is wall-clock time, for the record and for sealing. An empty commit seals what is due and else does nothing;
 * `seal` seals in any case.
 */
bool cm_archive_add(struct cm_archive *archive, const struct cm_ledger_raw *entry, cm_ms now, struct cm_err *err);
bool cm_archive_commit(struct cm_archive *archive, cm_ms now, bool seal, struct cm_err *err);
/* Bytes waiting for the commit. */
size_t cm_archive_waiting(const struct cm_archive *archive);

/*
 * Reads the entries of one partition after a ledger id, oldest first, and no more segments than needed; what it reads
 * is checked as far as it goes. False from `each` ends the reading and is no failure.
 */
enum cm_archive_status cm_archive_read(const struct cm_archive_site *where, unsigned partition, uint64_t after,
                                       bool (*each)(void *context, const struct cm_ledger_raw *entry), void *context,
                                       struct cm_err *err);

/* Something wrong with a file; `segment` is the number its name tells. */
struct cm_archive_visitor {
    bool (*entry)(void *context, const struct cm_ledger_raw *entry); /* false ends the reading */
    void (*damage)(void *context, uint64_t segment, const char *text);
    void (*progress)(void *context, uint64_t bytes, uint64_t of_bytes);
    void *context;
};

/*
 * Reads everything and checks everything: that no segment is missing, chain, order, and the signature of the last head
 * of each segment. Damage is handed to the visitor, and the reading goes on with the next segment, as if all was well
 * before it. *out_end, if there is any archive, is the walk at its end: the places it holds. For the caller to free;
 * NULL if status is NONE or FAILED.
 */
enum cm_archive_status cm_archive_scan(const struct cm_archive_site *where, const struct cm_archive_visitor *visitor,
                                       struct cm_segment_walk **out_end, struct cm_err *err);

/* The archive as the past of the ledger; `where` is borrowed. `is_known` as in struct cm_past. */
struct cm_past cm_archive_past(const struct cm_archive_site *where, bool is_known);

#endif
