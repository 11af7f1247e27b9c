#include "core/event.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define RECORD_PART_BYTES 19

enum { AT_ACT = 1, AT_OUTCOME = 2, AT_ID = 3, AT_BUCKET = 11, AT_FIELD = 13, AT_RECORD = 21, AT_PREVIOUS = 40 };

size_t cm_event_encode(const struct cm_event *event, uint8_t out[CM_EVENT_MAX_BYTES])
{
    uint8_t record[CM_RECORD_BYTES];
    cm_record_encode(&event->record, record);
    out[0] = CM_EVENT_VERSION;
    out[AT_ACT] = (uint8_t)event->act;
    out[AT_OUTCOME] = (uint8_t)event->outcome;
    memcpy(out + AT_ID, event->id, CM_EVENT_ID_BYTES);
    cm_put_be(out + AT_BUCKET, event->bucket, 2);
    memcpy(out + AT_FIELD, event->field, CM_FIELD_BYTES);
    memcpy(out + AT_RECORD, record, RECORD_PART_BYTES);
    cm_put_be(out + AT_PREVIOUS, event->previous, 8);
    if ((event->record.flags & CM_RECORD_HAS_EVIDENCE) == 0) {
        return CM_EVENT_BYTES;
    }
    memcpy(out + CM_EVENT_BYTES, event->evidence_sha256, CM_SHA256_BYTES);
    return CM_EVENT_MAX_BYTES;
}

bool cm_event_decode(struct cm_span packed, struct cm_event *out)
{
    if (packed.len != CM_EVENT_BYTES && packed.len != CM_EVENT_MAX_BYTES) {
        return false;
    }
    const uint8_t *in = (const uint8_t *)packed.p;
    struct cm_event event = {
        .act = (enum cm_act)in[AT_ACT],
        .outcome = (enum cm_outcome)in[AT_OUTCOME],
        .bucket = (uint16_t)cm_get_be(in + AT_BUCKET, 2),
        .previous = cm_get_be(in + AT_PREVIOUS, 8),
    };
    if (in[0] != CM_EVENT_VERSION || cm_act_name(event.act) == NULL || cm_outcome_name(event.outcome) == NULL ||
        event.bucket > 0x3ff) {
        return false;
    }
    uint8_t record[CM_RECORD_BYTES] = {0};
    memcpy(record, in + AT_RECORD, RECORD_PART_BYTES);
    if (!cm_record_decode(record, &event.record) || event.record.kind == CM_KIND_SEAL) {
        return false;
    }
    bool has_evidence = (event.record.flags & CM_RECORD_HAS_EVIDENCE) != 0;
    if (has_evidence != (packed.len == CM_EVENT_MAX_BYTES)) {
        return false;
    }
    memcpy(event.id, in + AT_ID, CM_EVENT_ID_BYTES);
    memcpy(event.field, in + AT_FIELD, CM_FIELD_BYTES);
    if (has_evidence) {
        memcpy(event.evidence_sha256, in + CM_EVENT_BYTES, CM_SHA256_BYTES);
    }
    *out = event;
    return true;
}

const char *cm_act_name(enum cm_act act)
{
    static const char *const names[] = {NULL, "grant", "withdraw"};
    return (size_t)act < sizeof(names) / sizeof(names[0]) ? names[act] : NULL;
}

const char *cm_outcome_name(enum cm_outcome outcome)
{
    static const char *const names[] = {NULL, "applied", "stale"};
    return (size_t)outcome < sizeof(names) / sizeof(names[0]) ? names[outcome] : NULL;
}

void cm_ledger_id_format(uint64_t id, char out[CM_LEDGER_ID_TEXT_BYTES])
{
    (void)snprintf(out, CM_LEDGER_ID_TEXT_BYTES, "%llu-%llu", (unsigned long long)(id >> 16),
                   (unsigned long long)(id & 0xffff)); /* 15 + 1 + 5 digits always fit */
}

bool cm_ledger_id_parse(struct cm_span text, uint64_t *out_id)
{
    struct cm_span ms;
    uint64_t ms_value = 0;
    uint64_t sequence = 0;
    if (!cm_span_next(&text, '-', &ms) || text.p == NULL || !cm_parse_u64(ms, (uint64_t)CM_MS_MAX, &ms_value) ||
        !cm_parse_u64(text, 0xffff, &sequence)) {
        return false;
    }
    *out_id = ms_value << 16 | sequence;
    return true;
}
