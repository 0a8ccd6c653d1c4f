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

struct gateway_mesh_made {
    struct xds_entry *cluster;   /* NULL: gateways of that kind may not have it */
    struct xds_entry *endpoints; /* of a subset; NULL: they are as for everybody */
    struct xds_entry *secrets[TRANSLATE_SECRET_PARTS]; /* that the cluster names; NULL: not that */
};

/* Does a rule ask for TLS, whoever calls? */
bool gateway_mesh_has_tls(const struct gateway_mesh *m, const struct gateway_mesh_backend *b);
/* For gateways of that kind. False: nobody defines the subset. */
bool gateway_mesh_make(const struct gateway_mesh *m, const struct gateway_mesh_backend *b,
                       const struct joined_service *s, enum translate_peer peer,
                       struct gateway_mesh_made *ret);
