/* Canaries: what a file of them may hold, and which mailboxes they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/canaries.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char file[] = "# planted in June\n"
                           "seed@acme.example\r\n"
                           "\n"
                           "  Other.Seed+x@GMAIL.com  \n"
                           "\"a b\"@acme.example";

static unsigned find(const struct cm_canaries *canaries, const char *text)
{
    struct cm_address address;
    assert_int_equal(cm_address_parse(cm_span_of(text), &address), CM_ADDRESS_OK);
    return cm_canaries_find(canaries, &address);
}

static void a_canary_is_found_in_every_form(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } rows[] = {
        {"seed@acme.example", 2},     {"<SEED@Acme.Example>", 2},      {"<@relay.example:seed@acme.example>", 2},
        {"otherseed@gmail.com", 4},   {"o.t.h.e.r.seed@gmail.com", 4}, {"\"a b\"@acme.example", 5},
        {"seeds@acme.example", 0},    {"seed@acme.example.org", 0},    {"see@acme.example", 0},
        {"seed+tag@acme.example", 0},
    };
    struct cm_arena arena;
    struct cm_canaries canaries;
    unsigned line = 0;
    const char *problem = NULL;
    (void)state;
    cm_arena_init(&arena, 1 << 20);
    assert_true(cm_canaries_parse(cm_span_of(file), &arena, &canaries, &line, &problem));
    assert_int_equal(canaries.count, 3);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (find(&canaries, rows[i].text) != rows[i].line) {
            fail_msg("%s", rows[i].text);
        }
    }
    assert_int_equal(find(&(struct cm_canaries){0}, "seed@acme.example"), 0);
    cm_arena_done(&arena);
}

static void what_is_no_address_is_told_by_its_line(void **state)
{
    static const struct {
        const char *text;
        unsigned line; /* 0: it is right */
    } rows[] = {
        {"", 0},           {"\n\n", 0},       {"#\n # x\n", 0},   {"a@b\nc@d", 0}, {"a@b\nno domain", 2},
        {"postmaster", 1}, {"a@b, c@d\n", 1}, {"a@b # why\n", 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_arena arena;
        struct cm_canaries canaries;
        unsigned line = 0;
        const char *problem = NULL;
        cm_arena_init(&arena, 1 << 20);
        bool ok = cm_canaries_parse(cm_span_of(rows[i].text), &arena, &canaries, &line, &problem);
        if (ok != (rows[i].line == 0) || (!ok && (line != rows[i].line || problem == NULL))) {
            fail_msg("row %zu: %s", i, rows[i].text);
        }
        cm_arena_done(&arena);
    }
}

static void there_is_a_ceiling(void **state)
{
    (void)state;
    for (unsigned count = CM_CANARIES_MAX; count <= CM_CANARIES_MAX + 1; count++) {
        struct cm_arena arena;
        struct cm_canaries canaries;
        unsigned line = 0;
        const char *problem = NULL;
        size_t len = 0;
        char *text = malloc((size_t)count * 20);
        assert_non_null(text);
        for (unsigned i = 0; i < count; i++) {
            len += (size_t)snprintf(text + len, 20, "c%u@d.example\n", i); /* it fits */
        }
        cm_arena_init(&arena, 64 << 20);
        assert_int_equal(cm_canaries_parse((struct cm_span){text, len}, &arena, &canaries, &line, &problem),
                         count == CM_CANARIES_MAX);
        assert_int_equal(line, count);
        if (count == CM_CANARIES_MAX) {
            assert_int_equal(find(&canaries, "c9999@d.example"), 10000);
        }
        free(text);
        cm_arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_canary_is_found_in_every_form),
        cmocka_unit_test(what_is_no_address_is_told_by_its_line),
        cmocka_unit_test(there_is_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
