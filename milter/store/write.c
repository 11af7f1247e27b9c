#include "store/write.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/bytes.h"
#include "store_internal.h"

#define SEAL_TRIES 3
#define RECORD_HEAD_BYTES 19
#define FUNCTION_BYTES 32
#define MARK_BYTES 64
#define HOPS_MAX CM_PEPPER_ID_MAX /* from place to place: each leads to a newer pepper */

/* LAW-8: stops are kept under the mailbox family, all else under the exact address. */
static bool is_by_family(const struct cm_write *write)
{
    return cm_kind_is_stop(write->record.kind) && !write->under_exact;
}

static const uint8_t *field_of(const struct cm_write *write)
{
    return is_by_family(write) ? write->subject.family : write->subject.exact;
}

/* The records of one form at one place, in `arena`. */
static enum cm_trouble read_form(struct cm_store *store, unsigned partition, unsigned bucket, const uint8_t *field,
                                 struct cm_arena *arena, const struct cm_record **out_records, size_t *out_count,
                                 struct cm_err *err)
{
    char key[CM_KEY_BYTES];
    redisReply *reply = NULL;
    struct cm_span args[] = {CM_SPAN("HGET"), cm_store_key(key, 'c', partition, (int)bucket),
                             CM_ARG_BYTES(field, CM_FIELD_BYTES)};
    enum cm_trouble trouble = cm_store_command(store, args, 3, &reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_records_decode(reply, arena, out_records, out_count, err);
        cm_replies_free(&reply, 1);
    }
    return trouble;
}

/* Lets *write be for the place that its records have moved to, if they have. */
static enum cm_trouble follow(struct cm_store *store, struct cm_write *write, struct cm_err *err)
{
    struct cm_arena arena;
    const struct cm_record *records = NULL;
    size_t count = 0;
    uint8_t *field = (uint8_t *)field_of(write); /* *write is the caller's own */
    cm_arena_init(&arena, CM_LIMIT_RECORDS * sizeof(struct cm_record));
    enum cm_trouble trouble = read_form(store, write->subject.partition, write->subject.bucket, field, &arena, &records,
                                        &count, err);
    if (trouble == CM_TROUBLE_NONE && count > 0 && records[0].kind == CM_KIND_FORWARD) {
        const struct cm_place *to = &records[0].forward;
        write->subject.pepper = to->pepper;
        write->subject.partition = to->partition;
        write->subject.bucket = to->bucket;
        memcpy(field, to->field, CM_FIELD_BYTES);
    }
    cm_arena_done(&arena);
    return trouble;
}

/* The salt that stands for a sender at one place. *out_place becomes where to look next: 0 for no other place. */
static enum cm_trouble find_salt_at(struct cm_store *store, const struct cm_write *write, const struct cm_place *place,
                                    uint8_t out_salt[CM_SALT_BYTES], bool *out_found, struct cm_place *out_next,
                                    struct cm_err *err)
{
    struct cm_arena arena;
    const struct cm_record *records = NULL;
    size_t count = 0;
    cm_arena_init(&arena, CM_LIMIT_RECORDS * sizeof(struct cm_record));
    enum cm_trouble trouble = read_form(store, place->partition, place->bucket, place->field, &arena, &records, &count,
                                        err);
    *out_next = (struct cm_place){.pepper = 0};
    for (size_t i = 0; i < count; i++) {
        if (records[i].kind == CM_KIND_SEAL && records[i].scope == write->sender_scope) {
            memcpy(out_salt, records[i].salt, CM_SALT_BYTES);
            *out_found = true;
        } else if (records[i].kind == CM_KIND_FORWARD) {
            *out_next = records[i].forward;
        }
    }
    cm_arena_done(&arena);
    return trouble;
}

/* The salt of the seal that stands for this subject and sender, if there is one. Where peppers are rotated it may still
 * stand at an older place: all documents of one sender go under one seal, so that no move has to choose. */
static enum cm_trouble find_salt(struct cm_store *store, const struct cm_write *write, uint8_t out_salt[CM_SALT_BYTES],
                                 bool *out_found, struct cm_err *err)
{
    struct cm_subject_place places[CM_PEPPERS_READABLE];
    size_t count = cm_subject_places(&write->subject, places);
    bool by_family = is_by_family(write);
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    *out_found = false;
    for (size_t i = count; i-- > 0 && trouble == CM_TROUBLE_NONE && !*out_found;) {
        struct cm_place at = {.pepper = places[i].pepper, .partition = places[i].partition, .bucket = places[i].bucket};
        struct cm_place next = {.pepper = 0};
        memcpy(at.field, by_family ? places[i].family : places[i].exact, CM_FIELD_BYTES);
        for (unsigned hop = 0; trouble == CM_TROUBLE_NONE && hop <= HOPS_MAX; hop++) {
            trouble = find_salt_at(store, write, &at, out_salt, out_found, &next, err);
            if (next.pepper == 0) {
                break;
            }
            at = next;
        }
    }
    return trouble;
}

/* Seals `text` with the salt that stands in *out. */
static bool seal_with_salt(const struct cm_store *store, struct cm_span text, struct cm_sealed_document *out,
                           struct cm_err *err)
{
    bool ok = cm_keys_seal(store->keys, out->salt, text, &out->sealed);
    if (!ok) {
        cm_err_set(err, "the evidence cannot be sealed: it may have at most %d bytes", CM_LIMIT_EVIDENCE_BYTES);
    }
    return ok;
}

bool cm_store_seal_newly(struct cm_store *store, const struct cm_write *write, struct cm_sealed_document *out,
                         struct cm_err *err)
{
    out->was_standing = false;
    if (write->document.len == 0) {
        out->sealed.len = 0;
        return true;
    }
    if (!cm_random_bytes(out->salt, sizeof(out->salt))) {
        cm_err_set(err, "no random bytes for a salt");
        return false;
    }
    return seal_with_salt(store, write->document, out, err);
}

enum cm_trouble cm_store_seal(struct cm_store *store, const struct cm_write *write, struct cm_sealed_document *out,
                              struct cm_err *err)
{
    bool found = false;
    /* An erasure takes the seal away, and its own document gets a new one. */
    if (write->document.len > 0 && write->act != CM_ACT_ERASE) {
        enum cm_trouble trouble = find_salt(store, write, out->salt, &found, err);
        if (trouble != CM_TROUBLE_NONE) {
            return trouble;
        }
    }
    out->was_standing = found;
    bool ok = found ? seal_with_salt(store, write->document, out, err) : cm_store_seal_newly(store, write, out, err);
    return ok ? CM_TROUBLE_NONE : CM_TROUBLE_INTERNAL;
}

enum cm_trouble cm_store_reseal(struct cm_store *store, const struct cm_write *write,
                                struct cm_sealed_document *document, struct cm_err *err)
{
    char text[CM_LIMIT_EVIDENCE_BYTES + 1];
    size_t len = 0;
    bool found = false;
    struct cm_span sealed = {(const char *)document->sealed.bytes, document->sealed.len};
    if (!cm_keys_unseal(store->keys, document->salt, sealed, text, &len)) {
        cm_err_set(err, "the evidence cannot be opened to be sealed anew");
        return CM_TROUBLE_INTERNAL;
    }
    enum cm_trouble trouble = find_salt(store, write, document->salt, &found, err);
    if (trouble == CM_TROUBLE_NONE && !found && !cm_random_bytes(document->salt, sizeof(document->salt))) {
        cm_err_set(err, "no random bytes for a salt"); /* the old one was erased: it must not come back */
        trouble = CM_TROUBLE_INTERNAL;
    }
    document->was_standing = found;
    if (trouble == CM_TROUBLE_NONE && !seal_with_salt(store, (struct cm_span){text, len}, document, err)) {
        trouble = CM_TROUBLE_INTERNAL;
    }
    OPENSSL_cleanse(text, sizeof(text));
    return trouble;
}

/* Scopes, or the ledger id of a request, as the function wants them. False without memory. */
static bool pack_related(const struct cm_write *write, struct cm_arena *arena, struct cm_span *out)
{
    size_t count = write->act == CM_ACT_CONFIRM ? 2 : write->related_count;
    uint8_t *bytes = cm_arena_array(arena, count + 1, 4);
    if (bytes == NULL) {
        return false;
    }
    if (write->act == CM_ACT_CONFIRM) {
        cm_put_be(bytes, write->request, 8);
    } else {
        for (size_t i = 0; i < count; i++) {
            cm_put_be(bytes + 4 * i, write->related[i], 4);
        }
    }
    *out = CM_ARG_BYTES(bytes, 4 * count);
    return true;
}

static void build_request(const struct cm_store *store, const struct cm_write *write,
                          const struct cm_sealed_document *document, struct cm_span related, struct cm_request *request)
{
    char function[FUNCTION_BYTES];
    char keys[4][CM_KEY_BYTES];
    char replay[CM_LEDGER_ID_TEXT_BYTES] = "";
    char mark[MARK_BYTES] = "";
    uint8_t bucket[2];
    uint8_t record[CM_RECORD_BYTES];
    uint8_t seal_part[4 + CM_SALT_BYTES + 1];
    unsigned partition = write->subject.partition;
    bool has_document = document->sealed.len > 0;
    struct cm_text name = cm_text_over(function, sizeof(function));
    struct cm_text mark_text = cm_text_over(mark, sizeof(mark));
    cm_text_add_format(&name, "%s_%s", cm_rank_name(write->rank), cm_act_name(write->act));
    cm_put_be(bucket, write->subject.bucket, 2);
    cm_record_encode(&write->record, record);
    if (has_document) {
        cm_put_be(seal_part, write->sender_scope, 4);
        memcpy(seal_part + 4, document->salt, CM_SALT_BYTES);
        seal_part[4 + CM_SALT_BYTES] = 1;
    }
    if (write->is_replay && write->ledger != 0) {
        cm_ledger_id_format(write->ledger, replay);
    }
    if (write->keeper != NULL) {
        cm_text_add_format(&mark_text, "%s:%llu", write->keeper, (unsigned long long)write->mark);
    }
    struct cm_span args[] = {
        CM_SPAN("FCALL"),
        cm_span_of(function),
        CM_SPAN("4"),
        cm_store_key(keys[0], 'c', partition, write->subject.bucket),
        cm_store_key(keys[1], 'l', partition, -1),
        cm_store_key(keys[2], 'n', partition, -1),
        cm_store_key(keys[3], 'm', partition, -1),
        cm_span_of(store->keys->store_id),
        CM_ARG_BYTES(write->event_id, CM_EVENT_ID_BYTES),
        CM_ARG_BYTES(field_of(write), CM_FIELD_BYTES),
        CM_ARG_BYTES(bucket, sizeof(bucket)),
        CM_ARG_BYTES(record, RECORD_HEAD_BYTES),
        CM_ARG_BYTES(seal_part, has_document ? sizeof(seal_part) - (document->was_standing ? 0 : 1) : 0),
        CM_ARG_BYTES(document->sealed.sha256, has_document ? CM_SHA256_BYTES : 0),
        CM_ARG_BYTES(document->sealed.bytes, document->sealed.len),
        cm_span_of(write->is_replay && write->ledger == 0 ? "-" : replay),
        cm_span_of(mark),
        related,
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static enum cm_write_status status_of(struct cm_span word)
{
    static const struct {
        const char *word;
        enum cm_write_status status;
    } rows[] = {{"applied", CM_WRITE_APPLIED}, {"stale", CM_WRITE_STALE}, {"duplicate", CM_WRITE_DUPLICATE}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (cm_span_equal(word, cm_span_of(rows[i].word))) {
            return rows[i].status;
        }
    }
    return CM_WRITE_UNSET;
}

/* An answer of the function: a result, a refusal, or something that leaves us uncertain. */
static void read_reply(const redisReply *reply, struct cm_write_result *out, struct cm_err *err)
{
    uint64_t event_at = 0;
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    if (trouble == CM_TROUBLE_ERROR_REPLY) {
        struct cm_span text = {reply->str, (size_t)reply->len};
        bool other_seal = cm_span_starts_with(text, "SEAL ");
        out->moved = cm_span_starts_with(text, "FORWARDED ");
        out->status = other_seal ? CM_WRITE_OTHER_SEAL : CM_WRITE_REFUSED;
        out->is_full = cm_span_starts_with(text, "FULL ");
        return;
    }
    if (trouble != CM_TROUBLE_NONE) {
        out->status = CM_WRITE_NOT_DONE; /* Redis runs a function whole or says why not */
        out->trouble = trouble;
        return;
    }
    out->status = CM_WRITE_UNSET;
    if (cm_reply_expect_array(reply, 3, "result of a write", err) == CM_TROUBLE_NONE) {
        out->status = status_of(cm_reply_text(reply->element[0]));
    }
    if (out->status == CM_WRITE_UNSET || !cm_ledger_id_parse(cm_reply_text(reply->element[1]), &out->ledger) ||
        !cm_parse_u64(cm_reply_text(reply->element[2]), (uint64_t)CM_MS_MAX, &event_at)) {
        cm_err_set(err, "the result of the write cannot be read");
        out->status = CM_WRITE_UNCERTAIN;
        out->trouble = CM_TROUBLE_MALFORMED;
        return;
    }
    out->event_at = (cm_ms)event_at;
}

/* Sends the request, frees it, and reads the one answer. */
static void call(struct cm_store *store, struct cm_request *request, struct cm_write_result *out, struct cm_err *err)
{
    redisReply *reply = NULL;
    struct cm_call how = {.may_repeat = true};
    out->trouble = cm_pool_call(store->pool, request, &how, &reply, err);
    out->incarnation = how.incarnation;
    cm_request_done(request);
    if (out->trouble != CM_TROUBLE_NONE) {
        out->status = how.sent ? CM_WRITE_UNCERTAIN : CM_WRITE_NOT_DONE;
        return;
    }
    read_reply(reply, out, err);
    cm_replies_free(&reply, 1);
}

static bool is_done(const struct cm_write_result *result)
{
    return result->status == CM_WRITE_APPLIED || result->status == CM_WRITE_STALE ||
           result->status == CM_WRITE_DUPLICATE;
}

static void try_write(struct cm_store *store, const struct cm_write *write, const struct cm_sealed_document *document,
                      struct cm_write_result *out, struct cm_err *err)
{
    struct cm_request request = {0};
    struct cm_arena arena;
    struct cm_span related = {NULL, 0};
    *out = (struct cm_write_result){.status = CM_WRITE_NOT_DONE, .trouble = CM_TROUBLE_MEMORY};
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    if (pack_related(write, &arena, &related)) {
        build_request(store, write, document, related, &request);
        call(store, &request, out, err);
    } else {
        cm_err_set(err, "out of memory");
    }
    cm_arena_done(&arena);
}

void cm_store_write_sealed(struct cm_store *store, const struct cm_write *write,
                           const struct cm_sealed_document *document, struct cm_write_result *out, struct cm_err *err)
{
    struct cm_write here = *write;
    struct cm_err local_err = {{0}};
    bool moved = false;
    try_write(store, &here, document, out, &local_err);
    for (unsigned hop = 0; out->moved && hop < HOPS_MAX; hop++) {
        enum cm_trouble trouble = follow(store, &here, &local_err);
        if (trouble != CM_TROUBLE_NONE) {
            *out = (struct cm_write_result){.status = CM_WRITE_NOT_DONE, .trouble = trouble};
            break;
        }
        moved = true;
        try_write(store, &here, document, out, &local_err);
    }
    out->moved = moved;
    out->partition = here.subject.partition;
    if (err != NULL && !is_done(out)) {
        *err = local_err;
    }
}

void cm_store_write(struct cm_store *store, const struct cm_write *write, struct cm_write_result *out,
                    struct cm_err *err)
{
    struct cm_sealed_document document;
    /* A sender may not move records; what it writes needs nothing of what stands at older places. LAW-6 */
    enum cm_trouble gathered = write->rank == CM_RANK_SENDER ? CM_TROUBLE_NONE
                                                             : cm_store_gather(store, &write->subject, err);
    if (gathered != CM_TROUBLE_NONE) {
        *out = (struct cm_write_result){.status = CM_WRITE_NOT_DONE, .trouble = gathered};
        return;
    }
    /* Another writer may make the seal between our look and our write: look again. */
    for (unsigned i = 0; i < SEAL_TRIES; i++) {
        enum cm_trouble trouble = cm_store_seal(store, write, &document, err);
        if (trouble != CM_TROUBLE_NONE) {
            bool refused = trouble == CM_TROUBLE_INTERNAL;
            *out = (struct cm_write_result){.status = refused ? CM_WRITE_REFUSED : CM_WRITE_NOT_DONE,
                                            .trouble = trouble};
            return;
        }
        cm_store_write_sealed(store, write, &document, out, err);
        if (out->status != CM_WRITE_OTHER_SEAL) {
            return;
        }
    }
    out->status = CM_WRITE_REFUSED;
}

enum cm_trouble cm_note_make(struct cm_span document, struct cm_note *out, struct cm_err *err)
{
    out->document = document;
    if (document.len == 0 || document.len > CM_LIMIT_NOTE_BYTES ||
        !cm_random_bytes(out->event_id, sizeof(out->event_id)) || !cm_sha256(document, out->sha256)) {
        cm_err_set(err, "a note must have 1 to %d bytes", CM_LIMIT_NOTE_BYTES);
        return CM_TROUBLE_INTERNAL;
    }
    return CM_TROUBLE_NONE;
}

void cm_store_note(struct cm_store *store, enum cm_rank rank, const struct cm_note *note, struct cm_write_result *out,
                   struct cm_err *err)
{
    char keys[3][CM_KEY_BYTES];
    struct cm_request request = {0};
    *out = (struct cm_write_result){.status = CM_WRITE_UNSET};
    struct cm_span args[] = {
        CM_SPAN("FCALL"),
        rank == CM_RANK_ADMIN ? CM_SPAN("admin_note") : CM_SPAN("system_note"),
        CM_SPAN("3"),
        cm_store_key(keys[0], 'l', 0, -1),
        cm_store_key(keys[1], 'n', 0, -1),
        cm_store_key(keys[2], 'm', 0, -1),
        cm_span_of(store->keys->store_id),
        CM_ARG_BYTES(note->event_id, sizeof(note->event_id)),
        note->document,
        CM_ARG_BYTES(note->sha256, sizeof(note->sha256)),
    };
    cm_request_add(&request, args, sizeof(args) / sizeof(args[0]));
    call(store, &request, out, err);
}
