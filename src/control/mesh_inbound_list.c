#include "control/mesh_inbound_list.h"

void inbound_list_done(struct inbound_list *l)
{
    VEC_FOREACH (in, &l->v)
        free((char *)(uintptr_t)in->service);
    vec_done(&l->v);
}

void inbound_list_add(struct inbound_list *to, uint16_t port, enum port_protocol protocol,
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

void inbound_list_sort(struct inbound_list *l)
{
    if (l->v.n)
        qsort(l->v.v, l->v.n, sizeof(*l->v.v), by_port);
}

bool inbound_list_eq(const struct inbound_list *a, const struct inbound_list *b)
{
    for (size_t i = 0; i < a->v.n && i < b->v.n; i++)
        if (a->v.v[i].port != b->v.v[i].port || a->v.v[i].protocol != b->v.v[i].protocol ||
            a->v.v[i].mode != b->v.v[i].mode || !streq(a->v.v[i].service, b->v.v[i].service))
            return false;
    return a->v.n == b->v.n;
}
