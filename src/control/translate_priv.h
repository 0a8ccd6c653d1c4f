#pragma once
/* Parts of routes, one file each, that translate_route.c puts together. */

#include "base/buf.h"
#include "codec/json.h"
#include "control/translate.h"

/* Where a route's text is read. */
struct translate_place {
    enum translate_side side;
    bool old_browser; /* the copy for those of translate_affinity_browsers() */
    bool was_https;   /* the copy for what came to whoever is before us over https */
};

/* ---- translate_names.c ---- */
/* "web.ns.svc.cluster.local". */
const char *translate_mesh_service_host(const char *service, char ret[CLUSTER_NAME_MAX]);
/* As metrics name it: the Service's name, or an entry's host. */
struct str translate_mesh_service_name(const char *service);
uint32_t translate_connect_timeout_s(const struct route_upstream *up); /* NULL: the usual */

/* ---- translate_parts.c ---- */
/* Each as a message's field of that number: a Duration; an Any; "by this stream", a ConfigSource.
 */
void translate_duration(struct buf *b, unsigned number, uint64_t ms);
void translate_any(struct buf *b, unsigned number, const char *type, struct str message);
/* A TransportSocket; proxy: the version of the PROXY protocol that goes before it; 0: none. */
void translate_socket(struct buf *b, unsigned number, unsigned proxy, const char *name,
                      const char *type, struct str config);
void translate_raw_socket(struct buf *b, unsigned number, unsigned proxy);
void translate_ads(struct buf *b, unsigned number);
#define TRANSLATE_AGENT "sds-grpc" /* of Istio's, which serves the proxy's own secrets */
/* An SdsSecretConfig. by_proxy: its own secrets, which it waits wait_s seconds for (0: as long as
 * it usually does); else this stream's. */
void translate_sds(struct buf *b, unsigned number, const char *secret, bool by_proxy,
                   unsigned wait_s);

/* ---- translate_route.c ---- */
/* Appends the routes of a VirtualHost. */
void translate_host_routes(const struct route_host *h, const struct translate_view *view,
                           struct buf *out);

/* One that answers 503, whatever is asked for. */
void translate_closed_route(struct buf *out);

/* ---- translate_affinity.c ---- */
/* Appends fields of a RouteAction. */
void translate_affinity_action(struct buf *b, const struct route *r, struct translate_place where);
/* Of a WeightedCluster. */
void translate_affinity_weights(struct buf *b, const struct route *r);
/* Of a Route. */
void translate_affinity_route(struct buf *b, const struct route *r, struct translate_place where);
/* The User-Agents for which the route has a copy of its own, as a regex; NULL: it has none. */
const char *translate_affinity_browsers(const struct route *r);

/* ---- translate_steer.c ---- */
/* Of a RouteAction; idle_timeout_s as struct route has it. */
void translate_retries(struct buf *b, const struct route_retry *r, uint32_t idle_timeout_s);
void translate_mirror(struct buf *b, const struct route_mirror *m);
/* Of a Route. Of fields that a ConfigMap has, those that are allowed. */
void translate_fields(struct buf *b, const struct route *r, const struct translate_view *view);
/* What is set or added, and what is removed, as a message's fields of those numbers. */
struct translate_field_numbers {
    unsigned add, remove;
};
extern const struct translate_field_numbers translate_fields_of_weight[2]; /* requests, answers */
void translate_field_list(struct buf *b, const struct translate_field_numbers *to,
                          const struct route_fields *f);
/* Of a Route: what goes wrong on purpose. */
void translate_fault(struct buf *b, const struct route_fault *f);

/* What a Route says to a filter of that name, as its typed_per_filter_config. */
void translate_filter_config(const char *name, const char *type, struct str config, struct buf *b);

/* ---- translate_answers.c ---- */
/* Of a Route. */
void translate_answers(const struct route *r, const struct translate_view *view, struct buf *out);

/* ---- translate_errors.c ---- */
/* Of a Route. */
void translate_errors_route(struct buf *b, const struct route *r);

/* ---- translate_endpoints.c ---- */
/* Of a LocalityLbEndpoints. host: an address or a name; facts NULL: nothing is known of it. */
void translate_add_endpoint(struct buf *b, const char *host, uint16_t port,
                            const struct translate_peer_facts *facts);

/* ---- translate_mesh.c ---- */
/* Where a listener takes connections: at all addresses of these families. */
void translate_mesh_listen(json_t *listener, uint16_t port, unsigned families);
/* HTTP between apps. routes: a RouteConfiguration in place, or NULL: rds of that name. */
json_t *translate_mesh_http(const char *stat_prefix, const char *rds, json_t *routes);
/* Requests are counted as Istio counts them: who does not know how may leave it. no_host: what was
 * called is not told by its host where it is no Service: it is the pod itself, or strangers say
 * it. */
json_t *translate_mesh_request_stats(bool no_host);
/* Connections of a listener are counted as Istio counts them. A note of ours that others pass over:
 * a network filter of Istio's would be refused by who does not know it. */
void translate_mesh_count_connections(json_t *listener);

/* ---- translate_mesh_tls.c ---- */
/* Of an LbEndpoint: whether it takes the TLS of the mesh, and who it is. */
void translate_mesh_endpoint(struct buf *b, const struct translate_peer_facts *facts);
/* Of a Cluster: TLS to endpoints that take it, nothing to others; or to all. proxy: the version of
 * the PROXY protocol before either; 0: none. */
struct mesh_identities;
void translate_mesh_sockets(struct buf *b, const char *service, const char *subset,
                            const struct service_port *p, const struct mesh_identities *who,
                            unsigned proxy);
void translate_mesh_socket(struct buf *b, const char *service, const char *subset,
                           const struct service_port *p, const struct mesh_identities *who,
                           unsigned proxy);
/* A DownstreamTlsContext's transport socket; http: ALPN says which version. */
json_t *translate_mesh_server(const char *trust_domain, bool http);

/* ---- translate_origination.c ---- */
struct mesh_cluster;
/* Of a Cluster: TLS as a DestinationRule says (SIMPLE, MUTUAL). */
void translate_origination(struct buf *b, const char *cluster, const struct mesh_cluster *c,
                           bool http2);

/* ---- translate_tokens.c ---- */
/* The HTTP filter that verifies tokens; NULL: nobody has said whose. */
struct request_authentication_list;
struct key_sets;
json_t *translate_tokens(const struct request_authentication_list *list,
                         const struct key_sets *keys);

/* ---- translate_secret.c ---- */
/* As translate_secret_of(), by that name. */
struct xds_entry *translate_secret_named(const char *name, enum translate_secret_part part,
                                         const struct auth_secret *s);

/* ---- translate_json.c ---- */
struct xds_entry *translate_json(enum xds_resource type, const char *name, const json_t *j);
/* A DataSource. */
json_t *translate_bytes(struct str pem);
/* Takes fields, and says of which type (its full name) they are. */
json_t *translate_typed(const char *type, json_t *fields);
json_t *translate_ads_json(void); /* as translate_ads() */
/* Without a configuration. */
json_t *translate_http_filter(const char *name, const char *type);
json_t *translate_tcp_proxy(const char *stat_prefix, const char *cluster);
