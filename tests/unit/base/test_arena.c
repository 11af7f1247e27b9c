#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static bool is_zero(const unsigned char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

static void init_takes_no_memory(void **state)
{
    (void)state;
    struct cm_arena arena;
    cm_arena_init(&arena, 100);
    assert_null(arena.chunks);
    assert_int_equal(arena.used_bytes, 0);
    assert_int_equal(arena.max_bytes, 100);
}

static void every_size_is_aligned_and_zeroed(void **state)
{
    (void)state;
    struct cm_arena arena;
    cm_arena_init(&arena, 1048576);
    for (size_t size = 1; size <= 5000; size = size * 3 / 2 + 1) {
        unsigned char *at = cm_arena_alloc(&arena, size);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % alignof(max_align_t), 0);
        assert_true(is_zero(at, size));
        memset(at, 0xa5, size); /* the next one must not lie inside this one */
    }
    cm_arena_reset(&arena);
    unsigned char *again = cm_arena_alloc(&arena, 1000);
    assert_true(is_zero(again, 1000)); /* the kept chunk was full of 0xa5 */
    cm_arena_done(&arena);
}

static void pieces_do_not_overlap_across_chunks(void **state)
{
    (void)state;
    enum { COUNT = 100, SIZE = 100 };
    struct cm_arena arena;
    unsigned char *pieces[COUNT];
    cm_arena_init(&arena, 65536);
    for (int i = 0; i < COUNT; i++) {
        pieces[i] = cm_arena_alloc(&arena, SIZE);
        assert_non_null(pieces[i]);
        memset(pieces[i], i + 1, SIZE);
    }
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < SIZE; j++) {
            assert_int_equal(pieces[i][j], i + 1);
        }
    }
    cm_arena_done(&arena);
}

static void the_ceiling_is_exact_on_both_sides(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t max;
        size_t first;
        size_t second;
        bool want_first;
        bool want_second;
    } rows[] = {
        {"all of it in one piece", 64, 64, 1, true, false},
        {"one byte too much", 64, 65, 64, false, true},
        {"two halves", 64, 32, 32, true, true},
        {"a half and a byte more than the rest", 64, 32, 33, true, false},
        {"a size that would wrap around", 64, SIZE_MAX, 64, false, true},
        {"a size that would wrap when aligned", 64, SIZE_MAX - 3, 64, false, true},
        {"larger than any chunk, at the ceiling", 10000, 10000, 1, true, false},
        {"a ceiling of zero", 0, 1, 1, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_arena arena;
        cm_arena_init(&arena, rows[i].max);
        if ((cm_arena_alloc(&arena, rows[i].first) != NULL) != rows[i].want_first ||
            (cm_arena_alloc(&arena, rows[i].second) != NULL) != rows[i].want_second) {
            fail_msg("%s", rows[i].name);
        }
        cm_arena_done(&arena);
    }
}

static void an_array_checks_its_product(void **state)
{
    (void)state;
    struct cm_arena arena;
    cm_arena_init(&arena, 1024);
    assert_null(cm_arena_array(&arena, SIZE_MAX / 2, 4));
    assert_null(cm_arena_array(&arena, SIZE_MAX / 8 + 2, 8)); /* the product wraps to 8 */
    assert_null(cm_arena_array(&arena, 129, 8));
    assert_non_null(cm_arena_array(&arena, 128, 8));
    assert_null(cm_arena_array(&arena, 1, 1));
    cm_arena_done(&arena);
}

static void a_copy_holds_nuls_and_ends_in_one(void **state)
{
    (void)state;
    struct cm_arena arena;
    cm_arena_init(&arena, 64);
    struct cm_span copy = cm_arena_copy(&arena, (struct cm_span){"a\0b", 3});
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.p, "a\0b", 4);
    struct cm_span empty = cm_arena_copy(&arena, (struct cm_span){NULL, 0});
    assert_non_null(empty.p);
    assert_int_equal(empty.len, 0);
    assert_int_equal(empty.p[0], '\0');
    cm_arena_done(&arena);

    cm_arena_init(&arena, 4);
    struct cm_span too_long = cm_arena_copy(&arena, CM_SPAN("abcd")); /* four bytes fit, their NUL does not */
    assert_null(too_long.p);
    assert_int_equal(too_long.len, 0);
    assert_non_null(cm_arena_copy(&arena, CM_SPAN("abc")).p);
    cm_arena_done(&arena);
}

static void reset_gives_the_whole_ceiling_back(void **state)
{
    (void)state;
    struct cm_arena arena;
    cm_arena_init(&arena, 6000);
    cm_arena_reset(&arena); /* of an arena never used */
    assert_null(arena.chunks);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            assert_non_null(cm_arena_alloc(&arena, 2000));
        }
        assert_null(cm_arena_alloc(&arena, 1));
        cm_arena_reset(&arena);
        assert_int_equal(arena.used_bytes, 0);
        assert_non_null(arena.chunks);
    }
    cm_arena_done(&arena);
    assert_null(arena.chunks);
    assert_int_equal(arena.max_bytes, 6000);
    cm_arena_done(&arena); /* twice is harmless */
}

static void reset_does_not_keep_a_huge_chunk(void **state)
{
    (void)state;
    struct cm_arena arena;
    cm_arena_init(&arena, 1048576);
    assert_non_null(cm_arena_alloc(&arena, 1000000));
    cm_arena_reset(&arena);
    assert_null(arena.chunks);
    assert_non_null(cm_arena_alloc(&arena, 10));
    cm_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_takes_no_memory),
        cmocka_unit_test(every_size_is_aligned_and_zeroed),
        cmocka_unit_test(pieces_do_not_overlap_across_chunks),
        cmocka_unit_test(the_ceiling_is_exact_on_both_sides),
        cmocka_unit_test(an_array_checks_its_product),
        cmocka_unit_test(a_copy_holds_nuls_and_ends_in_one),
        cmocka_unit_test(reset_gives_the_whole_ceiling_back),
        cmocka_unit_test(reset_does_not_keep_a_huge_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
