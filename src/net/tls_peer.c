/* What a peer's certificate says: its names against the allowed ones during the handshake, and the
 * facts that identities, access logs and metrics are made of. Everything read here was written by
 * the peer: lengths count, not NUL bytes. */
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "net/tls_priv.h"

/* False: a kind we do not know, or a name with a NUL byte. */
static bool name_of(const GENERAL_NAME *g, char ip_text[IP_TEXT_BYTES], struct tls_name *ret)
{
    switch (g->type) {
    case GEN_DNS:
        *ret = (struct tls_name){TLS_NAME_DNS, tls_asn1_str(g->d.dNSName)};
        break;
    case GEN_URI:
        *ret = (struct tls_name){TLS_NAME_URI, tls_asn1_str(g->d.uniformResourceIdentifier)};
        break;
    case GEN_EMAIL:
        *ret = (struct tls_name){TLS_NAME_EMAIL, tls_asn1_str(g->d.rfc822Name)};
        break;
    case GEN_IPADD: {
        struct str bytes = tls_asn1_str(g->d.iPAddress);
        struct ip ip = {.family = bytes.n == 4 ? AF_INET : AF_INET6};
        if (bytes.n != 4 && bytes.n != 16)
            return false;
        memcpy(ip.bytes, bytes.p, bytes.n);
        *ret = (struct tls_name){TLS_NAME_IP, str_from(ip_format(&ip, ip_text))};
        return true;
    }
    default:
        return false;
    }
    return ret->value.n && !memchr(ret->value.p, 0, ret->value.n);
}

/* ---- allowed names ---- */

bool tls_dns_matches(struct str pattern, struct str name)
{
    if (str_eq_nocase(pattern, name))
        return true;
    if (!str_starts(pattern, STR("*.")))
        return false;
    struct str rest;
    struct str left = str_cut(name, '.', &rest);
    return left.n && rest.p && rest.n && !str_is(left, "*") &&
           str_eq_nocase(str_sub(pattern, 2, pattern.n), rest);
}

/* m->value of DNS is in lower case already. */
static bool matches(const struct tls_name_match *m, const struct tls_name *name)
{
    AUTO_CHARS char *lower = NULL;
    struct str value = name->value;
    if (m->kind != name->kind)
        return false;
    if (m->kind == TLS_NAME_DNS) {
        lower = str_dup(value);
        for (size_t i = 0; i < value.n; i++)
            if (lower[i] >= 'A' && lower[i] <= 'Z')
                lower[i] = (char)(lower[i] - 'A' + 'a');
        value.p = lower;
    }
    switch (m->how) {
    case TLS_MATCH_EXACT:
        return m->kind == TLS_NAME_DNS ? tls_dns_matches(value, m->value) : str_eq(value, m->value);
    case TLS_MATCH_PREFIX:
        return str_starts(value, m->value);
    case TLS_MATCH_SUFFIX:
        return str_ends(value, m->value);
    case TLS_MATCH_CONTAINS:
        return str_contains(value, m->value);
    }
    return false;
}

/* Foreign bytes on their way to a log: what cannot be printed becomes '?'. */
static void tell_name(struct buf *to, const struct tls_name *name)
{
    static const char *const kinds[] = {"DNS", "URI", "IP", "EMAIL"};
    buf_addf(to, "%s%s:", to->n ? ", " : "", kinds[name->kind]);
    for (size_t i = 0; i < name->value.n; i++)
        buf_add_char(to, name->value.p[i] > ' ' && name->value.p[i] < 127 ? name->value.p[i] : '?');
}

static bool names_are_allowed(struct tls_session *s, X509 *cert)
{
    enum { TOLD_BYTES = 200 };
    AUTO_DONE(buf) struct buf told = {0};
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool allowed = false;
    for (int i = 0; !allowed && i < sk_GENERAL_NAME_num(names); i++) {
        char ip[IP_TEXT_BYTES];
        struct tls_name name;
        if (!name_of(sk_GENERAL_NAME_value(names, i), ip, &name))
            continue;
        if (told.n < TOLD_BYTES)
            tell_name(&told, &name);
        VEC_FOREACH (m, &s->context->peer_names)
            allowed = allowed || matches(m, &name);
    }
    GENERAL_NAMES_free(names);
    if (!allowed && !s->refused)
        s->refused =
            xasprintf("TLS: certificate of the peer: none of its names [%.*s%s] is allowed",
                      (int)MIN(told.n, (size_t)TOLD_BYTES), told.n ? told.p : "",
                      told.n > TOLD_BYTES ? "..." : "");
    return allowed;
}

static int verify(X509_STORE_CTX *store, void *data)
{
    (void)data;
    int r = X509_verify_cert(store);
    if (r <= 0)
        return r;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    if (names_are_allowed(SSL_get_app_data(ssl), X509_STORE_CTX_get0_cert(store)))
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

static int peer_name_check(const struct tls_name_match *m, const char *path, struct ip *ip,
                           struct err *reterr)
{
    if (m->kind < 0 || m->kind >= _TLS_NAME_KIND_MAX || m->how < 0 || m->how > TLS_MATCH_CONTAINS)
        return err_set(reterr, -EINVAL, path, "a kind that is not known");
    if (!m->value.n || memchr(m->value.p, 0, m->value.n))
        return err_set(reterr, -EINVAL, path, "expected a name that is not empty, without NUL");
    if (m->kind == TLS_NAME_IP && (m->how != TLS_MATCH_EXACT || ip_parse(m->value, ip) < 0))
        return err_set(reterr, -EINVAL, path, "expected an IP address that matches exactly");
    return 0;
}

int tls_peer_names_set(struct tls_context *c, const struct tls_config *o, struct err *reterr)
{
    if (!o->n_peer_names)
        return 0;
    if (o->n_peer_names > TLS_PEER_NAMES_MAX)
        return err_set(reterr, -E2BIG, "peer_names", "%zu names: at most %d", o->n_peer_names,
                       TLS_PEER_NAMES_MAX);
    if (c->server ? !o->ca_pem.n : o->insecure)
        return err_set(reterr, -EINVAL, "peer_names",
                       "names count only in a certificate that is verified: give a CA bundle%s",
                       c->server ? "" : " and do not be insecure");
    for (size_t i = 0; i < o->n_peer_names; i++) {
        struct tls_name_match m = o->peer_names[i];
        struct ip ip;
        char path[40], text[IP_TEXT_BYTES];
        snprintf(path, sizeof(path), "peer_names[%zu]", i);
        int r = peer_name_check(&m, path, &ip, reterr);
        if (r < 0)
            return r;
        if (m.kind == TLS_NAME_IP) /* one text for each address */
            m.value = str_from(ip_format(&ip, text));
        char *own = str_dup(m.value);
        for (size_t k = 0; m.kind == TLS_NAME_DNS && k < m.value.n; k++)
            if (own[k] >= 'A' && own[k] <= 'Z')
                own[k] = (char)(own[k] - 'A' + 'a');
        m.value.p = own;
        vec_push(&c->peer_names, m);
    }
    if (!c->base) /* whose it is set already */
        SSL_CTX_set_cert_verify_callback(c->ssl_ctx, verify, NULL);
    return 0;
}

void tls_peer_names_done(struct tls_context *c)
{
    VEC_FOREACH (m, &c->peer_names)
        free((void *)(uintptr_t)m->value.p);
    vec_done(&c->peer_names);
}

/* ---- facts ---- */

static struct str own_str(struct str s)
{
    return str_of(str_dup(s), s.n);
}

static void free_str(struct str s)
{
    free((void *)(uintptr_t)s.p);
}

static struct str hex_of(const unsigned char *p, size_t n)
{
    char *text = xmalloc(2 * n + 1);
    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", p[i]);
    text[2 * n] = '\0';
    return str_of(text, 2 * n);
}

static struct str dn_of(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    struct str ret = {"", 0};
    /* XN_FLAG_RFC2253 escapes what is not ASCII or would end a part. */
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        long n = BIO_get_mem_data(bio, &p);
        ret = str_of(p, n > 0 ? (size_t)n : 0);
    }
    ret = own_str(ret);
    BIO_free(bio);
    return ret;
}

static int64_t unix_time(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void add_names(struct tls_peer *p, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        char ip[IP_TEXT_BYTES];
        struct tls_name name;
        if (!name_of(sk_GENERAL_NAME_value(names, i), ip, &name))
            continue;
        struct str own = own_str(name.value);
        if (name.kind == TLS_NAME_DNS)
            vec_push(&p->dns, own);
        else if (name.kind == TLS_NAME_URI)
            vec_push(&p->uris, own);
        else if (name.kind == TLS_NAME_IP)
            vec_push(&p->ips, own);
        else
            vec_push(&p->emails, own);
    }
    GENERAL_NAMES_free(names);
}

static bool is_verified(const struct tls_session *s)
{
    return SSL_get_verify_mode(s->ssl) != SSL_VERIFY_NONE &&
           SSL_get_verify_result(s->ssl) == X509_V_OK;
}

static struct tls_peer *facts_of(X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct tls_peer *p = NEW(struct tls_peer);
    p->subject = dn_of(X509_get_subject_name(cert));
    p->issuer = dn_of(X509_get_issuer_name(cert));
    struct str serial = tls_asn1_str(X509_get0_serialNumber(cert));
    p->serial = hex_of((const unsigned char *)serial.p, serial.n);
    X509_digest(cert, EVP_sha256(), digest, &n);
    p->sha256 = hex_of(digest, n);
    p->not_before_s = unix_time(X509_get0_notBefore(cert));
    p->not_after_s = unix_time(X509_get0_notAfter(cert));
    add_names(p, cert);
    return p;
}

const struct tls_peer *tls_session_peer(struct tls_session *s)
{
    X509 *cert = SSL_get0_peer_certificate(s->ssl);
    if (!cert || s->peer)
        return s->peer;
    s->peer = facts_of(cert);
    s->peer->verified = is_verified(s);
    if (!s->peer->verified)
        s->peer->why = X509_verify_cert_error_string(SSL_get_verify_result(s->ssl));
    return s->peer;
}

void tls_context_each(struct tls_context *c, tls_facts_fn *fn, void *user)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c->ssl_ctx);
    X509_STORE_lock(store);
    STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(all) && i < TLS_LISTED_MAX; i++) {
        X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
        struct tls_peer *facts = cert ? facts_of(cert) : NULL;
        if (facts)
            fn(true, facts, user);
        tls_peer_free(facts);
    }
    X509_STORE_unlock(store);
    VEC_FOREACH (own, &(c->base ? c->base : c)->own) {
        struct tls_peer *facts = facts_of(own->leaf);
        fn(false, facts, user);
        tls_peer_free(facts);
    }
}

bool tls_session_own_uri(const struct tls_session *s, struct buf *ret)
{
    X509 *cert = SSL_get_certificate(s->ssl);
    GENERAL_NAMES *names = cert ? X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL) : NULL;
    bool found = false;
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
        if (g->type != GEN_URI)
            continue;
        buf_add_str(ret, tls_asn1_str(g->d.uniformResourceIdentifier));
        found = true;
    }
    GENERAL_NAMES_free(names);
    return found;
}

bool tls_session_own_subject(const struct tls_session *s, struct buf *ret)
{
    X509 *cert = SSL_get_certificate(s->ssl);
    if (!cert)
        return false;
    struct str dn = dn_of(X509_get_subject_name(cert));
    buf_add_str(ret, dn);
    free_str(dn);
    return true;
}

void tls_peer_free(struct tls_peer *p)
{
    if (!p)
        return;
    free_str(p->subject);
    free_str(p->issuer);
    free_str(p->serial);
    free_str(p->sha256);
    VEC_FOREACH (x, &p->dns)
        free_str(*x);
    VEC_FOREACH (x, &p->uris)
        free_str(*x);
    VEC_FOREACH (x, &p->emails)
        free_str(*x);
    VEC_FOREACH (x, &p->ips)
        free_str(*x);
    vec_done(&p->dns);
    vec_done(&p->uris);
    vec_done(&p->emails);
    vec_done(&p->ips);
    free(p);
}

bool tls_session_peer_pem(const struct tls_session *s, struct buf *ret)
{
    X509 *cert = SSL_get0_peer_certificate(s->ssl);
    BIO *bio = cert ? BIO_new(BIO_s_mem()) : NULL;
    char *p = NULL;
    bool ok = bio && PEM_write_bio_X509(bio, cert) == 1;
    long n = ok ? BIO_get_mem_data(bio, &p) : 0;
    if (n > 0)
        buf_add(ret, p, (size_t)n);
    BIO_free(bio);
    return n > 0;
}

bool tls_session_peer_subject(const struct tls_session *s, struct buf *ret_cn,
                              struct buf *ret_orgs_lines)
{
    X509 *cert = SSL_get0_peer_certificate(s->ssl);
    if (!cert || !is_verified(s))
        return false;
    X509_NAME *name = X509_get_subject_name(cert);
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
        unsigned char *utf8 = NULL;
        int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
        if (n >= 0 && nid == NID_commonName && !ret_cn->n)
            buf_add(ret_cn, utf8, (size_t)n);
        else if (n >= 0 && nid == NID_organizationName) {
            buf_add(ret_orgs_lines, utf8, (size_t)n);
            buf_add_char(ret_orgs_lines, '\n');
        }
        OPENSSL_free(utf8);
    }
    return true;
}
