#pragma once
/* Another cluster of the mesh: its Services, EndpointSlices, pods and nodes, and which network it
 * is on, watched at its own API server. What it has joins what is ours; while it is away, that
 * stays. */

#include "kube/client.h"
#include "model/clusters.h"
#include "model/service_join.h"

struct remote_cluster;

struct remote_cluster_options {
    struct loop *loop;
    struct service_join *join;
    struct clusters *clusters;
    const char *root_namespace; /* whose label says which network it is; nobody else's Services */
    void (*on_change)(void *user);   /* the join has */
    void (*on_clusters)(void *user); /* networks, or gateways */
    void (*on_pod)(uint16_t cluster, const struct workload *pod, void *user);
    void *user;
};

/* Options are borrowed. -ENOSPC: there are too many. */
int remote_cluster_new(const struct remote_cluster_options *o, const char *id,
                       const struct kube_config *config, struct remote_cluster **ret,
                       struct err *reterr) NODISCARD;
/* Its API server is another, or is asked as somebody else; what it has stays until the new one has
 * said what there is. */
int remote_cluster_move(struct remote_cluster *r, const struct kube_config *config,
                        struct err *reterr) NODISCARD;
/* What it had goes. NULL is allowed. */
void remote_cluster_free(struct remote_cluster *r);
bool remote_cluster_synced(const struct remote_cluster *r);
const char *remote_cluster_id(const struct remote_cluster *r);
/* What was wrong last; NULL: nothing since it was reached. */
const char *remote_cluster_trouble(const struct remote_cluster *r);
