/* TLS contexts over OpenSSL 3: protocol floor, trust, verification of names.
 *
 * Owns SSL_CTX objects; a context is built once from PEM text in memory and shared by reference.
 * Clients verify chain and name unless told to be insecure. Sessions drop their buffers while idle
 * (SSL_MODE_RELEASE_BUFFERS). */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "net/tls_priv.h"

const char *tls_error_text(void)
{
    static _Thread_local char text[256];
    unsigned long code = ERR_peek_last_error();
    ERR_clear_error();
    if (!code)
        return "unknown TLS error";
    ERR_error_string_n(code, text, sizeof(text));
    return text;
}

static BIO *bio_of(struct str s)
{
    return BIO_new_mem_buf(s.p, (int)MIN(s.n, (size_t)INT32_MAX));
}

static int load_chain(SSL_CTX *ctx, struct str pem, struct err *reterr)
{
    BIO *bio = bio_of(pem);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int r = cert && SSL_CTX_use_certificate(ctx, cert) == 1 ? 0 : -EINVAL;
    X509_free(cert);
    while (r == 0 && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
        if (SSL_CTX_add_extra_chain_cert(ctx, cert) != 1) /* takes cert */
            r = -EINVAL;
    BIO_free(bio);
    if (r < 0)
        return err_set(reterr, r, NULL, "certificate: %s", tls_error_text());
    ERR_clear_error(); /* the end of the PEM text counts as an error */
    return 0;
}

static int load_key(SSL_CTX *ctx, struct str pem, struct err *reterr)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    int ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    return ok ? 0 : err_set(reterr, -EINVAL, NULL, "private key: %s", tls_error_text());
}

static int load_ca(SSL_CTX *ctx, struct str pem, bool server, struct err *reterr)
{
    BIO *bio = bio_of(pem);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509 *cert;
    int n = 0;
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        if (X509_STORE_add_cert(store, cert) == 1)
            n++;
        if (server)
            SSL_CTX_add_client_CA(ctx, cert);
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error();
    return n ? 0 : err_set(reterr, -EINVAL, NULL, "CA bundle holds no certificate");
}

static int context_fill(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    SSL_CTX *ctx = c->ssl_ctx;
    int r = 0;
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(ctx, 1); /* a record by one read, not its head and its body by two */
    if (o->cert_pem.n)
        r = load_chain(ctx, o->cert_pem, reterr);
    if (r == 0 && o->key_pem.n)
        r = load_key(ctx, o->key_pem, reterr);
    if (r == 0 && o->ca_pem.n)
        r = load_ca(ctx, o->ca_pem, c->server, reterr);
    else if (r == 0 && !c->server && !o->insecure)
        SSL_CTX_set_default_verify_paths(ctx);
    int mode = SSL_VERIFY_NONE;
    if (c->server && o->ca_pem.n)
        mode = SSL_VERIFY_PEER | (o->require_peer_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    else if (!c->server && !o->insecure)
        mode = SSL_VERIFY_PEER;
    SSL_CTX_set_verify(ctx, mode, NULL);
    return r;
}

static int context_new(bool server, const struct tls_config *o, struct tls_context **ret,
                       struct err *reterr)
{
    struct tls_context *c = NEW(struct tls_context);
    c->refs = 1;
    c->server = server;
    c->insecure = o->insecure;
    c->ssl_ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    int r = c->ssl_ctx ? context_fill(c, o, reterr)
                       : err_set(reterr, -ENOMEM, NULL, "%s", tls_error_text());
    if (r < 0) {
        tls_context_unref(c);
        return r;
    }
    if (server) {
        static const unsigned char id[] = "fairlead";
        SSL_CTX_set_session_id_context(c->ssl_ctx, id, sizeof(id) - 1);
        SSL_CTX_set_num_tickets(c->ssl_ctx, 0);
    }
    *ret = c;
    return 0;
}

int tls_context_new_server(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
{
    if (!c->cert_pem.n || !c->key_pem.n)
        return err_set(reterr, -EINVAL, NULL, "a TLS server needs a certificate and a key");
    return context_new(true, c, ret, reterr);
}

int tls_context_new_client(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
{
    return context_new(false, c, ret, reterr);
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    ASSERT(c->refs > 0);
    c->refs++;
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || --c->refs > 0)
        return;
    SSL_CTX_free(c->ssl_ctx);
    free(c);
}

SSL *tls_session_new(struct tls_context *c, int fd, const char *server_name)
{
    SSL *ssl = SSL_new(c->ssl_ctx);
    struct ip ip;
    if (!ssl)
        return NULL;
    SSL_set_fd(ssl, fd);
    if (c->server) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    if (str_empty(server_name))
        return ssl;
    if (ip_parse(str_from(server_name), &ip) == 0) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), server_name);
    } else {
        SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)server_name);
        SSL_set1_host(ssl, server_name);
    }
    return ssl;
}

bool tls_secret_eq(struct str a, struct str b)
{
    return a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}
