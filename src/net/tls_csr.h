#pragma once
/* Certificate requests (PKCS #10): made for a key of our own, and signed by a CA. What a request
 * asks for is never looked at: who signs says whose it is. */

#include "base/buf.h"
#include "base/err.h"

enum {
    TLS_CSR_BYTES_MAX = 16384,
    TLS_CSR_RSA_BITS_MIN = 2048,
    TLS_CSR_RSA_BITS_MAX = 8192, /* verifying takes its time */
};

/* Appends a request with an empty subject, signed by a fresh P-256 key, and that key (PEM). uri:
 * the alternative name that it asks for, as Istio's agents do. */
int tls_csr_new(const char *uri, struct buf *ret_csr_pem, struct buf *ret_key_pem,
                struct err *reterr) NODISCARD;

struct tls_ca; /* a CA's certificate and key; unchanging */

/* The first certificate of chain_pem is the CA's own. -EINVAL: it is no CA's, or the key's is
 * another, or it has ended. */
int tls_ca_new(struct str chain_pem, struct str key_pem, struct tls_ca **ret, struct err *reterr)
    NODISCARD;
void tls_ca_free(struct tls_ca *c); /* NULL is allowed */

struct tls_csr_terms {
    struct str uri; /* its one alternative name */
    uint32_t seconds;
};

/* Appends a certificate for client and server: P-256 or P-384, or RSA within the limits. It begins
 * five minutes ago, since clocks differ, and ends no later than the CA's. -EINVAL: what is wrong
 * with the request; -EKEYREJECTED: of its key; -EKEYEXPIRED: the CA's certificate has ended. */
int tls_ca_sign(const struct tls_ca *c, struct str csr_pem, const struct tls_csr_terms *t,
                struct buf *ret_cert_pem, struct err *reterr) NODISCARD;

/* When the first certificate of a chain begins and ends (Unix time). */
int tls_cert_times(struct str chain_pem, int64_t *ret_begin_s, int64_t *ret_end_s) NODISCARD;
