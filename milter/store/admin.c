#include "store/admin.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/consent_lua.h"
#include "store/peppers.h"
#include "store/server.h"
#include "store/write.h"
#include "store_internal.h"

/* An acknowledgement must be worth something. LAW-11 */
static enum cm_trouble check_durability(struct cm_store *store, struct cm_err *err)
{
    size_t count = 0;
    const struct cm_server_need *needs = cm_server_needs(&count);
    struct cm_server server;
    enum cm_trouble trouble = cm_server_read(store, &server, err);
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        const struct cm_server_value *value = &server.items[needs[i].item];
        if (value->answer != CM_SERVER_TOLD) {
            cm_err_set(err, "this Redis user may not ask whether `%s` is set: give it +config|get", needs[i].setting);
            return CM_TROUBLE_NO_PERMISSION;
        }
        if (strcmp(value->text, needs[i].wanted) != 0) {
            cm_err_set(err, "Redis must run with `%s`: otherwise it may lose what it has acknowledged",
                       needs[i].setting);
            return CM_TROUBLE_CANNOT_WRITE;
        }
    }
    return trouble;
}

static enum cm_trouble load_functions(struct cm_store *store, struct cm_err *err)
{
    redisReply *reply = NULL;
    struct cm_span args[] = {CM_SPAN("FUNCTION"), CM_SPAN("LOAD"), CM_SPAN("REPLACE"), cm_span_of(cm_consent_lua)};
    enum cm_trouble trouble = cm_store_command(store, args, 4, &reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_replies_free(&reply, 1);
    } else {
        cm_err_prefix(err, "cannot load the functions");
    }
    return trouble;
}

enum cm_trouble cm_store_for_all_partitions(struct cm_store *store,
                                            void (*add)(struct cm_request *request, unsigned partition,
                                                        const void *context),
                                            const void *context, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply **replies = calloc(CM_PARTITIONS, sizeof(*replies));
    if (replies == NULL) {
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    for (unsigned p = 0; p < CM_PARTITIONS; p++) {
        add(&request, p, context);
    }
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble == CM_TROUBLE_NONE) {
        for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < CM_PARTITIONS; i++) {
            trouble = cm_reply_trouble(replies[i], err);
        }
        cm_replies_free(replies, CM_PARTITIONS);
    }
    free(replies);
    return trouble;
}

static void add_facts(struct cm_request *request, unsigned partition, const void *context)
{
    const struct cm_store *store = context;
    char key[CM_KEY_BYTES];
    char canon[12];
    char peppers[CM_PEPPER_LIST_BYTES];
    struct cm_pepper_list list = {.items[0].id = (uint8_t)CM_IN_USE_CURRENT(cm_keys_in_use(store->keys)), .count = 1};
    (void)snprintf(canon, sizeof(canon), "%d", CM_ADDRESS_CANON_VERSION); /* a small number fits */
    (void)cm_copy(list.items[0].check, sizeof(list.items[0].check),
                  cm_span_of(store->keys->peppers[list.items[0].id].check)); /* same size */
    cm_pepper_list_format(&list, peppers);
    struct cm_span args[] = {
        CM_SPAN("HSET"),     cm_store_key(key, 'm', partition, -1),
        CM_SPAN("store"),    cm_span_of(store->keys->store_id),
        CM_SPAN("epoch"),    CM_SPAN("1"),
        CM_SPAN("schema"),   CM_SPAN(CM_SCHEMA_VERSION),
        CM_SPAN("canon"),    cm_span_of(canon),
        CM_SPAN("peppers"),  cm_span_of(peppers),
        CM_SPAN("registry"), CM_SPAN("0"),
    };
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

enum cm_trouble cm_store_look_at_ends(struct cm_store *store, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *replies[2];
    uint64_t epoch = 0;
    cm_store_ask_facts(&request, CM_PARTITIONS - 1);
    cm_store_ask_facts(&request, 0);
    enum cm_trouble trouble = cm_store_run(store, &request, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_err last_err = {{0}};
    enum cm_trouble last = cm_store_check_facts(store, replies[0], &epoch, &last_err);
    enum cm_trouble first = cm_store_check_facts(store, replies[1], &epoch, err);
    cm_replies_free(replies, 2);
    /* Another's store that lost one end is no empty Redis. */
    if (last != CM_TROUBLE_NONE && (first == CM_TROUBLE_NONE || first == CM_TROUBLE_NO_STORE)) {
        *err = last_err;
        return last;
    }
    return first;
}

enum cm_init_status cm_store_init(struct cm_store *store, bool fresh, struct cm_err *err)
{
    enum cm_init_status status = CM_INIT_PRESENT;
    enum cm_trouble trouble = check_durability(store, err);
    if (trouble != CM_TROUBLE_NONE) {
        return CM_INIT_FAILED;
    }
    trouble = cm_store_look_at_ends(store, err);
    if (trouble == CM_TROUBLE_NO_STORE && !fresh) {
        cm_err_set(err,
                   "this Redis is empty, but the keys belong to store %s: restore its data, or move the keys away to "
                   "begin a new store",
                   store->keys->store_id);
        return CM_INIT_FAILED;
    }
    if (trouble == CM_TROUBLE_NO_STORE) {
        trouble = cm_store_for_all_partitions(store, add_facts, store, err);
        status = CM_INIT_MADE;
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = load_functions(store, err);
    }
    return trouble == CM_TROUBLE_NONE ? status : CM_INIT_FAILED;
}

static void add_forgetting(struct cm_request *request, unsigned partition, const void *context)
{
    char key[CM_KEY_BYTES];
    struct cm_span args[] = {CM_SPAN("FCALL"), CM_SPAN("admin_forget_mark"), CM_SPAN("1"),
                             cm_store_key(key, 'n', partition, -1), cm_span_of(context)};
    cm_request_add(request, args, sizeof(args) / sizeof(args[0]));
}

enum cm_trouble cm_store_accept(struct cm_store *store, const char *keeper, bool retire, struct cm_span document,
                                struct cm_err *err)
{
    char keys[3][CM_KEY_BYTES];
    struct cm_note note;
    redisReply *reply = NULL;
    enum cm_trouble trouble = cm_note_make(document, &note, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_store_look_at_ends(store, err); /* in another's store nothing may be forgotten */
    }
    if (trouble == CM_TROUBLE_NONE && !retire) {
        /* Marks first: once the keeper is readmitted it may beat at once, and must not beat beside those of its old
         * journal. */
        trouble = cm_store_for_all_partitions(store, add_forgetting, keeper, err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_span args[] = {
        CM_SPAN("FCALL"),
        CM_SPAN("admin_accept"),
        CM_SPAN("3"),
        cm_store_key(keys[0], 'm', 0, -1),
        cm_store_key(keys[1], 'l', 0, -1),
        cm_store_key(keys[2], 'n', 0, -1),
        cm_span_of(store->keys->store_id),
        CM_ARG_BYTES(note.event_id, sizeof(note.event_id)),
        note.document,
        CM_ARG_BYTES(note.sha256, sizeof(note.sha256)),
        cm_span_of(keeper),
        retire ? CM_SPAN("retire") : CM_SPAN("readmit"),
    };
    trouble = cm_store_command(store, args, sizeof(args) / sizeof(args[0]), &reply, err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_replies_free(&reply, 1);
    }
    return trouble;
}

enum cm_trouble cm_store_read_registry(struct cm_store *store, const struct cm_registry **out, struct cm_err *err)
{
    enum cm_trouble trouble = cm_store_look_at_ends(store, err);
    return trouble == CM_TROUBLE_NONE ? cm_registry_fetch(store, out, err) : trouble;
}
