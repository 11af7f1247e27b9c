/* The directory of a journal: opened, examined, locked, listed. */
#ifndef JOURNAL_DIRECTORY_H
#define JOURNAL_DIRECTORY_H

#include "journal/journal.h"

#define CM_JOURNAL_NAME_BYTES 19 /* "NNNNNNNNNN.journal" and a NUL */

/* number <= CM_JOURNAL_NUMBER_MAX. */
void cm_journal_name(uint64_t number, char out[CM_JOURNAL_NAME_BYTES]);

/* Makes the directory if it is missing. The lock lasts as long as *out_fd is open, which is the caller's on OK. OK,
 * LOCKED, or FAILED also for a directory that others may write to. */
enum cm_journal_status cm_journal_directory_open(const char *path, int *out_fd, struct cm_err *err);

/* The first numbers of the files, rising; *out is the caller's to free, NULL if there are none. DAMAGED for a name that
 * ends in ".journal" and is not ours; other names are left alone. */
enum cm_journal_status cm_journal_directory_list(int fd, uint64_t **out, size_t *out_count, struct cm_err *err);

/* Makes the entry of the directory in its parent durable. */
bool cm_journal_directory_sync_parent(int fd, struct cm_err *err);

#endif
