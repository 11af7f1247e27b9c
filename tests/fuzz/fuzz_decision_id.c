/* Decision ids as people type them. What must hold: no crash; whatever is accepted is written in the same letters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decision_id.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_decision_id id;
    char again[CM_DECISION_ID_CHARS + 1];
    if (!cm_decision_id_parse((struct cm_span){(const char *)data, size}, &id)) {
        return 0;
    }
    REQUIRE(size == CM_DECISION_ID_CHARS);
    REQUIRE(id.at >= 0 && id.at <= CM_MS_MAX);
    REQUIRE(id.counter < 1ULL << 38);
    REQUIRE(id.partition < 1024);
    cm_decision_id_format(&id, again);
    REQUIRE(memcmp(again, data, size) == 0);
    return 0;
}
