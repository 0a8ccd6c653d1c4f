#pragma once
/* What holds for a pod and for a Service in the mesh: who they are, over what they are called and
 * by whom, and which objects say so. Pure. */

#include "model/mesh_snapshot.h"

/* As data, of which text is made; owned. objects: what the snapshot was made of.
 * {pod, workload, principal, inMesh, sidecar, mode, modePorts: [{port, mode}], policies: [{object,
 * action, dryRun}], tokens: [object], services: [mesh_describe_service()]} */
json_t *mesh_describe_pod(const struct mesh_snapshot *s, const json_t *objects,
                          const struct workload *pod, const char *trust_domain);
/* {service, ports: [{port, name, protocol}], workloads: [{name, pods, inMesh, mode, subsets: […]}],
 * destinationRules: [{object, host, subsets: […], policy}], virtualServices: [{object, http, tcp,
 * tls}]}; NULL: there is no such Service. */
json_t *mesh_describe_service(const struct mesh_snapshot *s, const json_t *objects,
                              const char *key);
