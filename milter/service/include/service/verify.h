/*
 * The verification of the ledger: that it is whole, in Redis' tail and in the archive, and that the records are what
 * its events make them (core/fold.h), no more and no less. What somebody wrote past the functions is found by that.
 *
 * It runs beside writers and the archiver without stopping them. What changes under its eyes is read again; what will
 * not hold still is told as not known, never as wrong.
 *
 * Memory: the folded records of some partitions at a time, at most about CM_VERIFY_MEMORY_BYTES by the numbers of their
 * events. A larger archive is read several times, once for each such group of partitions. Belongs to one thread.
 */
#ifndef SERVICE_VERIFY_H
#define SERVICE_VERIFY_H

#include "service/archive.h"
#include "store/audit.h"

#define CM_VERIFY_MEMORY_BYTES (512u * 1048576u)

enum cm_fault {
    CM_FAULT_UNSET = 0,
    CM_FAULT_EVENT_MALFORMED,
    CM_FAULT_EVENTS_MISSING,
    CM_FAULT_EVENTS_FORGED,
    CM_FAULT_CHAIN_BROKEN,
    CM_FAULT_OUTCOME_WRONG,
    CM_FAULT_DOCUMENT_MISSING,
    CM_FAULT_DOCUMENT_CHANGED,
    CM_FAULT_RECORD_ORPHAN,
    CM_FAULT_RECORD_MISSING,
    CM_FAULT_RECORD_CHANGED,
    CM_FAULT_RECORD_MALFORMED,
    CM_FAULT_COUNTER_WRONG,
    CM_FAULT_ARCHIVE_DAMAGED,
    CM_FAULT_ARCHIVE_SHORT,
    CM_FAULT_ROLLED_BACK,
    CM_FAULT_UNREADABLE, /* this and the next are no faults: it could not be read, or not at rest, and is not known */
    CM_FAULT_UNSTABLE,
    CM_FAULT_COUNT,
};

/* A fixed word, "record_orphan", and what to do about it. */
const char *cm_fault_name(enum cm_fault fault);
const char *cm_fault_advice(enum cm_fault fault);

struct cm_verify_finding {
    enum cm_fault fault;
    int partition;    /* -1: the archive as a whole */
    uint64_t ledger;  /* id of the event, 0: none */
    uint64_t segment; /* of the archive, 0: none */
    const char *text; /* what was found */
};

struct cm_verify_options {
    const struct cm_archive_site *where; /* borrowed */
    const struct cm_registry *registry;
    void (*finding)(void *context, const struct cm_verify_finding *finding);
    void (*progress)(void *context, const char *what, uint64_t done, uint64_t of);
    void *context;
};

struct cm_verify_sums {
    uint64_t events;
    uint64_t archived; /* of them */
    uint64_t records;
    uint64_t findings;
    uint64_t unknown; /* partitions that could not be judged */
};

/* True when all was looked at: the sums tell the result. Else it is not known, with the cause. The archive of another
 * host is such a cause: verify where the archiver runs. */
bool cm_verify(struct cm_store *store, const struct cm_verify_options *options, struct cm_verify_sums *out,
               struct cm_archive_end *out_end, struct cm_err *err);

#endif
