#pragma once
/* Services and EndpointSlices as small C values: what the model needs and nothing else, so that ten
 * thousand of them cost megabytes. They hold what objects say of themselves, the same for every
 * node. Decoders take any JSON: what is malformed is left out, as kube-proxy does. */

#include <assert.h>

#include "base/addr.h"
#include "base/intern.h"
#include "codec/json.h"

/* ---- Service ---- */

struct service_port {
    char *name;         /* "" if unnamed */
    char *app_protocol; /* NULL: it does not say */
    uint8_t proto;
    uint16_t port;
    uint16_t node_port; /* 0 = none */
};

enum { SERVICE_IPS_MAX = 1000 }; /* of each kind */

struct service_object {
    char *key; /* namespace/name */
    char *uid;
    struct service_object *next; /* of the same name, of another cluster; its owner's */
    uint16_t cluster;            /* which one it is of; 0: our own; its owner's */
    uint16_t
        health_port;     /* healthCheckNodePort of a balanced Service with policy Local; 0 = none */
    char *external_name; /* of type ExternalName ("" if it has none); else NULL */
    bool headless;       /* clusterIP None */
    bool dns_only;       /* no ClusterIP, or ExternalName: nothing for the model (row 1) */
    bool external_local; /* externalTrafficPolicy */
    bool internal_local; /* internalTrafficPolicy */
    uint32_t affinity_s; /* sessionAffinity ClientIP; 0 = none */
    struct ip *cluster_ips; /* owned arrays */
    struct ip *external_ips;
    struct ip *balancer_ips;       /* of status, with ipMode VIP (row 19) */
    struct prefix *source_ranges;  /* loadBalancerSourceRanges */
    bool source_ranges_unreadable; /* one of them is no prefix: it allows nobody */
    struct service_port *ports;
    uint16_t n_cluster_ips, n_external_ips, n_balancer_ips, n_ports, n_source_ranges;
};

/* NULL: not a Service (no name). */
struct service_object *service_object_decode(const json_t *j);
void service_object_free(struct service_object *s);
DEFINE_AUTO(service_object);

/* ---- EndpointSlice ---- */

/* One address of an endpoint. Absent conditions mean ready and serving (row 7). */
struct slice_endpoint {
    uint32_t topology : 28; /* what kube/topology.h read, interned */
    bool ready : 1;
    bool serving : 1;
    bool terminating : 1;
    bool further : 1; /* another address of the endpoint before it: for DNS, not for traffic */
};
static_assert(sizeof(struct slice_endpoint) == 4, "100,000 of them are kept");

/* What an endpoint is called. */
struct slice_endpoint_names {
    char *hostname; /* NULL = none */
    char *pod;      /* name of its targetRef, if that is a Pod; else NULL */
};

struct slice_port {
    char *name;
    uint8_t proto;
    uint16_t port;
};

struct slice_object {
    char *key;                 /* namespace/name of the slice */
    char *service_key;         /* namespace/name of its Service */
    uint8_t family;            /* 0: FQDN or unknown, to be ignored (row 6) */
    bool hinted;               /* some endpoint has hints */
    uint16_t cluster;          /* as a Service's */
    struct intern *topologies; /* borrowed: must live longer */
    struct slice_port *ports;
    struct slice_endpoint *endpoints;
    uint8_t *addresses;                 /* of each endpoint, 4 or 16 bytes: slice_object_ip() */
    struct slice_endpoint_names *names; /* of each endpoint, or NULL: not asked for */
    uint32_t n_ports, n_endpoints;
};

struct slice_decoding {
    struct intern *topologies;
    bool all;         /* further addresses, hostnames and targets, too */
    uint16_t cluster; /* of another: its key becomes "2@ns/name" */
};

/* NULL: not an EndpointSlice of a Service. */
struct slice_object *slice_object_decode(const json_t *j, const struct slice_decoding *o);
void slice_object_free(struct slice_object *s);
DEFINE_AUTO(slice_object);
struct ip slice_object_ip(const struct slice_object *s, uint32_t i);
static inline struct str slice_object_topology(const struct slice_object *s, uint32_t i)
{
    return intern_get(s->topologies, s->endpoints[i].topology);
}
