/* Modes set while the daemon runs: kept by stream name, so that a reload does not lose them. */
#include <stdlib.h>
#include <string.h>

#include "session_internal.h"

struct cm_override {
    char *stream;
    enum cm_mode mode;
};

struct cm_view {
    struct cm_stream_table table;     /* that of the generation, but for the modes */
    struct cm_generation *generation; /* a reference: the table borrows from its settings */
    unsigned version;                 /* of the overrides that were put in */
    _Atomic unsigned references;
};

void cm_view_unref(struct cm_view *view)
{
    if (view != NULL && atomic_fetch_sub(&view->references, 1) == 1) {
        cm_generation_unref(view->generation);
        free(view->table.streams);
        free(view);
    }
}

void cm_overrides_free(struct cm_overrides *overrides)
{
    for (size_t i = 0; i < overrides->count; i++) {
        free(overrides->items[i].stream);
    }
    free(overrides->items);
    cm_view_unref(overrides->view);
    *overrides = (struct cm_overrides){0};
}

static struct cm_override *find(const struct cm_overrides *overrides, const char *stream)
{
    for (size_t i = 0; i < overrides->count; i++) {
        if (strcmp(overrides->items[i].stream, stream) == 0) {
            return &overrides->items[i];
        }
    }
    return NULL;
}

/* The stream's own override, else that of all streams, else what the configuration says. */
static enum cm_mode mode_of(const struct cm_overrides *overrides, const struct cm_stream *stream)
{
    const struct cm_override *own = find(overrides, stream->name);
    if (own != NULL) {
        return own->mode;
    }
    return overrides->all != CM_MODE_UNSET ? overrides->all : stream->mode;
}

static void forget_streams(struct cm_overrides *overrides)
{
    for (size_t i = 0; i < overrides->count; i++) {
        free(overrides->items[i].stream);
    }
    overrides->count = 0;
}

static bool set_stream(struct cm_overrides *overrides, const char *stream, enum cm_mode mode)
{
    struct cm_override *own = find(overrides, stream);
    if (own != NULL && mode == CM_MODE_UNSET) {
        free(own->stream);
        *own = overrides->items[--overrides->count];
        return true;
    }
    if (own != NULL || mode == CM_MODE_UNSET) {
        if (own != NULL) {
            own->mode = mode;
        }
        return true;
    }
    struct cm_override *more = realloc(overrides->items, (overrides->count + 1) * sizeof(*more));
    if (more == NULL) {
        return false;
    }
    overrides->items = more;
    more[overrides->count] = (struct cm_override){strdup(stream), mode};
    if (more[overrides->count].stream == NULL) {
        return false;
    }
    overrides->count++;
    return true;
}

bool cm_filter_override(struct cm_filter *filter, const char *stream, enum cm_mode mode)
{
    struct cm_overrides *overrides = &filter->overrides;
    bool done = true;
    (void)pthread_mutex_lock(&filter->mutex);
    if (stream == NULL) {
        forget_streams(overrides);
        overrides->all = mode;
    } else {
        done = set_stream(overrides, stream, mode);
    }
    if (done) {
        cm_view_unref(overrides->view);
        overrides->view = NULL;
        atomic_fetch_add(&overrides->version, 1);
    }
    (void)pthread_mutex_unlock(&filter->mutex);
    return done;
}

enum cm_mode cm_filter_mode(struct cm_filter *filter, const struct cm_generation *generation, size_t stream)
{
    const struct cm_stream_table *table = &generation->settings->streams;
    (void)pthread_mutex_lock(&filter->mutex);
    enum cm_mode mode = filter->overrides.all != CM_MODE_UNSET ? filter->overrides.all : table->mode;
    if (stream != CM_NO_STREAM) {
        mode = mode_of(&filter->overrides, &table->streams[stream]);
    }
    (void)pthread_mutex_unlock(&filter->mutex);
    return mode;
}

/* The table with the modes of now; NULL without memory. The caller holds the mutex and gets the only reference. */
static struct cm_view *make_view(const struct cm_overrides *overrides, struct cm_generation *generation)
{
    const struct cm_stream_table *table = &generation->settings->streams;
    struct cm_view *view = calloc(1, sizeof(*view));
    struct cm_stream *streams = calloc(table->count + 1, sizeof(*streams));
    if (view == NULL || streams == NULL) {
        free(view);
        free(streams);
        return NULL;
    }
    for (size_t i = 0; i < table->count; i++) {
        streams[i] = table->streams[i];
        streams[i].mode = mode_of(overrides, &streams[i]);
    }
    view->table = *table;
    view->table.streams = streams;
    view->table.mode = overrides->all != CM_MODE_UNSET ? overrides->all : table->mode;
    view->generation = cm_generation_ref(generation);
    view->version = atomic_load(&overrides->version);
    atomic_init(&view->references, 1);
    return view;
}

/* All sessions of one generation share one view; an older generation's sessions, which soon end, make their own. */
static struct cm_view *take_view(struct cm_overrides *overrides, struct cm_generation *generation)
{
    if (overrides->all == CM_MODE_UNSET && overrides->count == 0) {
        return NULL;
    }
    if (overrides->view != NULL && overrides->view->generation == generation) {
        atomic_fetch_add(&overrides->view->references, 1);
        return overrides->view;
    }
    struct cm_view *view = make_view(overrides, generation);
    if (view != NULL && overrides->view == NULL) {
        atomic_fetch_add(&view->references, 1);
        overrides->view = view;
    }
    return view;
}

bool cm_session_look(struct cm_session *session)
{
    struct cm_overrides *overrides = &session->filter->overrides;
    if (atomic_load(&overrides->version) == session->version) {
        return true;
    }
    (void)pthread_mutex_lock(&session->filter->mutex);
    struct cm_view *view = take_view(overrides, session->generation);
    bool is_needed = overrides->all != CM_MODE_UNSET || overrides->count > 0;
    unsigned version = atomic_load(&overrides->version);
    (void)pthread_mutex_unlock(&session->filter->mutex);
    if (is_needed && view == NULL) {
        return false;
    }
    cm_view_unref(session->view);
    session->view = view;
    session->version = version;
    session->table = view != NULL ? &view->table : &session->settings->streams;
    return true;
}
