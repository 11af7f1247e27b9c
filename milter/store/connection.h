/*
 * One connection to Redis: requests formatted and replies parsed by hiredis, bytes carried by a transport.
 *
 * A connection that failed once in transport or protocol is dead: what is on the wire belongs to nobody. It belongs to
 * one thread at a time. Only this room knows hiredis.
 */
#ifndef STORE_CONNECTION_H
#define STORE_CONNECTION_H

#include <hiredis/hiredis.h>

#include "transport.h"

/* Commands to be sent in one go. Grows; beyond memory it becomes `failed` and cm_connection_call answers MEMORY. */
struct cm_request {
    char *bytes;
    size_t len;
    size_t size;
    size_t commands;
    bool failed;
};

#define CM_ARG_STR(s) cm_span_of(s)
#define CM_ARG_BYTES(p, n) ((struct cm_span){(const char *)(p), (n)})

void cm_request_add(struct cm_request *request, const struct cm_span *args, size_t count);
/* Adds all commands of another request: those that are the same every time are formatted once. */
void cm_request_append(struct cm_request *request, const struct cm_request *more);
void cm_request_done(struct cm_request *request);

struct cm_connection {
    struct cm_transport transport;
    redisReader *reader;
    redisReplyObjectFunctions functions; /* hiredis' own, but arrays are made by a function with a ceiling */
    const redisReplyObjectFunctions *original;
    struct cm_incarnation incarnation; /* of the store, as of connecting */
    bool dead;
    bool sent; /* of the last request some bytes went out, or may have */
};

/* Connects, authenticates, makes sure that a master answers, and reads which incarnation of the store that is. */
enum cm_trouble cm_connection_open(const struct cm_store_options *options, int64_t deadline_ms,
                                   struct cm_connection **out, struct cm_err *err);
void cm_connection_close(struct cm_connection *connection);
/* Whether this is a run id or replication id: 40 digits of lower-case hex. */
bool cm_incarnation_id_is_valid(struct cm_span id);

/*
 * Sends the request and waits for all its replies, which the caller frees with cm_replies_free. Error replies of Redis
 * are replies here. On trouble no reply is handed out and the connection is dead.
 */
enum cm_trouble cm_connection_call(struct cm_connection *connection, const struct cm_request *request,
                                   int64_t deadline_ms, int trip_fd, redisReply **out_replies, struct cm_err *err);
void cm_replies_free(redisReply **replies, size_t count);

/* NONE for anything but an error reply; else its trouble, by the first word, with the text in err. */
enum cm_trouble cm_reply_trouble(const redisReply *reply, struct cm_err *err);
/* The one place where types are checked: NONE, the trouble of an error reply, or MALFORMED with `what` in err. */
enum cm_trouble cm_reply_expect_array(const redisReply *reply, size_t count, const char *what, struct cm_err *err);
/* The bytes of a string or status reply; {NULL, 0} for nil and all other types. */
struct cm_span cm_reply_text(const redisReply *reply);
/* The value of one field of a stream entry; {NULL, 0} if it is not there. */
struct cm_span cm_entry_field(const redisReply *entry, const char *name);

#endif
