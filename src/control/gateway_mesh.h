#pragma once
/* What gateways are given of Services as sidecars are: clusters by DestinationRules, subsets, the
 * TLS of the mesh. Pure. */

#include "control/mesh_peers.h"
#include "model/mesh_rules.h"

struct gateway_mesh {
    struct mesh_peers peers;        /* pods NULL: there is no mesh */
    const struct mesh_rules *rules; /* NULL: nobody keeps them */
    const char *ns;                 /* of gateways: whose rules they are given */
};

struct gateway_mesh_backend {
    const char *service, *subset; /* NULL: all of its endpoints */
    uint16_t port;
    const struct route_upstream *upstream; /* without TLS of its own */
};

/* Its cluster, and, of a subset, its endpoints (else *ret_endpoints is NULL: they are as for
 * everybody). has_identity: for gateways that speak the TLS of the mesh. False: nobody defines the
 * subset. */
bool gateway_mesh_make(const struct gateway_mesh *m, const struct gateway_mesh_backend *b,
                       const struct joined_service *s, bool has_identity,
                       struct xds_entry **ret_cluster, struct xds_entry **ret_endpoints);
