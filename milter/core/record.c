#include "core/record.h"

#include <string.h>

#include "base/bytes.h"

#define EVIDENCE CM_RECORD_HAS_EVIDENCE
#define GUARDIAN CM_RECORD_BY_GUARDIAN
#define ENDED CM_RECORD_ENDED

enum { AT_STATEMENT = 7, AT_EVENT = 9, AT_EXPIRY = 15, AT_LEDGER = 19, AT_USE = 27 };
enum { AT_SALT = 7, AT_PLACE = 7, AT_PLACE_FIELD = 10, AT_PLACE_END = 18 };

/* One row a kind: which flags it may carry, how many states it has, and the names. A kind without a row does not
 * exist in this version. */
static const struct kind_row {
    enum cm_kind kind;
    bool is_stop;
    unsigned flags;
    unsigned state_count;
    const char *name;
    const char *states[4];
} kinds[] = {
    {CM_KIND_GRANT, false, EVIDENCE | GUARDIAN, 1, "grant", {"given"}},
    {CM_KIND_IMPLIED, false, EVIDENCE, 4, "implied", {"purchase", "contract", "membership", "inquiry"}},
    {CM_KIND_SOFT_OPTIN, false, EVIDENCE, 1, "soft_optin", {"given"}},
    {CM_KIND_ASSERTED, false, EVIDENCE, 1, "asserted", {"given"}},
    {CM_KIND_REQUEST, false, EVIDENCE, 1, "request", {"open"}},
    {CM_KIND_STOP, true, EVIDENCE, 4, "stop", {"refused", "withdrawn", "objected", "complained"}},
    {CM_KIND_BOUNCED, true, EVIDENCE, 2, "bounced", {"no_mailbox", "disabled"}},
    {CM_KIND_RESTRICTED, true, EVIDENCE | ENDED, 3, "restricted", {"minor", "legal", "deceased"}},
    {CM_KIND_SUSPENDED, true, EVIDENCE | ENDED, 2, "suspended", {"dispute", "case"}},
    {CM_KIND_ERASED, true, EVIDENCE, 1, "erased", {"given"}},
    {CM_KIND_SEAL, false, 0, 1, "seal", {"given"}},
    {CM_KIND_FORWARD, false, 0, 1, "forward", {"given"}},
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

/* A place takes 24 bits, pepper 4 and partition and bucket 10 each, and the field. */
static void put_place(uint8_t *out, const struct cm_place *place)
{
    cm_put_be(out, (uint64_t)place->pepper << 20 | (uint64_t)place->partition << 10 | place->bucket, 3);
    memcpy(out + AT_PLACE_FIELD - AT_PLACE, place->field, sizeof(place->field));
}

static struct cm_place get_place(const uint8_t *in)
{
    uint64_t bits = cm_get_be(in, 3);
    struct cm_place place = {.pepper = (uint8_t)(bits >> 20),
                             .partition = (uint16_t)(bits >> 10 & 0x3ff),
                             .bucket = (uint16_t)(bits & 0x3ff)};
    memcpy(place.field, in + AT_PLACE_FIELD - AT_PLACE, sizeof(place.field));
    return place;
}

void cm_record_encode(const struct cm_record *record, uint8_t out[CM_RECORD_BYTES])
{
    memset(out, 0, CM_RECORD_BYTES);
    cm_put_be(out, record->scope, 4);
    out[4] = (uint8_t)(CM_RECORD_VERSION << 4 | (int)record->kind);
    out[5] = (uint8_t)(record->state << 4 | (unsigned)record->rank);
    out[6] = (uint8_t)(record->flags << 5 | (unsigned)record->source);
    if (record->kind == CM_KIND_SEAL) {
        memcpy(out + AT_SALT, record->salt, CM_SALT_BYTES);
    } else if (record->kind == CM_KIND_FORWARD) {
        put_place(out + AT_PLACE, &record->forward);
    } else {
        cm_put_be(out + AT_STATEMENT, record->statement, 2);
        cm_put_be(out + AT_EVENT, (uint64_t)record->event_at, 6);
        cm_put_be(out + AT_EXPIRY, record->expiry_s, 4);
        cm_put_be(out + AT_LEDGER, record->ledger, 8);
        out[AT_USE] = record->last_use_month;
    }
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
        (r.flags & ~row->flags) != 0) {
        return false;
    }
    if (r.kind == CM_KIND_FORWARD && (r.scope != 0 || !cm_is_zero(in + AT_PLACE_END, CM_RECORD_BYTES - AT_PLACE_END))) {
        return false;
    }
    if (r.kind == CM_KIND_SEAL) {
        memcpy(r.salt, in + AT_SALT, CM_SALT_BYTES);
    } else if (r.kind == CM_KIND_FORWARD) {
        r.forward = get_place(in + AT_PLACE);
    } else {
        r.statement = (uint16_t)cm_get_be(in + AT_STATEMENT, 2);
        r.event_at = (cm_ms)cm_get_be(in + AT_EVENT, 6);
        r.expiry_s = (uint32_t)cm_get_be(in + AT_EXPIRY, 4);
        r.ledger = cm_get_be(in + AT_LEDGER, 8);
        r.last_use_month = in[AT_USE];
    }
    *out = r;
    return true;
}

/* The key as one number that sorts as the packed bytes do. */
static uint64_t key_of(const struct cm_record *record)
{
    bool is_held = record->kind == CM_KIND_RESTRICTED || record->kind == CM_KIND_SUSPENDED; /* LAW-5 */
    uint64_t holder = is_held ? (uint64_t)record->state << 4 | (uint64_t)record->rank : 0;
    return (uint64_t)record->scope << 16 | (uint64_t)record->kind << 8 | holder;
}

int cm_record_compare_keys(const struct cm_record *a, const struct cm_record *b)
{
    uint64_t key_a = key_of(a);
    uint64_t key_b = key_of(b);
    return (key_a > key_b) - (key_a < key_b);
}

bool cm_record_same_key(const struct cm_record *a, const struct cm_record *b)
{
    return cm_record_compare_keys(a, b) == 0;
}

/* An expiry where "never" counts as the latest. */
static uint64_t expiry_rank(uint32_t expiry_s)
{
    return expiry_s == 0 ? UINT64_MAX : expiry_s;
}

/* True if exactly one of them has the flag. */
static bool differ_in(const struct cm_record *a, const struct cm_record *b, unsigned flag)
{
    return ((a->flags ^ b->flags) & flag) != 0;
}

bool cm_record_supersedes(const struct cm_record *b, const struct cm_record *a)
{
    /* LAW-3: newest event first; all that follows only breaks ties, towards what permits less. */
    if (b->event_at != a->event_at) {
        return b->event_at > a->event_at;
    }
    if (differ_in(a, b, CM_RECORD_ENDED)) {
        return (a->flags & CM_RECORD_ENDED) != 0;
    }
    if (b->state != a->state) {
        return b->state > a->state;
    }
    if (b->rank != a->rank) {
        return b->rank > a->rank;
    }
    if (differ_in(a, b, CM_RECORD_BY_GUARDIAN)) {
        return (a->flags & CM_RECORD_BY_GUARDIAN) != 0; /* LAW-15 */
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
    return b->flags > a->flags; /* only evidence is left */
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
