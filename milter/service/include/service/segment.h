/*
 * The segment: one file of the archive, in which the ledger is kept for good. Here is its format and how it is proven;
 * archive.h has the files. Big endian. A segment is a row of frames:
 *
 *   type 1 | length of the body 3 | body
 *
 *   'S' once, first: "CMLEDGER" 8 | version 1 | key number 1 | store id 16 | segment number 8 | begun ms 6 | chain so
 *       far 32 | entries before this segment 8 | for each partition: last ledger id 8, entries before 8
 *   'E' entry: partition 2 | ledger id 8 | length of the event 1 | packed event | sealed document, to the end
 *   'H' head: segment number 8 | entries up to here 8 | ms 6 | sealed 1 | chain before this frame 32 | Ed25519 64
 *
 * Every frame is a link of one chain over the whole archive: chain = SHA-256(chain before || frame). So the signature
 * of the last head proves every byte before it, in this segment and, by the chain in 'S', in all before. Ledger ids
 * rise within a partition. A sealed head ends its segment. What follows the last head is torn or still being written,
 * and proves nothing. The table in 'S' tells which partitions a segment touches, without reading it.
 *
 * Writer and readers take the same steps, so what a reader would refuse cannot be written. Pure; a walk belongs to one
 * thread.
 */
#ifndef SERVICE_SEGMENT_H
#define SERVICE_SEGMENT_H

#include "core/subject.h"
#include "store/archive_key.h"
#include "store/keys.h"
#include "store/ledger.h"

#define CM_CHAIN_BYTES CM_SHA256_BYTES
#define CM_FRAME_HEAD_BYTES 4
#define CM_FRAME_BODY_MAX (11 + CM_EVENT_MAX_BYTES + CM_LIMIT_NOTE_BYTES) /* a note is the longest */
#define CM_FRAME_MAX (CM_FRAME_HEAD_BYTES + CM_FRAME_BODY_MAX)

/* What the archive holds of one partition. */
struct cm_archive_place {
    uint64_t last; /* ledger id; 0: nothing */
    uint64_t count;
};

struct cm_segment_head {
    uint64_t segment;
    uint64_t position; /* entries of the whole archive up to here */
    cm_ms made_at;
    bool sealed;
    uint8_t chain[CM_CHAIN_BYTES]; /* before the head's own frame */
    uint8_t signature[CM_ARCHIVE_SIGNATURE_BYTES];
};

/* A walk along the frames of one segment, and all that is known at its present place. */
struct cm_segment_walk {
    char store_id[CM_STORE_ID_CHARS + 1]; /* in: whose archive it must be */
    uint8_t chain[CM_CHAIN_BYTES];
    uint64_t segment; /* 0: no segment frame yet */
    uint8_t key;
    cm_ms begun_at;
    uint64_t before;   /* entries of the archive before this segment */
    uint64_t position; /* and up to here */
    uint8_t chain_before[CM_CHAIN_BYTES];
    struct cm_archive_place before_places[CM_PARTITIONS];
    struct cm_archive_place places[CM_PARTITIONS];
    struct cm_segment_head head; /* the last one; segment 0: none yet */
    uint64_t bytes;              /* walked */
    uint64_t head_bytes;         /* walked up to and with the last head */
};

/* `store_id` is 32 hex digits. */
void cm_segment_walk_init(struct cm_segment_walk *walk, const char *store_id);

/* Length of the body that a frame's first four bytes announce; false if no frame is as long. */
bool cm_frame_length(const uint8_t head[CM_FRAME_HEAD_BYTES], size_t *out_body);

enum cm_step { CM_STEP_BAD = 0, CM_STEP_SEGMENT, CM_STEP_ENTRY, CM_STEP_HEAD };

/* Takes the next whole frame. BAD leaves the walk where it was and tells why in err. out_entry, for ENTRY, points into
 * the frame. Signatures are not looked at: see cm_segment_proven. */
enum cm_step cm_segment_step(struct cm_segment_walk *walk, struct cm_span frame, struct cm_ledger_raw *out_entry,
                             struct cm_err *err);

/* True if the signature of the walk's last head is by this key. */
bool cm_segment_proven(const struct cm_segment_walk *walk, const struct cm_archive_key *key);

/* True if `next` begins where the sealed segment of `walk` ended. */
bool cm_segment_continues(const struct cm_segment_walk *walk, const struct cm_segment_walk *next, struct cm_err *err);

/* The frames, each with its head; the length is returned, 0 on failure. They are not yet part of any walk. `begin`
 * makes the first frame of the segment after the one that `walk` has ended, or of segment 1. */
size_t cm_segment_begin_frame(const struct cm_segment_walk *walk, uint8_t key, cm_ms now, uint8_t out[CM_FRAME_MAX]);
size_t cm_segment_entry_frame(const struct cm_ledger_raw *entry, uint8_t out[CM_FRAME_MAX]);
size_t cm_segment_head_frame(const struct cm_segment_walk *walk, const struct cm_archive_key *key, cm_ms now,
                             bool sealed, uint8_t out[CM_FRAME_MAX]);

#endif
