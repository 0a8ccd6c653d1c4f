#pragma once
/* The aggregated discovery stream: resources from a control plane (ads_config), delta or state of
 * the world, over gRPC. Main thread. */

#include "proxy/store.h"

struct ads;

/* Reads ads_config and node; connects soon, and again for ever. The cluster must be static. -EINVAL
 * with the path of what is wrong, from the bootstrap on. */
int ads_new(struct loop *l, struct store *s, const Envoy__Config__Bootstrap__V3__Bootstrap *b,
            struct ads **ret, struct err *reterr) NODISCARD;
void ads_free(struct ads *a); /* NULL is allowed */
/* A resource is wanted, or no more; name "": all of the kind. */
void ads_want(struct ads *a, enum xds_resource type, struct str name, bool wanted);
