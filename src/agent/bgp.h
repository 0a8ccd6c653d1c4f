#pragma once
/* Addresses of Services of type LoadBalancer, told to the routers that BGPPeers name by the bgpd of
 * FRR that runs on this node: from the moment that the kernel has what the Service needs, as long
 * as it has an endpoint that can serve (externalTrafficPolicy Local: here). */

#include "agent/agent.h"

struct bgp;

struct bgp_options {
    const char *node_name;
    const char *namespace_; /* of pools, peers, advertisements, Secrets */
    const char *directory;  /* of bgpd's vty socket */
};

/* Options are borrowed. */
struct bgp *bgp_new(struct kube_client *c, const struct bgp_options *o);
/* What was announced stays with bgpd: the kernel goes on serving it. NULL is allowed. */
void bgp_free(struct bgp *b);
extern const struct agent_observer bgp_observer; /* user: the bgp */
/* Which addresses are announced, as metallb_speaker_announced has it; and the rest. */
void bgp_metrics_announced(const struct bgp *b, struct buf *out);
void bgp_metrics(const struct bgp *b, struct buf *out);

/* Takes what is ours out of the daemons there, within some seconds. -ETIMEDOUT: not all of it; a
 * daemon that is not there has nothing. */
int bgp_cleanup(const char *directory, struct err *reterr) NODISCARD;
