#pragma once
/* What all Ingresses of a set of objects come to: the one snapshot that `explain`, `analyze` and
 * `migrate` ask. Made once, never changed. Objects may come in any order. */

#include "model/ingress_routes.h"

struct ingress_snapshot {
    struct service_join *join;
    struct ingress_routes *routes;
    struct map hosts;           /* name -> struct route_host */
    struct route_host **sorted; /* the same, n_hosts of them, by name */
    size_t n_hosts;
    struct ingress_settings *settings; /* NULL: no ConfigMap has any */
};

/* objects: an array of Ingresses and IngressClasses (networking.k8s.io/v1), Services and
 * EndpointSlices, ConfigMaps, each with its namespace; what else is among them is left out.
 * settings: namespace/name of the ConfigMap with the settings of ingress-nginx; NULL: one of a
 * usual name, first that of our own installation, then the first by its key. What is wrong with it
 * is told by whoever asks nginx_maps.h. The options are borrowed. */
struct ingress_snapshot *ingress_snapshot_new(const struct ingress_options *o, const char *settings,
                                              const json_t *objects);
/* Names that installations give that ConfigMap, the usual one first; NULL behind the last. */
extern const char *const ingress_settings_names[];
#define INGRESS_SETTINGS_OWN "fairlead-system/ingress-nginx-controller"
void ingress_snapshot_free(struct ingress_snapshot *s); /* NULL is allowed */
DEFINE_AUTO(ingress_snapshot);
/* NULL: no Ingress names it. */
struct route_host *ingress_snapshot_host(const struct ingress_snapshot *s, const char *name);
