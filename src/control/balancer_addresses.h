#pragma once
/* Addresses for Services of type LoadBalancer, from IPAddressPools of one namespace: what
 * model/address_allocator.h says is written into their status by the replica that leads. */

#include "kube/client.h"
#include "model/address_allocator.h"

struct balancer_addresses;

struct balancer_addresses_options {
    const char *namespace_; /* where the pools are */
    const char *class_;     /* loadBalancerClass of the Services that are ours; NULL: none */
    const char *host;       /* of Events; NULL */
};

struct balancer_addresses_stats {
    uint64_t writes, failed_writes;
    size_t waiting; /* to be written */
};

/* Options are borrowed. */
struct balancer_addresses *balancer_addresses_new(struct kube_client *c,
                                                  const struct balancer_addresses_options *o);
void balancer_addresses_free(struct balancer_addresses *b); /* NULL is allowed */
void balancer_addresses_set_leads(struct balancer_addresses *b, bool leads);
/* Metrics, with MetalLB's names where it has them. */
void balancer_addresses_metrics(struct balancer_addresses *b, struct buf *out);
