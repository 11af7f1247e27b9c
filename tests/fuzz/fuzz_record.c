/*
 * Records as they come out of a store that anyone may have written to: packed records one after the other, as in a
 * value. What must hold: no crash; whatever is accepted is packed again to the same bytes, has names, and is ordered;
 * and a subject with any such records gets an answer of yes or no.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/decision.h"
#include "require.h"

#define RECORDS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require_sound(const uint8_t packed[CM_RECORD_BYTES], const struct cm_record *record)
{
    uint8_t again[CM_RECORD_BYTES];
    struct cm_record second;
    /* A seal ends before its 28 bytes do; what stands behind the salt is nobody's and is not kept. */
    size_t meant = record->kind == CM_KIND_SEAL ? 7 + CM_SALT_BYTES : CM_RECORD_BYTES;
    cm_record_encode(record, again);
    REQUIRE(memcmp(packed, again, meant) == 0);
    REQUIRE(cm_record_decode(again, &second));
    REQUIRE(!cm_record_supersedes(record, &second) && !cm_record_supersedes(&second, record));
    REQUIRE(record->event_at >= 0 && record->event_at <= CM_MS_MAX);
    REQUIRE(cm_kind_name(record->kind) != NULL);
    REQUIRE(cm_state_name(record->kind, record->state) != NULL);
    REQUIRE(cm_rank_name(record->rank) != NULL);
    REQUIRE(cm_source_name(record->source) != NULL);
}

static void require_ordered(const struct cm_record *a, const struct cm_record *b)
{
    REQUIRE(!(cm_record_supersedes(a, b) && cm_record_supersedes(b, a)));
    REQUIRE(cm_record_compare_keys(a, b) == -cm_record_compare_keys(b, a));
    REQUIRE(cm_record_same_key(a, b) == (cm_record_compare_keys(a, b) == 0));
}

static void require_answer(const struct cm_record *records, size_t count)
{
    static const struct cm_scope_path path = {{30, 20, 10, CM_SCOPE_EVERYBODY}, 4};
    struct cm_subject_records subject = {records, count, records, count};
    struct cm_record reversed[RECORDS_MAX];
    struct cm_subject_records backwards = {reversed, count, reversed, count};
    for (size_t i = 0; i < count; i++) {
        reversed[i] = records[count - 1 - i];
    }
    for (unsigned accept = 0; accept < 16; accept++) {
        for (unsigned class = CM_CLASS_UNSET; class <= CM_CLASS_CONSENT_REQUEST; class ++) {
            struct cm_question question = {.path = &path,
                                           .class = (enum cm_stream_class) class,
                                           .accept_basis = accept,
                                           .statement_floor = (uint16_t)accept,
                                           .dormancy = {1, accept % 2 == 0 ? CM_DORMANCY_OFF : CM_DORMANCY_REFUSE},
                                           .now = accept < 8 ? 1000000 : 1795456800000};
            struct cm_decision decision = cm_decide(&subject, &question);
            struct cm_decision again = cm_decide(&backwards, &question);
            /* LAW-3; only the month of last use may differ between records that state the same. */
            REQUIRE(question.dormancy.act != CM_DORMANCY_OFF ||
                    (decision.verdict == again.verdict && decision.reason == again.reason));
            REQUIRE(!decision.dormant);
            REQUIRE(decision.verdict == CM_VERDICT_ACCEPT || decision.verdict == CM_VERDICT_REFUSE);
            REQUIRE(decision.verdict == CM_VERDICT_REFUSE || decision.has_record || question.class == CM_CLASS_SERVICE);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cm_record records[RECORDS_MAX];
    size_t count = 0;
    for (; size >= CM_RECORD_BYTES && count < RECORDS_MAX; data += CM_RECORD_BYTES, size -= CM_RECORD_BYTES) {
        if (cm_record_decode(data, &records[count])) {
            require_sound(data, &records[count]);
            require_ordered(&records[count], &records[0]);
            count++;
        }
    }
    require_answer(records, count);
    return 0;
}
