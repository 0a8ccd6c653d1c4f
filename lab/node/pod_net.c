/* Pod networking inside a node.
 *
 * A pod's address has the length of a single host and everything goes to the gateway, neighbours of
 * the same node included: so both directions of a connection through a Service pass the node's
 * translation. The port's name carries the address's number; making it first removes what a killed
 * predecessor left under that name, so no address is ever there twice. Owns the pool's bookkeeping
 * and the pinned namespace. */
#include "lab/node/pod_net.h"

#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/assert.h"
#include "nl/netns.h"
#include "nl/rtnl.h"

#define BRIDGE "cni0"

static int pool_take(struct pod_net_pool *pool)
{
    for (unsigned i = 0; i < POD_NET_SLOTS; i++) {
        unsigned slot = (pool->next + i) % POD_NET_SLOTS;
        if (pool->used[slot])
            continue;
        pool->used[slot] = 1;
        pool->next = slot + 1;
        return (int)slot;
    }
    return -1;
}

static int route(struct nl_socket *s, struct prefix dst, struct ip gateway, unsigned index,
                 struct err *reterr)
{
    struct rtnl_route r = {.dst = dst, .gateway = gateway, .index = index};
    int code = rtnl_route_add(s, &r, reterr);
    return code == -EEXIST ? 0 : code;
}

static int family_inside(struct nl_socket *s, unsigned eth, const struct ip *ip,
                         const struct prefix *cidr, struct err *reterr)
{
    uint8_t full = ip->family == AF_INET ? 32 : 128;
    struct prefix own = {*ip, full}, gateway = {.len = full}, all = {{.family = ip->family}, 0};
    int r = prefix_nth(cidr, 1, &gateway.ip);
    if (r == 0)
        r = rtnl_addr_add(s, eth, &own, reterr);
    if (r == 0)
        r = route(s, gateway, (struct ip){0}, eth, reterr);
    return r < 0 ? r : route(s, all, gateway.ip, eth, reterr);
}

struct inside {
    const struct pod_net_pool *pool;
    const struct pod_net *net;
};

/* Made of the pod's address: the next pod that gets it is the same neighbour to everyone who knew
 * the last one. With an address of chance it would be sent to nowhere until they have forgotten. */
static int set_hardware_address(const struct ip *v4, struct err *reterr)
{
    struct ifreq request = {.ifr_name = "eth0", .ifr_hwaddr.sa_family = ARPHRD_ETHER};
    static const uint8_t prefix[] = {0x0a, 0x58}; /* locally administered */
    AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(request.ifr_hwaddr.sa_data, prefix, sizeof(prefix));
    memcpy(request.ifr_hwaddr.sa_data + sizeof(prefix), v4->bytes, 4);
    if (fd < 0 || ioctl(fd, SIOCSIFHWADDR, &request) < 0)
        return err_set(reterr, -errno, NULL, "hardware address of the pod: %s", strerror(errno));
    return 0;
}

static int pod_inside(void *user, struct err *reterr)
{
    static const char *const sysctls[][2] = {
        {"net/ipv6/conf/all/disable_ipv6", "0"},      {"net/ipv6/conf/default/disable_ipv6", "0"},
        {"net/ipv6/conf/eth0/disable_ipv6", "0"},     {"net/ipv6/conf/eth0/accept_dad", "0"},
        {"net/ipv6/conf/eth0/accept_ra", "0"},        {"net/ipv6/conf/eth0/accept_redirects", "0"},
        {"net/ipv4/conf/all/accept_redirects", "0"},  {"net/ipv4/conf/eth0/accept_redirects", "0"},
        {"net/ipv4/ip_unprivileged_port_start", "0"}, {"net/ipv4/ping_group_range", "0 2147483647"},
    };
    const struct inside *w = user;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    unsigned lo, eth;
    for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
        int code = netns_sysctl(sysctls[i][0], sysctls[i][1], reterr);
        if (code < 0 && code != -ENOENT)
            return code;
    }
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r == 0)
        r = set_hardware_address(&w->net->v4, reterr);
    if (r < 0)
        return r;
    if ((r = rtnl_link_find(s, "lo", &lo)) < 0 || (r = rtnl_link_find(s, "eth0", &eth)) < 0)
        return err_set(reterr, r, NULL, "the pod's links are not there");
    r = rtnl_link_set_up(s, lo, reterr);
    if (r == 0)
        r = rtnl_link_set_up(s, eth, reterr);
    if (r == 0)
        r = family_inside(s, eth, &w->net->v4, &w->pool->v4, reterr);
    if (r == 0 && w->net->v6.family)
        r = family_inside(s, eth, &w->net->v6, &w->pool->v6, reterr);
    return r;
}

static int port_up(const struct pod_net *n, const char *port, struct err *reterr)
{
    AUTO(nl_socket) struct nl_socket *s = NULL;
    unsigned bridge, index;
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r < 0)
        return r;
    if (rtnl_link_find(s, BRIDGE, &bridge) < 0)
        return err_set(reterr, -ENODEV, NULL, "the node has no bridge " BRIDGE);
    r = rtnl_link_remove(s, port, NULL); /* of a predecessor */
    if (r < 0 && r != -ENODEV)
        return err_set(reterr, r, NULL, "remove old link %s: %s", port, strerror(-r));
    r = rtnl_veth_add(s, port, "eth0", n->netns, reterr);
    if (r == 0 && rtnl_link_find(s, port, &index) < 0)
        r = err_set(reterr, -ENODEV, NULL, "link %s is gone", port);
    if (r == 0)
        r = rtnl_link_set_master(s, index, bridge, reterr);
    if (r == 0)
        r = rtnl_port_set_hairpin(s, index, reterr);
    return r < 0 ? r : rtnl_link_set_up(s, index, reterr);
}

int pod_net_up(struct pod_net_pool *pool, const char *name, struct pod_net *ret, struct err *reterr)
{
    struct pod_net n = {.netns = -1, .slot = pool_take(pool)};
    char port[16];
    if (n.slot < 0)
        return err_set(reterr, -ENOSPC, NULL,
                       "all %d addresses of the node's pod network are in use", POD_NET_SLOTS);
    snprintf(n.name, sizeof(n.name), "%s", name);
    snprintf(port, sizeof(port), "pod%d", n.slot + 2);
    int r = prefix_nth(&pool->v4, (uint64_t)n.slot + 2, &n.v4);
    if (r == 0 && pool->v6.ip.family)
        r = prefix_nth(&pool->v6, (uint64_t)n.slot + 2, &n.v6);
    ASSERT(r == 0);
    r = netns_add(name, reterr);
    if (r == -EEXIST) { /* of a predecessor that was killed */
        r = netns_remove(name, reterr);
        if (r == 0)
            r = netns_add(name, reterr);
    }
    if (r == 0) {
        n.netns = netns_open(name, reterr);
        r = n.netns < 0 ? n.netns : port_up(&n, port, reterr);
    }
    struct inside w = {pool, &n};
    if (r == 0)
        r = netns_run(n.netns, pod_inside, &w, reterr);
    if (r < 0) {
        pod_net_down(pool, &n);
        return r;
    }
    *ret = n;
    return 0;
}

void pod_net_down(struct pod_net_pool *pool, struct pod_net *n)
{
    if (n->netns >= 0)
        close(n->netns);
    n->netns = -1;
    if (n->name[0] && netns_remove(n->name, NULL) < 0)
        return; /* the address stays taken: its namespace is still there */
    n->name[0] = 0;
    if (n->slot >= 0)
        pool->used[n->slot] = 0;
    n->slot = -1;
}
