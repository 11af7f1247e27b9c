/*
 * Reading a mailbox file: its messages' headers, one after the other. A line that begins with "From " and holds a
 * time, behind an empty line or first in the file, begins a message. Bodies are skipped. One thread at a time.
 */
#ifndef SERVICE_MBOX_H
#define SERVICE_MBOX_H

#include <stdio.h>

#include "base/arena.h"
#include "core/stream.h"

struct cm_mbox {
    FILE *file;
    unsigned long line; /* the number of `text` */
    char text[8192];    /* the line that was read last, without its end; a longer one is cut */
    bool has_line;
    bool after_empty;
};

struct cm_mbox_message {
    unsigned long line;        /* where it begins */
    struct cm_span sender;     /* of its "From " line; may be empty */
    struct cm_header *headers; /* in the arena, values unfolded */
    size_t header_count;
    bool is_cut; /* it holds more than CM_LIMIT_HEADERS_KEPT headers, or more than the arena has room for */
};

/* The file is borrowed. */
void cm_mbox_open(struct cm_mbox *mbox, FILE *file);
/* The next message; false at the end of the file. What stands before the first "From " line is skipped. The arena is
 * the caller's to reset. */
bool cm_mbox_next(struct cm_mbox *mbox, struct cm_arena *arena, struct cm_mbox_message *out);

/* Takes one address out of the value of To, Cc or the like: what stands in <>, or else the bare word. Names, comments
 * and groups are skipped. False: there is no more. Borrowed from the value. RFC 5322 3.4 */
bool cm_address_list_next(struct cm_span *rest, struct cm_span *out_address);

#endif
