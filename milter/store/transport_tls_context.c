#include "transport_tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "transport_tls.h"

#define NAME_BYTES 256 /* of a host name, with its NUL */

/* The state of one file or directory; all zero if it is not there. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed; /* ctime: also a file that was put in place with an old mtime is a new one */
};

enum { FILE_CA, FILE_CERT, FILE_KEY, SYSTEM_FILE, SYSTEM_DIRECTORY, STAMP_COUNT };

struct cm_tls_context {
    const struct cm_store_options *options;
    char name[NAME_BYTES];
    bool is_ip;            /* of `name`: looked for among the addresses of the certificate, and no SNI */
    pthread_mutex_t mutex; /* guards all below; no other is taken under it */
    SSL_CTX *current;
    struct stamp stamps[STAMP_COUNT]; /* as of before `current` was read */
};

/* --- what is asked of the other end, and shown to it --- */

static bool fail_file(struct cm_err *err, const char *key, const char *file)
{
    cm_err_set(err, "store.tls.%s: cannot use %s: %s", key, file, cm_tls_first_error());
    return false;
}

/* Without this OpenSSL asks for the password of a key on the terminal. */
static int no_password(char *out, int size, int is_writing, void *context)
{
    (void)out; /* all four: there is no password to be told */
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

static bool load_authorities(SSL_CTX *context, const struct cm_tls_options *options, struct cm_err *err)
{
    if (options->ca_file != NULL) {
        return SSL_CTX_load_verify_file(context, options->ca_file) == 1 || fail_file(err, "ca_file", options->ca_file);
    }
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
        cm_err_set(err, "the authorities that the system trusts cannot be loaded: %s", cm_tls_first_error());
        return false;
    }
    return true;
}

static bool load_certificate(SSL_CTX *context, const struct cm_tls_options *options, struct cm_err *err)
{
    if (options->cert_file == NULL) {
        return true;
    }
    SSL_CTX_set_default_passwd_cb(context, no_password);
    if (SSL_CTX_use_certificate_chain_file(context, options->cert_file) != 1) {
        return fail_file(err, "cert_file", options->cert_file);
    }
    if (options->key_file == NULL) {
        cm_err_set(err, "store.tls.cert_file has no key; set store.tls.key_file too");
        return false;
    }
    /* It also compares the key with the certificate. */
    return SSL_CTX_use_PrivateKey_file(context, options->key_file, SSL_FILETYPE_PEM) == 1 ||
           fail_file(err, "key_file", options->key_file);
}

/* The name to be verified, without the dot that may end a host name; false if there is none. No name would mean that
 * every certificate of the authorities is good. */
static bool name_of(const struct cm_store_options *options, struct cm_tls_context *out)
{
    struct cm_span name = cm_span_of(options->tls.server_name != NULL ? options->tls.server_name
                                     : options->host != NULL          ? options->host
                                                                      : "");
    if (name.len > 0 && name.p[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len == 0 || !cm_copy(out->name, sizeof(out->name), name)) {
        return false;
    }
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(out->name);
    out->is_ip = address != NULL;
    ASN1_OCTET_STRING_free(address);
    return true;
}

/* RFC 9525: the name is a subjectAltName, never the common name. */
static bool require_name(X509_VERIFY_PARAM *param, const char *name, bool is_ip)
{
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return is_ip ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 : X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

/* All that a connection needs to know; NULL and err if that cannot be had. */
static SSL_CTX *read_all(const struct cm_tls_context *context, struct cm_err *err)
{
    ERR_clear_error();
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());
    if (made == NULL || SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION) != 1 ||
        !require_name(SSL_CTX_get0_param(made), context->name, context->is_ip)) {
        cm_err_set(err, "TLS cannot be set up: %s", cm_tls_first_error());
        SSL_CTX_free(made);
        return NULL;
    }
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION); /* answers with the options */
    (void)SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);                   /* answers with the old mode */
    SSL_CTX_set_read_ahead(made, 1);                                                  /* a record: one call, not two */
    if (!load_authorities(made, &context->options->tls, err) || !load_certificate(made, &context->options->tls, err)) {
        SSL_CTX_free(made);
        return NULL;
    }
    return made;
}

/* --- renewed files --- */

static void look_at(const char *path, struct stamp *out)
{
    struct stat state;
    memset(out, 0, sizeof(*out)); /* also what lies between the members: stamps are compared whole */
    if (path != NULL && stat(path, &state) == 0) {
        out->device = state.st_dev;
        out->inode = state.st_ino;
        out->size = state.st_size;
        out->changed = state.st_ctim;
    }
}

static const char *system_path(const char *variable, const char *fallback)
{
    const char *path = secure_getenv(variable);
    return path != NULL ? path : fallback;
}

static void look_at_all(const struct cm_tls_options *options, struct stamp out[STAMP_COUNT])
{
    const char *const paths[STAMP_COUNT] = {
        [FILE_CA] = options->ca_file,
        [FILE_CERT] = options->cert_file,
        [FILE_KEY] = options->key_file,
        [SYSTEM_FILE] = options->ca_file != NULL
                            ? NULL
                            : system_path(X509_get_default_cert_file_env(), X509_get_default_cert_file()),
        [SYSTEM_DIRECTORY] = options->ca_file != NULL
                                 ? NULL
                                 : system_path(X509_get_default_cert_dir_env(), X509_get_default_cert_dir()),
    };
    for (size_t i = 0; i < STAMP_COUNT; i++) {
        look_at(paths[i], &out[i]);
    }
}

/* With the mutex held. A file that changed and cannot be used is trouble, although the old one is still in memory: who
 * takes an authority away means it. */
static bool refresh(struct cm_tls_context *context, struct cm_err *err)
{
    struct stamp now[STAMP_COUNT];
    look_at_all(&context->options->tls, now); /* before reading: what changes meanwhile is seen the next time */
    if (context->current != NULL && memcmp(now, context->stamps, sizeof(now)) == 0) {
        return true;
    }
    SSL_CTX *made = read_all(context, err);
    if (made == NULL) {
        return false;
    }
    SSL_CTX_free(context->current);
    context->current = made;
    memcpy(context->stamps, now, sizeof(now));
    return true;
}

SSL *cm_tls_context_begin(struct cm_tls_context *context, struct cm_err *err)
{
    (void)pthread_mutex_lock(&context->mutex);
    bool right = refresh(context, err);
    SSL *ssl = right ? SSL_new(context->current) : NULL; /* holds on to what it was made of */
    (void)pthread_mutex_unlock(&context->mutex);
    if (ssl != NULL && !context->is_ip && SSL_set_tlsext_host_name(ssl, context->name) != 1) {
        SSL_free(ssl);
        ssl = NULL;
    }
    if (right && ssl == NULL) {
        cm_err_set(err, "out of memory");
    }
    return ssl;
}

struct cm_tls_context *cm_tls_context_new(const struct cm_store_options *options, struct cm_err *err)
{
    struct cm_tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL) {
        cm_err_set(err, "out of memory");
        return NULL;
    }
    (void)pthread_mutex_init(&context->mutex, NULL); /* cannot fail with default attributes */
    context->options = options;
    if (!name_of(options, context)) {
        cm_err_set(err, "store.tls.server_name cannot be looked for in a certificate");
        cm_tls_context_free(context);
        return NULL;
    }
    if (!refresh(context, err)) {
        cm_tls_context_free(context);
        return NULL;
    }
    return context;
}

void cm_tls_context_free(struct cm_tls_context *context)
{
    if (context != NULL) {
        SSL_CTX_free(context->current);
        (void)pthread_mutex_destroy(&context->mutex);
        free(context);
    }
}
