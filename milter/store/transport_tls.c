#include "transport_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "transport_tls_context.h"

struct cm_tls {
    SSL *ssl;
    BIO_METHOD *method;
    bool broken; /* OpenSSL forbids any further call but those that free */
    struct cm_err problem;
};

/* --- the socket below TLS --- */

static int socket_of(BIO *bio)
{
    return (int)(intptr_t)BIO_get_data(bio);
}

static bool is_later(ssize_t n)
{
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/* OpenSSL's own socket BIO uses write(2), whose SIGPIPE would end a program that does not ignore it. */
static int socket_write(BIO *bio, const char *bytes, int len)
{
    ssize_t n = send(socket_of(bio), bytes, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
    BIO_clear_retry_flags(bio);
    if (is_later(n)) {
        BIO_set_retry_write(bio);
    }
    return (int)n;
}

static int socket_read(BIO *bio, char *out, int size)
{
    ssize_t n = recv(socket_of(bio), out, (size_t)size, MSG_DONTWAIT);
    BIO_clear_retry_flags(bio);
    if (is_later(n)) {
        BIO_set_retry_read(bio);
    }
    return (int)n;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio; /* all four: nothing is buffered here, so flushing is all that can be done, and it is done */
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO *make_socket_bio(struct cm_tls *tls, int fd)
{
    tls->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE");
    if (tls->method == NULL || BIO_meth_set_write(tls->method, socket_write) != 1 ||
        BIO_meth_set_read(tls->method, socket_read) != 1 || BIO_meth_set_ctrl(tls->method, socket_control) != 1) {
        return NULL;
    }
    BIO *bio = BIO_new(tls->method);
    if (bio != NULL) {
        BIO_set_data(bio, (void *)(intptr_t)fd);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* --- why it does not work --- */

const char *cm_tls_first_error(void)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    return reason != NULL ? reason : "unknown error of OpenSSL";
}

static void explain_verification(SSL *ssl, struct cm_err *err)
{
    long result = SSL_get_verify_result(ssl);
    switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        cm_err_set(err, "its certificate is for another name; subjectAltName must hold the one that is asked for");
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED: cm_err_set(err, "its certificate, or one above it, has expired"); return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        cm_err_set(err, "its certificate, or one above it, is not valid yet; compare the clocks");
        return;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        cm_err_set(err, "its certificate is of an unknown authority; store.tls.ca_file must hold the right one");
        return;
    default: cm_err_set(err, "its certificate is not good: %s", X509_verify_cert_error_string(result)); return;
    }
}

static void explain(SSL *ssl, struct cm_err *err)
{
    static const struct {
        int reason;
        const char *text;
    } rows[] = {
        {SSL_R_WRONG_VERSION_NUMBER, "it does not speak TLS there; rediss:// needs Redis' tls-port"},
        {SSL_R_UNSUPPORTED_PROTOCOL, "it speaks no version of TLS from 1.2 on"},
        {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "it speaks no version of TLS from 1.2 on"},
        {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "it asks for a certificate of ours; set store.tls.cert_file"},
        {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
         "it refuses the handshake; it may ask for a certificate of ours (store.tls.cert_file)"},
        {SSL_R_TLSV1_ALERT_UNKNOWN_CA, "it does not know the authority of our certificate (store.tls.cert_file)"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, "it finds that our certificate has expired (store.tls.cert_file)"},
        {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "it refuses our certificate (store.tls.cert_file)"},
        {SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, "it refuses our certificate (store.tls.cert_file)"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, "it finds that our certificate is revoked (store.tls.cert_file)"},
        {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "it refuses our certificate (store.tls.cert_file)"},
    };
    int reason = ERR_GET_REASON(ERR_peek_error());
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        explain_verification(ssl, err);
        return;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].reason == reason) {
            cm_err_set(err, "%s", rows[i].text);
            return;
        }
    }
    cm_err_set(err, "%s", cm_tls_first_error());
}

void cm_tls_explain(const struct cm_tls *tls, struct cm_err *err)
{
    cm_err_set(err, "TLS with Redis: %s", tls->problem.text);
}

/* --- bytes --- */

/* What an SSL call that did not succeed asks for: DONE to repeat it, or how it ended. Both directions may want either.
 * The call has just found nothing to go on with, so a deadline that has passed meanwhile needs no last look. */
static enum cm_io after(const struct cm_transport *transport, int result, int64_t deadline_ms, int trip_fd)
{
    struct cm_tls *tls = transport->tls;
    int error = SSL_get_error(tls->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        if (cm_clock_monotonic_ms() >= deadline_ms) {
            return CM_IO_TIMEOUT;
        }
        return cm_transport_wait(transport->fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_ms, trip_fd);
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        return CM_IO_CLOSED;
    }
    tls->broken = true;
    if (error == SSL_ERROR_SSL) {
        explain(tls->ssl, &tls->problem);
        return CM_IO_TLS;
    }
    return CM_IO_CLOSED; /* also without close_notify: Redis tells the length of all it says */
}

static enum cm_io tls_send(struct cm_transport *transport, struct cm_span bytes, int64_t deadline_ms, int trip_fd)
{
    while (bytes.len > 0) {
        size_t written = 0;
        ERR_clear_error();
        int result = SSL_write_ex(transport->tls->ssl, bytes.p, bytes.len, &written);
        if (result == 1) {
            bytes = (struct cm_span){bytes.p + written, bytes.len - written};
            continue;
        }
        enum cm_io io = after(transport, result, deadline_ms, trip_fd);
        if (io != CM_IO_DONE) {
            return io;
        }
    }
    return CM_IO_DONE;
}

static enum cm_io tls_receive(struct cm_transport *transport, char *out, size_t size, size_t *out_len,
                              int64_t deadline_ms, int trip_fd)
{
    for (;;) {
        size_t n = 0;
        ERR_clear_error();
        int result = SSL_read_ex(transport->tls->ssl, out, size, &n);
        if (result == 1) {
            *out_len = n;
            return CM_IO_DONE;
        }
        enum cm_io io = after(transport, result, deadline_ms, trip_fd);
        if (io != CM_IO_DONE) {
            return io;
        }
    }
}

/* The peek also takes in what is TLS' own, a session ticket or a change of keys, which is no stray byte. */
static enum cm_io tls_quiet(const struct cm_transport *transport)
{
    char byte;
    size_t n = 0;
    ERR_clear_error();
    int result = SSL_peek_ex(transport->tls->ssl, &byte, 1, &n);
    if (result == 1) {
        return CM_IO_UNSET;
    }
    enum cm_io io = after(transport, result, 0, -1); /* a deadline long passed: no waiting */
    return io == CM_IO_TIMEOUT ? CM_IO_DONE : io;
}

static void tls_free(struct cm_tls *tls)
{
    SSL_free(tls->ssl); /* and the BIO, which still needs its method */
    BIO_meth_free(tls->method);
    free(tls);
}

static void tls_close(struct cm_transport *transport)
{
    if (!transport->tls->broken) {
        (void)SSL_shutdown(transport->tls->ssl); /* close_notify, if the socket takes it; nobody waits for the answer */
    }
    ERR_clear_error();
    tls_free(transport->tls);
    (void)close(transport->fd); /* nothing is left to be done about a failing close */
    *transport = (struct cm_transport){.fd = -1};
}

static const struct cm_transport_ops tls_ops = {tls_send, tls_receive, tls_quiet, tls_close};

/* --- the handshake --- */

static struct cm_tls *make_tls(const struct cm_store_options *options, int fd, enum cm_trouble *out_trouble,
                               struct cm_err *err)
{
    SSL *ssl = cm_tls_context_begin(options->tls.context, err);
    if (ssl == NULL) {
        *out_trouble = CM_TROUBLE_TLS;
        return NULL;
    }
    struct cm_tls *tls = calloc(1, sizeof(*tls));
    BIO *bio = tls != NULL ? make_socket_bio(tls, fd) : NULL;
    if (bio == NULL) {
        cm_err_set(err, "out of memory");
        *out_trouble = CM_TROUBLE_MEMORY;
        SSL_free(ssl);
        if (tls != NULL) {
            tls_free(tls);
        }
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    tls->ssl = ssl;
    return tls;
}

static enum cm_io shake_hands(const struct cm_transport *transport, int64_t deadline_ms)
{
    struct cm_tls *tls = transport->tls;
    for (;;) {
        ERR_clear_error();
        int result = SSL_connect(tls->ssl);
        if (result == 1 && SSL_get0_peer_certificate(tls->ssl) == NULL) {
            cm_err_set(&tls->problem, "it shows no certificate"); /* a cipher without one, let in by openssl.cnf */
            return CM_IO_TLS;
        }
        enum cm_io io = result == 1 ? CM_IO_DONE : after(transport, result, deadline_ms, -1);
        if (result == 1 || io != CM_IO_DONE) {
            return io;
        }
    }
}

enum cm_trouble cm_tls_open(const struct cm_store_options *options, int fd, int64_t deadline_ms,
                            struct cm_transport *out, struct cm_err *err)
{
    enum cm_trouble trouble = CM_TROUBLE_NONE;
    struct cm_transport transport = {.ops = &tls_ops, .fd = fd, .tls = make_tls(options, fd, &trouble, err)};
    if (transport.tls == NULL) {
        return trouble;
    }
    switch (shake_hands(&transport, deadline_ms)) {
    case CM_IO_DONE: *out = transport; return CM_TROUBLE_NONE;
    case CM_IO_TIMEOUT: /* a plain Redis port stays silent, too: it waits for the rest of a command */
        cm_err_set(err, "Redis at %s port %s did not finish the handshake of TLS in time; is that its tls-port?",
                   options->host, options->port);
        trouble = CM_TROUBLE_TIMEOUT;
        break;
    case CM_IO_CLOSED:
        cm_err_set(err, "Redis at %s port %s closed the connection during the handshake of TLS", options->host,
                   options->port);
        trouble = CM_TROUBLE_CONNECTION_LOST;
        break;
    case CM_IO_TLS:
        cm_err_set(err, "TLS with Redis at %s port %s: %s", options->host, options->port, transport.tls->problem.text);
        trouble = CM_TROUBLE_TLS;
        break;
    case CM_IO_TRIPPED:
    case CM_IO_UNSET:
        cm_err_set(err, "no result of the handshake");
        trouble = CM_TROUBLE_INTERNAL;
        break;
    }
    tls_free(transport.tls);
    return trouble;
}
