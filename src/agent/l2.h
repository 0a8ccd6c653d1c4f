#pragma once
/* Addresses of Services of type LoadBalancer on the node's own networks (layer 2): of the agents
 * that are there, the one that the rules choose answers for each. It does so only while what the
 * Service needs is in its kernel. */

#include "agent/agent.h"
#include "agent/l2_announcer.h"
#include "agent/liveness.h"

struct l2;

struct l2_options {
    const char *node_name;
    const char *namespace_; /* of pools and advertisements */
    const char *key_secret; /* "NAMESPACE/NAME", whose `key` all agents share */
    uint16_t port;          /* UDP, of heartbeats */
};

/* Options are borrowed. */
int l2_new(struct kube_client *c, const struct l2_options *o, struct l2 **ret, struct err *reterr)
    NODISCARD;
/* Others take over at once. NULL is allowed. */
void l2_free(struct l2 *l);
/* For agent_options: what the agent does with Services. user: the l2. */
extern const struct agent_observer l2_observer;
/* Which addresses it answers for, as metallb_speaker_announced has it; and the rest. */
void l2_metrics_announced(const struct l2 *l, struct buf *out);
void l2_metrics(const struct l2 *l, struct buf *out);
