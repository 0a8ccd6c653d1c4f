#pragma once
/* Ingresses to the route model: which are ours, which hosts they touch, and for each host its
 * routes in the order they are tried. A change rebuilds the hosts that it touches and no other.
 *
 * Class (ingress-nginx's rule): spec.ingressClassName, which must name an IngressClass of one of
 * our controllers; else the annotation kubernetes.io/ingress.class, which must name such a class,
 * or be one of the names we were told; else none, unless we were told to take those too.
 *
 * Classes of controller k8s.io/ingress-nginx are served as ingress-nginx does: a regular expression
 * or a rewrite anywhere makes all paths of the host case-insensitive expressions, the slash at a
 * path's end is asked for by a redirect. */

#include "kube/ingress.h"
#include "model/ingress_settings.h"
#include "model/route.h"
#include "model/service_join.h"

struct ingress_routes;

struct ingress_options {
    const char *const *controllers; /* spec.controller of our IngressClasses; NULL-terminated */
    const char *class_name;         /* that the annotation may say without an IngressClass; NULL */
    bool without_class;             /* Ingresses of no class are ours */
    const char *default_backend; /* namespace/name of the Service, by its first port, that gets what
                                    no rule of any Ingress is for; NULL: that is answered 404 */
};

/* Before the key of what is no Service, for ingress_routes_service_changed(). */
#define INGRESS_SECRET     "Secret:"
#define INGRESS_CONFIG_MAP "ConfigMap:"

#define INGRESS_CONTROLLER_NGINX "k8s.io/ingress-nginx"

/* The join is asked for Services and must outlive it; options are borrowed. */
struct ingress_routes *ingress_routes_new(const struct ingress_options *o,
                                          const struct service_join *join);
void ingress_routes_free(struct ingress_routes *t);

/* Each adds, replaces or removes; objects are taken. */
void ingress_routes_add(struct ingress_routes *t, struct ingress_object *i);
void ingress_routes_remove(struct ingress_routes *t, struct str key);
void ingress_routes_add_class(struct ingress_routes *t, struct ingress_class *c);
/* Is it one of our controllers that a class names? */
bool ingress_routes_is_controller(const struct ingress_routes *t, const char *controller);
void ingress_routes_remove_class(struct ingress_routes *t, struct str name);
/* Borrowed until others come; NULL: none. All hosts are built anew. */
void ingress_routes_set_settings(struct ingress_routes *t, const struct ingress_settings *s);
/* A Service came, went or has other ports. */
void ingress_routes_service_changed(struct ingress_routes *t, struct str key);

/* Is it ours to serve and to give a status? NULL: no. Borrowed. */
const struct ingress_object *ingress_routes_find(const struct ingress_routes *t, struct str key);
/* for (size_t at = 0; ingress_routes_next(t, &at, &i);) : those that are ours. */
bool ingress_routes_next(const struct ingress_routes *t, size_t *at,
                         const struct ingress_object **ret);
/* What is wrong with the object itself, of any host; borrowed. NULL: not ours. */
const struct findings *ingress_routes_findings(const struct ingress_routes *t, struct str key);
/* An object on which something must be told has changed: each is given once. NULL: none. */
const struct ingress_object *ingress_routes_take_changed(struct ingress_routes *t);

/* The next host that changed since it was taken, built anew; a new reference. *ret_name is its
 * name, owned by the table and good until the next call; *ret NULL: it has gone. False: none is
 * left. */
bool ingress_routes_take_dirty(struct ingress_routes *t, const char **ret_name,
                               struct route_host **ret);
