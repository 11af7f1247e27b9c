#include "core/seal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#define KEY_BYTES 32
#define TAG_BYTES 16

static bool derive(const uint8_t master[CM_SEAL_MASTER_BYTES], const uint8_t salt[CM_SALT_BYTES],
                   uint8_t key[KEY_BYTES])
{
    uint8_t secret[CM_SEAL_MASTER_BYTES];
    uint8_t salt_copy[CM_SALT_BYTES]; /* OSSL_PARAM takes no const */
    char digest[] = "SHA256";
    char info[] = "consent-milter evidence v1";
    memcpy(secret, master, sizeof(secret));
    memcpy(salt_copy, salt, sizeof(salt_copy));
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, sizeof(secret)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt_copy, sizeof(salt_copy)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info) - 1),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = context != NULL && EVP_KDF_derive(context, key, KEY_BYTES, params) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    OPENSSL_cleanse(secret, sizeof(secret));
    return ok;
}

static bool encrypt(EVP_CIPHER_CTX *context, const uint8_t key[KEY_BYTES], struct cm_span document,
                    struct cm_sealed *out)
{
    uint8_t *body = out->bytes + CM_SEAL_NONCE_BYTES;
    int len = 0;
    int rest = 0;
    bool ok = EVP_EncryptInit_ex2(context, EVP_aes_256_gcm(), key, out->bytes, NULL) == 1 &&
              EVP_EncryptUpdate(context, body, &len, (const unsigned char *)document.p, (int)document.len) == 1 &&
              EVP_EncryptFinal_ex(context, body + len, &rest) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, body + document.len) == 1;
    out->len = document.len + CM_SEAL_OVERHEAD_BYTES;
    return ok;
}

bool cm_seal(const uint8_t master[CM_SEAL_MASTER_BYTES], const uint8_t salt[CM_SALT_BYTES],
             const uint8_t nonce[CM_SEAL_NONCE_BYTES], struct cm_span document, struct cm_sealed *out)
{
    uint8_t key[KEY_BYTES];
    if (document.len > CM_LIMIT_EVIDENCE_BYTES || !derive(master, salt, key)) {
        return false;
    }
    memcpy(out->bytes, nonce, CM_SEAL_NONCE_BYTES);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool ok = context != NULL && encrypt(context, key, document, out);
    EVP_CIPHER_CTX_free(context);
    OPENSSL_cleanse(key, sizeof(key));
    return ok && cm_sha256((struct cm_span){(const char *)out->bytes, out->len}, out->sha256);
}

static bool decrypt(EVP_CIPHER_CTX *context, const uint8_t key[KEY_BYTES], struct cm_span sealed, char *out)
{
    const uint8_t *bytes = (const uint8_t *)sealed.p;
    size_t body_len = sealed.len - CM_SEAL_OVERHEAD_BYTES;
    uint8_t tag[TAG_BYTES];
    int len = 0;
    int rest = 0;
    memcpy(tag, bytes + sealed.len - TAG_BYTES, TAG_BYTES);
    return EVP_DecryptInit_ex2(context, EVP_aes_256_gcm(), key, bytes, NULL) == 1 &&
           EVP_DecryptUpdate(context, (unsigned char *)out, &len, bytes + CM_SEAL_NONCE_BYTES, (int)body_len) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(context, (unsigned char *)out + len, &rest) == 1;
}

bool cm_unseal(const uint8_t master[CM_SEAL_MASTER_BYTES], const uint8_t salt[CM_SALT_BYTES], struct cm_span sealed,
               char out[CM_LIMIT_EVIDENCE_BYTES + 1], size_t *out_len)
{
    uint8_t key[KEY_BYTES];
    if (sealed.len < CM_SEAL_OVERHEAD_BYTES || sealed.len > CM_SEALED_MAX_BYTES || !derive(master, salt, key)) {
        return false;
    }
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool ok = context != NULL && decrypt(context, key, sealed, out);
    EVP_CIPHER_CTX_free(context);
    OPENSSL_cleanse(key, sizeof(key));
    if (!ok) { /* GCM hands out text before it knows the tag; nobody may see what failed the check */
        OPENSSL_cleanse(out, CM_LIMIT_EVIDENCE_BYTES + 1);
        return false;
    }
    *out_len = sealed.len - CM_SEAL_OVERHEAD_BYTES;
    out[*out_len] = '\0';
    return true;
}

bool cm_sha256(struct cm_span data, uint8_t out[CM_SHA256_BYTES])
{
    return EVP_Digest(data.p, data.len, out, NULL, EVP_sha256(), NULL) == 1;
}
