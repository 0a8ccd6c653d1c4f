#pragma once
/* ServiceEntry (networking.istio.io): hosts that Kubernetes does not know, checked when it comes,
 * and said again in Kubernetes' own words, so that everything that knows Services knows them, too.
 * A part that cannot be read is left out and told; the others stay. Immutable. Pure. */

#include "model/istio_object.h"
#include "model/service_key.h"

enum entry_resolution {
    ENTRY_NONE,            /* where the client was going */
    ENTRY_STATIC,          /* addresses that stand in the object, or of what it selects */
    ENTRY_DNS,             /* all addresses of names */
    ENTRY_DNS_ROUND_ROBIN, /* the first address of one */
};

enum {
    ENTRY_HOSTS_MAX = 256, /* the bounds of Istio's schema */
    ENTRY_ADDRESSES_MAX = 256,
    ENTRY_PORTS_MAX = 256,
    ENTRY_ENDPOINTS_MAX = 4096,
};

struct entry_port {
    const char *name, *app_protocol; /* the latter constant */
    uint16_t number, target;         /* target: of endpoints */
};

struct entry_endpoint {
    const char *address;
    struct ip ip; /* family 0: address is a DNS name */
    uint32_t weight;
    const json_t *spec; /* as of a WorkloadEntry */
};

struct service_entry {
    struct istio_object o;
    const char **hosts;   /* in lower case */
    struct ip *allocated; /* of each host (status.addresses); family 0: none */
    struct ip *addresses;
    struct prefix *networks;
    struct entry_port *ports;
    struct entry_endpoint *endpoints;
    const json_t *selector; /* labels of its endpoints, pods and WorkloadEntries; NULL: none */
    const json_t *names;    /* subjectAltNames; NULL: none */
    size_t n_hosts, n_addresses, n_networks, n_ports, n_endpoints;
    enum entry_resolution resolution;
    bool allocates; /* its hosts are to have addresses of nobody else's */
    bool external;  /* outside of the mesh: nobody there has an identity of it */
    uint64_t looks; /* a hash of all it says */
};

/* A label of the object; "false": it does not allocate. */
#define ENTRY_ALLOCATION_LABEL "networking.istio.io/enable-autoallocate-ip"

struct service_entry *service_entry_decode(const json_t *j); /* NULL: it has no name */
void service_entry_free(struct service_entry *e);            /* NULL is allowed */
DEFINE_AUTO(service_entry);

/* A protocol of a port in Istio's words, as Kubernetes' appProtocol (constant). */
bool service_entry_protocol(const char *word, const char **ret);
/* Where an endpoint (spec: as of a WorkloadEntry; NULL: a pod) serves a port. */
uint16_t service_entry_target(const struct entry_port *p, const json_t *spec);
/* One of its hosts as a Service; a new reference. */
json_t *service_entry_service(const struct service_entry *e, const char *host);

/* Endpoints as EndpointSlices: those that serve their ports at the same numbers are in one. */
struct entry_slices {
    json_t *list; /* its owner's */
    const struct service_entry *entry;
    const char *host;
};
void entry_slices_add(struct entry_slices *s, const struct ip *ip, const json_t *spec);

/* An endpoint, or a WorkloadEntry, as a pod of that key's name; a new reference. owner: what it is
 * a part of. */
json_t *service_entry_workload(const char *ns, const char *name, const char *owner,
                               const json_t *spec);
