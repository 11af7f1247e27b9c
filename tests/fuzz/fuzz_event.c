/*
 * Ledger entries as they come out of a store that anyone may have written to, and ledger ids as text. What must hold:
 * no crash; whatever is accepted is packed again to the same bytes; events fold into sorted records, each with the id
 * of its newest event; an id that is read is written in the same words.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fold.h"
#include "require.h"

#define FOLD_MAX 16

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
    REQUIRE((event.act == CM_ACT_NOTE) == (event.record.kind == CM_KIND_UNSET));
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

static bool is_lower_number(void *context, uint32_t scope, uint32_t above)
{
    (void)context; /* a tree in which every scope hangs below all smaller ones */
    return scope > above;
}

/* A ledger of events without documents, one behind the other. */
static void check_fold(struct cm_span all)
{
    struct cm_record records[FOLD_MAX];
    struct cm_fold fold = {records, 0, FOLD_MAX};
    for (uint64_t id = 1; all.len >= CM_EVENT_BYTES; id++) {
        struct cm_event event;
        bool is_event = cm_event_decode((struct cm_span){all.p, CM_EVENT_BYTES}, &event);
        all = (struct cm_span){all.p + CM_EVENT_BYTES, all.len - CM_EVENT_BYTES};
        if (!is_event) {
            continue;
        }
        bool fits = cm_fold_apply(&fold, &event, id, is_lower_number, NULL);
        REQUIRE(fits || fold.count == FOLD_MAX);
        REQUIRE(fold.count <= FOLD_MAX);
        const struct cm_record *standing = cm_fold_find(&fold, &event.record);
        REQUIRE(!fits || event.outcome != CM_OUTCOME_APPLIED || standing != NULL);
        REQUIRE(standing == NULL || standing->kind == CM_KIND_FORWARD || !fits || standing->ledger == id);
        for (size_t i = 1; i < fold.count; i++) {
            REQUIRE(cm_record_compare_keys(&records[i - 1], &records[i]) < 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_span all = {(const char *)data, size};
    check_fold(all);
    check_event(all);
    check_ledger_id(all);
    return 0;
}
