#include "service/consent.h"

#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#define MONTHS_OF_BUSINESS 24U /* after a purchase, or the end of a contract or membership */
#define MONTHS_OF_INQUIRY 6U

static void write_directly(void *context, const struct cm_write *write, struct cm_write_result *out, struct cm_err *err)
{
    cm_store_write(context, write, out, err);
}

struct cm_writer cm_writer_direct(struct cm_store *store)
{
    return (struct cm_writer){write_directly, store};
}

/* Actor, reference and what the caller brought, as one JSON text for the caller to free; NULL and err if it is none. */
static char *make_document(struct cm_span actor, struct cm_span ref, struct cm_span evidence, struct cm_err *err)
{
    json_t *brought = NULL;
    if (evidence.len > 0) {
        json_error_t error;
        brought = json_loadb(evidence.p, evidence.len, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(brought)) {
            cm_err_set(err, "evidence must be a JSON object: %s",
                       brought == NULL ? error.text : "it is of another type");
            json_decref(brought);
            return NULL;
        }
    }
    json_t *document = json_pack("{s:s%}", "actor", actor.p, actor.len);
    bool failed = document == NULL;
    if (ref.len > 0) {
        failed |= json_object_set_new(document, "ref", json_stringn(ref.p, ref.len)) != 0;
    }
    if (brought != NULL) {
        failed |= json_object_set_new(document, "evidence", brought) != 0;
    }
    char *text = !failed ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (text == NULL) {
        cm_err_set(err, "evidence, reference and actor must be UTF-8");
    } else if (cm_span_of(text).len > CM_LIMIT_EVIDENCE_BYTES) {
        cm_err_set(err, "evidence is longer than %d bytes", CM_LIMIT_EVIDENCE_BYTES);
        free(text);
        text = NULL;
    }
    return text;
}

static bool run(const struct cm_writer *writer, struct cm_write *write, const char *document, struct cm_act_result *out,
                struct cm_err *err)
{
    if (!cm_random_bytes(write->event_id, sizeof(write->event_id))) {
        cm_err_set(err, "the system has no random bytes");
        return false;
    }
    write->document = cm_span_of(document);
    out->basis = write->record.kind;
    writer->write(writer->context, write, &out->write, err);
    return true;
}

static cm_ms now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return (cm_ms)now.tv_sec * 1000;
}

/* LAW-7: calendar months, UTC, end of day. */
static bool implied_expiry(const struct cm_grant *grant, uint32_t *out_expiry_s, struct cm_err *err)
{
    if (grant->implied_by < CM_STATE_PURCHASE || grant->implied_by > CM_STATE_INQUIRY || grant->anchor_at == 0) {
        cm_err_set(err, "implied consent needs what it follows from (purchase, contract, membership or inquiry) and an "
                        "anchor date");
        return false;
    }
    unsigned months = grant->implied_by == CM_STATE_INQUIRY ? MONTHS_OF_INQUIRY : MONTHS_OF_BUSINESS;
    bool may_last = grant->implied_by == CM_STATE_CONTRACT || grant->implied_by == CM_STATE_MEMBERSHIP;
    if (grant->anchor_at > now_ms() && !may_last) { /* the end of a contract may be known beforehand */
        cm_err_set(err, "the anchor date lies in the future");
        return false;
    }
    cm_ms until = cm_time_add_months_end_of_day(grant->anchor_at, months);
    if (until / 1000 > UINT32_MAX) {
        cm_err_set(err, "the anchor date lies too far in the future");
        return false;
    }
    *out_expiry_s = (uint32_t)(until / 1000);
    return true;
}

static bool statement_exists(const struct cm_registry_purpose *purpose, uint16_t version)
{
    for (size_t i = 0; i < purpose->statement_count; i++) {
        if (purpose->statements[i].version == version) {
            return true;
        }
    }
    return version == 0;
}

bool cm_consent_grant(const struct cm_writer *writer, const struct cm_grant *grant, struct cm_act_result *out,
                      struct cm_err *err)
{
    struct cm_write write = {
        .rank = grant->rank,
        .act = CM_ACT_GRANT,
        .subject = grant->subject,
        .sender_scope = grant->purpose->scopes.ids[grant->purpose->scopes.count - 2],
        .record = {.scope = grant->purpose->scopes.ids[0],
                   .kind = grant->basis,
                   .state = CM_STATE_GIVEN,
                   .rank = grant->rank,
                   .source = grant->source,
                   .statement = grant->statement,
                   .event_at = grant->at},
    };
    *out = (struct cm_act_result){0};
    if (!statement_exists(grant->purpose, grant->statement)) {
        cm_err_set(err, "%s has no statement version %u: publish it first", grant->purpose->path, grant->statement);
        return false;
    }
    if (grant->basis == CM_KIND_IMPLIED) {
        if (!implied_expiry(grant, &write.record.expiry_s, err)) {
            return false;
        }
        write.record.state = grant->implied_by;
    }
    if (grant->basis == CM_KIND_GRANT &&
        (grant->source == CM_SOURCE_UNSET || grant->statement == 0 || grant->evidence.len == 0)) {
        write.record.kind = CM_KIND_ASSERTED; /* LAW-6 */
        out->downgraded = true;
    }
    char *document = make_document(grant->actor, grant->ref, grant->evidence, err);
    bool ok = document != NULL && run(writer, &write, document, out, err);
    free(document);
    return ok;
}

bool cm_consent_withdraw(const struct cm_writer *writer, const struct cm_withdrawal *withdrawal,
                         struct cm_act_result *out, struct cm_err *err)
{
    struct cm_write write = {
        .rank = withdrawal->rank,
        .act = CM_ACT_WITHDRAW,
        .subject = withdrawal->subject,
        .sender_scope = withdrawal->sender_scope,
        .record = {.scope = withdrawal->scope,
                   .kind = CM_KIND_STOP,
                   .state = withdrawal->how,
                   .rank = withdrawal->rank,
                   .source = withdrawal->source,
                   .event_at = withdrawal->at},
    };
    *out = (struct cm_act_result){0};
    char *document = make_document(withdrawal->actor, CM_SPAN(""), CM_SPAN(""), err);
    bool ok = document != NULL && run(writer, &write, document, out, err);
    free(document);
    return ok;
}
