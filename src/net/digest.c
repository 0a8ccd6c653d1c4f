#include "net/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

void sha256(struct str message, uint8_t ret[SHA256_BYTES])
{
    unsigned n = 0;
    int r = EVP_Digest(message.n ? message.p : "", message.n, ret, &n, EVP_sha256(), NULL);
    ASSERT(r == 1 && n == SHA256_BYTES);
}

void hmac_sha256(struct str key, struct str message, uint8_t ret[SHA256_BYTES])
{
    unsigned n = 0;
    const uint8_t *r = HMAC(EVP_sha256(), key.n ? key.p : "", (int)key.n,
                            (const uint8_t *)message.p, message.n, ret, &n);
    ASSERT(r && n == SHA256_BYTES);
}

bool digest_eq(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES])
{
    return CRYPTO_memcmp(a, b, SHA256_BYTES) == 0;
}
