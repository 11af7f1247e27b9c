#include "core/subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t pepper[CM_PEPPER_BYTES];

static int make_pepper(void **state)
{
    (void)state;
    for (uint8_t i = 0; i < CM_PEPPER_BYTES; i++) {
        pepper[i] = i;
    }
    return 0;
}

static struct cm_address address(const char *exact, const char *family)
{
    struct cm_address a = {0};
    (void)cm_copy(a.exact, sizeof(a.exact), cm_span_of(exact));
    (void)cm_copy(a.family, sizeof(a.family), cm_span_of(family));
    return a;
}

static struct cm_hasher *hasher_of(const uint8_t key[CM_PEPPER_BYTES])
{
    struct cm_pepper_set set = {.peppers = {{.id = 1, .bytes = key}}, .count = 1, .current = 1};
    return cm_hasher_new(&set);
}

static struct cm_subject subject_of(const uint8_t key[CM_PEPPER_BYTES], const char *exact, const char *family)
{
    struct cm_hasher *hasher = hasher_of(key);
    struct cm_address a = address(exact, family);
    struct cm_subject subject;
    assert_non_null(hasher);
    assert_true(cm_subject_of(hasher, &a, &subject));
    cm_hasher_free(hasher);
    return subject;
}

/* The numbers were computed by another program: HMAC-SHA256 under the pepper 00 01 .. 1f. */
static void known_subjects_have_known_keys(void **state)
{
    (void)state;
    static const struct {
        const char *exact;
        const char *family;
        uint16_t partition;
        uint16_t bucket;
        uint8_t exact_field[CM_FIELD_BYTES];
        uint8_t family_field[CM_FIELD_BYTES];
        const char *text;
    } rows[] = {
        {"ada@example.org",
         "ada@example.org",
         739,
         454,
         {0x87, 0x38, 0x10, 0x45, 0x83, 0x40, 0x01, 0xa0},
         {0x87, 0x38, 0x10, 0x45, 0x83, 0x40, 0x01, 0xa0},
         "b8dc687381045834001a0"},
        {"a.da+x@gmail.com",
         "ada@gmail.com",
         444,
         234,
         {0x21, 0xbe, 0x85, 0xc6, 0x9d, 0x64, 0x16, 0x5f},
         {0xbf, 0xa2, 0xb1, 0xbf, 0xd0, 0xd1, 0xcd, 0xdc},
         "6f0ea21be85c69d64165f"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_subject s = subject_of(pepper, rows[i].exact, rows[i].family);
        char text[CM_SUBJECT_TEXT_BYTES];
        cm_subject_format(&s, text);
        assert_int_equal(s.partition, rows[i].partition);
        assert_int_equal(s.bucket, rows[i].bucket);
        assert_memory_equal(s.exact, rows[i].exact_field, CM_FIELD_BYTES);
        assert_memory_equal(s.family, rows[i].family_field, CM_FIELD_BYTES);
        assert_int_equal(cm_subject_has_family(&s), strcmp(rows[i].exact, rows[i].family) != 0);
        assert_string_equal(text, rows[i].text);
        struct cm_subject back = {.pepper = 9};
        assert_true(cm_subject_read(cm_span_of(text), &back));
        assert_int_equal(back.partition, rows[i].partition);
        assert_int_equal(back.bucket, rows[i].bucket);
        assert_memory_equal(back.exact, rows[i].exact_field, CM_FIELD_BYTES);
        assert_int_equal(back.pepper, 9);
    }
}

static void what_is_no_key_is_not_read(void **state)
{
    static const char *const texts[] = {
        "", "6f0ea21be85c69d64165", "6f0ea21be85c69d64165f0", "6f0eg21be85c69d64165f", "6f0ea21be85c69d6416 f", "-"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cm_subject subject = {.bucket = 7};
        assert_false(cm_subject_read(cm_span_of(texts[i]), &subject));
        assert_int_equal(subject.bucket, 7);
    }
}

static void a_family_shares_its_bucket_and_its_field(void **state)
{
    (void)state;
    struct cm_subject plain = subject_of(pepper, "ada@gmail.com", "ada@gmail.com");
    struct cm_subject dotted = subject_of(pepper, "a.da@gmail.com", "ada@gmail.com");
    assert_int_equal(plain.partition, dotted.partition);
    assert_int_equal(plain.bucket, dotted.bucket);
    assert_memory_equal(plain.family, dotted.family, CM_FIELD_BYTES);
    assert_memory_equal(plain.exact, dotted.family, CM_FIELD_BYTES);
    assert_memory_not_equal(plain.exact, dotted.exact, CM_FIELD_BYTES); /* LAW-8: grants are exact */
    assert_false(cm_subject_has_family(&plain));
    assert_true(cm_subject_has_family(&dotted));
}

static void a_hasher_can_be_used_again(void **state)
{
    (void)state;
    struct cm_hasher *hasher = hasher_of(pepper);
    struct cm_address ada = address("ada@example.org", "ada@example.org");
    struct cm_address bob = address("b.ob@gmail.com", "bob@gmail.com");
    struct cm_subject first;
    struct cm_subject other;
    struct cm_subject again;
    assert_true(cm_subject_of(hasher, &ada, &first));
    assert_true(cm_subject_of(hasher, &bob, &other));
    assert_true(cm_subject_of(hasher, &ada, &again));
    assert_memory_equal(first.exact, again.exact, CM_FIELD_BYTES);
    assert_int_equal(first.partition, again.partition);
    assert_memory_not_equal(first.exact, other.exact, CM_FIELD_BYTES);
    cm_hasher_free(hasher);
    cm_hasher_free(NULL);
}

static void the_hasher_keeps_a_copy_of_the_pepper(void **state)
{
    (void)state;
    uint8_t mine[CM_PEPPER_BYTES];
    struct cm_address ada = address("ada@example.org", "ada@example.org");
    struct cm_subject before;
    struct cm_subject after;
    memcpy(mine, pepper, sizeof(mine));
    struct cm_hasher *hasher = hasher_of(mine);
    assert_true(cm_subject_of(hasher, &ada, &before));
    memset(mine, 0, sizeof(mine));
    assert_true(cm_subject_of(hasher, &ada, &after));
    assert_memory_equal(before.exact, after.exact, CM_FIELD_BYTES);
    cm_hasher_free(hasher);
}

static void another_pepper_gives_another_key(void **state)
{
    (void)state;
    uint8_t other[CM_PEPPER_BYTES];
    uint8_t check[2][8];
    memcpy(other, pepper, sizeof(other));
    other[CM_PEPPER_BYTES - 1] ^= 1;
    struct cm_subject a = subject_of(pepper, "ada@example.org", "ada@example.org");
    struct cm_subject b = subject_of(other, "ada@example.org", "ada@example.org");
    assert_memory_not_equal(a.exact, b.exact, CM_FIELD_BYTES);
    for (int i = 0; i < 2; i++) {
        assert_true(cm_pepper_check(i == 0 ? pepper : other, check[i]));
    }
    static const uint8_t want[8] = {0x4d, 0xbc, 0x0b, 0x66, 0x2b, 0x90, 0x43, 0xdb};
    assert_memory_equal(check[0], want, 8);
    assert_memory_not_equal(check[1], want, 8);
}

/* One place under each pepper, and the subject's own is the current one's. */
static void a_set_of_peppers_gives_places_from_old_to_new(void **state)
{
    (void)state;
    uint8_t others[2][CM_PEPPER_BYTES];
    struct cm_address gus = address("g.us+x@gmail.com", "gus@gmail.com");
    memset(others[0], 2, CM_PEPPER_BYTES);
    memset(others[1], 3, CM_PEPPER_BYTES);
    const uint8_t *const bytes[] = {pepper, others[0], others[1]};
    static const uint8_t ids[] = {2, 5, 11};
    for (size_t count = 1; count <= 3; count++) {
        for (size_t current = 0; current < count; current++) {
            struct cm_pepper_set set = {.count = count, .current = ids[current]};
            struct cm_subject subject;
            struct cm_subject_place places[CM_PEPPERS_READABLE];
            for (size_t i = 0; i < count; i++) {
                set.peppers[i].id = ids[i];
                set.peppers[i].bytes = bytes[i];
            }
            struct cm_hasher *hasher = cm_hasher_new(&set);
            assert_non_null(hasher);
            assert_true(cm_subject_of(hasher, &gus, &subject));
            cm_hasher_free(hasher);
            assert_int_equal(subject.pepper, ids[current]);
            assert_int_equal(cm_subject_places(&subject, places), count);
            for (size_t i = 0; i < count; i++) {
                struct cm_subject alone = subject_of(bytes[i], "g.us+x@gmail.com", "gus@gmail.com");
                assert_int_equal(places[i].pepper, ids[i]);
                assert_int_equal(places[i].partition, alone.partition);
                assert_int_equal(places[i].bucket, alone.bucket);
                assert_memory_equal(places[i].exact, alone.exact, CM_FIELD_BYTES);
                assert_memory_equal(places[i].family, alone.family, CM_FIELD_BYTES);
            }
        }
    }
    struct cm_pepper_set no_current = {.peppers = {{.id = 1, .bytes = pepper}}, .count = 1, .current = 2};
    assert_null(cm_hasher_new(&no_current));
}

static void the_text_pads_small_numbers(void **state)
{
    (void)state;
    char text[CM_SUBJECT_TEXT_BYTES];
    cm_subject_format(&(struct cm_subject){.bucket = 1}, text);
    assert_string_equal(text, "000010000000000000000");
    struct cm_subject last = {.partition = 1023, .bucket = 1023};
    memset(last.exact, 0xff, CM_FIELD_BYTES);
    cm_subject_format(&last, text);
    assert_string_equal(text, "fffffffffffffffffffff");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_subjects_have_known_keys),
        cmocka_unit_test(a_family_shares_its_bucket_and_its_field),
        cmocka_unit_test(a_hasher_can_be_used_again),
        cmocka_unit_test(the_hasher_keeps_a_copy_of_the_pepper),
        cmocka_unit_test(another_pepper_gives_another_key),
        cmocka_unit_test(what_is_no_key_is_not_read),
        cmocka_unit_test(the_text_pads_small_numbers),
        cmocka_unit_test(a_set_of_peppers_gives_places_from_old_to_new),
    };
    return cmocka_run_group_tests(tests, make_pepper, NULL);
}
