#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

static char *copy_text(const char *text, bool *failed)
{
    if (text == NULL) {
        return NULL;
    }
    char *copy = strdup(text);
    *failed = *failed || copy == NULL;
    return copy;
}

struct cm_store *cm_store_new(const struct cm_store_options *options, const struct cm_keys *keys, struct cm_err *err)
{
    bool failed = false;
    struct cm_store *store = calloc(1, sizeof(*store));
    if (store == NULL) {
        cm_err_set(err, "out of memory");
        return NULL;
    }
    (void)pthread_mutex_init(&store->registry_mutex, NULL); /* cannot fail with default attributes */
    store->keys = keys;
    store->options = (struct cm_store_options){
        .unix_path = copy_text(options->unix_path, &failed),
        .host = copy_text(options->host, &failed),
        .port = copy_text(options->port, &failed),
        .user = copy_text(options->user, &failed),
        .password_file = copy_text(options->password_file, &failed),
        .timeout_ms = options->timeout_ms,
        .pool = options->pool,
    };
    if (failed) {
        cm_err_set(err, "out of memory");
    } else {
        store->pool = cm_pool_new(&store->options, err);
    }
    if (store->pool == NULL) {
        cm_store_free(store);
        return NULL;
    }
    return store;
}

void cm_store_free(struct cm_store *store)
{
    if (store == NULL) {
        return;
    }
    cm_pool_free(store->pool);
    cm_registry_unref(store->registry);
    (void)pthread_mutex_destroy(&store->registry_mutex);
    free((char *)store->options.unix_path);
    free((char *)store->options.host);
    free((char *)store->options.port);
    free((char *)store->options.user);
    free((char *)store->options.password_file);
    free(store);
}

/* Written without printf: every look-up makes three of them. */
static size_t put_hex(char *out, unsigned value, size_t digits)
{
    for (size_t i = digits; i-- > 0; value >>= 4) {
        out[i] = "0123456789abcdef"[value & 15];
    }
    return digits;
}

struct cm_span cm_store_key(char out[CM_KEY_BYTES], char letter, unsigned partition, int bucket)
{
    size_t len = 0;
    out[len++] = letter;
    out[len++] = ':';
    out[len++] = '{';
    out[len++] = 'p';
    len += put_hex(out + len, partition, 3);
    out[len++] = '}';
    if (bucket >= 0) {
        out[len++] = ':';
        len += put_hex(out + len, (unsigned)bucket, 4);
    }
    return (struct cm_span){out, len};
}

enum cm_trouble cm_store_run(struct cm_store *store, struct cm_request *request, redisReply **out_replies,
                             struct cm_err *err)
{
    enum cm_trouble trouble = cm_pool_call(store->pool, request, true, out_replies, NULL, err);
    cm_request_done(request);
    return trouble;
}

enum cm_trouble cm_store_command(struct cm_store *store, const struct cm_span *args, size_t count,
                                 redisReply **out_reply, struct cm_err *err)
{
    struct cm_request request = {0};
    cm_request_add(&request, args, count);
    enum cm_trouble trouble = cm_store_run(store, &request, out_reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_reply_trouble(*out_reply, err);
        if (trouble != CM_TROUBLE_NONE) {
            cm_replies_free(out_reply, 1);
        }
    }
    return trouble;
}

/* Both ends of a look-up show whose store it is; the rest of the facts is needed at one end only. */
enum { FACT_STORE, FACT_EPOCH, FACT_SCHEMA, FACT_CANON, FACT_PEPPER, FACT_COUNT };
enum { END_FACT_REGISTRY = FACT_SCHEMA, END_FACT_COUNT };

void cm_store_ask_facts(struct cm_request *request, unsigned partition)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {
        CM_SPAN("HMGET"),   cm_store_key(key, 'm', partition, -1),
        CM_SPAN("store"),   CM_SPAN("epoch"),
        CM_SPAN("schema"),  CM_SPAN("canon"),
        CM_SPAN("pepper1"),
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

void cm_store_ask_end_facts(struct cm_request *request, unsigned partition)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("HMGET"), cm_store_key(key, 'm', partition, -1), CM_SPAN("store"),
                             CM_SPAN("epoch"), CM_SPAN("registry")};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

static bool number_of(const redisReply *reply, uint64_t *out)
{
    return cm_parse_u64(cm_reply_text(reply), UINT64_MAX, out);
}

/* What both ends have in common. */
static enum cm_trouble check_identity(const struct cm_store *store, const redisReply *reply, size_t count,
                                      uint64_t *out_epoch, struct cm_err *err)
{
    enum cm_trouble trouble = cm_reply_expect_array(reply, count, "store facts", err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    redisReply **facts = reply->element;
    if (facts[FACT_STORE]->type == REDIS_REPLY_NIL) {
        cm_err_set(err, "there is no consent store in this Redis"); /* wiped, or never made: never "no consent" */
        return CM_TROUBLE_NO_STORE;
    }
    if (!cm_span_equal(cm_reply_text(facts[FACT_STORE]), cm_span_of(store->keys->store_id))) {
        cm_err_set(err, "this Redis holds another consent store than %s", store->keys->store_id);
        return CM_TROUBLE_FOREIGN;
    }
    if (!number_of(facts[FACT_EPOCH], out_epoch)) {
        cm_err_set(err, "the store's epoch is no number");
        return CM_TROUBLE_MALFORMED;
    }
    return CM_TROUBLE_NONE;
}

enum cm_trouble cm_store_check_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                     struct cm_err *err)
{
    enum cm_trouble trouble = check_identity(store, reply, FACT_COUNT, out_epoch, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    uint64_t canon = 0;
    redisReply **facts = reply->element;
    if (!cm_span_equal(cm_reply_text(facts[FACT_SCHEMA]), CM_SPAN(CM_SCHEMA_VERSION)) ||
        !number_of(facts[FACT_CANON], &canon) || canon != CM_ADDRESS_CANON_VERSION) {
        cm_err_set(err, "the store has another layout or canonicalisation than this version");
        return CM_TROUBLE_SCHEMA;
    }
    if (!cm_span_equal(cm_reply_text(facts[FACT_PEPPER]), cm_span_of(store->keys->pepper_check))) {
        cm_err_set(err, "the pepper does not belong to this store");
        return CM_TROUBLE_WRONG_PEPPER;
    }
    return CM_TROUBLE_NONE;
}

enum cm_trouble cm_store_check_end_facts(const struct cm_store *store, const redisReply *reply, uint64_t *out_epoch,
                                         uint64_t *out_registry, struct cm_err *err)
{
    enum cm_trouble trouble = check_identity(store, reply, END_FACT_COUNT, out_epoch, err);
    if (trouble == CM_TROUBLE_NONE && !number_of(reply->element[END_FACT_REGISTRY], out_registry)) {
        cm_err_set(err, "the store's registry version is no number");
        trouble = CM_TROUBLE_MALFORMED;
    }
    return trouble;
}

enum cm_trouble cm_store_registry(struct cm_store *store, uint64_t epoch, uint64_t version,
                                  const struct cm_registry **out, struct cm_err *err)
{
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    (void)pthread_mutex_lock(&store->registry_mutex);
    if (store->registry == NULL || cm_registry_epoch(store->registry) != epoch ||
        cm_registry_version(store->registry) < version) {
        const struct cm_registry *fresh = NULL;
        trouble = cm_registry_fetch(store, &fresh, err);
        if (trouble == CM_TROUBLE_NONE && cm_registry_version(fresh) < version) {
            cm_err_set(err, "the registry is older than the store says");
            cm_registry_unref(fresh);
            trouble = CM_TROUBLE_REGISTRY;
        }
        if (trouble == CM_TROUBLE_NONE) {
            cm_registry_unref(store->registry);
            store->registry = fresh;
        }
    }
    if (trouble == CM_TROUBLE_NONE) {
        cm_registry_ref(store->registry);
        *out = store->registry;
    }
    (void)pthread_mutex_unlock(&store->registry_mutex);
    return trouble;
}
