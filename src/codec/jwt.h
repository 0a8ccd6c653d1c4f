#pragma once
/* JSON Web Tokens in their compact form (RFC 7519, RFC 7515): taken apart, nothing verified. */

#include "base/buf.h"
#include "codec/json.h"

enum { JWT_BYTES_MAX = 16384 };

struct jwt {
    json_t *header, *payload; /* objects */
    const char *alg;          /* of the header */
    const char *kid;          /* the same; NULL: none */
    struct str signed_text;   /* of the token: header and payload as they are signed */
    struct str payload_text;  /* of the token: base64url */
    struct buf signature;
};

/* NULL: *ret is to be done; else what is wrong, in Envoy's words. Borrows from the token. */
const char *jwt_parse(struct str token, struct jwt *ret);
void jwt_done(struct jwt *t);
