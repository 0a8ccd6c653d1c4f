#pragma once
/* TLS contexts and certificates, behind which OpenSSL can be exchanged. TLS 1.2 and newer only. */

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/vec.h"

struct tls_context; /* reference-counted configuration shared by connections */

struct tls_config {
    struct str cert_pem; /* own chain, leaf first; empty for a client without a certificate */
    struct str key_pem;
    struct str ca_pem;      /* whom we trust; empty = the system's store (client) or ask for no
                               certificate (server) */
    bool require_peer_cert; /* server: refuse a client without one. Clients always verify unless
                               insecure. */
    bool insecure;          /* client: verify nothing (kubeconfig insecure-skip-tls-verify) */
};

int tls_context_new_server(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
    NODISCARD;
int tls_context_new_client(const struct tls_config *c, struct tls_context **ret, struct err *reterr)
    NODISCARD;
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c);

/* Certificate issuing, for the lab's CA (and later the mesh's). ECDSA P-256. PEM text in buffers.
 */
struct tls_cert_request {
    const char *common_name;
    const char *const *organizations; /* n_organizations; Kubernetes groups */
    size_t n_organizations;
    const char *const *dns_names;
    size_t n_dns_names;
    const struct ip *ips;
    size_t n_ips;
    bool is_ca;
    bool server; /* extended key usage */
    bool client;
    uint32_t days;
};
/* Self-signed when ca_* are empty. Appends to ret_cert_pem and ret_key_pem. */
int tls_cert_issue(const struct tls_cert_request *r, struct str ca_cert_pem, struct str ca_key_pem,
                   struct buf *ret_cert_pem, struct buf *ret_key_pem, struct err *reterr) NODISCARD;

/* ES256 signatures for service account tokens: raw 64-byte r||s as in JWS (RFC 7518 section 3.4).
 */
int tls_es256_sign(struct str key_pem, struct str message, uint8_t ret[64], struct err *reterr)
    NODISCARD;
/* x and y of the public point, and an id of the key (SHA-256 of its DER form). */
int tls_es256_public(struct str key_pem, uint8_t ret_point[64], uint8_t ret_id[32],
                     struct err *reterr) NODISCARD;
int tls_es256_verify(struct str key_or_cert_pem, struct str message, const uint8_t sig[64])
    NODISCARD;

/* Constant-time comparison of secrets. */
bool tls_secret_eq(struct str a, struct str b);
