#pragma once
/* What sidecars are given, as values of the model to resources. Names, ports and defaults are
 * Istio's. Pure. */

#include "control/translate.h"
#include "model/authorization_policy.h"
#include "model/peer_authentication.h"
#include "model/port_protocol.h"
#include "model/request_authentication.h"
#include "model/service_entry.h"
#include "model/traffic_policy.h"
#include "model/workload.h"

enum {
    MESH_OUTBOUND_PORT = 15001, /* where what a pod sends is redirected to */
    MESH_INBOUND_PORT = 15006,  /* and what is sent to it */
    MESH_READY_PORT = 15021,    /* where its proxy says that it is ready */
    MESH_STATS_PORT = 15090,    /* and its statistics */
};

/* ---- the same for all ---- */

/* registry_only: what is for no Service goes nowhere (502), else on as it is. */
/* Where what is redirected arrives: goes to the listener of its address, else on as it is. */
struct mesh_told; /* translate_telemetry.h; NULL: as listeners are made */
/* Of a pod's addresses. */
enum { MESH_V4 = 1, MESH_V6 = 2 };
struct xds_entry *translate_mesh_outbound(bool registry_only, unsigned families,
                                          const struct mesh_told *told);
/* Clusters of what goes on as it is, and of what goes nowhere. */
struct xds_entry *translate_mesh_passthrough(void);
struct xds_entry *translate_mesh_black_hole(void);
struct xds_entry *translate_mesh_inbound_passthrough(void);

/* ---- of a port, whatever Services have it, or of an address that entries share ---- */

const char *translate_mesh_port_name(uint16_t port, char ret[CLUSTER_NAME_MAX]); /* "0.0.0.0_80" */
/* Connections of bytes to a host without an address of its own. */
struct mesh_port_chain {
    const char *service;
    const struct service_port *port;
    const char *server_name; /* that a client of TLS says; NULL: whatever it says */
    const struct prefix *networks;
    size_t n_networks; /* none: to any address */
    const struct traffic_policy *policy;
    const struct route_host *streams; /* of rules */
};
/* http: some Service is of HTTP there: what begins so is routed by its host. What is for nobody
 * goes on as it is, since somebody else's port may have the same number; registry_only: nowhere. */
struct mesh_port {
    const struct ip *ip; /* NULL: any */
    uint16_t port;
    bool http, registry_only;
    const struct mesh_port_chain *chains; /* of two for the same the first */
    size_t n_chains;
    const struct mesh_told *told;
};
struct xds_entry *translate_mesh_port(const struct mesh_port *p);
/* Its routes, by the port's number: those of each Service come by themselves; what is for none of
 * them goes on as it is. */
struct xds_entry *translate_mesh_port_routes(uint16_t port, bool registry_only);
/* A listener for an endpoint of a headless Service, of bytes: on as it is. */
struct xds_entry *translate_mesh_headless(const struct ip *ip, uint16_t port,
                                          const struct mesh_told *told);

/* ---- of a Service ---- */

/* Who its endpoints in the mesh may be, sorted; none: they are spoken to in plain text. */
struct mesh_identities {
    const char *const *uris; /* spiffe://… */
    size_t n;
};
/* Of a host of a ServiceEntry: what else its cluster says. NULL: a Service's. */
struct mesh_entry {
    const struct service_entry *of;
    const json_t *labels; /* of a subset's endpoints; NULL: all */
};
enum { MESH_CREDENTIAL_NAME_MAX = CLUSTER_NAME_MAX + 32 };
/* What a Secret has for TLS to endpoints outside of the mesh. */
struct mesh_credentials {
    bool closed;                               /* nothing that can be used: nobody is spoken to */
    const struct auth_secret *shown, *trusted; /* NULL: not by a Secret, or nothing */
};
/* Of all endpoints of a port, or of a subset of them: "outbound|80|v1|web.ns.svc.cluster.local". */
struct mesh_cluster {
    const char *name;             /* NULL: that */
    const char *service, *subset; /* NULL: all */
    const struct service_port *port;
    const struct traffic_policy *policy;
    const struct mesh_identities *who;
    const struct mesh_entry *entry;             /* NULL: a Service's */
    const struct mesh_credentials *credentials; /* NULL: none */
    bool local; /* its endpoints come by localities, whose weights count */
};
struct xds_entry *translate_mesh_cluster(const struct mesh_cluster *c);
/* A part of its credentials as the secret that it names; NULL: it has none. */
struct xds_entry *translate_mesh_credential(const struct mesh_cluster *c,
                                            enum translate_secret_part part);
const char *translate_mesh_credential_name(const char *cluster, enum translate_secret_part part,
                                           char ret[MESH_CREDENTIAL_NAME_MAX]);
/* What clients say with TLS that they speak to: "outbound_.80_.v1_.web.ns.svc.cluster.local". */
const char *translate_mesh_sni(const char *service, uint16_t port, const char *subset,
                               char ret[CLUSTER_NAME_MAX]);
/* A listener at which that goes on as it is, to the clusters of these names, and nothing else. */
struct xds_entry *translate_passage(const char *name, const char *address, uint16_t port,
                                    const char *const *clusters, size_t n);
/* "80/web.ns.svc.cluster.local:80" */
const char *translate_mesh_host_name(const char *service, uint16_t port,
                                     char ret[CLUSTER_NAME_MAX]);
/* A virtual host of the port's routes: the Service by its names and addresses. short_name: for
 * clients of its namespace. */
struct xds_entry *translate_mesh_host(const struct service_object *s, uint16_t port,
                                      bool short_name, const struct route_host *routes);
/* A listener of its own, by an address of it: "10.0.0.1_80". */
const char *translate_mesh_address_name(const struct ip *ip, uint16_t port,
                                        char ret[CLUSTER_NAME_MAX]);
struct xds_entry *translate_mesh_address(const char *service, const struct service_port *p,
                                         const struct ip *ip, const struct traffic_policy *policy,
                                         const struct route_host *streams,
                                         const struct mesh_told *told);
/* Routes of a Service whose protocol is looked for: "web.ns.svc.cluster.local:80". */
const char *translate_mesh_own_routes_name(const char *service, uint16_t port,
                                           char ret[CLUSTER_NAME_MAX]);
struct xds_entry *translate_mesh_own_routes(const char *service, uint16_t port,
                                            const struct route_host *routes);

/* ---- of a workload ---- */

/* As metrics name it. */
struct translate_workload {
    struct str name, ns, canonical, revision, cluster;
};
/* "/10.0.0.1": of the network without a name. */
const char *translate_mesh_workload_name(const struct ip *ip, char ret[IP_TEXT_BYTES + 1]);
struct xds_entry *translate_mesh_workload(const struct ip *ip, const struct translate_workload *w);

/* What the DNS of sidecars says of a host: its addresses. The resource is called as the host. */
struct xds_entry *translate_mesh_names(const char *host, const struct ip *ips, size_t n);

/* A port at which it is served. */
struct mesh_inbound {
    uint16_t port;
    uint16_t target; /* of the app, if a Sidecar says so; 0: the same */
    bool loopback;   /* the app is at 127.0.0.1 */
    enum port_protocol protocol;
    enum mtls_mode mode;
    const char *service; /* of which it is one, namespace/name; NULL: none */
};
const char *translate_mesh_inbound_name(uint16_t port, char ret[CLUSTER_NAME_MAX]);
struct xds_entry *translate_mesh_inbound_cluster(const struct mesh_inbound *in);
/* Who may call it: filters of RBAC, in their order, before requests and connections are served. */
struct mesh_access {
    json_t *http, *tcp; /* arrays; NULL: none */
};
/* keys: sets that are fetched, NULL: none are; config: who may be asked, NULL: nobody; find: their
 * clusters. */
struct key_sets;
struct mesh_config;
struct translate_access {
    const char *trust_domain;
    const struct key_sets *keys;
    const struct mesh_config *config;
    bool (*find)(const char *host, uint16_t port, char ret[CLUSTER_NAME_MAX], void *user);
    void *user;
};
void translate_mesh_access(const struct authorization_list *list,
                           const struct request_authentication_list *tokens,
                           const struct translate_access *by, struct mesh_access *ret);
void mesh_access_done(struct mesh_access *a);
bool mesh_access_eq(const struct mesh_access *a, const struct mesh_access *b);
/* Where what is sent to the pod arrives. mode: of ports that are not among them. */
struct xds_entry *translate_mesh_inbound(const struct mesh_inbound *ports, size_t n,
                                         enum mtls_mode mode, unsigned families,
                                         const struct mesh_access *access, const char *trust_domain,
                                         const struct mesh_told *told);
