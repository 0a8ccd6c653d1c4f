/* Two labs that reach one another: a veth between their fabrics, which route for their nodes. */
#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "lab/fabric.h"
#include "nl/netns.h"
#include "nl/rtnl.h"

enum { LINK_SEED = 0x6c696e6b };

static const int families[] = {AF_INET, AF_INET6};

static const struct prefix *subnet(const struct fabric_plan *p, int family)
{
    return family == AF_INET ? &p->v4 : &p->v6;
}

/* "to-1f3a09bc": what the end that leads to a lab is called. */
static void link_name(const struct fabric_plan *to, char ret[FABRIC_LINK_BYTES])
{
    snprintf(ret, FABRIC_LINK_BYTES, "to-%08x",
             (unsigned)hash_bytes_seed(to->lab, strlen(to->lab), LINK_SEED));
}

struct end {
    const struct fabric_plan *own, *other;
    int other_fd; /* its fabric's namespace */
};

static int add_route(struct nl_socket *s, const struct rtnl_route *r, struct err *reterr)
{
    int code = rtnl_route_add(s, r, reterr);
    return code == -EEXIST ? 0 : code;
}

/* In a fabric: the other one is next door, and its lab behind it. */
static int routes_inside(void *user, struct err *reterr)
{
    const struct end *e = user;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    char name[FABRIC_LINK_BYTES];
    unsigned link;
    link_name(e->other, name);
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r == 0 && (r = rtnl_link_find(s, name, &link)) < 0)
        return err_set(reterr, r, NULL, "link %s is not there", name);
    r = r < 0 ? r : rtnl_link_set_up(s, link, reterr);
    for (size_t f = 0; f < ARRAY_LEN(families) && r == 0; f++) {
        const struct prefix *to = subnet(e->other, families[f]);
        if (!to->ip.family || !subnet(e->own, families[f])->ip.family)
            continue;
        const struct ip door = fabric_ip(e->other, FABRIC_API, 0, families[f]);
        const uint8_t whole = families[f] == AF_INET ? 32 : 128;
        r = add_route(s, &(struct rtnl_route){.dst = {door, whole}, .index = link}, reterr);
        r = r < 0 ? r
                  : add_route(s, &(struct rtnl_route){*to, .gateway = door, .index = link}, reterr);
    }
    return r;
}

static int veth_inside(void *user, struct err *reterr)
{
    const struct end *e = user;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    char near[FABRIC_LINK_BYTES], far[FABRIC_LINK_BYTES];
    unsigned index;
    link_name(e->other, near);
    link_name(e->own, far);
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r < 0 || rtnl_link_find(s, near, &index) == 0)
        return r;
    return rtnl_veth_add(s, near, far, e->other_fd, reterr);
}

/* In a node: the other lab is behind the own fabric. */
static int node_inside(void *user, struct err *reterr)
{
    const struct end *e = user;
    AUTO(nl_socket) struct nl_socket *s = NULL;
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    for (size_t f = 0; f < ARRAY_LEN(families) && r == 0; f++) {
        const struct prefix *to = subnet(e->other, families[f]);
        const struct ip via = fabric_ip(e->own, FABRIC_API, 0, families[f]);
        if (to->ip.family && via.family)
            r = add_route(s, &(struct rtnl_route){.dst = *to, .gateway = via}, reterr);
    }
    return r;
}

static int open_fabric(const struct fabric_plan *p, struct err *reterr)
{
    char name[FABRIC_NAME_BYTES];
    return netns_open(fabric_netns(p->lab, name), reterr);
}

static int route_from(const struct fabric_side *from, int fd, struct end *e, struct err *reterr)
{
    char name[FABRIC_NAME_BYTES];
    int r = netns_run(fd, routes_inside, e, reterr);
    for (size_t i = 0; i < from->n_nodes && r == 0; i++) {
        AUTO_FD int node =
            netns_open(fabric_node_netns(from->plan->lab, from->nodes[i], name), reterr);
        r = node < 0 ? node : netns_run(node, node_inside, e, reterr);
    }
    return r;
}

int fabric_connect(const struct fabric_side *a, const struct fabric_side *b, struct err *reterr)
{
    AUTO_FD int a_fd = open_fabric(a->plan, reterr);
    if (a_fd < 0)
        return a_fd;
    AUTO_FD int b_fd = open_fabric(b->plan, reterr);
    if (b_fd < 0)
        return b_fd;
    struct end to_b = {a->plan, b->plan, b_fd}, to_a = {b->plan, a->plan, a_fd};
    int r = netns_run(a_fd, veth_inside, &to_b, reterr);
    r = r < 0 ? r : route_from(a, a_fd, &to_b, reterr);
    return r < 0 ? r : route_from(b, b_fd, &to_a, reterr);
}
