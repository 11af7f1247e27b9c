#include "ops/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void values_are_quoted_when_they_must_be(void **state)
{
    (void)state;
    static const struct {
        struct cm_span value;
        const char *want;
    } rows[] = {
        {CM_SPAN("plain"), " k=plain"},
        {CM_SPAN("AZaz09@._:/+-"), " k=AZaz09@._:/+-"},
        {CM_SPAN(""), " k=\"\""},
        {{NULL, 0}, " k=\"\""},
        {CM_SPAN("two words"), " k=\"two\\x20words\""},
        {CM_SPAN("a=b"), " k=\"a\\x3Db\""},
        {CM_SPAN("say \"hi\""), " k=\"say\\x20\\x22hi\\x22\""},
        {CM_SPAN("back\\slash"), " k=\"back\\x5Cslash\""},
        {CM_SPAN("line\r\nid=forged"), " k=\"line\\x0D\\x0Aid\\x3Dforged\""},
        {CM_SPAN("nul\0inside"), " k=\"nul\\x00inside\""},
        {CM_SPAN("\x7f\x1b[31m"), " k=\"\\x7F\\x1B\\x5B31m\""},
        {CM_SPAN("caf\xc3\xa9"), " k=\"caf\\xC3\\xA9\""},
        {CM_SPAN("\xff"), " k=\"\\xFF\""},
        {CM_SPAN("100%"), " k=\"100\\x25\""},
        {CM_SPAN("%s%n"), " k=\"\\x25s\\x25n\""},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char storage[128];
        struct cm_text line = cm_text_over(storage, sizeof(storage));
        cm_log_add(&line, "k", rows[i].value);
        assert_string_equal(storage, rows[i].want);
        assert_int_equal(line.len, strlen(rows[i].want));
    }
}

static void a_queue_id_cannot_pretend_to_be_more(void **state)
{
    (void)state;
    static const struct {
        struct cm_span id;
        const char *want;
    } rows[] = {
        {CM_SPAN("4XyZ09-a_b"), "4XyZ09-a_b:"}, {CM_SPAN(""), "NOQUEUE:"},        {{NULL, 0}, "NOQUEUE:"},
        {CM_SPAN("A id=x"), "A?id?x:"},         {CM_SPAN("A:\r\n%n"), "A????n:"}, {CM_SPAN("\xff\0x"), "??x:"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char storage[128];
        struct cm_text line = cm_text_over(storage, sizeof(storage));
        cm_log_begin(&line, rows[i].id);
        assert_string_equal(storage, rows[i].want);
    }
    char storage[128];
    char id[200];
    struct cm_text line = cm_text_over(storage, sizeof(storage));
    memset(id, 'A', sizeof(id));
    cm_log_begin(&line, (struct cm_span){id, sizeof(id)});
    assert_int_equal(line.len, 64 + 1);
}

static void every_byte_is_plain_or_printable_in_quotes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char storage[16];
        char byte = (char)c;
        struct cm_text line = cm_text_over(storage, sizeof(storage));
        cm_log_add(&line, "k", (struct cm_span){&byte, 1});
        bool plain = cm_ascii_is_alnum(byte) || (c != 0 && strchr("@._:/+-", byte) != NULL);
        assert_int_equal(storage[3] == '"', !plain);
        for (size_t i = 0; i < line.len; i++) {
            assert_in_range(storage[i], ' ', '~');
        }
    }
}

static void a_line_that_is_full_is_cut_and_ends_in_a_nul(void **state)
{
    (void)state;
    for (size_t size = 1; size < 24; size++) {
        char storage[32];
        memset(storage, 0x5a, sizeof(storage));
        struct cm_text line = cm_text_over(storage, size);
        cm_log_add(&line, "key", CM_SPAN("\n\n\n\n"));
        assert_int_equal(line.truncated, size < sizeof(" key=\"\\x0A\\x0A\\x0A\\x0A\""));
        assert_int_equal(storage[line.len], '\0');
        assert_int_equal(storage[size], 0x5a);
    }
}

/* What reaches standard error while `write_line` runs. */
static size_t captured(void (*write_line)(void), char *out, size_t size)
{
    int ends[2];
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && pipe2(ends, O_CLOEXEC) == 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    write_line();
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    (void)close(ends[1]);
    ssize_t n = read(ends[0], out, size - 1);
    (void)close(ends[0]);
    assert_true(n >= 0);
    out[n] = '\0';
    return (size_t)n;
}

static void write_control_bytes(void)
{
    cm_log_line(CM_LOG_INFO, CM_SPAN("a\nb\rc\0d\x1b[2Je\x7f\tf"));
}

static void write_levels(void)
{
    cm_log(CM_LOG_ERROR, "number %d", 1);
    cm_log(CM_LOG_WARNING, "number %d", 2);
    cm_log(CM_LOG_NOTICE, "number %d", 3);
    cm_log(CM_LOG_INFO, "%s", "%s%n");
    cm_log_line(CM_LOG_INFO, CM_SPAN(""));
}

static void write_long_lines(void)
{
    static char line[3 * CM_LOG_LINE_BYTES];
    memset(line, 'x', sizeof(line) - 1);
    cm_log_line(CM_LOG_WARNING, cm_span_of(line));
    cm_log(CM_LOG_WARNING, "%s", line);
}

static void control_bytes_never_reach_the_sink(void **state)
{
    (void)state;
    char text[256];
    (void)captured(write_control_bytes, text, sizeof(text));
    assert_string_equal(text, "a?b?c?d?[2Je??f\n");
}

static void a_level_is_said_and_a_format_is_read_once(void **state)
{
    (void)state;
    char text[256];
    (void)captured(write_levels, text, sizeof(text));
    assert_string_equal(text, "error: number 1\nwarning: number 2\nnumber 3\n%s%n\n\n");
}

static void long_lines_are_cut_and_stay_lines(void **state)
{
    (void)state;
    char text[8 * CM_LOG_LINE_BYTES];
    size_t len = captured(write_long_lines, text, sizeof(text));
    const char *first_end = strchr(text, '\n');
    assert_non_null(first_end);
    assert_int_equal(text[len - 1], '\n');
    assert_ptr_equal(strchr(first_end + 1, '\n'), text + len - 1);
    assert_in_range(first_end - text, CM_LOG_LINE_BYTES, CM_LOG_LINE_BYTES + 16);
    assert_in_range((size_t)(text + len - 1 - first_end), CM_LOG_LINE_BYTES - 1, CM_LOG_LINE_BYTES + 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_quoted_when_they_must_be),
        cmocka_unit_test(a_queue_id_cannot_pretend_to_be_more),
        cmocka_unit_test(every_byte_is_plain_or_printable_in_quotes),
        cmocka_unit_test(a_line_that_is_full_is_cut_and_ends_in_a_nul),
        cmocka_unit_test(control_bytes_never_reach_the_sink),
        cmocka_unit_test(a_level_is_said_and_a_format_is_read_once),
        cmocka_unit_test(long_lines_are_cut_and_stay_lines),
    };
    cm_log_open("test", true);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
