#pragma once
/* Links, addresses and routes of one network namespace, as single acknowledged requests. All work
 * on a NETLINK_ROUTE socket in whose namespace they act. Adding what is there already is -EEXIST,
 * removing what is not is -ENODEV, -ENOENT or -EADDRNOTAVAIL: callers that want "make it so" ignore
 * those. */

#include "base/addr.h"
#include "codec/rtnl_reply.h"
#include "nl/nl_socket.h"

int rtnl_link_find(struct nl_socket *s, const char *name, unsigned *ret_index) NODISCARD;
/* Every link; fn returns 0 or a negative errno that ends the walk. */
typedef int rtnl_link_fn(const struct rtnl_link *l, void *user);
int rtnl_link_each(struct nl_socket *s, rtnl_link_fn *fn, void *user, struct err *reterr) NODISCARD;
int rtnl_link_remove(struct nl_socket *s, const char *name, struct err *reterr) NODISCARD;
/* A veth pair; the peer is born in the namespace peer_netns (an fd). */
int rtnl_veth_add(struct nl_socket *s, const char *name, const char *peer, int peer_netns,
                  struct err *reterr) NODISCARD;
/* A bridge without spanning tree and multicast snooping, so that its ports forward at once, and
 * with a hardware address that stays. */
int rtnl_bridge_add(struct nl_socket *s, const char *name, struct err *reterr) NODISCARD;
int rtnl_link_set_up(struct nl_socket *s, unsigned index, struct err *reterr) NODISCARD;
int rtnl_link_set_master(struct nl_socket *s, unsigned index, unsigned master, struct err *reterr)
    NODISCARD;
/* A bridge port that may send a frame back where it came from. */
int rtnl_port_set_hairpin(struct nl_socket *s, unsigned index, struct err *reterr) NODISCARD;

/* IPv6 addresses skip duplicate address detection: usable at once. */
int rtnl_addr_add(struct nl_socket *s, unsigned index, const struct prefix *addr,
                  struct err *reterr) NODISCARD;
int rtnl_addr_remove(struct nl_socket *s, unsigned index, const struct prefix *addr,
                     struct err *reterr) NODISCARD;

struct rtnl_route {
    struct prefix dst; /* len 0: the default route (family must be set) */
    struct ip gateway; /* family 0 = on link */
    unsigned index;    /* device, 0 = found through the gateway */
};
int rtnl_route_add(struct nl_socket *s, const struct rtnl_route *r, struct err *reterr) NODISCARD;

/* Every address of every link, and every route of every table. fn returns 0 or a negative errno
 * that ends the walk. */
typedef int rtnl_prefix_fn(const struct prefix *p, unsigned index, void *user);
int rtnl_addr_each(struct nl_socket *s, rtnl_prefix_fn *fn, void *user, struct err *reterr)
    NODISCARD;
int rtnl_route_each(struct nl_socket *s, rtnl_prefix_fn *fn, void *user, struct err *reterr)
    NODISCARD;
