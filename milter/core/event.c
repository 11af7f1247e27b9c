#include "core/event.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define RECORD_PART_BYTES 19

enum { AT_ACT = 1, AT_OUTCOME = 2, AT_ID = 3, AT_BUCKET = 11, AT_FIELD = 13, AT_RECORD = 21, AT_PREVIOUS = 40 };

#define BIT(kind) (1U << (kind))
#define EVERY_BUT_SEAL (((1U << (CM_KIND_FORWARD + 1)) - 1) & ~BIT(CM_KIND_UNSET) & ~BIT(CM_KIND_SEAL))

/* One row an act: its name, the kinds of record it writes, and which of them it ends. */
static const struct act_row {
    const char *name;
    unsigned kinds;
    bool ends;
} acts[] = {
    [CM_ACT_UNSET] = {NULL, 0, false},
    [CM_ACT_GRANT] = {"grant",
                      BIT(CM_KIND_GRANT) | BIT(CM_KIND_IMPLIED) | BIT(CM_KIND_SOFT_OPTIN) | BIT(CM_KIND_ASSERTED),
                      false},
    [CM_ACT_WITHDRAW] = {"withdraw", BIT(CM_KIND_STOP), false},
    [CM_ACT_REQUEST] = {"request", BIT(CM_KIND_REQUEST), false},
    [CM_ACT_CONFIRM] = {"confirm", BIT(CM_KIND_GRANT), false},
    [CM_ACT_RESTRICT] = {"restrict", BIT(CM_KIND_RESTRICTED), false},
    [CM_ACT_SUSPEND] = {"suspend", BIT(CM_KIND_SUSPENDED), false},
    [CM_ACT_END] = {"end", BIT(CM_KIND_RESTRICTED) | BIT(CM_KIND_SUSPENDED), true},
    [CM_ACT_BOUNCE] = {"bounce", BIT(CM_KIND_BOUNCED), false},
    [CM_ACT_ERASE] = {"erase", BIT(CM_KIND_ERASED), false},
    [CM_ACT_FORWARD] = {"forward", EVERY_BUT_SEAL, false},
    [CM_ACT_NOTE] = {"note", BIT(CM_KIND_UNSET), false},
};

static bool has_document(const struct cm_event *event)
{
    return event->act == CM_ACT_NOTE || (event->record.flags & CM_RECORD_HAS_EVIDENCE) != 0;
}

size_t cm_event_encode(const struct cm_event *event, uint8_t out[CM_EVENT_MAX_BYTES])
{
    memset(out, 0, CM_EVENT_BYTES);
    out[0] = CM_EVENT_VERSION;
    out[AT_ACT] = (uint8_t)event->act;
    out[AT_OUTCOME] = (uint8_t)event->outcome;
    memcpy(out + AT_ID, event->id, CM_EVENT_ID_BYTES);
    if (event->act != CM_ACT_NOTE) { /* a note concerns no subject */
        uint8_t record[CM_RECORD_BYTES];
        cm_record_encode(&event->record, record);
        cm_put_be(out + AT_BUCKET, event->bucket, 2);
        memcpy(out + AT_FIELD, event->field, CM_FIELD_BYTES);
        memcpy(out + AT_RECORD, record, RECORD_PART_BYTES);
    }
    cm_put_be(out + AT_PREVIOUS, event->previous, 8);
    if (!has_document(event)) {
        return CM_EVENT_BYTES;
    }
    memcpy(out + CM_EVENT_BYTES, event->evidence_sha256, CM_SHA256_BYTES);
    return CM_EVENT_MAX_BYTES;
}

/* The part about a subject: bucket, field and record, which must be one that this act writes. */
static bool decode_subject(const uint8_t *in, struct cm_event *event)
{
    const struct act_row *row = &acts[event->act];
    uint8_t record[CM_RECORD_BYTES] = {0};
    memcpy(record, in + AT_RECORD, RECORD_PART_BYTES);
    event->bucket = (uint16_t)cm_get_be(in + AT_BUCKET, 2);
    memcpy(event->field, in + AT_FIELD, CM_FIELD_BYTES);
    if (event->bucket > 0x3ff || !cm_record_decode(record, &event->record) ||
        (row->kinds & BIT(event->record.kind)) == 0) {
        return false;
    }
    bool has_ended = (event->record.flags & CM_RECORD_ENDED) != 0;
    return event->act == CM_ACT_FORWARD || has_ended == row->ends;
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
        .previous = cm_get_be(in + AT_PREVIOUS, 8),
    };
    if (in[0] != CM_EVENT_VERSION || cm_act_name(event.act) == NULL || cm_outcome_name(event.outcome) == NULL) {
        return false;
    }
    if (event.act == CM_ACT_NOTE ? !cm_is_zero(in + AT_BUCKET, AT_PREVIOUS - AT_BUCKET) : !decode_subject(in, &event)) {
        return false;
    }
    if (has_document(&event) != (packed.len == CM_EVENT_MAX_BYTES)) {
        return false;
    }
    memcpy(event.id, in + AT_ID, CM_EVENT_ID_BYTES);
    if (has_document(&event)) {
        memcpy(event.evidence_sha256, in + CM_EVENT_BYTES, CM_SHA256_BYTES);
    }
    *out = event;
    return true;
}

const char *cm_act_name(enum cm_act act)
{
    return (size_t)act < sizeof(acts) / sizeof(acts[0]) ? acts[act].name : NULL;
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
