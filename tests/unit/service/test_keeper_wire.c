/* Lines between programs and a keeper. Hostile ones are in tests/system/test_keeper.py and tests/fuzz/fuzz_keeper.c
 * too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/keeper_wire.h"

#define GOOD                                                                                                      \
    "\"do\":\"write\",\"act\":\"withdraw\",\"event\":\"0102030405060708\",\"subject\":\"00401aabbccddeeff0011\"," \
    "\"family\":\"aabbccddeeff0012\",\"sender_scope\":5,\"scope\":7,\"kind\":\"stop\",\"state\":2"

static struct cm_keeper_request *read_line(const char *line, bool *out_ok)
{
    struct cm_err err = {{0}};
    struct cm_keeper_request *request = calloc(1, sizeof(*request));
    assert_non_null(request);
    *out_ok = cm_keeper_request_read(cm_span_of(line), request, &err);
    assert_int_equal(*out_ok, err.text[0] == '\0');
    return request;
}

static void a_write_is_read(void **state)
{
    bool ok = false;
    struct cm_keeper_request *request = read_line(
        "{" GOOD ",\"document\":\"d\\u00e9j\\u00e0\",\"related\":[1,4294967295],\"request\":\"5-6\","
        "\"wait_ms\":60000,\"at\":281474976710655,\"source\":\"staff\",\"exact\":true}",
        &ok);
    (void)state;
    assert_true(ok);
    const struct cm_write *write = &request->write;
    assert_int_equal(write->act, CM_ACT_WITHDRAW);
    assert_int_equal(write->rank, CM_RANK_UNSET); /* LAW-6: that is not the caller's to say */
    assert_int_equal(write->subject.partition, 1);
    assert_int_equal(write->subject.bucket, 1);
    assert_int_equal(write->subject.exact[0], 0xaa);
    assert_int_equal(write->subject.family[7], 0x12);
    assert_int_equal(write->record.kind, CM_KIND_STOP);
    assert_int_equal(write->record.source, CM_SOURCE_STAFF);
    assert_int_equal(write->record.event_at, CM_MS_MAX);
    assert_int_equal(write->related_count, 2);
    assert_int_equal(write->related[1], UINT32_MAX);
    assert_int_equal(write->request, 5 << 16 | 6);
    assert_true(cm_span_equal(write->document, cm_span_of("d\xc3\xa9j\xc3\xa0")));
    assert_true(write->under_exact);
    assert_int_equal(request->wait_ms, 60000);
    free(request);
}

static void what_is_written_is_read(void **state)
{
    uint32_t scopes[] = {0, 9, UINT32_MAX};
    struct cm_write write = {
        .act = CM_ACT_REQUEST,
        .subject = {.partition = 1023, .bucket = 1, .exact = "12345678", .family = "abcdefgh"},
        .sender_scope = 3,
        .record = {.scope = 8,
                   .kind = CM_KIND_REQUEST,
                   .state = CM_STATE_GIVEN,
                   .flags = CM_RECORD_BY_GUARDIAN | CM_RECORD_HAS_EVIDENCE,
                   .source = CM_SOURCE_API,
                   .statement = 65535,
                   .event_at = 77,
                   .expiry_s = UINT32_MAX},
        .event_id = "\x00\xff"
                    "345678",
        .document = CM_SPAN("{\"a\":\"\\\"\"}"),
        .related = scopes,
        .related_count = 3,
        .request = 1 << 16,
    };
    bool ok = false;
    char *line = cm_keeper_request_write(&write, 6000);
    (void)state;
    assert_non_null(line);
    struct cm_keeper_request *read = read_line(line, &ok);
    assert_true(ok);
    assert_int_equal(read->wait_ms, 6000);
    assert_int_equal(read->write.subject.partition, write.subject.partition);
    assert_int_equal(read->write.subject.bucket, write.subject.bucket);
    assert_memory_equal(read->write.subject.exact, write.subject.exact, CM_FIELD_BYTES);
    assert_memory_equal(read->write.subject.family, write.subject.family, CM_FIELD_BYTES);
    assert_memory_equal(read->write.event_id, write.event_id, CM_EVENT_ID_BYTES);
    assert_int_equal(read->write.record.flags, CM_RECORD_BY_GUARDIAN);
    assert_int_equal(read->write.record.expiry_s, UINT32_MAX);
    assert_int_equal(read->write.record.statement, 65535);
    assert_int_equal(read->write.request, 1 << 16);
    assert_memory_equal(read->write.related, scopes, sizeof(scopes));
    assert_true(cm_span_equal(read->write.document, write.document));
    char *again = cm_keeper_request_write(&read->write, read->wait_ms);
    assert_string_equal(again, line);
    free(again);
    free(line);
    free(read);
}

static void what_is_no_request_is_told_so(void **state)
{
    static const char *const lines[] = {
        "",
        "{}",
        "[]",
        "3",
        "{\"do\":3}",
        "{\"do\":\"\"}",
        "{\"do\":\"status\",\"x\":1}",
        "{\"do\":\"status\"} {}",
        "{" GOOD ",\"rank\":\"admin\"}",
        "{" GOOD ",\"state\":2}",
        "{" GOOD ",\"at\":-1}",
        "{" GOOD ",\"at\":281474976710656}",
        "{" GOOD ",\"at\":1.5}",
        "{" GOOD ",\"statement\":65536}",
        "{" GOOD ",\"expiry\":4294967296}",
        "{" GOOD ",\"flags\":1}",
        "{" GOOD ",\"flags\":3}",
        "{" GOOD ",\"wait_ms\":60001}",
        "{" GOOD ",\"source\":\"hearsay\"}",
        "{" GOOD ",\"related\":{}}",
        "{" GOOD ",\"related\":[\"1\"]}",
        "{" GOOD ",\"related\":[4294967296]}",
        "{" GOOD ",\"request\":\"1-65536\"}",
        "{" GOOD ",\"document\":null}",
        "{" GOOD ",\"document\":\"\\u0000\"}",
        "{" GOOD ",\"exact\":\"yes\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        bool ok = true;
        free(read_line(lines[i], &ok));
        if (ok) {
            fail_msg("read: %s", lines[i]);
        }
    }
}

static void answers_come_back(void **state)
{
    char line[CM_KEEPER_LINE_MAX];
    (void)state;
    for (unsigned status = CM_KEEPER_APPLIED; status <= CM_KEEPER_DONE; status++) {
        struct cm_err err;
        struct cm_keeper_answer read;
        struct cm_keeper_answer answer = {.status = (enum cm_keeper_status)status,
                                          .in_effect = status % 2 == 0,
                                          .ledger = status == 3 ? UINT64_MAX : 0,
                                          .event_at = status == 3 ? CM_MS_MAX : 0,
                                          .trouble = status == 5 ? CM_TROUBLE_TIMEOUT : CM_TROUBLE_NONE};
        cm_err_set(&answer.err, "%s", status == 4 ? "quoted \"this\"\n" : "");
        struct cm_text out = cm_text_over(line, sizeof(line));
        cm_keeper_answer_write(&answer, &out);
        assert_int_equal(line[out.len - 1], '\n');
        assert_ptr_equal(memchr(line, '\n', out.len), line + out.len - 1);
        assert_true(cm_keeper_answer_read((struct cm_span){line, out.len - 1}, &read, &err));
        assert_int_equal(read.status, answer.status);
        assert_int_equal(read.in_effect, answer.in_effect);
        assert_int_equal(read.ledger, answer.ledger);
        assert_int_equal(read.event_at, answer.event_at);
        assert_int_equal(read.trouble, answer.trouble);
        assert_string_equal(read.err.text, answer.err.text);
    }
}

/* The longest error still makes one whole line: the program has 4096 bytes for it. */
static void the_longest_answer_fits(void **state)
{
    char line[4097];
    struct cm_err err;
    struct cm_keeper_answer read;
    struct cm_keeper_answer answer = {.status = CM_KEEPER_NOT_DONE, .trouble = CM_TROUBLE_BEAT_MISSING};
    (void)state;
    memset(answer.err.text, 1, sizeof(answer.err.text) - 1); /* six characters each */
    struct cm_text out = cm_text_over(line, sizeof(line));
    cm_keeper_answer_write(&answer, &out);
    assert_false(out.truncated);
    assert_true(cm_keeper_answer_read((struct cm_span){line, out.len - 1}, &read, &err));
    memset(answer.err.text, 0xff, sizeof(answer.err.text) - 1); /* no UTF-8 */
    out = cm_text_over(line, sizeof(line));
    cm_keeper_answer_write(&answer, &out);
    assert_true(cm_keeper_answer_read((struct cm_span){line, out.len - 1}, &read, &err));
    assert_int_equal(read.status, CM_KEEPER_NOT_DONE);
}

static void reports_come_back(void **state)
{
    char line[CM_KEEPER_LINE_MAX];
    struct cm_err err;
    struct cm_keeper_report read;
    struct cm_keeper_report report = {
        .keeper = "mx1",
        .state = "beating",
        .trouble = "",
        .incarnation = {"1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"},
        .beat_age_ms = -1,
        .first = 1,
        .last = 99,
        .acts = 50,
        .pending = 3};
    struct cm_text out = cm_text_over(line, sizeof(line));
    (void)state;
    cm_keeper_report_write(&report, &out);
    assert_true(cm_keeper_report_read((struct cm_span){line, out.len - 1}, &read, &err));
    assert_memory_equal(&read, &report, sizeof(report));
    assert_false(cm_keeper_report_read(CM_SPAN("{\"status\":\"refused\",\"error\":\"no\"}"), &read, &err));
    assert_string_equal(err.text, "no");
    assert_false(cm_keeper_report_read(CM_SPAN("{\"status\":\"done\"}"), &read, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_read),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_no_request_is_told_so),
        cmocka_unit_test(answers_come_back),
        cmocka_unit_test(the_longest_answer_fits),
        cmocka_unit_test(reports_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
