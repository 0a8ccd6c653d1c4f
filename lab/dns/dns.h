#pragma once
/* Cluster DNS (Kubernetes DNS specification 1.1.0): answers from Services and EndpointSlices. */

#include "codec/dns.h"
#include "kube/informer.h"
#include "model/service_join.h"

/* What names are answered from; borrowed. Slices are decoded whole. */
struct dns_zone {
    const char *domain; /* "cluster.local" */
    const struct service_join *join;
    const struct map *namespaces; /* by name; values mean nothing */
    const struct ip *own;         /* the server's addresses but loopback */
    size_t n_own;
    uint32_t serial; /* of the SOA: when something changed last, Unix seconds */
};

/* Writes the whole answer to one query. limit: the most bytes it may have. */
void dns_zone_answer(const struct dns_zone *z, const struct dns_query *q, size_t limit,
                     struct buf *ret);

/* UDP and TCP on port 53 (any address); readiness and health over HTTP. */
struct dns_server;
struct dns_server_options {
    const struct dns_zone *zone;
    bool (*is_ready)(void *user); /* everything was listed once */
    void *user;
    uint16_t port;
    uint16_t ready_port;
    uint16_t health_port;
};
int dns_server_new(struct loop *l, const struct dns_server_options *o, struct dns_server **ret,
                   struct err *reterr) NODISCARD;
void dns_server_free(struct dns_server *s);
