#include "store/registry.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define FRAMED_REPLIES 6
#define REGISTRY_MAX_BYTES ((size_t)64 * 1048576)

struct cm_registry {
    _Atomic unsigned references;
    uint64_t version;
    uint64_t epoch;
    struct cm_arena arena; /* owns all below */
    struct cm_registry_sender *senders;
    size_t sender_count;
    struct cm_registry_purpose *purposes;
    size_t purpose_count;
};

/* A row as read, before parents are resolved. */
struct purpose_row {
    struct cm_registry_purpose purpose;
    uint32_t id;
    uint32_t parent;
};

void cm_registry_ref(const struct cm_registry *registry)
{
    /* The count is the one field of a snapshot that changes. */
    atomic_fetch_add(&((struct cm_registry *)registry)->references, 1);
}

void cm_registry_unref(const struct cm_registry *registry)
{
    struct cm_registry *own = (struct cm_registry *)registry;
    if (own != NULL && atomic_fetch_sub(&own->references, 1) == 1) {
        cm_arena_done(&own->arena);
        free(own);
    }
}

uint64_t cm_registry_version(const struct cm_registry *registry)
{
    return registry->version;
}

static int compare_text(struct cm_span key, const char *text)
{
    size_t len = strlen(text);
    int order = memcmp(key.p, text, key.len < len ? key.len : len);
    if (order != 0) {
        return order;
    }
    return key.len < len ? -1 : key.len > len;
}

static int find_sender(const void *key, const void *item)
{
    return compare_text(*(const struct cm_span *)key, ((const struct cm_registry_sender *)item)->name);
}

static int find_purpose(const void *key, const void *item)
{
    return compare_text(*(const struct cm_span *)key, ((const struct cm_registry_purpose *)item)->path);
}

static int order_senders(const void *a, const void *b)
{
    return strcmp(((const struct cm_registry_sender *)a)->name, ((const struct cm_registry_sender *)b)->name);
}

static int order_purposes(const void *a, const void *b)
{
    return strcmp(((const struct cm_registry_purpose *)a)->path, ((const struct cm_registry_purpose *)b)->path);
}

static int order_statements(const void *a, const void *b)
{
    return (int)((const struct cm_statement *)a)->version - (int)((const struct cm_statement *)b)->version;
}

const struct cm_registry_sender *cm_registry_sender(const struct cm_registry *registry, struct cm_span name)
{
    return registry->sender_count == 0
               ? NULL
               : bsearch(&name, registry->senders, registry->sender_count, sizeof(*registry->senders), find_sender);
}

const struct cm_registry_purpose *cm_registry_purpose(const struct cm_registry *registry, struct cm_span path)
{
    return registry->purpose_count == 0
               ? NULL
               : bsearch(&path, registry->purposes, registry->purpose_count, sizeof(*registry->purposes), find_purpose);
}

const struct cm_registry_sender *cm_registry_senders(const struct cm_registry *registry, size_t *out_count)
{
    *out_count = registry->sender_count;
    return registry->senders;
}

const struct cm_registry_purpose *cm_registry_purposes(const struct cm_registry *registry, size_t *out_count)
{
    *out_count = registry->purpose_count;
    return registry->purposes;
}

void cm_registry_scope_name(const struct cm_registry *registry, uint32_t scope, char out[160])
{
    struct cm_text text = cm_text_over(out, 160);
    if (scope == CM_SCOPE_EVERYBODY) {
        cm_text_add_str(&text, "everybody");
        return;
    }
    for (size_t i = 0; i < registry->sender_count; i++) {
        if (registry->senders[i].id == scope) {
            cm_text_add_str(&text, registry->senders[i].name);
            return;
        }
    }
    for (size_t i = 0; i < registry->purpose_count; i++) {
        if (registry->purposes[i].scopes.ids[0] == scope) {
            cm_text_add_str(&text, registry->purposes[i].path);
            return;
        }
    }
    cm_text_add_format(&text, "#%u", scope);
}

size_t cm_registry_below(const struct cm_registry *registry, uint32_t scope, uint32_t *out, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; scope != CM_SCOPE_EVERYBODY && i < registry->purpose_count; i++) {
        const struct cm_scope_path *path = &registry->purposes[i].scopes;
        if (path->ids[0] == scope || !cm_scope_path_covers(path, scope)) {
            continue;
        }
        if (count < size) {
            out[count] = path->ids[0];
        }
        count++;
    }
    return count;
}

/* A JSON object out of a reply's text; NULL if it is none. */
static json_t *parse_row(const redisReply *reply)
{
    struct cm_span text = cm_reply_text(reply);
    return text.p != NULL ? json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static bool get_id(const json_t *row, const char *name, uint32_t *out)
{
    json_int_t value = json_integer_value(json_object_get(row, name));
    *out = (uint32_t)value;
    return value > 0 && value <= UINT32_MAX;
}

static const char *copy_string(struct cm_registry *registry, const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL ? cm_arena_copy(&registry->arena, cm_span_of(text)).p : NULL;
}

static bool read_senders(struct cm_registry *registry, const redisReply *reply)
{
    registry->sender_count = reply->elements / 2;
    registry->senders = cm_arena_array(&registry->arena, registry->sender_count + 1, sizeof(*registry->senders));
    bool ok = registry->senders != NULL;
    for (size_t i = 0; ok && i < registry->sender_count; i++) {
        struct cm_registry_sender *sender = &registry->senders[i];
        struct cm_span name = cm_reply_text(reply->element[2 * i]);
        json_t *row = parse_row(reply->element[2 * i + 1]);
        sender->name = name.p != NULL ? cm_arena_copy(&registry->arena, name).p : NULL;
        sender->title = copy_string(registry, json_object_get(row, "title"));
        sender->halted = json_is_true(json_object_get(row, "halted"));
        ok = sender->name != NULL && sender->title != NULL && get_id(row, "id", &sender->id);
        json_decref(row);
    }
    if (ok) {
        qsort(registry->senders, registry->sender_count, sizeof(*registry->senders), order_senders);
    }
    return ok;
}

/* Absent: off. A word that this version does not know must not be taken for off. */
static bool read_dormancy(const json_t *dormancy, struct cm_dormancy *out)
{
    const char *act = json_string_value(json_object_get(dormancy, "act"));
    json_int_t months = json_integer_value(json_object_get(dormancy, "months"));
    *out = (struct cm_dormancy){.act = CM_DORMANCY_OFF};
    if (dormancy == NULL) {
        return true;
    }
    if (act == NULL || months < 1 || months > CM_DORMANCY_MONTHS_MAX) {
        return false;
    }
    out->months = (unsigned)months;
    out->act = strcmp(act, "warn") == 0 ? CM_DORMANCY_WARN : CM_DORMANCY_REFUSE;
    return out->act == CM_DORMANCY_WARN || strcmp(act, "refuse") == 0;
}

static bool read_purpose(struct cm_registry *registry, const redisReply *path_reply, const redisReply *row_reply,
                         struct purpose_row *out)
{
    struct cm_span path = cm_reply_text(path_reply);
    json_t *row = parse_row(row_reply);
    out->purpose.path = path.p != NULL ? cm_arena_copy(&registry->arena, path).p : NULL;
    out->purpose.title = copy_string(registry, json_object_get(row, "title"));
    out->purpose.retired = json_is_true(json_object_get(row, "retired"));
    out->purpose.halted = json_is_true(json_object_get(row, "halted"));
    bool ok = out->purpose.path != NULL && out->purpose.title != NULL && get_id(row, "id", &out->id) &&
              get_id(row, "parent", &out->parent) &&
              read_dormancy(json_object_get(row, "dormancy"), &out->purpose.dormancy);
    json_decref(row);
    return ok;
}

static int order_rows(const void *a, const void *b)
{
    uint32_t left = ((const struct purpose_row *)a)->id;
    uint32_t right = ((const struct purpose_row *)b)->id;
    return left < right ? -1 : left > right;
}

static int find_row(const void *key, const void *item)
{
    uint32_t id = *(const uint32_t *)key;
    uint32_t other = ((const struct purpose_row *)item)->id;
    return id < other ? -1 : id > other;
}

static const struct cm_registry_sender *sender_by_id(const struct cm_registry *registry, uint32_t id)
{
    for (size_t i = 0; i < registry->sender_count; i++) {
        if (registry->senders[i].id == id) {
            return &registry->senders[i];
        }
    }
    return NULL;
}

/* From the purpose up to its sender, then everybody. LAW-4 A halt of any of them is one of the purpose. */
static bool resolve_path(const struct cm_registry *registry, const struct purpose_row *rows, size_t count,
                         const struct purpose_row *row, struct cm_registry_purpose *purpose)
{
    const struct purpose_row *at = row;
    struct cm_scope_path *out = &purpose->scopes;
    *out = (struct cm_scope_path){0};
    while (at != NULL && out->count < CM_PURPOSE_DEPTH_MAX) {
        out->ids[out->count++] = at->id;
        purpose->halted = purpose->halted || at->purpose.halted;
        uint32_t parent = at->parent;
        at = bsearch(&parent, rows, count, sizeof(*rows), find_row);
        const struct cm_registry_sender *sender = at == NULL ? sender_by_id(registry, parent) : NULL;
        if (sender != NULL) {
            purpose->halted = purpose->halted || sender->halted;
            out->ids[out->count++] = parent;
            out->ids[out->count++] = CM_SCOPE_EVERYBODY;
            return true;
        }
    }
    return false; /* too deep, a circle, or a parent that does not exist */
}

static bool read_purposes(struct cm_registry *registry, const redisReply *reply)
{
    size_t count = reply->elements / 2;
    struct purpose_row *rows = cm_arena_array(&registry->arena, count + 1, sizeof(*rows));
    registry->purposes = cm_arena_array(&registry->arena, count + 1, sizeof(*registry->purposes));
    registry->purpose_count = count;
    bool ok = rows != NULL && registry->purposes != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        ok = read_purpose(registry, reply->element[2 * i], reply->element[2 * i + 1], &rows[i]);
    }
    if (!ok) {
        return false;
    }
    qsort(rows, count, sizeof(*rows), order_rows);
    for (size_t i = 0; ok && i < count; i++) {
        registry->purposes[i] = rows[i].purpose;
        ok = resolve_path(registry, rows, count, &rows[i], &registry->purposes[i]);
    }
    return ok;
}

/* Statements come as "scope:version" => row, in no order: each purpose (sorted by id here) collects its own. */
static bool read_statement(const redisReply *name_reply, const redisReply *row_reply, uint32_t *out_scope,
                           struct cm_statement *out)
{
    struct cm_span version = cm_reply_text(name_reply);
    struct cm_span scope;
    uint64_t scope_value = 0;
    uint64_t version_value = 0;
    if (!cm_span_next(&version, ':', &scope) || !cm_parse_u64(scope, UINT32_MAX, &scope_value) ||
        !cm_parse_u64(version, UINT16_MAX, &version_value) || version_value == 0) {
        return false;
    }
    json_t *row = parse_row(row_reply);
    json_t *effective = json_object_get(row, "effective");
    bool ok = json_is_boolean(json_object_get(row, "material")) && json_is_number(effective);
    *out_scope = (uint32_t)scope_value;
    *out = (struct cm_statement){
        .version = (uint16_t)version_value,
        .material = json_is_true(json_object_get(row, "material")),
        .effective_at = (cm_ms)json_number_value(effective),
    };
    json_decref(row);
    return ok;
}

static struct cm_registry_purpose *purpose_by_id(struct cm_registry *registry, uint32_t id)
{
    size_t low = 0;
    size_t high = registry->purpose_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uint32_t here = registry->purposes[middle].scopes.ids[0];
        if (here == id) {
            return &registry->purposes[middle];
        }
        if (here < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static bool read_statements(struct cm_registry *registry, const redisReply *reply)
{
    size_t count = reply->elements / 2;
    bool ok = true;
    for (size_t pass = 0; ok && pass < 2; pass++) { /* first count, then fill */
        for (size_t i = 0; ok && i < count; i++) {
            uint32_t scope = 0;
            struct cm_statement statement;
            ok = read_statement(reply->element[2 * i], reply->element[2 * i + 1], &scope, &statement);
            struct cm_registry_purpose *purpose = ok ? purpose_by_id(registry, scope) : NULL;
            ok = purpose != NULL;
            if (ok && pass == 1) {
                ((struct cm_statement *)purpose->statements)[purpose->statement_count] = statement;
            }
            if (ok) {
                purpose->statement_count++;
            }
        }
        for (size_t i = 0; ok && pass == 0 && i < registry->purpose_count; i++) {
            struct cm_registry_purpose *purpose = &registry->purposes[i];
            purpose->statements = cm_arena_array(&registry->arena, purpose->statement_count + 1,
                                                 sizeof(struct cm_statement));
            purpose->statement_count = 0;
            ok = purpose->statements != NULL;
        }
    }
    for (size_t i = 0; ok && i < registry->purpose_count; i++) {
        struct cm_registry_purpose *purpose = &registry->purposes[i];
        qsort((void *)purpose->statements, purpose->statement_count, sizeof(struct cm_statement), order_statements);
    }
    return ok;
}

static enum cm_trouble build(redisReply *const *replies, struct cm_registry *registry, struct cm_err *err)
{
    struct cm_span version = cm_reply_text(replies[0]);
    for (size_t i = 1; i < 4; i++) {
        enum cm_trouble trouble = cm_reply_trouble(replies[i], err);
        if (trouble != CM_TROUBLE_NONE) {
            return trouble;
        }
        if (replies[i]->type != REDIS_REPLY_ARRAY || replies[i]->elements % 2 != 0) {
            cm_err_set(err, "the registry is no hash");
            return CM_TROUBLE_REGISTRY;
        }
    }
    if (replies[0]->type == REDIS_REPLY_NIL) {
        registry->version = 0; /* nothing was registered yet */
    } else if (!cm_parse_u64(version, UINT64_MAX, &registry->version)) {
        cm_err_set(err, "the registry has no version");
        return CM_TROUBLE_REGISTRY;
    }
    if (!read_senders(registry, replies[1]) || !read_purposes(registry, replies[2]) ||
        !read_statements(registry, replies[3])) {
        cm_err_set(err, "the registry holds a row that cannot be read");
        return CM_TROUBLE_REGISTRY;
    }
    if (registry->purpose_count > 0) {
        qsort(registry->purposes, registry->purpose_count, sizeof(*registry->purposes), order_purposes);
    }
    return CM_TROUBLE_NONE;
}

uint64_t cm_registry_epoch(const struct cm_registry *registry)
{
    return registry->epoch;
}

/* Facts, four hashes, facts: the registry of another store must never be taken for ours. */
static enum cm_trouble read_framed(struct cm_store *store, redisReply *const *replies, struct cm_registry *registry,
                                   struct cm_err *err)
{
    uint64_t epoch_after = 0;
    uint64_t announced = 0;
    enum cm_trouble trouble = cm_store_check_facts(store, replies[0], &registry->epoch, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_check_end_facts(store, replies[FRAMED_REPLIES - 1], &epoch_after, &announced, err);
    }
    if (trouble == CM_TROUBLE_NONE && epoch_after != registry->epoch) {
        cm_err_set(err, "the store's epoch changed while the registry was read");
        trouble = CM_TROUBLE_CHANGED;
    }
    return trouble == CM_TROUBLE_NONE ? build(replies + 1, registry, err) : trouble;
}

enum cm_trouble cm_registry_fetch(struct cm_store *store, const struct cm_registry **out, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[FRAMED_REPLIES];
    struct cm_registry *registry = calloc(1, sizeof(*registry));
    if (registry == NULL) {
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    registry->references = 1;
    cm_arena_init(&registry->arena, REGISTRY_MAX_BYTES);
    cm_store_ask_facts(&request, 0);
    cm_request_add(
        &request, (struct cm_span[]){CM_SPAN("HGET"), CM_SPAN("g:" CM_REGISTRY_TAG ":counter"), CM_SPAN("version")}, 3);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("HGETALL"), CM_SPAN("g:" CM_REGISTRY_TAG ":senders")}, 2);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("HGETALL"), CM_SPAN("g:" CM_REGISTRY_TAG ":purposes")}, 2);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("HGETALL"), CM_SPAN("g:" CM_REGISTRY_TAG ":statements")}, 2);
    cm_store_ask_end_facts(&request, 0);
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = read_framed(store, replies, registry, err);
        cm_replies_free(replies, FRAMED_REPLIES);
    }
    if (trouble != CM_TROUBLE_NONE) {
        cm_registry_unref(registry);
        return trouble;
    }
    *out = registry;
    return CM_TROUBLE_NONE;
}
