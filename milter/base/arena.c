#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 2048

struct cm_arena_chunk {
    struct cm_arena_chunk *next;
    size_t size;
    size_t used;
    alignas(max_align_t) unsigned char bytes[];
};

void cm_arena_init(struct cm_arena *arena, size_t max_bytes)
{
    *arena = (struct cm_arena){.max_bytes = max_bytes};
}

static struct cm_arena_chunk *add_chunk(struct cm_arena *arena, size_t size)
{
    size = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    struct cm_arena_chunk *chunk = malloc(sizeof(*chunk) + size);
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct cm_arena_chunk){.next = arena->chunks, .size = size};
    arena->chunks = chunk;
    return chunk;
}

void *cm_arena_alloc(struct cm_arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (size > arena->max_bytes || arena->used_bytes > arena->max_bytes - size) {
        return NULL;
    }
    size = (size + align - 1) / align * align;
    struct cm_arena_chunk *chunk = arena->chunks;
    if (chunk == NULL || chunk->size - chunk->used < size) {
        chunk = add_chunk(arena, size);
        if (chunk == NULL) {
            return NULL;
        }
    }
    void *at = chunk->bytes + chunk->used;
    chunk->used += size;
    arena->used_bytes += size;
    memset(at, 0, size);
    return at;
}

void *cm_arena_array(struct cm_arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > arena->max_bytes / size) {
        return NULL;
    }
    return cm_arena_alloc(arena, count * size);
}

struct cm_span cm_arena_copy(struct cm_arena *arena, struct cm_span s)
{
    char *at = cm_arena_alloc(arena, s.len + 1);
    if (at == NULL) {
        return (struct cm_span){NULL, 0};
    }
    if (s.len > 0) {
        memcpy(at, s.p, s.len);
    }
    return (struct cm_span){at, s.len};
}

void cm_arena_reset(struct cm_arena *arena)
{
    struct cm_arena_chunk *keep = arena->chunks;
    if (keep == NULL) {
        return;
    }
    struct cm_arena_chunk *chunk = keep->next;
    while (chunk != NULL) {
        struct cm_arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    if (keep->size > CHUNK_BYTES) { /* one huge message must not hold its memory for the rest of the connection */
        free(keep);
        keep = NULL;
    } else {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->chunks = keep;
    arena->used_bytes = 0;
}

void cm_arena_done(struct cm_arena *arena)
{
    cm_arena_reset(arena);
    free(arena->chunks);
    cm_arena_init(arena, arena->max_bytes);
}
