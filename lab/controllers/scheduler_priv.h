#pragma once
/* The scheduler's inside: one pass over the nodes for one pod. */

#include "base/vec.h"
#include "lab/controllers/controller.h"

/* A node, and what is there of pods, as a pod sees it that wants to go there. */
struct candidate {
    json_t *node;
    const char *name;
    const json_t *labels;
    int64_t same; /* active pods of the same owner */
    int64_t active;
    int64_t all;  /* that are not over: what is being deleted still has its room */
    json_t *used; /* resource -> amount (CPU in thousandths) of all; owned */
    bool ports_taken;
    bool refused;
    int64_t liking; /* what preferences of the pod add up to */
};

/* A pod that has a place and is not over. */
struct neighbour {
    json_t *pod;
    const struct candidate *place;
};

struct placing {
    struct controllers *set;
    const json_t *pod;
    struct candidate *places;
    size_t n;
    VEC(struct neighbour) neighbours;
    json_t *reasons; /* why places were refused -> how many */
};

void place_refuse(struct placing *p, struct candidate *place, const char *reason);

/* ---- scheduler_node.c: what a node itself decides ---- */
/* The ports with hostPort of a pod's containers and sidecars; borrowed items. */
json_t *host_ports_of(const json_t *pod);
bool takes_port_of(const json_t *pod, const json_t *wanted);
/* What the pod requests: resource -> amount. NULL = nothing. */
json_t *requests_of(const json_t *pod);
void requests_add(json_t *sum, const json_t *requests);
/* Has the labels that the pod asks for. */
bool node_is_selected(const json_t *pod, const json_t *node);
/* A taint of the effect NoSchedule or NoExecute that the pod does not tolerate. */
bool node_repels(const json_t *pod, const json_t *node);
/* One of the effect NoExecute. */
bool node_evicts(const json_t *pod, const json_t *node);
void refuse_by_nodes(struct placing *p);
void like_by_nodes(struct placing *p);

/* ---- scheduler_topology.c: what other pods decide ---- */
/* Such a pod may fit when another one comes or goes. */
bool topology_matters(const json_t *pod);
void refuse_by_spread(struct placing *p);
void refuse_by_affinity(struct placing *p);
void like_by_topology(struct placing *p);
