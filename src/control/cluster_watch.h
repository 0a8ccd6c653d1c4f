#pragma once
/* Which other clusters are of the mesh: Secrets of our own namespace with the label
 * istio/multiCluster=true, each key the name of a cluster, its value a kubeconfig (Istio's remote
 * secrets). One that cannot be used is told of by an Event, and leaves what was there before. */

#include "control/remote_cluster.h"
#include "kube/event_recorder.h"

struct cluster_watch;

/* r and what it names must outlive it. */
struct cluster_watch *cluster_watch_new(struct kube_client *c, struct event_recorder *events,
                                        const struct remote_cluster_options *r);
void cluster_watch_free(struct cluster_watch *w); /* NULL is allowed */
/* All clusters have said what they have, or had SETTLE_MS for it: somebody's API server being away
 * keeps nobody else waiting for ever. */
bool cluster_watch_settled(const struct cluster_watch *w);
/* [{name, secret, network, synced, error}], by name; the caller's. */
json_t *cluster_watch_describe(const struct cluster_watch *w);
