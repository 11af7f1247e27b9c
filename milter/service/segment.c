#include "service/segment.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/bytes.h"
#include "core/seal.h"

#define MAGIC_BYTES 8
#define VERSION 1
#define STORE_ID_BYTES (CM_STORE_ID_CHARS / 2)
#define PLACE_BYTES 16
#define SIGNED_PREFIX "consent-milter archive head v1"

enum { SEGMENT_BODY = 80 + CM_PARTITIONS * PLACE_BYTES, ENTRY_BODY_MIN = 11 + CM_EVENT_BYTES, HEAD_BODY = 119 };
enum { ENTRY_BODY_MAX = CM_FRAME_BODY_MAX };

/* Offsets in the bodies. */
enum {
    AT_VERSION = 8,
    AT_KEY = 9,
    AT_STORE = 10,
    AT_NUMBER = 26,
    AT_BEGUN = 34,
    AT_CHAIN = 40,
    AT_BEFORE = 72,
    AT_PLACES = 80
};
enum { AT_ENTRY_ID = 2, AT_EVENT_LENGTH = 10, AT_EVENT = 11 };
enum { AT_POSITION = 8, AT_MADE = 16, AT_SEALED = 22, AT_HEAD_CHAIN = 23, AT_SIGNATURE = 55 };

_Static_assert(SEGMENT_BODY <= CM_FRAME_BODY_MAX, "a segment frame fits");
_Static_assert(CM_SEALED_MAX_BYTES <= CM_LIMIT_NOTE_BYTES, "an entry with the longest document fits");
_Static_assert(AT_SIGNATURE + CM_ARCHIVE_SIGNATURE_BYTES == HEAD_BODY, "a head ends with its signature");

static const uint8_t magic[MAGIC_BYTES] = {'C', 'M', 'L', 'E', 'D', 'G', 'E', 'R'};

void cm_segment_walk_init(struct cm_segment_walk *walk, const char *store_id)
{
    *walk = (struct cm_segment_walk){0};
    (void)cm_copy(walk->store_id, sizeof(walk->store_id), cm_span_of(store_id)); /* 32 digits fit */
}

bool cm_frame_length(const uint8_t head[CM_FRAME_HEAD_BYTES], size_t *out_body)
{
    size_t body = (size_t)cm_get_be(head + 1, 3);
    bool fits = (head[0] == 'S' && body == SEGMENT_BODY) || (head[0] == 'H' && body == HEAD_BODY) ||
                (head[0] == 'E' && body >= ENTRY_BODY_MIN && body <= ENTRY_BODY_MAX);
    if (fits) {
        *out_body = body;
    }
    return fits;
}

static bool step_chain(uint8_t chain[CM_CHAIN_BYTES], struct cm_span frame)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool ok = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(context, chain, CM_CHAIN_BYTES) == 1 &&
              EVP_DigestUpdate(context, frame.p, frame.len) == 1 && EVP_DigestFinal_ex(context, chain, NULL) == 1;
    EVP_MD_CTX_free(context);
    return ok;
}

static bool read_segment(struct cm_segment_walk *walk, const uint8_t *body, struct cm_err *err)
{
    uint8_t store[STORE_ID_BYTES];
    uint64_t sum = 0;
    if (walk->segment != 0 || memcmp(body, magic, MAGIC_BYTES) != 0 || body[AT_VERSION] != VERSION ||
        cm_get_be(body + AT_NUMBER, 8) == 0) {
        cm_err_set(err, "no segment of version %d begins here", VERSION);
        return false;
    }
    if (!cm_hex_decode(cm_span_of(walk->store_id), store, sizeof(store)) ||
        memcmp(store, body + AT_STORE, sizeof(store)) != 0) {
        cm_err_set(err, "it is of another store than %s", walk->store_id);
        return false;
    }
    for (size_t p = 0; p < CM_PARTITIONS; p++) {
        const uint8_t *at = body + AT_PLACES + p * PLACE_BYTES;
        struct cm_archive_place place = {.last = cm_get_be(at, 8), .count = cm_get_be(at + 8, 8)};
        walk->places[p] = walk->before_places[p] = place;
        sum += place.count;
    }
    walk->before = walk->position = cm_get_be(body + AT_BEFORE, 8);
    if (sum != walk->before) {
        cm_err_set(err, "its table of partitions does not add up");
        return false;
    }
    walk->segment = cm_get_be(body + AT_NUMBER, 8);
    walk->key = body[AT_KEY];
    walk->begun_at = (cm_ms)cm_get_be(body + AT_BEGUN, 6);
    memcpy(walk->chain, body + AT_CHAIN, CM_CHAIN_BYTES);
    memcpy(walk->chain_before, body + AT_CHAIN, CM_CHAIN_BYTES);
    return true;
}

static bool read_entry(struct cm_segment_walk *walk, struct cm_span body, struct cm_ledger_raw *out, struct cm_err *err)
{
    const uint8_t *in = (const uint8_t *)body.p;
    size_t event_len = in[AT_EVENT_LENGTH];
    struct cm_ledger_raw entry = {
        .partition = (unsigned)cm_get_be(in, 2),
        .id = cm_get_be(in + AT_ENTRY_ID, 8),
        .event = {body.p + AT_EVENT, event_len},
    };
    if (entry.partition >= CM_PARTITIONS || (event_len != CM_EVENT_BYTES && event_len != CM_EVENT_MAX_BYTES) ||
        AT_EVENT + event_len > body.len || body.len - AT_EVENT - event_len > CM_LIMIT_NOTE_BYTES) {
        cm_err_set(err, "an entry has impossible lengths");
        return false;
    }
    struct cm_archive_place *place = &walk->places[entry.partition];
    if (entry.id <= place->last) {
        cm_err_set(err, "an entry does not come after the one before it in its partition");
        return false;
    }
    entry.document = (struct cm_span){body.p + AT_EVENT + event_len, body.len - AT_EVENT - event_len};
    *place = (struct cm_archive_place){.last = entry.id, .count = place->count + 1};
    walk->position++;
    *out = entry;
    return true;
}

static bool read_head(struct cm_segment_walk *walk, const uint8_t *in, struct cm_err *err)
{
    struct cm_segment_head head = {
        .segment = cm_get_be(in, 8),
        .position = cm_get_be(in + AT_POSITION, 8),
        .made_at = (cm_ms)cm_get_be(in + AT_MADE, 6),
        .sealed = in[AT_SEALED] == 1,
    };
    memcpy(head.chain, in + AT_HEAD_CHAIN, CM_CHAIN_BYTES);
    memcpy(head.signature, in + AT_SIGNATURE, CM_ARCHIVE_SIGNATURE_BYTES);
    if (memcmp(head.chain, walk->chain, CM_CHAIN_BYTES) != 0) {
        cm_err_set(err, "the chain is broken: something before this head was changed");
        return false;
    }
    if (head.segment != walk->segment || head.position != walk->position || in[AT_SEALED] > 1) {
        cm_err_set(err, "a head does not fit to its segment");
        return false;
    }
    walk->head = head;
    return true;
}

enum cm_step cm_segment_step(struct cm_segment_walk *walk, struct cm_span frame, struct cm_ledger_raw *out_entry,
                             struct cm_err *err)
{
    const uint8_t *in = (const uint8_t *)frame.p;
    size_t body_len = 0;
    enum cm_step step = CM_STEP_BAD;
    if (frame.len < CM_FRAME_HEAD_BYTES || !cm_frame_length(in, &body_len) ||
        frame.len != CM_FRAME_HEAD_BYTES + body_len) {
        cm_err_set(err, "no frame stands here");
        return CM_STEP_BAD;
    }
    if (in[0] != 'S' && walk->segment == 0) {
        cm_err_set(err, "it does not begin as a segment");
        return CM_STEP_BAD;
    }
    if (walk->head.sealed) {
        cm_err_set(err, "something follows the sealed head");
        return CM_STEP_BAD;
    }
    struct cm_span body = {frame.p + CM_FRAME_HEAD_BYTES, body_len};
    if (in[0] == 'S' && read_segment(walk, in + CM_FRAME_HEAD_BYTES, err)) {
        step = CM_STEP_SEGMENT;
    } else if (in[0] == 'E' && read_entry(walk, body, out_entry, err)) {
        step = CM_STEP_ENTRY;
    } else if (in[0] == 'H' && read_head(walk, in + CM_FRAME_HEAD_BYTES, err)) {
        step = CM_STEP_HEAD;
    }
    if (step == CM_STEP_BAD) {
        return step;
    }
    if (!step_chain(walk->chain, frame)) {
        cm_err_set(err, "libcrypto cannot compute SHA-256");
        return CM_STEP_BAD;
    }
    walk->bytes += frame.len;
    if (step == CM_STEP_HEAD) {
        walk->head_bytes = walk->bytes;
    }
    return step;
}

/* What a head signs: itself, and whose it is. */
static size_t signed_text(const struct cm_segment_walk *walk, const uint8_t head_body[HEAD_BODY], uint8_t *out)
{
    size_t len = sizeof(SIGNED_PREFIX);
    memcpy(out, SIGNED_PREFIX, len); /* with its NUL */
    memcpy(out + len, walk->store_id, CM_STORE_ID_CHARS);
    len += CM_STORE_ID_CHARS;
    memcpy(out + len, head_body, AT_SIGNATURE);
    return len + AT_SIGNATURE;
}

#define SIGNED_MAX (sizeof(SIGNED_PREFIX) + CM_STORE_ID_CHARS + AT_SIGNATURE)

static void put_head(const struct cm_segment_head *head, uint8_t out[HEAD_BODY])
{
    cm_put_be(out, head->segment, 8);
    cm_put_be(out + AT_POSITION, head->position, 8);
    cm_put_be(out + AT_MADE, (uint64_t)head->made_at, 6);
    out[AT_SEALED] = head->sealed ? 1 : 0;
    memcpy(out + AT_HEAD_CHAIN, head->chain, CM_CHAIN_BYTES);
    memcpy(out + AT_SIGNATURE, head->signature, CM_ARCHIVE_SIGNATURE_BYTES);
}

bool cm_segment_proven(const struct cm_segment_walk *walk, const struct cm_archive_key *key)
{
    uint8_t body[HEAD_BODY];
    uint8_t text[SIGNED_MAX];
    if (walk->head.segment == 0 || walk->key != key->number) {
        return false;
    }
    put_head(&walk->head, body);
    size_t len = signed_text(walk, body, text);
    return cm_archive_signature_fits(key, (struct cm_span){(const char *)text, len}, walk->head.signature);
}

bool cm_segment_continues(const struct cm_segment_walk *walk, const struct cm_segment_walk *next, struct cm_err *err)
{
    if (next->segment != walk->segment + 1) {
        cm_err_set(err, "segment %llu stands where %llu belongs", (unsigned long long)next->segment,
                   (unsigned long long)walk->segment + 1);
        return false;
    }
    if (!walk->head.sealed && walk->segment != 0) {
        cm_err_set(err, "segment %llu before it was not sealed: its end is missing", (unsigned long long)walk->segment);
        return false;
    }
    if (memcmp(walk->chain, next->chain_before, CM_CHAIN_BYTES) != 0 || walk->position != next->before ||
        memcmp(walk->places, next->before_places, sizeof(walk->places)) != 0) {
        cm_err_set(err, "it does not begin where segment %llu ended", (unsigned long long)walk->segment);
        return false;
    }
    return true;
}

static size_t put_frame_head(uint8_t *out, char type, size_t body)
{
    out[0] = (uint8_t)type;
    cm_put_be(out + 1, body, 3);
    return CM_FRAME_HEAD_BYTES + body;
}

size_t cm_segment_begin_frame(const struct cm_segment_walk *walk, uint8_t key, cm_ms now, uint8_t out[CM_FRAME_MAX])
{
    uint8_t *body = out + CM_FRAME_HEAD_BYTES;
    memcpy(body, magic, MAGIC_BYTES);
    body[AT_VERSION] = VERSION;
    body[AT_KEY] = key;
    if (!cm_hex_decode(cm_span_of(walk->store_id), body + AT_STORE, STORE_ID_BYTES)) {
        memset(body + AT_STORE, 0, STORE_ID_BYTES); /* no store id: the step refuses the frame */
    }
    cm_put_be(body + AT_NUMBER, walk->segment + 1, 8);
    cm_put_be(body + AT_BEGUN, (uint64_t)now, 6);
    memcpy(body + AT_CHAIN, walk->chain, CM_CHAIN_BYTES);
    cm_put_be(body + AT_BEFORE, walk->position, 8);
    for (size_t p = 0; p < CM_PARTITIONS; p++) {
        cm_put_be(body + AT_PLACES + p * PLACE_BYTES, walk->places[p].last, 8);
        cm_put_be(body + AT_PLACES + p * PLACE_BYTES + 8, walk->places[p].count, 8);
    }
    return put_frame_head(out, 'S', SEGMENT_BODY);
}

size_t cm_segment_entry_frame(const struct cm_ledger_raw *entry, uint8_t out[CM_FRAME_MAX])
{
    uint8_t *body = out + CM_FRAME_HEAD_BYTES;
    if ((entry->event.len != CM_EVENT_BYTES && entry->event.len != CM_EVENT_MAX_BYTES) ||
        entry->document.len > CM_LIMIT_NOTE_BYTES) {
        return 0;
    }
    cm_put_be(body, entry->partition, 2);
    cm_put_be(body + AT_ENTRY_ID, entry->id, 8);
    body[AT_EVENT_LENGTH] = (uint8_t)entry->event.len;
    memcpy(body + AT_EVENT, entry->event.p, entry->event.len);
    if (entry->document.len > 0) {
        memcpy(body + AT_EVENT + entry->event.len, entry->document.p, entry->document.len);
    }
    return put_frame_head(out, 'E', AT_EVENT + entry->event.len + entry->document.len);
}

size_t cm_segment_head_frame(const struct cm_segment_walk *walk, const struct cm_archive_key *key, cm_ms now,
                             bool sealed, uint8_t out[CM_FRAME_MAX])
{
    uint8_t text[SIGNED_MAX];
    uint8_t *body = out + CM_FRAME_HEAD_BYTES;
    struct cm_segment_head head = {
        .segment = walk->segment, .position = walk->position, .made_at = now, .sealed = sealed};
    memcpy(head.chain, walk->chain, CM_CHAIN_BYTES);
    put_head(&head, body);
    size_t len = signed_text(walk, body, text);
    if (!cm_archive_sign(key, (struct cm_span){(const char *)text, len}, body + AT_SIGNATURE)) {
        return 0;
    }
    return put_frame_head(out, 'H', HEAD_BODY);
}
