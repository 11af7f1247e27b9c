#include "store/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 1024
#define PEPPER_FILE "pepper.1"
#define SEAL_FILE "seal.1"
#define STORE_FILE "store"
#define STORE_NEW_FILE "store.new"

static bool path_of(const char *directory, const char *name, char out[PATH_BYTES], struct cm_err *err)
{
    struct cm_text path = cm_text_over(out, PATH_BYTES);
    cm_text_add_format(&path, "%s/%s", directory, name);
    if (path.truncated) {
        cm_err_set(err, "%s: the path is too long", directory);
    }
    return !path.truncated;
}

/* Reads exactly `size` bytes of a regular file that others cannot read. */
static bool read_open(int fd, const char *path, uint8_t *out, size_t size, struct cm_err *err)
{
    struct stat st;
    uint8_t extra;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        cm_err_set(err, "%s is not a regular file", path);
        return false;
    }
    if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0) {
        cm_err_set(err, "%s is open to others (mode %03o): chmod 0400 it", path, (unsigned)st.st_mode & 0777U);
        return false;
    }
    if (read(fd, out, size) != (ssize_t)size || read(fd, &extra, 1) != 0) {
        cm_err_set(err, "%s is damaged: it must hold exactly %zu bytes; restore it from the backup", path, size);
        return false;
    }
    return true;
}

static bool read_file(const char *directory, const char *name, uint8_t *out, size_t size, struct cm_err *err)
{
    char path[PATH_BYTES];
    if (!path_of(directory, name, path, err)) {
        return false;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        const char *advice = errno == ENOENT ? "; `consentctl init` makes it" : "";
        cm_err_set(err, "cannot read %s: %s%s", path, strerror(errno), advice);
        return false;
    }
    bool ok = read_open(fd, path, out, size, err);
    (void)close(fd); /* opened for reading only */
    return ok;
}

static bool exists(const char *directory, const char *name)
{
    char path[PATH_BYTES];
    return path_of(directory, name, path, NULL) && access(path, F_OK) == 0;
}

static bool sync_directory(const char *directory, struct cm_err *err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok) {
        cm_err_set(err, "cannot sync %s: %s", directory, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd); /* opened for reading only */
    }
    return ok;
}

static bool write_file(const char *directory, const char *name, const uint8_t *bytes, size_t size, struct cm_err *err)
{
    char path[PATH_BYTES];
    if (!path_of(directory, name, path, err)) {
        return false;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    bool ok = fd >= 0 && write(fd, bytes, size) == (ssize_t)size && fsync(fd) == 0;
    if (!ok) {
        cm_err_set(err, "cannot write %s: %s", path, strerror(errno));
    }
    if (fd >= 0 && close(fd) != 0 && ok) {
        cm_err_set(err, "cannot write %s: %s", path, strerror(errno));
        ok = false;
    }
    return ok && sync_directory(directory, err);
}

static bool read_store_id(const char *directory, const char *name, struct cm_keys *out, struct cm_err *err)
{
    uint8_t text[CM_STORE_ID_CHARS];
    uint8_t unused[CM_STORE_ID_CHARS / 2];
    if (!read_file(directory, name, text, sizeof(text), err)) {
        return false;
    }
    if (!cm_hex_decode((struct cm_span){(const char *)text, sizeof(text)}, unused, sizeof(unused))) {
        cm_err_set(err, "%s/%s is damaged: it must hold %d hex digits", directory, name, CM_STORE_ID_CHARS);
        return false;
    }
    return cm_copy(out->store_id, sizeof(out->store_id), (struct cm_span){(const char *)text, sizeof(text)});
}

static bool derive_check(struct cm_keys *keys, struct cm_err *err)
{
    uint8_t check[8];
    struct cm_hasher *hasher = cm_hasher_new(keys->pepper);
    bool ok = hasher != NULL && cm_pepper_check(hasher, check);
    cm_hasher_free(hasher);
    if (!ok) {
        cm_err_set(err, "libcrypto cannot compute HMAC-SHA256");
        return false;
    }
    struct cm_text text = cm_text_over(keys->pepper_check, sizeof(keys->pepper_check));
    cm_text_add_hex(&text, check, sizeof(check));
    return true;
}

bool cm_keys_load(const char *directory, bool with_seal, struct cm_keys *out, struct cm_err *err)
{
    struct cm_keys keys = {.has_seal = with_seal};
    bool ok = read_file(directory, PEPPER_FILE, keys.pepper, sizeof(keys.pepper), err) &&
              read_store_id(directory, STORE_FILE, &keys, err) &&
              (!with_seal || read_file(directory, SEAL_FILE, keys.seal, sizeof(keys.seal), err)) &&
              derive_check(&keys, err);
    if (ok) {
        *out = keys;
    }
    cm_keys_wipe(&keys);
    return ok;
}

/* Reads a secret, or makes it where it is missing. */
static bool obtain(const char *directory, const char *name, uint8_t *out, size_t size, struct cm_err *err)
{
    if (exists(directory, name)) {
        return read_file(directory, name, out, size, err);
    }
    if (!cm_random_bytes(out, size)) {
        cm_err_set(err, "no random bytes for %s/%s", directory, name);
        return false;
    }
    return write_file(directory, name, out, size, err);
}

static bool obtain_store_id(const char *directory, struct cm_keys *keys, bool fresh, struct cm_err *err)
{
    uint8_t id[CM_STORE_ID_CHARS / 2];
    const char *name = fresh ? STORE_NEW_FILE : STORE_FILE;
    if (exists(directory, name)) {
        return read_store_id(directory, name, keys, err);
    }
    if (!cm_random_bytes(id, sizeof(id))) {
        cm_err_set(err, "no random bytes for the store id");
        return false;
    }
    struct cm_text text = cm_text_over(keys->store_id, sizeof(keys->store_id));
    cm_text_add_hex(&text, id, sizeof(id));
    return write_file(directory, name, (const uint8_t *)keys->store_id, CM_STORE_ID_CHARS, err);
}

bool cm_keys_create(const char *directory, struct cm_keys *out, bool *out_fresh, struct cm_err *err)
{
    struct cm_keys keys = {.has_seal = true};
    if (mkdir(directory, 0750) != 0 && errno != EEXIST) {
        cm_err_set(err, "cannot make %s: %s", directory, strerror(errno));
        return false;
    }
    bool fresh = !exists(directory, STORE_FILE);
    /* A new pepper would turn every record into nobody's, a new seal master would lose all evidence. */
    const char *lost = !exists(directory, PEPPER_FILE) ? PEPPER_FILE : !exists(directory, SEAL_FILE) ? SEAL_FILE : NULL;
    if (!fresh && lost != NULL) {
        cm_err_set(err, "%s has a store id but no %s: restore it from the backup", directory, lost);
        return false;
    }
    bool ok = obtain(directory, PEPPER_FILE, keys.pepper, sizeof(keys.pepper), err) &&
              obtain(directory, SEAL_FILE, keys.seal, sizeof(keys.seal), err) &&
              obtain_store_id(directory, &keys, fresh, err) && derive_check(&keys, err);
    if (ok) {
        *out = keys;
        *out_fresh = fresh;
    }
    cm_keys_wipe(&keys);
    return ok;
}

bool cm_keys_commit(const char *directory, struct cm_err *err)
{
    char from[PATH_BYTES];
    char to[PATH_BYTES];
    if (!path_of(directory, STORE_NEW_FILE, from, err) || !path_of(directory, STORE_FILE, to, err)) {
        return false;
    }
    if (rename(from, to) != 0) {
        cm_err_set(err, "cannot rename %s: %s", from, strerror(errno));
        return false;
    }
    return sync_directory(directory, err);
}

void cm_keys_fingerprint(const struct cm_keys *keys, char out[17])
{
    uint8_t hash[CM_SHA256_BYTES] = {0};
    struct cm_text text = cm_text_over(out, 17);
    if (cm_sha256((struct cm_span){(const char *)keys->pepper, sizeof(keys->pepper)}, hash)) {
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
