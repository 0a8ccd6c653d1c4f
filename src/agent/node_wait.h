#pragma once
/* What the kernel's rules need of this node's Node object before there can be any: waited for, on
 * turns of the client's loop. For start-up only: of the pods' networks the agent hears later. */

#include "kube/client.h"

struct node_prefixes {
    struct prefix *v;
    size_t n;
    size_t cap;
};

/* Adds the networks of its pods: spec.podCIDRs. */
void node_wait_pod_cidrs(struct kube_client *c, const char *node_name, struct node_prefixes *ret);
/* Adds its primary addresses: the first InternalIP of each family, or else ExternalIP. */
void node_wait_primary_ips(struct kube_client *c, const char *node_name, struct node_prefixes *ret);
