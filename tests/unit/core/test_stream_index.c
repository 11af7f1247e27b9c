/* With the index a session meets the same streams as without: random tables, random sessions, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/stream.h"

#define STREAMS 200
#define ROUNDS 400

static uint64_t dice = 88172645463325252U;

static unsigned roll(unsigned sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice % sides);
}

static const char *const logins[] = {"ann", "BEN", "ben", "cleo", "a*", "*", "acme-mailer", "x{y"};
static const char *const daemons[] = {"submission", "SMTPS", "s*", "smtpd"};
static const char *const senders[] = {"*@a.test", "b@b.test", "*", ""};
static const char *const networks[] = {"10.0.0.0/8", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0", "::1/128"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void fill_patterns(struct cm_arena *arena, struct cm_patterns *out, const char *const *from, size_t count)
{
    size_t n = roll(4);
    *out = (struct cm_patterns){cm_arena_array(arena, n + 1, sizeof(char *)), n};
    assert_non_null(out->items);
    for (size_t i = 0; i < n; i++) {
        out->items[i] = from[roll((unsigned)count)];
    }
}

static void make_stream(struct cm_arena *arena, struct cm_stream *out)
{
    *out = (struct cm_stream){.class = (enum cm_stream_class)(1 + roll(3)), .mode = (enum cm_mode)(1 + roll(2))};
    fill_patterns(arena, &out->session.auth, logins, COUNT(logins));
    fill_patterns(arena, &out->session.daemon, daemons, COUNT(daemons));
    fill_patterns(arena, &out->mail_from, senders, COUNT(senders));
    out->session.local = roll(8) == 0;
    out->header_count = roll(2);
    if (roll(2) == 0) {
        out->session.client = (struct cm_networks){cm_arena_array(arena, 1, sizeof(struct cm_cidr)), 1};
        assert_non_null(out->session.client.items);
        assert_true(cm_cidr_parse(cm_span_of(networks[roll(COUNT(networks))]), out->session.client.items));
    }
    static struct cm_header_condition condition = {"List-Id", "*"};
    out->headers = &condition;
}

static void compare(const struct cm_stream_table *table)
{
    static const char *const clients[] = {"10.1.2.3", "192.0.2.7",    "2001:db8::9",
                                          "::1",      "198.51.100.1", "::ffff:10.1.2.3"};
    static const char *const known_logins[] = {"", "Ann", "ben", "cleo", "acme-mailer", "nobody", "x{y"};
    static const char *const known_daemons[] = {"", "submission", "smtps", "smtpd", "other"};
    struct cm_stream_table plain = *table;
    struct cm_session_facts facts = {.auth = cm_span_of(known_logins[roll(COUNT(known_logins))]),
                                     .daemon = cm_span_of(known_daemons[roll(COUNT(known_daemons))]),
                                     .local = roll(4) == 0};
    struct cm_span from = cm_span_of(roll(2) == 0 ? "x@a.test" : "b@b.test");
    uint16_t with[STREAMS];
    uint16_t without[STREAMS];
    struct cm_claim claim_with;
    struct cm_claim claim_without;
    assert_true(cm_ip_parse(cm_span_of(clients[roll(COUNT(clients))]), &facts.client));
    plain.index = NULL;
    size_t count = cm_stream_candidates(&plain, &facts, from, without, &claim_without);
    assert_int_equal(cm_stream_candidates(table, &facts, from, with, &claim_with), count);
    assert_memory_equal(with, without, count * sizeof(with[0]));
    assert_int_equal(claim_with.claimed, claim_without.claimed);
    assert_int_equal(claim_with.observed, claim_without.observed);
    assert_int_equal(claim_with.outgoing, claim_without.outgoing);
    assert_int_equal(claim_with.may_match_none, claim_without.may_match_none);
}

static void the_index_changes_nothing(void **state)
{
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct cm_arena arena;
        cm_arena_init(&arena, 1 << 22);
        struct cm_stream_table table = {.count = roll(STREAMS + 1)};
        table.streams = cm_arena_array(&arena, table.count + 1, sizeof(*table.streams));
        assert_non_null(table.streams);
        for (size_t i = 0; i < table.count; i++) {
            make_stream(&arena, &table.streams[i]);
        }
        assert_true(cm_stream_table_index(&table, &arena));
        for (unsigned i = 0; i < 20; i++) {
            compare(&table);
        }
        cm_arena_done(&arena);
    }
}

static void names_of_headers_are_found_in_any_case(void **state)
{
    (void)state;
    struct cm_arena arena;
    struct cm_header_condition condition = {"X-Campaign", "*"};
    const char *pattern = "*@a.test";
    struct cm_stream streams[2] = {
        {.class = CM_CLASS_MARKETING, .headers = &condition, .header_count = 1, .from = {&pattern, 1}},
        {.class = CM_CLASS_MARKETING, .purpose_from = CM_PURPOSE_HEADER, .purpose_header = "X-Purpose"}};
    struct cm_stream_table table = {.streams = streams, .count = 2, .service_honesty = CM_HONESTY_OFF};
    cm_arena_init(&arena, 1 << 20);
    assert_true(cm_stream_table_index(&table, &arena));
    assert_true(cm_stream_table_wants_header(&table, CM_SPAN("x-campaign")));
    assert_true(cm_stream_table_wants_header(&table, CM_SPAN("X-PURPOSE ")));
    assert_true(cm_stream_table_wants_header(&table, CM_SPAN("From")));
    assert_true(cm_stream_table_wants_header(&table, CM_SPAN(CM_STATUS_HEADER)));
    assert_false(cm_stream_table_wants_header(&table, CM_SPAN("List-Id")));
    assert_false(cm_stream_table_wants_header(&table, CM_SPAN("Subject")));
    cm_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_changes_nothing),
        cmocka_unit_test(names_of_headers_are_found_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
