/* What good configurations become, the limits at both sides, and the sample that is shipped. */
#include "core/decision.h"
#include "sandbox.h"

static void the_defaults_are_the_documented_ones(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good(STORE);
    assert_string_equal(settings->file, "consent-milter.conf");
    assert_int_equal(settings->store.scheme, CM_STORE_UNIX);
    assert_string_equal(settings->store.path, "/r");
    assert_null(settings->store.user);
    assert_null(settings->store.password_file);
    assert_int_equal(settings->store.timeout_ms, 800);
    assert_string_equal(settings->control.socket, "/run/consent-milter/control.sock");
    assert_int_equal(settings->explain_days, 30);
    assert_int_equal(settings->limits.sessions, 10000);
    assert_int_equal(settings->streams.service_stops, 0);
    assert_int_equal(settings->streams.service_honesty, CM_HONESTY_REFUSE);
    assert_int_equal(settings->store.pool, 64);
    assert_string_equal(settings->keys, "/etc/consent-milter/keys");
    assert_string_equal(settings->milter.socket, "unix:/var/spool/postfix/consent-milter/consent-milter.sock");
    assert_int_equal(settings->milter.mode, 0660);
    assert_null(settings->milter.group);
    assert_string_equal(settings->state, "/var/lib/consent-milter");
    assert_int_equal(settings->keeper_count, 0);
    assert_string_equal(settings->keeper.socket, "/run/consent-milter/keeper.sock");
    assert_null(settings->keeper.name);
    assert_int_equal(settings->keeper.mode, 0660);
    assert_null(settings->keeper.group);
    assert_int_equal(settings->keeper.caller_count, 0);
    assert_int_equal(settings->keeper.retain_days, 35);
    assert_null(settings->officer);
    assert_null(settings->url);
    assert_false(settings->log_addresses);
    assert_int_equal(settings->streams.count, 0);
    assert_int_equal(settings->streams.mode, CM_MODE_ENFORCE);
    assert_false(settings->streams.refuse_unmatched_bulk);
    assert_false(settings->streams.outgoing.local);
    assert_int_equal(settings->streams.outgoing.auth.count, 0);
    cm_settings_free(settings);
}

static void every_key_arrives(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good(
        "store = { url = \"redis://h\"; user = \"milter\"; password_file = \"/p\"; timeout = \"1s\"; pool = 7; }\n"
        "keys = \"/k\"\n"
        "milter: { socket = \"local:/s\"; mode = \"600\"; group = \"mail\"; };\n"
        "contact: { officer = \"o@x.example\"; url = \"http://x.example\"; };\n"
        "outgoing: { auth = [\"*\"]; daemon = [\"d\"]; client = [\"192.0.2.1\"]; local = true; };\n"
        "unmatched: { bulk = \"refuse\"; };\n"
        "control: { socket = \"/c\"; mode = \"600\"; group = \"adm\"; }; explain_days = \"400d\";\n"
        "limits: { sessions = 100000; recipients = 1; header_bytes = 1024; };\n"
        "service_stops = [\"complained\", \"erased\"]; service_honesty = \"log\";\n"
        "log_addresses = TRUE; streams = [];\n");
    assert_string_equal(settings->control.socket, "/c");
    assert_int_equal(settings->control.mode, 0600);
    assert_string_equal(settings->control.group, "adm");
    assert_int_equal(settings->explain_days, 400);
    assert_int_equal(settings->limits.sessions, 100000);
    assert_int_equal(settings->limits.recipients, 1);
    assert_int_equal(settings->limits.header_bytes, 1024);
    assert_int_equal(settings->streams.service_stops, 1U << CM_REASON_COMPLAINED | 1U << CM_REASON_ERASED);
    assert_int_equal(settings->streams.service_honesty, CM_HONESTY_LOG);
    assert_string_equal(settings->store.user, "milter");
    assert_string_equal(settings->store.password_file, "/p");
    assert_int_equal(settings->store.timeout_ms, 1000);
    assert_int_equal(settings->store.pool, 7);
    assert_string_equal(settings->keys, "/k");
    assert_string_equal(settings->milter.socket, "unix:/s");
    assert_int_equal(settings->milter.mode, 0600);
    assert_string_equal(settings->milter.group, "mail");
    assert_string_equal(settings->officer, "o@x.example");
    assert_string_equal(settings->url, "http://x.example");
    assert_string_equal(settings->streams.outgoing.auth.items[0], "*");
    assert_string_equal(settings->streams.outgoing.daemon.items[0], "d");
    assert_int_equal(settings->streams.outgoing.client.count, 1);
    assert_true(settings->streams.outgoing.local);
    assert_true(settings->streams.refuse_unmatched_bulk);
    assert_true(settings->log_addresses);
    cm_settings_free(settings);
}

static void the_keys_of_keepers_arrive(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good(
        STORE "state = \"/s\"; keepers = [\"mx1\", \"a.b_c-9\"];\n"
              "keeper: { socket = \"/k\"; name = \"mx1\"; mode = \"0600\"; group = \"g\"; retain = \"3650d\";\n"
              "callers = ( { user = \"consent-web\"; rank = \"subject\"; }, { group = \"4294967294\"; rank = "
              "\"officer\"; }, { user = \"0\"; rank = \"admin\"; }, { user = \"s\"; rank = \"sender\"; },\n"
              "{ user = \"0day\"; rank = \"system\"; } ); };\n");
    static const struct cm_caller_settings callers[] = {
        {.user = "consent-web", .rank = CM_RANK_SUBJECT},
        {.group = "4294967294", .rank = CM_RANK_OFFICER},
        {.user = "0", .rank = CM_RANK_ADMIN},
        {.user = "s", .rank = CM_RANK_SENDER},
        {.user = "0day", .rank = CM_RANK_SYSTEM},
    };
    assert_string_equal(settings->state, "/s");
    assert_int_equal(settings->keeper_count, 2);
    assert_string_equal(settings->keepers[0], "mx1");
    assert_string_equal(settings->keepers[1], "a.b_c-9");
    assert_string_equal(settings->keeper.socket, "/k");
    assert_string_equal(settings->keeper.name, "mx1");
    assert_int_equal(settings->keeper.mode, 0600);
    assert_string_equal(settings->keeper.group, "g");
    assert_int_equal(settings->keeper.retain_days, 3650);
    assert_int_equal(settings->keeper.caller_count, COUNT(callers));
    for (size_t i = 0; i < COUNT(callers); i++) {
        const struct cm_caller_settings *got = &settings->keeper.callers[i];
        assert_int_equal(got->rank, callers[i].rank);
        assert_int_equal(got->user == NULL, callers[i].user == NULL);
        assert_int_equal(got->group == NULL, callers[i].group == NULL);
        assert_string_equal(got->user != NULL ? got->user : got->group,
                            callers[i].user != NULL ? callers[i].user : callers[i].group);
    }
    cm_settings_free(settings);
}

static void store_urls_are_taken_apart(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        enum cm_store_scheme scheme;
        const char *host;
        const char *port;
    } rows[] = {
        {"redis://redis.example", CM_STORE_TCP, "redis.example", "6379"},
        {"redis://redis.example:1", CM_STORE_TCP, "redis.example", "1"},
        {"redis://127.0.0.1:65535", CM_STORE_TCP, "127.0.0.1", "65535"},
        {"redis://[::1]", CM_STORE_TCP, "::1", "6379"},
        {"redis://[2001:db8::1]:6380", CM_STORE_TCP, "2001:db8::1", "6380"},
        {"rediss://redis.example", CM_STORE_TLS, "redis.example", "6379"},
        {"rediss://[2001:db8::1]:6380", CM_STORE_TLS, "2001:db8::1", "6380"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "store: { url = \"%s\"; };\n", rows[i].url); /* fits */
        struct cm_settings *settings = load_good(text);
        assert_int_equal(settings->store.scheme, rows[i].scheme);
        assert_null(settings->store.path);
        assert_string_equal(settings->store.host, rows[i].host);
        assert_string_equal(settings->store.port, rows[i].port);
        cm_settings_free(settings);
    }
}

static void tls_keys_arrive(void **state)
{
    (void)state;
    struct cm_settings *settings = load_good("store: { url = \"rediss://h\"; };\n");
    assert_null(settings->store.tls.ca_file);
    assert_null(settings->store.tls.cert_file);
    assert_null(settings->store.tls.key_file);
    assert_null(settings->store.tls.server_name);
    cm_settings_free(settings);
    settings = load_good("store: { url = \"rediss://192.0.2.1\"; tls: { ca_file = \"/ca\"; cert_file = \"/cert\"; "
                         "key_file = \"/key\"; server_name = \"2001:db8::1\"; }; };\n");
    assert_string_equal(settings->store.tls.ca_file, "/ca");
    assert_string_equal(settings->store.tls.cert_file, "/cert");
    assert_string_equal(settings->store.tls.key_file, "/key");
    assert_string_equal(settings->store.tls.server_name, "2001:db8::1");
    cm_settings_free(settings);
}

static void sockets_get_the_form_of_libmilter(void **state)
{
    (void)state;
    static const struct {
        const char *socket;
        const char *want;
    } rows[] = {
        {"unix:/run/x.sock", "unix:/run/x.sock"},         {"local:/run/x.sock", "unix:/run/x.sock"},
        {"inet:8891@127.0.0.1", "inet:8891@127.0.0.1"},   {"inet:127.0.0.1:8891", "inet:8891@127.0.0.1"},
        {"inet:8891@localhost", "inet:8891@localhost"},   {"inet:localhost:8891", "inet:8891@localhost"},
        {"inet6:8891@::1", "inet6:8891@[::1]"},           {"inet6:8891@[::1]", "inet6:8891@[::1]"},
        {"inet6:[::1]:8891", "inet6:8891@[::1]"},         {"inet6:8891@localhost", "inet6:8891@localhost"},
        {"inet6:localhost:8891", "inet6:8891@localhost"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), STORE "milter: { socket = \"%s\"; };\n", rows[i].socket); /* fits */
        struct cm_settings *settings = load_good(text);
        assert_string_equal(settings->milter.socket, rows[i].want);
        cm_settings_free(settings);
    }
}

/* Texts at their longest, and one byte more. %s stands for the text. */
static const struct {
    const char *format;
    const char *before; /* the text begins so, and goes on in letters */
    size_t longest;
    const char *want; /* of one byte more */
} length_rows[] = {
    {"store: { url = \"unix:%s\"; };\n", "/", 107, ":1: store.url: \"unix:/"},
    {"store: { url = \"unix:/r\"; user = \"%s\"; password_file = \"/p\"; };\n", "", 128,
     ":1: store.user: has 129 bytes; 1 to 128 are right"},
    {"store: { url = \"unix:/r\"; password_file = \"%s\"; };\n", "/", 1023,
     ":1: store.password_file: has 1024 bytes; 1 to 1023 are right"},
    {"store: { url = \"rediss://h\"; tls: { ca_file = \"%s\"; }; };\n", "/", 1023,
     ":1: store.tls.ca_file: has 1024 bytes; 1 to 1023 are right"},
    {"store: { url = \"rediss://h\"; tls: { server_name = \"%s\"; }; };\n", "", 253,
     ":1: store.tls.server_name: has 254 bytes; 1 to 253 are right"},
    {STORE "keys = \"%s\";\n", "/", 1023, ":2: keys: has 1024 bytes; 1 to 1023 are right"},
    {STORE "milter: { socket = \"unix:%s\"; };\n", "/", 107, ":2: milter.socket: \"unix:/"},
    {STORE "state = \"%s\";\n", "/", 1023, ":2: state: has 1024 bytes; 1 to 1023 are right"},
    {STORE "keepers = [\"%s\"];\n", "", 32, ":2: keepers: \"aaaa"},
    {STORE "keeper: { name = \"%s\"; };\n", "", 32, ":2: keeper.name: has 33 bytes; 1 to 32 are right"},
    {STORE "keeper: { socket = \"%s\"; };\n", "/", 107, ":2: keeper.socket: has 108 bytes; 1 to 107 are right"},
    {STORE "keeper: { group = \"%s\"; };\n", "", 32, ":2: keeper.group: has 33 bytes; 1 to 32 are right"},
    {STORE "keeper: { callers = ( { user = \"%s\"; rank = \"admin\"; } ); };\n", "", 32,
     ":2: keeper.callers.user: has 33 bytes; 1 to 32 are right"},
    {STORE "milter: { group = \"%s\"; };\n", "", 32, ":2: milter.group: has 33 bytes; 1 to 32 are right"},
    {STORE "contact: { officer = \"%s\"; };\n", "o@", 254, ":2: contact.officer: has 255 bytes; 1 to 254 are right"},
    {STORE "contact: { url = \"%s\"; };\n", "https://", 120, ":2: contact.url: has 121 bytes; 1 to 120 are right"},
    {STORE "outgoing: { auth = [\"%s\"]; };\n", "", 255, ":2: outgoing.auth: \"aaaa"},
    {STREAM("name = \"%s\"; sender = \"s\"; purpose = \"p\";", MATCH, ""), "", 64,
     ":3: streams.name: has 65 bytes; 1 to 64 are right"},
    {STREAM("name = \"n\"; sender = \"%s\"; purpose = \"p\";", MATCH, ""), "", 64,
     ":3: streams.sender: has 65 bytes; 1 to 64 are right"},
    {STREAM("name = \"n\"; sender = \"s\"; purpose = \"%s\";", MATCH, ""), "", 126,
     ":3: streams.purpose: is too long; sender/purpose may have 128 bytes in all"},
    {STREAM(NAMES, "match: { auth = [\"a\"]; mail_from = [\"%s\"]; };", ""), "", 255,
     ":4: streams.match.mail_from: \"aaaa"},
    {STREAM(NAMES, "match: { auth = [\"a\"]; headers = ( { name = \"%s\"; value = \"\"; } ); };", ""), "", 76,
     ":4: streams.match.headers.name: has 77 bytes; 1 to 76 are right"},
    {STREAM(NAMES, "match: { auth = [\"a\"]; headers = ( { name = \"X\"; value = \"%s\"; } ); };", ""), "", 255,
     ":4: streams.match.headers.value: \"aaaa"},
    {STREAM("name = \"n\"; sender = \"s\"; purpose_from = \"%s\";", MATCH, ""), "header:", 83,
     ":3: streams.purpose_from: has 84 bytes; 1 to 83 are right"},
};

static void put_row(size_t row, size_t len)
{
    char text[2048];
    char value[1200];
    const char *hole = strstr(length_rows[row].format, "%s");
    memset(value, 'a', len);
    memcpy(value, length_rows[row].before, strlen(length_rows[row].before));
    (void)snprintf(text, sizeof(text), "%.*s%.*s%s", (int)(hole - length_rows[row].format), length_rows[row].format,
                   (int)len, value, hole + 2); /* fits */
    put("consent-milter.conf", text);
}

static void texts_have_a_longest(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(length_rows); i++) {
        struct cm_err err = {.text = ""};
        put_row(i, length_rows[i].longest);
        struct cm_settings *settings = cm_settings_load("consent-milter.conf", &err);
        if (settings == NULL) {
            fail_msg("%zu bytes: %s", length_rows[i].longest, err.text);
        }
        cm_settings_free(settings);
        put_row(i, length_rows[i].longest + 1);
        settings = cm_settings_load("consent-milter.conf", &err);
        size_t skipped = strlen("consent-milter.conf");
        if (settings != NULL || strncmp(err.text + skipped, length_rows[i].want, strlen(length_rows[i].want)) != 0) {
            cm_settings_free(settings);
            fail_msg("%zu bytes: %s", length_rows[i].longest + 1, settings != NULL ? "taken" : err.text);
        }
    }
}

static void numbers_are_right_at_both_ends(void **state)
{
    (void)state;
    static const char *const texts[] = {"timeout = \"10ms\"",   "timeout = \"1s\"", "timeout = \"1000ms\"",
                                        "timeout = \"0010ms\"", "pool = 1",         "pool = 1024",
                                        "pool = 64L",           "pool = 0x40"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "store: { url = \"unix:/r\"; %s; };\n", texts[i]); /* fits */
        cm_settings_free(load_good(text));
    }
    cm_settings_free(load_good(STORE "keeper: { retain = \"1d\"; };\n"));
    cm_settings_free(load_good(STORE "keeper: { retain = \"03650d\"; };\n"));
}

/* `count` times `item`, with commas, between `before` and `after`. */
static void put_repeated(const char *before, const char *item, size_t count, const char *after)
{
    FILE *file = fopen("consent-milter.conf", "w");
    assert_non_null(file);
    (void)fputs(before, file); /* fclose tells */
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(file, "%s%s%zu\"", i > 0 ? "," : "", item, i);
        (void)fputs(strchr(item, '{') != NULL ? "; }" : "", file);
    }
    (void)fputs(after, file);
    assert_int_equal(fclose(file), 0);
}

static void lists_have_a_longest(void **state)
{
    (void)state;
    static const struct {
        const char *before;
        const char *item;
        const char *after;
        size_t longest;
        const char *want;
    } rows[] = {
        {STORE "outgoing: { auth = [", "\"", "]; };\n", 1024,
         "consent-milter.conf:2: outgoing.auth: has 1025 values; at most 1024 are right"},
        {STORE "keepers = [", "\"k", "];\n", 16, "consent-milter.conf:2: keepers: has 17 values; at most 16 are right"},
        {STORE "keeper: { callers = (", "{ rank = \"admin\"; user = \"u", "); };\n", 64,
         "consent-milter.conf:2: keeper.callers: has 65 groups; at most 64 are right"},
        {STORE "streams: ( {" NAMES "match: { auth = [\"a\"]; headers = (", "{ name = \"X\"; value = \"",
         "); }; } );\n", 16,
         "consent-milter.conf:2: streams.match.headers: has more than 16 conditions; make it two streams"},
        {STORE "streams: (", "{ sender = \"s\"; purpose = \"p\"; match: { local = true; }; name = \"n", ");\n",
         CM_LIMIT_STREAMS,
         "consent-milter.conf:2: streams: makes more than 4096 streams in all; join some, with several patterns each"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cm_err err = {.text = ""};
        put_repeated(rows[i].before, rows[i].item, rows[i].longest, rows[i].after);
        struct cm_settings *settings = cm_settings_load("consent-milter.conf", &err);
        assert_string_equal(err.text, "");
        assert_non_null(settings);
        cm_settings_free(settings);
        if (rows[i].want != NULL) {
            put_repeated(rows[i].before, rows[i].item, rows[i].longest + 1, rows[i].after);
            expect_error("one too many", rows[i].want);
        }
    }
}

static void the_shipped_sample_loads(void **state)
{
    (void)state;
    struct cm_err err = {.text = ""};
    struct cm_settings *settings = cm_settings_load(CM_SOURCE_DIR "/config/consent-milter.conf", &err);
    if (settings == NULL) {
        fail_msg("%s", err.text);
    }
    /* It shows the defaults, so they must be the ones the program has. */
    struct cm_settings *defaults = load_good(STORE);
    assert_int_equal(settings->store.timeout_ms, defaults->store.timeout_ms);
    assert_int_equal(settings->store.pool, defaults->store.pool);
    assert_string_equal(settings->keys, defaults->keys);
    assert_string_equal(settings->state, defaults->state);
    assert_string_equal(settings->keeper.socket, defaults->keeper.socket);
    assert_int_equal(settings->keeper.mode, defaults->keeper.mode);
    assert_int_equal(settings->keeper.retain_days, defaults->keeper.retain_days);
    assert_string_equal(settings->milter.socket, defaults->milter.socket);
    assert_int_equal(settings->milter.mode, defaults->milter.mode);
    assert_int_equal(settings->streams.mode, defaults->streams.mode);
    assert_int_equal(settings->streams.refuse_unmatched_bulk, defaults->streams.refuse_unmatched_bulk);
    assert_int_equal(settings->log_addresses, defaults->log_addresses);
    assert_int_equal(settings->streams.count, 3);
    assert_int_equal(settings->streams.streams[0].accept_basis, CM_BASIS_EXPRESS);
    cm_settings_free(defaults);
    cm_settings_free(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_the_documented_ones),
        cmocka_unit_test(every_key_arrives),
        cmocka_unit_test(the_keys_of_keepers_arrive),
        cmocka_unit_test(store_urls_are_taken_apart),
        cmocka_unit_test(tls_keys_arrive),
        cmocka_unit_test(sockets_get_the_form_of_libmilter),
        cmocka_unit_test(texts_have_a_longest),
        cmocka_unit_test(numbers_are_right_at_both_ends),
        cmocka_unit_test(lists_have_a_longest),
        cmocka_unit_test(the_shipped_sample_loads),
    };
    return cmocka_run_group_tests(tests, enter_sandbox, leave_sandbox);
}
