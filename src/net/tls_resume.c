/* Resumption: a server's session tickets under keys of our own, so that workers, restarts and
 * rebuilt contexts can share them; a client's newest sessions by name. A ticket carries its verify
 * context (CA bundle, demands, allowed names) and is passed over in any other. Ticket keys never
 * change and are shared by reference; the client's sessions stand behind a mutex. */
#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/assert.h"
#include "net/tls_priv.h"

enum {
    NAME_BYTES = 16,
    HMAC_BYTES = 32,
    AES_BYTES = 32,
    IV_BYTES = 16,
    TICKETS = 2,
    TICKET_S = 7200
};

struct tls_ticket_keys {
    atomic_uint refs;
    size_t n;
    struct ticket_key {
        unsigned char name[NAME_BYTES], hmac[HMAC_BYTES], aes[AES_BYTES];
    } v[];
};
static_assert(sizeof(struct ticket_key) == TLS_TICKET_KEY_BYTES, "keys are copied whole");

/* ---- ticket keys ---- */

static struct tls_ticket_keys *keys_alloc(size_t n)
{
    struct tls_ticket_keys *k =
        xcalloc(1, sizeof(struct tls_ticket_keys) + n * sizeof(struct ticket_key));
    k->refs = 1;
    k->n = n;
    return k;
}

int tls_ticket_keys_new_random(const struct tls_ticket_keys *before, size_t keep,
                               struct tls_ticket_keys **ret, struct err *reterr)
{
    keep = MIN(MIN(keep, before ? before->n : 0), (size_t)TLS_TICKET_KEYS_MAX - 1);
    struct tls_ticket_keys *k = keys_alloc(1 + keep);
    if (RAND_priv_bytes((unsigned char *)&k->v[0], sizeof(k->v[0])) != 1) {
        tls_ticket_keys_unref(k);
        return err_set(reterr, -EIO, NULL, "no random bytes for ticket keys: %s", tls_error_text());
    }
    if (keep)
        memcpy(&k->v[1], before->v, keep * sizeof(k->v[0]));
    *ret = k;
    return 0;
}

int tls_ticket_keys_new(const struct str *keys, size_t n, struct tls_ticket_keys **ret,
                        struct err *reterr)
{
    if (!n || n > TLS_TICKET_KEYS_MAX)
        return err_set(reterr, -EINVAL, "ticket_keys", "%zu keys: expected 1 to %d", n,
                       TLS_TICKET_KEYS_MAX);
    for (size_t i = 0; i < n; i++)
        if (keys[i].n != TLS_TICKET_KEY_BYTES)
            return err_set(reterr, -EINVAL, "ticket_keys", "a key of %zu bytes: expected %d",
                           keys[i].n, TLS_TICKET_KEY_BYTES);
    struct tls_ticket_keys *k = keys_alloc(n);
    for (size_t i = 0; i < n; i++)
        memcpy(&k->v[i], keys[i].p, sizeof(k->v[i]));
    *ret = k;
    return 0;
}

struct tls_ticket_keys *tls_ticket_keys_ref(struct tls_ticket_keys *k)
{
    unsigned before = atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
    ASSERT(before > 0);
    return k;
}

void tls_ticket_keys_unref(struct tls_ticket_keys *k)
{
    if (!k || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
        return;
    OPENSSL_cleanse(k->v, k->n * sizeof(k->v[0]));
    free(k);
}

/* ---- server ---- */

static bool mac_init(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac,
                                          sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: good; 2: good, and to be replaced by one under the first key; 0: a key we do not have. */
static int ticket_key_for(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                          EVP_MAC_CTX *mac, int encrypt)
{
    const struct tls_session *s = SSL_get_app_data(ssl);
    const struct tls_ticket_keys *k = s->context->ticket_keys;
    if (encrypt) {
        memcpy(name, k->v[0].name, NAME_BYTES);
        return RAND_bytes(iv, IV_BYTES) == 1 &&
                       EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), k->v[0].aes, iv, NULL) == 1 &&
                       mac_init(mac, &k->v[0])
                   ? 1
                   : -1;
    }
    for (size_t i = 0; i < k->n; i++) {
        if (memcmp(name, k->v[i].name, NAME_BYTES) != 0)
            continue;
        bool ok = EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), k->v[i].aes, iv, NULL) == 1 &&
                  mac_init(mac, &k->v[i]);
        return !ok ? -1 : i == 0 ? 1 : 2;
    }
    return 0;
}

static bool peer_has_expired(const SSL_SESSION *session)
{
    X509 *cert = SSL_SESSION_get0_peer((SSL_SESSION *)(uintptr_t)session);
    return cert && X509_cmp_current_time(X509_get0_notAfter(cert)) < 0;
}

/* A client whose certificate has ended since must show a new one. In TLS 1.3 a ticket that was used
 * is replaced (RFC 8446 appendix C.4), in TLS 1.2 only one under an old key. */
static SSL_TICKET_RETURN ticket_seen(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                     size_t name_n, SSL_TICKET_STATUS status, void *data)
{
    (void)name;
    (void)name_n;
    (void)data;
    if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
        peer_has_expired(session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS && SSL_version(ssl) == TLS1_2_VERSION
               ? SSL_TICKET_RETURN_USE
               : SSL_TICKET_RETURN_USE_RENEW;
}

static int ticket_made(SSL *ssl, void *data)
{
    (void)ssl;
    (void)data;
    return 1;
}

static void digest_str(EVP_MD_CTX *md, struct str s)
{
    uint64_t n = s.n; /* the length too, so that no two lists run into the same bytes */
    EVP_DigestUpdate(md, &n, sizeof(n));
    EVP_DigestUpdate(md, s.p, s.n);
}

/* What a resumed client is not asked again must have been asked in the same way the first time. */
static bool verify_context_set(struct tls_context *c, const struct tls_config *o)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const uint32_t asked[] = {o->require_peer_cert, o->accept_unverified, o->has_verify_depth,
                              o->verify_depth};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex2(md, EVP_sha256(), NULL) == 1;
    if (ok) {
        digest_str(md, STR("fairlead"));
        digest_str(md, o->ca_pem);
        digest_str(md, o->crl_pem);
        digest_str(md, str_of(asked, sizeof(asked)));
        VEC_FOREACH (m, &c->peer_names) {
            unsigned char kinds[2] = {(unsigned char)m->kind, (unsigned char)m->how};
            digest_str(md, str_of(kinds, sizeof(kinds)));
            digest_str(md, m->value);
        }
        ok = EVP_DigestFinal_ex(md, id, &n) == 1 &&
             SSL_CTX_set_session_id_context(c->ssl_ctx, id,
                                            MIN(n, (unsigned)SSL_MAX_SID_CTX_LENGTH)) == 1;
    }
    EVP_MD_CTX_free(md);
    return ok;
}

static int server_set(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    SSL_CTX *ctx = c->ssl_ctx;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (!verify_context_set(c, o))
        return err_set(reterr, -ENOMEM, NULL, "%s", tls_error_text());
    SSL_CTX_set_num_tickets(ctx, o->ticket_keys ? TICKETS : 0); /* those of TLS 1.3 */
    if (!o->ticket_keys) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        return 0;
    }
    SSL_CTX_set_timeout(ctx, TICKET_S);
    c->ticket_keys = tls_ticket_keys_ref(o->ticket_keys);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_for);
    SSL_CTX_set_session_ticket_cb(ctx, ticket_made, ticket_seen, NULL);
    return 0;
}

/* ---- client ---- */

/* A session as bytes: a handshake writes to the object it is given, so threads cannot share one,
 * and the copy that SSL_SESSION_dup (3.0) makes cannot be resumed. */
struct tls_kept {
    char *key;
    unsigned char *der;
    size_t n;
    uint64_t used;
};

static struct tls_kept *kept_find(struct tls_resume *r, const char *key)
{
    for (size_t i = 0; i < r->n; i++)
        if (streq(r->v[i].key, key))
            return &r->v[i];
    return NULL;
}

/* A free place, or that of the one longest unused. */
static struct tls_kept *kept_room(struct tls_resume *r)
{
    if (!r->v)
        r->v = xcalloc(TLS_RESUME_SESSIONS_MAX, sizeof(*r->v));
    if (r->n < TLS_RESUME_SESSIONS_MAX)
        return &r->v[r->n++];
    struct tls_kept *oldest = &r->v[0];
    for (size_t i = 1; i < r->n; i++)
        if (r->v[i].used < oldest->used)
            oldest = &r->v[i];
    free(oldest->key);
    free(oldest->der);
    *oldest = (struct tls_kept){0};
    return oldest;
}

static unsigned char *session_encode(SSL_SESSION *session, size_t *ret_n)
{
    int n = i2d_SSL_SESSION(session, NULL);
    unsigned char *der = n > 0 && n <= TLS_RESUME_SESSION_BYTES_MAX ? try_malloc((size_t)n) : NULL;
    unsigned char *end = der;
    if (der)
        *ret_n = (size_t)i2d_SSL_SESSION(session, &end);
    return der;
}

/* OpenSSL tells of each new session; the reference stays its own. */
static int session_made(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    size_t n = 0;
    unsigned char *der = s->resume_key && SSL_SESSION_is_resumable(session) == 1
                             ? session_encode(session, &n)
                             : NULL;
    if (!der)
        return 0;
    struct tls_resume *r = &s->context->resume;
    pthread_mutex_lock(&r->lock);
    struct tls_kept *kept = kept_find(r, s->resume_key);
    if (!kept) {
        kept = kept_room(r);
        kept->key = xstrdup(s->resume_key);
    }
    free(kept->der);
    kept->der = der;
    kept->n = n;
    kept->used = ++r->clock;
    pthread_mutex_unlock(&r->lock);
    return 0;
}

/* OpenSSL (3.0) does not tell of a new ticket in a TLS 1.2 session that was resumed. */
void tls_resume_shaken(struct tls_session *s)
{
    if (s->resume_key && SSL_session_reused(s->ssl) && SSL_version(s->ssl) == TLS1_2_VERSION)
        session_made(s->ssl, SSL_get0_session(s->ssl));
}

void tls_resume_offer(struct tls_session *s)
{
    struct tls_resume *r = &s->context->resume;
    SSL_SESSION *session = NULL;
    if (!s->resume_key)
        return;
    pthread_mutex_lock(&r->lock);
    struct tls_kept *kept = kept_find(r, s->resume_key);
    if (kept) {
        const unsigned char *der = kept->der;
        session = d2i_SSL_SESSION(NULL, &der, (long)kept->n);
    }
    pthread_mutex_unlock(&r->lock);
    if (session && !peer_has_expired(session))
        SSL_set_session(s->ssl, session);
    SSL_SESSION_free(session);
}

int tls_resume_set(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    if (c->server)
        return server_set(c, o, reterr);
    SSL_CTX_set_session_cache_mode(c->ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(c->ssl_ctx, session_made);
    return 0;
}

void tls_resume_done(struct tls_context *c)
{
    struct tls_resume *r = &c->resume;
    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].key);
        free(r->v[i].der);
    }
    free(r->v);
    pthread_mutex_destroy(&r->lock);
    tls_ticket_keys_unref(c->ticket_keys);
}
