#include "store/archive_key.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "key_files.h"
#include "store/keys.h"

#define SECRET_FILE "archive.1"
#define PUBLIC_FILE "archive.1.pub"

static bool derive_public(const uint8_t secret[CM_ARCHIVE_KEY_BYTES], uint8_t out[CM_ARCHIVE_KEY_BYTES])
{
    size_t len = CM_ARCHIVE_KEY_BYTES;
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, CM_ARCHIVE_KEY_BYTES);
    bool ok = pkey != NULL && EVP_PKEY_get_raw_public_key(pkey, out, &len) == 1 && len == CM_ARCHIVE_KEY_BYTES;
    EVP_PKEY_free(pkey);
    return ok;
}

bool cm_archive_key_create(const char *directory, struct cm_err *err)
{
    uint8_t secret[CM_ARCHIVE_KEY_BYTES];
    uint8_t shown[CM_ARCHIVE_KEY_BYTES];
    bool ok;
    if (cm_key_exists(directory, SECRET_FILE)) {
        ok = cm_key_read(directory, SECRET_FILE, CM_KEY_FILE_SECRET, secret, sizeof(secret), err);
    } else if (cm_key_exists(directory, PUBLIC_FILE)) {
        return true; /* the secret is where the archiver runs; a second one would be another archive's */
    } else if ((ok = cm_random_bytes(secret, sizeof(secret)))) {
        ok = cm_key_write(directory, SECRET_FILE, CM_KEY_FILE_SECRET, secret, sizeof(secret), err);
    } else {
        cm_err_set(err, "no random bytes for %s/%s", directory, SECRET_FILE);
    }
    if (ok && !cm_key_exists(directory, PUBLIC_FILE)) { /* also after a crash between the two */
        ok = derive_public(secret, shown) &&
             cm_key_write(directory, PUBLIC_FILE, CM_KEY_FILE_PUBLIC, shown, sizeof(shown), err);
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    return ok;
}

bool cm_archive_key_load(const char *directory, bool to_sign, struct cm_archive_key *out, struct cm_err *err)
{
    struct cm_archive_key key = {.number = CM_ARCHIVE_KEY_NUMBER, .can_sign = to_sign};
    uint8_t derived[CM_ARCHIVE_KEY_BYTES];
    bool ok = cm_key_read(directory, PUBLIC_FILE, CM_KEY_FILE_PUBLIC, key.shown, sizeof(key.shown), err) &&
              (!to_sign ||
               cm_key_read(directory, SECRET_FILE, CM_KEY_FILE_SECRET, key.secret, sizeof(key.secret), err));
    if (ok && to_sign && (!derive_public(key.secret, derived) || memcmp(derived, key.shown, sizeof(derived)) != 0)) {
        cm_err_set(err, "%s/" SECRET_FILE " and " PUBLIC_FILE " are not of one pair: restore them from the backup",
                   directory);
        ok = false;
    }
    if (ok) {
        *out = key;
    }
    cm_archive_key_wipe(&key);
    return ok;
}

void cm_archive_key_wipe(struct cm_archive_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

bool cm_archive_sign(const struct cm_archive_key *key, struct cm_span text, uint8_t out[CM_ARCHIVE_SIGNATURE_BYTES])
{
    size_t len = CM_ARCHIVE_SIGNATURE_BYTES;
    if (!key->can_sign) {
        return false;
    }
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key->secret, sizeof(key->secret));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = pkey != NULL && context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestSign(context, out, &len, (const unsigned char *)text.p, text.len) == 1 &&
              len == CM_ARCHIVE_SIGNATURE_BYTES;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    return ok;
}

bool cm_archive_signature_fits(const struct cm_archive_key *key, struct cm_span text,
                               const uint8_t signature[CM_ARCHIVE_SIGNATURE_BYTES])
{
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key->shown, sizeof(key->shown));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = pkey != NULL && context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1 &&
              EVP_DigestVerify(context, signature, CM_ARCHIVE_SIGNATURE_BYTES, (const unsigned char *)text.p,
                               text.len) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(pkey);
    return ok;
}
