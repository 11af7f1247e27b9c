#include "service/keeper_entry.h"

#include <string.h>

#include "base/bytes.h"

#define VERSION 1
#define OUTCOME_BYTES 25
#define NOTE_BYTES 3

/* Offsets in an act. */
enum {
    AT_RANK = 2,
    AT_ACT = 3,
    AT_EVENT = 4,
    AT_PARTITION = 12,
    AT_BUCKET = 14,
    AT_EXACT = 16,
    AT_FAMILY = 24,
    AT_BITS = 32,
    AT_SENDER = 33,
    AT_RECORD = 37,
    AT_ESTIMATE = 65,
    AT_REQUEST = 71,
    AT_COUNT = 79,
    AT_SCOPES = 81,
};

#define K(kind) (1U << CM_KIND_##kind)
#define R(rank) (1U << CM_RANK_##rank)

enum { BIT_UNDER_EXACT = 1, BIT_STANDING = 2 };

/* What each act writes, which ranks have a function for it (store/consent.lua), and whether it forbids. */
static const struct {
    unsigned kinds;
    unsigned ranks;
    bool forbids;
} acts[] = {
    [CM_ACT_GRANT] = {K(GRANT) | K(IMPLIED) | K(SOFT_OPTIN) | K(ASSERTED), R(OFFICER) | R(ADMIN) | R(SENDER), false},
    [CM_ACT_WITHDRAW] = {K(STOP), R(SUBJECT) | R(OFFICER) | R(ADMIN) | R(SENDER) | R(SYSTEM), true},
    [CM_ACT_REQUEST] = {K(REQUEST), R(ADMIN) | R(SENDER), false},
    [CM_ACT_CONFIRM] = {K(GRANT), R(SUBJECT), false},
    [CM_ACT_RESTRICT] = {K(RESTRICTED), R(OFFICER) | R(ADMIN), true},
    [CM_ACT_SUSPEND] = {K(SUSPENDED), R(OFFICER) | R(ADMIN), true},
    [CM_ACT_END] = {K(RESTRICTED) | K(SUSPENDED), R(OFFICER) | R(ADMIN), false},
    [CM_ACT_BOUNCE] = {K(BOUNCED), R(ADMIN) | R(SYSTEM), true},
    [CM_ACT_ERASE] = {K(ERASED), R(OFFICER) | R(ADMIN), true},
};

/* Letters for what became of an act: the journal outlives the numbers of an enumeration. */
static const char status_letters[] = {
    [CM_WRITE_APPLIED] = 'a', [CM_WRITE_STALE] = 's',    [CM_WRITE_DUPLICATE] = 'd',
    [CM_WRITE_REFUSED] = 'r', [CM_WRITE_NOT_DONE] = 'n', [CM_WRITE_UNCERTAIN] = 'u',
};

#define ACT_COUNT (sizeof(acts) / sizeof(acts[0]))

bool cm_keeper_forbids(enum cm_act act)
{
    return (size_t)act < ACT_COUNT && acts[act].forbids;
}

const char *cm_keeper_objection(const struct cm_write *write, bool has_document)
{
    const struct cm_record *record = &write->record;
    bool by_guardian = (record->flags & CM_RECORD_BY_GUARDIAN) != 0;
    if ((size_t)write->act >= ACT_COUNT || acts[write->act].kinds == 0) {
        return "there is no such act";
    }
    if (write->rank > CM_RANK_SYSTEM || (acts[write->act].ranks & 1U << write->rank) == 0) {
        return "this act is not for a caller of this rank";
    }
    if (record->kind > CM_KIND_FORWARD || (acts[write->act].kinds & 1U << record->kind) == 0) {
        return "this act does not write records of that kind";
    }
    if (cm_state_name(record->kind, record->state) == NULL || record->source >= CM_SOURCE_COUNT) {
        return "there is no such state or source";
    }
    if (acts[write->act].forbids && record->expiry_s != 0) {
        return "a stop does not lapse";
    }
    if (record->kind <= CM_KIND_REQUEST && record->scope == CM_SCOPE_EVERYBODY) {
        return "a grant names one purpose";
    }
    if (write->under_exact && write->act != CM_ACT_ERASE) {
        return "only an erasure is done under the exact address"; /* a stop there would bind nothing. LAW-8 */
    }
    if (by_guardian && (record->kind != CM_KIND_GRANT || !has_document || write->rank == CM_RANK_SENDER)) {
        return "a guardian gives an express grant with evidence, and no sender records it";
    }
    return write->related_count > CM_KEEPER_RELATED_MAX ? "the act names too many scopes" : NULL;
}

size_t cm_keeper_pack_act(const struct cm_keeper_act *act, uint8_t out[CM_JOURNAL_RECORD_MAX])
{
    const struct cm_write *write = &act->write;
    size_t len = AT_SCOPES;
    out[0] = 'A';
    out[1] = VERSION;
    out[AT_RANK] = (uint8_t)write->rank;
    out[AT_ACT] = (uint8_t)write->act;
    memcpy(out + AT_EVENT, write->event_id, CM_EVENT_ID_BYTES);
    cm_put_be(out + AT_PARTITION, write->subject.partition, 2);
    cm_put_be(out + AT_BUCKET, write->subject.bucket, 2);
    memcpy(out + AT_EXACT, write->subject.exact, CM_FIELD_BYTES);
    memcpy(out + AT_FAMILY, write->subject.family, CM_FIELD_BYTES);
    out[AT_BITS] = (uint8_t)((write->under_exact ? BIT_UNDER_EXACT : 0) |
                             (act->document.was_standing ? BIT_STANDING : 0));
    cm_put_be(out + AT_SENDER, write->sender_scope, 4);
    cm_record_encode(&write->record, out + AT_RECORD);
    cm_put_be(out + AT_ESTIMATE, (uint64_t)act->estimate, 6);
    cm_put_be(out + AT_REQUEST, write->request, 8);
    cm_put_be(out + AT_COUNT, write->related_count, 2);
    for (size_t i = 0; i < write->related_count; i++, len += 4) {
        cm_put_be(out + len, write->related[i], 4);
    }
    if (act->document.sealed.len > 0) {
        memcpy(out + len, act->document.salt, CM_SALT_BYTES);
        memcpy(out + len + CM_SALT_BYTES, act->document.sealed.bytes, act->document.sealed.len);
        len += CM_SALT_BYTES + act->document.sealed.len;
    }
    return len;
}

static bool unpack_document(struct cm_span rest, struct cm_sealed_document *out)
{
    out->sealed.len = 0;
    if (rest.len == 0) {
        return true;
    }
    if (rest.len <= CM_SALT_BYTES || rest.len > CM_SALT_BYTES + CM_SEALED_MAX_BYTES) {
        return false;
    }
    out->sealed.len = rest.len - CM_SALT_BYTES;
    memcpy(out->salt, rest.p, CM_SALT_BYTES);
    memcpy(out->sealed.bytes, rest.p + CM_SALT_BYTES, out->sealed.len);
    return cm_sha256((struct cm_span){rest.p + CM_SALT_BYTES, out->sealed.len}, out->sealed.sha256);
}

bool cm_keeper_is_act(struct cm_span content)
{
    return content.len > 0 && content.p[0] == 'A';
}

bool cm_keeper_unpack_act(struct cm_span content, struct cm_keeper_act *out)
{
    const uint8_t *in = (const uint8_t *)content.p;
    if (content.len < AT_SCOPES || in[0] != 'A' || in[1] != VERSION || in[AT_BITS] > (BIT_UNDER_EXACT | BIT_STANDING)) {
        return false;
    }
    size_t count = (size_t)cm_get_be(in + AT_COUNT, 2);
    if (count > CM_KEEPER_RELATED_MAX || content.len < AT_SCOPES + 4 * count) {
        return false;
    }
    struct cm_write *write = &out->write;
    *write = (struct cm_write){
        .rank = (enum cm_rank)in[AT_RANK],
        .act = (enum cm_act)in[AT_ACT],
        .subject = {.partition = (uint16_t)cm_get_be(in + AT_PARTITION, 2),
                    .bucket = (uint16_t)cm_get_be(in + AT_BUCKET, 2)},
        .under_exact = (in[AT_BITS] & BIT_UNDER_EXACT) != 0,
        .sender_scope = (uint32_t)cm_get_be(in + AT_SENDER, 4),
        .request = cm_get_be(in + AT_REQUEST, 8),
        .related = out->scopes,
        .related_count = count,
    };
    memcpy(write->event_id, in + AT_EVENT, CM_EVENT_ID_BYTES);
    memcpy(write->subject.exact, in + AT_EXACT, CM_FIELD_BYTES);
    memcpy(write->subject.family, in + AT_FAMILY, CM_FIELD_BYTES);
    for (size_t i = 0; i < count; i++) {
        out->scopes[i] = (uint32_t)cm_get_be(in + AT_SCOPES + 4 * i, 4);
    }
    out->estimate = (cm_ms)cm_get_be(in + AT_ESTIMATE, 6);
    out->document.was_standing = (in[AT_BITS] & BIT_STANDING) != 0;
    struct cm_span rest = {content.p + AT_SCOPES + 4 * count, content.len - AT_SCOPES - 4 * count};
    return write->subject.partition < CM_PARTITIONS && cm_record_decode(in + AT_RECORD, &write->record) &&
           unpack_document(rest, &out->document) && cm_keeper_objection(write, rest.len > 0) == NULL;
}

size_t cm_keeper_pack_outcome(const struct cm_keeper_outcome *outcome, uint8_t out[CM_JOURNAL_RECORD_MAX])
{
    out[0] = 'D';
    out[1] = VERSION;
    cm_put_be(out + 2, outcome->number, 8);
    out[10] = (uint8_t)status_letters[outcome->status];
    cm_put_be(out + 11, outcome->ledger, 8);
    cm_put_be(out + 19, (uint64_t)outcome->event_at, 6);
    return OUTCOME_BYTES;
}

bool cm_keeper_unpack_outcome(struct cm_span content, struct cm_keeper_outcome *out)
{
    const uint8_t *in = (const uint8_t *)content.p;
    enum cm_write_status status = CM_WRITE_UNSET;
    if (content.len != OUTCOME_BYTES || in[0] != 'D' || in[1] != VERSION) {
        return false;
    }
    for (size_t i = 1; i < sizeof(status_letters); i++) {
        if (in[10] != 0 && in[10] == (uint8_t)status_letters[i]) {
            status = (enum cm_write_status)i;
        }
    }
    if (status == CM_WRITE_UNSET) {
        return false;
    }
    *out = (struct cm_keeper_outcome){
        .number = cm_get_be(in + 2, 8),
        .status = status,
        .ledger = cm_get_be(in + 11, 8),
        .event_at = (cm_ms)cm_get_be(in + 19, 6),
    };
    return true;
}

size_t cm_keeper_pack_note(enum cm_keeper_note note, uint8_t out[CM_JOURNAL_RECORD_MAX])
{
    out[0] = 'N';
    out[1] = VERSION;
    out[2] = (uint8_t)note;
    return NOTE_BYTES;
}

bool cm_keeper_unpack_note(struct cm_span content, enum cm_keeper_note *out)
{
    if (content.len != NOTE_BYTES || content.p[0] != 'N' || content.p[1] != VERSION ||
        content.p[2] <= CM_KEEPER_NOTE_UNSET || content.p[2] > CM_KEEPER_NOTE_KNOWN) {
        return false;
    }
    *out = (enum cm_keeper_note)content.p[2];
    return true;
}
