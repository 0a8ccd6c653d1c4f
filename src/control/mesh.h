#pragma once
/* What sidecars are given: of each Service clusters, endpoints, routes and listeners, the same for
 * all; over that, for clients of a namespace, its Services by their short names; over that, for
 * each pod, what is served in it. Made when the first one asks, and kept up from then on. */

#include "base/addr.h"
#include "control/mesh_peers.h"
#include "model/mesh_rules.h"
#include "xds/xds_set.h"

struct mesh;
struct mesh_workload;

/* Both, and what peers refer to, must outlive it. */
struct mesh *mesh_new(struct service_join *join, const struct mesh_peers *peers);
/* What is for no Service goes nowhere. Before the first one asks. */
void mesh_set_registry_only(struct mesh *m);
void mesh_free(struct mesh *m); /* NULL is allowed; no workload is left */
void mesh_service_changed(struct mesh *m, const char *key);
/* Marks the Services that it is behind. */
void mesh_pod_changed(struct mesh *m, const struct workload *pod);
/* The same of a pod of another cluster. */
void mesh_remote_pod_changed(struct mesh *m, uint16_t cluster, const struct workload *pod);
/* Which network a cluster is on, or which gateways lead to it. */
void mesh_clusters_changed(struct mesh *m);
/* PeerAuthentications of that namespace have changed. */
void mesh_authentications_changed(struct mesh *m, struct str ns);
/* Telemetries have, or the mesh config. */
void mesh_telemetry_changed(struct mesh *m);
/* And who is asked about requests: the mesh config, or what it names. */
void mesh_providers_changed(struct mesh *m);
/* The same of AuthorizationPolicies. */
void mesh_authorizations_changed(struct mesh *m, struct str ns);
/* The same of Sidecars: what is known to whom. */
void mesh_sidecars_changed(struct mesh *m, struct str ns);
/* A pod whose sidecar asks. */
struct mesh_workload *mesh_join(struct mesh *m, struct str ns, const struct ip *ip);
struct xds_set *mesh_workload_set(const struct mesh_workload *w); /* its own view */
void mesh_leave(struct mesh *m, struct mesh_workload *w);
/* Changes of pods and of PeerAuthentications mark Services from now on, whoever asks. */
void mesh_start(struct mesh *m);
size_t mesh_workloads(const struct mesh *m);
const struct mesh_peers *mesh_get_peers(const struct mesh *m);
/* VirtualServices and DestinationRules; what is put there marks Services. */
struct mesh_rules *mesh_get_rules(const struct mesh *m);
/* Who is told what is wrong with a VirtualService because of what it names. */
typedef void mesh_observer(const struct finding *f, void *user);
void mesh_set_observer(struct mesh *m, mesh_observer *fn, void *user);
