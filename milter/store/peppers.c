#include "store/peppers.h"

#include <string.h>

#include "store_internal.h"

/* "ID:CHECK", with "+" if it is announced. */
static bool parse_item(struct cm_span word, struct cm_pepper_list *out, bool *out_is_coming)
{
    uint64_t id = 0;
    uint8_t unused[CM_PEPPER_CHECK_BYTES];
    struct cm_span rest = word;
    struct cm_span number;
    if (out->count == CM_PEPPERS_READABLE || !cm_span_next(&rest, ':', &number) ||
        !cm_parse_u64(number, CM_PEPPER_ID_MAX, &id) || id == 0 || rest.p == NULL) {
        return false;
    }
    *out_is_coming = rest.len == CM_PEPPER_CHECK_CHARS + 1 && rest.p[CM_PEPPER_CHECK_CHARS] == '+';
    rest.len -= *out_is_coming ? 1 : 0;
    if (rest.len != CM_PEPPER_CHECK_CHARS || !cm_hex_decode(rest, unused, sizeof(unused)) ||
        (out->count > 0 && id <= out->items[out->count - 1].id)) {
        return false;
    }
    out->items[out->count].id = (uint8_t)id;
    return cm_copy(out->items[out->count++].check, CM_PEPPER_CHECK_CHARS + 1, rest);
}

bool cm_pepper_list_parse(struct cm_span text, struct cm_pepper_list *out)
{
    struct cm_pepper_list list = {.count = 0};
    struct cm_span word;
    bool is_coming = false;
    while (cm_span_next(&text, ' ', &word)) {
        if (is_coming || !parse_item(word, &list, &is_coming)) { /* nothing stands behind an announced one */
            return false;
        }
    }
    if (list.count < (is_coming ? 2U : 1U)) {
        return false;
    }
    list.current = list.count - (is_coming ? 2 : 1);
    *out = list;
    return true;
}

void cm_pepper_list_format(const struct cm_pepper_list *list, char out[CM_PEPPER_LIST_BYTES])
{
    struct cm_text text = cm_text_over(out, CM_PEPPER_LIST_BYTES);
    for (size_t i = 0; i < list->count; i++) {
        cm_text_add_format(&text, "%s%u:%s%s", i > 0 ? " " : "", list->items[i].id, list->items[i].check,
                           i > list->current ? "+" : "");
    }
}

enum cm_trouble cm_peppers_check(struct cm_keys *keys, struct cm_span text, uint32_t *out_in_use, uint32_t *out_needed,
                                 struct cm_err *err)
{
    struct cm_pepper_list list;
    uint32_t mask = 0;
    uint32_t needed = 0;
    if (!cm_pepper_list_parse(text, &list)) {
        cm_err_set(err, "the store does not tell its peppers");
        return CM_TROUBLE_WRONG_PEPPER;
    }
    for (size_t i = 0; i < list.count; i++) {
        struct cm_err unused; /* an announced pepper may be late in coming; nothing is written under it yet */
        bool is_needed = i <= list.current;
        uint8_t id = list.items[i].id;
        if (!cm_keys_know_pepper(keys, id, is_needed ? err : &unused)) {
            if (is_needed) {
                return CM_TROUBLE_WRONG_PEPPER;
            }
            continue;
        }
        bool is_same = strcmp(keys->peppers[id].check, list.items[i].check) == 0;
        if (is_needed && !is_same) {
            cm_err_set(err, "pepper.%u does not belong to this store", id);
            return CM_TROUBLE_WRONG_PEPPER;
        }
        mask |= is_same ? 1U << id : 0;
        needed |= is_needed ? 1U << id : 0;
    }
    *out_in_use = CM_IN_USE(mask, list.items[list.current].id);
    *out_needed = needed;
    return CM_TROUBLE_NONE;
}

enum cm_trouble cm_store_read_peppers(struct cm_store *store, struct cm_pepper_list *out, struct cm_err *err)
{
    struct cm_request request = {0};
    redisReply *reply = NULL;
    uint64_t epoch = 0;
    uint32_t in_use = 0;
    uint32_t needed = 0;
    cm_store_ask_facts(&request, 0);
    enum cm_trouble trouble = cm_store_run(store, &request, &reply, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    trouble = cm_store_check_facts(store, reply, &epoch, err);
    if (trouble == CM_TROUBLE_NONE) {
        struct cm_span text = cm_reply_text(reply->element[CM_FACT_PEPPERS]);
        (void)cm_pepper_list_parse(text, out); /* it was just checked */
        trouble = cm_peppers_check(store->keys, text, &in_use, &needed, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        cm_keys_use(store->keys, in_use);
    }
    cm_replies_free(&reply, 1);
    return trouble;
}

static void add_list(struct cm_request *request, unsigned partition, const void *context)
{
    char key[CM_KEY_BYTES];
    unsigned shifted = (partition + 1) % CM_PARTITIONS; /* partition 0 last */
    cm_request_add(request,
                   (struct cm_span[]){CM_SPAN("HSET"), cm_store_key(key, 'm', shifted, -1), CM_SPAN("peppers"),
                                      cm_span_of(context)},
                   4);
}

enum cm_trouble cm_store_write_peppers(struct cm_store *store, const struct cm_pepper_list *list, struct cm_err *err)
{
    char text[CM_PEPPER_LIST_BYTES];
    cm_pepper_list_format(list, text);
    return cm_store_for_all_partitions(store, add_list, text, err);
}
