/* Tokens: apart, and against a key. First line a key set, then tokens.
 * fuzz-layer: net */
#include <stdlib.h>

#include "net/tls_jwks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest, keys = str_cut(str_of(data, size), '\n', &rest);
    struct tls_jwks *k = NULL;
    if (tls_jwks_new(keys, &k, NULL) < 0)
        k = NULL;
    while (rest.p) {
        struct str token = str_cut(rest, '\n', &rest);
        struct jwt t;
        if (jwt_parse(token, &t))
            continue;
        if (!t.header || !t.payload || !t.alg || t.signed_text.n >= token.n)
            abort();
        if (k && tls_jwks_verify(k, &t) == 0 && !tls_jwks_keys(k))
            abort();
        jwt_done(&t);
    }
    tls_jwks_free(k);
    return 0;
}
