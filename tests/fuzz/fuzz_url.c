/* fuzz-layer: codec
 * Whole URLs: their parts lie in the text, one behind the other, and may stand in a request. */
#include <stdlib.h>

#include "codec/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = str_of(data, size);
    struct url_parts u;
    if (url_split(s, &u) < 0)
        return 0;
    if (!u.host.n || !u.port || u.host.p < s.p || u.target.p < u.host.p + u.host.n ||
        u.target.p + u.target.n != s.p + s.n)
        abort();
    if (u.target.n && u.target.p[0] != '/' && u.target.p[0] != '?')
        abort();
    for (size_t i = 0; i < u.target.n; i++)
        if (u.target.p[i] <= ' ' || u.target.p[i] > '~')
            abort();
    if (memchr(u.host.p, '@', u.host.n) || memchr(u.host.p, '/', u.host.n))
        abort();
    return 0;
}
