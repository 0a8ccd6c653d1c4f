/* fuzz-layer: codec
 * Netlink answers of nf_tables and conntrack: any bytes must be cut into messages and attributes
 * without leaving the buffer. */
#include "codec/nfnl.h"

#include <stddef.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_elem(const struct nfnl_elem *e, void *user)
{
    size_t *sum = user;
    for (size_t i = 0; i < e->key.n; i++)
        *sum += (uint8_t)e->key.p[i];
    for (size_t i = 0; i < e->data.n; i++)
        *sum += (uint8_t)e->data.p[i];
    *sum += e->chain.n;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_of(data, size), a, b;
    struct nlmsg m;
    size_t sum = 0;
    uint32_t genid;
    while (nlmsg_next(&bytes, &m) == 1) {
        (void)!nfnl_parse_elems(&m, on_elem, &sum);
        (void)!nfnl_parse_genid(&m, &genid);
        (void)!nfnl_parse_name(&m, &a, &b);
        (void)!nfnl_parse_rule(&m, &a, &b);
        (void)!nlmsg_error(&m, &a);
    }
    return 0;
}
