/*
 * The subject key: who, without saying who (DESIGN 5).
 *
 * H(form) = HMAC-SHA256(pepper, "v1\0" || form). Partition and bucket come from the family form, so that the exact and
 * the family field of one subject lie in the same bucket; each field is 8 further bytes of its own form's H. Disjoint
 * bits: 84 of identity.
 *
 * Peppers are rotated: up to three are readable at a time, and under each a subject has another place. Its own place is
 * the one under the current pepper; the others are read too, older ones because records may still stand there, a coming
 * one because another program may have begun to write there.
 *
 * A hasher belongs to one thread at a time (a connection, a command); making one costs a microsecond a pepper, using it
 * less than half of one.
 */
#ifndef CORE_SUBJECT_H
#define CORE_SUBJECT_H

#include "core/address.h"
#include "core/event.h"

#define CM_PEPPER_BYTES 32
#define CM_PEPPER_CHECK_BYTES 8
#define CM_PEPPERS_READABLE 3 /* at a time */
#define CM_PEPPER_ID_MAX 15   /* ids count from 1 and are never used again; a forward record has four bits for one */
#define CM_PARTITIONS 1024
#define CM_BUCKETS 1024          /* of each partition */
#define CM_SUBJECT_TEXT_BYTES 22 /* 84 bits as 21 hex digits and a NUL */

/* Where the records of one subject stand under one pepper. */
struct cm_subject_place {
    uint8_t pepper;     /* id; 0: not told, which only what was hashed elsewhere may be */
    uint16_t partition; /* 0-1023 */
    uint16_t bucket;    /* 0-1023 */
    uint8_t exact[CM_FIELD_BYTES];
    uint8_t family[CM_FIELD_BYTES]; /* equal to exact for all but listed domains */
};

struct cm_subject { /* begins like a place: the one under the current pepper */
    uint8_t pepper;
    uint16_t partition;
    uint16_t bucket;
    uint8_t exact[CM_FIELD_BYTES];
    uint8_t family[CM_FIELD_BYTES];
    uint8_t other_count;
    struct cm_subject_place others[CM_PEPPERS_READABLE - 1]; /* by rising id of the pepper */
};

/* What to hash with; the bytes are borrowed for the making of a hasher. */
struct cm_pepper_set {
    struct {
        uint8_t id;
        const uint8_t *bytes;       /* CM_PEPPER_BYTES */
    } peppers[CM_PEPPERS_READABLE]; /* by rising id */
    size_t count;
    uint8_t current; /* id of the one whose place is the subject's own */
};

struct cm_hasher;

/* NULL if memory runs out or the set lacks its current pepper. The peppers are copied and wiped at free. */
struct cm_hasher *cm_hasher_new(const struct cm_pepper_set *set);
void cm_hasher_free(struct cm_hasher *hasher);

/* False only if libcrypto fails; out is then untouched. */
bool cm_subject_of(struct cm_hasher *hasher, const struct cm_address *address, struct cm_subject *out);

/* All places in the order in which they must be read, oldest pepper first: records only ever move towards newer ones,
 * so that who reads in this order may see some twice, but never none. Returns their number, at least 1. */
size_t cm_subject_places(const struct cm_subject *subject, struct cm_subject_place out[CM_PEPPERS_READABLE]);

/* What the store keeps to recognise a pepper: the first bytes of HMAC(pepper, "check"). False only if libcrypto fails.
 */
bool cm_pepper_check(const uint8_t pepper[CM_PEPPER_BYTES], uint8_t out[CM_PEPPER_CHECK_BYTES]);

bool cm_subject_has_family(const struct cm_subject *subject);
/* Partition, bucket and exact field: 3 + 2 + 16 digits, where the first 5 hold the 20 bits of partition and bucket. */
void cm_subject_format(const struct cm_subject *subject, char out[CM_SUBJECT_TEXT_BYTES]);
/* Reads such a text: partition, bucket and exact form; the rest of `out` is left. False if it is none. */
bool cm_subject_read(struct cm_span text, struct cm_subject *out);

#endif
