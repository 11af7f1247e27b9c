#include "core/subject.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define HMAC_BYTES 32

struct cm_hasher {
    EVP_MAC_CTX *context; /* keyed; every computation re-initialises it with the same key */
};

struct cm_hasher *cm_hasher_new(const uint8_t pepper[CM_PEPPER_BYTES])
{
    struct cm_hasher *hasher = calloc(1, sizeof(*hasher));
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    if (hasher != NULL && mac != NULL) {
        hasher->context = EVP_MAC_CTX_new(mac);
    }
    EVP_MAC_free(mac);
    if (hasher == NULL || hasher->context == NULL ||
        EVP_MAC_init(hasher->context, pepper, CM_PEPPER_BYTES, params) != 1) {
        cm_hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

void cm_hasher_free(struct cm_hasher *hasher)
{
    if (hasher != NULL) {
        EVP_MAC_CTX_free(hasher->context); /* wipes the key */
        free(hasher);
    }
}

static bool hmac(struct cm_hasher *hasher, struct cm_span head, struct cm_span tail, uint8_t out[HMAC_BYTES])
{
    size_t len = 0;
    return EVP_MAC_init(hasher->context, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(hasher->context, (const unsigned char *)head.p, head.len) == 1 &&
           EVP_MAC_update(hasher->context, (const unsigned char *)tail.p, tail.len) == 1 &&
           EVP_MAC_final(hasher->context, out, &len, HMAC_BYTES) == 1 && len == HMAC_BYTES;
}

bool cm_subject_of(struct cm_hasher *hasher, const struct cm_address *address, struct cm_subject *out)
{
    const struct cm_span label = {"v1", 3}; /* with its NUL: no form can continue it */
    struct cm_span exact = cm_span_of(address->exact);
    struct cm_span family = cm_span_of(address->family);
    uint8_t exact_hash[HMAC_BYTES];
    uint8_t family_hash[HMAC_BYTES];
    if (!hmac(hasher, label, exact, exact_hash)) {
        return false;
    }
    if (cm_span_equal(exact, family)) {
        memcpy(family_hash, exact_hash, HMAC_BYTES);
    } else if (!hmac(hasher, label, family, family_hash)) {
        return false;
    }
    out->partition = (uint16_t)(cm_get_be(family_hash, 2) & 0x3ff);
    out->bucket = (uint16_t)(cm_get_be(family_hash + 2, 2) & 0x3ff);
    memcpy(out->exact, exact_hash + 4, CM_FIELD_BYTES);
    memcpy(out->family, family_hash + 4, CM_FIELD_BYTES);
    return true;
}

bool cm_pepper_check(struct cm_hasher *hasher, uint8_t out[8])
{
    uint8_t hash[HMAC_BYTES];
    if (!hmac(hasher, CM_SPAN("check"), CM_SPAN(""), hash)) {
        return false;
    }
    memcpy(out, hash, 8);
    return true;
}

bool cm_subject_has_family(const struct cm_subject *subject)
{
    return memcmp(subject->exact, subject->family, CM_FIELD_BYTES) != 0;
}

void cm_subject_format(const struct cm_subject *subject, char out[CM_SUBJECT_TEXT_BYTES])
{
    struct cm_text text = cm_text_over(out, CM_SUBJECT_TEXT_BYTES);
    cm_text_add_format(&text, "%05x", (unsigned)subject->partition << 10 | subject->bucket);
    cm_text_add_hex(&text, subject->exact, CM_FIELD_BYTES);
}
