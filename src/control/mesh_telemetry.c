#include "control/mesh_telemetry.h"

#include "control/mesh_lookup.h"
#include "control/mesh_view.h"

struct mesh_telemetry *mesh_telemetry_find(const struct mesh_peers *p,
                                           const struct mesh_rules *rules,
                                           const struct service_join *join, struct str ns,
                                           const struct workload *pod)
{
    struct mesh_lookup l = {join, mesh_rules_get_entries(rules)};
    if (!p->telemetries || !p->config || !*p->config)
        return NULL;
    struct mesh_telemetry *t = NEW(struct mesh_telemetry);
    for (unsigned side = 0; side < _TELEMETRY_SIDES; side++) {
        struct telemetry_view v;
        telemetry_find(p->telemetries, *p->config, ns, p->pods, pod, (enum telemetry_side)side, &v);
        t->side[side] =
            translate_told(&v, *p->config, (enum telemetry_side)side, mesh_find_cluster, &l);
        telemetry_view_done(&v);
    }
    return t;
}

void mesh_telemetry_free(struct mesh_telemetry *t)
{
    for (unsigned side = 0; t && side < _TELEMETRY_SIDES; side++)
        mesh_told_done(&t->side[side]);
    free(t);
}

bool mesh_telemetry_eq(const struct mesh_telemetry *a, const struct mesh_telemetry *b)
{
    for (unsigned side = 0; a && b && side < _TELEMETRY_SIDES; side++)
        if (!mesh_told_eq(&a->side[side], &b->side[side]))
            return false;
    return !a == !b;
}

char *mesh_telemetry_collector(const struct mesh_peers *p, const struct service_join *join,
                               struct str ns, uint16_t *ret_port)
{
    struct mesh_lookup l = {join, NULL};
    struct telemetry_view v;
    char cluster[CLUSTER_NAME_MAX];
    if (!p->telemetries || !p->config || !*p->config)
        return NULL;
    const struct mesh_config *c = *p->config;
    telemetry_find(p->telemetries, c, ns, p->pods, NULL, TELEMETRY_CLIENT, &v);
    const struct telemetry_tracing *t = &v.tracing;
    const char *host = t->off ? NULL : t->is_default ? c->zipkin_host : t->provider->host;
    *ret_port = t->is_default ? c->zipkin_port : t->provider ? t->provider->port : 0;
    char *key =
        host && mesh_find_cluster(host, *ret_port, cluster, &l) ? istio_host_service(host) : NULL;
    telemetry_view_done(&v);
    return key;
}

bool mesh_telemetry_needs(const struct mesh_peers *p, const char *key)
{
    const struct mesh_config *c = p->config ? *p->config : NULL;
    AUTO_CHARS char *host = service_key_host(key);
    for (size_t i = 0; c && i < c->n_providers; i++)
        if (streq(c->providers[i].host, host))
            return true;
    return c && streq(c->zipkin_host, host);
}
