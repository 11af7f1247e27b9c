#include "connection.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport_tls.h"

#define ARRAY_MAX 200000 /* elements of one array reply: more than any registry or page of the ledger */
#define RECEIVE_BYTES 16384
#define PASSWORD_MAX 512

#if HIREDIS_MAJOR >= 1
typedef size_t array_length;
#else
typedef int array_length;
#endif

/* hiredis allocates what the header of a reply announces; a hostile header must not be believed. */
static void *create_array(const redisReadTask *task, array_length elements)
{
    const struct cm_connection *connection = task->privdata;
    return (size_t)elements <= ARRAY_MAX ? connection->original->createArray(task, elements) : NULL;
}

static bool make_reader(struct cm_connection *connection)
{
    connection->reader = redisReaderCreate();
    if (connection->reader == NULL) {
        return false;
    }
    connection->original = connection->reader->fn;
    connection->functions = *connection->reader->fn;
    connection->functions.createArray = create_array;
    connection->reader->fn = &connection->functions;
    connection->reader->privdata = connection;
    return true;
}

/* The password without the line end, or trouble. */
static enum cm_trouble read_password(const char *file, char out[PASSWORD_MAX], struct cm_err *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, PASSWORD_MAX - 1) : -1;
    int saved = errno;
    if (fd >= 0) {
        (void)close(fd); /* opened for reading only */
    }
    if (n <= 0) {
        cm_err_set(err, "cannot read password file %s: %s", file, n == 0 ? "it is empty" : strerror(saved));
        return CM_TROUBLE_PASSWORD_FILE;
    }
    out[n] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return CM_TROUBLE_NONE;
}

/* Runs one small request of the opening and frees its replies; the first error reply is the result. */
static enum cm_trouble run_opening(struct cm_connection *connection, struct cm_request *request, int64_t deadline_ms,
                                   redisReply **replies, struct cm_err *err)
{
    size_t count = request->commands;
    enum cm_trouble trouble = cm_connection_call(connection, request, deadline_ms, -1, replies, err);
    if (request->bytes != NULL) {
        OPENSSL_cleanse(request->bytes, request->size); /* it may hold the password */
    }
    cm_request_done(request);
    for (size_t i = 0; trouble == CM_TROUBLE_NONE && i < count; i++) {
        trouble = cm_reply_trouble(replies[i], err);
        if (trouble != CM_TROUBLE_NONE) {
            cm_replies_free(replies, count);
        }
    }
    return trouble;
}

static enum cm_trouble authenticate(struct cm_connection *connection, const struct cm_store_options *options,
                                    int64_t deadline_ms, struct cm_err *err)
{
    char password[PASSWORD_MAX];
    if (options->password_file == NULL) {
        return CM_TROUBLE_NONE;
    }
    enum cm_trouble trouble = read_password(options->password_file, password, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_request request = {0};
    redisReply *reply = NULL;
    struct cm_span args[3] = {CM_SPAN("AUTH")};
    size_t count = 1;
    if (options->user != NULL) {
        args[count++] = cm_span_of(options->user);
    }
    args[count++] = cm_span_of(password);
    cm_request_add(&request, args, count);
    trouble = run_opening(connection, &request, deadline_ms, &reply, err);
    OPENSSL_cleanse(password, sizeof(password));
    if (trouble == CM_TROUBLE_NONE) {
        cm_replies_free(&reply, 1);
    } else if (trouble == CM_TROUBLE_ERROR_REPLY) {
        trouble = CM_TROUBLE_AUTHENTICATION; /* for example a Redis without any password */
    }
    return trouble;
}

/* A replica answers too, but with old data: only a master knows. LAW-12 */
static enum cm_trouble check_master(const redisReply *reply, struct cm_err *err)
{
    bool is_array = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0;
    struct cm_span role = is_array ? cm_reply_text(reply->element[0]) : (struct cm_span){NULL, 0};
    if (role.p == NULL) {
        cm_err_set(err, "ROLE was answered with something else than a role");
        return CM_TROUBLE_MALFORMED;
    }
    if (!cm_span_equal(role, CM_SPAN("master"))) {
        cm_err_set(err, "Redis is a %.*s, not a master", (int)(role.len < 20 ? role.len : 20), role.p);
        return CM_TROUBLE_NOT_MASTER;
    }
    return CM_TROUBLE_NONE;
}

bool cm_incarnation_id_is_valid(struct cm_span id)
{
    for (size_t i = 0; i < id.len; i++) {
        if (!cm_ascii_is_digit(id.p[i]) && (id.p[i] < 'a' || id.p[i] > 'f')) {
            return false;
        }
    }
    return id.len == CM_INCARNATION_CHARS;
}

/* One id out of the lines of INFO: it must stand there once, and be 40 digits of lower-case hex. */
static enum cm_trouble read_id(const redisReply *reply, const char *name, char out[CM_INCARNATION_CHARS + 1],
                               struct cm_err *err)
{
    struct cm_span rest = cm_reply_text(reply);
    struct cm_span line;
    struct cm_span id = {NULL, 0};
    size_t found = 0;
    while (cm_span_next(&rest, '\n', &line)) {
        struct cm_span value = cm_span_trim(line);
        struct cm_span key;
        if (cm_span_next(&value, ':', &key) && cm_span_equal(key, cm_span_of(name))) {
            id = value;
            found++;
        }
    }
    if (found != 1 || !cm_incarnation_id_is_valid(id) || !cm_copy(out, CM_INCARNATION_CHARS + 1, id)) {
        cm_err_set(err, "INFO was answered without a %s that can be read", name);
        return CM_TROUBLE_MALFORMED;
    }
    return CM_TROUBLE_NONE;
}

/* Who answers: all in one round trip, so that it is of one moment. LAW-12 */
static enum cm_trouble meet(struct cm_connection *connection, int64_t deadline_ms, struct cm_err *err)
{
    enum { REPLY_ROLE, REPLY_SERVER, REPLY_REPLICATION, REPLY_COUNT };
    struct cm_request request = {0};
    redisReply *replies[REPLY_COUNT] = {NULL};
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("ROLE")}, 1);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("INFO"), CM_SPAN("server")}, 2);
    cm_request_add(&request, (struct cm_span[]){CM_SPAN("INFO"), CM_SPAN("replication")}, 2);
    enum cm_trouble trouble = run_opening(connection, &request, deadline_ms, replies, err);
    if (trouble != CM_TROUBLE_NONE) {
        return trouble;
    }
    struct cm_incarnation *incarnation = &connection->incarnation;
    trouble = check_master(replies[REPLY_ROLE], err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = read_id(replies[REPLY_SERVER], "run_id", incarnation->run_id, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = read_id(replies[REPLY_REPLICATION], "master_replid", incarnation->replication_id, err);
    }
    cm_replies_free(replies, REPLY_COUNT);
    return trouble;
}

enum cm_trouble cm_connection_open(const struct cm_store_options *options, int64_t deadline_ms,
                                   struct cm_connection **out, struct cm_err *err)
{
    struct cm_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL || !make_reader(connection)) {
        free(connection);
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    enum cm_trouble trouble = cm_transport_open(options, deadline_ms, &connection->transport, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = authenticate(connection, options, deadline_ms, err);
    }
    if (trouble == CM_TROUBLE_NONE) {
        trouble = meet(connection, deadline_ms, err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        cm_connection_close(connection);
        return trouble;
    }
    *out = connection;
    return CM_TROUBLE_NONE;
}

void cm_connection_close(struct cm_connection *connection)
{
    if (connection == NULL) {
        return;
    }
    if (connection->transport.ops != NULL) {
        connection->transport.ops->close(&connection->transport);
    }
    redisReaderFree(connection->reader);
    free(connection);
}

static enum cm_trouble trouble_of_io(const struct cm_transport *transport, enum cm_io io, struct cm_err *err)
{
    switch (io) {
    case CM_IO_DONE: return CM_TROUBLE_NONE;
    case CM_IO_TIMEOUT: cm_err_set(err, "Redis did not answer in time"); return CM_TROUBLE_TIMEOUT;
    case CM_IO_TRIPPED: cm_err_set(err, "Redis does not answer others either"); return CM_TROUBLE_TIMEOUT;
    case CM_IO_CLOSED: cm_err_set(err, "Redis closed the connection"); return CM_TROUBLE_CONNECTION_LOST;
    case CM_IO_TLS: cm_tls_explain(transport->tls, err); return CM_TROUBLE_TLS;
    case CM_IO_UNSET: break;
    }
    cm_err_set(err, "no result of the transport");
    return CM_TROUBLE_INTERNAL;
}

/* The next complete reply, fetching bytes as needed. *received counts them towards the ceiling of one call. */
static enum cm_trouble next_reply(struct cm_connection *connection, int64_t deadline_ms, int trip_fd, size_t *received,
                                  redisReply **out_reply, struct cm_err *err)
{
    char buffer[RECEIVE_BYTES];
    for (;;) {
        void *reply = NULL;
        if (redisReaderGetReply(connection->reader, &reply) != REDIS_OK) {
            cm_err_set(err, "Redis' answer cannot be parsed: %s", connection->reader->errstr);
            return CM_TROUBLE_PROTOCOL;
        }
        if (reply != NULL) {
            *out_reply = reply;
            return CM_TROUBLE_NONE;
        }
        size_t len = 0;
        enum cm_io io = connection->transport.ops->receive(&connection->transport, buffer, sizeof(buffer), &len,
                                                           deadline_ms, trip_fd);
        if (io != CM_IO_DONE) {
            return trouble_of_io(&connection->transport, io, err);
        }
        *received += len;
        if (*received > CM_LIMIT_REPLY_BYTES) {
            cm_err_set(err, "Redis' answer is longer than %d bytes", CM_LIMIT_REPLY_BYTES);
            return CM_TROUBLE_PROTOCOL;
        }
        if (redisReaderFeed(connection->reader, buffer, len) != REDIS_OK) {
            cm_err_set(err, "out of memory");
            return CM_TROUBLE_MEMORY;
        }
    }
}

/* Bytes that nobody asked for would be taken for the answer to the next question: one subject's consent for another's.
 */
static bool has_stray_bytes(const struct cm_connection *connection)
{
    return connection->reader->pos != connection->reader->len;
}

static enum cm_trouble require_quiet(struct cm_connection *connection, struct cm_err *err)
{
    enum cm_io io = connection->transport.ops->quiet(&connection->transport);
    if (io != CM_IO_UNSET && !has_stray_bytes(connection)) {
        return trouble_of_io(&connection->transport, io, err);
    }
    /* A last word, like "max number of clients reached", tells the cause; all else is noise. */
    redisReply *word = NULL;
    size_t received = 0;
    enum cm_trouble trouble = next_reply(connection, cm_clock_monotonic_ms(), -1, &received, &word, err);
    if (trouble == CM_TROUBLE_NONE) {
        trouble = cm_reply_trouble(word, err);
        cm_replies_free(&word, 1);
    }
    if (trouble == CM_TROUBLE_NONE || trouble == CM_TROUBLE_TIMEOUT || trouble == CM_TROUBLE_ERROR_REPLY) {
        cm_err_set(err, "Redis sent bytes that nobody asked for");
        trouble = CM_TROUBLE_PROTOCOL;
    }
    return trouble;
}

/* Sends the request and collects its replies; *out_got tells how many were read. */
static enum cm_trouble exchange(struct cm_connection *connection, const struct cm_request *request, int64_t deadline_ms,
                                int trip_fd, redisReply **out_replies, size_t *out_got, struct cm_err *err)
{
    size_t received = 0;
    struct cm_span bytes = {request->bytes, request->len};
    struct cm_transport *transport = &connection->transport;
    enum cm_io io = transport->ops->send(transport, bytes, deadline_ms, trip_fd);
    enum cm_trouble trouble = trouble_of_io(transport, io, err);
    if (trouble == CM_TROUBLE_CONNECTION_LOST) {
        trouble = CM_TROUBLE_NONE; /* Redis may have said why before it closed: read what is there */
    }
    while (trouble == CM_TROUBLE_NONE && *out_got < request->commands) {
        trouble = next_reply(connection, deadline_ms, trip_fd, &received, &out_replies[*out_got], err);
        *out_got += trouble == CM_TROUBLE_NONE ? 1 : 0;
    }
    if (trouble == CM_TROUBLE_CONNECTION_LOST && *out_got > 0) {
        enum cm_trouble told = cm_reply_trouble(out_replies[*out_got - 1], err); /* "max number of clients reached" */
        trouble = told != CM_TROUBLE_NONE ? told : trouble;
    }
    if (trouble == CM_TROUBLE_NONE && has_stray_bytes(connection)) {
        cm_err_set(err, "Redis sent more replies than there were commands");
        trouble = CM_TROUBLE_PROTOCOL;
    }
    return trouble;
}

enum cm_trouble cm_connection_call(struct cm_connection *connection, const struct cm_request *request,
                                   int64_t deadline_ms, int trip_fd, redisReply **out_replies, struct cm_err *err)
{
    size_t got = 0;
    connection->sent = false;
    if (request->failed) {
        cm_err_set(err, "out of memory");
        return CM_TROUBLE_MEMORY;
    }
    enum cm_trouble trouble = require_quiet(connection, err);
    connection->sent = trouble == CM_TROUBLE_NONE;
    if (connection->sent) {
        trouble = exchange(connection, request, deadline_ms, trip_fd, out_replies, &got, err);
    }
    if (trouble != CM_TROUBLE_NONE) {
        connection->dead = true;
        cm_replies_free(out_replies, got);
    }
    return trouble;
}

void cm_replies_free(redisReply **replies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        freeReplyObject(replies[i]);
        replies[i] = NULL;
    }
}
