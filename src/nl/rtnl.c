/* rtnetlink requests: links, addresses, routes.
 *
 * Owns the encoding of each request and nothing else: no socket, no state, no policy about names or
 * addresses. One request is one write and one answer; that is tens of microseconds, so there is no
 * batching. A caller that wants a whole namespace built uses one socket for all of it. The socket
 * decides the namespace; the thread's does not matter after the socket is open. */
#include "nl/rtnl.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include "base/assert.h"
#include "base/rand.h"

enum { RTNL_ADD = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL };

static int rtnl_send(struct nl_socket *s, struct buf *b, size_t begin, uint32_t seq,
                     const char *what, struct err *reterr)
{
    nlmsg_end(b, begin);
    int r = b->failed ? err_set(reterr, -ENOMEM, NULL, "out of memory")
                      : nl_transact(s, buf_str(b), seq, NULL, reterr);
    buf_done(b);
    if (r < 0)
        err_prefix(reterr, NULL, what);
    return r;
}

static size_t link_begin(struct buf *b, uint16_t type, uint16_t flags, uint32_t seq,
                         const struct ifinfomsg *info)
{
    size_t begin = nlmsg_begin(b, type, flags, seq);
    nlmsg_fixed(b, info, sizeof(*info));
    return begin;
}

static int on_link(const struct nlmsg *m, void *user)
{
    (void)rtnl_parse_link(m, user);
    return 0;
}

int rtnl_link_find(struct nl_socket *s, const char *name, unsigned *ret_index)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    unsigned index = 0;
    size_t begin = link_begin(&b, RTM_GETLINK, NLM_F_REQUEST, seq, &(struct ifinfomsg){0});
    nla_add_cstr(&b, IFLA_IFNAME, name);
    nlmsg_end(&b, begin);
    int r = nl_dump(s, buf_str(&b), seq, on_link, &index, NULL);
    buf_done(&b);
    if (r < 0)
        return r;
    if (!index)
        return -ENODEV;
    *ret_index = index;
    return 0;
}

int rtnl_link_remove(struct nl_socket *s, const char *name, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    size_t begin =
        link_begin(&b, RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, seq, &(struct ifinfomsg){0});
    nla_add_cstr(&b, IFLA_IFNAME, name);
    return rtnl_send(s, &b, begin, seq, "remove link", reterr);
}

int rtnl_veth_add(struct nl_socket *s, const char *name, const char *peer, int peer_netns,
                  struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    size_t begin = link_begin(&b, RTM_NEWLINK, RTNL_ADD, seq, &(struct ifinfomsg){0});
    nla_add_cstr(&b, IFLA_IFNAME, name);
    size_t info = nla_nest_begin(&b, IFLA_LINKINFO);
    nla_add_cstr(&b, IFLA_INFO_KIND, "veth");
    size_t data = nla_nest_begin(&b, IFLA_INFO_DATA);
    size_t end = nla_nest_begin(&b, VETH_INFO_PEER);
    nlmsg_fixed(&b, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg));
    nla_add_cstr(&b, IFLA_IFNAME, peer);
    nla_add_u32(&b, IFLA_NET_NS_FD, (uint32_t)peer_netns);
    nla_nest_end(&b, end);
    nla_nest_end(&b, data);
    nla_nest_end(&b, info);
    return rtnl_send(s, &b, begin, seq, "add veth", reterr);
}

int rtnl_bridge_add(struct nl_socket *s, const char *name, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    size_t begin = link_begin(&b, RTM_NEWLINK, RTNL_ADD, seq, &(struct ifinfomsg){0});
    nla_add_cstr(&b, IFLA_IFNAME, name);
    /* Without an address of its own a bridge takes the lowest one of its ports, and changes it when
     * a port comes or goes; whoever has the old one in its neighbour table then sends into nothing.
     */
    uint8_t mac[6];
    rand_bytes(mac, sizeof(mac));
    mac[0] = (uint8_t)((mac[0] & 0xfe) | 0x02); /* one host, locally administered */
    nla_add(&b, IFLA_ADDRESS, mac, sizeof(mac));
    size_t info = nla_nest_begin(&b, IFLA_LINKINFO);
    nla_add_cstr(&b, IFLA_INFO_KIND, "bridge");
    size_t data = nla_nest_begin(&b, IFLA_INFO_DATA);
    nla_add_u32(&b, IFLA_BR_STP_STATE, 0);
    nla_add_u8(&b, IFLA_BR_MCAST_SNOOPING, 0);
    nla_nest_end(&b, data);
    nla_nest_end(&b, info);
    return rtnl_send(s, &b, begin, seq, "add bridge", reterr);
}

int rtnl_link_set_up(struct nl_socket *s, unsigned index, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    struct ifinfomsg info = {.ifi_index = (int)index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    size_t begin = link_begin(&b, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, seq, &info);
    return rtnl_send(s, &b, begin, seq, "set link up", reterr);
}

int rtnl_link_set_master(struct nl_socket *s, unsigned index, unsigned master, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    struct ifinfomsg info = {.ifi_index = (int)index};
    size_t begin = link_begin(&b, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, seq, &info);
    nla_add_u32(&b, IFLA_MASTER, master);
    return rtnl_send(s, &b, begin, seq, "set bridge of link", reterr);
}

int rtnl_port_set_hairpin(struct nl_socket *s, unsigned index, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    struct ifinfomsg info = {.ifi_family = AF_BRIDGE, .ifi_index = (int)index};
    size_t begin = link_begin(&b, RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, seq, &info);
    size_t port = nla_nest_begin(&b, IFLA_PROTINFO);
    nla_add_u8(&b, IFLA_BRPORT_MODE, 1);
    nla_nest_end(&b, port);
    return rtnl_send(s, &b, begin, seq, "set hairpin", reterr);
}

static int addr_change(struct nl_socket *s, uint16_t type, uint16_t flags, unsigned index,
                       const struct prefix *addr, struct err *reterr)
{
    ASSERT(addr->ip.family == AF_INET || addr->ip.family == AF_INET6);
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    struct ifaddrmsg msg = {.ifa_family = addr->ip.family,
                            .ifa_prefixlen = addr->len,
                            .ifa_flags = addr->ip.family == AF_INET6 ? IFA_F_NODAD : 0,
                            .ifa_index = index};
    size_t begin = nlmsg_begin(&b, type, flags, seq);
    nlmsg_fixed(&b, &msg, sizeof(msg));
    nla_add(&b, IFA_LOCAL, addr->ip.bytes, ip_bytes(&addr->ip));
    nla_add(&b, IFA_ADDRESS, addr->ip.bytes, ip_bytes(&addr->ip));
    char text[PREFIX_TEXT_BYTES];
    return rtnl_send(s, &b, begin, seq, prefix_format(addr, text), reterr);
}

int rtnl_addr_add(struct nl_socket *s, unsigned index, const struct prefix *addr,
                  struct err *reterr)
{
    return addr_change(s, RTM_NEWADDR, RTNL_ADD, index, addr, reterr);
}

int rtnl_addr_remove(struct nl_socket *s, unsigned index, const struct prefix *addr,
                     struct err *reterr)
{
    return addr_change(s, RTM_DELADDR, NLM_F_REQUEST | NLM_F_ACK, index, addr, reterr);
}

int rtnl_route_add(struct nl_socket *s, const struct rtnl_route *r, struct err *reterr)
{
    ASSERT(r->dst.ip.family == AF_INET || r->dst.ip.family == AF_INET6);
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    struct rtmsg msg = {.rtm_family = r->dst.ip.family,
                        .rtm_dst_len = r->dst.len,
                        .rtm_table = RT_TABLE_MAIN,
                        .rtm_protocol = RTPROT_STATIC,
                        .rtm_scope = r->gateway.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
                        .rtm_type = RTN_UNICAST};
    size_t begin = nlmsg_begin(&b, RTM_NEWROUTE, RTNL_ADD, seq);
    nlmsg_fixed(&b, &msg, sizeof(msg));
    if (r->dst.len)
        nla_add(&b, RTA_DST, r->dst.ip.bytes, ip_bytes(&r->dst.ip));
    if (r->gateway.family)
        nla_add(&b, RTA_GATEWAY, r->gateway.bytes, ip_bytes(&r->gateway));
    if (r->index)
        nla_add_u32(&b, RTA_OIF, r->index);
    char text[PREFIX_TEXT_BYTES];
    return rtnl_send(s, &b, begin, seq, prefix_format(&r->dst, text), reterr);
}

/* ---- dumps ---- */

struct prefix_walk {
    rtnl_prefix_fn *fn;
    void *user;
};

static int on_addr(const struct nlmsg *m, void *user)
{
    const struct prefix_walk *w = user;
    struct prefix p;
    unsigned index;
    return rtnl_parse_addr(m, &p, &index) ? w->fn(&p, index, w->user) : 0;
}

static int on_route(const struct nlmsg *m, void *user)
{
    const struct prefix_walk *w = user;
    struct prefix p;
    unsigned index;
    return rtnl_parse_route(m, &p, &index) ? w->fn(&p, index, w->user) : 0;
}

static int rtnl_dump(struct nl_socket *s, uint16_t type, const void *fixed, size_t fixed_bytes,
                     int (*on_msg)(const struct nlmsg *m, void *user), void *w, struct err *reterr)
{
    struct buf b = {0};
    uint32_t seq = nl_socket_seq(s);
    size_t begin = nlmsg_begin(&b, type, NLM_F_REQUEST | NLM_F_DUMP, seq);
    nlmsg_fixed(&b, fixed, fixed_bytes);
    nlmsg_end(&b, begin);
    int r = -EINTR;
    for (int tries = 0; r == -EINTR && tries < 5; tries++)
        r = nl_dump(s, buf_str(&b), seq, on_msg, w, reterr);
    buf_done(&b);
    return r;
}

struct link_walk {
    rtnl_link_fn *fn;
    void *user;
};

static int on_whole_link(const struct nlmsg *m, void *user)
{
    const struct link_walk *w = user;
    struct rtnl_link l;
    return rtnl_parse_link_whole(m, &l) ? w->fn(&l, w->user) : 0;
}

int rtnl_link_each(struct nl_socket *s, rtnl_link_fn *fn, void *user, struct err *reterr)
{
    struct link_walk w = {fn, user};
    struct ifinfomsg msg = {.ifi_family = AF_UNSPEC};
    return rtnl_dump(s, RTM_GETLINK, &msg, sizeof(msg), on_whole_link, &w, reterr);
}

int rtnl_addr_each(struct nl_socket *s, rtnl_prefix_fn *fn, void *user, struct err *reterr)
{
    struct prefix_walk w = {fn, user};
    struct ifaddrmsg msg = {.ifa_family = AF_UNSPEC};
    return rtnl_dump(s, RTM_GETADDR, &msg, sizeof(msg), on_addr, &w, reterr);
}

int rtnl_route_each(struct nl_socket *s, rtnl_prefix_fn *fn, void *user, struct err *reterr)
{
    struct prefix_walk w = {fn, user};
    struct rtmsg msg = {.rtm_family = AF_UNSPEC};
    return rtnl_dump(s, RTM_GETROUTE, &msg, sizeof(msg), on_route, &w, reterr);
}
