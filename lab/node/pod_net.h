#pragma once
/* A pod's network: an address of the node's pod CIDR, a namespace with eth0, a port on the node's
 * bridge. */

#include "base/addr.h"

enum { POD_NET_SLOTS = 253 }; /* .2 to .254 of a /24; the IPv6 address has the same number */

struct pod_net_pool {
    struct prefix v4;
    struct prefix v6; /* family 0 = none */
    uint8_t used[POD_NET_SLOTS];
    unsigned next; /* round robin: an address rests before it is given again */
};

struct pod_net {
    int netns; /* fd, -1 = the node's own */
    int slot;  /* in the pool, -1 = none */
    char name[256];
    struct ip v4;
    struct ip v6;
};

/* name: of the namespace to pin. The calling process lives in the node's namespace. */
int pod_net_up(struct pod_net_pool *pool, const char *name, struct pod_net *ret, struct err *reterr)
    NODISCARD;
void pod_net_down(struct pod_net_pool *pool, struct pod_net *n);
