/*
 * Memory that is given back all at once: what one message or one request needs lives in one arena and is reset at one
 * place. Every arena is born with its ceiling; beyond it, or when the heap is exhausted, allocation answers NULL, and
 * the caller treats that as "don't know". Not thread-safe: one owner at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/text.h"

struct cm_arena_chunk;

struct cm_arena {
    struct cm_arena_chunk *chunks; /* newest first */
    size_t used_bytes;             /* in all chunks, without slack */
    size_t max_bytes;
};

/* No memory is taken before the first allocation. */
void cm_arena_init(struct cm_arena *arena, size_t max_bytes);
/* `size` zeroed bytes, aligned for any type, valid until reset; NULL at the ceiling. */
void *cm_arena_alloc(struct cm_arena *arena, size_t size);
/* Room for `count` items of `size`; the product is checked. */
void *cm_arena_array(struct cm_arena *arena, size_t count, size_t size);
/* A copy with a NUL behind it; {NULL, 0} at the ceiling. */
struct cm_span cm_arena_copy(struct cm_arena *arena, struct cm_span s);
/* Forgets everything and keeps one chunk for the next use. */
void cm_arena_reset(struct cm_arena *arena);
/* Gives all memory back; the arena is as after init. */
void cm_arena_done(struct cm_arena *arena);

#endif
