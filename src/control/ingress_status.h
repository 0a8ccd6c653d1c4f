#pragma once
/* Writes status.loadBalancer of Ingresses: the addresses of the Service before the gateways. Only
 * the leader among the replicas does; nothing is written that is so already. */

#include "control/control.h"

struct ingress_status;

/* service: namespace/name of the Service whose addresses are written. */
struct ingress_status *ingress_status_new(struct kube_client *c, struct control *control,
                                          const char *service);
void ingress_status_free(struct ingress_status *s); /* NULL is allowed */
/* May it write? Until it is told: no. */
void ingress_status_set_leads(struct ingress_status *s, bool leads);
