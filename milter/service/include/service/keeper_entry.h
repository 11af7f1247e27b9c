/*
 * What a keeper writes into its journal (journal/journal.h). Big endian; the first byte tells the kind:
 *
 *   'A' version 1 | rank 1 | act 1 | event id 8 | partition 2 | bucket 2 | exact 8 | family 8 | under exact 1 |
 *       sender scope 4 | record 28 | estimate 6 | request 8 | scopes n 2 | n x 4 |
 *       and if there is a document: salt 16 | sealed document, to the end
 *   'D' version 1 | number of its act 8 | status letter 1 | ledger id 8 | event ms 6
 *   'N' version 1 | note 1
 *
 * An act without a 'D' after it may or may not have been written. Pure and thread-safe.
 */
#ifndef SERVICE_KEEPER_ENTRY_H
#define SERVICE_KEEPER_ENTRY_H

#include "journal/journal.h"
#include "store/write.h"

#define CM_KEEPER_RELATED_MAX 1024 /* scopes that one act may name; more are refused */

struct cm_keeper_act {
    struct cm_write write; /* without document, replay and mark; `related` points to `scopes` */
    struct cm_sealed_document document;
    cm_ms estimate; /* of the server's time when it was told; 0: not known */
    uint32_t scopes[CM_KEEPER_RELATED_MAX];
};

struct cm_keeper_outcome {
    uint64_t number;             /* of the act */
    enum cm_write_status status; /* none of UNSET and OTHER_SEAL */
    uint64_t ledger;
    cm_ms event_at;
};

enum cm_keeper_note {
    CM_KEEPER_NOTE_UNSET = 0,
    CM_KEEPER_NOTE_OFF,   /* about to sign off */
    CM_KEEPER_NOTE_ON,    /* has beaten since */
    CM_KEEPER_NOTE_LOST,  /* the store knows another journal of this keeper */
    CM_KEEPER_NOTE_KNOWN, /* and no longer */
};

/* Each packs into `out` (CM_JOURNAL_RECORD_MAX bytes always suffice) and returns the length. */
size_t cm_keeper_pack_act(const struct cm_keeper_act *act, uint8_t out[CM_JOURNAL_RECORD_MAX]);
size_t cm_keeper_pack_outcome(const struct cm_keeper_outcome *outcome, uint8_t out[CM_JOURNAL_RECORD_MAX]);
size_t cm_keeper_pack_note(enum cm_keeper_note note, uint8_t out[CM_JOURNAL_RECORD_MAX]);

/* False if it is none of that kind and version. The act points into itself: do not copy it. */
bool cm_keeper_unpack_act(struct cm_span content, struct cm_keeper_act *out);
bool cm_keeper_unpack_outcome(struct cm_span content, struct cm_keeper_outcome *out);
bool cm_keeper_unpack_note(struct cm_span content, enum cm_keeper_note *out);
bool cm_keeper_is_act(struct cm_span content);

/* Whether the act forbids, and so must be taken and kept whatever happens. */
bool cm_keeper_forbids(enum cm_act act);
/* NULL, or why no function of the store would take this act from this rank. What is journaled must be writable for
 * ever, so all that the functions refuse by the arguments alone is refused here. LAW-6 */
const char *cm_keeper_objection(const struct cm_write *write, bool has_document);

#endif
