/* A session with a scripted store behind it, as the tests of service/session.h share it. */
#ifndef TESTS_UNIT_SERVICE_SESSION_BENCH_H
#define TESTS_UNIT_SERVICE_SESSION_BENCH_H

#include "../store/fake_store.h"
#include "ops/log.h"
#include "service/session.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NONE CM_SPAN("")

struct bench {
    struct fake_store fake;
    const char *configuration;
    struct cm_settings *settings;
    struct cm_store *store;
    struct cm_tally *tally;
    struct cm_generation *generation;
    struct cm_recorder *recorder;
    struct cm_filter *filter;
    struct cm_session *session;
};

static inline struct cm_settings *load(const struct bench *bench, const char *more)
{
    char path[96];
    struct cm_err err = {""};
    (void)snprintf(path, sizeof(path), "%s/conf", bench->fake.redis.directory); /* fits */
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fprintf(file, "%s%s", more, bench->configuration) > 0);
    assert_int_equal(fclose(file), 0);
    struct cm_settings *settings = cm_settings_load(path, &err);
    (void)unlink(path);
    if (settings == NULL) {
        fail_msg("%s", err.text);
    }
    return settings;
}

static inline void open_filter(struct bench *bench, const char *more)
{
    bench->settings = load(bench, more);
    bench->store = fake_store_open(&bench->fake);
    bench->tally = cm_tally_new();
    assert_non_null(bench->tally);
    bench->generation = cm_generation_new(bench->settings, 1, bench->tally);
    assert_non_null(bench->generation);
    bench->recorder = cm_recorder_new(bench->store, bench->tally, 7, NULL);
    assert_non_null(bench->recorder);
    bench->filter = cm_filter_new(&(struct cm_filter_parts){.generation = bench->generation,
                                                            .tally = bench->tally,
                                                            .keys = &bench->fake.keys,
                                                            .store = bench->store,
                                                            .recorder = bench->recorder,
                                                            .daemon = 7});
    bench->session = cm_session_new(bench->filter, bench->generation);
    assert_non_null(bench->session);
}

static inline void close_filter(struct bench *bench)
{
    cm_session_free(bench->session);
    cm_filter_free(bench->filter);
    cm_recorder_free(bench->recorder);
    cm_store_free(bench->store);
    cm_generation_unref(bench->generation);
    cm_tally_free(bench->tally);
}

/* A filter of this configuration; each test has its own. */
static inline int bench_start(void **state, const char *configuration)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    if (bench == NULL) {
        return -1;
    }
    bench->configuration = configuration;
    fake_store_start(&bench->fake);
    open_filter(bench, "");
    *state = bench;
    return 0;
}

static inline int tear_down(void **state)
{
    struct bench *bench = *state;
    close_filter(bench);
    fake_stop(&bench->fake.redis);
    free(bench);
    return 0;
}

/* Records something of the subject, under its exact form. */
static inline void put(struct bench *bench, const char *address_text, const struct cm_record *record)
{
    struct cm_address address;
    struct cm_subject subject;
    uint32_t in_use = 0;
    struct cm_hasher *hasher = cm_keys_hasher(&bench->fake.keys, &in_use);
    assert_int_equal(cm_address_parse(cm_span_of(address_text), &address), CM_ADDRESS_OK);
    assert_true(hasher != NULL && cm_subject_of(hasher, &address, &subject));
    cm_hasher_free(hasher);
    fake_store_put(&bench->fake, subject.exact, record);
}

/* Gives an express consent of the subject. */
static inline void grant(struct bench *bench, const char *address_text, uint32_t scope)
{
    struct cm_record record = {.scope = scope,
                               .kind = CM_KIND_GRANT,
                               .state = CM_STATE_GIVEN,
                               .rank = CM_RANK_SUBJECT,
                               .source = CM_SOURCE_DOUBLE_OPTIN,
                               .statement = 1,
                               .event_at = 1000};
    put(bench, address_text, &record);
}

static inline void mail(struct bench *bench, const char *auth)
{
    cm_session_connect(bench->session, CM_SPAN("smtpd"), CM_SPAN("192.0.2.1"), CM_SPAN("mx.acme.example"));
    cm_session_mail(bench->session, CM_SPAN("<news@acme.example>"), cm_span_of(auth), false);
}

/* The reply to one RCPT as "550", or "" if it may go on. */
static inline const char *rcpt(struct bench *bench, const char *address)
{
    static struct cm_reply reply;
    char argument[320];
    (void)snprintf(argument, sizeof(argument), "<%s>", address); /* addresses of tests fit */
    cm_session_rcpt(bench->session, cm_span_of(argument), cm_span_of(address), NONE, &reply);
    return reply.code != NULL ? reply.code : "";
}

static inline void header(struct bench *bench, const char *name, const char *value)
{
    cm_session_header(bench->session, cm_span_of(name), cm_span_of(value));
}

/* The end of the message; the abilities of an MTA that lets us do all. */
static inline void end_with(struct bench *bench, unsigned abilities, struct cm_disposition *out)
{
    cm_session_end(bench->session, CM_SPAN("4QUEUEID"), abilities, out);
}

static inline const char *end(struct bench *bench, struct cm_reply *out)
{
    static struct cm_disposition disposition;
    const struct cm_reply *reply = &disposition.reply;
    end_with(bench, CM_CAN_REMOVE | CM_CAN_QUARANTINE, &disposition);
    if (out != NULL) {
        *out = *reply;
    }
    return reply->code != NULL ? reply->code : "";
}

#endif
