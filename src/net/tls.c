/* TLS contexts over OpenSSL 3: protocol floor, trust, verification of names.
 *
 * Owns SSL_CTX objects; a context is built once from PEM text in memory and shared by reference.
 * Clients verify chain and name unless told to be insecure. Sessions drop their buffers while idle
 * (SSL_MODE_RELEASE_BUFFERS). */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/assert.h"
#include "net/tls_priv.h"

/* Until the end of the text, which is the one error that is none: of a bundle that is broken in its
 * middle no half is trusted. */
static int load_ca(SSL_CTX *ctx, struct str pem, bool server, struct err *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT32_MAX));
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509 *cert;
    int n = 0, r = 0;
    ERR_clear_error();
    while (bio && r == 0 && (cert = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL))) {
        if (X509_STORE_add_cert(store, cert) != 1)
            r = -EINVAL;
        if (r == 0 && server)
            SSL_CTX_add_client_CA(ctx, cert);
        n++;
        X509_free(cert);
    }
    BIO_free(bio);
    if (r == 0 && !n && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
        r = err_set(reterr, -EINVAL, NULL, "CA bundle holds no certificate");
    else if (r < 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        r = err_set(reterr, -EINVAL, NULL, "CA bundle: certificate %d: %s", r < 0 ? n : n + 1,
                    tls_error_text());
    ERR_clear_error();
    return r;
}

static int load_crl(SSL_CTX *ctx, struct str pem, struct err *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT_MAX));
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509_CRL *crl;
    int n = 0, r = bio ? 0 : -ENOMEM;
    while (r == 0 && (crl = PEM_read_bio_X509_CRL(bio, NULL, tls_no_password, NULL))) {
        if (X509_STORE_add_crl(store, crl) != 1)
            r = -EINVAL;
        n++;
        X509_CRL_free(crl);
    }
    BIO_free(bio);
    if (r < 0 || !n || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        r = err_set(reterr, -EINVAL, NULL, "CRL %d: %s", n, tls_error_text());
    ERR_clear_error();
    if (r == 0)
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return r;
}

/* What is wrong stays known as the session's result. */
static int verify_later(int ok, X509_STORE_CTX *store)
{
    (void)ok;
    (void)store;
    return 1;
}

static int load_own(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    int r = 0;
    if (o->cert_pem.n || o->key_pem.n) {
        const struct tls_certificate first = {.chain_pem = o->cert_pem, .key_pem = o->key_pem};
        r = tls_own_load(c, &first, NULL, reterr);
    }
    for (size_t i = 0; r == 0 && i < o->n_certificates; i++) {
        char path[40];
        snprintf(path, sizeof(path), "certificates[%zu]", i);
        r = tls_own_load(c, &o->certificates[i], path, reterr);
    }
    return r == 0 ? tls_own_use(c, reterr) : r;
}

static int context_fill(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    SSL_CTX *ctx = c->ssl_ctx;
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE); /* ours, as Envoy's, chooses */
    int r = load_own(c, o, reterr);
    if (r == 0 && o->ca_pem.n)
        r = load_ca(ctx, o->ca_pem, c->server, reterr);
    else if (r == 0 && !c->server && !o->insecure)
        SSL_CTX_set_default_verify_paths(ctx);
    int mode = SSL_VERIFY_NONE;
    if (c->server && o->ca_pem.n)
        mode = SSL_VERIFY_PEER | (o->require_peer_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    else if (!c->server && !o->insecure)
        mode = SSL_VERIFY_PEER;
    SSL_CTX_set_verify(ctx, mode, c->server && o->accept_unverified ? verify_later : NULL);
    if (o->has_verify_depth)
        SSL_CTX_set_verify_depth(ctx, (int)o->verify_depth);
    if (r == 0 && o->crl_pem.n)
        r = load_crl(ctx, o->crl_pem, reterr);
    if (r == 0)
        r = tls_options_set(c, o, reterr);
    if (r == 0)
        r = tls_peer_names_set(c, o, reterr);
    return r == 0 ? tls_resume_set(c, o, reterr) : r;
}

static int context_new(bool server, const struct tls_config *o, struct tls_context **ret,
                       struct err *reterr)
{
    struct tls_context *c = NEW(struct tls_context);
    unsigned char digest[TLS_SHARE_DIGEST_BYTES];
    c->refs = 1;
    c->server = server;
    c->insecure = o->insecure;
    pthread_mutex_init(&c->resume.lock, NULL);
    bool shares = !server && tls_share_digest(o, digest);
    c->base = shares ? tls_share_find(digest) : NULL;
    c->ssl_ctx = c->base  ? c->base->ssl_ctx
                 : server ? SSL_CTX_new(TLS_server_method())
                          : SSL_CTX_new(TLS_client_method());
    int r = c->base      ? tls_peer_names_set(c, o, reterr)
            : c->ssl_ctx ? context_fill(c, o, reterr)
                         : err_set(reterr, -ENOMEM, NULL, "%s", tls_error_text());
    if (r == 0 && shares && !c->base)
        tls_share_add(c, digest);
    if (r < 0) {
        tls_context_unref(c);
        return r;
    }
    *ret = c;
    return 0;
}

void tls_load_config(void)
{
    if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG, NULL) != 1)
        ERR_clear_error(); /* each context says what is wrong with it */
}

int tls_context_new_server(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
{
    if (!c->n_certificates && (!c->cert_pem.n || !c->key_pem.n))
        return err_set(reterr, -EINVAL, NULL, "a TLS server needs a certificate and a key");
    return context_new(true, c, ret, reterr);
}

int tls_context_new_client(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
{
    return context_new(false, c, ret, reterr);
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    unsigned before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || !(c->is_base ? tls_share_unref(c)
                           : atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1))
        return;
    tls_resume_done(c);
    if (!c->base)
        SSL_CTX_free(c->ssl_ctx);
    tls_context_unref(c->base);
    VEC_FOREACH (own, &c->own)
        tls_own_done(own);
    vec_done(&c->own);
    tls_peer_names_done(c);
    buf_done(&c->alpn);
    free(c);
}

bool tls_secret_eq(struct str a, struct str b)
{
    return a.n == b.n && CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}
