#pragma once
/* What others ask the agent: /healthz and /livez for load balancers and the kubelet, /metrics and
 * /proxyMode under the names kube-proxy uses. */

#include "agent/agent.h"

struct status_server;

/* Addresses as IP:PORT; empty = off. A port that is taken is logged, not fatal. */
int status_server_new(struct loop *l, const struct agent *a, const char *healthz,
                      const char *metrics, struct status_server **ret, struct err *reterr)
    NODISCARD;
/* Where they listen (0 = not): port 0 in the address is any free one. */
uint16_t status_server_healthz_port(const struct status_server *s);
uint16_t status_server_metrics_port(const struct status_server *s);
void status_server_free(struct status_server *s);
