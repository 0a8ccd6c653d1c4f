/* ConfigMaps of ingress-nginx, by the names that its chart and its documents give them: read as the
 * control plane reads those that its flags name. */
#include "model/analysis_priv.h"
#include "model/nginx_maps.h"

static const struct {
    const char *name;
    enum nginx_map what;
} known[] = {{"ingress-nginx-controller", NGINX_MAP_SETTINGS},
             {"nginx-configuration", NGINX_MAP_SETTINGS},
             {"tcp-services", NGINX_MAP_TCP},
             {"ingress-nginx-tcp", NGINX_MAP_TCP},
             {"udp-services", NGINX_MAP_UDP},
             {"ingress-nginx-udp", NGINX_MAP_UDP}};

void analysis_settings(const struct analysis *a)
{
    json_t *j;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)a->in->objects, i, j)
    {
        const char *name = json_at_str(j, "metadata.name"),
                   *ns = json_at_str(j, "metadata.namespace");
        for (size_t k = 0; analysis_is(j, "ConfigMap") && k < ARRAY_LEN(known); k++) {
            AUTO_CHARS char *key = xasprintf("%s/%s", ns ? ns : "", name);
            if (streq(known[k].name, name))
                nginx_map_check(known[k].what, key, json_object_get(j, "data"), a->out);
        }
    }
}
