/* Snapshots. */
#include "proxy/config.h"

struct cluster_table *cluster_table_new(void)
{
    struct cluster_table *t = NEW(struct cluster_table);
    t->refs = 1;
    t->by_name.borrows = true;
    return t;
}

void cluster_table_add(struct cluster_table *t, struct cluster *c)
{
    map_put_cstr(&t->by_name, c->name, cluster_ref(c));
}

struct cluster_table *cluster_table_ref(struct cluster_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void cluster_table_unref(struct cluster_table *t)
{
    void *cluster;
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t at = 0; map_next(&t->by_name, &at, NULL, &cluster);)
        cluster_unref(cluster);
    map_done(&t->by_name);
    free(t);
}

struct proxy_config *proxy_config_ref(struct proxy_config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void proxy_config_unref(struct proxy_config *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    VEC_FOREACH (l, &c->listeners)
        listener_config_unref(*l);
    vec_done(&c->listeners);
    map_done(&c->by_name);
    VEC_FOREACH (l, &c->gone)
        listener_config_unref(*l);
    vec_done(&c->gone);
    VEC_FOREACH (t, &c->routes)
        route_table_unref(*t);
    vec_done(&c->routes);
    VEC_FOREACH (seat, &c->seats)
        route_table_unref(seat->table);
    vec_done(&c->seats);
    cluster_table_unref(c->clusters);
    free(c);
}

struct cluster *proxy_config_cluster(const struct proxy_config *c, struct str name)
{
    return map_find(&c->clusters->by_name, name);
}

const struct http_config *proxy_config_http(const struct proxy_config *c,
                                            const struct http_config *h)
{
    if (!h->seat || h->seat->id >= c->seats.n || !c->seats.v[h->seat->id].http)
        return h;
    return c->seats.v[h->seat->id].http;
}

const struct route_table *proxy_config_routes(const struct proxy_config *c,
                                              const struct http_config *h)
{
    if (h->seat)
        return h->seat->id < c->seats.n ? c->seats.v[h->seat->id].table : NULL;
    if (!h->slot)
        return h->routes;
    return h->slot->id < c->routes.n ? c->routes.v[h->slot->id] : NULL;
}
