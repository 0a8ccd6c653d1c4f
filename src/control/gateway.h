#pragma once
/* What the proxies of gateways are given: listeners, routes, clusters, endpoints and certificates,
 * made of the route model's hosts and the Services that they name, and of nothing else. Fed with
 * what changed; gateway_flush() puts the difference into the set. */

#include "control/gateway_mesh.h"
#include "control/translate.h"
#include "model/ingress_settings.h"
#include "model/route.h"
#include "model/service_join.h"
#include "model/stream_services.h"
#include "xds/xds_set.h"

struct gateway;

struct gateway_options {
    const char *address; /* where proxies listen */
    uint16_t http_port, https_port;
};

/* The join must outlive it; options are borrowed. -errno: the default certificate cannot be made.
 */
int gateway_new(const struct gateway_options *o, const struct service_join *join,
                struct gateway **ret, struct err *reterr) NODISCARD;
/* What gateways are given as sidecars are; what it names must outlive the gateway. */
void gateway_set_mesh(struct gateway *g, const struct gateway_mesh *m);
void gateway_free(struct gateway *g); /* NULL is allowed */
/* For proxies of a kind; kept up from the first time it is asked for. */
struct xds_set *gateway_set(struct gateway *g, enum translate_peer peer);

/* h is taken; NULL: it has gone. Returns what was there before, which is the caller's now. */
struct route_host *gateway_put_host(struct gateway *g, const char *name, struct route_host *h);
/* What holds for all; borrowed until others come. settings NULL: none. */
/* What is told of requests may be something else now. */
void gateway_telemetry_changed(struct gateway *g);
void gateway_set_config(struct gateway *g, const struct ingress_settings *settings,
                        const struct route_fields *answer_fields,
                        const struct route_fields *request_fields);
/* Ports that go to a Service without being understood: as the Services are now. */
void gateway_put_streams(struct gateway *g, const struct stream_services *s);
void gateway_service_changed(struct gateway *g, const char *key);
/* Which hosts are passed on to from other networks. */
struct gateway_routes;
void gateway_set_passages(struct gateway *g, const struct gateway_routes *from);
/* key: namespace/name. Empty texts: it has gone. -EINVAL: not a certificate with its key; what was
 * there stays. */
#define GATEWAY_DEFAULT_SECRET "gateway-default" /* "default" is a proxy's own identity */
int gateway_put_secret(struct gateway *g, const char *key, struct str chain_pem, struct str key_pem,
                       struct err *reterr) NODISCARD;
bool gateway_has_secret(const struct gateway *g, const char *key);
/* What routes' guards name; hosts that do are to be put anew when it changes. */
struct auth_objects *gateway_auth_objects(struct gateway *g);
/* A Secret among those: what endpoints over TLS are shown and verified by is exchanged at once. */
void gateway_named_changed(struct gateway *g, const char *key);
/* Endpoints are in the set already; this is for all else. */
void gateway_flush(struct gateway *g);
size_t gateway_hosts(const struct gateway *g);
