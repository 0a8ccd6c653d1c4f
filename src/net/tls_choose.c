/* A context's own certificates: read from PEM once, and for a server with several chosen by the
 * client's SNI at each handshake. Unchanging once the context is built, so all threads read them.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "net/tls_priv.h"

static int read_chain(struct tls_own *own, struct str pem, struct err *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT32_MAX));
    X509 *cert;
    ERR_clear_error();
    own->leaf = bio ? PEM_read_bio_X509(bio, NULL, tls_no_password, NULL) : NULL;
    own->chain = sk_X509_new_null();
    if (!own->leaf || !own->chain) {
        BIO_free(bio);
        return err_set(reterr, -EINVAL, NULL, "certificate: %s", tls_error_text());
    }
    while ((cert = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL)))
        if (sk_X509_push(own->chain, cert) <= 0)
            X509_free(cert);
    BIO_free(bio);
    /* The end of the text is the one error that is none. */
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    if (reason != PEM_R_NO_START_LINE)
        return err_set(reterr, -EINVAL, NULL, "certificate %d of the chain: %s",
                       sk_X509_num(own->chain) + 2, tls_error_text());
    ERR_clear_error();
    return 0;
}

static int read_key(struct tls_own *own, struct str pem, struct err *reterr)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, (size_t)INT32_MAX));
    own->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, tls_no_password, NULL) : NULL;
    BIO_free(bio);
    if (!own->key || X509_check_private_key(own->leaf, own->key) != 1)
        return err_set(reterr, -EINVAL, NULL, "private key: %s", tls_error_text());
    return 0;
}

static void add_name(struct tls_own *own, struct str name)
{
    if (name.n && name.n <= 255 && !memchr(name.p, 0, name.n))
        vec_push(&own->names, str_dup(name));
}

static void add_names_of_leaf(struct tls_own *own)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(own->leaf, NID_subject_alt_name, NULL, NULL);
    bool has_dns = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        has_dns = true;
        add_name(own, tls_asn1_str(name->d.dNSName));
    }
    GENERAL_NAMES_free(names);
    X509_NAME *subject = X509_get_subject_name(own->leaf);
    int at = has_dns ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *utf8 = NULL;
    int n = at < 0 ? -1
                   : ASN1_STRING_to_UTF8(
                         &utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (n > 0)
        add_name(own, str_of(utf8, (size_t)n));
    OPENSSL_free(utf8);
}

int tls_own_load(struct tls_context *c, const struct tls_certificate *from, const char *path,
                 struct err *reterr)
{
    if (!from->chain_pem.n || !from->key_pem.n)
        return err_set(reterr, -EINVAL, path, "a certificate and its private key belong together");
    if (c->own.n >= TLS_CERTIFICATES_MAX)
        return err_set(reterr, -E2BIG, path, "at most %d certificates", TLS_CERTIFICATES_MAX);
    struct tls_own *own = vec_add(&c->own);
    int r = read_chain(own, from->chain_pem, reterr);
    if (r == 0)
        r = read_key(own, from->key_pem, reterr);
    if (r < 0)
        return err_prefix(reterr, path, NULL), r;
    for (size_t i = 0; i < from->n_names; i++)
        add_name(own, from->names[i]);
    if (!from->n_names)
        add_names_of_leaf(own);
    ERR_clear_error();
    return 0;
}

/* How well a certificate is meant: 2 its very name, 1 by a wildcard, 0 not at all. */
static int rank_of(const struct tls_own *own, struct str sni)
{
    int best = 0;
    VEC_FOREACH (name, &own->names) {
        struct str text = str_from(*name);
        if (str_eq_nocase(text, sni))
            return 2;
        if (tls_dns_matches(text, sni))
            best = 1;
    }
    return best;
}

static bool shares_name(const struct tls_own *a, const struct tls_own *b)
{
    VEC_FOREACH (x, &a->names)
        VEC_FOREACH (y, &b->names)
            if (str_eq_nocase(str_from(*x), str_from(*y)))
                return true;
    return false;
}

/* One of each key type is given to OpenSSL, which knows what the client can do. */
static int choose(SSL *ssl, void *data)
{
    const struct tls_context *c = data;
    struct str sni = str_from(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    int best = 0;
    int types[4];
    size_t n_types = 0;
    for (size_t i = 0; sni.n && best < 2 && i < c->own.n; i++)
        best = MAX(best, rank_of(&c->own.v[i], sni));
    SSL_certs_clear(ssl);
    for (size_t i = 0; i < c->own.n && n_types < ARRAY_LEN(types); i++) {
        const struct tls_own *own = &c->own.v[i];
        if (best ? rank_of(own, sni) != best : i > 0 && !shares_name(&c->own.v[0], own))
            continue;
        int type = EVP_PKEY_get_base_id(own->key);
        bool again = false;
        for (size_t k = 0; k < n_types; k++)
            again = again || types[k] == type;
        if (again)
            continue;
        if (SSL_use_cert_and_key(ssl, own->leaf, own->key, own->chain, 1) != 1)
            return 0;
        types[n_types++] = type;
    }
    return 1;
}

int tls_own_use(struct tls_context *c, struct err *reterr)
{
    if (!c->own.n)
        return 0;
    const struct tls_own *first = &c->own.v[0];
    if (SSL_CTX_use_cert_and_key(c->ssl_ctx, first->leaf, first->key, first->chain, 1) != 1)
        return err_set(reterr, -EINVAL, NULL, "certificate: %s", tls_error_text());
    if (c->server && c->own.n > 1)
        SSL_CTX_set_cert_cb(c->ssl_ctx, choose, c);
    return 0;
}

void tls_own_done(struct tls_own *own)
{
    X509_free(own->leaf);
    sk_X509_pop_free(own->chain, X509_free);
    EVP_PKEY_free(own->key);
    VEC_FOREACH (name, &own->names)
        free(*name);
    vec_done(&own->names);
}
