#pragma once
/* The model's values to xDS resources. Pure; names are Istio's, which people script against. What a
 * translator reads is its parameters: nothing of the client who will get it. */

#include "control/auth_objects.h"
#include "kube/types.h"
#include "model/clusters.h"
#include "model/ingress_settings.h"
#include "model/route.h"
#include "model/service_join.h"
#include "xds/xds_set.h"

enum { CLUSTER_NAME_MAX = 640 };

/* "outbound|80||name.ns.svc.cluster.local"; how the endpoints are spoken to stands where Istio has
 * the subset, if it is not the usual way. Returns ret. */
const char *translate_cluster_name(const char *service, uint16_t port,
                                   const struct route_upstream *upstream,
                                   char ret[CLUSTER_NAME_MAX]);
/* The same of a route's backend; a subset stands where Istio has it. */
const char *translate_backend_name(const struct route_backend *to,
                                   const struct route_upstream *upstream,
                                   char ret[CLUSTER_NAME_MAX]);
/* Of a host by its DNS name, not verified where it is TLS:
 * "outbound|443|http-tls|auth.example.com". */
const char *translate_host_cluster_name(const char *host, uint16_t port, bool tls,
                                        char ret[CLUSTER_NAME_MAX]);
struct xds_entry *translate_host_cluster(const char *host, uint16_t port, bool tls);
/* objects: what the Secret of the upstream's TLS has; NULL only where it names none. who: who its
 * endpoints in the mesh are, for a client that has an identity of its own; NULL: for any other. */
struct mesh_identities;
struct xds_entry *translate_cluster(const char *service, uint16_t port,
                                    const struct route_upstream *upstream,
                                    const struct auth_objects *objects,
                                    const struct mesh_identities *who);
/* Endpoints that are spoken to by the upstream take the TLS of the mesh, if they are of one: it has
 * no TLS of its own, and they are pods. */
bool translate_is_for_mesh(const struct route_upstream *upstream);
/* In no other way than is usual: HTTP/1.1, in turn. NULL: so it is. */
bool translate_is_usual(const struct route_upstream *upstream);
/* What a Secret is called from which endpoints are shown a certificate, by whose CA they are
 * verified. Returns ret. */
enum translate_secret_part { TRANSLATE_SHOWN, TRANSLATE_TRUSTED, TRANSLATE_SECRET_PARTS };
const char *translate_secret_name(const char *key, enum translate_secret_part part,
                                  char ret[CLUSTER_NAME_MAX]);
/* NULL: it has no such part. */
struct xds_entry *translate_secret_of(const char *key, enum translate_secret_part part,
                                      const struct auth_secret *s);
/* What its endpoints are called: as its usual cluster, or, to the Service's own address, as one of
 * those. */
const char *translate_endpoints_name(const char *service, uint16_t port, bool to_service,
                                     char ret[CLUSTER_NAME_MAX]);
/* Of a Service's port; s NULL or without the port: none. Those that are ready; none is: those that
 * still serve while they end. to_service: the Service's own address, if it has one. */
struct xds_entry *translate_endpoints(const char *service, uint16_t port, bool to_service,
                                      const struct joined_service *s);
/* The same for sidecars: which endpoints take the TLS of the mesh, and who they are, as their
 * metadata say. */
struct translate_peer_facts {
    bool in_mesh;
    uint32_t weight;              /* against the others; 0: as any */
    const struct workload *pod;   /* NULL: not known */
    const struct workloads *pods; /* whose it is */
    struct str network;           /* "": the one without a name */
    const char *cluster;          /* NULL: not known */
    struct buf
        workload; /* "NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER;APP;VERSION"; empty: not known */
};
/* What is known of endpoints, and who wants to know. */
struct translate_peers {
    const struct workloads *pods;    /* of our own cluster */
    const struct clusters *clusters; /* NULL: there are no others */
    struct str network;              /* the client's */
    const char *cluster;             /* the same */
    bool own_cluster_only;           /* whatever others have */
    void (*look)(uint16_t cluster, const struct ip *ip, uint16_t port,
                 struct translate_peer_facts *ret, void *user);
    void *user;
};
/* The pod of an address in a cluster, and the table that it stands in; NULL: there is none. */
const struct workload *translate_peer_find(const struct translate_peers *p, uint16_t cluster,
                                           struct str ns, const struct ip *ip,
                                           const struct workloads **ret);
/* Sorted by where a client is. */
struct mesh_client;
struct translate_localities {
    const struct mesh_client *client; /* anywhere: all are as near */
    const json_t *setting;            /* localityLbSetting; NULL: the default */
    bool fails_over;
};
/* By that name. labels: of pods of the Service's namespace; NULL: all. by NULL: it does not count
 * where they are. Those of another network are told of as its gateways, with the weight of all who
 * are behind these. */
struct xds_entry *translate_mesh_endpoints(const char *name, const char *service, uint16_t port,
                                           const json_t *labels, const struct joined_service *s,
                                           const struct translate_peers *peers,
                                           const struct translate_localities *by);
/* Those who take the TLS of the mesh and are reached as they are: for who passes it on. */
struct xds_entry *translate_passage_endpoints(const char *name, const char *service, uint16_t port,
                                              const json_t *labels, const struct joined_service *s,
                                              const struct translate_peers *peers);
/* The same for clients of gRPC. */
struct xds_entry *translate_grpc_endpoints(const char *service, uint16_t port,
                                           const struct joined_service *s);

/* Where a host's routes are read: by plain HTTP, or over TLS. */
enum translate_side { TRANSLATE_PLAIN, TRANSLATE_TLS, TRANSLATE_SIDES };

/* What a proxy can be told of what restricts access. What it cannot be told of, it is not given:
 * the route answers 503 there. */
enum translate_peer {
    TRANSLATE_OURS,    /* it knows our own types */
    TRANSLATE_MESHED,  /* the same, and it has an identity of the mesh */
    TRANSLATE_OPEN,    /* the same, on a stream that may carry no secrets */
    TRANSLATE_FOREIGN, /* it knows Envoy's types alone */
    TRANSLATE_PEERS,
};
static inline bool translate_has_secrets(enum translate_peer peer)
{
    return peer == TRANSLATE_OURS || peer == TRANSLATE_MESHED;
}

/* For whom, and what is known of objects that routes name. */
struct translate_view {
    enum translate_side side;
    enum translate_peer peer;
    const struct auth_objects *objects;
    const struct ingress_settings *settings; /* NULL: none */
};

/* What a proxy is sent in one piece has an end (64 MiB): nobody may fill it for all the others.
 * What protects stands in each route, so that few objects make much of it. */
enum {
    TRANSLATE_HOST_BYTES_MAX = 8 << 20,
    TRANSLATE_HOSTS_BYTES_MAX = 32 << 20, /* of one side */
    TRANSLATE_TABLE_BYTES_MAX = 24 << 20, /* the same of who takes two tables in one message */
};

/* A host that answers 503. */
void translate_closed_host(const char *name, struct buf *out);
/* Appends a packed envoy.config.route.v3.VirtualHost. all: the host of every name, or NULL: a
 * virtual host "*.b" takes requests of any number of labels; those that are not meant go on to
 * that. */
/* False: it is larger than TRANSLATE_HOST_BYTES_MAX, and closed. out: empty. */
bool translate_host(const struct route_host *h, const struct route_host *all,
                    const struct translate_view *view, struct buf *out);
/* The virtual host by which a backend answers in place of errors: appended, packed. */
const char *translate_error_host_name(const struct route_backend *to, char ret[CLUSTER_NAME_MAX]);
void translate_error_host(const struct route_backend *to, struct buf *out);
/* A packed virtual host as a resource of the table of that name. */
struct xds_entry *translate_virtual_host(const char *table, const char *name, struct str packed);
/* A RouteConfiguration: of packed virtual hosts, or of those that come by themselves. */
struct xds_entry *translate_routes(const char *name, const struct str *hosts, size_t n);
struct xds_entry *translate_routes_by_hosts(const char *name);

struct translate_chain {
    const char *server_name;      /* NULL: whatever else comes */
    const char *secret;           /* its SDS name; NULL: */
    const char *cluster;          /* which gets the bytes as they are */
    const struct auth_secret *ca; /* NULL: clients are asked for no certificate */
    uint32_t verify_depth;
};

struct mesh_told;
struct translate_listener {
    const char *name;
    const char *address;
    uint16_t port;
    const char *routes;                   /* of RDS */
    const struct translate_chain *chains; /* TLS; none: plain */
    size_t n_chains;
    enum translate_peer peer;
    const struct ingress_settings *settings;                   /* NULL: none */
    const struct route_fields *answer_fields, *request_fields; /* of all; values are formats */
    const struct mesh_told *told; /* of the mesh: what is told of requests; NULL: nothing */
};
struct xds_entry *translate_listener(const struct translate_listener *l);
/* What gRPC calls a port of a Service, "name.ns.svc.cluster.local:80"; returns ret. */
const char *translate_grpc_name(const char *service, uint16_t port, char ret[CLUSTER_NAME_MAX]);
/* Of that name: all calls go to the Service's usual cluster. */
struct xds_entry *translate_grpc_listener(const char *service, uint16_t port);
/* Bytes to a cluster. proxied: clients speak the PROXY protocol. */
struct xds_entry *translate_stream(const char *name, const char *address, uint16_t port,
                                   const char *cluster, bool proxied);
struct xds_entry *translate_secret(const char *name, struct str chain_pem, struct str key_pem);
