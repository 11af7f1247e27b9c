/*
 * Which peppers a store is under: field `peppers` of m:{pHHH}, "1:CHECK 2:CHECK+", by rising id. The last one without
 * "+" is the current one, under which programs write; the older ones are still read. One with "+" is announced:
 * programs read under it already, so that none is surprised when it becomes current. Partition 0 speaks for all, and is
 * written last.
 *
 * Pure but for the last two, which are thread-safe as the store is.
 */
#ifndef STORE_PEPPERS_H
#define STORE_PEPPERS_H

#include "store/store.h"

#define CM_PEPPER_LIST_BYTES 96 /* three with ids of two digits, and a NUL */

struct cm_pepper_list {
    struct {
        uint8_t id;
        char check[CM_PEPPER_CHECK_CHARS + 1];
    } items[CM_PEPPERS_READABLE];
    size_t count;   /* at least 1 */
    size_t current; /* index; what stands behind it is announced */
};

bool cm_pepper_list_parse(struct cm_span text, struct cm_pepper_list *out);
void cm_pepper_list_format(const struct cm_pepper_list *list, char out[CM_PEPPER_LIST_BYTES]);

/* Reads what partition 0 says, learns from the key directory what is missing, and takes them into use. WRONG_PEPPER and
 * err if one that may hold records is not readable here, or is another than the store's. */
enum cm_trouble cm_store_read_peppers(struct cm_store *store, struct cm_pepper_list *out, struct cm_err *err);
/* Writes the list into all partitions. May be repeated; interrupted, partition 0 still has the old one. */
enum cm_trouble cm_store_write_peppers(struct cm_store *store, const struct cm_pepper_list *list, struct cm_err *err);

#endif
