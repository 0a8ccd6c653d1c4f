/* fuzz-layer: codec
 * Netlink answers of nf_tables, the connection table and rtnetlink: any bytes must be cut into
 * messages and attributes without leaving the buffer. */
#include <netinet/in.h>
#include <stdlib.h>

#include "codec/ctnl.h"
#include "codec/nfnl.h"
#include "codec/rtnl_reply.h"

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

/* A flow that was understood must give a deletion that can be read back. */
static void check_flow(const struct nlmsg *m, uint8_t family)
{
    struct conntrack_flow f;
    AUTO_DONE(buf) struct buf b = {0};
    struct nlmsg back;
    if (!ctnl_parse_flow(m, family, &f))
        return;
    ctnl_add_delete(&b, m, family, 1);
    struct str bytes = buf_str(&b);
    if (f.src.family != family || (!b.failed && nlmsg_next(&bytes, &back) != 1))
        abort();
}

static void check_rtnl(const struct nlmsg *m)
{
    struct prefix p;
    unsigned index;
    struct rtnl_link l;
    (void)rtnl_parse_link(m, &index);
    if (rtnl_parse_link_whole(m, &l) && (!l.index || !memchr(l.name, 0, sizeof(l.name))))
        abort();
    if ((rtnl_parse_addr(m, &p, &index) || rtnl_parse_route(m, &p, &index)) &&
        p.len > ip_bytes(&p.ip) * 8)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str bytes = str_of(data, size), a, b;
    struct nlmsg m;
    size_t sum = 0;
    uint32_t genid;
    uint64_t packets;
    while (nlmsg_next(&bytes, &m) == 1) {
        (void)!nfnl_parse_elems(&m, on_elem, &sum);
        (void)!nfnl_parse_genid(&m, &genid);
        (void)!nfnl_parse_name(&m, &a, &b);
        uint8_t family;
        if (nfnl_parse_owner(&m, &family, &a, &b) && !a.n)
            abort();
        (void)!nfnl_parse_rule_packets(&m, &packets);
        (void)!nlmsg_error(&m, &a);
        (void)!nlmsg_done(&m, &a);
        check_flow(&m, AF_INET);
        check_flow(&m, AF_INET6);
        check_rtnl(&m);
    }
    return 0;
}
