/* ConfigMaps of ingress-nginx, by the names that its chart and its documents give them: read as the
 * control plane reads those that its flags name. */
#include "model/analysis_priv.h"
#include "model/ingress_settings.h"
#include "model/stream_services.h"

enum { HTTP = 80, HTTPS = 443 };

static void read_settings(const char *key, const json_t *data, struct findings *f)
{
    ingress_settings_free(ingress_settings_new(key, data, f));
}

static void read_tcp(const char *key, const json_t *data, struct findings *f)
{
    static const uint16_t taken[] = {HTTP, HTTPS};
    struct stream_services services = {0};
    stream_services_read(key, data, taken, ARRAY_LEN(taken), &services, f);
    stream_services_done(&services);
}

static const struct {
    const char *name;
    void (*read)(const char *key, const json_t *data, struct findings *f);
} known[] = {{"ingress-nginx-controller", read_settings},
             {"nginx-configuration", read_settings},
             {"tcp-services", read_tcp},
             {"ingress-nginx-tcp", read_tcp},
             {"udp-services", stream_services_refuse_udp},
             {"ingress-nginx-udp", stream_services_refuse_udp}};

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
                known[k].read(key, json_object_get(j, "data"), a->out);
        }
    }
}
