#pragma once
/* What others ask the agent: /healthz and /livez for load balancers and the kubelet; /metrics,
 * /proxyMode and what else kube-proxy tells of itself, under its names. */

#include "agent/agent.h"
#include "codec/json.h"

struct status_server;

struct status_options {
    const struct agent *agent;
    /* IP:PORT; empty = off. A port that is taken is tried again, unless hard_fail. Borrowed. */
    const char *healthz_address, *metrics_address;
    /* The same as at healthz_address, where nobody else listens: a kube-proxy that still runs would
     * answer in our name there. */
    const char *probe_address;
    const json_t *flags;  /* what the program was told, by flag: strings and booleans. Borrowed */
    const json_t *config; /* the same as a KubeProxyConfiguration. Borrowed */
    bool hard_fail;
    bool cleaned; /* there is no agent: /healthz says that the node is clean */
    void (*add_metrics)(struct buf *ret, void *user); /* of who else is in the program; NULL */
    void *metrics_user;
};
int status_server_new(struct loop *l, const struct status_options *o, struct status_server **ret,
                      struct err *reterr) NODISCARD;
/* Where they listen (0 = not): port 0 in the address is any free one. */
uint16_t status_server_healthz_port(const struct status_server *s);
uint16_t status_server_probe_port(const struct status_server *s);
uint16_t status_server_metrics_port(const struct status_server *s);
void status_server_free(struct status_server *s);
