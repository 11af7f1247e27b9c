/*
 * What the bytes of a journal file mean. Pure; all integers are big-endian.
 *
 *   file header, 44 bytes          record
 *    0  8  "cmjourn" and a NUL      0  4  "CmR" and 1
 *    8  4  version, 1               4  4  length of the content
 *   12  8  number of first record   8  8  number
 *   20 16  key of the sums         16  8  number of the first record of its commit
 *   36  8  sum of 0..35            24  8  unix second of the commit
 *                                  32  8  sum of 0..31
 *                                  40  n  content
 *                                 40+n 8  sum of 0..39+n
 *
 * The head has a sum of its own, so that a length can be believed before the content is there: a file that ends inside
 * a record whose head is sound was torn, and a damaged length is not taken for that. The key is random for each file.
 * The first number of the commit says what was durable when a record was written: everything before it, for a commit is
 * begun only after the one before was synced.
 */
#ifndef JOURNAL_FORMAT_H
#define JOURNAL_FORMAT_H

#include "journal/journal.h"
#include "siphash.h"

#define CM_JOURNAL_HEADER_BYTES 44
#define CM_JOURNAL_HEAD_BYTES 40
#define CM_JOURNAL_SUM_BYTES 8
#define CM_JOURNAL_AROUND_BYTES (CM_JOURNAL_HEAD_BYTES + CM_JOURNAL_SUM_BYTES)
#define CM_JOURNAL_RECORD_MAX_BYTES (CM_JOURNAL_AROUND_BYTES + CM_JOURNAL_RECORD_MAX)

struct cm_journal_head {
    size_t bytes; /* of the whole record, sums included */
    uint64_t number;
    uint64_t commit; /* the number of its commit's first record */
    int64_t at_s;
};

void cm_journal_header_put(uint8_t out[CM_JOURNAL_HEADER_BYTES], uint64_t first,
                           const uint8_t key[CM_SIPHASH_KEY_BYTES]);
/* False: not a header of ours, or a damaged one. */
bool cm_journal_header_get(const uint8_t in[CM_JOURNAL_HEADER_BYTES], uint64_t *out_first,
                           uint8_t out_key[CM_SIPHASH_KEY_BYTES]);

/* Writes everything but the second and the sums, which the commit adds. `out` has room for head->bytes, which counts
 * the content. */
void cm_journal_record_put(uint8_t *out, const struct cm_journal_head *head, struct cm_span content);
/* Makes it complete; returns its size. */
size_t cm_journal_record_seal(uint8_t *record, int64_t at_s, const uint8_t key[CM_SIPHASH_KEY_BYTES]);

/* False: no sound head. */
bool cm_journal_head_get(const uint8_t in[CM_JOURNAL_HEAD_BYTES], const uint8_t key[CM_SIPHASH_KEY_BYTES],
                         struct cm_journal_head *out);
/* Whether the last sum of a record of `bytes` with a sound head is right. */
bool cm_journal_record_is_sound(const uint8_t *record, size_t bytes, const uint8_t key[CM_SIPHASH_KEY_BYTES]);

#endif
