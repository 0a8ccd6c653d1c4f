#pragma once
/* Pod traffic that leaves the cluster takes the node's address, since nobody outside has a route
 * back to pods. */

#include "base/addr.h"

/* Makes (or renews) the small nftables tables "fairlead-lab" (ip and ip6) in the calling thread's
 * namespace. pods: of this node; cluster: of all nodes. A family of 0 is left out. */
int node_masquerade_up(const struct prefix pods[2], const struct prefix cluster[2],
                       struct err *reterr) NODISCARD;
