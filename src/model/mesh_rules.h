#pragma once
/* VirtualServices and DestinationRules by the hosts that they are for, and what they say together
 * of a Service for somebody who calls it. A rule that comes or goes marks the Services that it
 * touches in the join, and no others. */

#include "model/destination_rule.h"
#include "model/service_entries.h"
#include "model/service_join.h"
#include "model/virtual_service.h"

#define MESH_ROOT_NAMESPACE "fairlead-system"

struct mesh_rules;
struct sidecar_scope;

struct mesh_rules *mesh_rules_new(struct service_join *join); /* which must outlive it */
void mesh_rules_free(struct mesh_rules *m);                   /* NULL is allowed */
/* Hosts that are no Services; must outlive it. Until then there are none. */
void mesh_rules_set_entries(struct mesh_rules *m, struct service_entries *entries);
struct service_entries *mesh_rules_get_entries(const struct mesh_rules *m); /* NULL: none */
/* Is a port of what that is given to clients of a namespace ("": of any)? Of a Service it is. */
bool mesh_rules_is_served(const struct mesh_rules *m, const struct joined_service *s, uint16_t port,
                          struct str ns);
/* Each takes the rule, in place of one of its name. */
void mesh_rules_put_virtual_service(struct mesh_rules *m, struct virtual_service *v);
void mesh_rules_put_destination_rule(struct mesh_rules *m, struct destination_rule *d);
void mesh_rules_remove_virtual_service(struct mesh_rules *m, struct str key);
void mesh_rules_remove_destination_rule(struct mesh_rules *m, struct str key);
/* NULL: there is none; borrowed. */
const struct virtual_service *mesh_rules_virtual_service(const struct mesh_rules *m,
                                                         struct str key);
size_t mesh_rules_count(const struct mesh_rules *m);

/* for (size_t at = 0; (v = mesh_rules_next_virtual_service(m, &at));) */
const struct virtual_service *mesh_rules_next_virtual_service(const struct mesh_rules *m,
                                                              size_t *at);
/* Told of each VirtualService with hosts whose routes have become others, or that goes: borrowed
 * for the call. fn NULL: nobody is. */
typedef void mesh_rules_observer(const struct virtual_service *v, void *user);
void mesh_rules_set_observer(struct mesh_rules *m, mesh_rules_observer *fn, void *user);

/* Is it known to sidecars of a namespace for which that holds: by itself, or because a rule for
 * what is known sends something there? key: of a Service, or of an entry's host. */
bool mesh_rules_is_known(const struct mesh_rules *m, const struct sidecar_scope *scope,
                         struct str own, const char *key);
/* From now on a rule that comes or goes marks where it sends to, too. */
void mesh_rules_mark_destinations(struct mesh_rules *m);
/* Told of each Secret that a DestinationRule names for TLS, and that it names it no more: ns empty:
 * of the gateways' namespace. */
typedef void mesh_rules_credential_observer(struct str ns, const char *name, bool used, void *user);
void mesh_rules_set_credential_observer(struct mesh_rules *m, mesh_rules_credential_observer *fn,
                                        void *user);
/* The Secret of that namespace (empty: the gateways') is another: marks whom it is for. */
void mesh_rules_secret_changed(struct mesh_rules *m, struct str ns, struct str name);
/* for (size_t at = 0; (d = mesh_rules_next_destination_rule(m, &at));) */
const struct destination_rule *mesh_rules_next_destination_rule(const struct mesh_rules *m,
                                                                size_t *at);

/* Its ports are others: marks whom a rule sends there from. */
void mesh_rules_destination_changed(struct mesh_rules *m, const char *service);

/* Has something that was said of it changed since this was asked last? Each mark that a rule has
 * made is also one here: a Service that is marked for its endpoints alone keeps its routes. */
bool mesh_rules_take_touched(struct mesh_rules *m, const char *service);
/* It is to be looked at as if something had. */
void mesh_rules_set_touched(struct mesh_rules *m, const char *service);

/* Does it depend on who calls? */
enum {
    MESH_VARIES_BY_NAMESPACE = 1 << 0,
    MESH_VARIES_BY_LABELS = 1 << 1,
    MESH_VARIES_BY_LOCALITY = 1 << 2, /* its endpoints and clusters alone */
};
/* Marks Services whose endpoints are sorted by where clients are: the mesh says how where no rule
 * does. */
void mesh_rules_mark_local(struct mesh_rules *m);
unsigned mesh_rules_vary(const struct mesh_rules *m, const char *service);

/* The routes of requests that come to a port of a Service (of HTTP): those of the VirtualService
 * that is for it, else one that leads to it. A new reference. findings: what is wrong with rules
 * only because of others; NULL: nobody is told. */
struct route_host *mesh_rules_routes(const struct mesh_rules *m, const struct mesh_client *client,
                                     const char *service, uint16_t port, struct findings *findings);
/* Who gets connections of bytes to one of its addresses, if a rule says so: streams of the host. */
struct route_host *mesh_rules_streams(const struct mesh_rules *m, const struct mesh_client *client,
                                      const char *service, uint16_t port, const struct ip *address,
                                      struct findings *findings);
/* What a VirtualService says of requests that come to that port of a gateway, which is of that
 * namespace: appended. gateway: as the VirtualService calls it. */
void mesh_rules_gateway_routes(const struct mesh_rules *m, const struct virtual_service *v,
                               const char *gateway, const char *ns, uint16_t port,
                               struct route_host *to, struct findings *findings);
/* The same of connections that go on as they are. */
void mesh_rules_gateway_streams(const struct mesh_rules *m, const struct virtual_service *v,
                                const char *gateway, uint16_t port, struct route_host *to);
/* How it is called, by those who are to see it: rules of the client's namespace, else of the
 * Service's, else of the root namespace. To be given back to destination_done(). */
void mesh_rules_destination(const struct mesh_rules *m, const struct mesh_client *client,
                            const char *service, struct destination *ret);
