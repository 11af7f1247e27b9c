/*
 * The subject key: who, without saying who (DESIGN 5).
 *
 * H(form) = HMAC-SHA256(pepper, "v1\0" || form). Partition and bucket come from the family form, so that the exact and
 * the family field of one subject lie in the same bucket; each field is 8 further bytes of its own form's H. Disjoint
 * bits: 84 of identity.
 *
 * A hasher belongs to one thread at a time (a connection, a command); making one costs a microsecond, using it less
 * than half of one.
 */
#ifndef CORE_SUBJECT_H
#define CORE_SUBJECT_H

#include "core/address.h"
#include "core/event.h"

#define CM_PEPPER_BYTES 32
#define CM_PARTITIONS 1024
#define CM_SUBJECT_TEXT_BYTES 22 /* 84 bits as 21 hex digits and a NUL */

struct cm_subject {
    uint16_t partition; /* 0-1023 */
    uint16_t bucket;    /* 0-1023 */
    uint8_t exact[CM_FIELD_BYTES];
    uint8_t family[CM_FIELD_BYTES]; /* equal to exact for all but listed domains */
};

struct cm_hasher;

/* NULL if memory runs out. The pepper is copied and wiped at free. */
struct cm_hasher *cm_hasher_new(const uint8_t pepper[CM_PEPPER_BYTES]);
void cm_hasher_free(struct cm_hasher *hasher);

/* False only if libcrypto fails; out is then untouched. */
bool cm_subject_of(struct cm_hasher *hasher, const struct cm_address *address, struct cm_subject *out);

/* What the store keeps to recognise its pepper: the first 8 bytes of HMAC(pepper, "check"). */
bool cm_pepper_check(struct cm_hasher *hasher, uint8_t out[8]);

bool cm_subject_has_family(const struct cm_subject *subject);
/* Partition, bucket and exact field: 3 + 2 + 16 digits, where the first 5 hold the 20 bits of partition and bucket. */
void cm_subject_format(const struct cm_subject *subject, char out[CM_SUBJECT_TEXT_BYTES]);

#endif
