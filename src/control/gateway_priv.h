#pragma once
/* A gateway's parts: gateway.c has hosts, listeners and certificates, gateway_clusters.c what they
 * lead to. */

#include "base/vec.h"
#include "control/gateway.h"
#include "control/gateway_passage.h"

/* Ports of a Service whose endpoints are served. */
struct served_port {
    uint16_t port;
    bool to_service;
};

/* How they are spoken to, where they may be of the mesh; or some of them are. */
struct served_cluster {
    char *subset; /* NULL: all endpoints */
    uint16_t port;
    struct route_upstream upstream; /* with NULL */
    bool tls;                       /* a rule says so: for all proxies */
};

struct served {
    VEC(struct served_port) ports;
    VEC(struct served_cluster) clusters;
};

/* Of a Secret. In the set as long as some host names it: a proxy is not to have what it does not
 * need. */
struct certificate {
    struct xds_entry *entry; /* NULL: it is not there */
    unsigned users;          /* hosts */
};

/* A backend that answers in place of errors. */
struct error_host {
    char *name;
    struct route_backend to;
    unsigned users;
};

/* A port that goes to a Service. */
struct stream {
    uint16_t listen;
    struct route_backend to;
    bool proxied;
};

struct gateway {
    const struct gateway_options *options;
    const struct service_join *join;
    struct gateway_mesh mesh;
    struct gateway_passage_options passage_options;
    struct gateway_passage *passage;       /* for other networks */
    struct xds_set *sets[TRANSLATE_PEERS]; /* NULL: no proxy of the kind has asked yet */
    VEC(struct route_host *) hosts;        /* by name */
    VEC(struct error_host) errors;         /* by name */
    struct map closed;                     /* names of hosts for which there was no room */
    size_t host_bytes[TRANSLATE_PEERS][TRANSLATE_SIDES]; /* of all virtual hosts in a set */
    VEC(struct stream) streams;
    const struct ingress_settings *settings; /* NULL: none */
    const struct route_fields *answer_fields, *request_fields;
    struct map clusters, endpoints; /* name -> how many backends of hosts use it, unsigned */
    struct map backend_secrets;     /* key of a Secret -> the same */
    struct map served;              /* Service -> struct served */
    struct auth_objects objects;
    struct map certificates;        /* key of the Secret -> struct certificate */
    struct route_backend collector; /* of spans; service NULL: none. Its cluster is used */
    bool routes_changed, listeners_changed;
};

/* ---- gateway_clusters.c ---- */
/* What is the same for all. Takes the entry. */
void gateway_put(struct gateway *g, struct xds_entry *e);
void gateway_drop(struct gateway *g, enum xds_resource type, struct str name);
/* True: it is the first to name it; the last. */
bool gateway_use(struct map *m, const char *name);
bool gateway_stop_using(struct map *m, const char *name);
/* May proxies of the kind be given clusters of it? */
bool gateway_is_for(const struct route_upstream *up, enum translate_peer peer);
void gateway_use_backend(struct gateway *g, const struct route_backend *to,
                         const struct route_upstream *up);
void gateway_stop_using_backend(struct gateway *g, const struct route_backend *to,
                                const struct route_upstream *up);
/* Of all Services that are served: endpoints, and clusters of the mesh. */
void gateway_put_meshed_all(struct gateway *g);
