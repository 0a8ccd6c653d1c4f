/* Certificate issuing and ES256 signatures, for the lab's CA. ECDSA P-256 or RSA, SHA-256, version
 * 3 certificates with subject alternative names. Pure functions over PEM text: no files, no state.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "net/tls_priv.h"

void tls_bio_to_buf(BIO *bio, struct buf *ret)
{
    char *p = NULL;
    long n = BIO_get_mem_data(bio, &p);
    if (n > 0)
        buf_add(ret, p, (size_t)n);
}

EVP_PKEY *tls_read_key(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, tls_no_password, NULL);
    BIO_free(bio);
    return key;
}

X509 *tls_read_cert(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *cert = PEM_read_bio_X509(bio, NULL, tls_no_password, NULL);
    BIO_free(bio);
    return cert;
}

bool tls_add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool add_subject(X509 *cert, const struct tls_cert_request *r)
{
    X509_NAME *name = X509_get_subject_name(cert);
    bool ok = true;
    for (size_t i = 0; i < r->n_organizations; i++)
        ok = ok &&
             X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                        (const unsigned char *)r->organizations[i], -1, -1, 0) == 1;
    return ok && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                            (const unsigned char *)r->common_name, -1, -1, 0) == 1;
}

/* By hand, not by OpenSSL's configuration syntax: a comma in a name must not make two of it. */
static bool add_name(GENERAL_NAMES *names, enum tls_name_kind kind, struct str value)
{
    static const int types[] = {GEN_DNS, GEN_URI, GEN_IPADD, GEN_EMAIL};
    struct ip ip;
    ASSERT(kind >= 0 && kind < _TLS_NAME_KIND_MAX);
    if (kind == TLS_NAME_IP) {
        if (ip_parse(value, &ip) < 0)
            return false;
        value = str_of(ip.bytes, ip_bytes(&ip));
    }
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_STRING *text =
        kind == TLS_NAME_IP ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
    if (name && text && value.n < INT32_MAX && ASN1_STRING_set(text, value.p, (int)value.n)) {
        GENERAL_NAME_set0_value(name, types[kind], text); /* takes text */
        if (sk_GENERAL_NAME_push(names, name) > 0)
            return true;
        text = NULL;
    }
    ASN1_STRING_free(text);
    GENERAL_NAME_free(name);
    return false;
}

static bool add_names(X509 *cert, const struct tls_cert_request *r)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    char ip[IP_TEXT_BYTES];
    bool ok = names;
    for (size_t i = 0; ok && i < r->n_dns_names; i++)
        ok = add_name(names, TLS_NAME_DNS, str_from(r->dns_names[i]));
    for (size_t i = 0; ok && i < r->n_ips; i++)
        ok = add_name(names, TLS_NAME_IP, str_from(ip_format(&r->ips[i], ip)));
    for (size_t i = 0; ok && i < r->n_names; i++)
        ok = add_name(names, r->names[i].kind, r->names[i].value);
    if (ok && sk_GENERAL_NAME_num(names) > 0)
        ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool add_extensions(X509 *cert, X509 *issuer, const struct tls_cert_request *r)
{
    const char *usage = r->server && r->client ? "serverAuth,clientAuth"
                        : r->server            ? "serverAuth"
                                               : "clientAuth";
    if (!tls_add_extension(cert, issuer, NID_basic_constraints,
                           r->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") ||
        !tls_add_extension(cert, issuer, NID_subject_key_identifier, "hash") ||
        !tls_add_extension(cert, issuer, NID_key_usage,
                           r->is_ca ? "critical,keyCertSign,cRLSign,digitalSignature"
                                    : "critical,digitalSignature"))
        return false;
    if (!r->is_ca && (!tls_add_extension(cert, issuer, NID_ext_key_usage, usage) ||
                      !tls_add_extension(cert, issuer, NID_authority_key_identifier, "keyid")))
        return false;
    return add_names(cert, r);
}

bool tls_set_serial(X509 *cert)
{
    unsigned char serial[16];
    BIGNUM *bn = NULL;
    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return false;
    serial[0] &= 0x7f;
    bn = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
    BN_free(bn);
    return ok;
}

static bool cert_fill(X509 *cert, EVP_PKEY *key, X509 *issuer, const struct tls_cert_request *r)
{
    bool ok = tls_set_serial(cert);
    X509_set_version(cert, 2);
    long start = r->starts_in_days * 86400L;
    X509_gmtime_adj(X509_getm_notBefore(cert), start - 300); /* clocks differ */
    X509_gmtime_adj(X509_getm_notAfter(cert), start + r->days * 86400L);
    return ok && X509_set_pubkey(cert, key) == 1 && add_subject(cert, r) &&
           X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
           add_extensions(cert, issuer, r);
}

int tls_cert_issue(const struct tls_cert_request *r, struct str ca_cert_pem, struct str ca_key_pem,
                   struct buf *ret_cert_pem, struct buf *ret_key_pem, struct err *reterr)
{
    ASSERT(r->common_name && r->days);
    EVP_PKEY *key = r->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509 *ca_cert = ca_cert_pem.n ? tls_read_cert(ca_cert_pem) : NULL;
    EVP_PKEY *ca_key = ca_key_pem.n ? tls_read_key(ca_key_pem) : NULL;
    BIO *out = BIO_new(BIO_s_mem());
    bool self = !ca_cert_pem.n;
    int code = 0;
    if (!key || !cert || !out || (!self && (!ca_cert || !ca_key)) ||
        !cert_fill(cert, key, self ? cert : ca_cert, r) ||
        X509_sign(cert, self ? key : ca_key, EVP_sha256()) <= 0) {
        code = err_set(reterr, -EINVAL, NULL, "certificate for %s: %s", r->common_name,
                       tls_error_text());
    } else {
        PEM_write_bio_X509(out, cert);
        tls_bio_to_buf(out, ret_cert_pem);
        (void)BIO_reset(out);
        /* SEC1 (EC PRIVATE KEY): the only form that all clients read. */
        PEM_write_bio_PrivateKey_traditional(out, key, NULL, NULL, 0, NULL, NULL);
        tls_bio_to_buf(out, ret_key_pem);
    }
    BIO_free(out);
    EVP_PKEY_free(ca_key);
    X509_free(ca_cert);
    X509_free(cert);
    EVP_PKEY_free(key);
    return code;
}

/* ECDSA signatures are DER inside OpenSSL and 64 raw bytes in a JWS. */
static bool der_to_raw(const unsigned char *der, size_t n, uint8_t ret[64])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret, 32) == 32 &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret + 32, 32) == 32;
    ECDSA_SIG_free(sig);
    return ok;
}

int tls_es256_sign(struct str key_pem, struct str message, uint8_t ret[64], struct err *reterr)
{
    EVP_PKEY *key = tls_read_key(key_pem);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char der[128];
    size_t n = sizeof(der);
    bool ok = key && md && EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(md, der, &n, (const unsigned char *)message.p, message.n) == 1 &&
              der_to_raw(der, n, ret);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    return ok ? 0 : err_set(reterr, -EINVAL, NULL, "signing: %s", tls_error_text());
}

static EVP_PKEY *read_public(struct str pem)
{
    EVP_PKEY *key = tls_read_key(pem);
    if (key)
        return key;
    X509 *cert = tls_read_cert(pem);
    key = cert ? X509_get_pubkey(cert) : NULL;
    X509_free(cert);
    if (key)
        return key;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    return key;
}

int tls_es256_public(struct str key_pem, uint8_t ret_point[64], uint8_t ret_id[32],
                     struct err *reterr)
{
    EVP_PKEY *key = tls_read_key(key_pem);
    BIGNUM *x = NULL, *y = NULL;
    unsigned char *der = NULL;
    int n = key ? i2d_PUBKEY(key, &der) : -1;
    bool ok = n > 0 && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) &&
              EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) &&
              BN_bn2binpad(x, ret_point, 32) == 32 && BN_bn2binpad(y, ret_point + 32, 32) == 32 &&
              EVP_Digest(der, (size_t)n, ret_id, NULL, EVP_sha256(), NULL);
    BN_free(x);
    BN_free(y);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    return ok ? 0
              : err_set(reterr, -EINVAL, NULL, "the public part of a key: %s", tls_error_text());
}

int tls_es256_verify(struct str key_or_cert_pem, struct str message, const uint8_t sig[64])
{
    EVP_PKEY *key = read_public(key_or_cert_pem);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    ECDSA_SIG *ec = ECDSA_SIG_new();
    unsigned char *der = NULL;
    int n = 0;
    bool ok =
        key && md && ec &&
        ECDSA_SIG_set0(ec, BN_bin2bn(sig, 32, NULL), BN_bin2bn(sig + 32, 32, NULL)) == 1 &&
        (n = i2d_ECDSA_SIG(ec, &der)) > 0 &&
        EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestVerify(md, der, (size_t)n, (const unsigned char *)message.p, message.n) == 1;
    OPENSSL_free(der);
    ECDSA_SIG_free(ec);
    EVP_MD_CTX_free(md);
    EVP_PKEY_free(key);
    (void)tls_error_text();
    return ok ? 0 : -EKEYREJECTED;
}
