#include "service/tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static const char shared_name[] = "other";

struct cm_tally {
    _Atomic uint64_t troubles[CM_TROUBLE_COUNT];
    _Atomic uint64_t ceilings[CM_CEILING_COUNT];
    pthread_mutex_t mutex; /* of making rows */
    atomic_size_t count;
    _Atomic(struct cm_tally_row *) rows[CM_TALLY_ROWS_MAX + 1]; /* the last may be the shared one */
};

struct cm_tally *cm_tally_new(void)
{
    struct cm_tally *tally = calloc(1, sizeof(*tally));
    if (tally != NULL) {
        (void)pthread_mutex_init(&tally->mutex, NULL); /* cannot fail with these attributes */
    }
    return tally;
}

void cm_tally_free(struct cm_tally *tally)
{
    if (tally == NULL) {
        return;
    }
    for (size_t i = 0; i < atomic_load(&tally->count); i++) {
        free(atomic_load(&tally->rows[i]));
    }
    (void)pthread_mutex_destroy(&tally->mutex);
    free(tally);
}

static struct cm_tally_row *find_row(struct cm_tally *tally, const char *name)
{
    size_t count = atomic_load(&tally->count);
    for (size_t i = 0; i < count; i++) {
        struct cm_tally_row *row = atomic_load(&tally->rows[i]);
        if (strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

static struct cm_tally_row *make_row(struct cm_tally *tally, const char *name)
{
    size_t count = atomic_load(&tally->count);
    const char *own = count < CM_TALLY_ROWS_MAX ? name : shared_name;
    struct cm_tally_row *row = count > CM_TALLY_ROWS_MAX ? find_row(tally, shared_name) : calloc(1, sizeof(*row));
    if (row != NULL && count <= CM_TALLY_ROWS_MAX) {
        (void)cm_copy(row->name, sizeof(row->name), cm_span_of(own)); /* a name of the settings fits */
        atomic_store(&tally->rows[count], row);
        atomic_store(&tally->count, count + 1);
    }
    return row;
}

struct cm_tally_row *cm_tally_row(struct cm_tally *tally, const char *name)
{
    (void)pthread_mutex_lock(&tally->mutex);
    struct cm_tally_row *row = find_row(tally, name);
    if (row == NULL) {
        row = make_row(tally, name);
    }
    (void)pthread_mutex_unlock(&tally->mutex);
    return row;
}

void cm_tally_count(struct cm_tally *tally, struct cm_tally_row *row, const struct cm_decision *decision, bool observed)
{
    atomic_fetch_add(observed ? &row->observed[decision->reason] : &row->applied[decision->reason], 1);
    if (!atomic_load(&row->has_grown)) { /* seldom: no cache line is fought for */
        atomic_store(&row->has_grown, true);
    }
    if (decision->reason == CM_REASON_TROUBLE) {
        atomic_fetch_add(&tally->troubles[decision->trouble], 1);
    }
}

struct cm_tally_row *cm_tally_at(struct cm_tally *tally, size_t index)
{
    return index < atomic_load(&tally->count) ? atomic_load(&tally->rows[index]) : NULL;
}

uint64_t cm_tally_troubles(const struct cm_tally *tally, enum cm_trouble trouble)
{
    return atomic_load(&tally->troubles[trouble]);
}

const char *cm_ceiling_name(enum cm_ceiling ceiling)
{
    static const char *const names[CM_CEILING_COUNT] = {
        [CM_CEILING_NONE] = "none",
        [CM_CEILING_RECIPIENTS] = "recipients",
        [CM_CEILING_HEADERS] = "headers",
        [CM_CEILING_MEMORY] = "memory",
    };
    return names[ceiling];
}

void cm_tally_count_ceiling(struct cm_tally *tally, enum cm_ceiling ceiling)
{
    atomic_fetch_add(&tally->ceilings[ceiling], 1);
}

uint64_t cm_tally_ceilings(const struct cm_tally *tally, enum cm_ceiling ceiling)
{
    return atomic_load(&tally->ceilings[ceiling]);
}
