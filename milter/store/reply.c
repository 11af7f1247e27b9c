#include <string.h>

#include "connection.h"

/* Error replies by their first words (redis.md lists how each was provoked). The longest match is first. */
static const struct {
    const char *prefix;
    enum cm_trouble trouble;
} errors[] = {
    {"ERR max number of clients", CM_TROUBLE_MAX_CLIENTS},
    {"ERR Function not found", CM_TROUBLE_NO_FUNCTION},
    {"ERR Protocol error: unauthenticated", CM_TROUBLE_AUTHENTICATION},
    {"NOAUTH", CM_TROUBLE_AUTHENTICATION},
    {"WRONGPASS", CM_TROUBLE_AUTHENTICATION},
    {"NOPERM", CM_TROUBLE_NO_PERMISSION},
    {"ERR The user executing the script", CM_TROUBLE_NO_PERMISSION},
    {"LOADING", CM_TROUBLE_LOADING},
    {"BUSY", CM_TROUBLE_BUSY},
    {"READONLY", CM_TROUBLE_NOT_MASTER},
    {"MASTERDOWN", CM_TROUBLE_NOT_MASTER},
    {"MOVED", CM_TROUBLE_CLUSTER},
    {"ASK", CM_TROUBLE_CLUSTER},
    {"TRYAGAIN", CM_TROUBLE_CLUSTER},
    {"CLUSTERDOWN", CM_TROUBLE_CLUSTER},
    {"CROSSSLOT", CM_TROUBLE_CLUSTER},
    {"OOM", CM_TROUBLE_CANNOT_WRITE},
    {"MISCONF", CM_TROUBLE_CANNOT_WRITE},
    {"NOREPLICAS", CM_TROUBLE_CANNOT_WRITE},
    {"WRONGTYPE", CM_TROUBLE_MALFORMED},
    {"MALFORMED", CM_TROUBLE_MALFORMED}, /* from consent.lua, as the next */
    {"FOREIGN", CM_TROUBLE_FOREIGN},
};

enum cm_trouble cm_reply_trouble(const redisReply *reply, struct cm_err *err)
{
    if (reply->type != REDIS_REPLY_ERROR) {
        return CM_TROUBLE_NONE;
    }
    struct cm_span text = {reply->str, (size_t)reply->len};
    cm_err_set(err, "Redis says: %.*s", (int)(text.len < 200 ? text.len : 200), text.p);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (cm_span_starts_with(text, errors[i].prefix)) {
            return errors[i].trouble;
        }
    }
    return CM_TROUBLE_ERROR_REPLY;
}

enum cm_trouble cm_reply_expect_array(const redisReply *reply, size_t count, const char *what, struct cm_err *err)
{
    enum cm_trouble trouble = cm_reply_trouble(reply, err);
    if (trouble == CM_TROUBLE_NONE && (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)) {
        cm_err_set(err, "%s: expected an array of %zu elements", what, count);
        trouble = CM_TROUBLE_MALFORMED;
    }
    return trouble;
}

struct cm_span cm_reply_text(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS) {
        return (struct cm_span){NULL, 0};
    }
    return (struct cm_span){reply->str, (size_t)reply->len};
}

struct cm_span cm_entry_field(const redisReply *entry, const char *name)
{
    const redisReply *fields = entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 ? entry->element[1] : NULL;
    for (size_t i = 0; fields != NULL && fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        if (cm_span_equal(cm_reply_text(fields->element[i]), cm_span_of(name))) {
            return cm_reply_text(fields->element[i + 1]);
        }
    }
    return (struct cm_span){NULL, 0};
}
