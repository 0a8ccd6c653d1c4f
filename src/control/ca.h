#pragma once
/* The mesh's certificate authority: signs what callers may call themselves. A pure value: keys and
 * certificates in, certificates out; who asks has been found out before (callers.h). */

#include "base/vec.h"
#include "net/tls_csr.h"

enum {
    CA_CHAIN_MAX = 16, /* certificates in one answer */
    CA_PEM_BYTES_MAX = 256 * 1024,
};

/* PEM. */
struct ca_material {
    struct str chain; /* the CA's own certificate, then those between it and a root */
    struct str key;
    struct str roots; /* whom everybody is to trust: of two, both */
};

struct ca;

/* -EINVAL: what is wrong with it. */
int ca_new(const struct ca_material *m, const char *trust_domain, struct ca **ret,
           struct err *reterr) NODISCARD;
void ca_free(struct ca *c); /* NULL is allowed */

/* "spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT", appended; -EINVAL: a part that is empty or is no
 * name. An '@' in the trust domain is written '.'. */
int ca_identity(const char *trust_domain, struct str ns, struct str account, struct buf *ret)
    NODISCARD;

/* An answer of IstioCertificateService: the leaf, those between, one string each; the roots, all in
 * one, last. */
struct ca_answer {
    VEC(struct buf) certificates;
};
void ca_answer_done(struct ca_answer *a);

/* A certificate for that service account, whatever the request asks for. Errors: tls_ca_sign(). */
int ca_sign(const struct ca *c, struct str ns, struct str account, struct str csr_pem,
            uint32_t seconds, struct ca_answer *ret, struct err *reterr) NODISCARD;
