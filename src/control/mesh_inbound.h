#pragma once
/* At which ports a workload is served, and how. */

#include "control/translate_mesh.h"
#include "model/service_join.h"
#include "model/sidecar_scope.h"

struct mesh_inbound_list {
    VEC(struct mesh_inbound) v;
};

/* What a Service says of a workload's ports. */
struct mesh_membership {
    struct mesh_inbound_list ports;
    unsigned round; /* of mesh_service_changed() that saw it last */
};

/* Of a slice's port, as its Service has declared it. */
enum port_protocol mesh_inbound_protocol(const struct service_object *o,
                                         const struct slice_port *p);
/* Of two that say different things of a port the one that says something. service: NULL: none. */
void mesh_inbound_add(struct mesh_inbound_list *to, uint16_t port, enum port_protocol protocol,
                      const char *service);
void mesh_inbound_done(struct mesh_inbound_list *l);
bool mesh_inbound_eq(const struct mesh_inbound_list *a, const struct mesh_inbound_list *b);
/* services: key -> struct mesh_membership. scope: whose ports stand in place of those (NULL: none).
 * Sorted. */
struct mesh_inbound_list mesh_inbound_of(const struct map *services,
                                         const struct mtls_policy *policy,
                                         const struct sidecar_scope *scope);
/* Of a pod that is not known any more but calls and is called: what selected it by its labels
 * holds. ports: before that. */
void mesh_inbound_keep_modes(const struct mesh_inbound_list *ports, struct mesh_inbound_list *now);
