#pragma once
/* Public keys as a JSON Web Key Set (RFC 7517), and what they have signed (RFC 7518, RFC 8037):
 * RS, PS and ES with 256, 384 and 512, EdDSA with Ed25519. Secrets that both sides share (HS) and
 * no signature at all (none) are never accepted. Unchanging: any thread may verify. */

#include "base/err.h"
#include "codec/jwt.h"

enum {
    TLS_JWKS_BYTES_MAX = 1 << 20,
    TLS_JWKS_KEYS_MAX = 100,
    TLS_JWKS_RSA_BITS_MIN = 2048,
    TLS_JWKS_RSA_BITS_MAX = 8192, /* verifying takes its time */
};

struct tls_jwks;

/* Keys of kinds that are not known, or not for signing, are left out. -EINVAL: it is no key set. */
int tls_jwks_new(struct str json, struct tls_jwks **ret, struct err *reterr) NODISCARD;
void tls_jwks_free(struct tls_jwks *k); /* NULL is allowed */
size_t tls_jwks_keys(const struct tls_jwks *k);
/* -EOPNOTSUPP: such an algorithm is not accepted; -ENOKEY: no key for it; -EKEYREJECTED: another
 * key has signed it, or something else. */
int tls_jwks_verify(const struct tls_jwks *k, const struct jwt *t) NODISCARD;
