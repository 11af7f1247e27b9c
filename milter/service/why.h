/* Why a message belongs to the stream that it belongs to: for `explain`, in the words of the configuration. */
#ifndef SERVICE_WHY_H
#define SERVICE_WHY_H

#include "session_internal.h"

#define CM_WHY_BYTES 256

/* The conditions of the stream and what of them was met, or why none took the message; text that does not fit is cut.
 * Names patterns, never what matched them. `stream` may be CM_NO_STREAM. */
void cm_session_why(const struct cm_session *session, size_t stream, char out[CM_WHY_BYTES]);

#endif
