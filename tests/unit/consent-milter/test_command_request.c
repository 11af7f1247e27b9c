/* What is asked at the control socket: the commands with what they take, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "command_request.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEN "0123456789"
#define NAME_64 TEN TEN TEN TEN TEN TEN "0123"

static void what_fits(void **state)
{
    static const struct {
        const char *text;
        enum cm_command command;
        const char *stream;
        bool end;
    } rows[] = {
        {"{\"command\":\"status\"}", CM_COMMAND_STATUS, NULL, false},
        {" { \"command\" : \"reload\" } ", CM_COMMAND_RELOAD, NULL, false},
        {"{\"command\":\"observe\"}", CM_COMMAND_OBSERVE, NULL, false},
        {"{\"command\":\"observe\",\"stream\":\"acme-news\"}", CM_COMMAND_OBSERVE, "acme-news", false},
        {"{\"stream\":\"acme-news\",\"command\":\"enforce\"}", CM_COMMAND_ENFORCE, "acme-news", false},
        {"{\"command\":\"enforce\",\"stream\":\"" NAME_64 "\"}", CM_COMMAND_ENFORCE, NAME_64, false},
        {"{\"command\":\"drain\"}", CM_COMMAND_DRAIN, NULL, false},
        {"{\"command\":\"drain\",\"end\":false}", CM_COMMAND_DRAIN, NULL, false},
        {"{\"command\":\"drain\",\"end\":true}", CM_COMMAND_DRAIN, NULL, true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_command_request request;
        if (cm_command_request_read(rows[i].text, &request) != CM_COMMAND_FITS) {
            fail_msg("%s", rows[i].text);
        }
        assert_int_equal(request.command, rows[i].command);
        assert_int_equal(request.end, rows[i].end);
        assert_int_equal(request.has_stream, rows[i].stream != NULL);
        if (rows[i].stream != NULL) {
            assert_string_equal(request.stream, rows[i].stream);
        }
    }
}

static void what_does_not(void **state)
{
    static const struct {
        const char *text;
        enum cm_command_problem problem;
    } rows[] = {
        {"", CM_COMMAND_NO_OBJECT},
        {"status", CM_COMMAND_NO_OBJECT},
        {"\"status\"", CM_COMMAND_NO_OBJECT},
        {"[\"status\"]", CM_COMMAND_NO_OBJECT},
        {"null", CM_COMMAND_NO_OBJECT},
        {"{\"command\":\"reload\"", CM_COMMAND_NO_OBJECT},
        {"{\"command\":\"reload\"} {}", CM_COMMAND_NO_OBJECT},
        {"{\"command\":\"observe\",\"command\":\"enforce\"}", CM_COMMAND_NO_OBJECT},
        {"{\"command\":\"reload\xff\"}", CM_COMMAND_NO_OBJECT},
        {"{\"command\":\"reload\\u0000\"}", CM_COMMAND_NO_OBJECT},
        {"{}", CM_COMMAND_UNKNOWN},
        {"{\"stream\":\"a\"}", CM_COMMAND_UNKNOWN},
        {"{\"command\":7}", CM_COMMAND_UNKNOWN},
        {"{\"command\":null}", CM_COMMAND_UNKNOWN},
        {"{\"command\":\"\"}", CM_COMMAND_UNKNOWN},
        {"{\"command\":\"Status\"}", CM_COMMAND_UNKNOWN},
        {"{\"command\":\"statu\"}", CM_COMMAND_UNKNOWN},
        {"{\"command\":\"statuses\"}", CM_COMMAND_UNKNOWN},
        {"{\"command\":\"observe\",\"strem\":\"a\"}", CM_COMMAND_UNKNOWN_MEMBER},
        {"{\"command\":\"observe\",\"end\":true}", CM_COMMAND_UNKNOWN_MEMBER},
        {"{\"command\":\"drain\",\"stream\":\"a\"}", CM_COMMAND_UNKNOWN_MEMBER},
        {"{\"command\":\"status\",\"stream\":\"a\"}", CM_COMMAND_UNKNOWN_MEMBER},
        {"{\"command\":\"reload\",\"end\":true}", CM_COMMAND_UNKNOWN_MEMBER},
        {"{\"command\":\"observe\",\"stream\":[]}", CM_COMMAND_WRONG_TYPE},
        {"{\"command\":\"observe\",\"stream\":null}", CM_COMMAND_WRONG_TYPE},
        {"{\"command\":\"enforce\",\"stream\":1}", CM_COMMAND_WRONG_TYPE},
        {"{\"command\":\"drain\",\"end\":\"true\"}", CM_COMMAND_WRONG_TYPE},
        {"{\"command\":\"drain\",\"end\":1}", CM_COMMAND_WRONG_TYPE},
        {"{\"command\":\"observe\",\"stream\":\"\"}", CM_COMMAND_BAD_STREAM},
        {"{\"command\":\"observe\",\"stream\":\"" NAME_64 "4\"}", CM_COMMAND_BAD_STREAM},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_command_request request;
        struct cm_command_request untouched;
        memset(&request, 0x5a, sizeof(request));
        memset(&untouched, 0x5a, sizeof(untouched));
        enum cm_command_problem problem = cm_command_request_read(rows[i].text, &request);
        if (problem != rows[i].problem) {
            fail_msg("%s: %d", rows[i].text, (int)problem);
        }
        assert_memory_equal(&request, &untouched, sizeof(request));
        assert_true(strlen(cm_command_problem_text(problem)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits),
        cmocka_unit_test(what_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
