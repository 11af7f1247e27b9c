/*
 * Segments of the archive as they come off a disk that anyone may have written to. What must hold: no crash; a frame
 * that is refused leaves the walk where it was; what is accepted is written again to the same bytes, and counts once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "require.h"
#include "service/segment.h"

#define STORE_ID "0123456789abcdef0123456789abcdef"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A segment frame is too long for a small input: it is put in front, and the input is what follows. */
static void begin(struct cm_segment_walk *walk)
{
    static uint8_t frame[CM_FRAME_MAX];
    struct cm_ledger_raw unused;
    struct cm_err err;
    cm_segment_walk_init(walk, STORE_ID);
    size_t len = cm_segment_begin_frame(walk, 1, 1, frame);
    enum cm_step step = cm_segment_step(walk, (struct cm_span){(const char *)frame, len}, &unused, &err);
    REQUIRE(step == CM_STEP_SEGMENT);
}

static void check_entry(struct cm_span frame, const struct cm_ledger_raw *entry)
{
    static uint8_t again[CM_FRAME_MAX];
    REQUIRE(cm_segment_entry_frame(entry, again) == frame.len);
    REQUIRE(memcmp(again, frame.p, frame.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cm_segment_walk walk;
    static struct cm_segment_walk before;
    size_t body = 0;
    begin(&walk);
    while (size >= CM_FRAME_HEAD_BYTES && cm_frame_length(data, &body) && CM_FRAME_HEAD_BYTES + body <= size) {
        struct cm_span frame = {(const char *)data, CM_FRAME_HEAD_BYTES + body};
        struct cm_ledger_raw entry;
        struct cm_err err = {{0}};
        before = walk;
        enum cm_step step = cm_segment_step(&walk, frame, &entry, &err);
        if (step == CM_STEP_BAD) {
            REQUIRE(err.text[0] != '\0');
            REQUIRE(memcmp(&before, &walk, sizeof(walk)) == 0);
            break;
        }
        REQUIRE(walk.bytes == before.bytes + frame.len);
        REQUIRE(walk.position == before.position + (step == CM_STEP_ENTRY ? 1 : 0));
        if (step == CM_STEP_ENTRY) {
            check_entry(frame, &entry);
        }
        data += frame.len;
        size -= frame.len;
    }
    return 0;
}
