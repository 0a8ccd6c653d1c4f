/* ctnetlink messages. Owns their layout; knows nothing of which flows are stale. */
#include "codec/ctnl.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

#include "base/assert.h"

enum {
    /* Kernel-internal names (net/netfilter/nf_conntrack_netlink.c), part of the ABI since 5.8. */
    FILTER_IP_DST = 1 << 1,
    FILTER_PROTO_NUM = 1 << 3,
    FILTER_PROTO_DST_PORT = 1 << 5,
};

static size_t ct_begin(struct buf *b, uint16_t op, uint16_t flags, uint32_t seq, uint8_t family)
{
    ASSERT(family == AF_INET || family == AF_INET6);
    size_t at =
        nlmsg_begin(b, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | op), NLM_F_REQUEST | flags, seq);
    struct nfgenmsg g = {.nfgen_family = family, .version = NFNETLINK_V0};
    nlmsg_fixed(b, &g, sizeof(g));
    return at;
}

static void add_filter(struct buf *b, const struct conntrack_filter *f)
{
    uint32_t flags = FILTER_PROTO_NUM;
    size_t tuple = nla_nest_begin(b, CTA_TUPLE_ORIG);
    ASSERT(!f->dst.family || f->dst.family == f->family);
    if (f->dst.family) {
        size_t ip = nla_nest_begin(b, CTA_TUPLE_IP);
        nla_add(b, f->family == AF_INET ? CTA_IP_V4_DST : CTA_IP_V6_DST, f->dst.bytes,
                ip_bytes(&f->dst));
        nla_nest_end(b, ip);
        flags |= FILTER_IP_DST;
    }
    size_t proto = nla_nest_begin(b, CTA_TUPLE_PROTO);
    nla_add_u8(b, CTA_PROTO_NUM, IPPROTO_UDP);
    if (f->dst_port) {
        nla_add_be16(b, CTA_PROTO_DST_PORT, f->dst_port);
        flags |= FILTER_PROTO_DST_PORT;
    }
    nla_nest_end(b, proto);
    nla_nest_end(b, tuple);
    size_t filter = nla_nest_begin(b, CTA_FILTER);
    nla_add_u32(b, CTA_FILTER_ORIG_FLAGS, flags);
    nla_add_u32(b, CTA_FILTER_REPLY_FLAGS, 0);
    nla_nest_end(b, filter);
}

void ctnl_add_dump(struct buf *b, const struct conntrack_filter *f, bool in_kernel, uint32_t seq)
{
    size_t at = ct_begin(b, IPCTNL_MSG_CT_GET, NLM_F_DUMP, seq, f->family);
    if (in_kernel)
        add_filter(b, f);
    nlmsg_end(b, at);
}

static bool parse_ip(struct str tuple, uint8_t family, bool dst, struct ip *ret)
{
    struct str ips = nla_find(tuple, CTA_TUPLE_IP);
    uint16_t type = family == AF_INET ? (dst ? CTA_IP_V4_DST : CTA_IP_V4_SRC)
                                      : (dst ? CTA_IP_V6_DST : CTA_IP_V6_SRC);
    struct str v = nla_find(ips, type);
    *ret = (struct ip){.family = family};
    if (v.n != ip_bytes(ret))
        return false;
    memcpy(ret->bytes, v.p, v.n);
    return true;
}

bool ctnl_parse_flow(const struct nlmsg *m, uint8_t family, struct conntrack_flow *ret)
{
    struct str attrs = nlmsg_attrs(m, sizeof(struct nfgenmsg));
    struct str orig = nla_find(attrs, CTA_TUPLE_ORIG), reply = nla_find(attrs, CTA_TUPLE_REPLY);
    struct str proto = nla_find(orig, CTA_TUPLE_PROTO),
               reply_proto = nla_find(reply, CTA_TUPLE_PROTO);
    if (nla_u8(nla_find(proto, CTA_PROTO_NUM), 0) != IPPROTO_UDP)
        return false;
    ret->src_port = nla_be16(nla_find(proto, CTA_PROTO_SRC_PORT), 0);
    ret->dst_port = nla_be16(nla_find(proto, CTA_PROTO_DST_PORT), 0);
    ret->reply_src_port = nla_be16(nla_find(reply_proto, CTA_PROTO_SRC_PORT), 0);
    return parse_ip(orig, family, false, &ret->src) && parse_ip(orig, family, true, &ret->dst) &&
           parse_ip(reply, family, false, &ret->reply_src);
}

void ctnl_add_delete(struct buf *b, const struct nlmsg *flow, uint8_t family, uint32_t seq)
{
    struct str attrs = nlmsg_attrs(flow, sizeof(struct nfgenmsg));
    struct str orig = nla_find(attrs, CTA_TUPLE_ORIG), id = nla_find(attrs, CTA_ID);
    size_t at = ct_begin(b, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, seq, family);
    nla_add(b, NLA_F_NESTED | CTA_TUPLE_ORIG, orig.p, orig.n);
    if (id.n == 4)
        nla_add(b, CTA_ID, id.p, id.n);
    nlmsg_end(b, at);
}
