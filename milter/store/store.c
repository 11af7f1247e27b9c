#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "store_internal.h"
#include "transport_tls_context.h"

static char *copy_text(const char *text, bool *failed)
{
    if (text == NULL) {
        return NULL;
    }
    char *copy = strdup(text);
    *failed = *failed || copy == NULL;
    return copy;
}

static bool copy_keepers(struct cm_store *store, const struct cm_store_options *options)
{
    bool failed = options->keeper_count > CM_LIMIT_KEEPERS;
    const char **names = calloc(options->keeper_count + 1, sizeof(*names));
    store->options.keepers = names;
    for (size_t i = 0; names != NULL && !failed && i < options->keeper_count; i++) {
        names[i] = copy_text(options->keepers[i], &failed);
        store->options.keeper_count = i + 1;
    }
    return names != NULL && !failed;
}

bool cm_incarnation_is_same(const struct cm_incarnation *a, const struct cm_incarnation *b)
{
    return a->run_id[0] != '\0' && strcmp(a->run_id, b->run_id) == 0 &&
           strcmp(a->replication_id, b->replication_id) == 0;
}

bool cm_store_doctor_is_missing(const struct cm_store *store)
{
    return store->doctor_is_missing;
}

void cm_store_state(struct cm_store *store, struct cm_store_state *out)
{
    cm_pool_state(store->pool, out);
    out->trouble = store->trouble;
}

const struct cm_histogram *cm_store_latency(const struct cm_store *store)
{
    return &store->latency;
}

struct cm_store *cm_store_new(const struct cm_store_options *options, struct cm_keys *keys, struct cm_err *err)
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
        .tls = {.on = options->tls.on,
                .ca_file = copy_text(options->tls.ca_file, &failed),
                .cert_file = copy_text(options->tls.cert_file, &failed),
                .key_file = copy_text(options->tls.key_file, &failed),
                .server_name = copy_text(options->tls.server_name, &failed)},
        .timeout_ms = options->timeout_ms,
        .pool = options->pool,
    };
    if (failed || !copy_keepers(store, options) || !cm_frame_prepare(store)) {
        cm_err_set(err, "out of memory");
    } else if (!options->tls.on || (store->options.tls.context = cm_tls_context_new(&store->options, err)) != NULL) {
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
    cm_request_done(&store->look_up_head);
    cm_request_done(&store->look_up_tail);
    for (size_t i = 0; i < store->options.keeper_count; i++) {
        free((char *)store->options.keepers[i]);
    }
    free((const char **)store->options.keepers);
    free((char *)store->options.unix_path);
    free((char *)store->options.host);
    free((char *)store->options.port);
    free((char *)store->options.user);
    free((char *)store->options.password_file);
    cm_tls_context_free(store->options.tls.context);
    free((char *)store->options.tls.ca_file);
    free((char *)store->options.tls.cert_file);
    free((char *)store->options.tls.key_file);
    free((char *)store->options.tls.server_name);
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
    struct cm_call how = {.may_repeat = true};
    enum cm_trouble trouble = cm_pool_call(store->pool, request, &how, out_replies, err);
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
