/*
 * A file of canaries. What must hold: no crash; a refusal names a line of the file and why; of what is read every
 * address is found again, under a line of its own form, and in order.
 */
#include "core/canaries.h"
#include "require.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_found(const struct cm_canaries *canaries, unsigned lines)
{
    for (size_t i = 0; i < canaries->count; i++) {
        struct cm_address address;
        const struct cm_canary *item = &canaries->items[i];
        REQUIRE(item->line >= 1 && item->line <= lines);
        REQUIRE(i == 0 || strcmp(canaries->items[i - 1].family, item->family) <= 0);
        REQUIRE(cm_address_parse(cm_span_of(item->family), &address) == CM_ADDRESS_OK);
        REQUIRE(cm_canaries_find(canaries, &address) != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_arena arena;
    struct cm_canaries canaries;
    unsigned line = 0;
    unsigned lines = 1;
    const char *problem = NULL;
    for (size_t i = 0; i < size; i++) {
        lines += data[i] == '\n' ? 1 : 0;
    }
    cm_arena_init(&arena, 1 << 20);
    if (cm_canaries_parse((struct cm_span){(const char *)data, size}, &arena, &canaries, &line, &problem)) {
        require_found(&canaries, lines);
    } else {
        REQUIRE(line >= 1 && line <= lines && problem != NULL);
    }
    cm_arena_done(&arena);
    return 0;
}
