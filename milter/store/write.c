#include "store/write.h"

#include <string.h>

#include "base/bytes.h"
#include "store_internal.h"

#define SEAL_TRIES 3
#define RECORD_HEAD_BYTES 19
#define FUNCTION_BYTES 32

/* LAW-8: stops are kept under the mailbox family, all else under the exact address. */
static const uint8_t *field_of(const struct cm_write *write)
{
    return cm_kind_is_stop(write->record.kind) ? write->subject.family : write->subject.exact;
}

/* The seal record that stands for this subject and sender, or a new one. */
static enum cm_trouble obtain_seal(struct cm_store *store, const struct cm_write *write, struct cm_record *out,
                                   struct cm_err *err)
{
    char key[CM_KEY_BYTES];
    redisReply *reply = NULL;
    struct cm_arena arena;
    const struct cm_record *records = NULL;
    size_t count = 0;
    struct cm_span args[] = {CM_SPAN("HGET"), cm_store_key(key, 'c', write->subject.partition, write->subject.bucket),
                             CM_ARG_BYTES(field_of(write), CM_FIELD_BYTES)};
    enum cm_trouble trouble = cm_store_command(store, args, 3, &reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_record seal = {
        .scope = write->sender_scope, .kind = CM_KIND_SEAL, .state = CM_STATE_GIVEN, .rank = CM_RANK_SYSTEM};
    cm_arena_init(&arena, CM_LIMIT_RECORDS * sizeof(struct cm_record));
    trouble = cm_records_decode(reply, &arena, &records, &count, err);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (records[i].kind == CM_KIND_SEAL && records[i].scope == write->sender_scope) {
            seal = records[i];
            found = true;
        }
    }
    if (trouble == CM_TROUBLE_NONE && !found && !cm_random_bytes(seal.salt, sizeof(seal.salt))) {
        cm_err_set(err, "no random bytes for a salt");
        trouble = CM_TROUBLE_INTERNAL;
    }
    cm_arena_done(&arena);
    cm_replies_free(&reply, 1);
    *out = seal;
    return trouble;
}

static bool seal_document(const struct cm_store *store, const struct cm_write *write, const struct cm_record *seal,
                          struct cm_sealed *out, struct cm_err *err)
{
    uint8_t nonce[CM_SEAL_NONCE_BYTES];
    if (!store->keys->has_seal || !cm_random_bytes(nonce, sizeof(nonce)) ||
        !cm_seal(store->keys->seal, seal->salt, nonce, write->document, out)) {
        cm_err_set(err, "the evidence cannot be sealed: it may have at most %d bytes", CM_LIMIT_EVIDENCE_BYTES);
        return false;
    }
    return true;
}

static void build_request(const struct cm_store *store, const struct cm_write *write, const struct cm_record *seal,
                          const struct cm_sealed *sealed, struct cm_request *request)
{
    char function[FUNCTION_BYTES];
    char keys[4][CM_KEY_BYTES];
    uint8_t bucket[2];
    uint8_t record[CM_RECORD_BYTES];
    uint8_t seal_part[4 + CM_SALT_BYTES];
    unsigned partition = write->subject.partition;
    bool has_document = write->document.len > 0;
    struct cm_text name = cm_text_over(function, sizeof(function));
    cm_text_add_format(&name, "%s_%s", cm_rank_name(write->rank), cm_act_name(write->act));
    cm_put_be(bucket, write->subject.bucket, 2);
    cm_record_encode(&write->record, record);
    if (has_document) {
        cm_put_be(seal_part, seal->scope, 4);
        memcpy(seal_part + 4, seal->salt, CM_SALT_BYTES);
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
        CM_ARG_BYTES(seal_part, has_document ? sizeof(seal_part) : 0),
        CM_ARG_BYTES(sealed->sha256, has_document ? CM_SHA256_BYTES : 0),
        CM_ARG_BYTES(sealed->bytes, has_document ? sealed->len : 0),
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
        out->status = CM_WRITE_REFUSED;
        return;
    }
    if (trouble != CM_TROUBLE_NONE) {
        out->status = CM_WRITE_NOT_DONE; /* Redis runs a function whole or says why not */
        out->trouble = trouble;
        return;
    }
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

static void try_write(struct cm_store *store, const struct cm_write *write, struct cm_write_result *out,
                      struct cm_err *err)
{
    struct cm_record seal = {0};
    struct cm_sealed sealed;
    struct cm_request request = {0};
    redisReply *reply = NULL;
    bool sent = false;
    *out = (struct cm_write_result){.trouble = CM_TROUBLE_NONE};
    if (write->document.len > 0) {
        out->trouble = obtain_seal(store, write, &seal, err);
        if (out->trouble != CM_TROUBLE_NONE) {
            out->status = CM_WRITE_NOT_DONE;
            return;
        }
        if (!seal_document(store, write, &seal, &sealed, err)) {
            out->status = CM_WRITE_REFUSED;
            return;
        }
    }
    build_request(store, write, &seal, &sealed, &request);
    out->trouble = cm_pool_call(store->pool, &request, true, &reply, &sent, err);
    cm_request_done(&request);
    if (out->trouble != CM_TROUBLE_NONE) {
        out->status = sent ? CM_WRITE_UNCERTAIN : CM_WRITE_NOT_DONE;
        return;
    }
    read_reply(reply, out, err);
    cm_replies_free(&reply, 1);
}

void cm_store_write(struct cm_store *store, const struct cm_write *write, struct cm_write_result *out,
                    struct cm_err *err)
{
    struct cm_err local_err = {{0}};
    for (unsigned i = 0; i < SEAL_TRIES; i++) {
        try_write(store, write, out, &local_err);
        /* Another writer made the seal between our look and our write: look again. */
        if (out->status != CM_WRITE_REFUSED || strstr(local_err.text, "SEAL ") == NULL) {
            break;
        }
    }
    if (err != NULL && out->status != CM_WRITE_APPLIED && out->status != CM_WRITE_STALE &&
        out->status != CM_WRITE_DUPLICATE) {
        *err = local_err;
    }
}
