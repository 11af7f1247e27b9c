/* Rows by name that outlive their configuration, and the shared row once there are too many names. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "service/tally.h"

static void a_name_keeps_its_row(void **state)
{
    (void)state;
    struct cm_tally *tally = cm_tally_new();
    assert_non_null(tally);
    struct cm_tally_row *news = cm_tally_row(tally, "news");
    struct cm_tally_row *none = cm_tally_row(tally, CM_TALLY_NO_STREAM);
    assert_non_null(news);
    assert_ptr_not_equal(news, none);
    assert_ptr_equal(cm_tally_row(tally, "news"), news);
    assert_ptr_equal(cm_tally_at(tally, 0), news);
    assert_ptr_equal(cm_tally_at(tally, 1), none);
    assert_null(cm_tally_at(tally, 2));
    cm_tally_free(tally);
}

static void decisions_count_under_mode_and_trouble(void **state)
{
    (void)state;
    struct cm_tally *tally = cm_tally_new();
    struct cm_tally_row *row = cm_tally_row(tally, "news");
    struct cm_decision refused = cm_decision_of(CM_VERDICT_REFUSE, CM_REASON_NO_CONSENT);
    struct cm_decision deferred = cm_decision_trouble(CM_TROUBLE_TIMEOUT);
    cm_tally_count(tally, row, &refused, false);
    cm_tally_count(tally, row, &refused, true);
    cm_tally_count(tally, row, &refused, true);
    cm_tally_count(tally, row, &deferred, false);
    assert_int_equal(row->applied[CM_REASON_NO_CONSENT], 1);
    assert_int_equal(row->observed[CM_REASON_NO_CONSENT], 2);
    assert_int_equal(row->applied[CM_REASON_TROUBLE], 1);
    assert_int_equal(cm_tally_troubles(tally, CM_TROUBLE_TIMEOUT), 1);
    assert_int_equal(cm_tally_troubles(tally, CM_TROUBLE_UNREACHABLE), 0);
    cm_tally_free(tally);
}

static void names_past_the_ceiling_share_a_row(void **state)
{
    (void)state;
    struct cm_tally *tally = cm_tally_new();
    struct cm_tally_row *last = NULL;
    char name[16];
    for (unsigned i = 0; i < CM_TALLY_ROWS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "s%u", i); /* a small number fits */
        last = cm_tally_row(tally, name);
    }
    assert_string_equal(last->name, name);
    struct cm_tally_row *shared = cm_tally_row(tally, "one more");
    assert_string_equal(shared->name, "other");
    assert_ptr_equal(cm_tally_row(tally, "another"), shared);
    assert_ptr_equal(cm_tally_row(tally, name), last);
    cm_tally_free(tally);
}

static void *count_many(void *context)
{
    struct cm_tally *tally = context;
    struct cm_decision decision = cm_decision_of(CM_VERDICT_ACCEPT, CM_REASON_EXPRESS);
    for (unsigned i = 0; i < 1000; i++) {
        cm_tally_count(tally, cm_tally_row(tally, i % 2 == 0 ? "even" : "odd"), &decision, false);
    }
    return NULL;
}

static void threads_lose_nothing(void **state)
{
    (void)state;
    pthread_t threads[8];
    struct cm_tally *tally = cm_tally_new();
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, tally), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(cm_tally_row(tally, "even")->applied[CM_REASON_EXPRESS], 4000);
    assert_int_equal(cm_tally_row(tally, "odd")->applied[CM_REASON_EXPRESS], 4000);
    assert_null(cm_tally_at(tally, 2));
    cm_tally_free(tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_keeps_its_row),
        cmocka_unit_test(decisions_count_under_mode_and_trouble),
        cmocka_unit_test(names_past_the_ceiling_share_a_row),
        cmocka_unit_test(threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
