/* Whether a message is what it declares: From and List-Id against the purpose, and the marks of campaigns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/stream.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *list_ids[] = {"{purpose}.news.acme.example"};
static const char *froms[] = {"*@acme.example", "{purpose}@letters.acme.example"};
static const struct cm_stream both = {.list_id = {list_ids, 1}, .from = {froms, 2}};

struct row {
    const char *purpose;
    const char *from[2];
    const char *list_id[2];
    bool agrees;
};

static const struct row rows[] = {
    {"acme/offers", {"x@acme.example"}, {"<offers.news.acme.example>"}, true},
    {"acme/offers", {"x@acme.example"}, {"Our offers <OFFERS.news.acme.example>"}, true},
    {"acme/offers", {"x@acme.example"}, {"offers.news.acme.example"}, true},
    {"acme/offers", {"\"Acme, Ltd\" <x@ACME.example>"}, {NULL}, true},
    {"acme/offers", {"offers@letters.acme.example"}, {NULL}, true},
    {"acme/offers", {"other@letters.acme.example"}, {NULL}, false},
    {"acme/offers", {"x@acme.example"}, {"<other.news.acme.example>"}, false},
    {"acme/offers", {"x@acme.example"}, {"<offers.news.evil.example>"}, false},
    {"acme/offers", {"x@acme.example"}, {"<offers.news.acme.example> <other.news.acme.example>"}, false},
    {"acme/offers", {"x@acme.example"}, {"<offers.news.acme.example>", "<offers.news.acme.example>"}, false},
    {"acme/offers", {"x@evil.example"}, {NULL}, false},
    {"acme/offers", {"x@acme.example, y@evil.example"}, {NULL}, false},
    {"acme/offers", {"x@acme.example", "x@acme.example"}, {NULL}, false},
    {"acme/offers", {"no address"}, {NULL}, false},
    {"acme/offers", {NULL}, {"<offers.news.acme.example>"}, false},
};

static bool ask(const struct row *row, const struct cm_stream *stream)
{
    struct cm_header headers[4];
    size_t count = 0;
    for (size_t i = 0; i < 2; i++) {
        if (row->from[i] != NULL) {
            headers[count++] = (struct cm_header){CM_SPAN("from"), cm_span_of(row->from[i])};
        }
        if (row->list_id[i] != NULL) {
            headers[count++] = (struct cm_header){CM_SPAN("List-ID "), cm_span_of(row->list_id[i])};
        }
    }
    return cm_stream_agrees(stream, row->purpose, headers, count);
}

static void messages_agree_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (ask(&rows[i], &both) != rows[i].agrees) {
            fail_msg("row %zu", i);
        }
        assert_true(ask(&rows[i], &(struct cm_stream){.from = {NULL, 0}})); /* who says nothing is not contradicted */
    }
}

static void a_cut_list_id_agrees_with_nothing(void **state)
{
    (void)state;
    static char value[CM_LIMIT_HEADER_VALUE_BYTES + 1];
    memset(value, 'x', sizeof(value) - 1);
    memcpy(value + sizeof(value) - 30, "<offers.news.acme.example>", 26);
    struct cm_header header = {CM_SPAN("List-Id"), {value, CM_LIMIT_HEADER_VALUE_BYTES}};
    struct cm_stream stream = {.list_id = {list_ids, 1}};
    assert_false(cm_stream_agrees(&stream, "acme/offers", &header, 1));
}

static void bulk_is_known_by_its_marks(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        bool want;
    } headers[] = {
        {"List-Id", "x", true},
        {"LIST-ID", "", true},
        {"List-Id ", "x", true},
        {"List-Unsubscribe", "<https://x.example>", true},
        {"List-Unsubscribe-Post", "x", false}, /* never without List-Unsubscribe */
        {"Feedback-ID", "a:b:c", true},
        {"feedback-id", "a:b:c", true},
        {"Precedence", "bulk", true},
        {"precedence", " Bulk ", true},
        {"Precedence", "list", true},
        {"Precedence", "junk", true},
        {"Precedence", "", false},
        {"Subject", "bulk", false},
    };
    for (size_t i = 0; i < COUNT(headers); i++) {
        const struct cm_header header = {.name = cm_span_of(headers[i].name), .value = cm_span_of(headers[i].value)};
        if (cm_header_marks_bulk(&header) != headers[i].want) {
            fail_msg("%s: %s", headers[i].name, headers[i].value);
        }
    }
}

static void campaigns_are_known_by_their_marks(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        bool marks;
    } headers[] = {
        {"List-Id", "<x>", true},       {"list-unsubscribe ", "<https://x>", true},
        {"Precedence", "bulk", true},   {"Precedence", "urgent", false},
        {"Feedback-ID", "a:b:c", true}, {"X-Campaign", "7", true},
        {"X-CampaignID", "7", true},    {"Subject", "Campaign", false},
        {"X-Mailer", "x", false},
    };
    for (size_t i = 0; i < COUNT(headers); i++) {
        struct cm_header header = {cm_span_of(headers[i].name), cm_span_of(headers[i].value)};
        assert_int_equal(cm_header_marks_campaign(&header), headers[i].marks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_agree_as_the_table_says),
        cmocka_unit_test(a_cut_list_id_agrees_with_nothing),
        cmocka_unit_test(bulk_is_known_by_its_marks),
        cmocka_unit_test(campaigns_are_known_by_their_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
