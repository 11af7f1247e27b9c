/* One file of a journal: read record by record, checked, begun, repaired. Not thread-safe: the window is shared. */
#ifndef JOURNAL_FILE_H
#define JOURNAL_FILE_H

#include "format.h"

#define CM_JOURNAL_WINDOW_BYTES 65536

/* A part of a file in memory; larger than any record. */
struct cm_journal_window {
    int fd;
    uint64_t at; /* where in the file the part begins */
    size_t len;
    uint8_t bytes[CM_JOURNAL_WINDOW_BYTES];
};

struct cm_journal_file {
    uint64_t first;     /* the number in its name */
    uint64_t last;      /* first - 1: no record yet */
    uint64_t bytes;     /* all that is sound; 0: not even the header */
    uint64_t commit_at; /* where the last commit begins, or 0 if there is none */
    int64_t newest_s;   /* the latest second of its records; INT64_MIN without any */
    uint8_t key[CM_SIPHASH_KEY_BYTES];
};

enum cm_journal_step {
    CM_JOURNAL_STEP_UNSET = 0,
    CM_JOURNAL_STEP_RECORD,
    CM_JOURNAL_STEP_END,
    CM_JOURNAL_STEP_BAD,   /* bytes that are no sound record */
    CM_JOURNAL_STEP_FAILED /* the file cannot be read; errno */
};

/* Points the window at another file, which stays the caller's. */
void cm_journal_window_over(struct cm_journal_window *window, int fd);

/* The record at `at`; *out_content lies in the window and is good until its next use. */
enum cm_journal_step cm_journal_file_step(struct cm_journal_window *window, const uint8_t key[CM_SIPHASH_KEY_BYTES],
                                          uint64_t at, struct cm_journal_head *out_head, struct cm_span *out_content);

/*
 * Reads all of the file under the window, whose name says that it begins with `first`. Of the last file, what a crash
 * tore off in the middle of an append is left out of out->bytes and counted in *out_cut. OK, DAMAGED or FAILED.
 */
enum cm_journal_status cm_journal_file_check(struct cm_journal_window *window, uint64_t first, bool is_last,
                                             struct cm_journal_file *out, uint64_t *out_cut, struct cm_err *err);

bool cm_journal_file_write(int fd, const uint8_t *bytes, size_t len); /* all of it, or false and errno */

/* A new file, durable with its name before this returns. *out_fd appends and is the caller's. */
bool cm_journal_file_create(int directory, uint64_t first, struct cm_journal_file *out, int *out_fd,
                            struct cm_err *err);

/* Makes the file under the window (open for reading and writing, not yet for appending) what `file` says, durably, and
 * ready to append. */
bool cm_journal_file_repair(struct cm_journal_window *window, int directory, struct cm_journal_file *file,
                            struct cm_err *err);

#endif
