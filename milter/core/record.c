#include "core/record.h"

#include <string.h>

#include "base/bytes.h"

#define SALT_OFFSET 7

/* One row a kind: how many states it has, and their names. A kind without a row does not exist in this version. */
static const struct kind_row {
    enum cm_kind kind;
    bool is_stop;
    const char *name;
    unsigned state_count;
    const char *states[4];
} kinds[] = {
    {CM_KIND_GRANT, false, "grant", 1, {"given"}},
    {CM_KIND_IMPLIED, false, "implied", 4, {"purchase", "contract", "membership", "inquiry"}},
    {CM_KIND_SOFT_OPTIN, false, "soft_optin", 1, {"given"}},
    {CM_KIND_ASSERTED, false, "asserted", 1, {"given"}},
    {CM_KIND_REQUEST, false, "request", 1, {"open"}},
    {CM_KIND_STOP, true, "stop", 4, {"refused", "withdrawn", "objected", "complained"}},
    {CM_KIND_SEAL, false, "seal", 1, {"given"}},
};

static const char *const rank_names[] = {"unset", "subject", "officer", "admin", "sender", "system"};

static const char *const source_names[CM_SOURCE_COUNT] = {
    [CM_SOURCE_UNSET] = "unknown",
    [CM_SOURCE_WEB_FORM] = "web_form",
    [CM_SOURCE_DOUBLE_OPTIN] = "double_optin",
    [CM_SOURCE_CHECKOUT] = "checkout",
    [CM_SOURCE_IMPORT] = "import",
    [CM_SOURCE_API] = "api",
    [CM_SOURCE_STAFF] = "staff",
    [CM_SOURCE_PHONE] = "phone",
    [CM_SOURCE_PAPER] = "paper",
    [CM_SOURCE_MAIL] = "mail",
    [CM_SOURCE_IN_PERSON] = "in_person",
    [CM_SOURCE_ONE_CLICK] = "one_click",
    [CM_SOURCE_PREFERENCE_PAGE] = "preference_page",
    [CM_SOURCE_COMPLAINT_REPORT] = "complaint_report",
};

static const struct kind_row *find_kind(enum cm_kind kind)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].kind == kind) {
            return &kinds[i];
        }
    }
    return NULL;
}

void cm_record_encode(const struct cm_record *record, uint8_t out[CM_RECORD_BYTES])
{
    memset(out, 0, CM_RECORD_BYTES);
    cm_put_be(out, record->scope, 4);
    out[4] = (uint8_t)(CM_RECORD_VERSION << 4 | (int)record->kind);
    out[5] = (uint8_t)(record->state << 4 | (unsigned)record->rank);
    out[6] = (uint8_t)(record->flags << 5 | (unsigned)record->source);
    if (record->kind == CM_KIND_SEAL) {
        memcpy(out + SALT_OFFSET, record->salt, CM_SALT_BYTES);
        return;
    }
    cm_put_be(out + 7, record->statement, 2);
    cm_put_be(out + 9, (uint64_t)record->event_at, 6);
    cm_put_be(out + 15, record->expiry_s, 4);
    cm_put_be(out + 19, record->ledger, 8);
    out[27] = record->last_use_month;
}

bool cm_record_decode(const uint8_t in[CM_RECORD_BYTES], struct cm_record *out)
{
    struct cm_record r = {
        .scope = (uint32_t)cm_get_be(in, 4),
        .kind = (enum cm_kind)(in[4] & 15),
        .state = in[5] >> 4,
        .rank = (enum cm_rank)(in[5] & 15),
        .flags = in[6] >> 5,
        .source = (enum cm_source)(in[6] & 31),
    };
    const struct kind_row *row = find_kind(r.kind);
    if (in[4] >> 4 != CM_RECORD_VERSION || row == NULL || r.state < 1 || r.state > row->state_count ||
        r.rank < CM_RANK_SUBJECT || r.rank > CM_RANK_SYSTEM || r.source >= CM_SOURCE_COUNT ||
        r.flags > CM_RECORD_HAS_EVIDENCE) {
        return false;
    }
    if (r.kind == CM_KIND_SEAL) {
        memcpy(r.salt, in + SALT_OFFSET, CM_SALT_BYTES);
    } else {
        r.statement = (uint16_t)cm_get_be(in + 7, 2);
        r.event_at = (cm_ms)cm_get_be(in + 9, 6);
        r.expiry_s = (uint32_t)cm_get_be(in + 15, 4);
        r.ledger = cm_get_be(in + 19, 8);
        r.last_use_month = in[27];
    }
    *out = r;
    return true;
}

/* An expiry where "never" counts as the latest. */
static uint64_t expiry_rank(uint32_t expiry_s)
{
    return expiry_s == 0 ? UINT64_MAX : expiry_s;
}

bool cm_record_supersedes(const struct cm_record *b, const struct cm_record *a)
{
    /* LAW-3: newest event first; all that follows only breaks ties, towards what permits less. */
    if (b->event_at != a->event_at) {
        return b->event_at > a->event_at;
    }
    if (b->state != a->state) {
        return b->state > a->state;
    }
    if (b->rank != a->rank) {
        return b->rank > a->rank;
    }
    if (b->statement != a->statement) {
        return b->statement < a->statement;
    }
    if (b->expiry_s != a->expiry_s) {
        return expiry_rank(b->expiry_s) < expiry_rank(a->expiry_s);
    }
    if (b->source != a->source) {
        return b->source > a->source;
    }
    return b->flags > a->flags;
}

bool cm_kind_is_stop(enum cm_kind kind)
{
    const struct kind_row *row = find_kind(kind);
    return row != NULL && row->is_stop;
}

const char *cm_kind_name(enum cm_kind kind)
{
    const struct kind_row *row = find_kind(kind);
    return row != NULL ? row->name : NULL;
}

const char *cm_state_name(enum cm_kind kind, unsigned state)
{
    const struct kind_row *row = find_kind(kind);
    return row != NULL && state >= 1 && state <= row->state_count ? row->states[state - 1] : NULL;
}

unsigned cm_state_by_name(enum cm_kind kind, struct cm_span name)
{
    const struct kind_row *row = find_kind(kind);
    for (unsigned i = 0; row != NULL && i < row->state_count; i++) {
        if (cm_span_equal(name, cm_span_of(row->states[i]))) {
            return i + 1;
        }
    }
    return CM_STATE_UNSET;
}

const char *cm_rank_name(enum cm_rank rank)
{
    return rank <= CM_RANK_SYSTEM ? rank_names[rank] : NULL;
}

const char *cm_source_name(enum cm_source source)
{
    return source < CM_SOURCE_COUNT ? source_names[source] : NULL;
}

enum cm_source cm_source_by_name(struct cm_span name)
{
    for (unsigned i = 1; i < CM_SOURCE_COUNT; i++) {
        if (cm_span_equal(name, cm_span_of(source_names[i]))) {
            return (enum cm_source)i;
        }
    }
    return CM_SOURCE_UNSET;
}
