#pragma once
/* What somebody who calls is given of a Service, into the layer of those who are given the same:
 * clusters, endpoints, routes and listeners. */

#include "control/mesh_peers.h"
#include "control/mesh_ports.h"
#include "control/put_resources.h"
#include "model/mesh_rules.h"

struct sidecar_scope;

struct mesh_view {
    const struct mesh_peers *peers;
    const struct mesh_rules *rules;
    const struct service_join *join;
    const struct joined_service *s; /* which one just now; its own */
    struct mesh_client client;
    struct destination destination; /* its own */
    bool short_name;
    bool endpoints_only;               /* and clusters: routes and listeners stay as they are */
    const struct sidecar_scope *scope; /* what else is not known; NULL: all is */
    const struct xds_set *alike;       /* what may hold the same, which is shared; NULL: nothing */
    const struct mesh_told *told;      /* what listeners tell; NULL: as they are made */
    struct findings *findings;
    struct xds_set *set;
    struct put_resources *list; /* its own */
};

/* What a Service has put into a layer (put_before: key -> struct put_resources) makes room for what
 * it puts now. ServiceEntries of one host are looked at together: of two of a port one is given.
 * is: it may put something here. */
void mesh_view_exchange(struct mesh_view *v, struct map *put_before, const char *key, bool is);
