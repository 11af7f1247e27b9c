/*
 * Sealed evidence (DESIGN 6). A document is encrypted with AES-256-GCM under HKDF-SHA256(seal master, salt); the salt
 * is a record of the subject for that sender, so that dropping the record makes every copy of the document unreadable.
 * The event holds the SHA-256 of the sealed text. Sealed form: nonce 12 | ciphertext | tag 16. Pure; randomness is
 * passed in.
 */
#ifndef CORE_SEAL_H
#define CORE_SEAL_H

#include "base/limits.h"
#include "core/event.h"

#define CM_SEAL_MASTER_BYTES 32
#define CM_SEAL_NONCE_BYTES 12
#define CM_SEAL_OVERHEAD_BYTES (CM_SEAL_NONCE_BYTES + 16)
#define CM_SEALED_MAX_BYTES (CM_LIMIT_EVIDENCE_BYTES + CM_SEAL_OVERHEAD_BYTES)

struct cm_sealed {
    uint8_t bytes[CM_SEALED_MAX_BYTES];
    size_t len;
    uint8_t sha256[CM_SHA256_BYTES];
};

/* False if the document is longer than CM_LIMIT_EVIDENCE_BYTES or libcrypto fails. A nonce must never be used twice. */
bool cm_seal(const uint8_t master[CM_SEAL_MASTER_BYTES], const uint8_t salt[CM_SALT_BYTES],
             const uint8_t nonce[CM_SEAL_NONCE_BYTES], struct cm_span document, struct cm_sealed *out);
/* `out` takes CM_LIMIT_EVIDENCE_BYTES and a NUL. False if it was changed, or sealed with another master or salt. */
bool cm_unseal(const uint8_t master[CM_SEAL_MASTER_BYTES], const uint8_t salt[CM_SALT_BYTES], struct cm_span sealed,
               char out[CM_LIMIT_EVIDENCE_BYTES + 1], size_t *out_len);
bool cm_sha256(struct cm_span data, uint8_t out[CM_SHA256_BYTES]);

#endif
