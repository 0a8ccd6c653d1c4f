/* Snapshots, and how one is made of a bootstrap's static resources. */
#include "proxy/config.h"

struct proxy_config *proxy_config_ref(struct proxy_config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void proxy_config_unref(struct proxy_config *c)
{
    void *cluster;
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    VEC_FOREACH (l, &c->listeners)
        listener_config_unref(*l);
    vec_done(&c->listeners);
    for (size_t at = 0; map_next(&c->clusters, &at, NULL, &cluster);)
        cluster_unref(cluster);
    map_done(&c->clusters);
    free(c);
}

struct cluster *proxy_config_cluster(const struct proxy_config *c, struct str name)
{
    return map_find(&c->clusters, name);
}

typedef Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources pb_resources;

/* user: the static resources. */
static const Envoy__Extensions__TransportSockets__Tls__V3__Secret *find_secret(struct str name,
                                                                               void *user)
{
    const pb_resources *s = user;
    for (size_t i = 0; i < s->n_secrets; i++)
        if (str_is(name, s->secrets[i]->name))
            return s->secrets[i];
    return NULL;
}

static int add_clusters(struct compile *c, const pb_resources *s, struct proxy_config *config)
{
    for (size_t i = 0; i < s->n_clusters; i++) {
        size_t mark = pb_path_field(&c->path, "clusters");
        struct cluster *cluster = NULL;
        pb_path_index(&c->path, i);
        int r = cluster_compile(c, s->clusters[i], &cluster);
        if (r == 0 && map_find_cstr(&config->clusters, cluster->name)) {
            r = COMPILE_FAIL(c, "duplicate cluster '%s'", cluster->name);
            cluster_unref(cluster);
        } else if (r == 0) {
            map_put_cstr(&config->clusters, cluster->name, cluster);
        }
        if (r < 0)
            return r;
        pb_path_back(&c->path, mark);
    }
    return 0;
}

static int add_listeners(struct compile *c, const pb_resources *s, struct proxy_config *config)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        size_t mark = pb_path_field(&c->path, "listeners");
        struct listener_config *l;
        pb_path_index(&c->path, i);
        int r = listener_config_compile(c, s->listeners[i], &l);
        if (r < 0)
            return r;
        vec_push(&config->listeners, l);
        pb_path_back(&c->path, mark);
    }
    return 0;
}

int proxy_config_from_bootstrap(const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                                struct proxy_config **ret, struct err *reterr)
{
    struct proxy_config *config = NEW(struct proxy_config);
    struct compile c = {.clusters = &config->clusters, .scratch = arena_new(0), .err = reterr};
    int r = 0;
    config->refs = 1;
    pb_path_field(&c.path, "static_resources");
    if (b->static_resources) {
        c.find_secret = find_secret;
        c.secrets = b->static_resources;
        r = add_clusters(&c, b->static_resources, config);
        if (r == 0)
            r = add_listeners(&c, b->static_resources, config);
    }
    arena_free(c.scratch);
    if (r < 0) {
        proxy_config_unref(config);
        return r;
    }
    *ret = config;
    return 0;
}
