/* keys show, keys rotate. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consentctl.h"
#include "store/peppers.h"
#include "store/write.h"

#define WAIT_S 10 /* for filters to hear of an announced pepper: each asks the store with every look-up */
#define WAIT_MAX_S 86400

static void show_key(const struct context *context, const char *kind, unsigned id, const uint8_t bytes[32],
                     const char *state)
{
    char fingerprint[17];
    cm_key_fingerprint(bytes, fingerprint);
    cm_ctl_say(context, "%s.%u fingerprint %s, %s", kind, id, fingerprint, state);
    cm_ctl_emit(context, json_pack("{s:s, s:i, s:s, s:s}", "key", kind, "id", (int)id, "fingerprint", fingerprint,
                                   "state", state));
}

static unsigned newest_seal(const struct cm_keys *keys)
{
    unsigned id = CM_SEAL_ID_MAX;
    while (id > 0 && (keys->seal_mask & 1U << id) == 0) {
        id--;
    }
    return id;
}

static const char *state_of_pepper(const struct cm_pepper_list *list, size_t i)
{
    return i == list->current ? "current" : i < list->current ? "still read" : "announced";
}

int cm_ctl_keys_show(struct context *context)
{
    const struct cm_keys *keys = &context->keys;
    struct cm_pepper_list list;
    struct cm_err err;
    enum cm_trouble trouble = cm_store_read_peppers(context->store, &list, &err);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    for (size_t i = 0; i < list.count; i++) {
        struct cm_err unused; /* an announced one may be missing: it is shown as zeros, which no key is */
        (void)cm_keys_know_pepper(&context->keys, list.items[i].id, &unused);
        show_key(context, "pepper", list.items[i].id, keys->peppers[list.items[i].id].bytes, state_of_pepper(&list, i));
    }
    for (unsigned id = 1; id <= CM_SEAL_ID_MAX; id++) {
        if ((keys->seal_mask & 1U << id) != 0) {
            show_key(context, "seal", id, keys->seals[id], id == newest_seal(keys) ? "current" : "still read");
        }
    }
    return EX_OK;
}

/* LAW-16: in the ledger before it takes effect, so that an interruption leaves a note too many rather than none. */
static int write_note(const struct context *context, const char *what, unsigned id)
{
    struct cm_err err;
    struct cm_note note;
    struct cm_write_result result;
    json_t *json = json_pack("{s:s, s:s, s:i}", "note", what, "actor", context->actor, "id", (int)id);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text == NULL) {
        return cm_ctl_fail(EX_OSERR, "out of memory");
    }
    enum cm_trouble trouble = cm_note_make(cm_span_of(text), &note, &err);
    if (trouble == CM_TROUBLE_NONE) {
        cm_store_note(context->store, CM_RANK_ADMIN, &note, &result, &err);
        trouble = result.status == CM_WRITE_REFUSED ? CM_TROUBLE_ERROR_REPLY : result.trouble;
    }
    free(text);
    return trouble == CM_TROUBLE_NONE ? EX_OK : cm_ctl_fail_trouble(trouble, &err);
}

static int write_list(const struct context *context, const struct cm_pepper_list *list)
{
    struct cm_err err;
    enum cm_trouble trouble = cm_store_write_peppers(context->store, list, &err);
    return trouble == CM_TROUBLE_NONE ? EX_OK : cm_ctl_fail_trouble(trouble, &err);
}

static int drop_oldest(const struct context *context, struct cm_pepper_list *list)
{
    struct cm_err err;
    unsigned oldest = list->items[0].id;
    int code = write_note(context, "pepper_drop", oldest);
    if (code != EX_OK) {
        return code;
    }
    memmove(&list->items[0], &list->items[1], (list->count - 1) * sizeof(list->items[0]));
    list->count--;
    list->current--;
    code = write_list(context, list);
    if (code == EX_OK && !cm_keys_drop_pepper(context->settings->keys, oldest, &err)) {
        code = cm_ctl_fail(EX_CANTCREAT, "%s", err.text);
    }
    if (code == EX_OK) {
        cm_ctl_say(context,
                   "pepper.%u is no longer read: what was recorded under it and never changed since, withdrawals too, "
                   "is lost. The file is kept as pepper.%u.dropped.",
                   oldest, oldest);
    }
    return code;
}

/* Makes the next pepper and announces it, unless an interrupted rotation has. */
static int announce(struct context *context, struct cm_pepper_list *list)
{
    struct cm_err err;
    unsigned current = list->items[list->current].id;
    unsigned next = current + 1;
    if (list->current + 1 < list->count) {
        return EX_OK;
    }
    if (next > CM_PEPPER_ID_MAX) {
        return cm_ctl_fail(EX_UNAVAILABLE, "pepper.%u was the last there can be", current);
    }
    if (list->count == CM_PEPPERS_READABLE) {
        int code = context->options->drop_oldest
                       ? drop_oldest(context, list)
                       : cm_ctl_fail(EX_UNAVAILABLE,
                                     "%d peppers are readable already. With --drop-oldest pepper.%u is given up: what "
                                     "was recorded under it and never changed since, withdrawals too, is lost.",
                                     CM_PEPPERS_READABLE, list->items[0].id);
        if (code != EX_OK) {
            return code;
        }
    }
    if (!cm_keys_make(context->settings->keys, "pepper", next, current, &err) ||
        !cm_keys_know_pepper(&context->keys, next, &err)) {
        return cm_ctl_fail(EX_CANTCREAT, "%s", err.text);
    }
    list->items[list->count].id = (uint8_t)next;
    (void)cm_copy(list->items[list->count].check, sizeof(list->items[0].check),
                  cm_span_of(context->keys.peppers[next].check)); /* same size */
    list->count++;
    return write_list(context, list);
}

static void wait_s(uint64_t seconds)
{
    struct timespec rest = {.tv_sec = (time_t)seconds};
    while (nanosleep(&rest, &rest) != 0) { /* interrupted: the rest remains */
    }
}

static int rotate_pepper(struct context *context, uint64_t seconds)
{
    struct cm_pepper_list list;
    struct cm_err err;
    enum cm_trouble trouble = cm_store_read_peppers(context->store, &list, &err);
    if (trouble != CM_TROUBLE_NONE) {
        return cm_ctl_fail_trouble(trouble, &err);
    }
    int code = announce(context, &list);
    if (code != EX_OK) {
        return code;
    }
    unsigned next = list.items[list.count - 1].id;
    if (!cm_keys_know_pepper(&context->keys, next, &err)) {
        return cm_ctl_fail(EX_NOINPUT, "pepper.%u was announced and is not here: %s", next, err.text);
    }
    if (strcmp(context->keys.peppers[next].check, list.items[list.count - 1].check) != 0) {
        return cm_ctl_fail(EX_DATAERR, "pepper.%u is another than the one that was announced", next);
    }
    cm_ctl_say(context, "pepper.%u is announced; it becomes current in %u s", next, (unsigned)seconds);
    wait_s(seconds);
    code = write_note(context, "pepper_rotate", next);
    if (code == EX_OK) {
        list.current = list.count - 1;
        code = write_list(context, &list);
    }
    if (code == EX_OK) {
        show_key(context, "pepper", next, context->keys.peppers[next].bytes, "current");
        cm_ctl_say(context, "BACK UP %s/pepper.%u: without it every record written from now on is lost.",
                   context->settings->keys, next);
    }
    return code;
}

/* Nothing is announced: what was sealed opens under the master it was sealed with, whichever that is. */
static int rotate_seal(struct context *context)
{
    struct cm_err err;
    unsigned current = newest_seal(&context->keys);
    unsigned next = current + 1;
    if (next > CM_SEAL_ID_MAX) {
        return cm_ctl_fail(EX_UNAVAILABLE, "seal.%u was the last there can be", current);
    }
    int code = write_note(context, "seal_rotate", next);
    if (code != EX_OK) {
        return code;
    }
    if (!cm_keys_make(context->settings->keys, "seal", next, current, &err) ||
        !cm_keys_load(context->settings->keys, true, &context->keys, &err)) {
        return cm_ctl_fail(EX_CANTCREAT, "%s", err.text);
    }
    show_key(context, "seal", next, context->keys.seals[next], "current");
    cm_ctl_say(context, "BACK UP %s/seal.%u: without it no evidence sealed from now on can be read.",
               context->settings->keys, next);
    cm_ctl_say(context, "A running keeper seals with it from its next start on.");
    return EX_OK;
}

int cm_ctl_keys_rotate(struct context *context)
{
    const struct options *options = context->options;
    uint64_t seconds = WAIT_S;
    if (options->wait != NULL && !cm_parse_u64(cm_span_of(options->wait), WAIT_MAX_S, &seconds)) {
        return cm_ctl_fail(EX_USAGE, "--wait: %s is not a number of seconds up to %d", options->wait, WAIT_MAX_S);
    }
    if (strcmp(options->words[0], "pepper") == 0) {
        return rotate_pepper(context, seconds);
    }
    if (strcmp(options->words[0], "seal") == 0) {
        return options->drop_oldest ? cm_ctl_fail(EX_USAGE, "--drop-oldest is for peppers") : rotate_seal(context);
    }
    return cm_ctl_fail(EX_USAGE, "%s is neither pepper nor seal", options->words[0]);
}
