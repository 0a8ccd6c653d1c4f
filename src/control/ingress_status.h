#pragma once
/* Writes status.loadBalancer of Ingresses: the addresses of the Service before the gateways. Only
 * the leader among the replicas does; nothing is written that is so already. */

#include "control/control.h"

struct ingress_status;

/* service: namespace/name of the Service whose addresses are written. namespace_: where the Lease
 * is. */
struct ingress_status *ingress_status_new(struct kube_client *c, struct control *control,
                                          const char *service, const char *namespace_,
                                          const char *identity);
void ingress_status_free(struct ingress_status *s); /* NULL is allowed */
bool ingress_status_leads(const struct ingress_status *s);
