/* What becomes of a message that some may have and others may not, and of one whose headers speak against it. */
#include "session_bench.h"

static const char configuration[] =
    "store: { url = \"unix:/r\"; };\n"
    "outgoing: { auth = [\"*\"]; };\n"
    "streams: (\n"
    "  { name = \"news\"; match: { auth = [\"a\"]; headers = ({ name = \"List-Id\"; value = \"*news*\"; }); };\n"
    "    sender = \"acme\"; purpose = \"newsletter\"; },\n"
    "  { name = \"offers\"; match: { auth = [\"a\"]; }; sender = \"acme\"; purpose = \"offers\"; },\n"
    "  { name = \"plain\"; match: { auth = [\"plain\"]; }; sender = \"acme\"; purpose = \"newsletter\"; },\n"
    "  { name = \"shop\"; match: { auth = [\"shop\"]; }; sender = \"acme\"; class = \"service\"; }\n"
    ");\n";

enum { NEWS, OFFERS, PLAIN, SHOP };

static int set_up(void **state)
{
    return bench_start(state, configuration);
}

static struct cm_stream *stream_of(struct bench *bench, size_t index)
{
    return &bench->settings->streams.streams[index];
}

/* ann may have news; nina and neo, of offers, may not: they are open until List-Id tells. */
static void begin_mixed(struct bench *bench, enum cm_mixed mixed)
{
    stream_of(bench, NEWS)->mixed = mixed;
    bench->fake.record_count = 0;
    grant(bench, "ann@x.test", FAKE_NEWS);
    grant(bench, "nina@x.test", FAKE_OFFERS);
    grant(bench, "neo@x.test", FAKE_OFFERS);
    mail(bench, "a");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    assert_string_equal(rcpt(bench, "nina@x.test"), "");
    assert_string_equal(rcpt(bench, "neo@x.test"), "");
    header(bench, "List-Id", "<news.acme.example>");
}

static void remove_takes_the_refused_from_the_envelope(void **state)
{
    struct bench *bench = *state;
    struct cm_disposition got;
    begin_mixed(bench, CM_MIXED_REMOVE);
    end_with(bench, CM_CAN_REMOVE, &got);
    assert_null(got.reply.code);
    assert_null(got.quarantine);
    assert_int_equal(got.removed_count, 2);
    assert_string_equal(got.removed[0], "<nina@x.test>");
    assert_string_equal(got.removed[1], "<neo@x.test>");
}

static void quarantine_names_the_decision(void **state)
{
    struct bench *bench = *state;
    struct cm_disposition got;
    begin_mixed(bench, CM_MIXED_QUARANTINE);
    end_with(bench, CM_CAN_QUARANTINE, &got);
    assert_null(got.reply.code);
    assert_int_equal(got.removed_count, 0);
    assert_non_null(got.quarantine);
    assert_non_null(strstr(got.quarantine, "2 of 3 recipients"));
    assert_non_null(strstr(got.quarantine, "(id "));
}

static void what_the_mta_does_not_offer_is_rejected(void **state)
{
    struct bench *bench = *state;
    static const struct {
        enum cm_mixed mixed;
        unsigned abilities;
    } rows[] = {{CM_MIXED_REMOVE, 0},
                {CM_MIXED_REMOVE, CM_CAN_QUARANTINE},
                {CM_MIXED_QUARANTINE, CM_CAN_REMOVE},
                {CM_MIXED_REJECT, CM_CAN_REMOVE | CM_CAN_QUARANTINE}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_disposition got;
        begin_mixed(bench, rows[i].mixed);
        end_with(bench, rows[i].abilities, &got);
        assert_string_equal(got.reply.code, "550");
        assert_int_equal(got.removed_count, 0);
        assert_null(got.quarantine);
    }
}

static void when_none_is_left_the_message_is_refused(void **state)
{
    struct bench *bench = *state;
    static const enum cm_mixed rows[] = {CM_MIXED_REMOVE, CM_MIXED_QUARANTINE};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_disposition got;
        begin_mixed(bench, rows[i]);
        bench->fake.record_count = 0;
        end_with(bench, CM_CAN_REMOVE | CM_CAN_QUARANTINE, &got);
        assert_string_equal(got.reply.code, "550");
        assert_int_equal(got.removed_count, 0);
        assert_null(got.quarantine);
    }
}

static void don_t_know_removes_nobody(void **state)
{
    struct bench *bench = *state;
    static const enum cm_mixed rows[] = {CM_MIXED_REMOVE, CM_MIXED_QUARANTINE};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_disposition got;
        close_filter(bench); /* the breaker of the one before */
        bench->fake.away = false;
        open_filter(bench, "");
        begin_mixed(bench, rows[i]);
        bench->fake.away = true;
        fake_order(&bench->fake.redis, 'd');
        end_with(bench, CM_CAN_REMOVE | CM_CAN_QUARANTINE, &got);
        assert_string_equal(got.reply.code, "451");
        assert_int_equal(got.removed_count, 0);
        assert_null(got.quarantine);
    }
}

/* Every form in which an MTA may hold a recipient, once. facts: Postfix compares exactly. */
static void each_recipient_is_named_in_every_form_needed(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *argument;
        const char *address;
        const char *want[3];
    } rows[] = {
        {"<No@X.Test>", "no@x.test", {"<No@X.Test>"}},
        {"No@X.Test", "no@x.test", {"No@X.Test", "<No@X.Test>"}},
        {"<@a.test,@b.test:No@X.Test>", "no@x.test", {"<@a.test,@b.test:No@X.Test>", "<No@X.Test>"}},
        {"<@[IPv6:::1]:No@X.Test (c)>", "no@x.test", {"<@[IPv6:::1]:No@X.Test (c)>", "<No@X.Test (c)>", "<No@X.Test>"}},
        {"<Foo <No@X.test>>", "no@x.test", {"<Foo <No@X.test>>", "<No@X.test>"}},
        {"<grp:No@X.test;>", "no@x.test", {"<grp:No@X.test;>", "<No@X.test>"}},
        {"<n\\o@x.test>", "no@x.test", {"<n\\o@x.test>", "<no@x.test>"}},
        {"<\"n o\"@x.test>", "\"n o\"@x.test", {"<\"n o\"@x.test>"}},
        {"<(c1)No(c2)@(c3)x.test>", "no@x.test", {"<(c1)No(c2)@(c3)x.test>", "<No@x.test>"}},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_disposition got;
        struct cm_reply reply;
        size_t wanted = 0;
        stream_of(bench, NEWS)->mixed = CM_MIXED_REMOVE;
        bench->fake.record_count = 0;
        grant(bench, "ann@x.test", FAKE_NEWS);
        grant(bench, rows[i].address, FAKE_OFFERS);
        mail(bench, "a");
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        cm_session_rcpt(bench->session, cm_span_of(rows[i].argument), cm_span_of(rows[i].address), NONE, &reply);
        assert_null(reply.code);
        header(bench, "List-Id", "<news.acme.example>");
        end_with(bench, CM_CAN_REMOVE, &got);
        assert_null(got.reply.code);
        while (wanted < COUNT(rows[i].want) && rows[i].want[wanted] != NULL) {
            wanted++;
        }
        assert_int_equal(got.removed_count, wanted);
        for (size_t w = 0; w < wanted; w++) {
            assert_string_equal(got.removed[w], rows[i].want[w]);
        }
    }
}

/* Nobody can be sure to remove them: Postfix compares another text than it shows. */
static void mail_of_the_sendmail_command_is_refused_as_a_whole(void **state)
{
    struct bench *bench = *state;
    struct cm_disposition got;
    stream_of(bench, PLAIN)->mixed = CM_MIXED_REMOVE;
    grant(bench, "ann@x.test", FAKE_NEWS);
    mail(bench, "plain");
    cm_session_mail(bench->session, CM_SPAN("<n@acme.example>"), CM_SPAN("plain"), true);
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    assert_string_equal(rcpt(bench, "nobody@x.test"), "");
    end_with(bench, CM_CAN_REMOVE, &got);
    assert_string_equal(got.reply.code, "550");
    assert_int_equal(got.removed_count, 0);
}

static void more_recipients_than_the_stream_allows_are_refused_at_rcpt(void **state)
{
    struct bench *bench = *state;
    stream_of(bench, PLAIN)->max_recipients = 2;
    grant(bench, "ann@x.test", FAKE_NEWS);
    for (unsigned i = 0; i < 2; i++) { /* each message has its own count */
        mail(bench, "plain");
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        assert_string_equal(rcpt(bench, "nobody@x.test"), "550"); /* not permitted: not counted */
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        assert_string_equal(rcpt(bench, "ann@x.test"), "550");
        assert_string_equal(end(bench, NULL), "");
    }
}

static void more_recipients_than_the_stream_allows_are_refused_at_the_end(void **state)
{
    struct bench *bench = *state;
    struct cm_reply reply;
    struct cm_disposition got;
    stream_of(bench, NEWS)->max_recipients = 1;
    grant(bench, "ann@x.test", FAKE_NEWS);
    grant(bench, "ann@x.test", FAKE_OFFERS);
    grant(bench, "ben@x.test", FAKE_NEWS);
    for (unsigned remove = 0; remove < 2; remove++) {
        stream_of(bench, NEWS)->mixed = remove ? CM_MIXED_REMOVE : CM_MIXED_REJECT;
        mail(bench, "a");
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        assert_string_equal(rcpt(bench, "ben@x.test"), "");
        header(bench, "List-Id", "<news.acme.example>");
        end_with(bench, CM_CAN_REMOVE, &got);
        reply = got.reply;
        if (remove) {
            assert_null(reply.code);
            assert_int_equal(got.removed_count, 1);
            assert_string_equal(got.removed[0], "<ben@x.test>");
        } else {
            assert_string_equal(reply.code, "550");
            assert_non_null(strstr(reply.text, "more recipients"));
        }
    }
}

static void a_dishonest_service_message_is_refused_though_its_recipients_were_taken(void **state)
{
    struct bench *bench = *state;
    static const struct {
        enum cm_honesty honesty;
        const char *name;
        const char *want;
    } rows[] = {{CM_HONESTY_REFUSE, "List-Unsubscribe", "550"},
                {CM_HONESTY_LOG, "List-Unsubscribe", ""},
                {CM_HONESTY_OFF, "List-Unsubscribe", ""},
                {CM_HONESTY_REFUSE, "X-Other", ""}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_reply reply;
        bench->settings->streams.service_honesty = rows[i].honesty;
        mail(bench, "shop");
        assert_string_equal(rcpt(bench, "nobody@x.test"), "");
        header(bench, rows[i].name, "<https://acme.example/leave>");
        assert_string_equal(end(bench, &reply), rows[i].want);
        assert_true(rows[i].want[0] == '\0' || strstr(reply.text, "service message") != NULL);
    }
    assert_int_equal(bench->fake.lookups, 0);
}

static void a_contradiction_refuses_the_message_though_its_recipients_were_taken(void **state)
{
    struct bench *bench = *state;
    static const char *patterns[] = {"news.acme.example"};
    stream_of(bench, PLAIN)->list_id = (struct cm_patterns){patterns, 1};
    grant(bench, "ann@x.test", FAKE_NEWS);
    for (unsigned agrees = 0; agrees < 2; agrees++) {
        struct cm_reply reply;
        mail(bench, "plain");
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        header(bench, "List-Id", agrees ? "<news.acme.example>" : "<offers.acme.example>");
        assert_string_equal(end(bench, &reply), agrees ? "" : "550");
        assert_true(agrees || strstr(reply.text, "contradict") != NULL);
    }
}

/* What was not kept might have spoken against the message: don't know. */
static void headers_beyond_the_ceiling_defer_what_they_might_contradict(void **state)
{
    struct bench *bench = *state;
    bench->settings->streams.service_honesty = CM_HONESTY_REFUSE;
    bench->settings->limits.header_bytes = 16;
    for (unsigned off = 0; off < 2; off++) {
        mail(bench, "shop");
        assert_string_equal(rcpt(bench, "ann@x.test"), "");
        header(bench, "List-Id", "<news.acme.example>");
        assert_string_equal(end(bench, NULL), off ? "" : "452");
        bench->settings->streams.service_honesty = CM_HONESTY_LOG;
    }
}

static void service_mail_heeds_the_stops_it_names(void **state)
{
    struct bench *bench = *state;
    static const struct cm_record complaint = {
        .scope = 1, .kind = CM_KIND_STOP, .state = CM_STATE_COMPLAINED, .rank = CM_RANK_SUBJECT, .event_at = 1000};
    put(bench, "ann@x.test", &complaint);
    mail(bench, "shop");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    assert_int_equal(bench->fake.lookups, 0); /* it names none, and so asks nothing */
    bench->settings->streams.service_stops = 1U << CM_REASON_COMPLAINED;
    mail(bench, "shop");
    assert_string_equal(rcpt(bench, "ann@x.test"), "550");
    assert_string_equal(rcpt(bench, "ben@x.test"), "");
    bench->settings->streams.service_stops = 1U << CM_REASON_BOUNCED;
    mail(bench, "shop");
    assert_string_equal(rcpt(bench, "ann@x.test"), "");
    bench->fake.away = true;
    fake_order(&bench->fake.redis, 'd');
    assert_string_equal(rcpt(bench, "ann@x.test"), "451");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(remove_takes_the_refused_from_the_envelope),
        CASE(quarantine_names_the_decision),
        CASE(what_the_mta_does_not_offer_is_rejected),
        CASE(when_none_is_left_the_message_is_refused),
        CASE(don_t_know_removes_nobody),
        CASE(each_recipient_is_named_in_every_form_needed),
        CASE(mail_of_the_sendmail_command_is_refused_as_a_whole),
        CASE(more_recipients_than_the_stream_allows_are_refused_at_rcpt),
        CASE(more_recipients_than_the_stream_allows_are_refused_at_the_end),
        CASE(a_dishonest_service_message_is_refused_though_its_recipients_were_taken),
        CASE(a_contradiction_refuses_the_message_though_its_recipients_were_taken),
        CASE(headers_beyond_the_ceiling_defer_what_they_might_contradict),
        CASE(service_mail_heeds_the_stops_it_names),
    };
    cm_log_open("test", false); /* decisions are not for the eyes */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
