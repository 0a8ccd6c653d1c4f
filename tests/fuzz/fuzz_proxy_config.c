/* fuzz-layer: agent
 * kube-proxy's configuration file: any text is read or refused, never both; what was read has every
 * field at a value of its type. */
#include <stdlib.h>

#include "agent/proxy_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_config c;
    struct err err = {0};
    size_t n;
    const struct proxy_field *f = proxy_fields(&n);
    proxy_config_init(&c, "");
    int r = proxy_config_read(&c, str_of(data, size), &err);
    if (r < 0 && !proxy_config_has_errors(&c) && !err.code)
        abort();
    if (r == 0 && proxy_config_check(&c) == 0) {
        if (proxy_config_has_errors(&c))
            abort();
        for (size_t i = 0; i < n; i++) {
            (void)proxy_config_text(&c, f[i].path);
            (void)proxy_config_ms(&c, f[i].path);
            if (proxy_config_has(&c, f[i].path) && !json_at(c.tree, f[i].path))
                abort();
        }
        if (proxy_config_count(&c, "iptables.masqueradeBit") > 31)
            abort();
    }
    proxy_config_done(&c);
    return 0;
}
