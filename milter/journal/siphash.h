/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): a short keyed sum. Pure.
 *
 * Why this and not CRC or SHA-256: the sums must tell a record of ours from bytes that only look like one, and contents
 * come from strangers. Under a key that lies in the file, no content and no stale block of another file can pass for a
 * record; a CRC promises nothing of the kind. SHA-256 would do as well, but it comes from a library that can fail, and
 * then every check would have a third answer.
 */
#ifndef JOURNAL_SIPHASH_H
#define JOURNAL_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define CM_SIPHASH_KEY_BYTES 16

uint64_t cm_siphash(const uint8_t key[CM_SIPHASH_KEY_BYTES], const uint8_t *bytes, size_t len);

#endif
