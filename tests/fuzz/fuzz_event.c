/*
 * Ledger entries as they come out of a store that anyone may have written to, and ledger ids as text. What must hold:
 * no crash; whatever is accepted is packed again to the same bytes; an id that is read is written in the same words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/event.h"

#define REQUIRE(condition)                                                                      \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            abort();                                                                            \
        }                                                                                       \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(struct cm_span packed)
{
    struct cm_event event;
    uint8_t again[CM_EVENT_MAX_BYTES];
    if (!cm_event_decode(packed, &event)) {
        return;
    }
    REQUIRE(cm_event_encode(&event, again) == packed.len);
    REQUIRE(memcmp(again, packed.p, packed.len) == 0);
    REQUIRE(cm_act_name(event.act) != NULL);
    REQUIRE(cm_outcome_name(event.outcome) != NULL);
    REQUIRE(event.record.kind != CM_KIND_SEAL);
    REQUIRE(event.record.ledger == 0 && event.record.last_use_month == 0);
}

static void check_ledger_id(struct cm_span text)
{
    uint64_t id = 0;
    uint64_t second = 1;
    char again[CM_LEDGER_ID_TEXT_BYTES];
    if (cm_ledger_id_parse(text, &id)) {
        cm_ledger_id_format(id, again); /* leading zeros are not kept, so only the value must come back */
        REQUIRE(cm_ledger_id_parse(cm_span_of(again), &second));
        REQUIRE(id == second);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_span all = {(const char *)data, size};
    check_event(all);
    check_ledger_id(all);
    return 0;
}
