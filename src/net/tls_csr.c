/* Requests for certificates, and the CA that signs them. Pure over PEM text: no files, no clock but
 * the machine's. */
#include "net/tls_csr.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/assert.h"
#include "net/tls_priv.h"

enum { EARLIER_S = 300 };

struct tls_ca {
    X509 *cert;
    EVP_PKEY *key;
};

/* ---- making ---- */

static GENERAL_NAMES *uri_names(struct str uri)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    if (names && name && text && uri.n < INT32_MAX &&
        ASN1_STRING_set(text, uri.p, (int)uri.n) == 1) {
        GENERAL_NAME_set0_value(name, GEN_URI, text);
        text = NULL;
        if (sk_GENERAL_NAME_push(names, name) > 0)
            return names;
    }
    ASN1_IA5STRING_free(text);
    GENERAL_NAME_free(name);
    GENERAL_NAMES_free(names);
    return NULL;
}

static bool ask_for(X509_REQ *req, struct str uri)
{
    GENERAL_NAMES *names = uri_names(uri);
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    bool ok = names && X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 1, 0) == 1 &&
              X509_REQ_add_extensions(req, extensions) == 1;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    return ok;
}

int tls_csr_new(const char *uri, struct buf *ret_csr_pem, struct buf *ret_key_pem,
                struct err *reterr)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    BIO *csr_out = BIO_new(BIO_s_mem()), *key_out = BIO_new(BIO_s_secmem());
    bool ok = key && req && csr_out && key_out && X509_REQ_set_version(req, 0) == 1 &&
              X509_REQ_set_pubkey(req, key) == 1 && (!uri || ask_for(req, str_from(uri))) &&
              X509_REQ_sign(req, key, EVP_sha256()) > 0 &&
              PEM_write_bio_X509_REQ(csr_out, req) == 1 &&
              PEM_write_bio_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1;
    if (ok) {
        tls_bio_to_buf(csr_out, ret_csr_pem);
        tls_bio_to_buf(key_out, ret_key_pem);
    }
    BIO_free(key_out);
    BIO_free(csr_out);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return ok ? 0 : err_set(reterr, -EINVAL, NULL, "a certificate request: %s", tls_error_text());
}

/* ---- the CA ---- */

static bool has_ended(const X509 *cert)
{
    return X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0;
}

int tls_ca_new(struct str chain_pem, struct str key_pem, struct tls_ca **ret, struct err *reterr)
{
    struct tls_ca *c = NEW(struct tls_ca);
    const char *why = NULL;
    c->cert = tls_read_cert(chain_pem);
    c->key = tls_read_key(key_pem);
    if (!c->cert)
        why = "the certificate cannot be read";
    else if (!c->key)
        why = "the key cannot be read";
    else if (X509_check_private_key(c->cert, c->key) != 1)
        why = "the key is not the certificate's";
    else if (X509_check_ca(c->cert) != 1 || !(X509_get_key_usage(c->cert) & KU_KEY_CERT_SIGN))
        why = "the certificate is not one of a CA";
    else if (has_ended(c->cert))
        why = "the certificate has ended";
    (void)tls_error_text();
    if (why) {
        tls_ca_free(c);
        return err_set(reterr, -EINVAL, NULL, "%s", why);
    }
    *ret = c;
    return 0;
}

void tls_ca_free(struct tls_ca *c)
{
    if (!c)
        return;
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    free(c);
}

/* Keys that are too weak, or too large to be looked at. */
static bool is_good_key(const EVP_PKEY *key, struct err *reterr)
{
    char group[32] = "";
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
        (streq(group, "prime256v1") || streq(group, "secp384r1")))
        return true;
    if (EVP_PKEY_is_a(key, "RSA") && bits >= TLS_CSR_RSA_BITS_MIN && bits <= TLS_CSR_RSA_BITS_MAX)
        return true;
    err_set(reterr, -EKEYREJECTED, "csr", "its key must be P-256, P-384, or RSA of %d to %d bits",
            TLS_CSR_RSA_BITS_MIN, TLS_CSR_RSA_BITS_MAX);
    return false;
}

/* The key that it asks for, and proves to have. */
static EVP_PKEY *read_request(struct str csr_pem, struct err *reterr)
{
    if (!csr_pem.n || csr_pem.n > TLS_CSR_BYTES_MAX) {
        err_set(reterr, -EINVAL, "csr", "of 1 to %d bytes", TLS_CSR_BYTES_MAX);
        return NULL;
    }
    BIO *bio = BIO_new_mem_buf(csr_pem.p, (int)csr_pem.n);
    X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, tls_no_password, NULL) : NULL;
    EVP_PKEY *key = req ? X509_REQ_get_pubkey(req) : NULL;
    BIO_free(bio);
    bool good = false;
    if (!key)
        err_set(reterr, -EINVAL, "csr", "cannot be read: a request in PEM is expected");
    else if (is_good_key(key, reterr) && !(good = X509_REQ_verify(req, key) == 1))
        err_set(reterr, -EINVAL, "csr", "it is not signed by its own key");
    X509_REQ_free(req);
    (void)tls_error_text();
    if (good)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static bool add_identity(X509 *cert, struct str uri)
{
    GENERAL_NAMES *names = uri_names(uri);
    /* critical: the subject is empty (RFC 5280 section 4.2.1.6) */
    bool ok = names && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 1, 0) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool set_times(X509 *cert, const X509 *ca, uint32_t seconds)
{
    ASN1_TIME *end = X509_getm_notAfter(cert);
    if (!X509_gmtime_adj(X509_getm_notBefore(cert), -EARLIER_S) || !X509_gmtime_adj(end, seconds))
        return false;
    return ASN1_TIME_compare(end, X509_get0_notAfter(ca)) <= 0 ||
           X509_set1_notAfter(cert, X509_get0_notAfter(ca)) == 1;
}

static bool fill(X509 *cert, EVP_PKEY *key, const struct tls_ca *c, const struct tls_csr_terms *t)
{
    return X509_set_version(cert, 2) == 1 && tls_set_serial(cert) &&
           set_times(cert, c->cert, t->seconds) && X509_set_pubkey(cert, key) == 1 &&
           X509_set_issuer_name(cert, X509_get_subject_name(c->cert)) == 1 &&
           tls_add_extension(cert, c->cert, NID_basic_constraints, "critical,CA:FALSE") &&
           tls_add_extension(cert, c->cert, NID_key_usage,
                             EVP_PKEY_is_a(key, "RSA") ? "critical,digitalSignature,keyEncipherment"
                                                       : "critical,digitalSignature") &&
           tls_add_extension(cert, c->cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
           (X509_get0_subject_key_id(c->cert) == NULL ||
            tls_add_extension(cert, c->cert, NID_authority_key_identifier, "keyid")) &&
           add_identity(cert, t->uri);
}

static const EVP_MD *digest_for(const EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448") ? NULL : EVP_sha256();
}

int tls_ca_sign(const struct tls_ca *c, struct str csr_pem, const struct tls_csr_terms *t,
                struct buf *ret_cert_pem, struct err *reterr)
{
    ASSERT(t->uri.n && t->seconds);
    if (has_ended(c->cert))
        return err_set(reterr, -EKEYEXPIRED, NULL, "the CA's certificate has ended");
    struct err why = {0};
    EVP_PKEY *key = read_request(csr_pem, &why);
    if (!key) {
        if (reterr)
            *reterr = why;
        return why.code;
    }
    X509 *cert = X509_new();
    BIO *out = BIO_new(BIO_s_mem());
    bool ok = cert && out && fill(cert, key, c, t) &&
              X509_sign(cert, c->key, digest_for(c->key)) > 0 && PEM_write_bio_X509(out, cert) == 1;
    if (ok)
        tls_bio_to_buf(out, ret_cert_pem);
    BIO_free(out);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ok ? 0 : err_set(reterr, -EIO, NULL, "signing: %s", tls_error_text());
}

static bool unix_time(const ASN1_TIME *t, int64_t *ret)
{
    struct tm tm = {0};
    if (ASN1_TIME_to_tm(t, &tm) != 1)
        return false;
    *ret = timegm(&tm);
    return true;
}

int tls_cert_times(struct str chain_pem, int64_t *ret_begin_s, int64_t *ret_end_s)
{
    X509 *cert = tls_read_cert(chain_pem);
    bool ok = cert && unix_time(X509_get0_notBefore(cert), ret_begin_s) &&
              unix_time(X509_get0_notAfter(cert), ret_end_s);
    X509_free(cert);
    (void)tls_error_text();
    return ok ? 0 : -EINVAL;
}
