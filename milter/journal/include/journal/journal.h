/*
 * The journal: what a keeper was told, on its own disk before anything else happens to it (LAW-11, LAW-12).
 *
 * Append-only files `NNNNNNNNNN.journal` in one directory, which is locked while open. Each record carries its number,
 * the wall-clock second of its writing (for retention only), its length and a checksum over all of it; numbers rise by
 * one without gap over all files. What a crash leaves of records in the middle of an append is cut off at the next
 * opening: nobody was answered for them. Any other damage is an error that names file and offset, and nothing is cut.
 * What records mean is the keeper's business.
 *
 * Limits: damage that looks just like a crash in the last commit of all, that is a file that lost its end, or sectors
 * of it that became zeros, cannot be told from one and is cut. A missing newest file, or missing oldest ones, cannot be
 * seen here either. Who keeps the last number elsewhere, as the keeper does in its mark, notices the first two by
 * cm_journal_range.
 *
 * Thread-safety: a journal belongs to one thread. Instants are unix seconds. Files are named without the directory in
 * messages, but for those about the directory itself; the caller knows it.
 */
#ifndef JOURNAL_JOURNAL_H
#define JOURNAL_JOURNAL_H

#include "base/result.h"
#include "base/text.h"
#include "base/time.h"

#define CM_JOURNAL_RECORD_MAX 16384          /* bytes of one record's content; a longer one is refused */
#define CM_JOURNAL_PENDING_MAX (4 * 1048576) /* bytes waiting for one commit; what would not fit is refused */
#define CM_JOURNAL_FILES_MAX 65536       /* files of one journal; beyond it no new one is begun, nor all are opened */
#define CM_JOURNAL_NUMBER_MAX 9999999999 /* the last number there is; beyond it nothing is added */

struct cm_journal;

struct cm_journal_options {
    const char *directory; /* made (0700) if missing; its parent must exist. It must be ours, and ours alone to write */
    size_t file_bytes;     /* a file that has reached this is closed at the next commit and a new one begun */
};

enum cm_journal_status {
    CM_JOURNAL_UNSET = 0,
    CM_JOURNAL_OK,
    CM_JOURNAL_LOCKED,  /* another process has it */
    CM_JOURNAL_DAMAGED, /* a person must look at it; nothing was changed */
    CM_JOURNAL_FAILED   /* the directory is missing, not safe, or cannot be read or written; no memory */
};

/*
 * Locks (flock), checks every file, cuts a torn end, and makes durable what is there. *out_cut tells how many bytes
 * were cut. On OK *out is the caller's to close. The lock is the open file's: a child of fork holds it too, until its
 * exec.
 */
enum cm_journal_status cm_journal_open(const struct cm_journal_options *options, struct cm_journal **out,
                                       size_t *out_cut, struct cm_err *err);
void cm_journal_close(struct cm_journal *journal); /* drops what was not committed; NULL is harmless */

/*
 * Group commit: any number of adds, then one commit, which writes and syncs them all. Only after the commit has
 * answered true is any of them durable. After a false it is not known which of them are (their numbers, should they be
 * missing at the next opening, are then given again), and the journal is in doubt: it refuses everything until it is
 * closed and opened anew. A commit of nothing is true.
 *
 * add: false and err if the content is too long, memory runs out, a ceiling is reached or the journal is in doubt;
 * nothing of it is then kept, and what was added before still is. The content is copied. *out_number is its number.
 *
 * A process that limits its files (RLIMIT_FSIZE) must ignore SIGXFSZ.
 */
bool cm_journal_add(struct cm_journal *journal, struct cm_span content, uint64_t *out_number, struct cm_err *err);
bool cm_journal_commit(struct cm_journal *journal, int64_t now_s, struct cm_err *err);

/*
 * Calls `each` for every committed record with number >= from, in order. The content is borrowed for the call, and
 * `each` may add, but not read, commit or expire. Stops early when `each` answers false (that is no failure). False and
 * err: a file cannot be read, or was damaged since the opening; records before that place were passed.
 */
bool cm_journal_read(struct cm_journal *journal, uint64_t from,
                     bool (*each)(void *context, uint64_t number, int64_t at_s, struct cm_span content), void *context,
                     struct cm_err *err);

/* Number of the first and last committed record; 0 and 0 if there is none. A journal whose old files were removed
 * begins later than 1. */
void cm_journal_range(const struct cm_journal *journal, uint64_t *out_first, uint64_t *out_last);

/*
 * Removes, from the oldest on, files whose records are all older than `before_s` and numbered below `below`; never the
 * one being written, nor the one with the last record, whose number must not be forgotten. False and err: a file could
 * not be removed; those before it were, and the journal can still be used.
 */
bool cm_journal_expire(struct cm_journal *journal, int64_t before_s, uint64_t below, struct cm_err *err);

#endif
