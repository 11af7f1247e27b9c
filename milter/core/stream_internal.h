/* What the files of streams share: stream.c finds candidates, stream_headers.c reads headers, stream_index.c spares
 * looking at every stream. */
#ifndef CORE_STREAM_INTERNAL_H
#define CORE_STREAM_INTERNAL_H

#include "core/stream.h"

/* RFC 5322 4.5: blanks before the colon are obsolete, yet accepted, and must not hide a header. */
bool cm_header_is_named(const struct cm_header *header, const char *name);
/* A value that fills its room was perhaps cut. What follows is unknown, so only a pattern that does not care matches.
 */
bool cm_header_value_matches(const char *pattern, struct cm_span value);
/* True if this stream alone looks at a header of that name. */
bool cm_stream_wants_header(const struct cm_stream *stream, const struct cm_header *header);

/* The streams that a session may meet, in order: those of its login, of its listener, and those that name neither. */
struct cm_stream_list {
    const uint16_t *items;
    size_t count;
};
struct cm_stream_walk {
    struct cm_stream_list lists[3];
};
struct cm_stream_walk cm_stream_walk_begin(const struct cm_stream_index *index, const struct cm_session_facts *facts);
/* CM_NO_STREAM at the end. */
size_t cm_stream_walk_next(struct cm_stream_walk *walk);

/* True if some stream looks at a header of this name. */
bool cm_stream_index_names(const struct cm_stream_index *index, struct cm_span name);

#endif
