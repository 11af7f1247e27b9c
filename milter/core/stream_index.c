/*
 * With a thousand customers behind one server there is a stream for each login. A session meets very few of them, and
 * its login tells which: streams whose logins (or else listeners) are all plain text are found by that text, and only
 * the others are looked at for every message. Texts are compared without ASCII case, as patterns are.
 */
#include <stdlib.h>
#include <string.h>

#include "stream_internal.h"

/* One plain text with the streams that name it, ascending. */
struct entry {
    struct cm_span text;
    struct cm_stream_list streams;
};

/* Entries sorted by text. */
struct directory {
    struct entry *entries;
    size_t count;
};

struct cm_stream_index {
    struct directory logins;
    struct directory daemons;
    struct cm_stream_list always;
    struct cm_span *names; /* of headers, sorted */
    size_t name_count;
};

/* One pattern of one stream, while the index is made. */
struct mention {
    struct cm_span text;
    uint16_t stream;
};

static int compare_texts(struct cm_span a, struct cm_span b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        int difference = (unsigned char)cm_ascii_lower(a.p[i]) - (unsigned char)cm_ascii_lower(b.p[i]);
        if (difference != 0) {
            return difference;
        }
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static int compare_mentions(const void *a, const void *b)
{
    const struct mention *left = a;
    const struct mention *right = b;
    int difference = compare_texts(left->text, right->text);
    return difference != 0 ? difference : (int)left->stream - (int)right->stream;
}

static int compare_names(const void *a, const void *b)
{
    return compare_texts(*(const struct cm_span *)a, *(const struct cm_span *)b);
}

static int compare_entry(const void *key, const void *entry)
{
    return compare_texts(*(const struct cm_span *)key, ((const struct entry *)entry)->text);
}

static bool all_plain(const struct cm_patterns *patterns)
{
    for (size_t i = 0; i < patterns->count; i++) {
        if (strpbrk(patterns->items[i], "*{") != NULL) {
            return false;
        }
    }
    return patterns->count > 0;
}

/* The patterns that find a stream; NULL: it has to be looked at always. */
static const struct cm_patterns *key_of(const struct cm_stream *stream, bool *out_is_login)
{
    *out_is_login = all_plain(&stream->session.auth);
    if (*out_is_login) {
        return &stream->session.auth;
    }
    return all_plain(&stream->session.daemon) ? &stream->session.daemon : NULL;
}

/* Sorts the mentions and makes an entry of each text. */
static bool make_directory(struct mention *mentions, size_t count, struct cm_arena *arena, struct directory *out)
{
    uint16_t *streams = cm_arena_array(arena, count + 1, sizeof(*streams));
    out->entries = cm_arena_array(arena, count + 1, sizeof(*out->entries));
    if (streams == NULL || out->entries == NULL) {
        return false;
    }
    qsort(mentions, count, sizeof(*mentions), compare_mentions);
    for (size_t i = 0; i < count; i++) {
        struct entry *last = out->count > 0 ? &out->entries[out->count - 1] : NULL;
        streams[i] = mentions[i].stream;
        if (last == NULL || compare_texts(last->text, mentions[i].text) != 0) {
            last = &out->entries[out->count++];
            *last = (struct entry){mentions[i].text, {&streams[i], 0}};
        }
        last->streams.count++;
    }
    return true;
}

static size_t count_mentions(const struct cm_stream_table *table)
{
    size_t count = 0;
    bool is_login = false;
    for (size_t i = 0; i < table->count; i++) {
        const struct cm_patterns *key = key_of(&table->streams[i], &is_login);
        count += key != NULL ? key->count : 0;
    }
    return count;
}

static bool index_sessions(const struct cm_stream_table *table, struct cm_arena *arena, struct cm_stream_index *index)
{
    size_t count = count_mentions(table);
    size_t found[2] = {0, 0}; /* listeners, logins */
    size_t always = 0;
    struct mention *mentions[2] = {cm_arena_array(arena, count + 1, sizeof(struct mention)),
                                   cm_arena_array(arena, count + 1, sizeof(struct mention))};
    uint16_t *rest = cm_arena_array(arena, table->count + 1, sizeof(*rest));
    if (mentions[0] == NULL || mentions[1] == NULL || rest == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->count; i++) {
        bool is_login = false;
        const struct cm_patterns *key = key_of(&table->streams[i], &is_login);
        if (key == NULL) {
            rest[always++] = (uint16_t)i;
        }
        for (size_t k = 0; key != NULL && k < key->count; k++) {
            mentions[is_login][found[is_login]++] = (struct mention){cm_span_of(key->items[k]), (uint16_t)i};
        }
    }
    index->always = (struct cm_stream_list){rest, always};
    return make_directory(mentions[0], found[0], arena, &index->daemons) &&
           make_directory(mentions[1], found[1], arena, &index->logins);
}

static void add_name(struct cm_stream_index *index, const char *name)
{
    index->names[index->name_count++] = cm_span_of(name);
}

static bool index_names(const struct cm_stream_table *table, struct cm_arena *arena, struct cm_stream_index *index)
{
    size_t count = 0;
    for (size_t i = 0; i < table->count; i++) {
        count += table->streams[i].header_count + 3;
    }
    index->names = cm_arena_array(arena, count + 1, sizeof(*index->names));
    if (index->names == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->count; i++) {
        const struct cm_stream *stream = &table->streams[i];
        for (size_t k = 0; k < stream->header_count; k++) {
            add_name(index, stream->headers[k].name);
        }
        if (stream->purpose_from == CM_PURPOSE_HEADER) {
            add_name(index, stream->purpose_header);
        }
        if (stream->list_id.count > 0) {
            add_name(index, "List-Id");
        }
        if (stream->from.count > 0) {
            add_name(index, "From");
        }
    }
    qsort(index->names, index->name_count, sizeof(*index->names), compare_names);
    return true;
}

bool cm_stream_table_index(struct cm_stream_table *table, struct cm_arena *arena)
{
    struct cm_stream_index *index = cm_arena_array(arena, 1, sizeof(*index));
    if (index == NULL) {
        return false;
    }
    *index = (struct cm_stream_index){.names = NULL};
    if (!index_sessions(table, arena, index) || !index_names(table, arena, index)) {
        return false;
    }
    table->index = index;
    return true;
}

static struct cm_stream_list list_of(const struct directory *directory, struct cm_span text)
{
    const struct entry *entry = text.len > 0 && directory->count > 0
                                    ? bsearch(&text, directory->entries, directory->count, sizeof(*directory->entries),
                                              compare_entry)
                                    : NULL;
    return entry != NULL ? entry->streams : (struct cm_stream_list){NULL, 0};
}

struct cm_stream_walk cm_stream_walk_begin(const struct cm_stream_index *index, const struct cm_session_facts *facts)
{
    return (struct cm_stream_walk){
        {list_of(&index->logins, facts->auth), list_of(&index->daemons, facts->daemon), index->always}};
}

size_t cm_stream_walk_next(struct cm_stream_walk *walk)
{
    size_t next = CM_NO_STREAM;
    for (size_t i = 0; i < 3; i++) {
        if (walk->lists[i].count > 0 && walk->lists[i].items[0] < next) {
            next = walk->lists[i].items[0];
        }
    }
    for (size_t i = 0; i < 3; i++) {
        while (walk->lists[i].count > 0 && walk->lists[i].items[0] == next) {
            walk->lists[i].items++;
            walk->lists[i].count--;
        }
    }
    return next;
}

bool cm_stream_index_names(const struct cm_stream_index *index, struct cm_span name)
{
    return index->name_count > 0 &&
           bsearch(&name, index->names, index->name_count, sizeof(*index->names), compare_names) != NULL;
}
