/* What the keeper remembers of its journal: a row for each act, and the contents of those that come next. */
#include <stdlib.h>
#include <string.h>

#include "keeper_internal.h"

#define QUEUE_BYTES_MAX (2 * 1048576)
#define QUEUE_ITEMS_MAX 8192

bool cm_keeper_index_add(struct cm_keeper_index *index, const struct cm_keeper_row *row)
{
    if (index->count == index->size) {
        size_t size = index->size == 0 ? 256 : index->size * 2;
        struct cm_keeper_row *rows = reallocarray(index->rows, size, sizeof(*rows));
        if (rows == NULL) {
            return false;
        }
        index->rows = rows;
        index->size = size;
    }
    index->rows[index->count++] = *row;
    return true;
}

size_t cm_keeper_index_from(const struct cm_keeper_index *index, uint64_t number)
{
    size_t low = 0;
    size_t high = index->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->rows[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct cm_keeper_row *cm_keeper_index_find(const struct cm_keeper_index *index, uint64_t number)
{
    size_t at = cm_keeper_index_from(index, number);
    return at < index->count && index->rows[at].number == number ? &index->rows[at] : NULL;
}

void cm_keeper_index_drop_before(struct cm_keeper_index *index, uint64_t number)
{
    size_t dropped = cm_keeper_index_from(index, number);
    if (dropped > 0) {
        index->count -= dropped;
        memmove(index->rows, index->rows + dropped, index->count * sizeof(index->rows[0]));
    }
}

void cm_keeper_queue_clear(struct cm_keeper_queue *queue)
{
    for (size_t i = queue->from; i < queue->count; i++) {
        free(queue->items[i].content);
    }
    free(queue->items);
    *queue = (struct cm_keeper_queue){0};
}

void cm_keeper_queue_push(struct cm_keeper_queue *queue, uint64_t number, struct cm_span content)
{
    if (queue->from == queue->count) { /* empty: begin anew at the front */
        queue->from = 0;
        queue->count = 0;
    }
    if (queue->ends_before_tail || queue->bytes + content.len > QUEUE_BYTES_MAX || queue->count == QUEUE_ITEMS_MAX) {
        queue->ends_before_tail = true; /* the journal has it */
        return;
    }
    if (queue->count == queue->size) {
        size_t size = queue->size == 0 ? 64 : queue->size * 2;
        struct cm_keeper_item *items = reallocarray(queue->items, size, sizeof(*items));
        if (items == NULL) {
            queue->ends_before_tail = true;
            return;
        }
        queue->items = items;
        queue->size = size;
    }
    struct cm_keeper_item *item = &queue->items[queue->count];
    item->number = number;
    item->len = content.len;
    item->content = malloc(content.len);
    if (item->content == NULL) {
        queue->ends_before_tail = true;
        return;
    }
    memcpy(item->content, content.p, content.len);
    queue->count++;
    queue->bytes += content.len;
}

static bool collect(void *context, uint64_t number, int64_t at_s, struct cm_span content)
{
    struct cm_keeper_queue *queue = context;
    (void)at_s; /* only the journal's own business */
    if (cm_keeper_is_act(content)) {
        cm_keeper_queue_push(queue, number, content);
    }
    return !queue->ends_before_tail;
}

static void drop_before(struct cm_keeper_queue *queue, uint64_t number)
{
    while (queue->from < queue->count && queue->items[queue->from].number < number) {
        queue->bytes -= queue->items[queue->from].len;
        free(queue->items[queue->from].content);
        queue->from++;
    }
}

struct cm_span cm_keeper_queue_get(struct cm_keeper_queue *queue, struct cm_journal *journal, uint64_t number,
                                   struct cm_err *err)
{
    drop_before(queue, number);
    if (queue->from == queue->count || queue->items[queue->from].number != number) {
        cm_keeper_queue_clear(queue);
        if (!cm_journal_read(journal, number, collect, queue, err)) {
            return (struct cm_span){NULL, 0};
        }
    }
    if (queue->count == 0 || queue->items[queue->from].number != number) {
        cm_err_set(err, "the journal has no act %llu, or memory ran out", (unsigned long long)number);
        return (struct cm_span){NULL, 0};
    }
    return (struct cm_span){queue->items[queue->from].content, queue->items[queue->from].len};
}
