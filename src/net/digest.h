#pragma once
/* SHA-256, plain and with a key (HMAC, RFC 2104). OpenSSL's. */

#include <stdint.h>

#include "base/str.h"

enum { SHA256_BYTES = 32 };

void sha256(struct str message, uint8_t ret[SHA256_BYTES]);
void hmac_sha256(struct str key, struct str message, uint8_t ret[SHA256_BYTES]);
/* In a time that does not depend on where they differ. */
bool digest_eq(const uint8_t a[SHA256_BYTES], const uint8_t b[SHA256_BYTES]);
