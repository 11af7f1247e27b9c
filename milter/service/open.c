#include "service/open.h"

struct cm_store *cm_open_store(const struct cm_settings *settings, struct cm_keys *keys, unsigned pool,
                               struct cm_err *err)
{
    const struct cm_store_settings *store = &settings->store;
    struct cm_store_options options = {
        .unix_path = store->scheme == CM_STORE_UNIX ? store->path : NULL,
        .host = store->host,
        .port = store->port,
        .user = store->user,
        .password_file = store->password_file,
        .tls = {.on = store->scheme == CM_STORE_TLS,
                .ca_file = store->tls.ca_file,
                .cert_file = store->tls.cert_file,
                .key_file = store->tls.key_file,
                .server_name = store->tls.server_name},
        .timeout_ms = store->timeout_ms,
        .pool = pool != 0 ? pool : store->pool,
        .keepers = settings->keepers,
        .keeper_count = settings->keeper_count,
    };
    return cm_store_new(&options, keys, err);
}
