#pragma once
/* Messages of the connection table (nfnetlink subsystem ctnetlink,
 * linux/netfilter/nfnetlink_conntrack.h), UDP only: what a dump answers, the dump's filter, a
 * deletion. No sockets. */

#include "base/addr.h"
#include "codec/netlink.h"

struct conntrack_flow {
    struct ip src, dst; /* as the client sent it */
    uint16_t src_port, dst_port;
    struct ip reply_src; /* who answers: the endpoint, or dst if nothing was rewritten */
    uint16_t reply_src_port;
};

/* Which flows to look at. */
struct conntrack_filter {
    uint8_t family;
    struct ip dst;     /* family 0 = any */
    uint16_t dst_port; /* 0 = any */
};

/* A request for all flows of the filter's family; in_kernel: the kernel leaves out what does not
 * match (CTA_FILTER, 5.8). */
void ctnl_add_dump(struct buf *b, const struct conntrack_filter *f, bool in_kernel, uint32_t seq);
/* False: not a UDP flow of this family, or malformed. */
bool ctnl_parse_flow(const struct nlmsg *m, uint8_t family, struct conntrack_flow *ret);
/* A request that deletes the flow of an answer by its original tuple and its id, so that a flow
 * that was born meanwhile on the same tuple is left alone. */
void ctnl_add_delete(struct buf *b, const struct nlmsg *flow, uint8_t family, uint32_t seq);
