#pragma once
/* One host of the Ingresses that name it: its routes in order. */

#include "base/list.h"
#include "kube/ingress.h"
#include "model/ingress_annotations.h"
#include "model/route.h"
#include "model/service_join.h"

/* An Ingress that is ours. */
struct ingress_entry {
    struct ingress_object *object;
    struct ingress_policy *policy;           /* NULL: not ours */
    struct findings findings;                /* of the object alone */
    const struct ingress_settings *settings; /* NULL: none */
    bool nginx;                              /* served as ingress-nginx does */
    struct list_node changed;                /* linked: to be told */
};

/* entries: those that name the host, the first to be heeded first; as: NULL, or whose routes are
 * made of it. Keys of the Services that decided something go to `services`: such a change makes the
 * host another (names are the callee's to free). */
struct ingress_services {
    char **v;
    size_t n, cap;
};
/* Another name of a host: its routes, without its certificate and without a redirect to https; or
 * requests are sent to the host's name. */
struct ingress_alias {
    const char *name;
    bool www;
};
/* fallback: namespace/name of the Service that gets what no route is for; NULL: nobody does. */
struct route_host *ingress_host_build(const char *name, const struct ingress_alias *as,
                                      struct ingress_entry *const *entries, size_t n,
                                      const char *fallback, const struct service_join *join,
                                      struct ingress_services *services);
/* Which of two Ingresses is heeded first: the older; of one second the class of ingress-nginx, in
 * it the greater namespace/name, else the smaller. */
int ingress_entry_compare(const struct ingress_entry *a, const struct ingress_entry *b);
/* Does it name the host? "*" stands for rules without one, and for a default backend alone. */
bool ingress_names_host(const struct ingress_object *i, const char *host);
