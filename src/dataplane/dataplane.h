#pragma once
/* Where Services meet packets, behind one interface: nftables, a fake for tests, eBPF later. A
 * backend holds a table of frontends (address, protocol, port) with their endpoints, and brings the
 * kernel to it by the smallest change. Blocking and not thread-safe: one thread owns a backend. */

#include "base/addr.h"
#include <assert.h>
#include <netinet/in.h>

#include "base/buf.h"
#include "base/durations.h"
#include "base/err.h"
#include "base/vec.h"

enum dataplane_reason {
#define REASON(name, word, sentence) DATAPLANE_##name,
#include "dataplane/reasons.def"
#undef REASON
    _DATAPLANE_REASON_MAX,
};
const char *dataplane_reason_word(enum dataplane_reason r);

/* Who is masqueraded and which endpoints are chosen from. One value per frontend, looked up apart
 * from the endpoint count. */
enum dataplane_policy {
    DATAPLANE_CLUSTER = 1,  /* ClusterIP: sources outside the cluster, when they can be told */
    DATAPLANE_EXTERNAL = 2, /* NodePort, external and load balancer addresses: always */
    /* Traffic policy Local: endpoints of this node or none (dropped). */
    DATAPLANE_CLUSTER_LOCAL = 3, /* internalTrafficPolicy; masqueraded as CLUSTER */
    /* externalTrafficPolicy, in this order: sources in the cluster: any endpoint, not masqueraded;
     * the node itself: any endpoint, masqueraded; others: local endpoints, not masqueraded. */
    DATAPLANE_EXTERNAL_LOCAL = 4,
    _DATAPLANE_POLICY_MAX,
};
static inline bool dataplane_policy_is_local(enum dataplane_policy p)
{
    return p == DATAPLANE_CLUSTER_LOCAL || p == DATAPLANE_EXTERNAL_LOCAL;
}

/* Of one frontend; further ones are not put in place. */
enum { DATAPLANE_ENDPOINTS_MAX = 10000, DATAPLANE_SOURCES_MAX = 1000 };
/* Whose endpoints affinity remembers, of a family; others are served by chance. */
enum { DATAPLANE_CLIENTS_MAX = 131072 };

/* Compared and hashed as bytes: no padding, unused bytes zero. */
struct frontend_key {
    uint8_t family;    /* AF_INET, AF_INET6 */
    uint8_t node_port; /* 1: ip is unset, any address of the node */
    uint8_t proto;     /* IPPROTO_* */
    uint8_t zero;
    uint16_t port; /* host order */
    uint8_t ip[16];
};
static_assert(sizeof(struct frontend_key) == 22, "frontend_key has padding");

struct dataplane_endpoint {
    uint8_t ip[16]; /* of the frontend's family */
    uint16_t port;  /* host order */
};

struct frontend {
    struct frontend_key key;
    bool removed; /* the frontend is to go; the rest is not read */
    enum dataplane_policy policy;
    const struct dataplane_endpoint *endpoints; /* usable ones, no duplicates, any order */
    size_t n_endpoints;
    const struct dataplane_endpoint *local; /* with a Local policy: those it chooses from */
    size_t n_local;
    bool restricted; /* only sources in these networks, of which none is inside another */
    const struct prefix *sources;
    size_t n_sources;
    /* 0 = none. A client stays with its endpoint for so long after its last connection, whichever
     * frontend of the group it used. */
    uint32_t affinity_s;
    struct frontend_key affinity_group;
    /* Not chosen any more, but flows to them may go on (serving and terminating). */
    const struct dataplane_endpoint *draining;
    size_t n_draining;
};

/* Addresses by themselves: endpoints of this node (hairpin), ClusterIPs (whose other ports are
 * rejected). */
enum dataplane_list {
    DATAPLANE_LOCAL_ENDPOINTS,
    DATAPLANE_CLUSTER_IPS,
    _DATAPLANE_LIST_MAX,
};
struct address_change {
    enum dataplane_list list;
    bool removed;
    struct ip ip;
};

/* Networks that decide about packets and may change while we run. */
struct dataplane_networks {
    const struct prefix *pods; /* told from others by their addresses */
    size_t n_pods;
    const struct prefix *services; /* addresses in there that no Service has are dropped */
    size_t n_services;
};

struct dataplane_delta {
    bool full;                                 /* everything there is: what is not named goes */
    const struct dataplane_networks *networks; /* from now on; NULL: as before */
    const struct frontend *frontends;
    size_t n_frontends;
    const struct address_change *addresses;
    size_t n_addresses;
};

/* What others change in our table, as words: table, chain, rule, set, element. */
enum { DATAPLANE_FOREIGN_KINDS = 5 };
extern const char *const dataplane_foreign_words[DATAPLANE_FOREIGN_KINDS];

struct dataplane_counters {
    uint64_t transactions;
    uint64_t failures;
    uint64_t cleanup_failures; /* of them: what nobody uses any more could not be deleted yet */
    uint64_t elements_added;
    uint64_t elements_removed;
    uint64_t repairs; /* the table had been changed or deleted by somebody else */
    uint64_t foreign[DATAPLANE_FOREIGN_KINDS]; /* their changes, by kind */
    uint64_t conntrack_removed[2];             /* IPv4, IPv6 */
    struct durations conntrack[2];             /* of looks through the connection table */
    size_t frontends;
    size_t classes;
    /* Connections whose client could not be remembered for affinity, because too many are; of IPv4
     * and IPv6. */
    uint64_t clients_forgotten[2];
    uint64_t localhost_rejected[2][3]; /* packets, of IPv4 and IPv6: TCP, UDP, SCTP */
    bool unsettled;                    /* settle() has something to do */
    bool sampled; /* packets move some of these: settle() again after a while */
};

/* Node ports on loopback, which are never rewritten: left alone, or rejected and counted, all of
 * them or those that no relay of TCP serves. */
enum dataplane_localhost {
    DATAPLANE_LOCALHOST_LEAVE,
    DATAPLANE_LOCALHOST_REJECT,
    DATAPLANE_LOCALHOST_REJECT_OTHERS,
};
enum { DATAPLANE_PROTOCOLS = 3 }; /* TCP, UDP, SCTP */

struct dataplane;
struct dataplane_ops {
    const char *name;
    /* After success the kernel does what the delta says. After a failure nothing is lost: the next
     * apply (or repair) brings what is missing. */
    int (*apply)(struct dataplane *d, const struct dataplane_delta *delta, struct err *reterr);
    /* What can wait until the change is answered for: UDP flows to endpoints that are gone, classes
     * nobody uses. Call it after apply when nothing else waits; failures are counted, not told. */
    void (*settle)(struct dataplane *d);
    /* Writes what was last put into the kernel, a line per endpoint, sorted. */
    void (*dump)(const struct dataplane *d, struct buf *out);
    void (*counters)(const struct dataplane *d, struct dataplane_counters *ret);
    /* Looks whether somebody else changed our table, and puts it right. 1 = repaired, 0 = nothing
     * to do. */
    int (*repair)(struct dataplane *d, struct err *reterr);
    /* An fd that becomes readable when repair() should be called; -1 = none. */
    int (*watch_fd)(const struct dataplane *d);
    void (*free)(struct dataplane *d); /* leaves the kernel as it is */
};
/* First member of every backend. */
struct dataplane {
    const struct dataplane_ops *ops;
};

struct dataplane_config {
    const struct prefix
        *cluster_cidrs; /* pod addresses: not masqueraded to ClusterIPs; none = nobody is */
    size_t n_cluster_cidrs;
    const struct prefix *service_cidrs; /* unallocated addresses in there are dropped */
    size_t n_service_cidrs;
    /* Other marks of pods, each NULL = none: the interface they come in by, or how its name begins.
     */
    const char *pod_interface, *pod_interface_prefix;
    const struct prefix *node_port_addresses; /* none = every local address but loopback */
    size_t n_node_port_addresses;
    enum dataplane_localhost localhost[2]; /* IPv4, IPv6 */
    bool masquerade_all;
    uint32_t masquerade_mark; /* one bit of packets' marks that is ours; 0 = bit 14 */
    uint32_t clients_max;     /* remembered for affinity, of a family; 0 = DATAPLANE_CLIENTS_MAX */
};

/* Takes over the table that is there or makes one. Nothing that is carried is interrupted. */
int nftables_open(const struct dataplane_config *c, struct dataplane **ret, struct err *reterr)
    NODISCARD;
/* Deletes everything of ours, whatever state it is in. */
int nftables_cleanup(struct err *reterr) NODISCARD;
