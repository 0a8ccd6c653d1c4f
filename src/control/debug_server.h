#pragma once
/* What others ask of the control plane: /ready, /metrics, /debug/snapshot (the model),
 * /debug/syncz, /debug/config_dump, and of traffic /debug/edges, /debug/tap, /debug/traces.
 * Certificates are never in it. All but the first two is for who may look (control/viewers.h), and
 * for who is in our own pod. */

#include "control/balancer_addresses.h"
#include "control/certificate_service.h"
#include "control/control.h"
#include "control/injector.h"
#include "control/telemetry.h"

struct debug_server;

/* All are borrowed and must outlive it. */
int debug_server_new(struct kube_client *client, const struct ip *ip, uint16_t port,
                     const struct control *control, const struct xds_service *xds,
                     const struct certificate_service *certificates, struct debug_server **ret,
                     struct err *reterr) NODISCARD;
/* What /ready waits for beside the first lists; it goes on being borrowed. */
void debug_server_set_injector(struct debug_server *s, const struct injector *i);
/* What sidecars tell of their traffic; it goes on being borrowed. */
void debug_server_set_telemetry(struct debug_server *s, struct telemetry *t);
/* Whose metrics are shown, too; it goes on being borrowed. */
void debug_server_set_balancer(struct debug_server *s, struct balancer_addresses *b);
void debug_server_free(struct debug_server *s); /* NULL is allowed */
uint16_t debug_server_port(const struct debug_server *s);
