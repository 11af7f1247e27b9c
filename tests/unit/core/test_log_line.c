/* Decision lines of our own log, whatever stands before them, and everything that is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "core/log_line.h"

#define ID "abuiezbfl332w353yaaaaaafxd"
#define KEY "fedcb0011223344556677"
#define BEGIN "4Test00001: session=00000001-1 id=" ID " verdict=refuse reason=withdrawn"
#define END " stream=acme-news generation=1 purpose=acme/news subject=" KEY

static void a_line_is_read(void **state)
{
    static const char *const prefixes[] = {
        "", "Nov 24 02:00:00 mx consent-milter[17]: ", "2026-11-24T02:00:00.123456+00:00 mx consent-milter: ",
        "<22>1 2026-11-24T02:00:00Z mx consent-milter 17 - - "};
    (void)state;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        char text[1024];
        struct cm_text t = cm_text_over(text, sizeof(text));
        struct cm_log_line line;
        char key[CM_SUBJECT_TEXT_BYTES];
        cm_text_add_str(&t, prefixes[i]);
        cm_text_add_str(&t, BEGIN " mode=observe" END " family=00112233445566aa pepper=3 client=192.0.2.1 "
                                  "auth=\"a\\x20b\\x22 verdict=accept\"\r\n");
        assert_int_equal(CM_LOG_LINE_DECISION, cm_log_line_parse((struct cm_span){text, t.len}, &line));
        assert_string_equal(ID, line.id);
        assert_int_equal(CM_VERDICT_REFUSE, line.verdict);
        assert_int_equal(CM_REASON_WITHDRAWN, line.reason);
        assert_true(line.observed && line.has_subject);
        assert_string_equal("acme-news", line.stream);
        assert_string_equal("acme/news", line.purpose);
        assert_int_equal(0xfedcb >> 10, line.subject.partition);
        assert_int_equal(0xfedcb & 1023, line.subject.bucket);
        assert_int_equal(3, line.subject.pepper);
        assert_int_equal(0xaa, line.subject.family[7]);
        cm_subject_format(&line.subject, key);
        assert_string_equal(KEY, key);
    }
}

static void a_family_that_is_not_told_is_the_address(void **state)
{
    struct cm_log_line line;
    (void)state;
    assert_int_equal(CM_LOG_LINE_DECISION, cm_log_line_parse(CM_SPAN(BEGIN END), &line));
    assert_false(cm_subject_has_family(&line.subject) || line.observed);
    assert_int_equal(0, line.subject.pepper);
}

static void other_lines_and_broken_ones(void **state)
{
    static const struct {
        const char *text;
        enum cm_log_line_status status;
    } rows[] = {
        {BEGIN " stream=\"\\x00acme-news\" generation=1 purpose=acme/news subject=" KEY, CM_LOG_LINE_BROKEN},
        {"", CM_LOG_LINE_OTHER},
        {"Nov 24 mx postfix/smtpd[1]: connect from unknown", CM_LOG_LINE_OTHER},
        {"x: session=1", CM_LOG_LINE_OTHER},
        {" session=1 id=" ID " verdict=refuse", CM_LOG_LINE_OTHER},
        {BEGIN " stream=- purpose=- subject=-", CM_LOG_LINE_DECISION},
        {BEGIN, CM_LOG_LINE_BROKEN},
        {BEGIN " stream=a purpose=- subject=fedcb001122334455667", CM_LOG_LINE_BROKEN},
        {BEGIN " stream=a purpose=- subject=" KEY "7", CM_LOG_LINE_BROKEN},
        {BEGIN " stream=a purpose=- subject=gedcb0011223344556677", CM_LOG_LINE_BROKEN},
        {BEGIN " stream=a purpose=A subject=-", CM_LOG_LINE_BROKEN},
        {BEGIN END END, CM_LOG_LINE_BROKEN},
        {BEGIN END " auth=\"cut", CM_LOG_LINE_BROKEN},
        {BEGIN END " auth=\"cut\\x2\"", CM_LOG_LINE_BROKEN},
        {BEGIN END " auth=\"a\"b", CM_LOG_LINE_BROKEN},
        {BEGIN END " auth", CM_LOG_LINE_BROKEN},
        {BEGIN END " pepper=0", CM_LOG_LINE_BROKEN},
        {BEGIN END " pepper=16", CM_LOG_LINE_BROKEN},
        {"Q: session=1 id=" ID " verdict=maybe reason=withdrawn" END, CM_LOG_LINE_BROKEN},
        {"Q: session=1 id=" ID " verdict=refuse reason=whim" END, CM_LOG_LINE_BROKEN},
        {"Q: session=1 id=short verdict=refuse reason=withdrawn" END, CM_LOG_LINE_BROKEN},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cm_log_line line;
        print_message("%s\n", rows[i].text);
        assert_int_equal(rows[i].status, cm_log_line_parse(cm_span_of(rows[i].text), &line));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_read),
        cmocka_unit_test(a_family_that_is_not_told_is_the_address),
        cmocka_unit_test(other_lines_and_broken_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
