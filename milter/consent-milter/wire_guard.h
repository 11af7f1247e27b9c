/* Packets that libmilter cannot bear are kept from it. See wire_guard.c. */
#ifndef CONSENT_MILTER_WIRE_GUARD_H
#define CONSENT_MILTER_WIRE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a connection is in the stream of its packets. Zeroed: at the beginning of one. */
struct cm_wire_guard {
    uint8_t head[5]; /* length and command */
    uint8_t have;    /* bytes of it */
    bool is_macros;
    bool knows_stage;   /* the first byte of a macro packet is passed */
    bool is_odd;        /* number of strings so far */
    uint32_t remaining; /* bytes of the packet */
};

/* Takes bytes as they come, in any pieces. False: a packet ended, or announced itself, that must not be read on. Pure.
 */
bool cm_wire_guard_take(struct cm_wire_guard *guard, const uint8_t *bytes, size_t count);

/* A connection of the MTA was opened: from now on what is read from it is looked at. Without memory it is not. */
void cm_wire_guard_opened(int fd);

#endif
