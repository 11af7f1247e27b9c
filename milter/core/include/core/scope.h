/*
 * Scopes: what a record is about. Scope 0 is everybody; all other ids come from one counter of the store and are a
 * sender or a purpose. A path lists the scopes that cover one purpose, nearest first: the purpose, its parents, its
 * sender, everybody. Stops go down this path, grants never do. LAW-4
 */
#ifndef CORE_SCOPE_H
#define CORE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CM_SCOPE_EVERYBODY 0U
#define CM_PURPOSE_DEPTH_MAX 8
#define CM_SCOPE_PATH_MAX (CM_PURPOSE_DEPTH_MAX + 2)

struct cm_scope_path {
    uint32_t ids[CM_SCOPE_PATH_MAX];
    size_t count; /* at least 3: purpose, sender, everybody; 2: a sender; 1: everybody */
};

static inline bool cm_scope_path_covers(const struct cm_scope_path *path, uint32_t scope)
{
    for (size_t i = 0; i < path->count; i++) {
        if (path->ids[i] == scope) {
            return true;
        }
    }
    return false;
}

#endif
