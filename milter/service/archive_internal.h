/* What writing and reading the archive have in common: its files. */
#ifndef SERVICE_ARCHIVE_INTERNAL_H
#define SERVICE_ARCHIVE_INTERNAL_H

#include <stdio.h>

#include "service/archive.h"

#define CM_SEGMENT_PATH_BYTES 1024

bool cm_segment_path(const char *directory, uint64_t number, char out[CM_SEGMENT_PATH_BYTES], struct cm_err *err);

/* The lowest and highest number there is; 0 and 0 if there is none. NONE if there is no directory or no segment. */
enum cm_archive_status cm_segment_range(const char *directory, uint64_t *out_first, uint64_t *out_last,
                                        struct cm_err *err);

/* One segment file being read. */
struct cm_segment_file {
    FILE *file;
    uint64_t number;
    char path[CM_SEGMENT_PATH_BYTES];
    uint64_t size; /* when it was opened */
    char buffer[65536];
    uint8_t frame[CM_FRAME_MAX];
};

/* NULL and err; *out_absent tells whether that is because there is no such file. */
struct cm_segment_file *cm_segment_open(const char *directory, uint64_t number, bool *out_absent, struct cm_err *err);
void cm_segment_close(struct cm_segment_file *file);

/*
 * Walks a segment from its beginning on, at most `limit` bytes. OK when it came to the end of the whole frames: what
 * stands behind walk->head_bytes is then unsigned, or torn. DAMAGED with err at the first frame that is wrong; `walk`
 * stands before it. `each` may be NULL; *out_ended tells that it wanted no more.
 */
enum cm_archive_status cm_segment_run(struct cm_segment_file *file, struct cm_segment_walk *walk, uint64_t limit,
                                      bool (*each)(void *context, const struct cm_ledger_raw *entry), void *context,
                                      bool *out_ended, struct cm_err *err);

/* Walks the first frame only. NONE if there is no whole one. */
enum cm_archive_status cm_segment_peek(const struct cm_archive_site *where, uint64_t number,
                                       struct cm_segment_walk *walk, struct cm_err *err);

#endif
