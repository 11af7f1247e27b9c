/* The declaration of the configuration: what it says, and that it is written once. LAW-16 */
#include "../store/fake_redis.h"

#include <jansson.h>

#include "base/limits.h"
#include "service/declaration.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STORE_ID "0123456789abcdef0123456789abcdef"
#define LEDGER "$15\r\n1790000000000-0\r\n$13\r\n1790000000000\r\n"
#define APPLIED "*3\r\n$7\r\napplied\r\n" LEDGER
#define DUPLICATE "*3\r\n$9\r\nduplicate\r\n" LEDGER
#define SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct bench {
    struct fake_redis redis;
    struct cm_keys keys;
    struct cm_store *store;
    const char *reply; /* NULL: the connection is closed */
    _Atomic unsigned calls;
    char function[32];
    char event_id[CM_EVENT_ID_BYTES];
    char *document; /* of the last call */
    size_t document_len;
};

static void answer(struct fake_redis *fake, struct fake_client *client, const redisReply *command)
{
    struct bench *bench = fake->context;
    if (fake_is(command, 0, "ROLE")) {
        fake_say(client, FAKE_MASTER);
        return;
    }
    if (fake_is(command, 0, "INFO")) {
        fake_say_info(client, FAKE_RUN_ID, FAKE_REPLICATION_ID);
        return;
    }
    if (!fake_is(command, 0, "FCALL") || command->elements != 10 || command->element[7]->len != CM_EVENT_ID_BYTES) {
        abort();
    }
    (void)snprintf(bench->function, sizeof(bench->function), "%s", command->element[1]->str); /* fits */
    memcpy(bench->event_id, command->element[7]->str, CM_EVENT_ID_BYTES);
    free(bench->document);
    bench->document_len = command->element[8]->len;
    bench->document = strndup(command->element[8]->str, bench->document_len);
    const char *reply = bench->reply;
    bench->calls++; /* last: whoever has read it may touch the rest */
    if (reply == NULL) {
        client->close = true;
    } else {
        fake_say(client, reply);
    }
}

/* Writes, and meets the scripted Redis afterwards: what it has heard may then be read. */
static enum cm_trouble write_once(struct bench *bench, struct cm_declaration *declaration, struct cm_err *err)
{
    enum cm_trouble trouble = cm_declaration_write(declaration, bench->store, err);
    assert_true(bench->calls > 0 || trouble != CM_TROUBLE_NONE);
    return trouble;
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    bench->keys = (struct cm_keys){.store_id = STORE_ID};
    bench->reply = APPLIED;
    fake_start(&bench->redis, answer, bench);
    bench->store = cm_store_new(
        &(struct cm_store_options){.unix_path = bench->redis.path, .timeout_ms = 10000, .pool = 1}, &bench->keys, NULL);
    *state = bench;
    return bench->store != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    cm_store_free(bench->store);
    fake_stop(&bench->redis);
    free(bench->document);
    free(bench);
    return 0;
}

static struct cm_declaration *declare(const struct cm_settings *settings)
{
    struct cm_err err = {""};
    struct cm_declaration *declaration = cm_declaration_new("consent-milter", settings, &err);
    if (declaration == NULL) {
        fail_msg("%s", err.text);
    }
    return declaration;
}

/* Writes it and reads what arrived. */
static json_t *written(struct bench *bench, const struct cm_settings *settings)
{
    struct cm_err err = {""};
    struct cm_declaration *declaration = declare(settings);
    assert_int_equal(write_once(bench, declaration, &err), CM_TROUBLE_NONE);
    cm_declaration_free(declaration);
    json_t *document = json_loadb(bench->document, bench->document_len, 0, NULL);
    assert_non_null(document);
    return document;
}

static const char *text_of(const json_t *document, const char *name)
{
    const char *text = json_string_value(json_object_get(document, name));
    assert_non_null(text);
    return text;
}

static void what_it_says(void **state)
{
    struct bench *bench = *state;
    struct cm_stream streams[] = {
        {.name = "news",
         .class = CM_CLASS_MARKETING,
         .mode = CM_MODE_ENFORCE,
         .sender = "acme",
         .purpose = "newsletter",
         .purpose_from = CM_PURPOSE_FIXED,
         .accept_basis = CM_BASIS_EXPRESS | CM_BASIS_IMPLIED | CM_BASIS_SOFT_OPTIN | CM_BASIS_ASSERTED},
        {.name = "lists",
         .class = CM_CLASS_MARKETING,
         .mode = CM_MODE_OBSERVE,
         .sender = "acme",
         .purpose_from = CM_PURPOSE_HEADER,
         .accept_basis = CM_BASIS_EXPRESS},
        {.name = "shop",
         .class = CM_CLASS_SERVICE,
         .mode = CM_MODE_ENFORCE,
         .sender = "acme",
         .purpose_from = CM_PURPOSE_NONE,
         .accept_basis = CM_BASIS_EXPRESS},
    };
    static const char *const rows[] = {
        "news marketing enforce acme/newsletter express implied soft_optin asserted",
        "lists marketing observe acme/header express",
        "shop service enforce acme/-",
    };
    struct cm_settings settings = {
        .file = "/etc/consent.conf",
        .sha256 = SHA256,
        .streams = {.streams = streams, .count = 3, .mode = CM_MODE_ENFORCE, .refuse_unmatched_bulk = true}};
    json_t *document = written(bench, &settings);
    assert_string_equal(bench->function, "system_note");
    assert_string_equal(text_of(document, "note"), "configuration");
    assert_string_equal(text_of(document, "file"), "/etc/consent.conf");
    assert_string_equal(text_of(document, "sha256"), SHA256);
    assert_string_equal(text_of(document, "mode"), "enforce");
    char host[256] = "";
    char actor[300];
    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    (void)snprintf(actor, sizeof(actor), "consent-milter on %s", host); /* fits */
    assert_string_equal(text_of(document, "actor"), actor);
    assert_true(json_is_true(json_object_get(document, "unmatched_bulk_refused")));
    const json_t *list = json_object_get(document, "streams");
    assert_int_equal(json_array_size(list), COUNT(rows));
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_string_equal(json_string_value(json_array_get(list, i)), rows[i]);
    }
    assert_int_equal(json_object_size(document), 7);
    json_decref(document);
}

/* Rows until the document has the longest length that is allowed, and then one byte more. */
static void is_cut_when_too_long(void **state)
{
    struct bench *bench = *state;
    static char name[201];
    static struct cm_stream streams[CM_LIMIT_STREAMS];
    char file[256] = "/";
    memset(name, 'n', sizeof(name) - 1);
    for (size_t i = 0; i < COUNT(streams); i++) {
        streams[i] = (struct cm_stream){
            .name = name, .class = CM_CLASS_SERVICE, .sender = "acme", .purpose_from = CM_PURPOSE_NONE};
    }
    struct cm_settings settings = {.file = file, .sha256 = SHA256, .streams = {.streams = streams, .count = 1}};
    json_decref(written(bench, &settings));
    size_t with_one = bench->document_len;
    settings.streams.count = 2;
    json_decref(written(bench, &settings));
    size_t row = bench->document_len - with_one;
    settings.streams.count = 1 + (CM_LIMIT_NOTE_BYTES - with_one) / row;
    size_t left = (CM_LIMIT_NOTE_BYTES - with_one) % row;
    assert_in_range(left, 0, sizeof(file) - 3);
    memset(file + 1, 'f', left);
    json_t *longest = written(bench, &settings);
    assert_int_equal(bench->document_len, CM_LIMIT_NOTE_BYTES);
    assert_int_equal(json_array_size(json_object_get(longest, "streams")), settings.streams.count);
    json_decref(longest);
    file[1 + left] = 'f';
    json_t *cut = written(bench, &settings);
    assert_in_range(bench->document_len, 1, 1000);
    assert_int_equal(json_integer_value(json_object_get(cut, "streams")), settings.streams.count);
    assert_string_equal(text_of(cut, "sha256"), SHA256);
    json_decref(cut);
    settings.streams.count = CM_LIMIT_STREAMS;
    json_decref(written(bench, &settings));
    assert_in_range(bench->document_len, 1, 1000);
}

static void is_written_once(void **state)
{
    struct bench *bench = *state;
    struct cm_err err = {""};
    static const char *const good[] = {APPLIED, DUPLICATE};
    for (size_t i = 0; i < COUNT(good); i++) {
        struct cm_settings settings = {.file = "/f", .sha256 = SHA256};
        struct cm_declaration *declaration = declare(&settings);
        bench->reply = good[i];
        bench->calls = 0;
        for (int round = 0; round < 3; round++) {
            assert_int_equal(write_once(bench, declaration, &err), CM_TROUBLE_NONE);
        }
        assert_int_equal(bench->calls, 1);
        cm_declaration_free(declaration);
    }
}

/* As often as it takes to get past the breaker, which trouble opens for a while. */
static enum cm_trouble write_for_real(struct bench *bench, struct cm_declaration *declaration, struct cm_err *err)
{
    unsigned calls = bench->calls;
    enum cm_trouble trouble = CM_TROUBLE_UNSET;
    for (int i = 0; i < 1000 && bench->calls == calls; i++) {
        trouble = write_once(bench, declaration, err);
        (void)usleep(bench->calls == calls ? 10000 : 0); /* may end early */
    }
    assert_true(bench->calls > calls);
    return trouble;
}

static void is_the_same_event_after_trouble(void **state)
{
    struct bench *bench = *state;
    static const char *const troubles[] = {"-LOADING wait\r\n",   "-OOM no\r\n", "-FOREIGN another store\r\n",
                                           "*1\r\n$3\r\nwhy\r\n", "+OK\r\n",     "-MALFORMED bad\r\n"};
    struct cm_settings settings = {.file = "/f", .sha256 = SHA256};
    struct cm_declaration *declaration = declare(&settings);
    struct cm_declaration *other = declare(&settings);
    struct cm_err err = {""};
    char first[CM_EVENT_ID_BYTES];
    bench->reply = NULL; /* perhaps it stands, perhaps not */
    assert_int_not_equal(write_once(bench, declaration, &err), CM_TROUBLE_NONE);
    memcpy(first, bench->event_id, sizeof(first));
    for (size_t i = 0; i < COUNT(troubles); i++) {
        bench->reply = troubles[i];
        memset(bench->event_id, 0, sizeof(bench->event_id));
        err.text[0] = '\0';
        assert_int_not_equal(write_for_real(bench, declaration, &err), CM_TROUBLE_NONE);
        assert_string_not_equal(err.text, "");
        assert_memory_equal(bench->event_id, first, sizeof(first));
    }
    bench->reply = DUPLICATE;
    assert_int_equal(write_for_real(bench, declaration, &err), CM_TROUBLE_NONE);
    assert_memory_equal(bench->event_id, first, sizeof(first));
    assert_int_equal(write_once(bench, other, &err), CM_TROUBLE_NONE);
    assert_memory_not_equal(bench->event_id, first, sizeof(first)); /* another start is another event */
    cm_declaration_free(other);
    cm_declaration_free(declaration);
}

static void what_is_not_utf8_is_told(void **state)
{
    (void)state; /* no store is asked */
    struct cm_err err = {""};
    struct cm_settings settings = {.file = "/\xff", .sha256 = SHA256};
    assert_null(cm_declaration_new("consent-milter", &settings, &err));
    assert_non_null(strstr(err.text, "UTF-8"));
    cm_declaration_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_it_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_cut_when_too_long, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_written_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_the_same_event_after_trouble, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_utf8_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
