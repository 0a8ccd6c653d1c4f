/* Ports at which a workload is served, as its Services and PeerAuthentications say. */
#include "control/mesh_inbound.h"

#include "control/mesh_view.h"

enum port_protocol mesh_inbound_protocol(const struct service_object *o, const struct slice_port *p)
{
    for (uint16_t i = 0; i < o->n_ports; i++)
        if (o->ports[i].proto == p->proto && streq(o->ports[i].name, p->name))
            return port_protocol(&o->ports[i]);
    return PORT_OTHER;
}

void mesh_inbound_done(struct mesh_inbound_list *l)
{
    VEC_FOREACH (in, &l->v)
        free((char *)(uintptr_t)in->service);
    vec_done(&l->v);
}

void mesh_inbound_add(struct mesh_inbound_list *to, uint16_t port, enum port_protocol protocol,
                      const char *service)
{
    VEC_FOREACH (in, &to->v)
        if (in->port == port) {
            in->protocol = in->protocol == PORT_SNIFFED ? protocol : in->protocol;
            return;
        }
    vec_push(&to->v, (struct mesh_inbound){.port = port,
                                           .protocol = protocol,
                                           .service = service ? xstrdup(service) : NULL});
}

static int by_port(const void *a, const void *b)
{
    return ((const struct mesh_inbound *)a)->port - ((const struct mesh_inbound *)b)->port;
}

bool mesh_inbound_eq(const struct mesh_inbound_list *a, const struct mesh_inbound_list *b)
{
    for (size_t i = 0; i < a->v.n && i < b->v.n; i++)
        if (a->v.v[i].port != b->v.v[i].port || a->v.v[i].protocol != b->v.v[i].protocol ||
            a->v.v[i].mode != b->v.v[i].mode || a->v.v[i].target != b->v.v[i].target ||
            a->v.v[i].loopback != b->v.v[i].loopback ||
            !streq(a->v.v[i].service, b->v.v[i].service))
            return false;
    return a->v.n == b->v.n;
}

/* By name, so that of Services that differ the same one counts each time. */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Ports that a Sidecar names, and no others; whose they are the Services say. */
static void take_ingress(struct mesh_inbound_list *in, const struct sidecar_scope *scope)
{
    struct mesh_inbound_list said = *in;
    *in = (struct mesh_inbound_list){0};
    for (size_t i = 0; i < scope->n_ingress; i++) {
        const struct scope_ingress *p = &scope->ingress[i];
        const char *service = NULL;
        VEC_FOREACH (one, &said.v)
            if (one->port == p->port)
                service = one->service;
        if (mesh_is_proxys(p->port))
            continue;
        mesh_inbound_add(in, p->port, p->protocol, service);
        in->v.v[in->v.n - 1].target = p->target == p->port && !p->loopback ? 0 : p->target;
        in->v.v[in->v.n - 1].loopback = p->loopback;
    }
    mesh_inbound_done(&said);
}

struct mesh_inbound_list mesh_inbound_of(const struct map *services,
                                         const struct mtls_policy *policy,
                                         const struct sidecar_scope *scope)
{
    struct mesh_inbound_list in = {0};
    VEC(char *) keys = {0};
    struct str key;
    for (size_t at = 0; map_next(services, &at, &key, NULL);)
        vec_push(&keys, str_dup(key));
    if (keys.n)
        qsort(keys.v, keys.n, sizeof(*keys.v), by_text);
    VEC_FOREACH (k, &keys) {
        const struct mesh_membership *one = map_find_cstr(services, *k);
        VEC_FOREACH (p, &one->ports.v)
            mesh_inbound_add(&in, p->port, p->protocol, *k);
        free(*k);
    }
    vec_done(&keys);
    if (scope && scope->n_ingress)
        take_ingress(&in, scope);
    for (size_t i = 0; i < policy->n_ports; i++) /* of no Service, too */
        if (!mesh_is_proxys(policy->ports[i].port))
            mesh_inbound_add(&in, policy->ports[i].port, PORT_SNIFFED, NULL);
    VEC_FOREACH (p, &in.v)
        p->mode = mtls_policy_of(policy, p->port);
    if (in.v.n)
        qsort(in.v.v, in.v.n, sizeof(*in.v.v), by_port);
    return in;
}

void mesh_inbound_keep_modes(const struct mesh_inbound_list *ports, struct mesh_inbound_list *now)
{
    VEC_FOREACH (before, &ports->v) {
        if (!before->service) /* a policy spoke of it */
            mesh_inbound_add(now, before->port, before->protocol, NULL);
        VEC_FOREACH (in, &now->v)
            if (in->port == before->port)
                in->mode = before->mode;
    }
    if (now->v.n)
        qsort(now->v.v, now->v.n, sizeof(*now->v.v), by_port);
}
