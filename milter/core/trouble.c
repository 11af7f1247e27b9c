#include "core/trouble.h"

#include <stddef.h>

static const struct {
    const char *name;
    const char *advice;
} rows[CM_TROUBLE_COUNT] = {
    [CM_TROUBLE_UNSET] = {"not_asked", "This is a bug: please report it."},
    [CM_TROUBLE_NONE] = {"none", ""},
    [CM_TROUBLE_UNREACHABLE] = {"store_unreachable", "Is Redis running, and does store.url name its socket or port?"},
    [CM_TROUBLE_TIMEOUT] = {"store_timeout", "Redis did not answer within store.timeout; look at its load and log."},
    [CM_TROUBLE_CONNECTION_LOST] = {"store_connection_lost", "Redis closed the connection; look at its log."},
    [CM_TROUBLE_POOL_EXHAUSTED] = {"store_pool_exhausted", "Raise store.pool, or find out why Redis is slow."},
    [CM_TROUBLE_MAX_CLIENTS] = {"store_max_clients", "Raise maxclients of Redis above the sum of all pools."},
    [CM_TROUBLE_TLS] = {"store_tls", "Check store.url and store.tls against Redis' tls-port and certificates."},
    [CM_TROUBLE_AUTHENTICATION] = {"store_authentication", "Check store.user and store.password_file."},
    [CM_TROUBLE_PASSWORD_FILE] = {"store_password_file", "Make store.password_file readable for this program."},
    [CM_TROUBLE_NO_PERMISSION] = {"store_no_permission", "Give the Redis user the rights listed in the README."},
    [CM_TROUBLE_LOADING] = {"store_loading", "Redis is loading its data; this passes by itself."},
    [CM_TROUBLE_BUSY] = {"store_busy", "A script blocks Redis; look at its log."},
    [CM_TROUBLE_NOT_MASTER] = {"store_not_master", "store.url must name the master, not a replica."},
    [CM_TROUBLE_CLUSTER] = {"store_cluster", "This version does not follow a Redis Cluster; name a single master."},
    [CM_TROUBLE_NO_FUNCTION] = {"store_no_function", "Run `consentctl init` to load the functions of this version."},
    [CM_TROUBLE_CANNOT_WRITE] = {"store_cannot_write",
                                 "Redis refuses writes (memory, disk or replicas); look at its log."},
    [CM_TROUBLE_ERROR_REPLY] = {"store_error_reply", "Redis answered with an error; look at its log."},
    [CM_TROUBLE_PROTOCOL] = {"store_protocol", "What answers at store.url does not speak Redis' protocol."},
    [CM_TROUBLE_MALFORMED] = {"store_malformed", "The store holds data that this version does not understand."},
    [CM_TROUBLE_NO_STORE] = {"store_missing",
                             "There is no consent store in this Redis: restore it, or `consentctl init`."},
    [CM_TROUBLE_FOREIGN] = {"store_foreign", "This Redis holds another consent store; check store.url and keys."},
    [CM_TROUBLE_SCHEMA] = {"store_schema", "The store has another layout; upgrade the older of program and store."},
    [CM_TROUBLE_WRONG_PEPPER] = {"store_wrong_pepper", "The pepper file does not belong to this store; restore it."},
    [CM_TROUBLE_CHANGED] = {"store_changed", "The store was replaced during the look-up."},
    [CM_TROUBLE_CLOCK] = {"store_clock", "Redis' clock was set back: correct it, or wait until it has caught up."},
    [CM_TROUBLE_REGISTRY] = {"store_registry", "The registry of senders and purposes cannot be read."},
    [CM_TROUBLE_BEAT_MISSING] = {"keeper_beat_missing",
                                 "A keeper named in `keepers` has never beaten: start it, or correct the list."},
    [CM_TROUBLE_BEAT_STALE] = {"keeper_beat_stale",
                               "A keeper is down or cut off from Redis: see `consentctl keeper status` on its host."},
    [CM_TROUBLE_INCARNATION] = {"store_incarnation",
                                "Redis was restarted or replaced; the keepers are replaying into it."},
    [CM_TROUBLE_DOCTOR] = {"store_unfit", "Redis is set up so that it may lose data: see `consentctl doctor`."},
    [CM_TROUBLE_MEMORY] = {"out_of_memory", "This program ran out of memory."},
    [CM_TROUBLE_INTERNAL] = {"internal", "This is a bug: please report it."},
};

const char *cm_trouble_name(enum cm_trouble trouble)
{
    return (size_t)trouble < CM_TROUBLE_COUNT ? rows[trouble].name : "unknown";
}

const char *cm_trouble_advice(enum cm_trouble trouble)
{
    return (size_t)trouble < CM_TROUBLE_COUNT ? rows[trouble].advice : "";
}
