/* From settings to a store: the one place that maps one to the other. */
#ifndef SERVICE_OPEN_H
#define SERVICE_OPEN_H

#include "settings/settings.h"
#include "store/store.h"

/* A store as configured, with `pool` connections (0: as configured). `keys` is borrowed. NULL and err. */
struct cm_store *cm_open_store(const struct cm_settings *settings, struct cm_keys *keys, unsigned pool,
                               struct cm_err *err);

#endif
