#include "ops/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"
#include "ops/unix_socket.h"

#define BACKLOG 64
#define REQUEST_SECONDS 5U
#define HEAD_BYTES ((size_t)16384)
#define SOCKET_MODE 0660U

struct cm_http {
    struct sockaddr_un path; /* of a unix socket; else its path is empty */
    int listener;
    cm_http_handler *handler;
    void *context;
    struct MHD_Daemon *daemon; /* NULL: not started */
};

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct cm_http_answer *answer, const char *allow)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(answer->len, answer->body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(answer->body);
        return MHD_NO; /* the connection is closed */
    }
    bool ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES &&
              MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
              MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type) == MHD_YES &&
              (allow == NULL || MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow) == MHD_YES);
    enum MHD_Result result = ok ? MHD_queue_response(connection, answer->status, response) : MHD_NO;
    MHD_destroy_response(response); /* ours only; the connection holds its own */
    return result;
}

/* Answered before any body is read, which is thrown away with the connection. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size, void **state)
{
    struct cm_http *http = context;
    struct cm_http_answer answer = {.status = MHD_HTTP_NOT_FOUND, .type = "text/plain; charset=utf-8"};
    const char *allow = NULL;
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        answer.status = MHD_HTTP_METHOD_NOT_ALLOWED;
        allow = "GET, HEAD";
    } else if (http->handler(http->context, url, &answer)) {
        return answer.body != NULL ? send_answer(connection, &answer, NULL) : MHD_NO;
    }
    answer.body = strdup(allow != NULL ? "only GET and HEAD are answered\n" : "no such page\n");
    answer.len = answer.body != NULL ? strlen(answer.body) : 0;
    return answer.body != NULL ? send_answer(connection, &answer, allow) : MHD_NO;
}

static bool listen_unix(struct cm_http *http, const char *path, const char *setting, struct cm_err *err)
{
    http->path.sun_family = AF_UNIX;
    if (path[0] == '\0' || !cm_copy(http->path.sun_path, sizeof(http->path.sun_path), cm_span_of(path))) {
        http->path.sun_path[0] = '\0';
        cm_err_set(err, "%s: unix:%s is no path, or too long a one", setting, path);
        return false;
    }
    if (!cm_unix_socket_clear(path, setting, err)) {
        http->path.sun_path[0] = '\0'; /* not ours to remove */
        return false;
    }
    http->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t old = umask(0177); /* nobody else gets in before the mode is set */
    bool ok = http->listener >= 0 &&
              bind(http->listener, (const struct sockaddr *)&http->path, sizeof(http->path)) == 0 &&
              listen(http->listener, BACKLOG) == 0;
    int saved = errno;
    (void)umask(old); /* cannot fail */
    if (!ok) {
        cm_err_set(err, "cannot listen on %s %s: %s", setting, path, strerror(saved));
        return false;
    }
    return cm_unix_socket_set_access(path, SOCKET_MODE, NULL, setting, err);
}

/* HOST:PORT into numbers; the host in brackets if it is of IPv6. */
static struct addrinfo *resolve(const char *text)
{
    char host[64];
    struct addrinfo *found = NULL;
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
    const char *colon = strrchr(text, ':');
    size_t skip = text[0] == '[' ? 1 : 0;
    if (colon == NULL || colon < text + 2 * skip || (skip == 1 && colon[-1] != ']') || colon[1] == '\0' ||
        !cm_copy(host, sizeof(host), (struct cm_span){text + skip, (size_t)(colon - text) - 2 * skip}) ||
        getaddrinfo(host, colon + 1, &hints, &found) != 0) {
        return NULL;
    }
    return found;
}

static bool listen_tcp(struct cm_http *http, const char *text, const char *setting, struct cm_err *err)
{
    int one = 1;
    struct addrinfo *address = resolve(text);
    if (address == NULL) {
        cm_err_set(err, "%s: %s is no address and port", setting, text);
        return false;
    }
    http->listener = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok = http->listener >= 0 && setsockopt(http->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
              bind(http->listener, address->ai_addr, address->ai_addrlen) == 0 && listen(http->listener, BACKLOG) == 0;
    if (!ok) {
        cm_err_set(err, "cannot listen on %s %s: %s", setting, text, strerror(errno));
    }
    freeaddrinfo(address);
    return ok;
}

struct cm_http *cm_http_new(const char *listen, const char *setting, cm_http_handler *handler, void *context,
                            struct cm_err *err)
{
    struct cm_http *http = calloc(1, sizeof(*http));
    if (http == NULL) {
        cm_err_set(err, "out of memory");
        return NULL;
    }
    http->listener = -1;
    http->handler = handler;
    http->context = context;
    bool is_unix = strncmp(listen, "unix:", 5) == 0;
    if (!(is_unix ? listen_unix(http, listen + 5, setting, err) : listen_tcp(http, listen, setting, err))) {
        cm_http_free(http);
        return NULL;
    }
    return http;
}

bool cm_http_start(struct cm_http *http, struct cm_err *err)
{
    /* With poll, because select ends at descriptor 1024; the library takes the listener over. */
    http->daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL, on_request, http,
                                    MHD_OPTION_LISTEN_SOCKET, http->listener, MHD_OPTION_CONNECTION_LIMIT,
                                    (unsigned)CM_HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, REQUEST_SECONDS,
                                    MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEAD_BYTES, MHD_OPTION_END);
    if (http->daemon == NULL) {
        cm_err_set(err, "cannot start the thread of the HTTP server");
        return false;
    }
    http->listener = -1;
    return true;
}

void cm_http_free(struct cm_http *http)
{
    if (http == NULL) {
        return;
    }
    if (http->daemon != NULL) {
        MHD_stop_daemon(http->daemon);
    }
    if (http->listener >= 0) {
        (void)close(http->listener); /* nobody was served */
    }
    if (http->path.sun_path[0] != '\0') {
        cm_unix_socket_remove(http->path.sun_path);
    }
    free(http);
}
