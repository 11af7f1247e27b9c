/* Mailbox files and lists of addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "service/mbox.h"

static void addresses_of_a_list(void **state)
{
    static const struct {
        const char *value;
        const char *expected; /* each behind a blank */
    } rows[] = {
        {"", ""},
        {" , ;", ""},
        {"a@b.test", " a@b.test"},
        {"A <a@b.test>, c@d.test", " a@b.test c@d.test"},
        {"\"x, <no@b.test>\" <a@b.test>", " a@b.test"},
        {"a@b.test (x, y), (z) c@d.test", " a@b.test (z) c@d.test"},
        {"team: a@b.test, C <c@d.test>;, e@f.test", " a@b.test c@d.test e@f.test"},
        {"undisclosed-recipients:;", ""},
        {"\"a b\"@c.test", " \"a b\"@c.test"},
        {"A <a@b.test", " A <a@b.test"}, /* cut: what nobody can take for an address */
        {"\"a\\\"", " \"a\\\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char found[256];
        struct cm_text text = cm_text_over(found, sizeof(found));
        struct cm_span rest = cm_span_of(rows[i].value);
        struct cm_span address;
        while (cm_address_list_next(&rest, &address)) {
            cm_text_add_char(&text, ' ');
            cm_text_add(&text, address);
        }
        assert_string_equal(rows[i].expected, found);
    }
}

static void messages_of_a_file(void **state)
{
    static char text[] =
        "junk\n\nFrom a@b.test Tue Nov 24 02:00:00 2026\nTo: x@y.test,\n z@y.test\n folded\r\nno header\n"
        "\nFrom the body\n\nFrom <> Tue 3:04\n\nFrom c 1:2";
    struct cm_mbox mbox;
    struct cm_mbox_message message;
    struct cm_arena arena;
    FILE *file = fmemopen(text, strlen(text), "r");
    (void)state;
    assert_non_null(file);
    cm_arena_init(&arena, CM_LIMIT_MESSAGE_BYTES);
    cm_mbox_open(&mbox, file);
    assert_true(cm_mbox_next(&mbox, &arena, &message));
    assert_int_equal(3, message.line);
    assert_int_equal(1, message.header_count);
    assert_true(cm_span_equal(CM_SPAN("a@b.test"), message.sender));
    assert_true(cm_span_equal(CM_SPAN("x@y.test, z@y.test folded"), message.headers[0].value));
    assert_true(cm_mbox_next(&mbox, &arena, &message));
    assert_int_equal(11, message.line);
    assert_int_equal(0, message.header_count);
    assert_true(cm_mbox_next(&mbox, &arena, &message));
    assert_int_equal(13, message.line);
    assert_false(message.is_cut);
    assert_false(cm_mbox_next(&mbox, &arena, &message));
    cm_arena_done(&arena);
    (void)fclose(file);
}

/* One header more than is kept: the message is told to be cut, not judged by a part. */
static void too_many_headers(void **state)
{
    struct cm_mbox mbox;
    struct cm_mbox_message message;
    struct cm_arena arena;
    (void)state;
    for (unsigned more = 0; more < 2; more++) {
        FILE *file = tmpfile();
        assert_non_null(file);
        (void)fputs("From a 1:2\n", file);
        for (unsigned i = 0; i < CM_LIMIT_HEADERS_KEPT + more; i++) {
            (void)fputs("A: b\n", file);
        }
        rewind(file);
        cm_arena_init(&arena, CM_LIMIT_MESSAGE_BYTES);
        cm_mbox_open(&mbox, file);
        assert_true(cm_mbox_next(&mbox, &arena, &message));
        assert_int_equal(more == 1, message.is_cut);
        cm_arena_done(&arena);
        (void)fclose(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_a_list),
        cmocka_unit_test(messages_of_a_file),
        cmocka_unit_test(too_many_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
