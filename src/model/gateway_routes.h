#pragma once
/* Gateways and the VirtualServices that name them, as hosts of the one route model: what gateways
 * are to answer, beside Ingresses. A host is what a server of a Gateway that is for our gateways,
 * and a VirtualService bound to it, both name; of several VirtualServices for one the routes of the
 * oldest come first. A change builds the hosts that it touches and no other. */

#include "model/istio_gateway.h"
#include "model/mesh_rules.h"

struct gateway_routes;

struct gateway_routes_options {
    json_t *labels; /* of our gateways */
    const char *ns; /* that they run in: of Secrets, and whose rules they are given */
};

/* Becomes the observer of the rules, which must outlive it; options are borrowed. */
struct gateway_routes *gateway_routes_new(const struct gateway_routes_options *o,
                                          struct mesh_rules *rules);
void gateway_routes_free(struct gateway_routes *t);                         /* NULL is allowed */
void gateway_routes_put(struct gateway_routes *t, struct istio_gateway *g); /* taken */
void gateway_routes_remove(struct gateway_routes *t, struct str key);
/* What stands in a Secret of the gateways' namespace (namespace/name) is something else now. */
void gateway_routes_secret_changed(struct gateway_routes *t, const char *key);
/* As ingress_routes_take_dirty(). */
bool gateway_routes_take_dirty(struct gateway_routes *t, const char **ret_name,
                               struct route_host **ret);
/* Hosts that AUTO_PASSTHROUGH is for. for (size_t at = 0; gateway_routes_next_passage(t, &at, &h);)
 * : each, of all Gateways for ours; in no order, borrowed. */
bool gateway_routes_next_passage(const struct gateway_routes *t, size_t *at,
                                 const struct gateway_host **ret);
/* They may be others since somebody asked. */
bool gateway_routes_take_passage_change(struct gateway_routes *t);
