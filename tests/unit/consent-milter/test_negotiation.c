/* What is asked of the MTA, and when a connection that asked for less is too old. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "negotiation.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ALL (~0UL)
#define HEADERS (SMFIF_ADDHDRS | SMFIF_CHGHDRS)

static struct cm_stream plain[] = {{.name = "a", .class = CM_CLASS_MARKETING}};
static struct cm_stream removing[] = {{.name = "a", .class = CM_CLASS_MARKETING, .mixed = CM_MIXED_REMOVE}};
static struct cm_stream holding[] = {{.name = "a", .class = CM_CLASS_MARKETING, .mixed = CM_MIXED_QUARANTINE}};

static const struct cm_stream_table none = {.count = 0};
static const struct cm_stream_table one = {.streams = plain, .count = 1};
static const struct cm_stream_table remover = {.streams = removing, .count = 1};
static const struct cm_stream_table holder = {.streams = holding, .count = 1};

static void no_more_is_asked_than_needed(void **state)
{
    static const struct {
        const struct cm_stream_table *table;
        unsigned long actions;
        bool without_headers;
    } rows[] = {
        {&none, 0, true},
        {&one, HEADERS, false},
        {&remover, HEADERS | SMFIF_DELRCPT, false},
        {&holder, HEADERS | SMFIF_QUARANTINE, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_negotiation all = cm_negotiate(rows[i].table, ALL, ALL);
        assert_int_equal(all.actions, rows[i].actions);
        assert_int_equal((all.steps & SMFIP_NOHDRS) != 0, rows[i].without_headers);
        assert_int_equal(all.steps & SMFIP_NORCPT, 0);
        struct cm_negotiation nothing = cm_negotiate(rows[i].table, 0, 0);
        assert_int_equal(nothing.actions, 0);
        assert_int_equal(nothing.steps, 0);
    }
}

static void what_lacks_something_for_five_minutes_is_outgrown(void **state)
{
    const struct {
        const struct cm_stream_table *had;
        const struct cm_stream_table *now;
        unsigned long offered;
        int64_t age_ms;
        bool is_outgrown;
    } rows[] = {
        {&one, &one, ALL, CM_OUTGROWN_AFTER_MS + 1, false},
        {&one, &remover, ALL, CM_OUTGROWN_AFTER_MS, false},
        {&one, &remover, ALL, CM_OUTGROWN_AFTER_MS + 1, true},
        {&one, &holder, ALL, CM_OUTGROWN_AFTER_MS + 1, true},
        {&remover, &one, ALL, CM_OUTGROWN_AFTER_MS + 1, false},     /* it may more than it must */
        {&one, &remover, HEADERS, CM_OUTGROWN_AFTER_MS + 1, false}, /* a new connection could not either */
        {&none, &one, ALL, CM_OUTGROWN_AFTER_MS + 1, true},         /* headers were left out */
        {&none, &one, ALL, CM_OUTGROWN_AFTER_MS, false},
        {&one, &none, ALL, CM_OUTGROWN_AFTER_MS + 1, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_negotiation had = cm_negotiate(rows[i].had, rows[i].offered, ALL);
        if (cm_negotiation_is_outgrown(&had, rows[i].now, rows[i].age_ms) != rows[i].is_outgrown) {
            fail_msg("row %zu", i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_is_asked_than_needed),
        cmocka_unit_test(what_lacks_something_for_five_minutes_is_outgrown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
