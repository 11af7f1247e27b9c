/* The format of a segment: what is written is read again, and whatever is changed, left out or put elsewhere is found.
 */
#include "archive_world.h"

static uint8_t frame[CM_FRAME_MAX];

static struct cm_span frame_of(size_t len)
{
    assert_true(len > 0);
    return (struct cm_span){(const char *)frame, len};
}

static enum cm_step step(struct cm_segment_walk *walk, size_t len)
{
    struct cm_ledger_raw unused;
    struct cm_err err = {""};
    enum cm_step result = cm_segment_step(walk, frame_of(len), &unused, &err);
    assert_int_equal(result == CM_STEP_BAD, err.text[0] != '\0');
    return result;
}

/* A walk after its first frame. */
static struct cm_segment_walk *begin(void)
{
    struct cm_segment_walk *walk = malloc(sizeof(*walk));
    assert_non_null(walk);
    cm_segment_walk_init(walk, STORE_ID);
    assert_int_equal(step(walk, cm_segment_begin_frame(walk, 1, NOW, frame)), CM_STEP_SEGMENT);
    return walk;
}

static void push_entry(struct cm_segment_walk *walk, unsigned partition, uint64_t id)
{
    struct cm_ledger_raw entry = entry_of(partition, id, 0);
    assert_int_equal(step(walk, cm_segment_entry_frame(&entry, frame)), CM_STEP_ENTRY);
}

static void test_what_is_written_is_read(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 28, 4124, CM_LIMIT_NOTE_BYTES};
    struct cm_segment_walk *walk = begin();
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct cm_ledger_raw entry = entry_of(1023, 7 + i, lengths[i]);
        struct cm_ledger_raw out;
        struct cm_err err;
        size_t len = cm_segment_entry_frame(&entry, frame);
        assert_int_equal(cm_segment_step(walk, frame_of(len), &out, &err), CM_STEP_ENTRY);
        assert_int_equal(out.partition, 1023);
        assert_int_equal(out.id, 7 + i);
        assert_true(cm_span_equal(out.event, entry.event));
        assert_true(cm_span_equal(out.document, entry.document));
    }
    assert_int_equal(walk->position, COUNT(lengths));
    assert_int_equal(walk->places[1023].count, COUNT(lengths));
    assert_int_equal(walk->places[1023].last, 7 + COUNT(lengths) - 1);
    assert_int_equal(step(walk, cm_segment_head_frame(walk, &key, NOW, false, frame)), CM_STEP_HEAD);
    assert_true(cm_segment_proven(walk, &key));
    assert_false(cm_segment_proven(walk, &other_key));
    free(walk);
}

static void test_impossible_lengths_are_refused(void **state)
{
    (void)state;
    struct cm_ledger_raw entry = entry_of(0, 1, CM_LIMIT_NOTE_BYTES + 1);
    assert_int_equal(cm_segment_entry_frame(&entry, frame), 0);
    entry = entry_of(0, 1, 0);
    for (size_t len = 0; len <= CM_EVENT_MAX_BYTES; len++) {
        entry.event.len = len;
        bool good = len == CM_EVENT_BYTES || len == CM_EVENT_MAX_BYTES;
        assert_int_equal(cm_segment_entry_frame(&entry, frame) > 0, good);
    }
}

static void test_ids_rise_within_a_partition(void **state)
{
    (void)state;
    struct cm_segment_walk *walk = begin();
    push_entry(walk, 5, 100);
    push_entry(walk, 6, 50);
    for (uint64_t id = 99; id <= 100; id++) {
        struct cm_ledger_raw entry = entry_of(5, id, 0);
        assert_int_equal(step(walk, cm_segment_entry_frame(&entry, frame)), CM_STEP_BAD);
    }
    struct cm_ledger_raw entry = entry_of(CM_PARTITIONS, 1, 0);
    assert_int_equal(step(walk, cm_segment_entry_frame(&entry, frame)), CM_STEP_BAD);
    push_entry(walk, 5, 101);
    assert_int_equal(walk->position, 3);
    free(walk);
}

/* Any bit of any frame between two heads breaks the chain, or is no frame, or the order. */
static void test_every_changed_bit_is_found(void **state)
{
    (void)state;
    struct cm_segment_walk *walk = begin();
    struct cm_segment_walk start = *walk;
    struct cm_ledger_raw entry = entry_of(9, 1000, 3);
    size_t len = cm_segment_entry_frame(&entry, frame);
    static uint8_t entry_copy[256];
    static uint8_t head[CM_FRAME_MAX];
    assert_true(len <= sizeof(entry_copy));
    memcpy(entry_copy, frame, len);
    assert_int_equal(step(walk, len), CM_STEP_ENTRY);
    size_t head_len = cm_segment_head_frame(walk, &key, NOW, false, head);
    for (size_t bit = 0; bit < len * 8; bit++) {
        *walk = start;
        memcpy(frame, entry_copy, len);
        frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (step(walk, len) != CM_STEP_BAD) {
            memcpy(frame, head, head_len);
            assert_int_equal(step(walk, head_len), CM_STEP_BAD);
        }
    }
    free(walk);
}

static void test_every_changed_bit_of_a_head_is_found(void **state)
{
    (void)state;
    struct cm_segment_walk *walk = begin();
    push_entry(walk, 1, 1);
    struct cm_segment_walk start = *walk;
    static uint8_t head[CM_FRAME_MAX];
    size_t len = cm_segment_head_frame(walk, &key, NOW, true, head);
    for (size_t bit = 0; bit < len * 8; bit++) {
        *walk = start;
        memcpy(frame, head, len);
        frame[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_true(step(walk, len) == CM_STEP_BAD || !cm_segment_proven(walk, &key));
    }
    free(walk);
}

static void test_nothing_follows_a_sealed_head(void **state)
{
    (void)state;
    struct cm_segment_walk *walk = begin();
    push_entry(walk, 1, 1);
    assert_int_equal(step(walk, cm_segment_head_frame(walk, &key, NOW, true, frame)), CM_STEP_HEAD);
    struct cm_ledger_raw entry = entry_of(1, 2, 0);
    assert_int_equal(step(walk, cm_segment_entry_frame(&entry, frame)), CM_STEP_BAD);
    assert_int_equal(step(walk, cm_segment_head_frame(walk, &key, NOW, false, frame)), CM_STEP_BAD);
    free(walk);
}

static void test_segments_continue_each_other(void **state)
{
    (void)state;
    struct cm_err err = {""};
    struct cm_segment_walk *walk = begin();
    struct cm_segment_walk *next = malloc(sizeof(*next));
    assert_non_null(next);
    push_entry(walk, 1, 1);
    assert_int_equal(step(walk, cm_segment_head_frame(walk, &key, NOW, true, frame)), CM_STEP_HEAD);
    size_t len = cm_segment_begin_frame(walk, 1, NOW, frame);
    cm_segment_walk_init(next, STORE_ID);
    assert_int_equal(step(next, len), CM_STEP_SEGMENT);
    assert_true(cm_segment_continues(walk, next, &err));
    assert_int_equal(next->segment, 2);
    assert_int_equal(next->before, 1);
    walk->chain[0] ^= 1;
    assert_false(cm_segment_continues(walk, next, &err));
    walk->chain[0] ^= 1;
    walk->places[1].last++;
    assert_false(cm_segment_continues(walk, next, &err));
    walk->places[1].last--;
    walk->head.sealed = false;
    assert_false(cm_segment_continues(walk, next, &err));
    free(next);
    free(walk);
}

static void test_another_store_is_refused(void **state)
{
    (void)state;
    struct cm_segment_walk *walk = begin();
    size_t len = cm_segment_begin_frame(walk, 1, NOW, frame);
    cm_segment_walk_init(walk, OTHER_STORE_ID);
    assert_int_equal(step(walk, len), CM_STEP_BAD);
    cm_segment_walk_init(walk, "no hex");
    assert_int_equal(step(walk, cm_segment_begin_frame(walk, 1, NOW, frame)), CM_STEP_BAD);
    free(walk);
}

static void test_a_table_that_does_not_add_up_is_refused(void **state)
{
    (void)state;
    struct cm_segment_walk *walk = begin();
    push_entry(walk, 1, 1);
    walk->position++;
    size_t len = cm_segment_begin_frame(walk, 1, NOW, frame);
    cm_segment_walk_init(walk, STORE_ID);
    assert_int_equal(step(walk, len), CM_STEP_BAD);
    free(walk);
}

static void test_lengths_of_frames(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint8_t head[CM_FRAME_HEAD_BYTES];
        bool good;
    } rows[] = {
        {"a segment", {'S', 0, 0x40, 0x50}, true},
        {"a segment, one less", {'S', 0, 0x40, 0x4f}, false},
        {"the shortest entry", {'E', 0, 0, 59}, true},
        {"a shorter entry", {'E', 0, 0, 58}, false},
        {"the longest entry", {'E', 4, 0, 91}, true},
        {"a longer entry", {'E', 4, 0, 92}, false},
        {"a head", {'H', 0, 0, 119}, true},
        {"a longer head", {'H', 0, 0, 120}, false},
        {"another type", {'X', 0, 0, 119}, false},
        {"zeros", {0, 0, 0, 0}, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t body = 0;
        if (cm_frame_length(rows[i].head, &body) != rows[i].good) {
            fail_msg("%s", rows[i].what);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_impossible_lengths_are_refused),
        cmocka_unit_test(test_ids_rise_within_a_partition),
        cmocka_unit_test(test_every_changed_bit_is_found),
        cmocka_unit_test(test_every_changed_bit_of_a_head_is_found),
        cmocka_unit_test(test_nothing_follows_a_sealed_head),
        cmocka_unit_test(test_segments_continue_each_other),
        cmocka_unit_test(test_another_store_is_refused),
        cmocka_unit_test(test_a_table_that_does_not_add_up_is_refused),
        cmocka_unit_test(test_lengths_of_frames),
    };
    return cmocka_run_group_tests(tests, enter_sandbox, leave_sandbox);
}
