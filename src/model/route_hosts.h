#pragma once
/* The one table of hosts that gateways answer for: each front door (Ingresses; Gateways with
 * VirtualServices) puts what it makes of a host, and of two for one name the older one is served.
 */

#include "base/map.h"
#include "model/route.h"

enum route_door {
    ROUTE_DOOR_INGRESS,
    ROUTE_DOOR_GATEWAY,
    ROUTE_DOORS,
};

struct route_hosts {
    struct map names; /* -> the hosts of each door */
};

/* Zeroed is empty; what is in it is let go. */
void route_hosts_done(struct route_hosts *t);
/* h is taken; NULL: the door has none of that name any more. Which one is served: a new reference,
 * NULL: none. *ret_loser: the one that is not, borrowed; it has a finding that says so, as its
 * last; NULL: there is none. */
struct route_host *route_hosts_put(struct route_hosts *t, enum route_door door, const char *name,
                                   struct route_host *h, const struct route_host **ret_loser);
