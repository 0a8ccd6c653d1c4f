/* The store: updates go in, snapshots come out, soon behind whatever has changed. */
#include "proxy/store.h"

#include <errno.h>

#include "base/assert.h"
#include "base/log.h"
#include "proxy/peer.h"
#include "proxy/store_priv.h"

typedef Envoy__Config__Bootstrap__V3__Bootstrap pb_bootstrap;

/* ---- snapshots ---- */

static struct cluster_table *make_table(struct store *s)
{
    struct cluster_table *t = cluster_table_new();
    void *p;
    for (size_t at = 0; map_next(&s->clusters, &at, NULL, &p);)
        if (((const struct store_cluster *)p)->live)
            cluster_table_add(t, ((const struct store_cluster *)p)->live);
    return t;
}

static void add_seats(struct store *s, struct proxy_config *c)
{
    void *p;
    VEC_FOREACH (seat, &s->seats.seats) {
        struct route_table *t = *seat ? route_seat_table(*seat) : NULL;
        vec_push(&c->seats, (struct config_seat){.table = t ? route_table_ref(t) : NULL});
    }
    VEC_FOREACH (l, &c->listeners)
        VEC_FOREACH (h, &(*l)->https)
            if ((*h)->seat)
                c->seats.v[(*h)->seat->id].http = *h;
    for (size_t at = 0; map_next(&s->gone, &at, NULL, &p);) {
        struct listener_config *l = p;
        vec_push(&c->gone, listener_config_ref(l));
        VEC_FOREACH (h, &l->https)
            if ((*h)->seat && !c->seats.v[(*h)->seat->id].http)
                c->seats.v[(*h)->seat->id].http = *h;
    }
}

static struct proxy_config *make_config(struct store *s)
{
    struct proxy_config *c = NEW(struct proxy_config);
    void *p;
    if (!s->table)
        s->table = make_table(s);
    c->refs = 1;
    c->clusters = cluster_table_ref(s->table);
    c->by_name.borrows = true;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);) {
        struct listener_config *l = ((const struct store_listener *)p)->live;
        if (!l)
            continue;
        vec_push(&c->listeners, listener_config_ref(l));
        map_put_cstr(&c->by_name, l->name, l);
    }
    VEC_FOREACH (slot, &s->slots.slots)
        vec_push(&c->routes, *slot && (*slot)->table ? route_table_ref((*slot)->table) : NULL);
    add_seats(s, c);
    return c;
}

/* Listeners are asked for when the first clusters are warm. */
static void want_listeners(struct store *s)
{
    if (!s->has_lds || s->listeners_wanted || (s->has_cds && !s->clusters_came) ||
        !list_is_empty(&s->warming))
        return;
    s->listeners_wanted = true;
    s->ops->on_want(&s->lds, XDS_LISTENER, STR(""), true, s->user);
}

static void settle(struct store *s)
{
    store_clusters_warm(s);
    store_listeners_settle(s);
    store_clusters_settle(s, store_names_cluster);
    if (s->secrets_stale)
        store_secrets_sweep(s);
    want_listeners(s);
}

static void on_settle(void *user)
{
    struct store *s = user;
    settle(s);
    if (!s->changed)
        return;
    s->changed = false;
    s->ops->on_config(make_config(s), s->user);
}

struct proxy_config *store_config(struct store *s)
{
    loop_call_cancel(&s->settle);
    settle(s);
    s->changed = false;
    return make_config(s);
}

struct cluster *store_find_cluster(const struct store *s, const char *name)
{
    const struct store_cluster *sc = map_find_cstr(&s->clusters, name);
    return sc ? sc->live : NULL;
}

bool store_is_ready(const struct store *s)
{
    return (!s->has_cds || s->clusters_came) && (!s->has_lds || s->listeners_came) &&
           store_listeners_are_warm(s);
}

bool store_is_settled(const struct store *s)
{
    return list_is_empty(&s->warming) && !store_listeners_wait(s);
}

void store_count_warming(const struct store *s, size_t *ret_clusters, size_t *ret_listeners)
{
    void *p;
    *ret_clusters = *ret_listeners = 0;
    for (size_t at = 0; map_next(&s->clusters, &at, NULL, &p);)
        *ret_clusters += ((const struct store_cluster *)p)->warming != NULL;
    for (size_t at = 0; map_next(&s->listeners, &at, NULL, &p);)
        *ret_listeners += ((const struct store_listener *)p)->warming != NULL;
}

void store_start(struct store *s)
{
    store_clusters_run(s, true);
}

void store_stop(struct store *s)
{
    store_clusters_run(s, false);
}

/* ---- updates ---- */

static int add_item(struct store *s, enum xds_resource type, const struct store_item *i)
{
    switch (type) {
    case XDS_CLUSTER:
        return store_cluster_add(s, i);
    case XDS_ENDPOINT:
        return store_assignment_add(s, i);
    case XDS_LISTENER:
        return store_listener_add(s, i);
    case XDS_SECRET:
        return store_secret_add(s, i);
    case XDS_ROUTE: /* never of a bootstrap: read_item */
    case XDS_HOST:  /* store_update */
    case XDS_WORKLOAD:
    case XDS_NAMES:
    case XDS_RESOURCES:
        break;
    }
    return err_set(i->err, -EINVAL, NULL, "not implemented yet");
}

static int read_item(struct store *s, enum xds_resource type, struct xds_item *item,
                     struct err *reterr)
{
    AUTO(arena) struct arena *a = arena_new(XDS_RESPONSE_BYTES_MAX);
    struct xds_report report = {0};
    struct pb_path path = {.n = 0};
    struct store_item i = {.arena = a,
                           .name = item->name,
                           .bytes = item->bytes,
                           .from = item,
                           .path = &path,
                           .err = reterr};
    int r;
    if (type == XDS_ROUTE) {
        r = store_routes_read(s, &i, &report);
    } else {
        r = xds_resource_unpack(type, item->bytes, a, &i.message, &report, reterr);
        if (r == 0)
            r = add_item(s, type, &i);
    }
    if (r == 0)
        store_tell(s, type, item->name, &report);
    xds_report_done(&report);
    return r;
}

/* What a whole state does not have any more. */
static void remove_missing(struct store *s, const struct xds_update *u)
{
    struct map *known = u->type == XDS_CLUSTER ? &s->clusters : &s->listeners;
    struct map named = {.borrows = true};
    VEC(struct str) gone = {0};
    struct str name;
    for (size_t i = 0; i < u->n_items; i++)
        map_put(&named, u->items[i].name, &u->items[i]);
    for (size_t at = 0; map_next(known, &at, &name, NULL);)
        if (!map_find(&named, name))
            vec_push(&gone, str_of(str_dup(name), name.n));
    VEC_FOREACH (g, &gone) {
        if (u->type == XDS_CLUSTER)
            store_cluster_remove(s, *g);
        else
            store_listener_remove(s, *g);
        free((char *)(uintptr_t)g->p);
    }
    vec_done(&gone);
    map_done(&named);
}

static void remove_named(struct store *s, const struct xds_update *u)
{
    for (size_t i = 0; i < u->n_removed; i++) {
        if (u->type == XDS_CLUSTER)
            store_cluster_remove(s, u->removed[i]);
        else if (u->type == XDS_LISTENER)
            store_listener_remove(s, u->removed[i]);
        /* else: hosts by store_hosts_update(); endpoints, routes, secrets go with those who want
         * them, as in Envoy */
    }
}

static void count_update(const struct xds_update *u, bool refused)
{
    struct stats_cell *m = stats_main(stats_server());
    if (u->type == XDS_CLUSTER) {
        stats_inc(m, SERVER_STAT_CDS_ATTEMPT);
        stats_inc(m, refused ? SERVER_STAT_CDS_REJECTED : SERVER_STAT_CDS_SUCCESS);
    } else if (u->type == XDS_LISTENER) {
        stats_inc(m, SERVER_STAT_LDS_ATTEMPT);
        stats_inc(m, refused ? SERVER_STAT_LDS_REJECTED : SERVER_STAT_LDS_SUCCESS);
    }
}

void store_update(struct store *s, const struct xds_update *u, struct buf *refused)
{
    if (u->type == XDS_WORKLOAD) {
        peers_update(u);
        return;
    }
    /* first, since what is new may want the address of what goes */
    if (u->full && u->type == XDS_LISTENER)
        remove_missing(s, u);
    remove_named(s, u);
    if (u->type == XDS_HOST)
        store_hosts_update(s, u, refused);
    for (size_t i = 0; u->type != XDS_HOST && i < u->n_items; i++) {
        struct err err = {0};
        u->items[i].refused = read_item(s, u->type, &u->items[i], &err) < 0;
        if (u->items[i].refused)
            store_refuse(u->type, &u->items[i], &err, refused);
    }
    if (u->full && u->type == XDS_CLUSTER)
        remove_missing(s, u);
    count_update(u, refused->n != 0);
    if (u->type == XDS_CLUSTER)
        s->clusters_came = true;
    if (u->type == XDS_LISTENER)
        s->listeners_came = true;
    loop_defer_soon(s->loop, &s->settle);
}

/* ---- the bootstrap ---- */

static int load_list(struct store *s, enum xds_resource type, const char *field,
                     ProtobufCMessage *const *m, size_t n, struct pb_path *path, struct err *reterr)
{
    for (size_t i = 0; i < n; i++) {
        AUTO(arena) struct arena *a = arena_new(0);
        size_t mark = pb_path_field(path, field);
        pb_path_index(path, i);
        /* the name is the first field of both */
        const char *const *name = pb_value(m[i], pb_field_of(m[i]->descriptor, 1), 0);
        char numbered[32];
        snprintf(numbered, sizeof(numbered), "listener %zu", i);
        struct store_item item = {.arena = a,
                                  .message = m[i],
                                  .name = str_from(**name ? *name : numbered),
                                  .is_static = true,
                                  .path = path,
                                  .err = reterr};
        int r = add_item(s, type, &item);
        if (r < 0)
            return r;
        pb_path_back(path, mark);
    }
    return 0;
}

static int load_static(struct store *s, const pb_bootstrap *b, struct err *reterr)
{
    struct pb_path path = {.n = 0};
    pb_path_field(&path, "static_resources");
    int r = load_list(s, XDS_SECRET, "secrets",
                      (ProtobufCMessage *const *)(void *)b->static_resources->secrets,
                      b->static_resources->n_secrets, &path, reterr);
    if (r == 0)
        r = load_list(s, XDS_CLUSTER, "clusters",
                      (ProtobufCMessage *const *)(void *)b->static_resources->clusters,
                      b->static_resources->n_clusters, &path, reterr);
    return r < 0 ? r
                 : load_list(s, XDS_LISTENER, "listeners",
                             (ProtobufCMessage *const *)(void *)b->static_resources->listeners,
                             b->static_resources->n_listeners, &path, reterr);
}

static int load_source(const Envoy__Config__Core__V3__ConfigSource *m, const char *field,
                       struct config_source *ret, bool *ret_has, struct err *reterr)
{
    struct pb_path path = {.n = 0};
    pb_path_field(&path, "dynamic_resources");
    pb_path_field(&path, field);
    if (!m)
        return 0;
    *ret_has = true;
    return config_source_compile(m, &path, ret, reterr);
}

static void on_clusters_late(void *user)
{
    struct store *s = user;
    s->clusters_came = true;
    loop_defer_soon(s->loop, &s->settle);
}

static void on_again(void *user)
{
    struct store *s = user;
    loop_defer_soon(s->loop, &s->settle);
}

int store_load(struct store *s, const pb_bootstrap *b, struct err *reterr)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__DynamicResources *d = b->dynamic_resources;
    int r = b->static_resources ? load_static(s, b, reterr) : 0;
    if (r == 0 && d)
        r = load_source(d->cds_config, "cds_config", &s->cds, &s->has_cds, reterr);
    if (r == 0 && d)
        r = load_source(d->lds_config, "lds_config", &s->lds, &s->has_lds, reterr);
    if (r < 0)
        return r;
    if (s->has_cds) {
        s->ops->on_want(&s->cds, XDS_CLUSTER, STR(""), true, s->user);
        if (s->cds.warm_ms)
            loop_timer_start(s->clusters_late, s->cds.warm_ms);
    }
    loop_defer_soon(s->loop, &s->settle);
    return 0;
}

struct store *store_new(struct loop *l, const struct store_ops *ops, void *user)
{
    struct store *s = NEW(struct store);
    s->loop = l;
    s->ops = ops;
    s->user = user;
    list_init(&s->warming);
    list_init(&s->leaving);
    loop_call_init(&s->settle, on_settle, s);
    s->clusters_late = loop_timer_new(l, on_clusters_late, s);
    s->again = loop_timer_new(l, on_again, s);
    return s;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    loop_call_cancel(&s->settle);
    loop_timer_free(s->clusters_late);
    loop_timer_free(s->again);
    store_listeners_done(s);
    store_clusters_done(s);
    store_secrets_done(s);
    cluster_table_unref(s->table);
    map_done(&s->told);
    config_source_done(&s->cds);
    config_source_done(&s->lds);
    free(s);
}
