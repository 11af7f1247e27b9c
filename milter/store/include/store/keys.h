/*
 * The secrets beside the store: pepper and seal master, and the id of the store they belong to. They are files in one
 * directory, never in Redis: `pepper.1` and `seal.1` (32 raw bytes), `store` (32 hex digits). Files that others may
 * read are refused. Without the pepper every record is lost, so `init` says: back it up.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "base/result.h"
#include "core/seal.h"
#include "core/subject.h"

#define CM_STORE_ID_CHARS 32

struct cm_keys {
    uint8_t pepper[CM_PEPPER_BYTES];
    char pepper_check[17]; /* 8 bytes in hex, as the store keeps them */
    char store_id[CM_STORE_ID_CHARS + 1];
    bool has_seal;
    uint8_t seal[CM_SEAL_MASTER_BYTES];
};

/* Reads pepper and store id, and the seal master only with `with_seal` (the filter has none). False and err, which says
 * which file and what to do. */
bool cm_keys_load(const char *directory, bool with_seal, struct cm_keys *out, struct cm_err *err);
/* Makes what is missing, mode 0400, never touching what is there. The store id is made as `store.new`: it counts only
 * once cm_keys_commit has renamed it, after the store itself was written. *out_fresh tells whether there was no `store`
 * yet. */
bool cm_keys_create(const char *directory, struct cm_keys *out, bool *out_fresh, struct cm_err *err);
bool cm_keys_commit(const char *directory, struct cm_err *err);
/* First 16 hex digits of SHA-256 of the pepper, to compare a backup with. */
void cm_keys_fingerprint(const struct cm_keys *keys, char out[17]);
void cm_keys_wipe(struct cm_keys *keys);

/* Random bytes fit for keys, ids and nonces; false if the system has none. Thread-safe. */
bool cm_random_bytes(uint8_t *out, size_t count);

#endif
