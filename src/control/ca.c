/* Names and chains around net/tls_csr.h. The CA's key lives in memory as long as the value does. */
#include "control/ca.h"

#include <errno.h>

struct ca {
    struct tls_ca *signer;
    char *trust_domain;
    struct ca_answer chain; /* those between */
    struct buf roots;
};

/* ---- PEM ---- */

/* The next certificate of a text that may hold others things, too; .n 0: none is left. */
static struct str next_certificate(struct str *rest)
{
    static const struct str begin = STR("-----BEGIN CERTIFICATE-----"),
                            end = STR("-----END CERTIFICATE-----");
    const char *from = rest->n ? memmem(rest->p, rest->n, begin.p, begin.n) : NULL;
    struct str tail = from ? str_sub(*rest, (size_t)(from - rest->p), rest->n) : STR("");
    const char *last = tail.n ? memmem(tail.p, tail.n, end.p, end.n) : NULL;
    if (!last) {
        *rest = STR("");
        return STR("");
    }
    struct str one = str_sub(tail, 0, (size_t)(last - tail.p) + end.n);
    *rest = str_sub(tail, one.n, tail.n);
    return one;
}

static int split(struct str pem, struct ca_answer *ret, const char *what, struct err *reterr)
{
    struct str one;
    if (pem.n > CA_PEM_BYTES_MAX)
        return err_set(reterr, -EINVAL, what, "longer than %d bytes", CA_PEM_BYTES_MAX);
    while ((one = next_certificate(&pem)).n) {
        if (ret->certificates.n == CA_CHAIN_MAX)
            return err_set(reterr, -EINVAL, what, "more than %d certificates", CA_CHAIN_MAX);
        struct buf *to = vec_add(&ret->certificates);
        buf_add_str(to, one);
        buf_add_char(to, '\n');
    }
    return 0;
}

void ca_answer_done(struct ca_answer *a)
{
    VEC_FOREACH (one, &a->certificates)
        buf_done(one);
    vec_done(&a->certificates);
}

/* What is among the roots anyway is not sent as one between. */
static bool is_among(const struct buf *one, const struct ca_answer *all)
{
    VEC_FOREACH (other, &all->certificates)
        if (str_eq(buf_str(one), buf_str(other)))
            return true;
    return false;
}

static int read_chain(struct ca *c, const struct ca_material *m, struct err *reterr)
{
    AUTO_DONE(ca_answer) struct ca_answer all = {0};
    AUTO_DONE(ca_answer) struct ca_answer roots = {0};
    int r = split(m->chain, &all, "chain", reterr);
    if (r == 0)
        r = split(m->roots, &roots, "roots", reterr);
    if (r < 0)
        return r;
    VEC_FOREACH (one, &all.certificates)
        if (one->failed)
            return err_set(reterr, -ENOMEM, NULL, "no memory");
    if (!roots.certificates.n)
        return err_set(reterr, -EINVAL, "roots", "no certificate is there");
    VEC_FOREACH (one, &roots.certificates)
        buf_add_str(&c->roots, buf_str(one));
    VEC_FOREACH (one, &all.certificates)
        if (!is_among(one, &roots) && !is_among(one, &c->chain)) {
            vec_push(&c->chain.certificates, *one);
            *one = (struct buf){0};
        }
    if (c->roots.failed)
        return err_set(reterr, -ENOMEM, NULL, "no memory");
    return 0;
}

int ca_new(const struct ca_material *m, const char *trust_domain, struct ca **ret,
           struct err *reterr)
{
    struct ca *c = NEW(struct ca);
    c->trust_domain = xstrdup(trust_domain);
    int r = tls_ca_new(m->chain, m->key, &c->signer, reterr);
    if (r == 0)
        r = read_chain(c, m, reterr);
    if (r < 0) {
        ca_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void ca_free(struct ca *c)
{
    if (!c)
        return;
    tls_ca_free(c->signer);
    ca_answer_done(&c->chain);
    buf_done(&c->roots);
    free(c->trust_domain);
    free(c);
}

/* ---- names ---- */

/* A label or a name of labels, as the API server has them. */
static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!memchr("abcdefghijklmnopqrstuvwxyz0123456789-.", s.p[i], 38))
            return false;
    return s.n > 0 && s.n <= 253;
}

int ca_identity(const char *trust_domain, struct str ns, struct str account, struct buf *ret)
{
    if (str_empty(trust_domain) || !is_name(ns) || !is_name(account))
        return -EINVAL;
    buf_add_cstr(ret, "spiffe://");
    for (const char *p = trust_domain; *p; p++)
        buf_add_char(ret, *p == '@' ? '.' : *p);
    buf_addf(ret, "/ns/" STR_FMT "/sa/" STR_FMT, STR_ARG(ns), STR_ARG(account));
    return ret->failed ? -ENOMEM : 0; /* never a part of a name */
}

/* Takes leaf. */
static int fill_answer(const struct ca *c, struct buf *leaf, struct ca_answer *ret)
{
    bool failed = leaf->failed;
    vec_push(&ret->certificates, *leaf);
    VEC_FOREACH (one, &c->chain.certificates)
        buf_add_str(vec_add(&ret->certificates), buf_str(one));
    buf_add_str(vec_add(&ret->certificates), buf_str(&c->roots));
    VEC_FOREACH (one, &ret->certificates)
        failed = failed || one->failed;
    if (!failed)
        return 0;
    ca_answer_done(ret);
    *ret = (struct ca_answer){{0}};
    return -ENOMEM;
}

int ca_sign(const struct ca *c, struct str ns, struct str account, struct str csr_pem,
            uint32_t seconds, struct ca_answer *ret, struct err *reterr)
{
    AUTO_DONE(buf) struct buf uri = {0};
    struct buf leaf = {0};
    int r = ca_identity(c->trust_domain, ns, account, &uri);
    if (r == -EINVAL)
        return err_set(reterr, r, NULL, "the caller's name is no service account's");
    const struct tls_csr_terms terms = {buf_str(&uri), seconds};
    if (r == 0)
        r = tls_ca_sign(c->signer, csr_pem, &terms, &leaf, reterr);
    if (r < 0)
        return r == -ENOMEM ? err_set(reterr, r, NULL, "no memory") : r;
    r = fill_answer(c, &leaf, ret);
    return r < 0 ? err_set(reterr, r, NULL, "no memory") : 0;
}
