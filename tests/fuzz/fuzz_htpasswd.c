/* Lines of htpasswd: what is usable can be checked, whatever stands there.
 * fuzz-layer: net */
#include <stdlib.h>

#include "net/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_of(data, size);
    struct htpasswd_line line = {0};
    unsigned checked = 0;
    while (htpasswd_next(&rest, &line)) {
        if (line.why)
            continue;
        if (!line.name.n || !line.hash.n || line.hash.n > HTPASSWD_HASH_MAX)
            abort();
        if (!htpasswd_is_slow(line.kind) || (line.kind == HTPASSWD_APR1 && checked++ < 4))
            (void)password_is_right(line.kind, line.hash, line.name);
    }
    return 0;
}
