#pragma once
/* ProxyConfigs (networking.istio.io/v1beta1): how proxies that are put beside pods are set up. That
 * of the root namespace without a selector holds for the mesh, over it that of the namespace, over
 * that the pod's own annotation, over all one whose selector fits; of two of the same width the
 * older. Pure. */

#include "model/inject_config.h"
#include "model/istio_object.h"

struct proxy_settings_table;

struct proxy_settings_table *proxy_settings_new(const char *root_namespace);
void proxy_settings_free(struct proxy_settings_table *t); /* NULL is allowed */
/* Borrowed until the next change; NULL: no object. */
const struct istio_object *proxy_settings_put(struct proxy_settings_table *t, const json_t *j);
void proxy_settings_remove(struct proxy_settings_table *t, struct str key);
/* For a pod with those labels that is created in a namespace; borrowed until the next change. */
void proxy_settings_find(const struct proxy_settings_table *t, struct str ns, const json_t *labels,
                         struct inject_settings *ret);
