/*
 * Certificates made on the spot, and a server with TLS that does what a test tells it to: one thread, one connection.
 */
#ifndef TESTS_UNIT_STORE_TLS_SERVER_H
#define TESTS_UNIT_STORE_TLS_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DAY_S 86400

/* In a server's thread cmocka's asserts may not be. */
#define MUST(condition) ((condition) ? (void)0 : abort())

struct identity {
    EVP_PKEY *key;
    X509 *cert;
};

struct wanted {
    const char *alt_names;        /* "DNS:a,IP:192.0.2.1"; NULL: none, only a common name */
    const char *usage;            /* extended; NULL: any */
    const char *common_name;      /* NULL: "test" */
    long from_s;                  /* counted from now; 0: an hour ago */
    long until_s;                 /* 0: in a day */
    const struct identity *above; /* who signs; NULL: itself */
    bool is_authority;
};

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    MUST(extension != NULL && X509_add_ext(cert, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static inline struct identity make_identity(const struct wanted *wanted)
{
    static _Atomic int serial = 1;
    struct identity made = {EVP_EC_gen("P-256"), X509_new()};
    MUST(made.key != NULL && made.cert != NULL);
    const char *name = wanted->common_name != NULL ? wanted->common_name : "test";
    X509_NAME *subject = X509_get_subject_name(made.cert);
    X509 *issuer = wanted->above != NULL ? wanted->above->cert : made.cert;
    MUST(X509_set_version(made.cert, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(made.cert), serial++) == 1);
    MUST(X509_gmtime_adj(X509_getm_notBefore(made.cert), wanted->from_s != 0 ? wanted->from_s : -3600) != NULL);
    MUST(X509_gmtime_adj(X509_getm_notAfter(made.cert), wanted->until_s != 0 ? wanted->until_s : DAY_S) != NULL);
    MUST(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1);
    MUST(X509_set_issuer_name(made.cert, X509_get_subject_name(issuer)) == 1);
    MUST(X509_set_pubkey(made.cert, made.key) == 1);
    add_extension(made.cert, issuer, NID_basic_constraints, wanted->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    if (wanted->alt_names != NULL) {
        add_extension(made.cert, issuer, NID_subject_alt_name, wanted->alt_names);
    }
    if (wanted->usage != NULL) {
        add_extension(made.cert, issuer, NID_ext_key_usage, wanted->usage);
    }
    MUST(X509_sign(made.cert, wanted->above != NULL ? wanted->above->key : made.key, EVP_sha256()) != 0);
    return made;
}

static inline struct identity make_authority(const char *name)
{
    return make_identity(&(struct wanted){.common_name = name, .is_authority = true});
}

static inline void drop_identity(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->cert);
    *identity = (struct identity){NULL, NULL};
}

static inline void write_cert(const char *path, const struct identity *identity)
{
    FILE *file = fopen(path, "w");
    MUST(file != NULL && PEM_write_X509(file, identity->cert) == 1 && fclose(file) == 0);
}

static inline void write_key(const char *path, const struct identity *identity, const char *password)
{
    FILE *file = fopen(path, "w");
    const EVP_CIPHER *cipher = password != NULL ? EVP_aes_128_cbc() : NULL;
    int len = password != NULL ? (int)strlen(password) : 0;
    MUST(file != NULL && PEM_write_PKCS8PrivateKey(file, identity->key, cipher, password, len, NULL, NULL) == 1 &&
         fclose(file) == 0);
}

/* --- the server --- */

struct tls_server {
    /* Set before server_start. */
    const struct identity *identity;
    const struct identity *clients;               /* authority of the certificates it asks for; NULL: asks for none */
    int max_version;                              /* 0: any */
    void (*serve)(struct tls_server *server);     /* after the handshake */
    void (*serve_raw)(struct tls_server *server); /* instead of a handshake; it has fd */
    /* Read after server_join. */
    bool shook_hands;
    char asked_name[256]; /* SNI; empty: none */
    bool was_told_goodbye;
    /* Its own. */
    SSL_CTX *context;
    SSL *ssl;
    int listener;
    int fd;
    char port[8];
    pthread_t thread;
    _Atomic bool go; /* a test lets it do its next step */
};

static inline void server_await(struct tls_server *server)
{
    while (!server->go) {
        (void)usleep(1000);
    }
    server->go = false;
}

static inline void server_send(struct tls_server *server, const char *text)
{
    (void)SSL_write(server->ssl, text, (int)strlen(text)); /* the other side may have gone */
}

/* Reads until the other end says goodbye or is gone. */
static inline void server_drain(struct tls_server *server)
{
    char buffer[4096];
    int n = 0;
    do {
        n = SSL_read(server->ssl, buffer, sizeof(buffer));
    } while (n > 0);
    server->was_told_goodbye = SSL_get_error(server->ssl, n) == SSL_ERROR_ZERO_RETURN;
}

static inline void *server_run(void *argument)
{
    struct tls_server *server = argument;
    server->fd = accept(server->listener, NULL, NULL);
    MUST(server->fd >= 0);
    if (server->serve_raw != NULL) {
        server->serve_raw(server);
        (void)close(server->fd);
        return NULL;
    }
    server->ssl = SSL_new(server->context);
    MUST(server->ssl != NULL && SSL_set_fd(server->ssl, server->fd) == 1);
    server->shook_hands = SSL_accept(server->ssl) == 1;
    const char *name = SSL_get_servername(server->ssl, TLSEXT_NAMETYPE_host_name);
    (void)snprintf(server->asked_name, sizeof(server->asked_name), "%s", name != NULL ? name : ""); /* fits */
    if (server->shook_hands) {
        server->serve(server);
    }
    SSL_free(server->ssl);
    (void)close(server->fd);
    return NULL;
}

static inline void server_listen(struct tls_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 8), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(server->port, sizeof(server->port), "%d", ntohs(address.sin_port)); /* fits */
}

static inline void server_start(struct tls_server *server)
{
    server->context = SSL_CTX_new(TLS_server_method());
    assert_non_null(server->context);
    if (server->max_version != 0) {
        assert_int_equal(SSL_CTX_set_max_proto_version(server->context, server->max_version), 1);
        assert_int_equal(SSL_CTX_set_cipher_list(server->context, "DEFAULT@SECLEVEL=0"), 1); /* for those before 1.2 */
    }
    if (server->identity != NULL) {
        assert_int_equal(SSL_CTX_use_certificate(server->context, server->identity->cert), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey(server->context, server->identity->key), 1);
    }
    if (server->clients != NULL) {
        SSL_CTX_set_verify(server->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(server->context), server->clients->cert), 1);
    }
    server_listen(server);
    assert_int_equal(pthread_create(&server->thread, NULL, server_run, server), 0);
}

static inline void server_join(struct tls_server *server)
{
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
    SSL_CTX_free(server->context);
}

#endif
