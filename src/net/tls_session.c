/* TLS sessions between two chains: an OpenSSL BIO of our own reads from one and appends to the
 * other, so one recv and one send of their owner serve many records. The end of the connection is
 * the owner's to see: here only the peer's close_notify is an end. */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/assert.h"
#include "net/tls_priv.h"

enum { RECORD_BYTES = 16 * 1024 };

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *to, int max)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (max <= 0 || !s->in->n) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = MIN((size_t)max, s->in->n);
    chain_copy(s->in, to, n);
    chain_consume(s->in, n);
    return (int)n;
}

static int bio_write(BIO *bio, const char *from, int n)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (n > 0)
        chain_add(s->out, str_of(from, (size_t)n));
    return n;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH;
}

static BIO_METHOD *method;

static void method_init(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "chain");
    ASSERT(method);
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
}

/* ---- sessions ---- */

/* False: out of memory, or not a name. An address is no SNI (RFC 6066 section 3). */
static bool set_names(struct tls_session *s, const struct tls_session_options *o)
{
    struct ip ip;
    const char *sni = o->sni ? o->sni : o->server_name;
    const char *name = o->verify_name ? o->verify_name : o->server_name;
    if (s->context->peer_names.n) /* they stand in for server_name */
        name = o->verify_name;
    if (!str_empty(sni) && ip_parse(str_from(sni), &ip) < 0 &&
        SSL_ctrl(s->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)sni) != 1)
        return false;
    if (o->resume) {
        s->resume_key = xasprintf("%s\n%s", sni ? sni : "", name ? name : "");
        tls_resume_offer(s);
    }
    if (str_empty(name))
        return true;
    if (ip_parse(str_from(name), &ip) == 0)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), name) == 1;
    SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(s->ssl, name) == 1;
}

/* False: out of memory. */
static bool set_alpn(struct tls_session *s, const struct tls_session_options *o)
{
    unsigned char wire[TLS_ALPN_MAX * 32];
    size_t n = 0;
    if (!o->n_alpn)
        return true;
    for (size_t i = 0; i < o->n_alpn; i++) {
        ASSERT(o->alpn[i].n && o->alpn[i].n < 32 && i < TLS_ALPN_MAX);
        wire[n++] = (unsigned char)o->alpn[i].n;
        memcpy(wire + n, o->alpn[i].p, o->alpn[i].n);
        n += o->alpn[i].n;
    }
    return SSL_set_alpn_protos(s->ssl, wire, (unsigned)n) == 0; /* 0 is success */
}

struct tls_session *tls_session_new(struct tls_context *c, const struct tls_session_options *o)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, method_init);
    SSL *ssl = SSL_new(c->ssl_ctx);
    BIO *bio = ssl ? BIO_new(method) : NULL;
    if (!bio) {
        SSL_free(ssl);
        return NULL;
    }
    struct tls_session *s = NEW(struct tls_session);
    s->ssl = ssl;
    s->context = tls_context_ref(c);
    SSL_set_app_data(ssl, s);
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio); /* takes it */
    if (c->server) {
        SSL_set_accept_state(ssl);
    } else {
        SSL_set_connect_state(ssl);
        if (!set_names(s, o) || !set_alpn(s, o)) {
            tls_session_free(s);
            return NULL;
        }
    }
    return s;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    tls_context_unref(s->context);
    tls_peer_free(s->peer);
    free(s->resume_key);
    free(s->refused);
    free(s);
}

void tls_session_set_wires(struct tls_session *s, struct chain *in, struct chain *out)
{
    s->in = in;
    s->out = out;
}

const char *tls_session_error(const struct tls_session *s)
{
    return s->refused ? s->refused : s->error;
}

enum tls_failure tls_session_failure(const struct tls_session *s)
{
    return s->failure;
}

static int result_of(struct tls_session *s, int r)
{
    int why = SSL_get_error(s->ssl, r);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    snprintf(s->error, sizeof(s->error), "TLS: %s", tls_error_text());
    return -EPROTO;
}

int tls_session_handshake(struct tls_session *s)
{
    ASSERT(s->in && s->out);
    ERR_clear_error();
    int r = SSL_do_handshake(s->ssl);
    if (r == 1) {
        tls_resume_shaken(s);
        return 0;
    }
    long verify = SSL_get_verify_result(s->ssl);
    bool no_cert = ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
    int why = result_of(s, r);
    if (why == -EAGAIN)
        return why;
    s->failure = s->refused            ? TLS_FAILED_NAME
                 : verify != X509_V_OK ? TLS_FAILED_CERT
                 : no_cert             ? TLS_FAILED_NO_CERT
                                       : TLS_FAILED;
    if (verify != X509_V_OK)
        snprintf(s->error, sizeof(s->error), "TLS: certificate of the peer: %s",
                 X509_verify_cert_error_string(verify));
    else if (why == 0)
        snprintf(s->error, sizeof(s->error), "TLS handshake: closed by the peer");
    return why ? why : -ECONNRESET;
}

ssize_t tls_session_read(struct tls_session *s, struct chain *plain, size_t max)
{
    size_t total = 0;
    while (total < max) {
        size_t room;
        char *to = chain_reserve(plain, 2048, &room);
        room = MIN(room, max - total);
        ERR_clear_error();
        int r = SSL_read(s->ssl, to, (int)room);
        chain_commit(plain, r > 0 ? (size_t)r : 0);
        if (r <= 0)
            return total ? (ssize_t)total : result_of(s, r);
        total += (size_t)r;
    }
    return total ? (ssize_t)total : -EAGAIN;
}

/* Small runs are gathered, so that they share a record. */
ssize_t tls_session_write(struct tls_session *s, struct chain *plain)
{
    char gathered[RECORD_BYTES];
    struct str run = chain_front(plain);
    size_t n = MIN(run.n, (size_t)RECORD_BYTES);
    if (n < RECORD_BYTES && n < plain->n) {
        n = MIN(plain->n, (size_t)RECORD_BYTES);
        chain_copy(plain, gathered, n);
        run.p = gathered;
    }
    ERR_clear_error();
    int r = SSL_write(s->ssl, run.p, (int)n);
    if (r <= 0) {
        int why = result_of(s, r);
        return why && why != -EAGAIN ? why : -EPROTO; /* the chain takes everything at once */
    }
    chain_consume(plain, (size_t)r);
    return r;
}

void tls_session_shutdown(struct tls_session *s)
{
    ERR_clear_error();
    (void)SSL_shutdown(s->ssl);
}

struct str tls_session_alpn(const struct tls_session *s)
{
    const unsigned char *p = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(s->ssl, &p, &n);
    return str_of(p, n);
}

struct str tls_session_server_name(const struct tls_session *s)
{
    return str_from(SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name));
}

bool tls_session_has_peer(const struct tls_session *s)
{
    return SSL_get0_peer_certificate(s->ssl) != NULL;
}

bool tls_session_resumed(const struct tls_session *s)
{
    return SSL_session_reused(s->ssl) == 1;
}

const char *tls_session_version(const struct tls_session *s)
{
    return SSL_get_version(s->ssl);
}

const char *tls_session_cipher(const struct tls_session *s)
{
    return SSL_get_cipher_name(s->ssl);
}
