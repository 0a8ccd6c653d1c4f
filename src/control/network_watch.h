#pragma once
/* Which network a cluster's pods are on: the label topology.istio.io/network of the namespace that
 * its control plane is in, ours or istio-system. */

#include "kube/client.h"

struct network_watch;

/* Told when it is another, and once when it is known; "": it has no name. */
typedef void network_fn(const char *network, void *user);
struct network_watch *network_watch_new(struct kube_client *c, const char *root_namespace,
                                        network_fn *fn, void *user);
void network_watch_move(struct network_watch *w, struct kube_client *c); /* informer_move() */
void network_watch_free(struct network_watch *w);                        /* NULL is allowed */
bool network_watch_synced(const struct network_watch *w);
