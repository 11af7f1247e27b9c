#include "store/keys.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "key_files.h"

#define PEPPER_KIND "pepper"
#define SEAL_KIND "seal"
#define FIRST 1 /* the id of the one that init makes */
#define NAME_BYTES 32
#define STORE_FILE "store"
#define STORE_NEW_FILE "store.new"

#define HEARD (1U << 20) /* in_use: told by a store, not guessed */

enum { PEPPER_UNKNOWN = 0, PEPPER_FILLING, PEPPER_KNOWN };

static const char *name_of(const char *kind, unsigned id, const char *suffix, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "%s.%u%s", kind, id, suffix); /* short words of ours fit */
    return out;
}

static bool read_store_id(const char *directory, const char *name, struct cm_keys *out, struct cm_err *err)
{
    uint8_t text[CM_STORE_ID_CHARS];
    uint8_t unused[CM_STORE_ID_CHARS / 2];
    if (!cm_key_read(directory, name, CM_KEY_FILE_SECRET, text, sizeof(text), err)) {
        return false;
    }
    if (!cm_hex_decode((struct cm_span){(const char *)text, sizeof(text)}, unused, sizeof(unused))) {
        cm_err_set(err, "%s/%s is damaged: it must hold %d hex digits", directory, name, CM_STORE_ID_CHARS);
        return false;
    }
    return cm_copy(out->store_id, sizeof(out->store_id), (struct cm_span){(const char *)text, sizeof(text)});
}

bool cm_keys_add_pepper(struct cm_keys *keys, unsigned id, const uint8_t bytes[CM_PEPPER_BYTES])
{
    struct cm_known_pepper *pepper = &keys->peppers[id];
    uint8_t check[CM_PEPPER_CHECK_BYTES];
    int state = PEPPER_UNKNOWN;
    if (!cm_pepper_check(bytes, check)) {
        return false;
    }
    if (!atomic_compare_exchange_strong(&pepper->state, &state, PEPPER_FILLING)) {
        while (atomic_load(&pepper->state) != PEPPER_KNOWN) { /* another thread has read the same file */
            (void)sched_yield();                              /* cannot fail */
        }
        return true;
    }
    struct cm_text text = cm_text_over(pepper->check, sizeof(pepper->check));
    cm_text_add_hex(&text, check, sizeof(check));
    memcpy(pepper->bytes, bytes, CM_PEPPER_BYTES);
    atomic_store(&pepper->state, PEPPER_KNOWN);
    return true;
}

bool cm_keys_know_pepper(struct cm_keys *keys, unsigned id, struct cm_err *err)
{
    char name[NAME_BYTES];
    uint8_t bytes[CM_PEPPER_BYTES];
    if (atomic_load(&keys->peppers[id].state) == PEPPER_KNOWN) {
        return true;
    }
    if (!cm_key_read(keys->directory, name_of(PEPPER_KIND, id, "", name), CM_KEY_FILE_SECRET, bytes, sizeof(bytes),
                     err)) {
        return false;
    }
    bool ok = cm_keys_add_pepper(keys, id, bytes);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (!ok) {
        cm_err_set(err, "libcrypto cannot compute HMAC-SHA256");
    }
    return ok;
}

uint32_t cm_keys_in_use(const struct cm_keys *keys)
{
    return atomic_load_explicit(&keys->in_use, memory_order_acquire);
}

/* Whether `a` was told before `b`: its current pepper, or its newest one, is older. */
static bool is_older(uint32_t a, uint32_t b)
{
    uint32_t differ = CM_IN_USE_MASK(a) ^ CM_IN_USE_MASK(b);
    bool has_older_newest = CM_IN_USE_MASK(a) < CM_IN_USE_MASK(b) && CM_IN_USE_MASK(a) < differ;
    return CM_IN_USE_CURRENT(a) < CM_IN_USE_CURRENT(b) ||
           (CM_IN_USE_CURRENT(a) == CM_IN_USE_CURRENT(b) && has_older_newest);
}

void cm_keys_use(struct cm_keys *keys, uint32_t in_use)
{
    uint32_t before = cm_keys_in_use(keys);
    in_use |= HEARD;
    while (before != in_use && ((before & HEARD) == 0 || !is_older(in_use, before)) && /* seldom true: nobody waits */
           !atomic_compare_exchange_weak(&keys->in_use, &before, in_use)) {
    }
}

struct cm_hasher *cm_keys_hasher(const struct cm_keys *keys, uint32_t *out_in_use)
{
    uint32_t in_use = cm_keys_in_use(keys);
    struct cm_pepper_set set = {.current = (uint8_t)CM_IN_USE_CURRENT(in_use)};
    for (unsigned id = 1; id <= CM_PEPPER_ID_MAX && set.count < CM_PEPPERS_READABLE; id++) {
        if ((in_use & 1U << id) != 0) {
            set.peppers[set.count].id = (uint8_t)id;
            set.peppers[set.count++].bytes = keys->peppers[id].bytes;
        }
    }
    *out_in_use = in_use;
    return cm_hasher_new(&set);
}

/* Reads all peppers there are and takes the newest into use. */
static bool load_peppers(struct cm_keys *keys, struct cm_err *err)
{
    struct cm_err first_err = {{0}};
    char name[NAME_BYTES];
    uint32_t mask = 0;
    unsigned newest = 0;
    unsigned count = 0;
    for (unsigned id = CM_PEPPER_ID_MAX; id >= 1; id--) {
        if (id > FIRST && !cm_key_exists(keys->directory, name_of(PEPPER_KIND, id, "", name))) {
            continue;
        }
        struct cm_err here = {{0}};
        if (!cm_keys_know_pepper(keys, id, &here)) {
            first_err = first_err.text[0] == '\0' ? here : first_err;
        } else if (count++ < CM_PEPPERS_READABLE) {
            mask |= 1U << id;
            newest = newest == 0 ? id : newest;
        }
    }
    if (mask == 0) {
        cm_err_set(err, "%s", first_err.text);
        return false;
    }
    atomic_store(&keys->in_use, CM_IN_USE(mask, newest));
    return true;
}

/* All of them: what was sealed under one that is missing here could not be told from what was erased. */
static bool load_seals(struct cm_keys *keys, struct cm_err *err)
{
    char name[NAME_BYTES];
    for (unsigned id = 1; id <= CM_SEAL_ID_MAX; id++) {
        bool is_last = id == CM_SEAL_ID_MAX && keys->seal_mask == 0;
        unsigned wanted = is_last ? FIRST : id; /* there is none: the first is missed by name */
        if (!is_last && !cm_key_exists(keys->directory, name_of(SEAL_KIND, id, "", name))) {
            continue;
        }
        if (!cm_key_read(keys->directory, name_of(SEAL_KIND, wanted, "", name), CM_KEY_FILE_SECRET, keys->seals[wanted],
                         CM_SEAL_MASTER_BYTES, err)) {
            return false;
        }
        keys->seal_mask |= 1U << wanted;
    }
    keys->has_seal = true;
    return true;
}

bool cm_keys_load_store_id(const char *directory, struct cm_keys *out, struct cm_err *err)
{
    return read_store_id(directory, STORE_FILE, out, err);
}

static bool set_directory(struct cm_keys *keys, const char *directory, struct cm_err *err)
{
    bool ok = cm_copy(keys->directory, sizeof(keys->directory), cm_span_of(directory));
    if (!ok) {
        cm_err_set(err, "%s: the path is too long", directory);
    }
    return ok;
}

bool cm_keys_load(const char *directory, bool with_seal, struct cm_keys *out, struct cm_err *err)
{
    struct cm_keys keys = {.has_seal = false};
    bool ok = set_directory(&keys, directory, err) && load_peppers(&keys, err) &&
              read_store_id(directory, STORE_FILE, &keys, err) && (!with_seal || load_seals(&keys, err));
    if (ok) {
        *out = keys;
    }
    cm_keys_wipe(&keys);
    return ok;
}

/* Makes a secret with random bytes. */
static bool make(const char *directory, const char *name, struct cm_err *err)
{
    uint8_t bytes[CM_PEPPER_BYTES];
    static_assert(CM_PEPPER_BYTES == CM_SEAL_MASTER_BYTES, "one size for both");
    if (!cm_random_bytes(bytes, sizeof(bytes))) {
        cm_err_set(err, "no random bytes for %s/%s", directory, name);
        return false;
    }
    bool ok = cm_key_write(directory, name, CM_KEY_FILE_SECRET, bytes, sizeof(bytes), err);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return ok;
}

static bool any_exists(const char *directory, const char *kind)
{
    char name[NAME_BYTES];
    bool found = false;
    for (unsigned id = 1; id <= CM_PEPPER_ID_MAX; id++) {
        found = found || cm_key_exists(directory, name_of(kind, id, "", name));
    }
    return found;
}

static bool obtain_store_id(const char *directory, struct cm_keys *keys, bool fresh, struct cm_err *err)
{
    uint8_t id[CM_STORE_ID_CHARS / 2];
    const char *name = fresh ? STORE_NEW_FILE : STORE_FILE;
    if (cm_key_exists(directory, name)) {
        return read_store_id(directory, name, keys, err);
    }
    if (!cm_random_bytes(id, sizeof(id))) {
        cm_err_set(err, "no random bytes for the store id");
        return false;
    }
    struct cm_text text = cm_text_over(keys->store_id, sizeof(keys->store_id));
    cm_text_add_hex(&text, id, sizeof(id));
    return cm_key_write(directory, name, CM_KEY_FILE_SECRET, (const uint8_t *)keys->store_id, CM_STORE_ID_CHARS, err);
}

bool cm_keys_create(const char *directory, struct cm_keys *out, bool *out_fresh, struct cm_err *err)
{
    static const char *const kinds[] = {PEPPER_KIND, SEAL_KIND};
    struct cm_keys keys = {.has_seal = false};
    char name[NAME_BYTES];
    if (mkdir(directory, 0750) != 0 && errno != EEXIST) {
        cm_err_set(err, "cannot make %s: %s", directory, strerror(errno));
        return false;
    }
    bool fresh = !cm_key_exists(directory, STORE_FILE);
    bool ok = set_directory(&keys, directory, err);
    for (size_t i = 0; ok && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (any_exists(directory, kinds[i])) {
            continue;
        }
        (void)name_of(kinds[i], FIRST, "", name); /* where it wrote to is known */
        if (!fresh) { /* a new pepper would turn every record into nobody's, a new seal master would lose all evidence
                       */
            cm_err_set(err, "%s has a store id but no %s: restore it from the backup", directory, name);
        }
        ok = fresh && make(directory, name, err);
    }
    ok = ok && load_peppers(&keys, err) && load_seals(&keys, err) && obtain_store_id(directory, &keys, fresh, err);
    if (ok) {
        *out = keys;
        *out_fresh = fresh;
    }
    cm_keys_wipe(&keys);
    return ok;
}

/* Renames, which replaces, and makes it last. */
static bool move(const char *directory, const char *from_name, const char *to_name, struct cm_err *err)
{
    char from[CM_KEY_PATH_BYTES];
    char to[CM_KEY_PATH_BYTES];
    if (!cm_key_path(directory, from_name, from, err) || !cm_key_path(directory, to_name, to, err)) {
        return false;
    }
    if (rename(from, to) != 0) {
        cm_err_set(err, "cannot rename %s: %s", from, strerror(errno));
        return false;
    }
    return cm_key_sync(directory, err);
}

bool cm_keys_commit(const char *directory, struct cm_err *err)
{
    return move(directory, STORE_NEW_FILE, STORE_FILE, err);
}

bool cm_keys_make(const char *directory, const char *kind, unsigned id, unsigned like, struct cm_err *err)
{
    char name[NAME_BYTES];
    char new_name[NAME_BYTES];
    char like_name[NAME_BYTES];
    char path[CM_KEY_PATH_BYTES];
    char like_path[CM_KEY_PATH_BYTES];
    struct stat st;
    if (cm_key_exists(directory, name_of(kind, id, "", name))) {
        return true;
    }
    if (!cm_key_path(directory, name_of(kind, id, ".new", new_name), path, err) ||
        !cm_key_path(directory, name_of(kind, like, "", like_name), like_path, err)) {
        return false;
    }
    (void)unlink(path); /* what an interrupted rotation left; no other program makes such a file */
    if (!make(directory, new_name, err)) {
        return false;
    }
    /* A filter that runs as its own user must be able to read it as it reads the present one. */
    if (stat(like_path, &st) != 0 || chown(path, st.st_uid, st.st_gid) != 0 || chmod(path, st.st_mode & 0777U) != 0) {
        cm_err_set(err, "cannot make %s as readable as %s: %s", path, like_path, strerror(errno));
        return false;
    }
    return move(directory, new_name, name, err);
}

bool cm_keys_drop_pepper(const char *directory, unsigned id, struct cm_err *err)
{
    char name[NAME_BYTES];
    char dropped[NAME_BYTES];
    return !cm_key_exists(directory, name_of(PEPPER_KIND, id, "", name)) ||
           move(directory, name, name_of(PEPPER_KIND, id, ".dropped", dropped), err);
}

bool cm_keys_seal(const struct cm_keys *keys, const uint8_t salt[CM_SALT_BYTES], struct cm_span document,
                  struct cm_sealed *out)
{
    uint8_t nonce[CM_SEAL_NONCE_BYTES];
    unsigned newest = CM_SEAL_ID_MAX;
    while (newest > 0 && (keys->seal_mask & 1U << newest) == 0) {
        newest--;
    }
    return newest > 0 && cm_random_bytes(nonce, sizeof(nonce)) &&
           cm_seal(keys->seals[newest], salt, nonce, document, out);
}

bool cm_keys_unseal(const struct cm_keys *keys, const uint8_t salt[CM_SALT_BYTES], struct cm_span sealed,
                    char out[CM_LIMIT_EVIDENCE_BYTES + 1], size_t *out_len)
{
    bool opened = false;
    for (unsigned id = CM_SEAL_ID_MAX; id >= 1 && !opened; id--) {
        opened = (keys->seal_mask & 1U << id) != 0 && cm_unseal(keys->seals[id], salt, sealed, out, out_len);
    }
    return opened;
}

void cm_key_fingerprint(const uint8_t bytes[32], char out[17])
{
    uint8_t hash[CM_SHA256_BYTES] = {0};
    struct cm_text text = cm_text_over(out, 17);
    if (cm_sha256((struct cm_span){(const char *)bytes, 32}, hash)) {
        cm_text_add_hex(&text, hash, 8);
    }
}

void cm_keys_wipe(struct cm_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}

bool cm_random_bytes(uint8_t *out, size_t count)
{
    return RAND_bytes(out, (int)count) == 1;
}
