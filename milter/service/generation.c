#include "service/generation.h"

#include <stdlib.h>

#include "base/clock.h"

static bool find_rows(struct cm_generation *generation, struct cm_tally *tally)
{
    const struct cm_stream_table *table = &generation->settings->streams;
    generation->rows = calloc(table->count + 1, sizeof(struct cm_tally_row *));
    for (size_t i = 0; generation->rows != NULL && i <= table->count; i++) {
        generation->rows[i] = cm_tally_row(tally, i < table->count ? table->streams[i].name : CM_TALLY_NO_STREAM);
        if (generation->rows[i] == NULL) {
            return false;
        }
    }
    return generation->rows != NULL;
}

struct cm_generation *cm_generation_new(struct cm_settings *settings, unsigned number, struct cm_tally *tally)
{
    struct cm_generation *generation = calloc(1, sizeof(*generation));
    if (generation == NULL) {
        cm_settings_free(settings);
        return NULL;
    }
    generation->settings = settings;
    generation->number = number;
    generation->loaded_at = cm_clock_wall_ms();
    generation->since_ms = cm_clock_monotonic_ms();
    atomic_init(&generation->references, 1);
    if (!find_rows(generation, tally)) {
        cm_generation_unref(generation);
        return NULL;
    }
    return generation;
}

struct cm_generation *cm_generation_ref(struct cm_generation *generation)
{
    atomic_fetch_add(&generation->references, 1);
    return generation;
}

void cm_generation_unref(struct cm_generation *generation)
{
    if (generation == NULL || atomic_fetch_sub(&generation->references, 1) > 1) {
        return;
    }
    cm_settings_free((struct cm_settings *)generation->settings); /* taken over by new */
    free(generation->rows);
    free(generation);
}

struct cm_tally_row *cm_generation_row(const struct cm_generation *generation, size_t stream)
{
    return generation->rows[stream == CM_NO_STREAM ? generation->settings->streams.count : stream];
}
