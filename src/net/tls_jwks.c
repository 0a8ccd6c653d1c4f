#include "net/tls_jwks.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/vec.h"
#include "codec/base64.h"
#include "net/tls_priv.h"

enum kind { KEY_RSA, KEY_EC, KEY_ED };

static const struct algorithm {
    const char *name;
    uint8_t kind;
    bool pss;
    const char *digest;
    const char *curve; /* of EC, as a key set calls it */
    const char *group; /* as OpenSSL does */
    size_t coordinate; /* its bytes */
} algorithms[] = {
    {"RS256", KEY_RSA, false, "SHA256", NULL, NULL, 0},
    {"RS384", KEY_RSA, false, "SHA384", NULL, NULL, 0},
    {"RS512", KEY_RSA, false, "SHA512", NULL, NULL, 0},
    {"PS256", KEY_RSA, true, "SHA256", NULL, NULL, 0},
    {"PS384", KEY_RSA, true, "SHA384", NULL, NULL, 0},
    {"PS512", KEY_RSA, true, "SHA512", NULL, NULL, 0},
    {"ES256", KEY_EC, false, "SHA256", "P-256", "prime256v1", 32},
    {"ES384", KEY_EC, false, "SHA384", "P-384", "secp384r1", 48},
    {"ES512", KEY_EC, false, "SHA512", "P-521", "secp521r1", 66},
    {"EdDSA", KEY_ED, false, NULL, NULL, NULL, 0},
};

struct jwk {
    char *kid, *alg; /* NULL: not said */
    uint8_t kind;
    const char *curve; /* of EC; of the table */
    EVP_PKEY *key;
};

struct tls_jwks {
    VEC(struct jwk) v;
};

/* ---- keys ---- */

static bool read_bytes(const json_t *j, const char *name, struct buf *ret)
{
    const char *text = json_key_str(j, name);
    return text && base64url_decode(str_from(text), ret) == 0 && ret->n;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (params && ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *read_rsa(const json_t *j)
{
    AUTO_DONE(buf) struct buf n = {.cap = 4096}, e = {.cap = 64};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = NULL, *exponent = NULL;
    EVP_PKEY *key = NULL;
    if (build && read_bytes(j, "n", &n) && read_bytes(j, "e", &e) && e.n <= 8) {
        modulus = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
        exponent = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
        int bits = modulus ? BN_num_bits(modulus) : 0;
        if (exponent && BN_is_odd(exponent) && !BN_is_one(exponent) &&
            bits >= TLS_JWKS_RSA_BITS_MIN && bits <= TLS_JWKS_RSA_BITS_MAX &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
            OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
            key = key_from("RSA", build);
    }
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *read_ec(const json_t *j, const struct algorithm *a)
{
    AUTO_DONE(buf) struct buf x = {.cap = 128}, y = {.cap = 128}, point = {.cap = 256};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build && read_bytes(j, "x", &x) && read_bytes(j, "y", &y) && x.n == a->coordinate &&
        y.n == a->coordinate) {
        buf_add_u8(&point, 4); /* uncompressed */
        buf_add(&point, x.p, x.n);
        buf_add(&point, y.p, y.n);
        if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, a->group, 0) == 1 &&
            OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n) == 1)
            key = key_from("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *read_ed(const json_t *j)
{
    AUTO_DONE(buf) struct buf x = {.cap = 128};
    if (!streq(json_key_str(j, "crv"), "Ed25519") || !read_bytes(j, "x", &x))
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)x.p, x.n);
}

static bool read_key(const json_t *j, struct jwk *ret)
{
    const char *type = json_key_str(j, "kty"), *use = json_key_str(j, "use");
    if (use && !streq(use, "sig"))
        return false;
    if (streq(type, "RSA")) {
        *ret = (struct jwk){.kind = KEY_RSA, .key = read_rsa(j)};
    } else if (streq(type, "OKP")) {
        *ret = (struct jwk){.kind = KEY_ED, .key = read_ed(j)};
    } else {
        *ret = (struct jwk){.kind = KEY_EC};
        for (size_t i = 0; streq(type, "EC") && i < ARRAY_LEN(algorithms); i++)
            if (algorithms[i].curve && streq(json_key_str(j, "crv"), algorithms[i].curve)) {
                ret->curve = algorithms[i].curve;
                ret->key = read_ec(j, &algorithms[i]);
            }
    }
    (void)tls_error_text();
    return ret->key != NULL;
}

static char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

int tls_jwks_new(struct str json, struct tls_jwks **ret, struct err *reterr)
{
    AUTO_JSON json_t *j = NULL;
    int r = json_parse(json, TLS_JWKS_BYTES_MAX, NULL, &j, reterr);
    const json_t *keys = json_object_get(j, "keys");
    if (r < 0)
        return r;
    if (!json_is_array(keys))
        return err_set(reterr, -EINVAL, "keys", "is no list");
    struct tls_jwks *k = NEW(struct tls_jwks);
    for (size_t i = 0; i < json_array_size(keys) && k->v.n < TLS_JWKS_KEYS_MAX; i++) {
        const json_t *one = json_array_get(keys, i);
        struct jwk key;
        if (!read_key(one, &key))
            continue;
        key.kid = copy(json_key_str(one, "kid"));
        key.alg = copy(json_key_str(one, "alg"));
        vec_push(&k->v, key);
    }
    *ret = k;
    return 0;
}

void tls_jwks_free(struct tls_jwks *k)
{
    if (!k)
        return;
    VEC_FOREACH (key, &k->v) {
        free(key->kid);
        free(key->alg);
        EVP_PKEY_free(key->key);
    }
    vec_done(&k->v);
    free(k);
}

size_t tls_jwks_keys(const struct tls_jwks *k)
{
    return k->v.n;
}

/* ---- signatures ---- */

/* Two numbers side by side, as OpenSSL takes them. NULL: it cannot be a signature. */
static unsigned char *ec_signature(const struct algorithm *a, struct str raw, size_t *ret)
{
    const unsigned char *p = (const unsigned char *)raw.p;
    unsigned char *der = NULL;
    if (raw.n != 2 * a->coordinate)
        return NULL;
    BIGNUM *r = BN_bin2bn(p, (int)a->coordinate, NULL),
           *s = BN_bin2bn(p + a->coordinate, (int)a->coordinate, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    if (r && s && sig && ECDSA_SIG_set0(sig, r, s) == 1) {
        int n = i2d_ECDSA_SIG(sig, &der);
        *ret = n > 0 ? (size_t)n : 0;
    } else {
        BN_free(r);
        BN_free(s);
    }
    ECDSA_SIG_free(sig);
    return der;
}

static bool verify_with(EVP_PKEY *key, const struct algorithm *a, struct str text, struct str sig)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    unsigned char *der = NULL;
    const unsigned char *p = (const unsigned char *)sig.p;
    size_t n = sig.n;
    if (a->kind == KEY_EC)
        p = der = ec_signature(a, sig, &n);
    bool ok = md && p && EVP_DigestVerifyInit_ex(md, &ctx, a->digest, NULL, NULL, key, NULL) == 1;
    if (ok && a->pss)
        ok = EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    ok = ok && EVP_DigestVerify(md, p, n, (const unsigned char *)text.p, text.n) == 1;
    OPENSSL_free(der);
    EVP_MD_CTX_free(md);
    (void)tls_error_text();
    return ok;
}

static bool fits(const struct jwk *key, const struct algorithm *a, const struct jwt *t)
{
    return key->kind == a->kind && (!key->curve || streq(key->curve, a->curve)) &&
           (!key->alg || streq(key->alg, t->alg)) &&
           (!key->kid || !t->kid || streq(key->kid, t->kid));
}

int tls_jwks_verify(const struct tls_jwks *k, const struct jwt *t)
{
    const struct algorithm *a = NULL;
    bool tried = false;
    for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
        if (streq(algorithms[i].name, t->alg))
            a = &algorithms[i];
    if (!a)
        return -EOPNOTSUPP;
    VEC_FOREACH (key, &k->v) {
        if (!fits(key, a, t))
            continue;
        tried = true;
        if (verify_with(key->key, a, t->signed_text, buf_str(&t->signature)))
            return 0;
    }
    return tried ? -EKEYREJECTED : -ENOKEY;
}
