/*
 * The secrets beside the store: peppers, seal masters, and the id of the store they belong to. They are files in one
 * directory, never in Redis: `pepper.N` and `seal.N` (32 raw bytes, N from 1 to 15), `store` (32 hex digits). Files
 * that others may read are refused. Without its pepper a record is lost, so whatever makes one says: back it up.
 *
 * Which peppers are in use the store says (store/peppers.h), and a running process reads a new one when it first hears
 * of it. What was read is never forgotten: known peppers are only added to, so readers need no lock.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include <stdatomic.h>

#include "base/result.h"
#include "core/seal.h"
#include "core/subject.h"

#define CM_STORE_ID_CHARS 32
#define CM_KEY_DIRECTORY_BYTES 1024
#define CM_PEPPER_CHECK_CHARS (2 * CM_PEPPER_CHECK_BYTES)
#define CM_SEAL_ID_MAX CM_PEPPER_ID_MAX

struct cm_known_pepper {
    _Atomic int state; /* keys.c's */
    uint8_t bytes[CM_PEPPER_BYTES];
    char check[CM_PEPPER_CHECK_CHARS + 1]; /* in hex, as the store keeps it */
};

struct cm_keys {
    char directory[CM_KEY_DIRECTORY_BYTES];
    char store_id[CM_STORE_ID_CHARS + 1];
    struct cm_known_pepper peppers[CM_PEPPER_ID_MAX + 1]; /* by id */
    _Atomic uint32_t in_use;                              /* as cm_keys_in_use tells */
    bool has_seal;
    uint32_t seal_mask; /* bit N: seals[N] was read */
    uint8_t seals[CM_SEAL_ID_MAX + 1][CM_SEAL_MASTER_BYTES];
};

/* Reads peppers and store id, and the seal masters only with `with_seal` (the filter has none). Of several peppers one
 * that cannot be read is left out: the store tells whether it is needed. False and err, which says which file and what
 * to do. */
bool cm_keys_load(const char *directory, bool with_seal, struct cm_keys *out, struct cm_err *err);
/* Reads the store id alone: all that the archiver may know. */
bool cm_keys_load_store_id(const char *directory, struct cm_keys *out, struct cm_err *err);
/* Makes what is missing, mode 0400, never touching what is there. The store id is made as `store.new`: it counts only
 * once cm_keys_commit has renamed it, after the store itself was written. *out_fresh tells whether there was no `store`
 * yet. */
bool cm_keys_create(const char *directory, struct cm_keys *out, bool *out_fresh, struct cm_err *err);
bool cm_keys_commit(const char *directory, struct cm_err *err);

/* Takes in 32 bytes as pepper `id`; how tests and the above come by one. False if libcrypto fails. */
bool cm_keys_add_pepper(struct cm_keys *keys, unsigned id, const uint8_t bytes[CM_PEPPER_BYTES]);
/* Whether pepper `id` is known; what is not is looked for in the directory. False and err. Thread-safe. */
bool cm_keys_know_pepper(struct cm_keys *keys, unsigned id, struct cm_err *err);

/*
 * Which peppers to hash with, as a number: bit N for pepper N, and from bit 16 the current one's id. Until a store was
 * heard it is the newest three, of which the newest is current. Another number: a hasher made before is out of date.
 * Thread-safe, as the next two.
 */
uint32_t cm_keys_in_use(const struct cm_keys *keys);
/* What a store tells. Peppers only ever come: what was told before, and is only heard later, is not taken back. */
void cm_keys_use(struct cm_keys *keys, uint32_t in_use);
#define CM_IN_USE(mask, current) ((uint32_t)(mask) | (uint32_t)(current) << 16)
#define CM_IN_USE_CURRENT(in_use) ((unsigned)((in_use) >> 16 & 15U))
#define CM_IN_USE_MASK(in_use) ((in_use)&0xffffU)
/* A hasher of those in use, and which these were. NULL without memory. */
struct cm_hasher *cm_keys_hasher(const struct cm_keys *keys, uint32_t *out_in_use);

/* Seals under the newest master, and opens whatever one of the masters and this salt opens: no record and no document
 * names its master, the tag tells. False if there is none, or as core/seal.h says. */
bool cm_keys_seal(const struct cm_keys *keys, const uint8_t salt[CM_SALT_BYTES], struct cm_span document,
                  struct cm_sealed *out);
bool cm_keys_unseal(const struct cm_keys *keys, const uint8_t salt[CM_SALT_BYTES], struct cm_span sealed,
                    char out[CM_LIMIT_EVIDENCE_BYTES + 1], size_t *out_len);

/* Rotation: makes `kind`.ID ("pepper" or "seal") with random bytes, as readable as `kind`.LIKE is; what exists already
 * is left as it is. May be interrupted anywhere. */
bool cm_keys_make(const char *directory, const char *kind, unsigned id, unsigned like, struct cm_err *err);
/* Renames pepper.ID to pepper.ID.dropped, if it is still there. */
bool cm_keys_drop_pepper(const char *directory, unsigned id, struct cm_err *err);

/* First 16 hex digits of SHA-256 of 32 bytes, to compare a backup with. */
void cm_key_fingerprint(const uint8_t bytes[32], char out[17]);
void cm_keys_wipe(struct cm_keys *keys);

/* Random bytes fit for keys, ids and nonces; false if the system has none. Thread-safe. */
bool cm_random_bytes(uint8_t *out, size_t count);

#endif
