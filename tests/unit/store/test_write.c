/* What a write makes of every answer: done, refused, or uncertain, and never one for another. LAW-11 */
#include "fake_store.h"
#include "store/write.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ARGS_MAX 20
#define APPLIED "*3\r\n$7\r\napplied\r\n$3\r\n7-1\r\n$2\r\n99\r\n"
#define OTHER_SEAL "-SEAL the subject has another seal by now\r\n"
/* Arguments of FCALL: its name, the function, 4 keys with their number, then the function's own. */
enum { AT_FUNCTION = 1, AT_KEYS = 3, AT_RECORD = 11, AT_SEAL, AT_SHA, AT_DOCUMENT, AT_REPLAY, AT_MARK, AT_RELATED };

struct argument {
    char bytes[CM_SEALED_MAX_BYTES + 1];
    size_t len;
};

struct bench {
    struct fake_store fake;
    struct cm_store *store;
    const char *replies[8]; /* to one FCALL after the other; NULL: closes the connection */
    unsigned calls;
    const char *standing_salt; /* NULL: there is no seal */
    struct argument args[ARGS_MAX];
    size_t arg_count;
    struct cm_write write;
    struct cm_write_result result;
    struct cm_err err;
};

static void keep_call(struct bench *bench, const redisReply *command)
{
    assert_in_range(command->elements, 1, ARGS_MAX);
    bench->arg_count = command->elements;
    for (size_t i = 0; i < command->elements; i++) {
        bench->args[i].len = command->element[i]->len;
        assert_in_range(bench->args[i].len, 0, CM_SEALED_MAX_BYTES);
        memcpy(bench->args[i].bytes, command->element[i]->str, command->element[i]->len + 1);
    }
}

static void answer(struct fake_redis *fake, struct fake_client *client, const redisReply *command)
{
    struct bench *bench = (struct bench *)fake->context; /* its first member is the store */
    if (fake_is(command, 0, "FCALL")) {
        const char *reply = bench->replies[bench->calls++];
        keep_call(bench, command);
        if (reply == NULL) {
            client->close = true;
        } else {
            fake_say(client, reply);
        }
    } else if (fake_is(command, 0, "HGET") && bench->standing_salt != NULL) {
        uint8_t bytes[CM_RECORD_BYTES];
        struct cm_record seal = {.scope = 1, .kind = CM_KIND_SEAL, .state = CM_STATE_GIVEN, .rank = CM_RANK_SYSTEM};
        memcpy(seal.salt, bench->standing_salt, CM_SALT_BYTES);
        cm_record_encode(&seal, bytes);
        fake_say_bulk(client, (const char *)bytes, sizeof(bytes));
    } else if (fake_is(command, 0, "HGET")) {
        fake_say(client, "$-1\r\n");
    } else {
        fake_store_answer(fake, client, command);
    }
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    fake_store_start(&bench->fake);
    bench->fake.redis.answer = answer; /* nobody has connected yet */
    bench->fake.keys.has_seal = true;
    bench->fake.keys.seal_mask = 1U << 1;
    memset(bench->fake.keys.seals[1], 's', CM_SEAL_MASTER_BYTES);
    bench->store = fake_store_open(&bench->fake);
    bench->write = (struct cm_write){
        .rank = CM_RANK_ADMIN,
        .act = CM_ACT_WITHDRAW,
        .subject = {.pepper = 1, .partition = 7, .bucket = 9, .exact = "exact---", .family = "family--"},
        .sender_scope = 1,
        .record = {.scope = 2, .kind = CM_KIND_STOP, .state = CM_STATE_WITHDRAWN, .rank = CM_RANK_ADMIN},
        .event_id = "event-id",
    };
    *state = bench;
    return bench->store != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    cm_store_free(bench->store);
    fake_stop(&bench->fake.redis);
    free(bench);
    return 0;
}

static void run(struct bench *bench)
{
    bench->calls = 0;
    bench->err.text[0] = '\0';
    cm_store_write(bench->store, &bench->write, &bench->result, &bench->err);
}

static void assert_argument(const struct bench *bench, size_t at, const void *want, size_t len)
{
    assert_in_range(at, 0, bench->arg_count - 1);
    assert_int_equal(bench->args[at].len, len);
    assert_memory_equal(bench->args[at].bytes, want, len);
}

static void every_answer_has_its_status(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *reply;
        enum cm_write_status status;
        enum cm_trouble trouble;
    } rows[] = {
        {APPLIED, CM_WRITE_APPLIED, CM_TROUBLE_NONE},
        {"*3\r\n$5\r\nstale\r\n$3\r\n7-1\r\n$2\r\n99\r\n", CM_WRITE_STALE, CM_TROUBLE_NONE},
        {"*3\r\n$9\r\nduplicate\r\n$3\r\n7-1\r\n$2\r\n99\r\n", CM_WRITE_DUPLICATE, CM_TROUBLE_NONE},
        {"-FULL the subject has too many records\r\n", CM_WRITE_REFUSED, CM_TROUBLE_NONE},
        {"-FUTURE the date lies ahead\r\n", CM_WRITE_REFUSED, CM_TROUBLE_NONE},
        {"-FOREIGN another store, or none\r\n", CM_WRITE_NOT_DONE, CM_TROUBLE_FOREIGN},
        {"-SEALED is another word than SEAL\r\n", CM_WRITE_REFUSED, CM_TROUBLE_NONE},
        {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", CM_WRITE_NOT_DONE, CM_TROUBLE_CANNOT_WRITE},
        {"-NOPERM this user has no permissions\r\n", CM_WRITE_NOT_DONE, CM_TROUBLE_NO_PERMISSION},
        {"-READONLY You can't write against a read only replica.\r\n", CM_WRITE_NOT_DONE, CM_TROUBLE_NOT_MASTER},
        {"-ERR Function not found\r\n", CM_WRITE_NOT_DONE, CM_TROUBLE_NO_FUNCTION},
        {"-LOADING Redis is loading the dataset in memory\r\n", CM_WRITE_NOT_DONE, CM_TROUBLE_LOADING},
        {"+OK\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {":1\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"$-1\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*0\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*2\r\n$7\r\napplied\r\n$3\r\n7-1\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*3\r\n$7\r\nAPPLIED\r\n$3\r\n7-1\r\n$2\r\n99\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*3\r\n$6\r\napplie\r\n$3\r\n7-1\r\n$2\r\n99\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*3\r\n:7\r\n$3\r\n7-1\r\n$2\r\n99\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*3\r\n$7\r\napplied\r\n$1\r\n7\r\n$2\r\n99\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*3\r\n$7\r\napplied\r\n$3\r\n7-1\r\n$2\r\n9x\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*3\r\n$7\r\napplied\r\n$3\r\n7-1\r\n$16\r\n9999999999999999\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
        {"*3\r\n$7\r\napplied\r\n$-1\r\n$-1\r\n", CM_WRITE_UNCERTAIN, CM_TROUBLE_MALFORMED},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench->replies[0] = rows[i].reply;
        run(bench);
        if (bench->result.status != rows[i].status || bench->result.trouble != rows[i].trouble) {
            fail_msg("%s: status %d, trouble %d", rows[i].reply, (int)bench->result.status, (int)bench->result.trouble);
        }
        bool is_done = rows[i].status <= CM_WRITE_DUPLICATE;
        assert_int_equal(bench->err.text[0] == '\0', is_done);
        assert_int_equal(bench->result.event_at, is_done ? 99 : 0);
        if (is_done) {
            assert_int_equal(bench->result.ledger, 7U << 16 | 1U);
            assert_string_equal(bench->result.incarnation.run_id, FAKE_RUN_ID);
        }
        /* What the breaker refuses would hide the next row. */
        cm_store_free(bench->store);
        bench->store = fake_store_open(&bench->fake);
    }
}

static void a_connection_that_ends_after_the_request_is_uncertain(void **state)
{
    struct bench *bench = *state;
    bench->replies[0] = NULL;
    run(bench);
    assert_int_equal(bench->result.status, CM_WRITE_UNCERTAIN);
    assert_int_not_equal(bench->result.trouble, CM_TROUBLE_NONE);
    assert_string_not_equal(bench->err.text, "");
}

static void a_redis_that_is_away_is_not_done(void **state)
{
    struct bench *bench = *state;
    fake_order(&bench->fake.redis, 'r');
    run(bench);
    assert_int_equal(bench->result.status, CM_WRITE_NOT_DONE);
    assert_int_equal(bench->result.trouble, CM_TROUBLE_UNREACHABLE);
    assert_int_equal(bench->calls, 0);
}

/* Its document opens with the salt beside it. */
static void assert_opens(const struct bench *bench, const char *salt, const char *want)
{
    char text[CM_LIMIT_EVIDENCE_BYTES + 1];
    size_t len = 0;
    struct cm_span sealed = {bench->args[AT_DOCUMENT].bytes, bench->args[AT_DOCUMENT].len};
    /* One byte more tells that the seal stood. */
    assert_int_equal(bench->args[AT_SEAL].len, 4 + CM_SALT_BYTES + (salt != NULL ? 1 : 0));
    assert_memory_equal(bench->args[AT_SEAL].bytes, "\0\0\0\1", 4);
    if (salt != NULL) {
        assert_memory_equal(bench->args[AT_SEAL].bytes + 4, salt, CM_SALT_BYTES);
    }
    assert_true(
        cm_unseal(bench->fake.keys.seals[1], (const uint8_t *)bench->args[AT_SEAL].bytes + 4, sealed, text, &len));
    assert_int_equal(len, strlen(want));
    assert_memory_equal(text, want, len);
}

static void a_seal_race_is_tried_again(void **state)
{
    struct bench *bench = *state;
    static const char *const winner = "salt of another.";
    bench->write.document = CM_SPAN("{\"a\":1}");
    bench->replies[0] = APPLIED;
    run(bench);
    assert_opens(bench, NULL, "{\"a\":1}");
    for (unsigned races = 1; races <= 3; races++) {
        for (unsigned i = 0; i < COUNT(bench->replies); i++) {
            bench->replies[i] = i < races ? OTHER_SEAL : APPLIED;
        }
        bench->standing_salt = races == 1 ? winner : NULL; /* NULL: each look finds that it is gone again */
        run(bench);
        assert_int_equal(bench->calls, races < 3 ? races + 1 : 3);
        assert_int_equal(bench->result.status, races < 3 ? CM_WRITE_APPLIED : CM_WRITE_REFUSED);
        assert_opens(bench, bench->standing_salt, "{\"a\":1}");
    }
    assert_string_not_equal(bench->err.text, "");
}

static void an_erasure_has_a_new_seal(void **state)
{
    struct bench *bench = *state;
    bench->standing_salt = "salt of another.";
    bench->write.act = CM_ACT_ERASE;
    bench->write.record.kind = CM_KIND_ERASED;
    bench->write.record.state = CM_STATE_GIVEN;
    bench->write.document = CM_SPAN("{}");
    bench->replies[0] = APPLIED;
    run(bench);
    assert_memory_not_equal(bench->args[AT_SEAL].bytes + 4, bench->standing_salt, CM_SALT_BYTES);
    assert_opens(bench, NULL, "{}");
}

static void a_keeper_seals_anew_what_it_has_journaled(void **state)
{
    struct bench *bench = *state;
    struct cm_sealed_document document;
    bench->write.document = CM_SPAN("{\"a\":1}");
    assert_true(cm_store_seal_newly(bench->store, &bench->write, &document, &bench->err));
    bench->replies[0] = OTHER_SEAL;
    bench->replies[1] = APPLIED;
    bench->write.document = CM_SPAN(""); /* it holds only what is sealed */
    cm_store_write_sealed(bench->store, &bench->write, &document, &bench->result, &bench->err);
    assert_int_equal(bench->result.status, CM_WRITE_OTHER_SEAL);
    bench->standing_salt = "salt of another.";
    assert_int_equal(cm_store_reseal(bench->store, &bench->write, &document, &bench->err), CM_TROUBLE_NONE);
    cm_store_write_sealed(bench->store, &bench->write, &document, &bench->result, &bench->err);
    assert_int_equal(bench->result.status, CM_WRITE_APPLIED);
    assert_opens(bench, bench->standing_salt, "{\"a\":1}");
    document.sealed.bytes[3] ^= 1;
    assert_int_equal(cm_store_reseal(bench->store, &bench->write, &document, &bench->err), CM_TROUBLE_INTERNAL);
}

static void evidence_has_a_ceiling_and_needs_a_master(void **state)
{
    struct bench *bench = *state;
    static char text[CM_LIMIT_EVIDENCE_BYTES + 1];
    memset(text, 'x', sizeof(text));
    bench->replies[0] = APPLIED;
    for (size_t over = 0; over < 2; over++) {
        bench->write.document = (struct cm_span){text, CM_LIMIT_EVIDENCE_BYTES + over};
        run(bench);
        assert_int_equal(bench->result.status, over == 0 ? CM_WRITE_APPLIED : CM_WRITE_REFUSED);
        assert_int_equal(bench->calls, 1 - over);
    }
    bench->write.document.len = 5;
    bench->fake.keys.has_seal = false;
    bench->fake.keys.seal_mask = 0;
    run(bench);
    assert_int_equal(bench->result.status, CM_WRITE_REFUSED);
    assert_int_equal(bench->calls, 0);
}

static void the_arguments_are_what_was_asked(void **state)
{
    struct bench *bench = *state;
    static const uint32_t related[] = {258, 3};
    struct cm_write *write = &bench->write;
    bench->replies[0] = APPLIED;
    write->related = related;
    write->related_count = 2;
    write->act = CM_ACT_ERASE;
    run(bench);
    assert_argument(bench, AT_FUNCTION, "admin_erase", 11);
    assert_argument(bench, AT_KEYS, "c:{p007}:0009", 13);
    assert_argument(bench, AT_RECORD - 2, "family--", 8);
    assert_argument(bench, AT_RECORD - 1, "\0\11", 2);
    assert_argument(bench, AT_RELATED, "\0\0\1\2\0\0\0\3", 8);
    for (size_t at = AT_SEAL; at <= AT_MARK; at++) {
        assert_argument(bench, at, "", 0);
    }
    write->under_exact = true;
    run(bench);
    assert_argument(bench, AT_RECORD - 2, "exact---", 8);

    write->act = CM_ACT_CONFIRM;
    write->rank = CM_RANK_SUBJECT;
    write->record.kind = CM_KIND_GRANT;
    write->record.state = CM_STATE_GIVEN;
    write->request = 258U << 16 | 5U;
    write->is_replay = true;
    write->keeper = "mx1";
    write->mark = UINT64_MAX;
    run(bench);
    assert_argument(bench, AT_FUNCTION, "subject_confirm", 15);
    assert_argument(bench, AT_RECORD - 2, "exact---", 8);
    assert_argument(bench, AT_RELATED, "\0\0\0\0\1\2\0\5", 8);
    assert_argument(bench, AT_REPLAY, "-", 1);
    assert_argument(bench, AT_MARK, "mx1:18446744073709551615", 24);
    write->ledger = 7U << 16 | 1U;
    run(bench);
    assert_argument(bench, AT_REPLAY, "7-1", 3);
    write->is_replay = false;
    run(bench);
    assert_argument(bench, AT_REPLAY, "", 0);
}

static void a_note_has_a_text_and_a_ceiling(void **state)
{
    struct bench *bench = *state;
    struct cm_note note;
    char *text = calloc(1, CM_LIMIT_NOTE_BYTES + 1);
    assert_non_null(text);
    assert_int_equal(cm_note_make(CM_SPAN(""), &note, &bench->err), CM_TROUBLE_INTERNAL);
    assert_int_equal(cm_note_make((struct cm_span){text, CM_LIMIT_NOTE_BYTES + 1}, &note, &bench->err),
                     CM_TROUBLE_INTERNAL);
    assert_int_equal(cm_note_make((struct cm_span){text, CM_LIMIT_NOTE_BYTES}, &note, &bench->err), CM_TROUBLE_NONE);
    free(text);
    assert_int_equal(cm_note_make(CM_SPAN("{}"), &note, &bench->err), CM_TROUBLE_NONE);
    bench->replies[0] = APPLIED;
    bench->replies[1] = "-ERR Function not found\r\n";
    cm_store_note(bench->store, CM_RANK_ADMIN, &note, &bench->result, &bench->err);
    assert_int_equal(bench->result.status, CM_WRITE_APPLIED);
    assert_argument(bench, AT_FUNCTION, "admin_note", 10);
    cm_store_note(bench->store, CM_RANK_SYSTEM, &note, &bench->result, &bench->err);
    assert_int_equal(bench->result.status, CM_WRITE_NOT_DONE);
    assert_argument(bench, AT_FUNCTION, "system_note", 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_answer_has_its_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_connection_that_ends_after_the_request_is_uncertain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_redis_that_is_away_is_not_done, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_seal_race_is_tried_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_erasure_has_a_new_seal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_keeper_seals_anew_what_it_has_journaled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(evidence_has_a_ceiling_and_needs_a_master, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_arguments_are_what_was_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_note_has_a_text_and_a_ceiling, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
