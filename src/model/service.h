#pragma once
/* One Service with its endpoints, as traffic of one place sees it: immutable and reference-counted.
 * Pure: made from a Service and its EndpointSlices, in whatever order these come. */

#include "base/buf.h"
#include "kube/topology.h"
#include "kube/types.h"

struct model_endpoint {
    uint8_t ip[16];
    uint16_t port;
    bool local; /* on the node of the place, or on a node nobody names */
};

/* The endpoints of one port and family: first those that get new connections, then those that only
 * keep the flows they have. Each part sorted. */
struct model_endpoints {
    struct model_endpoint *v;
    uint32_t n;
    uint32_t n_draining;
};

struct model_port {
    char *name;
    uint8_t proto;
    uint16_t port;
    uint16_t node_port;
    struct model_endpoints endpoints[2]; /* IPv4, IPv6 */
    struct model_endpoints local[2];     /* what traffic policy Local chooses from; none drain */
};

enum model_address_kind {
    MODEL_CLUSTER_IP,
    MODEL_EXTERNAL_IP,
    MODEL_BALANCER_IP,
};

struct model_address {
    enum model_address_kind kind;
    struct ip ip;
};

struct model_service {
    unsigned refs;
    char *key;
    bool external_local, internal_local;
    uint32_t affinity_s;
    uint16_t health_port; /* where balancers ask for this node's endpoints; 0 = nowhere */
    uint32_t local_ready; /* what they are told, only with health_port */
    struct model_address *addresses; /* sorted */
    struct model_port *ports;        /* sorted by protocol, port, name */
    /* Who may use balancer addresses of a family that is restricted: networks, sorted, none inside
     * another. */
    struct prefix *sources;
    bool restricted[2]; /* IPv4, IPv6 */
    size_t n_addresses, n_ports, n_sources;
};

/* NULL: nothing to carry (headless, ExternalName). slices: any order. */
struct model_service *model_service_new(const struct service_object *s,
                                        const struct slice_object *const *slices, size_t n,
                                        const struct place *place);
/* Ports of traffic policy Local (internal or external) that have endpoints of a family (0: IPv4, 1:
 * IPv6), but none that the policy allows. */
unsigned model_service_without_local(const struct model_service *m, unsigned family, bool external);
struct model_service *model_service_ref(struct model_service *m);
void model_service_unref(struct model_service *m);
/* The golden form. */
void model_service_format(const struct model_service *m, struct buf *out);
