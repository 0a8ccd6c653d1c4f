/* The optional strings of a TLS configuration: versions, ciphers, curves, ALPN. A word that OpenSSL
 * does not know is an error here; OpenSSL itself passes over some in silence. */
#include <errno.h>
#include <openssl/err.h>

#include "net/tls_priv.h"

static int version_of(const char *text, const char *field, int *ret, struct err *reterr)
{
    if (!text)
        return 0;
    if (streq(text, "1.2"))
        *ret = TLS1_2_VERSION;
    else if (streq(text, "1.3"))
        *ret = TLS1_3_VERSION;
    else
        return err_set(reterr, -EINVAL, field, "TLS version \"%.20s\": expected 1.2 or 1.3", text);
    return 0;
}

static int versions_set(SSL_CTX *ctx, const struct tls_config *o, struct err *reterr)
{
    int min = TLS1_2_VERSION, max = TLS1_3_VERSION;
    int r = version_of(o->min_version, "min_version", &min, reterr);
    if (r == 0)
        r = version_of(o->max_version, "max_version", &max, reterr);
    if (r < 0)
        return r;
    if (min > max)
        return err_set(reterr, -EINVAL, "min_version", "above max_version");
    if (SSL_CTX_set_min_proto_version(ctx, min) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, max) != 1)
        return err_set(reterr, -EINVAL, NULL, "TLS versions: %s", tls_error_text());
    return 0;
}

/* Calls fn with each word between colons; the first that it refuses is the error. */
static int each_word(SSL_CTX *ctx, const char *list, const char *field,
                     bool (*fn)(SSL_CTX *ctx, const char *word), struct err *reterr)
{
    for (struct str rest = str_from(list); rest.p;) {
        struct str word = str_cut(rest, ':', &rest);
        AUTO_CHARS char *text = str_dup(word);
        if (!word.n || !fn(ctx, text)) {
            ERR_clear_error();
            return err_set(reterr, -EINVAL, field,
                           "\"%.60s\" is not known: expected names of OpenSSL with ':' between",
                           text);
        }
    }
    return 0;
}

static bool cipher_is_known(SSL_CTX *ctx, const char *word)
{
    bool is_name = (*word >= 'A' && *word <= 'Z') || (*word >= 'a' && *word <= 'z');
    return !is_name || SSL_CTX_set_cipher_list(ctx, word) == 1;
}

static bool suite_is_known(SSL_CTX *ctx, const char *word)
{
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256",
                                         "TLS_AES_128_CCM_8_SHA256"};
    for (size_t i = 0; i < ARRAY_LEN(suites); i++)
        if (streq(word, suites[i]))
            return SSL_CTX_set_ciphersuites(ctx, word) == 1;
    return false;
}

static bool curves_set(SSL_CTX *ctx, const char *word)
{
    /* The macro for it drops const. */
    return SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, (void *)(uintptr_t)word) == 1;
}

static int algorithms_set(SSL_CTX *ctx, const struct tls_config *o, struct err *reterr)
{
    int r = 0;
    if (o->ciphers)
        r = each_word(ctx, o->ciphers, "ciphers", cipher_is_known, reterr);
    if (r == 0 && o->ciphers && SSL_CTX_set_cipher_list(ctx, o->ciphers) != 1)
        return err_set(reterr, -EINVAL, "ciphers", "nothing remains: %s", tls_error_text());
    if (r == 0 && o->cipher_suites)
        r = each_word(ctx, o->cipher_suites, "cipher_suites", suite_is_known, reterr);
    if (r == 0 && o->cipher_suites && SSL_CTX_set_ciphersuites(ctx, o->cipher_suites) != 1)
        return err_set(reterr, -EINVAL, "cipher_suites", "%s", tls_error_text());
    if (r == 0 && o->curves)
        r = each_word(ctx, o->curves, "curves", curves_set, reterr);
    if (r == 0 && o->curves && !curves_set(ctx, o->curves))
        return err_set(reterr, -EINVAL, "curves", "%s", tls_error_text());
    return r;
}

/* Our preference decides. Nothing in common: the connection goes on without. */
static int alpn_choose(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
                       const unsigned char *offered, unsigned n_offered, void *data)
{
    const struct tls_context *c = data;
    unsigned char *chosen = NULL;
    (void)ssl;
    if (SSL_select_next_proto(&chosen, ret_n, (const unsigned char *)c->alpn.p, (unsigned)c->alpn.n,
                              offered, n_offered) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int alpn_set(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    if (!o->n_alpn)
        return 0;
    if (o->n_alpn > TLS_ALPN_MAX)
        return err_set(reterr, -E2BIG, "alpn", "%zu names: at most %d", o->n_alpn, TLS_ALPN_MAX);
    for (size_t i = 0; i < o->n_alpn; i++) {
        if (!o->alpn[i].n || o->alpn[i].n > 255)
            return err_set(reterr, -EINVAL, "alpn", "a name of %zu bytes: expected 1 to 255",
                           o->alpn[i].n);
        buf_add_u8(&c->alpn, (uint8_t)o->alpn[i].n);
        buf_add_str(&c->alpn, o->alpn[i]);
    }
    if (c->server)
        SSL_CTX_set_alpn_select_cb(c->ssl_ctx, alpn_choose, c);
    else if (SSL_CTX_set_alpn_protos(c->ssl_ctx, (const unsigned char *)c->alpn.p,
                                     (unsigned)c->alpn.n) != 0) /* 0 is success */
        return err_set(reterr, -ENOMEM, "alpn", "%s", tls_error_text());
    return 0;
}

int tls_options_set(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    int r = versions_set(c->ssl_ctx, o, reterr);
    if (r == 0)
        r = algorithms_set(c->ssl_ctx, o, reterr);
    return r == 0 ? alpn_set(c, o, reterr) : r;
}
