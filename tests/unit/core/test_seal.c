#include "core/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t master[CM_SEAL_MASTER_BYTES];
static uint8_t salt[CM_SALT_BYTES];
static uint8_t nonce[CM_SEAL_NONCE_BYTES];
static char longest[CM_LIMIT_EVIDENCE_BYTES + 1];

static int make_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(master); i++) {
        master[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < sizeof(salt); i++) {
        salt[i] = (uint8_t)(100 + i);
    }
    for (size_t i = 0; i < sizeof(nonce); i++) {
        nonce[i] = (uint8_t)(200 + i);
    }
    for (size_t i = 0; i < sizeof(longest); i++) {
        longest[i] = (char)i;
    }
    return 0;
}

static struct cm_span span_of(const struct cm_sealed *sealed)
{
    return (struct cm_span){(const char *)sealed->bytes, sealed->len};
}

/* The sealed text was made by another program from the description in the header. */
static void a_known_document_seals_to_a_known_text(void **state)
{
    (void)state;
    static const char want_hex[] = "c8c9cacbcccdcecfd0d1d2d35eeab8e3c13d0d559b56ff3234ca0f10db1361365c25c0a95e48f8bee5"
                                   "18d424a9de33be5a00f9fc1ab650";
    static const char want_sha256_hex[] = "acba3485284b28231efd17c0cea00a15f75e5209fe309b2cac2351c1eaa9af79";
    uint8_t want[(sizeof(want_hex) - 1) / 2];
    uint8_t want_sha256[CM_SHA256_BYTES];
    struct cm_sealed sealed;
    assert_true(cm_hex_decode(CM_SPAN(want_hex), want, sizeof(want)));
    assert_true(cm_hex_decode(CM_SPAN(want_sha256_hex), want_sha256, sizeof(want_sha256)));
    assert_true(cm_seal(master, salt, nonce, CM_SPAN("{\"form\":\"shop\",\"version\":3}"), &sealed));
    assert_int_equal(sealed.len, sizeof(want));
    assert_memory_equal(sealed.bytes, want, sizeof(want));
    assert_memory_equal(sealed.sha256, want_sha256, CM_SHA256_BYTES);
}

static void every_length_up_to_the_limit_opens_again(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 15, 16, 17, 1000, CM_LIMIT_EVIDENCE_BYTES - 1, CM_LIMIT_EVIDENCE_BYTES};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct cm_sealed sealed;
        char out[CM_LIMIT_EVIDENCE_BYTES + 1];
        size_t len = 99999;
        memset(out, 'x', sizeof(out));
        assert_true(cm_seal(master, salt, nonce, (struct cm_span){longest, lengths[i]}, &sealed));
        assert_int_equal(sealed.len, lengths[i] + CM_SEAL_OVERHEAD_BYTES);
        assert_true(cm_unseal(master, salt, span_of(&sealed), out, &len));
        assert_int_equal(len, lengths[i]);
        assert_memory_equal(out, longest, len);
        assert_int_equal(out[len], '\0');
    }
    struct cm_sealed sealed;
    assert_false(cm_seal(master, salt, nonce, (struct cm_span){longest, CM_LIMIT_EVIDENCE_BYTES + 1}, &sealed));
    assert_true(cm_seal(master, salt, nonce, (struct cm_span){NULL, 0}, &sealed));
}

static void any_changed_byte_is_noticed(void **state)
{
    (void)state;
    struct cm_sealed sealed;
    char out[CM_LIMIT_EVIDENCE_BYTES + 1];
    size_t len = 77;
    assert_true(cm_seal(master, salt, nonce, CM_SPAN("evidence"), &sealed));
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.bytes[i] ^= 1;
        if (cm_unseal(master, salt, span_of(&sealed), out, &len)) {
            fail_msg("byte %zu", i);
        }
        sealed.bytes[i] ^= 1;
    }
    assert_int_equal(len, 77);
    assert_true(cm_unseal(master, salt, span_of(&sealed), out, &len));
}

static void another_master_or_salt_opens_nothing(void **state)
{
    (void)state;
    struct cm_sealed sealed;
    uint8_t other_master[CM_SEAL_MASTER_BYTES];
    uint8_t other_salt[CM_SALT_BYTES];
    char out[CM_LIMIT_EVIDENCE_BYTES + 1];
    size_t len = 0;
    assert_true(cm_seal(master, salt, nonce, CM_SPAN("evidence"), &sealed));
    memcpy(other_master, master, sizeof(master));
    memcpy(other_salt, salt, sizeof(salt));
    other_master[0] ^= 1;
    other_salt[CM_SALT_BYTES - 1] ^= 1;
    assert_false(cm_unseal(other_master, salt, span_of(&sealed), out, &len));
    assert_false(cm_unseal(master, other_salt, span_of(&sealed), out, &len));
}

static void impossible_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t len;
    } rows[] = {{"nothing", 0},
                {"a nonce alone", CM_SEAL_NONCE_BYTES},
                {"one byte less than an empty document", CM_SEAL_OVERHEAD_BYTES - 1},
                {"an empty document of zeros", CM_SEAL_OVERHEAD_BYTES},
                {"the largest", CM_SEALED_MAX_BYTES},
                {"one byte more than the largest", CM_SEALED_MAX_BYTES + 1}};
    static const char zeros[CM_SEALED_MAX_BYTES + 1];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[CM_LIMIT_EVIDENCE_BYTES + 1];
        size_t len = 0;
        if (cm_unseal(master, salt, (struct cm_span){zeros, rows[i].len}, out, &len)) {
            fail_msg("%s", rows[i].name);
        }
    }
}

/* Text that failed its check is not evidence: a caller that overlooks the result must not find any of it. */
static void a_failed_opening_gives_no_text_away(void **state)
{
    (void)state;
    struct cm_sealed sealed;
    char out[CM_LIMIT_EVIDENCE_BYTES + 1];
    size_t len = 0;
    memset(out, 'x', sizeof(out));
    assert_true(cm_seal(master, salt, nonce, CM_SPAN("forged evidence"), &sealed));
    sealed.bytes[sealed.len - 1] ^= 1;
    assert_false(cm_unseal(master, salt, span_of(&sealed), out, &len));
    assert_memory_not_equal(out, "forged evidence", 15);
    assert_memory_not_equal(out, "forged", 6);
}

static void sha256_is_sha256(void **state)
{
    (void)state;
    static const char empty_hex[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    static const char abc_hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    uint8_t want[CM_SHA256_BYTES];
    uint8_t got[CM_SHA256_BYTES];
    assert_true(cm_hex_decode(CM_SPAN(empty_hex), want, sizeof(want)));
    assert_true(cm_sha256((struct cm_span){NULL, 0}, got));
    assert_memory_equal(got, want, CM_SHA256_BYTES);
    assert_true(cm_hex_decode(CM_SPAN(abc_hex), want, sizeof(want)));
    assert_true(cm_sha256(CM_SPAN("abc"), got));
    assert_memory_equal(got, want, CM_SHA256_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_document_seals_to_a_known_text),
        cmocka_unit_test(every_length_up_to_the_limit_opens_again),
        cmocka_unit_test(any_changed_byte_is_noticed),
        cmocka_unit_test(another_master_or_salt_opens_nothing),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(a_failed_opening_gives_no_text_away),
        cmocka_unit_test(sha256_is_sha256),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
