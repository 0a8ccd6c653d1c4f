/* Of each TCP port of each Service three resources: gRPC asks for the listener by the target's name
 * (gRFC A27), "name.ns.svc.cluster.local:80", whose routes are in it, then for what they name. */
#include "control/proxyless.h"

#include <netinet/in.h>
#include <stdio.h>

#include "base/vec.h"
#include "control/translate.h"

struct ports {
    VEC(uint16_t) v;
};

struct proxyless {
    const struct service_join *join;
    struct xds_set *set; /* NULL: nobody has asked yet */
    struct map services; /* key -> struct ports: what is in the set */
};

struct proxyless *proxyless_new(const struct service_join *join)
{
    struct proxyless *p = NEW(struct proxyless);
    p->join = join;
    return p;
}

void proxyless_free(struct proxyless *p)
{
    void *ports;
    if (!p)
        return;
    for (size_t at = 0; map_next(&p->services, &at, NULL, &ports);) {
        vec_done(&((struct ports *)ports)->v);
        free(ports);
    }
    map_done(&p->services);
    xds_set_free(p->set);
    free(p);
}

static bool has(const struct ports *p, uint16_t port)
{
    for (size_t i = 0; p && i < p->v.n; i++)
        if (p->v.v[i] == port)
            return true;
    return false;
}

static void put_port(struct proxyless *p, const struct joined_service *s, uint16_t port)
{
    xds_set_put(p->set, translate_cluster(s->key, port, NULL, NULL, NULL));
    xds_set_put(p->set, translate_grpc_endpoints(s->key, port, s));
    xds_set_put(p->set, translate_grpc_listener(s->key, port));
}

static void remove_port(struct proxyless *p, const char *key, uint16_t port)
{
    char name[CLUSTER_NAME_MAX];
    xds_set_remove(p->set, XDS_LISTENER, str_from(translate_grpc_name(key, port, name)));
    translate_cluster_name(key, port, NULL, name);
    xds_set_remove(p->set, XDS_CLUSTER, str_from(name));
    xds_set_remove(p->set, XDS_ENDPOINT, str_from(name));
}

void proxyless_service_changed(struct proxyless *p, const char *key)
{
    if (!p->set)
        return;
    const struct joined_service *s = service_join_find(p->join, key);
    const struct service_object *o = s ? s->object : NULL;
    struct ports *before = map_remove_cstr(&p->services, key), *now = NEW(struct ports);
    for (uint16_t i = 0; o && i < o->n_ports; i++) {
        if (o->ports[i].proto != IPPROTO_TCP || has(now, o->ports[i].port))
            continue;
        vec_push(&now->v, o->ports[i].port);
        put_port(p, s, o->ports[i].port);
    }
    for (size_t i = 0; before && i < before->v.n; i++)
        if (!has(now, before->v.v[i]))
            remove_port(p, key, before->v.v[i]);
    if (before)
        vec_done(&before->v);
    free(before);
    if (now->v.n)
        map_put_cstr(&p->services, key, now);
    else
        free(now);
}

struct xds_set *proxyless_set(struct proxyless *p)
{
    struct joined_service *s;
    if (p->set)
        return p->set;
    p->set = xds_set_new();
    for (size_t at = 0; service_join_next(p->join, &at, &s);)
        proxyless_service_changed(p, s->key);
    return p->set;
}
