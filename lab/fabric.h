#pragma once
/* The lab's network: which addresses it uses, its fabric namespace, its nodes' namespaces, and
 * taking all of that down.
 *
 * Names: fl.LAB is the fabric (bridge br0, the API server lives here), fl.LAB.NODE a node,
 * fl.LAB.NODE.NS.POD a pod. The host gets one veth, fabric_host_link(), and nothing else. Works on
 * what it finds: every call can be repeated, and may follow a run that was killed anywhere. */

#include "base/addr.h"
#include "base/vec.h"
#include "codec/json.h"

enum {
    FABRIC_NODES_MAX = 90,   /* internal .10 to .99, external .100 to .189 */
    FABRIC_POOL_FIRST = 200, /* LoadBalancer addresses .200 to .250 */
    FABRIC_POOL_LAST = 250,
    FABRIC_LINK_BYTES = 16,
    FABRIC_NAME_BYTES = 256,
};

struct fabric_plan {
    char lab[64];
    struct prefix v4; /* /24 inside 198.18.0.0/15 */
    struct prefix v6; /* /64 inside fd00::/8; family 0 when the kernel has no IPv6 */
    unsigned nodes;   /* how many nodes route to each other; set by the caller before fabric_up */
};

enum fabric_role {
    FABRIC_HOST,       /* index 0 only */
    FABRIC_API,        /* index 0 only */
    FABRIC_INTERNAL,   /* of node index */
    FABRIC_EXTERNAL,   /* of node index */
    FABRIC_POOL_START, /* index 0 only */
    FABRIC_POOL_END,
};

/* Picks subnets by the hash of the name and probes on until they are free on the host. recorded
 * (may be NULL) is what an earlier call gave for this lab: kept if it is still free. -EADDRINUSE:
 * nothing is free. */
int fabric_plan(const char *lab, const struct fabric_plan *recorded, struct fabric_plan *ret,
                struct err *reterr) NODISCARD;
json_t *fabric_plan_to_json(const struct fabric_plan *p);
int fabric_plan_from_json(const json_t *j, struct fabric_plan *ret, struct err *reterr) NODISCARD;

/* An address of the plan; family 0 in the result when the plan has no IPv6. */
struct ip fabric_ip(const struct fabric_plan *p, enum fabric_role role, unsigned index, int family);
/* The pod network of node index: 10.244.index.0/24 and fd00:10:244:index::/64. */
struct prefix fabric_pod_cidr(unsigned index, int family);
/* "10.244.0.0/16" and "fd00:10:244::/48": all pods of all nodes. */
struct prefix fabric_cluster_cidr(int family);

const char *fabric_host_link(const char *lab, char ret[FABRIC_LINK_BYTES]);
const char *fabric_netns(const char *lab, char ret[FABRIC_NAME_BYTES]);
const char *fabric_node_netns(const char *lab, const char *node, char ret[FABRIC_NAME_BYTES]);
const char *fabric_pod_netns(const char *lab, const char *node, const char *ns, const char *pod,
                             char ret[FABRIC_NAME_BYTES]);

/* Makes the fabric namespace with bridge, API address and host veth. -EEXIST when the lab is up (or
 * was not taken down). */
int fabric_up(const struct fabric_plan *p, struct err *reterr) NODISCARD;
/* Makes the namespace of node index (0-based): eth0 with its addresses, cni0, routes to the other
 * nodes' pods. */
int fabric_node_up(const struct fabric_plan *p, unsigned index, const char *node,
                   struct err *reterr) NODISCARD;

/* One of two labs that reach one another: their nodes' addresses and those of balancers, not their
 * pods', which may be the same. */
struct fabric_side {
    const struct fabric_plan *plan;
    const char *const *nodes; /* names */
    size_t n_nodes;
};
/* A link between their fabrics, and routes. May be repeated; goes with either lab. */
int fabric_connect(const struct fabric_side *a, const struct fabric_side *b, struct err *reterr)
    NODISCARD;

struct fabric_removed {
    VEC(char *) names; /* "network namespace fl.demo.node-1", "link fl-demo" */
    unsigned processes;
};
void fabric_removed_done(struct fabric_removed *r);
/* Kills every process in the lab's namespaces, removes the namespaces and the host veth.
 * Idempotent; ret may be NULL. */
int fabric_down(const char *lab, struct fabric_removed *ret, struct err *reterr) NODISCARD;
/* What an earlier process of the node we live in has left of its pods: their namespaces and
 * processes, and containers in the node's own network. */
int fabric_pods_down(const char *lab, const char *node, struct err *reterr) NODISCARD;

/* Names of the labs that have a namespace. */
int fabric_each(void (*fn)(const char *lab, void *user), void *user) NODISCARD;
