/* Connection table of the kernel, UDP only: TCP flows are never cut by us. A dump collects what is
 * to go, then one deletion per flow follows, named by its original tuple and its id, so that a flow
 * that was born meanwhile on the same tuple is left alone. Blocking, one per thread. */
#include "nl/conntrack.h"

#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>

enum {
    /* Kernel-internal names (net/netfilter/nf_conntrack_netlink.c), part of the ABI since 5.8. */
    FILTER_IP_DST = 1 << 1,
    FILTER_PROTO_NUM = 1 << 3,
    FILTER_PROTO_DST_PORT = 1 << 5,
    CONNTRACK_DUMP_TRIES = 5,
};

struct conntrack {
    struct nl_socket *sock;
    bool no_filter; /* the kernel refused CTA_FILTER once */
};

struct collect {
    const struct conntrack_filter *filter;
    bool (*stale)(const struct conntrack_flow *flow, void *user);
    void *user;
    struct buf victims; /* delete messages without their sequence numbers */
    size_t n;
};

int conntrack_new(struct conntrack **ret, struct err *reterr)
{
    struct nl_socket *sock;
    int r = nl_socket_new(NETLINK_NETFILTER, &sock, reterr);
    if (r < 0)
        return r;
    *ret = NEW(struct conntrack);
    (*ret)->sock = sock;
    return 0;
}

void conntrack_free(struct conntrack *c)
{
    if (!c)
        return;
    nl_socket_free(c->sock);
    free(c);
}

static size_t ct_begin(struct buf *b, uint16_t op, uint16_t flags, uint32_t seq, uint8_t family)
{
    size_t at =
        nlmsg_begin(b, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | op), NLM_F_REQUEST | flags, seq);
    struct nfgenmsg g = {.nfgen_family = family, .version = NFNETLINK_V0};
    nlmsg_fixed(b, &g, sizeof(g));
    return at;
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

/* False: not a UDP flow of this family. */
static bool parse_flow(const struct nlmsg *m, uint8_t family, struct conntrack_flow *f)
{
    struct str attrs = nlmsg_attrs(m, sizeof(struct nfgenmsg));
    struct str orig = nla_find(attrs, CTA_TUPLE_ORIG), reply = nla_find(attrs, CTA_TUPLE_REPLY);
    struct str proto = nla_find(orig, CTA_TUPLE_PROTO),
               reply_proto = nla_find(reply, CTA_TUPLE_PROTO);
    if (nla_u8(nla_find(proto, CTA_PROTO_NUM), 0) != IPPROTO_UDP)
        return false;
    f->src_port = nla_be16(nla_find(proto, CTA_PROTO_SRC_PORT), 0);
    f->dst_port = nla_be16(nla_find(proto, CTA_PROTO_DST_PORT), 0);
    f->reply_src_port = nla_be16(nla_find(reply_proto, CTA_PROTO_SRC_PORT), 0);
    return parse_ip(orig, family, false, &f->src) && parse_ip(orig, family, true, &f->dst) &&
           parse_ip(reply, family, false, &f->reply_src);
}

static int on_flow(const struct nlmsg *m, void *user)
{
    struct collect *c = user;
    struct conntrack_flow f = {0};
    const struct conntrack_filter *want = c->filter;
    if (!parse_flow(m, want->family, &f))
        return 0;
    if ((want->dst.family && !ip_eq(&want->dst, &f.dst)) ||
        (want->dst_port && want->dst_port != f.dst_port))
        return 0;
    if (!c->stale(&f, c->user))
        return 0;
    struct str attrs = nlmsg_attrs(m, sizeof(struct nfgenmsg));
    struct str orig = nla_find(attrs, CTA_TUPLE_ORIG), id = nla_find(attrs, CTA_ID);
    size_t at = ct_begin(&c->victims, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, 0, want->family);
    nla_add(&c->victims, NLA_F_NESTED | CTA_TUPLE_ORIG, orig.p, orig.n);
    if (id.n == 4)
        nla_add(&c->victims, CTA_ID, id.p, id.n);
    nlmsg_end(&c->victims, at);
    c->n++;
    return 0;
}

static void add_filter(struct buf *b, const struct conntrack_filter *f)
{
    uint32_t flags = FILTER_PROTO_NUM;
    size_t tuple = nla_nest_begin(b, CTA_TUPLE_ORIG);
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

static int collect_once(struct conntrack *c, struct collect *what, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(c->sock);
    size_t at = ct_begin(&b, IPCTNL_MSG_CT_GET, NLM_F_DUMP, seq, what->filter->family);
    if (!c->no_filter)
        add_filter(&b, what->filter);
    nlmsg_end(&b, at);
    buf_clear(&what->victims);
    what->n = 0;
    int r = nl_dump(c->sock, buf_str(&b), seq, on_flow, what, reterr);
    buf_done(&b);
    return r;
}

static int delete_all(struct conntrack *c, struct str victims, size_t *ret_deleted,
                      struct err *reterr)
{
    while (victims.n) {
        struct nlmsghdr h;
        struct buf b = {0};
        memcpy(&h, victims.p, sizeof(h));
        h.nlmsg_seq = nl_socket_seq(c->sock);
        buf_add(&b, victims.p, h.nlmsg_len);
        memcpy(b.p, &h, sizeof(h));
        victims = str_sub(victims, h.nlmsg_len, victims.n);
        int r = nl_transact(c->sock, buf_str(&b), h.nlmsg_seq, reterr);
        buf_done(&b);
        if (r < 0 && r != -ENOENT)
            return r;
        if (r == 0)
            ++*ret_deleted;
    }
    return 0;
}

int conntrack_delete_udp(struct conntrack *c, const struct conntrack_filter *f,
                         bool (*stale)(const struct conntrack_flow *flow, void *user), void *user,
                         size_t *ret_deleted, struct err *reterr)
{
    struct collect what = {.filter = f, .stale = stale, .user = user};
    size_t deleted = 0;
    int r = -EINTR;
    for (int i = 0; i < CONNTRACK_DUMP_TRIES && r == -EINTR; i++) {
        r = collect_once(c, &what, reterr);
        if ((r == -EINVAL || r == -EOPNOTSUPP) && !c->no_filter) {
            c->no_filter = true;
            r = -EINTR;
        }
    }
    /* Interrupted to the last: what was seen is still right, the rest is found by the next change.
     */
    if (r == 0 || r == -EINTR)
        r = delete_all(c, buf_str(&what.victims), &deleted, reterr);
    buf_done(&what.victims);
    if (ret_deleted)
        *ret_deleted = deleted;
    return r;
}
