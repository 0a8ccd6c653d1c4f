#pragma once
/* Services and EndpointSlices as small C values: what the model needs and nothing else, so that ten
 * thousand of them cost megabytes. Decoders take any JSON: what is malformed is left out, as
 * kube-proxy does. */

#include "base/addr.h"
#include "codec/json.h"

/* ---- Service ---- */

struct service_port {
    char *name; /* "" if unnamed */
    uint8_t proto;
    uint16_t port;
    uint16_t node_port; /* 0 = none */
};

enum { SERVICE_IPS_MAX = 1000 }; /* of each kind */

struct service_object {
    char *key; /* namespace/name */
    char *uid;
    uint16_t
        health_port;     /* healthCheckNodePort of a balanced Service with policy Local; 0 = none */
    bool headless;       /* no ClusterIP, or ExternalName: DNS only (row 1) */
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

enum slice_endpoint_flags {
    SLICE_READY = 1 << 0,
    SLICE_SERVING = 1 << 1,
    SLICE_TERMINATING = 1 << 2,
    SLICE_LOCAL = 1 << 3,   /* on this node */
    SLICE_UNKNOWN = 1 << 4, /* names no node */
    SLICE_NODE_HINTS = 1 << 5,
    SLICE_NODE_HINT_HERE = 1 << 6,
    SLICE_ZONE_HINTS = 1 << 7,
    SLICE_ZONE_HINT_HERE = 1 << 8,
};

struct slice_endpoint {
    uint8_t ip[16];
    uint16_t flags;
};

struct slice_port {
    char *name;
    uint8_t proto;
    uint16_t port;
};

struct slice_object {
    char *key;         /* namespace/name of the slice */
    char *service_key; /* namespace/name of its Service */
    uint8_t family;    /* 0: FQDN or unknown, to be ignored (row 6) */
    struct slice_port *ports;
    struct slice_endpoint *endpoints;
    uint32_t n_ports, n_endpoints;
};

/* Where we are: decides which endpoints are local and which hints are for us. zone may be NULL. */
struct slice_place {
    const char *node;
    const char *zone;
};

/* NULL: not an EndpointSlice of a Service. */
struct slice_object *slice_object_decode(const json_t *j, const struct slice_place *where);
void slice_object_free(struct slice_object *s);
DEFINE_AUTO(slice_object);
