/* Who may record what: every grant, stop and erasure as it reaches the store. LAW-5, LAW-6, LAW-7, LAW-15 */
#include "service/consent.h"

#include "../store/fake_store.h"
#include "store/admin.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PROOF "{\"url\":\"https://acme.example\"}"
#define SOFT_PROOFS "{\"from_sale\":true,\"similar_products\":true,\"refusal_offered\":true}"

/* A writer that keeps what it is given and answers as told. */
struct bench {
    struct cm_writer writer;
    enum cm_write_status answers[2]; /* to one write after the other; UNSET: APPLIED */
    unsigned writes;
    struct cm_write write[2];
    char document[2][CM_LIMIT_EVIDENCE_BYTES + 1];
    uint32_t related[2][8];
    struct cm_registry_purpose purpose;
    struct cm_statement statement;
    struct cm_act_result result;
    struct cm_err err;
};

static void keep(void *context, const struct cm_write *write, struct cm_write_result *out, struct cm_err *err)
{
    struct bench *bench = context;
    unsigned at = bench->writes++;
    assert_in_range(at, 0, 1);
    bench->write[at] = *write;
    assert_in_range(write->document.len, 1, CM_LIMIT_EVIDENCE_BYTES);
    memcpy(bench->document[at], write->document.p, write->document.len);
    bench->document[at][write->document.len] = '\0';
    assert_in_range(write->related_count, 0, 8);
    for (size_t i = 0; i < write->related_count; i++) {
        bench->related[at][i] = write->related[i];
    }
    enum cm_write_status answer = bench->answers[at] != CM_WRITE_UNSET ? bench->answers[at] : CM_WRITE_APPLIED;
    *out = (struct cm_write_result){.status = answer, .ledger = at + 1};
    cm_err_set(err, "as told");
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    bench->writer = (struct cm_writer){keep, bench};
    bench->statement = (struct cm_statement){.version = 3};
    bench->purpose = (struct cm_registry_purpose){.path = "acme/offers/partners",
                                                  .scopes = {.ids = {7, 6, 5, 0}, .count = 4},
                                                  .statements = &bench->statement,
                                                  .statement_count = 1};
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static struct cm_grant complete(const struct bench *bench)
{
    return (struct cm_grant){
        .deed = {.subject = {.partition = 7, .exact = "ann-----", .family = "ann-----"},
                 .rank = CM_RANK_OFFICER,
                 .source = CM_SOURCE_PAPER,
                 .actor = CM_SPAN("otto"),
                 .evidence = CM_SPAN(PROOF)},
        .purpose = &bench->purpose,
        .basis = CM_KIND_GRANT,
        .statement = 3,
    };
}

static bool grant(struct bench *bench, const struct cm_grant *grant)
{
    bench->writes = 0;
    bench->err.text[0] = '\0';
    return cm_consent_grant(&bench->writer, grant, &bench->result, &bench->err);
}

static void a_grant_reaches_the_store(void **state)
{
    struct bench *bench = *state;
    struct cm_grant asked = complete(bench);
    asked.deed.at = 1234;
    asked.deed.language = CM_SPAN("de");
    asked.deed.ref = CM_SPAN("crm-1");
    assert_true(grant(bench, &asked));
    const struct cm_write *write = &bench->write[0];
    assert_int_equal(bench->writes, 1);
    assert_int_equal(write->act, CM_ACT_GRANT);
    assert_int_equal(write->rank, CM_RANK_OFFICER);
    assert_int_equal(write->record.scope, 7);
    assert_int_equal(write->record.kind, CM_KIND_GRANT);
    assert_int_equal(write->record.state, CM_STATE_GIVEN);
    assert_int_equal(write->record.source, CM_SOURCE_PAPER);
    assert_int_equal(write->record.statement, 3);
    assert_int_equal(write->record.event_at, 1234);
    assert_int_equal(write->record.expiry_s, 0);
    assert_int_equal(write->record.flags, 0);
    assert_int_equal(write->sender_scope, 5);
    assert_int_equal(write->related_count, 2); /* those above, so that an erasure of them is seen */
    assert_int_equal(bench->related[0][0], 6);
    assert_int_equal(bench->related[0][1], 5);
    assert_string_equal(bench->document[0],
                        "{\"actor\":\"otto\",\"language\":\"de\",\"ref\":\"crm-1\",\"evidence\":" PROOF "}");
    assert_false(bench->result.downgraded);
    uint8_t first[CM_EVENT_ID_BYTES];
    memcpy(first, write->event_id, sizeof(first));
    assert_true(grant(bench, &asked));
    assert_memory_not_equal(first, bench->write[0].event_id, sizeof(first));
}

/* LAW-6 */
static void incomplete_express_is_asserted(void **state)
{
    struct bench *bench = *state;
    for (unsigned missing = 0; missing < 8; missing++) {
        struct cm_grant asked = complete(bench);
        asked.deed.source = (missing & 1U) != 0 ? CM_SOURCE_UNSET : CM_SOURCE_PAPER;
        asked.statement = (missing & 2U) != 0 ? 0 : 3;
        asked.deed.evidence = (missing & 4U) != 0 ? CM_SPAN("{}") : CM_SPAN(PROOF);
        assert_true(grant(bench, &asked));
        enum cm_kind want = missing == 0 ? CM_KIND_GRANT : CM_KIND_ASSERTED;
        assert_int_equal(bench->write[0].record.kind, want);
        assert_int_equal(bench->result.kind, want);
        assert_int_equal(bench->result.downgraded, missing != 0);
        asked.by_guardian = true; /* LAW-15: such a consent is complete or none */
        assert_int_equal(grant(bench, &asked), missing == 0);
        assert_int_equal(bench->writes, missing == 0 ? 1 : 0);
        if (missing == 0) {
            assert_int_equal(bench->write[0].record.flags, CM_RECORD_BY_GUARDIAN);
        }
    }
}

static void only_express_consent_comes_from_a_guardian(void **state)
{
    struct bench *bench = *state;
    static const enum cm_kind kinds[] = {CM_KIND_IMPLIED, CM_KIND_SOFT_OPTIN, CM_KIND_ASSERTED};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct cm_grant asked = complete(bench);
        asked.basis = kinds[i];
        asked.implied_by = CM_STATE_CONTRACT;
        asked.deed.evidence = CM_SPAN(SOFT_PROOFS);
        assert_true(grant(bench, &asked));
        asked.by_guardian = true;
        assert_false(grant(bench, &asked));
        assert_non_null(strstr(bench->err.text, "guardian"));
    }
}

/* PECR reg. 22(3) */
static void soft_optin_needs_each_proof(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *evidence;
        const char *missing; /* NULL: none */
    } rows[] = {
        {SOFT_PROOFS, NULL},
        {"", "from_sale is"},
        {"{\"similar_products\":true,\"refusal_offered\":true}", "from_sale is"},
        {"{\"from_sale\":true,\"refusal_offered\":true}", "similar_products is"},
        {"{\"from_sale\":true,\"similar_products\":true}", "refusal_offered is"},
        {"{\"from_sale\":1,\"similar_products\":true,\"refusal_offered\":true}", "from_sale is"},
        {"{\"from_sale\":true,\"similar_products\":\"true\",\"refusal_offered\":true}", "similar_products is"},
        {"{\"from_sale\":true,\"similar_products\":true,\"refusal_offered\":null}", "refusal_offered is"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_grant asked = complete(bench);
        asked.basis = CM_KIND_SOFT_OPTIN;
        asked.deed.evidence = cm_span_of(rows[i].evidence);
        assert_int_equal(grant(bench, &asked), rows[i].missing == NULL);
        assert_int_equal(bench->writes, rows[i].missing == NULL ? 1 : 0);
        assert_true(rows[i].missing == NULL || strstr(bench->err.text, rows[i].missing) != NULL);
    }
}

/* LAW-7: calendar months, UTC, to the end of the day. */
static void implied_consent_lapses_by_its_kind(void **state)
{
    struct bench *bench = *state;
    static const struct {
        enum cm_state by;
        const char *anchor;
        const char *until; /* NULL: refused; "": it lasts */
    } rows[] = {
        {CM_STATE_PURCHASE, "2026-01-31", "2028-01-31T23:59:59Z"},
        {CM_STATE_PURCHASE, "2024-02-29", "2026-02-28T23:59:59Z"},
        {CM_STATE_PURCHASE, NULL, NULL},
        {CM_STATE_PURCHASE, "2199-01-01", NULL},
        {CM_STATE_CONTRACT, "2024-02-29", "2026-02-28T23:59:59Z"},
        {CM_STATE_CONTRACT, "2099-12-31", "2101-12-31T23:59:59Z"}, /* its end may be known beforehand */
        {CM_STATE_CONTRACT, NULL, ""},
        {CM_STATE_CONTRACT, "2105-01-01", NULL}, /* past what a record can hold */
        {CM_STATE_MEMBERSHIP, "2025-06-30T10:00:00Z", "2027-06-30T23:59:59Z"},
        {CM_STATE_MEMBERSHIP, NULL, ""},
        {CM_STATE_INQUIRY, "2025-08-31", "2026-02-28T23:59:59Z"},
        {CM_STATE_INQUIRY, NULL, NULL},
        {CM_STATE_INQUIRY, "2199-01-01", NULL},
        {CM_STATE_UNSET, "2025-01-01", NULL},
        {(enum cm_state)5, "2025-01-01", NULL},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cm_ms until = 0;
        struct cm_grant asked = complete(bench);
        asked.basis = CM_KIND_IMPLIED;
        asked.implied_by = rows[i].by;
        assert_true(rows[i].anchor == NULL || cm_time_parse(cm_span_of(rows[i].anchor), &asked.anchor_at));
        bool is_taken = grant(bench, &asked);
        if (is_taken != (rows[i].until != NULL)) {
            fail_msg("row %zu: %s", i, bench->err.text);
        }
        if (is_taken) {
            assert_true(rows[i].until[0] == '\0' || cm_time_parse(cm_span_of(rows[i].until), &until));
            assert_int_equal(bench->write[0].record.expiry_s, until / 1000);
            assert_int_equal(bench->write[0].record.state, rows[i].by);
        }
    }
}

static void what_is_wrong_in_itself_is_never_tried(void **state)
{
    struct bench *bench = *state;
    static char large[CM_LIMIT_EVIDENCE_BYTES + 32];
    (void)snprintf(large, sizeof(large), "{\"e\":\"%0*d\"}", CM_LIMIT_EVIDENCE_BYTES, 0); /* fits */
    const struct cm_span wrong[] = {CM_SPAN("[1]"),   CM_SPAN("{"),    CM_SPAN("null"),
                                    CM_SPAN("{}x"),   CM_SPAN("\xff"), CM_SPAN("{\"a\":1,\"a\":2}"),
                                    cm_span_of(large)};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct cm_grant asked = complete(bench);
        asked.deed.evidence = wrong[i];
        assert_false(grant(bench, &asked));
        assert_string_not_equal(bench->err.text, "");
        struct cm_stop stop = {.deed = asked.deed, .act = CM_ACT_WITHDRAW, .kind = CM_KIND_STOP, .state = 2};
        assert_false(cm_consent_stop(&bench->writer, &stop, &bench->result, &bench->err));
        assert_false(
            cm_consent_erase(&bench->writer, &asked.deed, CM_SCOPE_EVERYBODY, NULL, &bench->result, &bench->err));
    }
    struct cm_grant asked = complete(bench);
    asked.statement = 2;
    assert_false(grant(bench, &asked));
    assert_non_null(strstr(bench->err.text, "no statement version 2"));
    asked = complete(bench);
    asked.deed.ref = CM_SPAN("\xff");
    assert_false(grant(bench, &asked));
    assert_non_null(strstr(bench->err.text, "UTF-8"));
    assert_int_equal(bench->writes, 0);
}

static void a_stop_reaches_the_store(void **state)
{
    struct bench *bench = *state;
    static const struct {
        enum cm_act act;
        enum cm_kind kind;
        unsigned state;
    } rows[] = {{CM_ACT_WITHDRAW, CM_KIND_STOP, CM_STATE_OBJECTED},
                {CM_ACT_RESTRICT, CM_KIND_RESTRICTED, CM_STATE_DECEASED},
                {CM_ACT_SUSPEND, CM_KIND_SUSPENDED, CM_STATE_CASE},
                {CM_ACT_END, CM_KIND_RESTRICTED, CM_STATE_MINOR}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_stop stop = {.deed = complete(bench).deed,
                               .act = rows[i].act,
                               .kind = rows[i].kind,
                               .state = rows[i].state,
                               .scope = 6,
                               .sender_scope = 5};
        bench->writes = 0;
        assert_true(cm_consent_stop(&bench->writer, &stop, &bench->result, &bench->err));
        const struct cm_write *write = &bench->write[0];
        assert_int_equal(write->act, rows[i].act);
        assert_int_equal(write->record.kind, rows[i].kind);
        assert_int_equal(write->record.state, rows[i].state);
        assert_int_equal(write->record.scope, 6);
        assert_int_equal(write->record.expiry_s, 0);
        assert_int_equal(write->sender_scope, 5);
        assert_int_equal(write->related_count, 0);
    }
}

/* Both forms of an address are erased, the second even if the first was found to be done already. */
static void an_erasure_takes_both_forms(void **state)
{
    struct bench *bench = *state;
    static const struct {
        bool has_family;
        enum cm_write_status first;
        unsigned writes;
    } rows[] = {
        {false, CM_WRITE_APPLIED, 1},  {true, CM_WRITE_APPLIED, 2},   {true, CM_WRITE_STALE, 2},
        {true, CM_WRITE_DUPLICATE, 2}, {true, CM_WRITE_REFUSED, 1},   {true, CM_WRITE_OTHER_SEAL, 1},
        {true, CM_WRITE_NOT_DONE, 1},  {true, CM_WRITE_UNCERTAIN, 1},
    };
    struct fake_store fake;
    const struct cm_registry *registry = NULL;
    fake_store_start(&fake);
    struct cm_store *store = fake_store_open(&fake);
    assert_int_equal(cm_store_read_registry(store, &registry, &bench->err), CM_TROUBLE_NONE);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_deed deed = complete(bench).deed;
        memcpy(deed.subject.family, rows[i].has_family ? "family--" : "ann-----", CM_FIELD_BYTES);
        bench->writes = 0;
        bench->answers[0] = rows[i].first;
        assert_true(cm_consent_erase(&bench->writer, &deed, 1, registry, &bench->result, &bench->err));
        assert_int_equal(bench->writes, rows[i].writes);
        assert_int_equal(bench->result.write.status, rows[i].writes == 2 ? CM_WRITE_APPLIED : rows[i].first);
        for (unsigned at = 0; at < rows[i].writes; at++) {
            const struct cm_write *write = &bench->write[at];
            assert_int_equal(write->act, CM_ACT_ERASE);
            assert_int_equal(write->under_exact, at == 1);
            assert_int_equal(write->record.kind, CM_KIND_ERASED);
            assert_int_equal(write->record.source, CM_SOURCE_UNSET);
            assert_int_equal(write->sender_scope, 1);
            assert_int_equal(write->related_count, 2);
            assert_int_equal(bench->related[at][0] + bench->related[at][1], FAKE_NEWS + FAKE_OFFERS);
        }
        assert_true(rows[i].writes == 1 ||
                    memcmp(bench->write[0].event_id, bench->write[1].event_id, CM_EVENT_ID_BYTES) != 0);
    }
    struct cm_deed deed = complete(bench).deed;
    bench->writes = 0;
    assert_true(cm_consent_erase(&bench->writer, &deed, CM_SCOPE_EVERYBODY, registry, &bench->result, &bench->err));
    assert_int_equal(bench->write[0].related_count, 0);
    assert_int_equal(bench->write[0].sender_scope, CM_SCOPE_EVERYBODY);
    cm_registry_unref(registry);
    cm_store_free(store);
    fake_stop(&fake.redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_grant_reaches_the_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(incomplete_express_is_asserted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_express_consent_comes_from_a_guardian, set_up, tear_down),
        cmocka_unit_test_setup_teardown(soft_optin_needs_each_proof, set_up, tear_down),
        cmocka_unit_test_setup_teardown(implied_consent_lapses_by_its_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_in_itself_is_never_tried, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_reaches_the_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_erasure_takes_both_forms, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
