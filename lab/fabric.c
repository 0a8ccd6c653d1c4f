/* Building the lab's network: fabric and node namespaces.
 *
 * Owns what is inside those namespaces (links, addresses, routes, sysctls); on the host it makes
 * one veth and puts one address per family on it. Everything is configured on a thread inside the
 * namespace concerned. Nothing is kept in memory: the kernel is the state. A namespace that exists
 * already is an error here; taking down is fabric_down.c. */
#include "lab/fabric.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "nl/netns.h"
#include "nl/rtnl.h"

/* What a namespace that routes for others needs. Redirects are off because pods of one node reach
 * each other through their node on purpose, so that Services are translated both ways. Duplicate
 * address detection is off because an address must be usable at once, and is ours alone. */
static const struct {
    const char *name;
    const char *value;
} fabric_sysctls[] = {
    {"net/ipv4/ip_forward", "1"},
    {"net/ipv4/conf/all/rp_filter", "0"},
    {"net/ipv4/conf/default/rp_filter", "0"},
    {"net/ipv4/conf/all/send_redirects", "0"},
    {"net/ipv4/conf/default/send_redirects", "0"},
    {"net/ipv6/conf/all/disable_ipv6", "0"},
    {"net/ipv6/conf/default/disable_ipv6", "0"},
    {"net/ipv6/conf/all/forwarding", "1"},
    {"net/ipv6/conf/default/forwarding", "1"},
    {"net/ipv6/conf/default/accept_dad", "0"},
    {"net/ipv6/conf/default/accept_ra", "0"},
    {"net/ipv6/conf/default/router_solicitations", "0"},
    /* The names of hosts bridging for containers: only there when br_netfilter is loaded. */
    {"net/bridge/bridge-nf-call-iptables", "0"},
    {"net/bridge/bridge-nf-call-ip6tables", "0"},
};

static int sysctls_set(struct err *reterr)
{
    for (size_t i = 0; i < ARRAY_LEN(fabric_sysctls); i++) {
        int r = netns_sysctl(fabric_sysctls[i].name, fabric_sysctls[i].value, reterr);
        if (r < 0 && r != -ENOENT)
            return r;
    }
    return 0;
}

static int link_up(struct nl_socket *s, const char *name, unsigned *ret_index, struct err *reterr)
{
    unsigned index;
    int r = rtnl_link_find(s, name, &index);
    if (r < 0)
        return err_set(reterr, r, NULL, "link %s: %s", name, strerror(-r));
    *ret_index = index;
    return rtnl_link_set_up(s, index, reterr);
}

static int addr_add(struct nl_socket *s, unsigned index, const struct ip *ip, unsigned len,
                    struct err *reterr)
{
    if (!ip->family)
        return 0;
    struct prefix p = {*ip, (uint8_t)len};
    int r = rtnl_addr_add(s, index, &p, reterr);
    return r == -EEXIST ? 0 : r;
}

/* The plan's address of a role in both families, with the subnet's prefix length. */
static int addrs_add(struct nl_socket *s, unsigned index, const struct fabric_plan *p,
                     enum fabric_role role, unsigned node, struct err *reterr)
{
    struct ip v4 = fabric_ip(p, role, node, AF_INET), v6 = fabric_ip(p, role, node, AF_INET6);
    int r = addr_add(s, index, &v4, 24, reterr);
    return r < 0 ? r : addr_add(s, index, &v6, 64, reterr);
}

static int route_add(struct nl_socket *s, const struct prefix *dst, const struct ip *gateway,
                     struct err *reterr)
{
    if (!gateway->family)
        return 0;
    struct rtnl_route route = {.dst = *dst, .gateway = *gateway};
    int r = rtnl_route_add(s, &route, reterr);
    return r == -EEXIST ? 0 : r;
}

/* Routes to the pods of every node but `self`. */
static int pod_routes_add(struct nl_socket *s, const struct fabric_plan *p, unsigned self,
                          struct err *reterr)
{
    static const int families[] = {AF_INET, AF_INET6};
    for (unsigned i = 0; i < p->nodes; i++)
        for (size_t f = 0; f < ARRAY_LEN(families) && i != self; f++) {
            struct prefix dst = fabric_pod_cidr(i, families[f]);
            struct ip via = fabric_ip(p, FABRIC_INTERNAL, i, families[f]);
            int r = route_add(s, &dst, &via, reterr);
            if (r < 0)
                return r;
        }
    return 0;
}

struct fabric_work {
    const struct fabric_plan *plan;
    unsigned index;
    int fabric_fd; /* node: the fabric's namespace */
    char port[FABRIC_LINK_BYTES];
};

/* ---- the fabric ---- */

static int fabric_inside(void *user, struct err *reterr)
{
    const struct fabric_work *w = user;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    unsigned lo, bridge;
    int r = sysctls_set(reterr);
    if (r == 0)
        r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r == 0)
        r = link_up(s, "lo", &lo, reterr);
    if (r == 0)
        r = rtnl_bridge_add(s, "br0", reterr);
    if (r == 0)
        r = link_up(s, "br0", &bridge, reterr);
    if (r == 0)
        r = addrs_add(s, bridge, w->plan, FABRIC_API, 0, reterr);
    if (r == 0)
        r = pod_routes_add(s, w->plan, FABRIC_NODES_MAX, reterr);
    return r;
}

/* Puts a veth end that was born in the fabric namespace on the bridge. */
static int port_inside(void *user, struct err *reterr)
{
    const struct fabric_work *w = user;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    unsigned bridge, port;
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r < 0)
        return r;
    r = rtnl_link_find(s, "br0", &bridge);
    if (r < 0)
        return err_set(reterr, r, NULL, "the fabric has no bridge br0");
    r = link_up(s, w->port, &port, reterr);
    return r < 0 ? r : rtnl_link_set_master(s, port, bridge, reterr);
}

static int host_link_up(const struct fabric_plan *p, int fabric_fd, struct err *reterr)
{
    AUTO(nl_socket) struct nl_socket *s = NULL;
    char name[FABRIC_LINK_BYTES];
    struct fabric_work w = {.plan = p, .port = "host"};
    unsigned index;
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r == 0)
        r = rtnl_veth_add(s, fabric_host_link(p->lab, name), w.port, fabric_fd, reterr);
    if (r == 0)
        r = link_up(s, name, &index, reterr);
    if (r == 0)
        r = addrs_add(s, index, p, FABRIC_HOST, 0, reterr);
    if (r == 0)
        r = netns_run(fabric_fd, port_inside, &w, reterr);
    return r;
}

int fabric_up(const struct fabric_plan *p, struct err *reterr)
{
    char name[FABRIC_NAME_BYTES];
    struct fabric_work w = {.plan = p};
    int r = netns_add(fabric_netns(p->lab, name), reterr);
    if (r < 0)
        return r;
    AUTO_FD int fd = netns_open(name, reterr);
    if (fd < 0)
        return fd;
    r = netns_run(fd, fabric_inside, &w, reterr);
    return r < 0 ? r : host_link_up(p, fd, reterr);
}

/* ---- a node ---- */

static int node_pod_bridge(struct nl_socket *s, unsigned node, bool has_v6, struct err *reterr)
{
    unsigned bridge;
    int r = rtnl_bridge_add(s, "cni0", reterr);
    if (r == 0)
        r = link_up(s, "cni0", &bridge, reterr);
    if (r < 0)
        return r;
    struct prefix v4 = fabric_pod_cidr(node, AF_INET), v6 = fabric_pod_cidr(node, AF_INET6);
    r = prefix_nth(&v4, 1, &v4.ip);
    if (r == 0)
        r = prefix_nth(&v6, 1, &v6.ip);
    ASSERT(r == 0);
    r = addr_add(s, bridge, &v4.ip, v4.len, reterr);
    return r < 0 || !has_v6 ? r : addr_add(s, bridge, &v6.ip, v6.len, reterr);
}

static int node_inside(void *user, struct err *reterr)
{
    struct fabric_work *w = user;
    const struct fabric_plan *p = w->plan;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    unsigned lo, eth;
    int r = sysctls_set(reterr);
    if (r == 0)
        r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r == 0)
        r = link_up(s, "lo", &lo, reterr);
    if (r == 0)
        r = rtnl_veth_add(s, "eth0", w->port, w->fabric_fd, reterr);
    if (r == 0)
        r = link_up(s, "eth0", &eth, reterr);
    if (r == 0)
        r = addrs_add(s, eth, p, FABRIC_INTERNAL, w->index, reterr);
    if (r == 0)
        r = addrs_add(s, eth, p, FABRIC_EXTERNAL, w->index, reterr);
    if (r == 0)
        r = node_pod_bridge(s, w->index, p->v6.ip.family != 0, reterr);
    if (r == 0)
        r = pod_routes_add(s, p, w->index, reterr);
    /* The default route makes addresses routable that only exist as translations: ClusterIPs. */
    struct prefix all4 = {{.family = AF_INET}, 0}, all6 = {{.family = AF_INET6}, 0};
    struct ip host4 = fabric_ip(p, FABRIC_HOST, 0, AF_INET),
              host6 = fabric_ip(p, FABRIC_HOST, 0, AF_INET6);
    if (r == 0)
        r = route_add(s, &all4, &host4, reterr);
    return r < 0 ? r : route_add(s, &all6, &host6, reterr);
}

int fabric_node_up(const struct fabric_plan *p, unsigned index, const char *node,
                   struct err *reterr)
{
    if (index >= FABRIC_NODES_MAX)
        return err_set(reterr, -ERANGE, NULL, "a lab has at most %d nodes", FABRIC_NODES_MAX);
    char name[FABRIC_NAME_BYTES];
    struct fabric_work w = {.plan = p, .index = index};
    snprintf(w.port, sizeof(w.port), "node%u", index);
    AUTO_FD int fabric_fd = netns_open(fabric_netns(p->lab, name), reterr);
    if (fabric_fd < 0)
        return fabric_fd;
    w.fabric_fd = fabric_fd;
    int r = netns_add(fabric_node_netns(p->lab, node, name), reterr);
    if (r < 0)
        return r;
    AUTO_FD int fd = netns_open(name, reterr);
    if (fd < 0)
        return fd;
    r = netns_run(fd, node_inside, &w, reterr);
    return r < 0 ? r : netns_run(fabric_fd, port_inside, &w, reterr);
}
