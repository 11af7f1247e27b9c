#include "core/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATTERNS(...)                                                                                                 \
    {                                                                                                                 \
        .items = (const char *[]){__VA_ARGS__}, .count = sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *) \
    }
#define HEADERS(...)                                        \
    .headers = (struct cm_header_condition[]){__VA_ARGS__}, \
    .header_count = sizeof((struct cm_header_condition[]){__VA_ARGS__}) / sizeof(struct cm_header_condition)
#define IPV4(a, b, c, d)                                     \
    {                                                        \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d \
    }

static struct cm_cidr office[] = {{.bytes = IPV4(10, 0, 0, 0), .prefix_bits = 104}};

/* The streams of the story: what follows is tried against them. */
enum { NEWS, OFFERS, RECEIPTS, NIGHTLY, CAMPAIGNS, DECLARED, BRANCH, ASKS, STREAMS };

static struct cm_stream streams[STREAMS] = {
    [NEWS] = {.name = "news",
              .session = {.auth = PATTERNS("acme-mailer")},
              .mail_from = PATTERNS("*@news.acme.example"),
              HEADERS({"List-Id", "*<news.acme.example>*"}, {"X-Campaign", "*"}),
              .sender = "acme",
              .purpose_from = CM_PURPOSE_FIXED,
              .purpose = "newsletter",
              .class = CM_CLASS_MARKETING,
              .mode = CM_MODE_ENFORCE},
    [OFFERS] = {.name = "offers",
                .session = {.auth = PATTERNS("acme-mailer")},
                .mail_from = PATTERNS("*@news.acme.example"),
                HEADERS({"List-Id", "*<offers.acme.example>*"}),
                .sender = "acme",
                .purpose_from = CM_PURPOSE_FIXED,
                .purpose = "offers/partners",
                .class = CM_CLASS_MARKETING,
                .mode = CM_MODE_OBSERVE},
    [RECEIPTS] = {.name = "receipts",
                  .session = {.auth = PATTERNS("acme-mailer")},
                  .mail_from = PATTERNS("*@shop.acme.example"),
                  .sender = "acme",
                  .purpose_from = CM_PURPOSE_NONE,
                  .class = CM_CLASS_SERVICE,
                  .mode = CM_MODE_ENFORCE},
    [NIGHTLY] = {.name = "nightly",
                 .session = {.local = true},
                 .mail_from = PATTERNS("nightly@acme.example"),
                 .sender = "acme",
                 .purpose_from = CM_PURPOSE_FIXED,
                 .purpose = "nightly",
                 .class = CM_CLASS_MARKETING,
                 .mode = CM_MODE_OBSERVE},
    [CAMPAIGNS] = {.name = "campaigns",
                   .session = {.auth = PATTERNS("camp-*", "campaigns")},
                   .mail_from = PATTERNS("{purpose}@campaigns.acme.example", "bounce-{purpose}-*@acme.example"),
                   .sender = "acme",
                   .purpose_from = CM_PURPOSE_MAIL_FROM,
                   .class = CM_CLASS_MARKETING,
                   .mode = CM_MODE_ENFORCE},
    [DECLARED] = {.name = "declared",
                  .session = {.daemon = PATTERNS("ORIGINATING")},
                  .sender = "acme",
                  .purpose_from = CM_PURPOSE_HEADER,
                  .purpose_header = "X-Consent-Purpose",
                  .class = CM_CLASS_MARKETING,
                  .mode = CM_MODE_ENFORCE},
    [BRANCH] = {.name = "branch",
                .session = {.auth = PATTERNS("branch"), .client = {.items = office, .count = 1}},
                .sender = "acme",
                .purpose_from = CM_PURPOSE_FIXED,
                .purpose = "branch",
                .class = CM_CLASS_MARKETING,
                .mode = CM_MODE_ENFORCE},
    [ASKS] = {.name = "asks",
              .session = {.auth = PATTERNS("asker")},
              .mail_from = PATTERNS("confirm@acme.example"),
              .sender = "acme",
              .purpose_from = CM_PURPOSE_FIXED,
              .purpose = "newsletter",
              .class = CM_CLASS_CONSENT_REQUEST,
              .mode = CM_MODE_ENFORCE},
};

static struct cm_cidr networks_of_ours[] = {{.bytes = IPV4(10, 0, 0, 0), .prefix_bits = 104}};

static const struct cm_stream_table table = {
    .streams = streams,
    .count = STREAMS,
    .outgoing = {.auth = PATTERNS("*"),
                 .daemon = PATTERNS("OUT"),
                 .client = {.items = networks_of_ours, .count = 1},
                 .local = true},
    .mode = CM_MODE_ENFORCE,
};

static struct cm_session_facts facts_of(const char *auth, const char *daemon, const char *client, bool local)
{
    struct cm_session_facts facts = {.auth = cm_span_of(auth), .daemon = cm_span_of(daemon), .local = local};
    if (client != NULL) {
        assert_true(cm_ip_parse(cm_span_of(client), &facts.client));
    }
    return facts;
}

/* --- candidates and claims --- */

struct candidate_row {
    const char *what;
    const char *auth;
    const char *daemon;
    const char *client;
    bool local;
    const char *mail_from;
    const char *want; /* names of the candidates */
    bool claimed;
    bool observed;
    bool outgoing;
    bool may_match_none;
};

static const struct candidate_row candidate_rows[] = {
    {"two with headers, the service one not met", "acme-mailer", NULL, NULL, false, "a@news.acme.example",
     "news offers", true, false, true, true},
    {"case of the login", "ACME-Mailer", NULL, NULL, false, "a@news.acme.example", "news offers", true, false, true,
     true},
    {"a service stream of a claimed session", "acme-mailer", NULL, NULL, false, "a@shop.acme.example", "receipts", true,
     false, true, false},
    {"another MAIL FROM does not release", "acme-mailer", NULL, NULL, false, "a@other.example", "", true, false, true,
     true},
    {"the null sender does not release", "acme-mailer", NULL, NULL, false, "", "", true, false, true, true},
    {"a look-alike domain", "acme-mailer", NULL, NULL, false, "a@news.acme.example.evil.example", "", true, false, true,
     true},
    {"a login that only begins the same", "acme-mailer2", NULL, NULL, false, "a@news.acme.example", "", false, false,
     true, true},
    {"no login", NULL, NULL, "192.0.2.1", false, "a@news.acme.example", "", false, false, false, true},
    {"pickup", NULL, NULL, NULL, true, "nightly@acme.example", "nightly", true, true, true, false},
    {"pickup, another MAIL FROM", NULL, NULL, NULL, true, "root@acme.example", "", true, true, true, true},
    {"pickup, null sender", NULL, NULL, NULL, true, "", "", true, true, true, true},
    {"same MAIL FROM, not pickup", NULL, NULL, "10.0.0.1", false, "nightly@acme.example", "", false, false, true, true},
    {"login pattern", "camp-7", NULL, NULL, false, "x@campaigns.acme.example", "campaigns", true, false, true, false},
    {"login in the list", "campaigns", NULL, NULL, false, "x@campaigns.acme.example", "campaigns", true, false, true,
     false},
    {"purpose missing in MAIL FROM", "campaigns", NULL, NULL, false, "@campaigns.acme.example", "", true, false, true,
     true},
    {"listener, any MAIL FROM", NULL, "ORIGINATING", NULL, false, "x@y.example", "declared", true, false, false, false},
    {"listener, null sender", NULL, "originating", NULL, false, "", "declared", true, false, false, false},
    {"two streams claim, the later is kept out by nothing", "acme-mailer", "ORIGINATING", NULL, false,
     "a@news.acme.example", "news offers declared", true, false, true, false},
    {"behind the first without headers nothing counts", "acme-mailer", "ORIGINATING", NULL, false,
     "a@shop.acme.example", "receipts", true, false, true, false},
    {"kinds AND: login without the network", "branch", NULL, "192.0.2.1", false, "x@y.example", "", false, false, true,
     true},
    {"kinds AND: login, address unknown", "branch", NULL, NULL, false, "x@y.example", "", false, false, true, true},
    {"kinds AND: the network without login", NULL, NULL, "10.1.2.3", false, "x@y.example", "", false, false, true,
     true},
    {"kinds AND: both", "branch", NULL, "10.1.2.3", false, "x@y.example", "branch", true, false, true, false},
    {"kinds AND: both, mapped address", "branch", NULL, "::ffff:10.1.2.3", false, "x@y.example", "branch", true, false,
     true, false},
    {"a consent request claims nothing", "asker", NULL, NULL, false, "x@y.example", "", false, false, true, true},
    {"a consent request", "asker", NULL, NULL, false, "confirm@acme.example", "asks", false, false, true, false},
    {"ours by listener", NULL, "OUT", NULL, false, "x@y.example", "", false, false, true, true},
    {"mail from outside", NULL, "smtpd", "198.51.100.1", false, "a@news.acme.example", "", false, false, false, true},
    {"pickup and login: both observe and enforce claim", "acme-mailer", NULL, NULL, true, "nightly@acme.example",
     "nightly", true, false, true, false},
};

static void candidates_and_claims_are_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(candidate_rows); i++) {
        const struct candidate_row *row = &candidate_rows[i];
        const struct cm_session_facts facts = facts_of(row->auth, row->daemon, row->client, row->local);
        uint16_t candidates[STREAMS];
        struct cm_claim claim;
        size_t count = cm_stream_candidates(&table, &facts, cm_span_of(row->mail_from), candidates, &claim);
        char names[256];
        struct cm_text t = cm_text_over(names, sizeof(names));
        for (size_t c = 0; c < count; c++) {
            cm_text_add_format(&t, "%s%s", c > 0 ? " " : "", streams[candidates[c]].name);
        }
        if (strcmp(names, row->want) != 0 || claim.claimed != row->claimed || claim.observed != row->observed ||
            claim.outgoing != row->outgoing || claim.may_match_none != row->may_match_none) {
            fail_msg("%s: \"%s\" claimed %d observed %d outgoing %d may_match_none %d", row->what, names, claim.claimed,
                     claim.observed, claim.outgoing, claim.may_match_none);
        }
    }
}

static void a_stream_without_a_class_claims(void **state)
{
    (void)state;
    struct cm_stream unset = {.session = {.auth = PATTERNS("x")}}; /* LAW-1: zero is undecided, not harmless */
    const struct cm_stream_table small = {.streams = &unset, .count = 1};
    const struct cm_session_facts facts = facts_of("x", NULL, NULL, false);
    uint16_t candidates[1];
    struct cm_claim claim;
    (void)cm_stream_candidates(&small, &facts, CM_SPAN(""), candidates, &claim); /* the claim is asked for */
    assert_true(claim.claimed);
    assert_false(claim.observed);
}

static void an_empty_table_claims_nothing(void **state)
{
    (void)state;
    const struct cm_stream_table empty = {.streams = NULL};
    const struct cm_session_facts facts = facts_of("x", "y", "10.0.0.1", true);
    struct cm_claim claim;
    uint16_t candidates[1];
    assert_int_equal(cm_stream_candidates(&empty, &facts, CM_SPAN("a@b.example"), candidates, &claim), 0);
    assert_false(claim.claimed);
    assert_false(claim.outgoing);
    assert_false(cm_stream_table_needs_headers(&empty));
    assert_int_equal(cm_stream_select(&empty, candidates, 0, NULL, 0), CM_NO_STREAM);
}

/* --- selection by headers --- */

#define HEADERS_MAX 4

struct select_row {
    const char *what;
    const char *headers[HEADERS_MAX][2];
    size_t want;
};

/* All for the candidates "news offers" of the first row above. */
static const struct select_row select_rows[] = {
    {"no header", {{NULL, NULL}}, CM_NO_STREAM},
    {"one of two conditions", {{"List-Id", "<news.acme.example>"}}, CM_NO_STREAM},
    {"both", {{"List-Id", "<news.acme.example>"}, {"X-Campaign", "7"}}, NEWS},
    {"both, the other way round", {{"X-Campaign", "7"}, {"List-Id", "<news.acme.example>"}}, NEWS},
    {"names without case", {{"x-campaign", "7"}, {"LIST-ID", "News <NEWS.acme.example> weekly"}}, NEWS},
    {"blank before the colon", {{"X-Campaign ", "7"}, {"List-Id\t", "<news.acme.example>"}}, NEWS},
    {"an empty value still stands there", {{"X-Campaign", ""}, {"List-Id", "<news.acme.example>"}}, NEWS},
    {"wrong value", {{"X-Campaign", "7"}, {"List-Id", "<other.acme.example>"}}, CM_NO_STREAM},
    {"any header of the name", {{"List-Id", "x"}, {"X-Campaign", "7"}, {"List-Id", "<news.acme.example>"}}, NEWS},
    {"the second stream", {{"List-Id", "<offers.acme.example>"}}, OFFERS},
    {"both List-Ids: the first stream in order",
     {{"List-Id", "<offers.acme.example>"}, {"List-Id", "<news.acme.example>"}, {"X-Campaign", "7"}},
     NEWS},
    {"both List-Ids, but the first stream lacks its other header",
     {{"List-Id", "<news.acme.example>"}, {"List-Id", "<offers.acme.example>"}},
     OFFERS},
    {"a name that only begins the same", {{"List-Id-Old", "<offers.acme.example>"}}, CM_NO_STREAM},
};

static size_t fill_headers(const char *const pairs[HEADERS_MAX][2], struct cm_header out[HEADERS_MAX])
{
    size_t count = 0;
    while (count < HEADERS_MAX && pairs[count][0] != NULL) {
        out[count].name = cm_span_of(pairs[count][0]);
        out[count].value = cm_span_of(pairs[count][1]);
        count++;
    }
    return count;
}

static void headers_select_as_the_table_says(void **state)
{
    (void)state;
    const uint16_t candidates[] = {NEWS, OFFERS};
    for (size_t i = 0; i < COUNT(select_rows); i++) {
        struct cm_header headers[HEADERS_MAX];
        size_t count = fill_headers(select_rows[i].headers, headers);
        size_t got = cm_stream_select(&table, candidates, COUNT(candidates), headers, count);
        if (got != select_rows[i].want) {
            fail_msg("%s: %zu", select_rows[i].what, got);
        }
    }
}

static void a_stream_without_headers_needs_none(void **state)
{
    (void)state;
    const uint16_t candidates[] = {NEWS, OFFERS, DECLARED};
    assert_int_equal(cm_stream_select(&table, candidates, COUNT(candidates), NULL, 0), DECLARED);
}

/* What was cut off a long value may have been anything. */
static void a_cut_value_meets_open_ends_only(void **state)
{
    (void)state;
    static char value[CM_LIMIT_HEADER_VALUE_BYTES];
    struct cm_header_condition condition = {.name = "List-Id"};
    struct cm_stream stream = {.headers = &condition, .header_count = 1};
    const struct cm_stream_table small = {.streams = &stream, .count = 1};
    const uint16_t candidates[] = {0};
    memset(value, 'a', sizeof(value));
    static const struct {
        const char *pattern;
        size_t len;
        size_t want;
    } rows[] = {
        {"a*a", sizeof(value), CM_NO_STREAM},
        {"a*a", sizeof(value) - 1, 0},
        {"a*", sizeof(value), 0},
        {"*", sizeof(value), 0},
        {"b*", sizeof(value), CM_NO_STREAM},
        {"", sizeof(value), CM_NO_STREAM},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct cm_header header = {.name = CM_SPAN("List-Id"), .value = {value, rows[i].len}};
        condition.value = rows[i].pattern;
        assert_int_equal(cm_stream_select(&small, candidates, 1, &header, 1), rows[i].want);
    }
}

/* --- purposes --- */

struct purpose_row {
    const char *what;
    size_t stream;
    const char *mail_from;
    const char *headers[HEADERS_MAX][2];
    const char *want; /* NULL: missing */
};

static const struct purpose_row purpose_rows[] = {
    {"fixed", NEWS, "x@y", {{NULL, NULL}}, "acme/newsletter"},
    {"fixed with levels", OFFERS, "", {{NULL, NULL}}, "acme/offers/partners"},
    {"none of a service stream", RECEIPTS, "a@shop.acme.example", {{NULL, NULL}}, NULL},
    {"from MAIL FROM", CAMPAIGNS, "spring@campaigns.acme.example", {{NULL, NULL}}, "acme/spring"},
    {"from MAIL FROM, second pattern", CAMPAIGNS, "bounce-spring-77@acme.example", {{NULL, NULL}}, "acme/spring"},
    {"from MAIL FROM, folded", CAMPAIGNS, "SPRING@campaigns.acme.example", {{NULL, NULL}}, "acme/spring"},
    {"from MAIL FROM, null sender", CAMPAIGNS, "", {{NULL, NULL}}, NULL},
    {"from MAIL FROM, no match", CAMPAIGNS, "a+b@campaigns.acme.example", {{NULL, NULL}}, NULL},
    {"from a header", DECLARED, "", {{"X-Consent-Purpose", "news"}}, "acme/news"},
    {"from a header, other name", DECLARED, "", {{"Purpose", "news"}}, NULL},
    {"from a header, case of both", DECLARED, "", {{"x-consent-PURPOSE", "Offers/Spring"}}, "acme/offers/spring"},
    {"from a header, blanks", DECLARED, "", {{"X-Consent-Purpose ", " news\t"}}, "acme/news"},
    {"from a header, absent", DECLARED, "", {{"Subject", "x"}}, NULL},
    {"from a header, twice", DECLARED, "", {{"X-Consent-Purpose", "news"}, {"X-Consent-Purpose", "other"}}, NULL},
    {"from a header, twice the same",
     DECLARED,
     "",
     {{"X-Consent-Purpose", "news"}, {"x-consent-purpose ", "news"}},
     NULL},
    {"from a header, twice, one empty", DECLARED, "", {{"X-Consent-Purpose", ""}, {"X-Consent-Purpose", "news"}}, NULL},
    {"from a header, empty", DECLARED, "", {{"X-Consent-Purpose", ""}}, NULL},
    {"from a header, two words", DECLARED, "", {{"X-Consent-Purpose", "news offers"}}, NULL},
    {"from a header, a comma", DECLARED, "", {{"X-Consent-Purpose", "news,offers"}}, NULL},
    {"from a header, empty level", DECLARED, "", {{"X-Consent-Purpose", "offers//a"}}, NULL},
    {"from a header, slash in front", DECLARED, "", {{"X-Consent-Purpose", "/offers"}}, NULL},
    {"from a header, slash at the end", DECLARED, "", {{"X-Consent-Purpose", "offers/"}}, NULL},
    {"from a header, not ASCII", DECLARED, "", {{"X-Consent-Purpose", "n\xc3\xa4ws"}}, NULL},
    {"from a header, 8 levels with the sender",
     DECLARED,
     "",
     {{"X-Consent-Purpose", "1/2/3/4/5/6/7"}},
     "acme/1/2/3/4/5/6/7"},
    {"from a header, 9 levels with the sender", DECLARED, "", {{"X-Consent-Purpose", "1/2/3/4/5/6/7/8"}}, NULL},
};

static void purposes_are_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(purpose_rows); i++) {
        const struct purpose_row *row = &purpose_rows[i];
        struct cm_header headers[HEADERS_MAX];
        char purpose[CM_LIMIT_PURPOSE_BYTES + 1] = "untouched";
        size_t count = fill_headers(row->headers, headers);
        enum cm_purpose_status got = cm_stream_purpose(&streams[row->stream], cm_span_of(row->mail_from), headers,
                                                       count, purpose);
        enum cm_purpose_status want = row->want != NULL ? CM_PURPOSE_FOUND : CM_PURPOSE_MISSING;
        if (got != want || strcmp(purpose, row->want != NULL ? row->want : "untouched") != 0) {
            fail_msg("%s: %d \"%s\"", row->what, got, purpose);
        }
    }
}

static void a_declared_purpose_waits_for_the_headers(void **state)
{
    (void)state;
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1];
    assert_int_equal(cm_stream_purpose(&streams[DECLARED], CM_SPAN(""), NULL, 0, purpose), CM_PURPOSE_NEEDS_HEADERS);
    assert_int_equal(cm_stream_purpose(&streams[NEWS], CM_SPAN(""), NULL, 0, purpose), CM_PURPOSE_FOUND);
}

static void a_purpose_has_a_longest(void **state)
{
    (void)state;
    char value[CM_LIMIT_PURPOSE_BYTES + 2];
    char purpose[CM_LIMIT_PURPOSE_BYTES + 1];
    struct cm_header header = {.name = CM_SPAN("X-Consent-Purpose"), .value = {value, 0}};
    memset(value, 'a', sizeof(value));
    header.value.len = CM_LIMIT_PURPOSE_BYTES - strlen("acme/");
    assert_int_equal(cm_stream_purpose(&streams[DECLARED], CM_SPAN(""), &header, 1, purpose), CM_PURPOSE_FOUND);
    assert_int_equal(strlen(purpose), CM_LIMIT_PURPOSE_BYTES);
    header.value.len++;
    assert_int_equal(cm_stream_purpose(&streams[DECLARED], CM_SPAN(""), &header, 1, purpose), CM_PURPOSE_MISSING);
    assert_true(cm_purpose_path_is_valid((struct cm_span){value, CM_LIMIT_PURPOSE_BYTES}));
    assert_false(cm_purpose_path_is_valid((struct cm_span){value, CM_LIMIT_PURPOSE_BYTES + 1}));
}

static void a_purpose_path_is_told_from_other_text(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b", "a.b_c-9", "1/2/3/4/5/6/7/8", "."};
    static const char *const bad[] = {"", "/", "a/", "/a", "a//b", "A", "a b", "a*", "{purpose}", "1/2/3/4/5/6/7/8/9"};
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(cm_purpose_path_is_valid(cm_span_of(good[i])));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(cm_purpose_path_is_valid(cm_span_of(bad[i])));
    }
    assert_false(cm_purpose_path_is_valid(CM_SPAN("a\0b")));
    assert_false(cm_purpose_path_is_valid((struct cm_span){NULL, 0}));
}

/* --- which headers matter --- */

static void only_headers_that_matter_are_wanted(void **state)
{
    (void)state;
    struct cm_stream_table plain = table;
    plain.service_honesty = CM_HONESTY_OFF;
    struct cm_stream_table refusing = plain;
    refusing.refuse_unmatched_bulk = true;
    static const struct {
        const char *name;
        bool want;
        bool want_refusing;
    } rows[] = {
        {"List-Id", true, true},           {"x-campaign", true, true},  {"X-Consent-Purpose ", true, true},
        {"List-Unsubscribe", false, true}, {"Precedence", false, true}, {"feedback-id", false, true},
        {"Subject", false, false},         {"", false, false},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(cm_stream_table_wants_header(&plain, cm_span_of(rows[i].name)), rows[i].want);
        assert_int_equal(cm_stream_table_wants_header(&refusing, cm_span_of(rows[i].name)), rows[i].want_refusing);
    }
}

static void headers_are_asked_for_only_when_something_hangs_on_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < STREAMS; i++) {
        struct cm_stream_table one = {.streams = &streams[i], .count = 1, .service_honesty = CM_HONESTY_OFF};
        bool observes = streams[i].mode == CM_MODE_OBSERVE; /* forged tags must be taken away */
        assert_int_equal(cm_stream_table_needs_headers(&one), i == NEWS || i == OFFERS || i == DECLARED || observes);
        one.service_honesty = CM_HONESTY_LOG;
        assert_true(cm_stream_table_needs_headers(&one) || streams[i].class != CM_CLASS_SERVICE);
        one.refuse_unmatched_bulk = true;
        assert_true(cm_stream_table_needs_headers(&one));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_and_claims_are_as_the_table_says),
        cmocka_unit_test(a_stream_without_a_class_claims),
        cmocka_unit_test(an_empty_table_claims_nothing),
        cmocka_unit_test(headers_select_as_the_table_says),
        cmocka_unit_test(a_stream_without_headers_needs_none),
        cmocka_unit_test(a_cut_value_meets_open_ends_only),
        cmocka_unit_test(purposes_are_as_the_table_says),
        cmocka_unit_test(a_declared_purpose_waits_for_the_headers),
        cmocka_unit_test(a_purpose_has_a_longest),
        cmocka_unit_test(a_purpose_path_is_told_from_other_text),
        cmocka_unit_test(only_headers_that_matter_are_wanted),
        cmocka_unit_test(headers_are_asked_for_only_when_something_hangs_on_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
