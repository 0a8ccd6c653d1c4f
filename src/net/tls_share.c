/* Client contexts that differ in nothing but whom they allow are one to OpenSSL: thousands of
 * clusters of a mesh show one certificate and trust one bundle, and an SSL_CTX is 30 KiB. The first
 * of them is the base of the others, which hold it.
 *
 * Owns the table of bases, by a digest of what they were made of, behind a mutex: contexts are made
 * seldom, and let go by any thread. A base leaves it with its last reference, under the mutex. */
#include "base/map.h"
#include "net/tls_priv.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map bases = {.borrows = true}; /* digest -> struct tls_context; guarded by lock */

static void add(EVP_MD_CTX *md, struct str s)
{
    uint64_t n = s.n;
    EVP_DigestUpdate(md, &n, sizeof(n)); /* so that no two lists are one text */
    EVP_DigestUpdate(md, s.n ? s.p : "", s.n);
}

static void add_text(EVP_MD_CTX *md, const char *s)
{
    add(md, s ? str_from(s) : STR("\1"));
}

bool tls_share_digest(const struct tls_config *o, unsigned char ret[TLS_SHARE_DIGEST_BYTES])
{
    const uint64_t numbers[] = {o->n_certificates,   o->n_alpn,           o->has_verify_depth,
                                o->verify_depth,     o->insecure,         o->require_peer_cert,
                                o->n_peer_names > 0, o->accept_unverified};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned n = 0;
    bool ok = md && EVP_DigestInit_ex2(md, EVP_sha256(), NULL) == 1;
    if (ok) {
        add(md, str_of(numbers, sizeof(numbers)));
        add(md, o->cert_pem);
        add(md, o->key_pem);
        for (size_t i = 0; i < o->n_certificates; i++) {
            add(md, o->certificates[i].chain_pem);
            add(md, o->certificates[i].key_pem);
        }
        add(md, o->ca_pem);
        add(md, o->crl_pem);
        for (size_t i = 0; i < o->n_alpn; i++)
            add(md, o->alpn[i]);
        add_text(md, o->min_version);
        add_text(md, o->max_version);
        add_text(md, o->ciphers);
        add_text(md, o->cipher_suites);
        add_text(md, o->curves);
        ok = EVP_DigestFinal_ex(md, ret, &n) == 1 && n == TLS_SHARE_DIGEST_BYTES;
    }
    EVP_MD_CTX_free(md);
    return ok;
}

static struct str key_of(const unsigned char *digest)
{
    return str_of(digest, TLS_SHARE_DIGEST_BYTES);
}

struct tls_context *tls_share_find(const unsigned char *digest)
{
    pthread_mutex_lock(&lock);
    struct tls_context *base = map_find(&bases, key_of(digest));
    if (base)
        atomic_fetch_add_explicit(&base->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&lock);
    return base;
}

void tls_share_add(struct tls_context *c, const unsigned char *digest)
{
    memcpy(c->digest, digest, TLS_SHARE_DIGEST_BYTES);
    pthread_mutex_lock(&lock);
    if (!map_find(&bases, key_of(digest))) { /* another thread may have been first */
        c->is_base = true;
        map_put(&bases, key_of(c->digest), c);
    }
    pthread_mutex_unlock(&lock);
}

bool tls_share_unref(struct tls_context *c)
{
    pthread_mutex_lock(&lock);
    bool last = atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1;
    if (last)
        map_remove(&bases, key_of(c->digest));
    if (last && !bases.used)
        map_done(&bases);
    pthread_mutex_unlock(&lock);
    return last;
}
