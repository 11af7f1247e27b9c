/* The enforcing service and its deadline, over a scripted store. */
#include "../store/fake_store.h"
#include "base/clock.h"
#include "service/enforce.h"

#define SUBJECTS (CM_LIMIT_LOOKUP_BATCH + 1)

static struct fake_store fake;

static int set_up(void **state)
{
    (void)state;
    fake_store_start(&fake);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_stop(&fake.redis);
    return 0;
}

/* Asks about so many subjects of whom nothing is known; the verdicts and reasons must all be these. */
static void ask(int64_t deadline_ms, enum cm_trouble trouble, enum cm_reason reason, unsigned lookups)
{
    static struct cm_subject subjects[SUBJECTS];
    static struct cm_decision decisions[SUBJECTS];
    struct cm_enforce_question question = {
        .purpose = "acme/newsletter", .class = CM_CLASS_MARKETING, .accept_basis = CM_BASIS_EXPRESS};
    struct cm_enforce_context context = {.deadline_ms = deadline_ms};
    struct cm_err err = {""};
    struct cm_arena arena;
    struct cm_address address;
    uint32_t in_use = 0;
    struct cm_store *store = fake_store_open(&fake);
    struct cm_hasher *hasher = cm_keys_hasher(&fake.keys, &in_use);
    cm_arena_init(&arena, CM_LIMIT_SCRATCH_BYTES);
    memset(decisions, 0, sizeof(decisions));
    for (size_t i = 0; i < SUBJECTS; i++) {
        assert_int_equal(cm_address_parse(CM_SPAN("ann@x.test"), &address), CM_ADDRESS_OK);
        assert_true(cm_subject_of(hasher, &address, &subjects[i]));
    }
    unsigned before = fake.lookups;
    assert_int_equal(cm_enforce(store, subjects, SUBJECTS, &question, 1, &arena, decisions, &context, &err), trouble);
    for (size_t i = 0; i < SUBJECTS; i++) {
        assert_int_equal(decisions[i].verdict, reason == CM_REASON_TROUBLE ? CM_VERDICT_DEFER : CM_VERDICT_REFUSE);
        assert_int_equal(decisions[i].reason, reason);
        assert_int_equal(decisions[i].trouble, trouble);
    }
    assert_int_equal(fake.lookups - before, lookups);
    assert_true(trouble == CM_TROUBLE_NONE || err.text[0] != '\0');
    cm_arena_done(&arena);
    cm_hasher_free(hasher);
    cm_store_free(store);
}

static void without_a_deadline_all_are_asked(void **state)
{
    (void)state;
    ask(0, CM_TROUBLE_NONE, CM_REASON_NO_CONSENT, SUBJECTS);
    ask(cm_clock_monotonic_ms() + 60000, CM_TROUBLE_NONE, CM_REASON_NO_CONSENT, SUBJECTS);
}

/* LAW-2 */
static void nothing_is_asked_after_the_deadline(void **state)
{
    (void)state;
    ask(cm_clock_monotonic_ms() - 1, CM_TROUBLE_TIMEOUT, CM_REASON_TROUBLE, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(without_a_deadline_all_are_asked),
        CASE(nothing_is_asked_after_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
