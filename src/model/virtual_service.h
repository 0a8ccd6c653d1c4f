#pragma once
/* VirtualService (networking.istio.io): checked when it comes, compiled into routes of the one
 * route model when a host needs it. A route of which a match cannot be read loses that match; one
 * of which the rest cannot be read answers 503; neither touches the others. Immutable. */

#include "model/istio_object.h"

/* The gateway that stands for sidecars. */
#define ISTIO_MESH_GATEWAY "mesh"

enum { VIRTUAL_SERVICE_HOSTS_MAX = 1000, VIRTUAL_SERVICE_GATEWAYS_MAX = 64 };

struct virtual_service {
    struct istio_object o;
    char **hosts; /* in full; none: routes of it are others' (delegate) */
    size_t n_hosts;
    bool for_mesh;     /* sidecars are among its gateways */
    bool by_namespace; /* some route is for clients of one namespace */
    bool by_labels;    /* or for those with some labels */
};

struct virtual_service *virtual_service_decode(const json_t *j); /* NULL: it has no name */
void virtual_service_free(struct virtual_service *v);            /* NULL is allowed */
DEFINE_AUTO(virtual_service);

/* Where routes are to be, and whom to ask. */
struct virtual_service_place {
    const char *gateway;              /* ISTIO_MESH_GATEWAY */
    const struct mesh_client *client; /* of that one */
    uint16_t port;                    /* at which requests come */
    const struct ip *address;         /* and connections of bytes; NULL: any */
    /* Where a request for a Service without a port goes that came to this one: its only port, else
     * the same. */
    uint16_t (*port_of)(const char *service, uint16_t port, void *user);
    /* The key of what has a host that is no Service's, for clients of a namespace; port 0: at any.
     * Owned; NULL: nothing. */
    char *(*entry_of)(const char *host, uint16_t port, struct str ns, void *user);
    /* NULL: there is none. */
    const struct virtual_service *(*delegate_of)(const char *ns, const char *name, void *user);
    void *user;
};

/* Appends what of its routes is for the place; findings: of what is wrong only there (delegates),
 * NULL: nobody is told. */
void virtual_service_compile(const struct virtual_service *v, const struct virtual_service_place *p,
                             struct route_host *to, struct findings *findings);
/* The same of connections of bytes. */
void virtual_service_compile_streams(const struct virtual_service *v,
                                     const struct virtual_service_place *p, struct route_host *to);
/* for (size_t at = 0; (host = virtual_service_next_destination(v, &at));) : all hosts that it sends
 * something to, in full, owned. */
char *virtual_service_next_destination(const struct virtual_service *v, size_t *at);
/* Istio's policy where a route says nothing of further tries: what cannot have been begun with. */
void virtual_service_default_retry(struct route *r);
