#pragma once
/* What gateways of the mesh pass on for other networks (AUTO_PASSTHROUGH): connections with the TLS
 * of the mesh, each to the port of a Service that its client names by SNI, as they are. Nobody is
 * let through to what takes no TLS, or by another name. */

#include "control/gateway_mesh.h"
#include "model/gateway_routes.h"

struct gateway_passage;

struct gateway_passage_options {
    const char *address; /* where gateways listen */
    const struct service_join *join;
};

/* Options are borrowed. */
struct gateway_passage *gateway_passage_new(const struct gateway_passage_options *o);
void gateway_passage_free(struct gateway_passage *p); /* NULL is allowed */
/* Where it puts what it has, from now on; what m names must outlive it. */
void gateway_passage_begin(struct gateway_passage *p, const struct gateway_mesh *m,
                           struct xds_set *set);
/* For which hosts: all Services are looked at. */
void gateway_passage_set_hosts(struct gateway_passage *p, const struct gateway_routes *from);
void gateway_passage_service_changed(struct gateway_passage *p, const char *key);
/* The listener, if it is another. */
void gateway_passage_flush(struct gateway_passage *p);
