#pragma once
/* The clusters of the mesh: our own, number 0, and others, whose pods stand in tables of their own,
 * for their addresses may be the same. A cluster is on a network; who is on one reaches those on
 * another by gateways alone: Services with the label topology.istio.io/network. Names and rules
 * are Istio's. Pure. */

#include "base/vec.h"
#include "kube/types.h"
#include "model/workload.h"

#define NETWORK_LABEL      "topology.istio.io/network"
#define CLUSTER_DEFAULT_ID "Kubernetes" /* Istio's name of a cluster that has been given none */

enum {
    CLUSTERS_MAX = 100,
    CLUSTER_GATEWAY_PORT = 15443, /* a Service says another by networking.istio.io/gatewayPort */
};

struct cluster {
    uint16_t number;
    char *id;
    char *network;          /* of its pods that say no other; "": the one without a name */
    struct workloads *pods; /* our own: borrowed */
};

struct network_gateway {
    char *network;
    char *service; /* that it is an address of, with its cluster: "2@ns/name" */
    struct ip ip;
    uint16_t port;
};

struct clusters {
    VEC(struct cluster *) v;              /* by number; NULL: nobody has that one */
    VEC(struct network_gateway) gateways; /* by network, address and port */
};

/* id: our own. */
struct clusters *clusters_new(const char *id, struct workloads *pods);
void clusters_free(struct clusters *t); /* NULL is allowed */
/* One more; it takes the table of its pods. NULL: there are CLUSTERS_MAX. */
struct cluster *clusters_add(struct clusters *t, const char *id, struct workloads *pods);
/* Its gateways go; nobody may name its number any more. */
void clusters_remove(struct clusters *t, uint16_t number);
/* NULL: nobody has it. */
const struct cluster *clusters_at(const struct clusters *t, uint16_t number);
const struct cluster *clusters_find(const struct clusters *t, const char *id);
/* True: it was another. */
bool clusters_set_network(struct clusters *t, uint16_t number, const char *network);

/* A Service as the API server of a cluster tells of it; NULL: it has gone. True: gateways are
 * others now. */
bool clusters_put_gateway(struct clusters *t, uint16_t number, struct str key,
                          const json_t *service);
/* Those of a network, sorted; *ret_n 0: nothing is known of them. */
const struct network_gateway *clusters_gateways(const struct clusters *t, struct str network,
                                                size_t *ret_n);
/* Of a pod: its label, else its cluster's. */
struct str clusters_network_of(const struct cluster *c, const struct workload *pod);
/* The pod of an address; which of the clusters of a network it is in, the address says. */
const struct workload *clusters_find_ip(const struct clusters *t, struct str network, struct str ns,
                                        const struct ip *ip, const struct cluster **ret);

/* "ns/name" of an object of another cluster, as it stands among those of all: "2@ns/name" is never
 * the name of one of ours. The caller's. */
char *cluster_object_key(uint16_t number, struct str key);
/* A Service of another cluster as one of ours would be: where ours has none, its host has an
 * address of 240.241.0.0/16, which follows from its name. */
void cluster_adopt_service(uint16_t number, struct service_object *s);
