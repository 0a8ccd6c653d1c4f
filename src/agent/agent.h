#pragma once
/* The agent: watches Services, EndpointSlices and its Node, and keeps the backend at what they say.
 */

#include "agent/delta.h"
#include "agent/programming_latency.h"
#include "agent/relay.h"
#include "kube/client.h"
#include "model/service_join.h"

struct agent;

/* Who follows what becomes of Services; all on the loop. */
struct agent_observer {
    /* It is another one, as it goes to the kernel now. */
    void (*on_service)(const struct joined_service *s, void *user);
    /* The kernel has taken all that was told before, or not. */
    void (*on_applied)(bool ok, void *user);
};

struct agent_options {
    const char *node_name;
    bool external_ips;
    const struct prefix *cluster_cidrs; /* networks of pods, as known at the start. Borrowed */
    size_t n_cluster_cidrs;
    bool node_cidr;     /* they are spec.podCIDRs of the node, as they change */
    bool service_cidrs; /* ServiceCIDRs are watched */
    const struct prefix *node_port_addresses; /* none = all. Borrowed */
    size_t n_node_port_addresses;
    struct relay *relay;         /* of node ports on loopback; NULL = none. Borrowed */
    bool localhost;              /* node ports on loopback are counted (kube-proxy's gate) */
    struct ip bind_ip;           /* the node's address, whatever its object says; family 0: none */
    uint64_t unhealthy_after_ms; /* what the kernel has not taken for so long; 0 = 60 s */
    const struct agent_observer *observer; /* NULL: nobody */
    void *observer_user;
};

/* Both families go to the kernel together; a sync counts for those that had something in it. */
struct agent_family_stats {
    bool healthy;          /* nothing of it waits for the kernel for longer than the limit */
    uint64_t last_sync_us; /* monotonic; 0 = never */
    int64_t last_sync_real_us, last_queued_real_us; /* since the epoch */
    uint64_t sync_failures;
    struct durations syncs, full_syncs, partial_syncs;
    unsigned no_local[2]; /* service ports of traffic policy Local without a local endpoint:
                           * internal, external */
};

struct agent_stats {
    bool synced;               /* the first full list is in the kernel */
    bool healthy;              /* both families are */
    bool node_eligible;        /* there, not being deleted, not about to be scaled away */
    uint64_t pending_since_us; /* monotonic; 0 = nothing */
    uint64_t sync_failures;
    uint64_t service_changes, endpoint_changes;
    uint64_t service_changes_pending, endpoint_changes_pending; /* not sent to the kernel yet */
    uint64_t last_latency_us, latency_max_us;                   /* from event to kernel */
    size_t services, slices;
    struct agent_family_stats families[2]; /* IPv4, IPv6 */
    struct dataplane_counters dataplane;
    bool localhost;
    struct relay_counters relay;
    const struct programming_latency *programming; /* borrowed from the agent */
};

/* Takes the backend. */
int agent_new(struct kube_client *c, struct dataplane *backend, const struct agent_options *o,
              struct agent **ret, struct err *reterr) NODISCARD;
void agent_free(struct agent *a);
/* For a failed assert (base/assert.h): what is being made of which Service, and applied. user: the
 * agent. */
void agent_dump(int fd, void *user);
void agent_get_stats(const struct agent *a, struct agent_stats *ret);
