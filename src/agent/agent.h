#pragma once
/* The agent: watches Services, EndpointSlices and its Node, and keeps the backend at what they say.
 */

#include "agent/delta.h"
#include "kube/client.h"

struct agent;

struct agent_options {
    const char *node_name;
    bool external_ips;
};

struct agent_stats {
    bool synced;        /* the first full list is in the kernel */
    bool healthy;       /* nothing waits for the kernel for longer than the limit */
    bool node_eligible; /* there, not being deleted, not about to be scaled away */
    uint64_t last_sync_us, pending_since_us; /* monotonic; 0 = never, nothing */
    uint64_t syncs, sync_failures, sync_us_total;
    uint64_t service_changes, endpoint_changes;
    uint64_t last_latency_us, latency_max_us; /* from event to kernel */
    uint64_t sync_buckets[16];                /* 1 ms * 2^i, the last one +Inf; not cumulative */
    uint64_t pending;
    size_t services, slices;
    struct dataplane_counters dataplane;
};

/* Takes the backend. */
int agent_new(struct kube_client *c, struct dataplane *backend, const struct agent_options *o,
              struct agent **ret, struct err *reterr) NODISCARD;
void agent_free(struct agent *a);
void agent_get_stats(const struct agent *a, struct agent_stats *ret);
