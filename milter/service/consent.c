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

/* The evidence as an object; NULL and err if it is none. Empty evidence is an empty object. */
static json_t *read_evidence(struct cm_span evidence, struct cm_err *err)
{
    json_error_t error = {.text = ""};
    if (evidence.len == 0) {
        return json_object();
    }
    json_t *brought = json_loadb(evidence.p, evidence.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(brought)) {
        cm_err_set(err, "evidence must be a JSON object: %s", brought == NULL ? error.text : "it is of another type");
        json_decref(brought);
        return NULL;
    }
    return brought;
}

/* Who did it, in which words, and the proof, as one JSON text for the caller to free; NULL and err if it is none.
 * Consumes `evidence`. */
static char *make_document(const struct cm_deed *deed, json_t *evidence, struct cm_err *err)
{
    json_t *document = json_pack("{s:s%}", "actor", deed->actor.p, deed->actor.len);
    bool failed = document == NULL;
    if (deed->language.len > 0) {
        failed |= json_object_set_new(document, "language", json_stringn(deed->language.p, deed->language.len)) != 0;
    }
    if (deed->ref.len > 0) {
        failed |= json_object_set_new(document, "ref", json_stringn(deed->ref.p, deed->ref.len)) != 0;
    }
    if (json_object_size(evidence) > 0) {
        failed |= json_object_set(document, "evidence", evidence) != 0;
    }
    char *text = !failed ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    json_decref(evidence);
    if (text == NULL) {
        cm_err_set(err, "evidence, reference, language and actor must be UTF-8");
    } else if (cm_span_of(text).len > CM_LIMIT_EVIDENCE_BYTES) {
        cm_err_set(err, "evidence is longer than %d bytes", CM_LIMIT_EVIDENCE_BYTES);
        free(text);
        text = NULL;
    }
    return text;
}

/* A write with what every act has in common. */
static struct cm_write begin_write(const struct cm_deed *deed, enum cm_act act, enum cm_kind kind, unsigned state,
                                   uint32_t scope, uint32_t sender_scope)
{
    return (struct cm_write){
        .rank = deed->rank,
        .act = act,
        .subject = deed->subject,
        .sender_scope = sender_scope,
        .record = {.scope = scope,
                   .kind = kind,
                   .state = state,
                   .rank = deed->rank,
                   .source = deed->source,
                   .event_at = deed->at},
    };
}

/* Runs the write with a new event id. `evidence` is consumed. */
static bool run(const struct cm_writer *writer, struct cm_write *write, const struct cm_deed *deed, json_t *evidence,
                struct cm_act_result *out, struct cm_err *err)
{
    char *document = make_document(deed, evidence, err);
    bool ok = document != NULL;
    if (ok && !cm_random_bytes(write->event_id, sizeof(write->event_id))) {
        cm_err_set(err, "the system has no random bytes");
        ok = false;
    }
    if (ok) {
        write->document = cm_span_of(document);
        out->kind = write->record.kind;
        writer->write(writer->context, write, &out->write, err);
    }
    free(document);
    return ok;
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
    bool may_last = grant->implied_by == CM_STATE_CONTRACT || grant->implied_by == CM_STATE_MEMBERSHIP;
    if (grant->implied_by < CM_STATE_PURCHASE || grant->implied_by > CM_STATE_INQUIRY ||
        (grant->anchor_at == 0 && !may_last)) {
        cm_err_set(err, "implied consent needs what it follows from (purchase, contract, membership or inquiry) and an "
                        "anchor date; a contract or membership that lasts has none");
        return false;
    }
    if (grant->anchor_at == 0) {
        *out_expiry_s = 0; /* while it lasts; its end is recorded as another grant */
        return true;
    }
    if (grant->anchor_at > now_ms() && !may_last) { /* the end of a contract may be known beforehand */
        cm_err_set(err, "the anchor date lies in the future");
        return false;
    }
    unsigned months = grant->implied_by == CM_STATE_INQUIRY ? MONTHS_OF_INQUIRY : MONTHS_OF_BUSINESS;
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

/* PECR reg. 22(3): without all three there is no soft opt-in. */
static bool has_soft_optin_proofs(const json_t *evidence, struct cm_err *err)
{
    static const char *const proofs[] = {"from_sale", "similar_products", "refusal_offered"};
    for (size_t i = 0; i < sizeof(proofs) / sizeof(proofs[0]); i++) {
        if (!json_is_true(json_object_get(evidence, proofs[i]))) {
            cm_err_set(
                err,
                "soft_optin needs evidence with from_sale, similar_products and refusal_offered, all true; %s is "
                "not",
                proofs[i]);
            return false;
        }
    }
    return true;
}

/* What depends on the basis. LAW-6, LAW-7 */
static bool apply_basis(const struct cm_grant *grant, const json_t *evidence, struct cm_write *write,
                        struct cm_act_result *out, struct cm_err *err)
{
    bool has_proof = json_object_size(evidence) > 0;
    if (grant->by_guardian && (grant->basis != CM_KIND_GRANT || !has_proof)) {
        cm_err_set(err, "a guardian's consent is express and has evidence");
        return false;
    }
    if (grant->basis == CM_KIND_IMPLIED) {
        write->record.state = grant->implied_by;
        return implied_expiry(grant, &write->record.expiry_s, err);
    }
    if (grant->basis == CM_KIND_SOFT_OPTIN) {
        return has_soft_optin_proofs(evidence, err);
    }
    if (grant->basis == CM_KIND_GRANT &&
        (grant->deed.source == CM_SOURCE_UNSET || grant->statement == 0 || !has_proof)) {
        if (grant->by_guardian) {
            cm_err_set(err, "a guardian's consent needs source, statement version and evidence");
            return false;
        }
        write->record.kind = CM_KIND_ASSERTED; /* LAW-6 */
        out->downgraded = true;
    }
    return true;
}

bool cm_consent_grant(const struct cm_writer *writer, const struct cm_grant *grant, struct cm_act_result *out,
                      struct cm_err *err)
{
    const struct cm_scope_path *path = &grant->purpose->scopes;
    struct cm_write write = begin_write(&grant->deed, CM_ACT_GRANT, grant->basis, CM_STATE_GIVEN, path->ids[0],
                                        path->ids[path->count - 2]);
    write.record.statement = grant->statement;
    write.record.flags = grant->by_guardian ? CM_RECORD_BY_GUARDIAN : 0;
    write.related = path->ids + 1;
    write.related_count = path->count - 2;
    *out = (struct cm_act_result){0};
    if (!statement_exists(grant->purpose, grant->statement)) {
        cm_err_set(err, "%s has no statement version %u: publish it first", grant->purpose->path, grant->statement);
        return false;
    }
    json_t *evidence = read_evidence(grant->deed.evidence, err);
    if (evidence == NULL || !apply_basis(grant, evidence, &write, out, err)) {
        json_decref(evidence);
        return false;
    }
    return run(writer, &write, &grant->deed, evidence, out, err);
}

bool cm_consent_stop(const struct cm_writer *writer, const struct cm_stop *stop, struct cm_act_result *out,
                     struct cm_err *err)
{
    struct cm_write write = begin_write(&stop->deed, stop->act, stop->kind, stop->state, stop->scope,
                                        stop->sender_scope);
    *out = (struct cm_act_result){0};
    json_t *evidence = read_evidence(stop->deed.evidence, err);
    return evidence != NULL && run(writer, &write, &stop->deed, evidence, out, err);
}

/* The scopes below, for the caller to free; NULL without memory. */
static uint32_t *list_below(const struct cm_registry *registry, uint32_t scope, size_t *out_count)
{
    size_t count = cm_registry_below(registry, scope, NULL, 0);
    uint32_t *below = calloc(count + 1, sizeof(*below));
    if (below != NULL) {
        *out_count = cm_registry_below(registry, scope, below, count);
    }
    return below;
}

bool cm_consent_erase(const struct cm_writer *writer, const struct cm_deed *deed, uint32_t scope,
                      const struct cm_registry *registry, struct cm_act_result *out, struct cm_err *err)
{
    struct cm_write write = begin_write(deed, CM_ACT_ERASE, CM_KIND_ERASED, CM_STATE_GIVEN, scope, scope);
    uint32_t *below = list_below(registry, scope, &write.related_count);
    *out = (struct cm_act_result){0};
    if (below == NULL) {
        cm_err_set(err, "out of memory");
        return false;
    }
    write.related = below;
    write.record.source = CM_SOURCE_UNSET; /* nothing but the hash and the date stays */
    json_t *evidence = read_evidence(deed->evidence, err);
    bool ok = evidence != NULL && run(writer, &write, deed, json_incref(evidence), out, err);
    bool done = out->write.status >= CM_WRITE_APPLIED && out->write.status <= CM_WRITE_DUPLICATE;
    if (ok && done && cm_subject_has_family(&deed->subject)) {
        write.under_exact = true;
        ok = run(writer, &write, deed, json_incref(evidence), out, err);
    }
    json_decref(evidence);
    free(below);
    return ok;
}
