#include "core/subject.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define HMAC_BYTES 32

struct cm_hasher {
    struct {
        uint8_t id;
        EVP_MAC_CTX *context; /* keyed; every computation re-initialises it with the same key */
    } peppers[CM_PEPPERS_READABLE];
    size_t count;
    size_t current;
};

static EVP_MAC_CTX *keyed_context(const uint8_t pepper[CM_PEPPER_BYTES])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *context = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    EVP_MAC_free(mac);
    if (context != NULL && EVP_MAC_init(context, pepper, CM_PEPPER_BYTES, params) != 1) {
        EVP_MAC_CTX_free(context);
        return NULL;
    }
    return context;
}

struct cm_hasher *cm_hasher_new(const struct cm_pepper_set *set)
{
    struct cm_hasher *hasher = calloc(1, sizeof(*hasher));
    bool has_current = false;
    bool ok = hasher != NULL && set->count <= CM_PEPPERS_READABLE;
    for (size_t i = 0; ok && i < set->count; i++) {
        if (set->peppers[i].id == set->current) {
            hasher->current = i;
            has_current = true;
        }
        hasher->peppers[i].id = set->peppers[i].id;
        hasher->peppers[i].context = keyed_context(set->peppers[i].bytes);
        hasher->count++;
        ok = hasher->peppers[i].context != NULL;
    }
    if (!ok || !has_current) {
        cm_hasher_free(hasher);
        return NULL;
    }
    return hasher;
}

void cm_hasher_free(struct cm_hasher *hasher)
{
    for (size_t i = 0; hasher != NULL && i < hasher->count; i++) {
        EVP_MAC_CTX_free(hasher->peppers[i].context); /* wipes the key; NULL is harmless */
    }
    free(hasher);
}

static bool hmac(EVP_MAC_CTX *context, struct cm_span head, struct cm_span tail, uint8_t out[HMAC_BYTES])
{
    size_t len = 0;
    return EVP_MAC_init(context, NULL, 0, NULL) == 1 &&
           EVP_MAC_update(context, (const unsigned char *)head.p, head.len) == 1 &&
           EVP_MAC_update(context, (const unsigned char *)tail.p, tail.len) == 1 &&
           EVP_MAC_final(context, out, &len, HMAC_BYTES) == 1 && len == HMAC_BYTES;
}

static bool place_of(EVP_MAC_CTX *context, uint8_t pepper, const struct cm_address *address,
                     struct cm_subject_place *out)
{
    const struct cm_span label = {"v1", 3}; /* with its NUL: no form can continue it */
    struct cm_span exact = cm_span_of(address->exact);
    struct cm_span family = cm_span_of(address->family);
    uint8_t exact_hash[HMAC_BYTES];
    uint8_t family_hash[HMAC_BYTES];
    if (!hmac(context, label, exact, exact_hash)) {
        return false;
    }
    if (cm_span_equal(exact, family)) {
        memcpy(family_hash, exact_hash, HMAC_BYTES);
    } else if (!hmac(context, label, family, family_hash)) {
        return false;
    }
    out->pepper = pepper;
    out->partition = (uint16_t)(cm_get_be(family_hash, 2) & 0x3ff);
    out->bucket = (uint16_t)(cm_get_be(family_hash + 2, 2) & 0x3ff);
    memcpy(out->exact, exact_hash + 4, CM_FIELD_BYTES);
    memcpy(out->family, family_hash + 4, CM_FIELD_BYTES);
    return true;
}

bool cm_subject_of(struct cm_hasher *hasher, const struct cm_address *address, struct cm_subject *out)
{
    struct cm_subject subject = {0};
    for (size_t i = 0; i < hasher->count; i++) {
        struct cm_subject_place place;
        if (!place_of(hasher->peppers[i].context, hasher->peppers[i].id, address, &place)) {
            return false;
        }
        if (i != hasher->current) {
            subject.others[subject.other_count++] = place;
            continue;
        }
        subject.pepper = place.pepper;
        subject.partition = place.partition;
        subject.bucket = place.bucket;
        memcpy(subject.exact, place.exact, CM_FIELD_BYTES);
        memcpy(subject.family, place.family, CM_FIELD_BYTES);
    }
    *out = subject;
    return true;
}

size_t cm_subject_places(const struct cm_subject *subject, struct cm_subject_place out[CM_PEPPERS_READABLE])
{
    size_t count = 0;
    size_t other = 0;
    while (other < subject->other_count && subject->others[other].pepper < subject->pepper) {
        out[count++] = subject->others[other++];
    }
    struct cm_subject_place *own = &out[count++];
    own->pepper = subject->pepper;
    own->partition = subject->partition;
    own->bucket = subject->bucket;
    memcpy(own->exact, subject->exact, CM_FIELD_BYTES);
    memcpy(own->family, subject->family, CM_FIELD_BYTES);
    while (other < subject->other_count) {
        out[count++] = subject->others[other++];
    }
    return count;
}

bool cm_pepper_check(const uint8_t pepper[CM_PEPPER_BYTES], uint8_t out[CM_PEPPER_CHECK_BYTES])
{
    uint8_t hash[HMAC_BYTES];
    EVP_MAC_CTX *context = keyed_context(pepper);
    bool ok = context != NULL && hmac(context, CM_SPAN("check"), CM_SPAN(""), hash);
    EVP_MAC_CTX_free(context);
    if (ok) {
        memcpy(out, hash, CM_PEPPER_CHECK_BYTES);
    }
    return ok;
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

bool cm_subject_read(struct cm_span text, struct cm_subject *out)
{
    char where[7] = "0"; /* twenty bits and another digit make three bytes */
    uint8_t bits[3];
    uint8_t exact[CM_FIELD_BYTES];
    if (text.len != CM_SUBJECT_TEXT_BYTES - 1) {
        return false;
    }
    memcpy(where + 1, text.p, 5);
    if (!cm_hex_decode((struct cm_span){where, 6}, bits, sizeof(bits)) ||
        !cm_hex_decode((struct cm_span){text.p + 5, 16}, exact, sizeof(exact))) {
        return false;
    }
    unsigned place = (unsigned)bits[0] << 16 | (unsigned)bits[1] << 8 | bits[2];
    out->partition = (uint16_t)(place >> 10);
    out->bucket = (uint16_t)(place & 1023);
    memcpy(out->exact, exact, sizeof(exact));
    return true;
}
