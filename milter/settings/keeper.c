#include <string.h>

#include "internal.h"

#define ACCOUNT_BYTES 32

static const struct cm_word words_of_rank[] = {
    {"subject", CM_RANK_SUBJECT}, {"officer", CM_RANK_OFFICER}, {"admin", CM_RANK_ADMIN},
    {"sender", CM_RANK_SENDER},   {"system", CM_RANK_SYSTEM},   {NULL, 0},
};

/* A caller as its group says. */
struct draft {
    struct cm_caller_settings caller;
    unsigned rank; /* unsigned, as the tables write words */
};

static const struct cm_key caller_keys[] = {
    {.path = "user",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = ACCOUNT_BYTES,
     .offset = offsetof(struct draft, caller.user),
     .right = "a user name or uid, such as \"consent-web\"",
     .problem = cm_problem_of_account},
    {.path = "group",
     .type = CM_KEY_TEXT,
     .min = 1,
     .max = ACCOUNT_BYTES,
     .offset = offsetof(struct draft, caller.group),
     .right = "a group name or gid, such as \"privacy\"",
     .problem = cm_problem_of_account},
    {.path = "rank",
     .type = CM_KEY_WORD,
     .required = true,
     .offset = offsetof(struct draft, rank),
     .right = "\"subject\", \"officer\", \"admin\", \"sender\" or \"system\"",
     .words = words_of_rank},
};

static const struct cm_key_table caller_table = {
    .keys = caller_keys, .count = sizeof(caller_keys) / sizeof(caller_keys[0]), .name = "keeper.callers"};

static bool read_caller(const struct cm_reader *reader, const config_setting_t *group, struct cm_caller_settings *out)
{
    struct draft draft = {.rank = 0};
    if (!config_setting_is_group(group)) {
        return cm_reader_fail(reader, group, caller_table.name, "holds no group; write %s",
                              "( { user = \"consent-web\"; rank = \"subject\"; }, ... )");
    }
    if (!cm_reader_group(reader, group, &caller_table, &draft)) {
        return false;
    }
    if ((draft.caller.user != NULL) == (draft.caller.group != NULL)) {
        return cm_reader_fail(reader, group, caller_table.name, "%s", "must name a user or a group, and not both");
    }
    *out = draft.caller;
    out->rank = (enum cm_rank)draft.rank;
    return true;
}

static bool read_callers(const struct cm_reader *reader, const config_setting_t *list, struct cm_keeper_settings *out)
{
    size_t count = list != NULL ? (size_t)config_setting_length(list) : 0;
    if (count > CM_SETTINGS_CALLERS) {
        return cm_reader_fail(reader, list, caller_table.name, "has %zu groups; at most %d are right", count,
                              CM_SETTINGS_CALLERS);
    }
    struct cm_caller_settings *callers = cm_arena_array(reader->arena, count + 1, sizeof(*callers));
    if (callers == NULL) {
        return cm_reader_fail_memory(reader);
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_caller(reader, config_setting_get_elem(list, (unsigned)i), &callers[i])) {
            return false;
        }
    }
    out->callers = callers;
    out->caller_count = count;
    return true;
}

/* A name that stands twice is one keeper, and another was meant. */
static bool check_names(const struct cm_reader *reader, const config_setting_t *root, const struct cm_patterns *names)
{
    for (size_t second = 1; second < names->count; second++) {
        for (size_t first = 0; first < second; first++) {
            if (strcmp(names->items[first], names->items[second]) == 0) {
                const config_setting_t *list = cm_reader_member(root, "keepers");
                return cm_reader_fail(reader, config_setting_get_elem(list, (unsigned)second), "keepers",
                                      "\"%s\" stands there twice; name it once", names->items[second]);
            }
        }
    }
    return true;
}

bool cm_keepers_read(const struct cm_reader *reader, const config_setting_t *root, const struct cm_keeper_lists *lists,
                     struct cm_settings *settings)
{
    if (!check_names(reader, root, &lists->names) || !read_callers(reader, lists->callers, &settings->keeper)) {
        return false;
    }
    settings->keepers = lists->names.items;
    settings->keeper_count = lists->names.count;
    return true;
}
