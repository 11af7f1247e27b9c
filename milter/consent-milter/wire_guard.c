/*
 * libmilter takes macros in pairs of name and value and trusts that no name stands alone: after a macro packet with an
 * odd number of strings smfi_getsymval reads past the end of its list, and the daemon dies. Whoever may connect to the
 * milter socket could so end the filter for everybody. It offers no hook, but reads through the dynamic linker (as it
 * accepts, see interpose.c), so the one packet is looked at here, on connections of the MTA only. Such a connection is
 * ended: the MTA defers, and nothing is judged by half a macro.
 */
#include "wire_guard.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ops/log.h"

#define EXPORTED __attribute__((visibility("default")))

#define MACROS 'D'               /* SMFIC_MACRO of the protocol */
#define PACKET_MAX (2 * 1048576) /* twice what libmilter takes at most */
#define PAGE 1024
#define PAGES 1024

/* One slot a descriptor, in pages that are made when they are first needed and kept: a slot belongs to the thread that
 * reads from the connection, as the connection itself. */
struct slot {
    atomic_bool is_guarded;
    struct cm_wire_guard guard;
};
static _Atomic(struct slot *) pages[PAGES];

static struct slot *slot_of(int fd, bool make)
{
    if (fd < 0 || fd >= PAGES * PAGE) {
        return NULL;
    }
    struct slot *page = atomic_load(&pages[fd / PAGE]);
    if (page == NULL && make) {
        struct slot *fresh = calloc(PAGE, sizeof(*fresh));
        if (fresh == NULL || atomic_compare_exchange_strong(&pages[fd / PAGE], &page, fresh)) {
            page = fresh;
        } else {
            free(fresh); /* another thread was first, and `page` is its */
        }
    }
    return page != NULL ? &page[fd % PAGE] : NULL;
}

/* False: no packet has such a length. libmilter takes one of half the range and more for an empty packet, and would
 * read on at a place of its own. */
static bool begin_packet(struct cm_wire_guard *guard)
{
    uint32_t len = 0;
    for (size_t i = 0; i < 4; i++) {
        len = len << 8 | guard->head[i];
    }
    guard->remaining = len - 1; /* the command counts */
    guard->is_macros = guard->head[4] == MACROS;
    guard->knows_stage = false;
    guard->is_odd = false;
    guard->have = 0;
    return len > 0 && len <= PACKET_MAX;
}

static void take_macros(struct cm_wire_guard *guard, const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!guard->knows_stage) {
            guard->knows_stage = true;
        } else if (bytes[i] == 0) {
            guard->is_odd = !guard->is_odd;
        }
    }
}

bool cm_wire_guard_take(struct cm_wire_guard *guard, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        size_t n = 1;
        if (guard->remaining == 0) {
            guard->head[guard->have++] = bytes[0];
            if (guard->have == sizeof(guard->head) && !begin_packet(guard)) {
                return false;
            }
        } else {
            n = count < guard->remaining ? count : guard->remaining;
            if (guard->is_macros) {
                take_macros(guard, bytes, n);
            }
            guard->remaining -= (uint32_t)n;
            if (guard->remaining == 0 && guard->is_macros && guard->is_odd) {
                return false;
            }
        }
        bytes += n;
        count -= n;
    }
    return true;
}

void cm_wire_guard_opened(int fd)
{
    struct slot *slot = slot_of(fd, true);
    if (slot != NULL) {
        (void)atomic_load(
            &slot->is_guarded); /* what the thread that closed the number before wrote comes before this */
        slot->guard = (struct cm_wire_guard){.have = 0};
        atomic_store(&slot->is_guarded, true);
    }
}

/* The difference to POSIX: on a connection of the MTA, what must not be read on ends the reading with EBADMSG. */
EXPORTED ssize_t read(int fd, void *buffer, size_t size)
{
    ssize_t n = syscall(SYS_read, fd, buffer, size);
    struct slot *slot = n > 0 ? slot_of(fd, false) : NULL;
    if (slot != NULL && atomic_load(&slot->is_guarded) && !cm_wire_guard_take(&slot->guard, buffer, (size_t)n)) {
        atomic_store(&slot->is_guarded, false); /* it is closed now */
        cm_log(CM_LOG_WARNING,
               "the mail server sent a macro without a value, or no packet at all; its connection is ended");
        errno = EBADMSG;
        return -1;
    }
    return n;
}

/* The difference: the number may next be a connection of the store, whose bytes are no packets. */
EXPORTED int close(int fd)
{
    struct slot *slot = slot_of(fd, false);
    if (slot != NULL) {
        atomic_store(&slot->is_guarded, false);
    }
    return (int)syscall(SYS_close, fd);
}
