/*
 * The archiver's key (Ed25519), which signs the heads of the archive's segments. `archive.1` in the key directory holds
 * the 32 secret bytes and is for the archiver alone; `archive.1.pub` holds the 32 public ones and is for all who
 * verify. Thread-safe: no shared state.
 */
#ifndef STORE_ARCHIVE_KEY_H
#define STORE_ARCHIVE_KEY_H

#include <stdint.h>

#include "base/result.h"
#include "base/text.h"

#define CM_ARCHIVE_KEY_NUMBER 1 /* the key in use; a segment names its own */
#define CM_ARCHIVE_KEY_BYTES 32
#define CM_ARCHIVE_SIGNATURE_BYTES 64

struct cm_archive_key {
    uint8_t number;
    bool can_sign;
    uint8_t secret[CM_ARCHIVE_KEY_BYTES]; /* if can_sign */
    uint8_t shown[CM_ARCHIVE_KEY_BYTES];  /* the public half */
};

/* Makes both files where the secret is missing; touches nothing that is there. */
bool cm_archive_key_create(const char *directory, struct cm_err *err);
/* Reads the public half, and with `to_sign` the secret one, which must fit to it. */
bool cm_archive_key_load(const char *directory, bool to_sign, struct cm_archive_key *out, struct cm_err *err);
void cm_archive_key_wipe(struct cm_archive_key *key);

/* False only if libcrypto fails, or the key cannot sign. */
bool cm_archive_sign(const struct cm_archive_key *key, struct cm_span text, uint8_t out[CM_ARCHIVE_SIGNATURE_BYTES]);
bool cm_archive_signature_fits(const struct cm_archive_key *key, struct cm_span text,
                               const uint8_t signature[CM_ARCHIVE_SIGNATURE_BYTES]);

#endif
