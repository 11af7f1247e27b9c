/* Streams that are refused, and what those that are taken become. */
#include "sandbox.h"

static const struct bad_file bad_files[] = {
    {"a key of a stream at the top", STORE "sender = \"acme\";\n",
     ":2: sender: is not known; known here: "
     "store, keys, state, keepers, keeper, milter, contact, outgoing, unmatched, mode, log_addresses, streams, "
     "service_stops, service_honesty, control, metrics, mail, canaries, explain_days, limits"},
    {"an unknown key of a stream", STREAM(NAMES, MATCH, "purposes = \"x\";"),
     ":5: streams.purposes: is not known; did you mean \"purpose\"?"},
    {"an unknown condition", STREAM(NAMES, "match: { auth = [\"a\"]; recipients = [\"b\"]; };", ""),
     ":4: streams.match.recipients: is not known; known here: auth, daemon, client, local, mail_from, headers"},
    {"an unknown key of a header condition",
     STREAM("name = \"n\"; sender = \"s\"; purpose = \"p\";\nmatch: { auth = [\"a\"]; headers = ( { name = \"X\";",
            "value = \"y\"; negate = true; } ); };", ""),
     ":5: streams.match.headers.negate: is not known; known here: name, value"},
    {"a mixed that is not known", STREAM(NAMES, MATCH, "mixed = \"drop\";"),
     ":5: streams.mixed: \"drop\" is not known; write \"reject\" or \"remove\" or \"quarantine\""},
    {"max_recipients above", STREAM(NAMES, MATCH, "max_recipients = 100001;"),
     ":5: streams.max_recipients: is 100001; write a number from 0 to 100000"},
    {"max_recipients of a consent request", STREAM(NAMES, MATCH, "class = \"consent_request\"; max_recipients = 5;"),
     ":5: streams.max_recipients: means nothing here: it bounds marketing messages; leave it out"},
    {"mixed of a service stream", STREAM(NAMES, MATCH, "class = \"service\"; mixed = \"remove\";"),
     ":5: streams.mixed: means nothing here: a service stream declares no purpose; leave it out"},
    {"list_id with two purposes", STREAM(NAMES, MATCH, "list_id = [\"{purpose}{purpose}\"];"),
     ":5: streams.list_id: \"{purpose}{purpose}\" holds {purpose} twice; keep one"},
    {"streams is a group", STORE "streams: { name = \"x\"; };\n",
     ":2: streams: is a group { }; write a list of groups, as in streams: ( { name = ...; }, { name = ...; } );"},
    {"streams is an array", STORE "streams = [\"x\"];\n",
     ":2: streams: is a list [ ]; write a list of groups, as in streams: ( { name = ...; }, { name = ...; } );"},
    {"a stream that is text", STORE "streams: (\n\"news\" );\n",
     ":3: streams: holds no group; write ( { name = ...; match: { ... }; sender = ...; }, ... )"},
    {"a stream without a name", STREAM("sender = \"s\"; purpose = \"p\";", MATCH, ""),
     ":2: streams.name: is missing; write a name of its own, such as \"acme-news\""},
    {"a stream with an empty name", STREAM("name = \"\"; sender = \"s\"; purpose = \"p\";", MATCH, ""),
     ":3: streams.name: is empty; write a name of its own, such as \"acme-news\""},
    {"a stream with a blank in its name", STREAM("name = \"a b\"; sender = \"s\"; purpose = \"p\";", MATCH, ""),
     ":3: streams.name: \"a b\" is no name; use letters, digits and . _ - only"},
    {"two streams of one name",
     STORE "streams: ( { name = \"n\"; sender = \"s\"; purpose = \"p\"; match: { auth = [\"a\"]; }; },\n{ sender = "
           "\"s\"; purpose = \"p\"; match: { auth = [\"b\"]; };\nname = \"n\"; } );\n",
     ":4: streams.name: \"n\" is the name of the stream at consent-milter.conf:2 too; choose another"},
    {"a stream without match", STREAM(NAMES, "", ""),
     ":2: streams.match: has no session condition, so anybody's mail could belong to it; name at least one of auth, "
     "daemon, client or local = true"},
    {"a stream without a session condition",
     STREAM(NAMES, "match: { mail_from = [\"*@x\"]; headers = ( { name = \"X\"; value = \"*\"; } ); };", ""),
     ":4: streams.match: has no session condition, so anybody's mail could belong to it; name at least one of auth, "
     "daemon, client or local = true"},
    {"a stream with empty session conditions",
     STREAM("name = \"n\"; sender = \"s\"; purpose = \"p\";\nmatch: {",
            "auth = []; daemon = []; client = []; local = false; };", ""),
     ":4: streams.match: has no session condition, so anybody's mail could belong to it; name at least one of auth, "
     "daemon, client or local = true"},
    {"match is a list", STREAM(NAMES, "match = ( \"a\" );", ""),
     ":4: streams.match: is a list ( ); write a group, as in match: { ... };"},
    {"local is text", STREAM(NAMES, "match: { local = \"yes\"; };", ""),
     ":4: streams.match.local: is text; write true or false, without quotes"},
    {"mail_from in brackets", STREAM(NAMES, "match: { auth = [\"a\"]; mail_from = [\"<x@y.example>\"]; };", ""),
     ":4: streams.match.mail_from: \"<x@y.example>\" holds angle brackets; write the address alone, and \"\" for the "
     "null sender"},
    {"mail_from of another alphabet",
     STREAM(NAMES,
            "match: { auth = [\"a\"]; mail_from = [\"*@b\xc3\xbc"
            "cher.example\"]; };",
            ""),
     ":4: streams.match.mail_from: \"*@b\xc3\xbc"
     "cher.example\" has a domain that is not ASCII; write it as A-labels (xn--...)"},
    {"a header condition that is text", STREAM(NAMES, "match: { auth = [\"a\"]; headers = ( \"List-Id\" ); };", ""),
     ":4: streams.match.headers: holds no group; write ( { name = \"List-Id\"; value = \"*\"; } )"},
    {"header conditions in one group",
     STREAM(NAMES, "match: { auth = [\"a\"]; headers: { name = \"X\"; value = \"*\"; }; };", ""),
     ":4: streams.match.headers: is a group { }; write a list of groups, as in ( { name = \"List-Id\"; value = \"*\"; "
     "} )"},
    {"a header condition without value",
     STREAM(NAMES, "match: { auth = [\"a\"]; headers = ( { name = \"X\"; } ); };", ""),
     ":4: streams.match.headers.value: is missing; write a pattern, such as \"*<news.acme.example>*\""},
    {"a header name with a colon",
     STREAM(NAMES, "match: { auth = [\"a\"]; headers = ( { name = \"List-Id:\"; value = \"*\"; } ); };", ""),
     ":4: streams.match.headers.name: \"List-Id:\" is no header name; write one such as \"List-Id\", without ':'"},
    {"{purpose} in a header condition",
     STREAM(NAMES, "match: { auth = [\"a\"]; headers = ( { name = \"X\"; value = \"{purpose}\"; } ); };", ""),
     ":4: streams.match.headers.value: \"{purpose}\" holds {purpose}, which only mail_from patterns know; write '*' "
     "for any text"},
    {"no sender", STREAM("name = \"n\"; purpose = \"p\";", MATCH, ""),
     ":2: streams.sender: is missing; write the sender's identifier, such as \"acme\""},
    {"a sender with capitals", STREAM("name = \"n\"; purpose = \"p\"; sender = \"Acme\";", MATCH, ""),
     ":3: streams.sender: \"Acme\" is no identifier; use a-z, 0-9 and . _ - only"},
    {"a sender with a slash", STREAM("name = \"n\"; purpose = \"p\"; sender = \"acme/x\";", MATCH, ""),
     ":3: streams.sender: \"acme/x\" is no identifier; use a-z, 0-9 and . _ - only"},
    {"no purpose", STREAM("name = \"n\"; sender = \"s\";", MATCH, ""),
     ":2: streams.purpose: is missing; write purpose = \"NAME\" or purpose_from = \"mail_from\" or \"header:NAME\""},
    {"no purpose of a consent request", STREAM("name = \"n\"; sender = \"s\";", MATCH, "class = \"consent_request\";"),
     ":2: streams.purpose: is missing; write purpose = \"NAME\" or purpose_from = \"mail_from\" or \"header:NAME\""},
    {"two sources of the purpose", STREAM(NAMES, MATCH, "purpose_from = \"header:X\";"),
     ":5: streams.purpose_from: stands beside purpose; keep one of the two"},
    {"a purpose with capitals", STREAM("name = \"n\"; sender = \"s\"; purpose = \"News\";", MATCH, ""),
     ":3: streams.purpose: is no purpose; write up to 7 names of a-z, 0-9 and . _ - with '/' between, as in "
     "\"offers/partners\""},
    {"a purpose with an empty level", STREAM("name = \"n\"; sender = \"s\"; purpose = \"a//b\";", MATCH, ""),
     ":3: streams.purpose: is no purpose; write up to 7 names of a-z, 0-9 and . _ - with '/' between, as in "
     "\"offers/partners\""},
    {"a purpose of too many levels", STREAM("name = \"n\"; sender = \"s\"; purpose = \"1/2/3/4/5/6/7/8\";", MATCH, ""),
     ":3: streams.purpose: is no purpose; write up to 7 names of a-z, 0-9 and . _ - with '/' between, as in "
     "\"offers/partners\""},
    {"purpose_from of another kind", STREAM("name = \"n\"; sender = \"s\";", MATCH, "purpose_from = \"subject\";"),
     ":5: streams.purpose_from: is not known; write \"mail_from\" or \"header:NAME\""},
    {"purpose_from without a header name",
     STREAM("name = \"n\"; sender = \"s\";", MATCH, "purpose_from = \"header:\";"),
     ":5: streams.purpose_from: names no header; write one as in \"header:X-Consent-Purpose\""},
    {"purpose_from with a bad header name",
     STREAM("name = \"n\"; sender = \"s\";", MATCH, "purpose_from = \"header:X Y\";"),
     ":5: streams.purpose_from: names no header; write one as in \"header:X-Consent-Purpose\""},
    {"purpose from MAIL FROM without patterns",
     STREAM("name = \"n\"; sender = \"s\";", MATCH, "purpose_from = \"mail_from\";"),
     ":5: streams.purpose_from: is \"mail_from\", but match.mail_from has no pattern; write one with {purpose}"},
    {"purpose from MAIL FROM, one pattern without",
     STREAM("name = \"n\"; sender = \"s\";", "match: { auth = [\"a\"]; mail_from = [\"{purpose}@x\", \"y@x\"]; };",
            "purpose_from = \"mail_from\";"),
     ":4: streams.match.mail_from: has a pattern without {purpose}, but purpose_from is \"mail_from\"; write {purpose} "
     "into each"},
    {"{purpose} that nobody reads", STREAM(NAMES, "match: { auth = [\"a\"]; mail_from = [\"{purpose}@x\"]; };", ""),
     ":4: streams.match.mail_from: holds {purpose}, but the purpose is not taken from there; write purpose_from = "
     "\"mail_from\""},
    {"{purpose} behind a star",
     STREAM("name = \"n\"; sender = \"s\";", "match: { auth = [\"a\"]; mail_from = [\"*-{purpose}@x\"]; };",
            "purpose_from = \"mail_from\";"),
     ":4: streams.match.mail_from: \"*-{purpose}@x\" has a '*' before {purpose}, so what {purpose} stands for would be "
     "ambiguous; write the '*' behind it"},
    {"{purpose} in a login", STREAM(NAMES, "match: { auth = [\"{purpose}\"]; };", ""),
     ":4: streams.match.auth: \"{purpose}\" holds {purpose}, which only mail_from patterns know; write '*' for any "
     "text"},
    {"an unknown class", STREAM(NAMES, MATCH, "class = \"transactional\";"),
     ":5: streams.class: \"transactional\" is not known; write \"marketing\" or \"service\" or \"consent_request\""},
    {"an unknown mode of a stream", STREAM(NAMES, MATCH, "mode = \"off\";"),
     ":5: streams.mode: \"off\" is not known; write \"enforce\" or \"observe\""},
    {"an unknown basis", STREAM(NAMES, MATCH, "accept_basis = [\"explicit\"];"),
     ":5: streams.accept_basis: \"explicit\" is not known; write \"express\" or \"implied\" or \"soft_optin\" or "
     "\"asserted\""},
    {"a basis twice", STREAM(NAMES, MATCH, "accept_basis = [\"express\", \"express\"];"),
     ":5: streams.accept_basis: \"express\" stands there twice; name it once"},
    {"no basis at all", STREAM(NAMES, MATCH, "accept_basis = [];"),
     ":5: streams.accept_basis: is empty, so nothing would ever pass; name at least one, or leave the key out"},
    {"a basis that is text", STREAM(NAMES, MATCH, "accept_basis = \"express\";"),
     ":5: streams.accept_basis: is text; write a list, as in [\"express\", \"implied\"]"},
    {"a basis for a service stream", STREAM(NAMES, MATCH, "class = \"service\"; accept_basis = [\"express\"];"),
     ":5: streams.accept_basis: means nothing here: only marketing asks for consent; leave it out"},
    {"mixed of another kind", STREAM(NAMES, MATCH, "mixed = \"accept\";"),
     ":5: streams.mixed: \"accept\" is not known; write \"reject\" or \"remove\" or \"quarantine\""},
};

static void bad_streams_are_refused_with_the_line_and_the_remedy(void **state)
{
    (void)state;
    expect_errors(bad_files, COUNT(bad_files));
}

static void a_stream_has_the_documented_defaults(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good(STREAM(NAMES, MATCH, ""));
    const struct cm_stream *stream = &settings->streams.streams[0];
    assert_int_equal(settings->streams.count, 1);
    assert_string_equal(stream->name, "n");
    assert_string_equal(stream->sender, "s");
    assert_string_equal(stream->purpose, "p");
    assert_int_equal(stream->purpose_from, CM_PURPOSE_FIXED);
    assert_int_equal(stream->class, CM_CLASS_MARKETING);
    assert_int_equal(stream->mode, CM_MODE_ENFORCE);
    assert_int_equal(stream->accept_basis, CM_BASIS_EXPRESS);
    assert_int_equal(stream->session.auth.count, 1);
    assert_string_equal(stream->session.auth.items[0], "a");
    assert_int_equal(stream->session.daemon.count + stream->session.client.count + stream->mail_from.count, 0);
    assert_int_equal(stream->header_count, 0);
    assert_false(stream->session.local);
    cm_settings_free(settings);
}

static void every_key_of_a_stream_arrives(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good(STREAM(
        "name = \"n\"; sender = \"s\"; purpose_from = \"header:X-Purpose\"; mode = \"observe\"; mixed = \"reject\";",
        "match: { auth = [\"a*\", \"b\"]; daemon = ( \"d\" ); client = [\"10.0.0.0/8\", \"::1\"]; local = true;"
        " mail_from = [\"\", \"*@x\"]; headers = ( { name = \"A\"; value = \"\"; }, { name = \"B\"; value = \"*b\"; } "
        "); };",
        "accept_basis = [\"express\", \"implied\", \"soft_optin\", \"asserted\"];"));
    const struct cm_stream *stream = &settings->streams.streams[0];
    assert_int_equal(stream->purpose_from, CM_PURPOSE_HEADER);
    assert_string_equal(stream->purpose_header, "X-Purpose");
    assert_null(stream->purpose);
    assert_int_equal(stream->mode, CM_MODE_OBSERVE);
    assert_int_equal(stream->accept_basis, 15);
    assert_int_equal(stream->session.auth.count, 2);
    assert_string_equal(stream->session.auth.items[1], "b");
    assert_string_equal(stream->session.daemon.items[0], "d");
    assert_int_equal(stream->session.client.count, 2);
    assert_int_equal(stream->session.client.items[0].prefix_bits, 104);
    assert_int_equal(stream->session.client.items[1].prefix_bits, 128);
    assert_true(stream->session.local);
    assert_string_equal(stream->mail_from.items[0], "");
    assert_string_equal(stream->mail_from.items[1], "*@x");
    assert_int_equal(stream->header_count, 2);
    assert_string_equal(stream->headers[1].name, "B");
    assert_string_equal(stream->headers[1].value, "*b");
    cm_settings_free(settings);
}

static void classes_need_what_they_need(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good(STREAM("name = \"n\"; sender = \"s\";", MATCH, "class = \"service\";"));
    assert_int_equal(settings->streams.streams[0].class, CM_CLASS_SERVICE);
    assert_int_equal(settings->streams.streams[0].purpose_from, CM_PURPOSE_NONE);
    cm_settings_free(settings);
    settings = load_good(STREAM(NAMES, MATCH, "class = \"service\";"));
    assert_int_equal(settings->streams.streams[0].purpose_from, CM_PURPOSE_FIXED);
    cm_settings_free(settings);
    settings = load_good(STREAM(NAMES, "match: { local = true; };", "class = \"consent_request\";"));
    assert_int_equal(settings->streams.streams[0].class, CM_CLASS_CONSENT_REQUEST);
    cm_settings_free(settings);
    settings = load_good(STREAM("name = \"n\"; sender = \"s\"; purpose_from = \"mail_from\";",
                                "match: { auth = [\"a\"]; mail_from = [\"{purpose}@x\", \"b-{purpose}-*@x\"]; };", ""));
    assert_int_equal(settings->streams.streams[0].purpose_from, CM_PURPOSE_MAIL_FROM);
    cm_settings_free(settings);
}

static void observe_at_the_top_holds_for_every_stream(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good(STREAM(NAMES, MATCH, "mode = \"enforce\";") "mode = \"observe\";\n");
    assert_int_equal(settings->streams.mode, CM_MODE_OBSERVE);
    assert_int_equal(settings->streams.streams[0].mode, CM_MODE_OBSERVE);
    cm_settings_free(settings);
    settings = load_good(STREAM(NAMES, MATCH, "mode = \"observe\";") "mode = \"enforce\";\n");
    assert_int_equal(settings->streams.mode, CM_MODE_ENFORCE);
    assert_int_equal(settings->streams.streams[0].mode, CM_MODE_OBSERVE);
    cm_settings_free(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_streams_are_refused_with_the_line_and_the_remedy),
        cmocka_unit_test(a_stream_has_the_documented_defaults),
        cmocka_unit_test(every_key_of_a_stream_arrives),
        cmocka_unit_test(classes_need_what_they_need),
        cmocka_unit_test(observe_at_the_top_holds_for_every_stream),
    };
    return cmocka_run_group_tests(tests, enter_sandbox, leave_sandbox);
}
