#include "service/open.h"

struct cm_store *cm_open_store(const struct cm_settings *settings, const struct cm_keys *keys, unsigned pool,
                               struct cm_err *err)
{
    const struct cm_store_settings *store = &settings->store;
    struct cm_store_options options = {
        .unix_path = store->scheme == CM_STORE_UNIX ? store->path : NULL,
        .host = store->host,
        .port = store->port,
        .user = store->user,
        .password_file = store->password_file,
        .timeout_ms = store->timeout_ms,
        .pool = pool != 0 ? pool : store->pool,
    };
    return cm_store_new(&options, keys, err);
}
