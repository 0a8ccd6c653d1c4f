/* rtnetlink answers. Owns their layout only. */
#include "codec/rtnl_reply.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <netinet/in.h>

bool rtnl_parse_link(const struct nlmsg *m, unsigned *ret_index)
{
    struct ifinfomsg info;
    if (m->type != RTM_NEWLINK || m->payload.n < sizeof(info))
        return false;
    memcpy(&info, m->payload.p, sizeof(info));
    *ret_index = (unsigned)info.ifi_index;
    return info.ifi_index > 0;
}

bool rtnl_parse_link_whole(const struct nlmsg *m, struct rtnl_link *ret)
{
    struct ifinfomsg info;
    if (m->type != RTM_NEWLINK || m->payload.n < sizeof(info))
        return false;
    memcpy(&info, m->payload.p, sizeof(info));
    struct str attrs = nlmsg_attrs(m, sizeof(info)), mac = nla_find(attrs, IFLA_ADDRESS),
               name = nla_text(nla_find(attrs, IFLA_IFNAME));
    if (info.ifi_index <= 0 || !name.n || name.n >= sizeof(ret->name))
        return false;
    *ret = (struct rtnl_link){.index = (unsigned)info.ifi_index,
                              .master = nla_u32(nla_find(attrs, IFLA_MASTER), 0),
                              .flags = info.ifi_flags,
                              .ethernet = info.ifi_type == ARPHRD_ETHER && mac.n == 6};
    if (ret->ethernet)
        memcpy(ret->mac, mac.p, 6);
    memcpy(ret->name, name.p, name.n);
    return true;
}

static bool prefix_from(uint8_t family, uint8_t len, struct str data, struct prefix *ret)
{
    *ret = (struct prefix){.ip.family = family, .len = len};
    if (family != AF_INET && family != AF_INET6)
        return false;
    if (data.n != ip_bytes(&ret->ip) || len > data.n * 8)
        return false;
    memcpy(ret->ip.bytes, data.p, data.n);
    return true;
}

bool rtnl_parse_addr(const struct nlmsg *m, struct prefix *ret, unsigned *ret_index)
{
    struct ifaddrmsg msg;
    if (m->type != RTM_NEWADDR || m->payload.n < sizeof(msg))
        return false;
    memcpy(&msg, m->payload.p, sizeof(msg));
    struct str attrs = nlmsg_attrs(m, sizeof(msg));
    struct str data = nla_find(attrs, IFA_LOCAL);
    if (!data.p)
        data = nla_find(attrs, IFA_ADDRESS);
    *ret_index = msg.ifa_index;
    return prefix_from(msg.ifa_family, msg.ifa_prefixlen, data, ret);
}

bool rtnl_parse_route(const struct nlmsg *m, struct prefix *ret, unsigned *ret_index)
{
    struct rtmsg msg;
    if (m->type != RTM_NEWROUTE || m->payload.n < sizeof(msg))
        return false;
    memcpy(&msg, m->payload.p, sizeof(msg));
    struct str attrs = nlmsg_attrs(m, sizeof(msg));
    *ret_index = nla_u32(nla_find(attrs, RTA_OIF), 0);
    return prefix_from(msg.rtm_family, msg.rtm_dst_len, nla_find(attrs, RTA_DST), ret);
}
