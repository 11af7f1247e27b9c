/* The property behind claims: random tables, sessions and messages against the rules of DESIGN 4 said once more,
 * without candidates. LAW-1 */
#include "core/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "core/pattern.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct cm_cidr office[] = {
    {.bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0}, .prefix_bits = 104}};

static uint64_t random_state;

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % n;
}

static const char *const some_texts[] = {"a", "b", "a*", "*", "c"};

#define RANDOM_STREAMS 8

struct random_stream {
    const char *auth[2];
    const char *daemon[2];
    const char *mail_from[2];
    struct cm_header_condition headers[2];
};

static struct cm_patterns random_patterns(const char **storage)
{
    size_t count = random_below(3);
    for (size_t i = 0; i < count; i++) {
        storage[i] = some_texts[random_below(COUNT(some_texts))];
    }
    return (struct cm_patterns){storage, count};
}

static void random_stream(struct random_stream *storage, struct cm_stream *out)
{
    *out = (struct cm_stream){.class = (enum cm_stream_class)(CM_CLASS_MARKETING + random_below(3)),
                              .mode = random_below(2) == 0 ? CM_MODE_OBSERVE : CM_MODE_ENFORCE,
                              .session = {.auth = random_patterns(storage->auth),
                                          .daemon = random_patterns(storage->daemon),
                                          .client = {.items = office, .count = random_below(2)},
                                          .local = random_below(4) == 0},
                              .mail_from = random_patterns(storage->mail_from),
                              .headers = storage->headers,
                              .header_count = random_below(3)};
    for (size_t i = 0; i < out->header_count; i++) {
        storage->headers[i] = (struct cm_header_condition){random_below(2) == 0 ? "x" : "y",
                                                           some_texts[random_below(COUNT(some_texts))]};
    }
}

static bool in_list(const struct cm_patterns *patterns, struct cm_span text, bool must_be_known)
{
    if (patterns->count == 0) {
        return true;
    }
    for (size_t i = 0; i < patterns->count && !(must_be_known && text.len == 0); i++) {
        if (cm_pattern_match(patterns->items[i], text, NULL)) {
            return true;
        }
    }
    return false;
}

/* The same rules once more, said without candidates. */
static bool session_met(const struct cm_stream *s, const struct cm_session_facts *facts)
{
    return in_list(&s->session.auth, facts->auth, true) && in_list(&s->session.daemon, facts->daemon, true) &&
           (s->session.client.count == 0 || cm_cidr_contains(&office[0], &facts->client)) &&
           (facts->local || !s->session.local);
}

static bool headers_met(const struct cm_stream *s, const struct cm_header *headers, size_t count)
{
    for (size_t c = 0; c < s->header_count; c++) {
        bool met = false;
        for (size_t h = 0; h < count; h++) {
            met = met || (cm_span_equal(headers[h].name, cm_span_of(s->headers[c].name)) &&
                          cm_pattern_match(s->headers[c].value, headers[h].value, NULL));
        }
        if (!met) {
            return false;
        }
    }
    return true;
}

static void check_one_message(const struct cm_stream_table *t, const struct cm_session_facts *facts,
                              struct cm_span mail_from, const struct cm_header *headers, size_t header_count)
{
    uint16_t candidates[RANDOM_STREAMS];
    struct cm_claim claim;
    size_t count = cm_stream_candidates(t, facts, mail_from, candidates, &claim);
    size_t got = cm_stream_select(t, candidates, count, headers, header_count);
    size_t want = CM_NO_STREAM;
    bool claimed = false;
    bool enforced = false;
    for (size_t i = t->count; i-- > 0;) {
        const struct cm_stream *s = &t->streams[i];
        if (session_met(s, facts)) {
            claimed = claimed || s->class == CM_CLASS_MARKETING;
            enforced = enforced || (s->class == CM_CLASS_MARKETING && s->mode == CM_MODE_ENFORCE);
            want = in_list(&s->mail_from, mail_from, false) && headers_met(s, headers, header_count) ? i : want;
        }
    }
    assert_int_equal(got, want);
    assert_int_equal(claim.claimed, claimed); /* whatever MAIL FROM, headers and order are */
    assert_int_equal(claim.observed, claimed && !enforced);
    assert_true(got != CM_NO_STREAM || claim.may_match_none); /* who was told "some stream matches" gets one */
    for (size_t i = 1; i < count; i++) {
        assert_true(candidates[i - 1] < candidates[i]);
        assert_true(t->streams[candidates[i - 1]].header_count > 0);
    }
}

static void check_one_table(void)
{
    struct random_stream storage[RANDOM_STREAMS];
    struct cm_stream some[RANDOM_STREAMS];
    const struct cm_stream_table t = {.streams = some, .count = random_below(RANDOM_STREAMS + 1)};
    static const char *const values[] = {"", "a", "b", "ab", "z"};
    for (size_t i = 0; i < t.count; i++) {
        random_stream(&storage[i], &some[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        struct cm_session_facts facts = {.auth = cm_span_of(values[random_below(COUNT(values))]),
                                         .daemon = cm_span_of(values[random_below(COUNT(values))]),
                                         .local = random_below(2) == 0};
        if (random_below(2) == 0) {
            assert_true(cm_ip_parse(CM_SPAN("10.0.0.9"), &facts.client));
        }
        struct cm_header headers[3];
        size_t header_count = random_below(4);
        for (size_t h = 0; h < header_count; h++) {
            headers[h].name = random_below(2) == 0 ? CM_SPAN("x") : CM_SPAN("y");
            headers[h].value = cm_span_of(values[random_below(COUNT(values))]);
        }
        check_one_message(&t, &facts, cm_span_of(values[random_below(COUNT(values))]), headers, header_count);
    }
}

static void no_order_headers_or_sender_lose_a_claim(void **state)
{
    (void)state;
    const char *given = getenv("CM_TEST_SEED");
    random_state = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 2654435761U + 1;
    print_message("seed: CM_TEST_SEED=%llu\n", (unsigned long long)random_state);
    for (unsigned i = 0; i < 5000; i++) {
        check_one_table();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_order_headers_or_sender_lose_a_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
