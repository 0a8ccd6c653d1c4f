/* Snapshots, and how one is made of a bootstrap's static resources. */
#include "proxy/config.h"

#include <errno.h>

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "base/assert.h"
#include "codec/pb_msg.h"
#include "codec/pb_path.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    pb_hcm;
typedef Envoy__Config__Listener__V3__Listener pb_listener;

/* Where a compilation stands. */
struct compile {
    struct proxy_config *config;
    struct arena *scratch; /* for what is packed inside messages */
    struct pb_path path;
    struct err *err;
};

#define FAIL(c, ...) pb_path_fail(&(c)->path, (c)->err, -EINVAL, __VA_ARGS__)

struct proxy_config *proxy_config_ref(struct proxy_config *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

static void listener_config_free(struct listener_config *l)
{
    route_table_unref(l->http.routes);
    VEC_FOREACH (log, &l->http.logs)
        access_log_unref(*log);
    vec_done(&l->http.logs);
    free(l->http.stat_prefix);
    free(l->name);
    free(l);
}

void proxy_config_unref(struct proxy_config *c)
{
    void *cluster;
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    VEC_FOREACH (l, &c->listeners)
        listener_config_free(*l);
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

/* ---- clusters ---- */

static int add_clusters(struct compile *c, const Envoy__Config__Bootstrap__V3__Bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *s = b->static_resources;
    for (size_t i = 0; s && i < s->n_clusters; i++) {
        size_t mark = pb_path_field(&c->path, "clusters");
        struct cluster *cluster = NULL;
        pb_path_index(&c->path, i);
        int r = cluster_compile(s->clusters[i], &c->path, &cluster, c->err);
        if (r == 0 && map_find_cstr(&c->config->clusters, cluster->name)) {
            r = FAIL(c, "duplicate cluster '%s'", cluster->name);
            cluster_unref(cluster);
        } else if (r == 0) {
            map_put_cstr(&c->config->clusters, cluster->name, cluster);
        }
        if (r < 0)
            return r;
        pb_path_back(&c->path, mark);
    }
    return 0;
}

/* ---- listeners ---- */

/* A static table may name no cluster that is not there: nobody would bring it later. */
static int check_clusters(struct compile *c, const struct route_table *t)
{
    for (size_t h = 0; h < t->n_hosts; h++)
        for (size_t i = 0; i < t->hosts[h].n_routes; i++) {
            const struct route *r = &t->hosts[h].routes[i];
            for (size_t k = 0; r->kind == ROUTE_FORWARD && k < r->forward.n_clusters; k++) {
                struct str name = r->forward.clusters[k].name;
                if (name.n && !proxy_config_cluster(c->config, name))
                    return FAIL(c, "route: unknown cluster '" STR_FMT "'", STR_ARG(name));
            }
        }
    return 0;
}

static int compile_http(struct compile *c, const pb_hcm *m, struct http_config *ret)
{
    if (m->route_specifier_case !=
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG)
        return FAIL(c, "only route_config is implemented yet");
    ret->stat_prefix = xstrdup(m->stat_prefix);
    for (size_t i = 0; i < m->n_upgrade_configs; i++) {
        if (!str_eq_nocase(str_from(m->upgrade_configs[i]->upgrade_type), STR("websocket")))
            return FAIL(c, "upgrade_configs: only websocket is implemented");
        ret->websocket = !m->upgrade_configs[i]->enabled || m->upgrade_configs[i]->enabled->value;
    }
    for (size_t i = 0; i < m->n_access_log; i++) {
        size_t at = pb_path_field(&c->path, "access_log");
        struct access_log *log;
        pb_path_index(&c->path, i);
        int r = access_log_compile(m->access_log[i], &c->path, &log, c->err);
        if (r < 0)
            return r;
        vec_push(&ret->logs, log);
        pb_path_back(&c->path, at);
    }
    size_t mark = pb_path_field(&c->path, "route_config");
    struct err err = {0};
    int r = route_table_compile(m->route_config, &ret->routes, &err);
    if (r < 0) {
        err_prefix(&err, c->path.text, NULL);
        if (c->err)
            *c->err = err;
        return r;
    }
    r = check_clusters(c, ret->routes);
    pb_path_back(&c->path, mark);
    return r;
}

static int compile_address(struct compile *c, const pb_listener *m, struct listener_config *ret)
{
    const Envoy__Config__Core__V3__Address *a = m->address;
    if (!a || a->address_case != ENVOY__CONFIG__CORE__V3__ADDRESS__ADDRESS_SOCKET_ADDRESS ||
        a->socket_address->port_specifier_case !=
            ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE)
        return FAIL(c, "address: only a socket_address with port_value is implemented yet");
    if (ip_parse(str_from(a->socket_address->address), &ret->ip) < 0)
        return FAIL(c, "address: malformed IP address: %s", a->socket_address->address);
    ret->port = (uint16_t)a->socket_address->port_value;
    return 0;
}

static int compile_listener(struct compile *c, const pb_listener *m, struct listener_config *ret)
{
    static const char hcm[] =
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    int r = compile_address(c, m, ret);
    if (r < 0)
        return r;
    ret->name = xstrdup(m->name);
    if (m->n_filter_chains != 1 || m->n_listener_filters)
        return FAIL(c, "only one filter chain and no listener filters are implemented yet");
    pb_path_field(&c->path, "filter_chains");
    pb_path_index(&c->path, 0);
    const Envoy__Config__Listener__V3__FilterChain *chain = m->filter_chains[0];
    if (chain->n_filters != 1 || !chain->filters[0]->typed_config || chain->transport_socket)
        return FAIL(c, "only one filter and no transport socket are implemented yet");
    pb_path_field(&c->path, "filters");
    pb_path_index(&c->path, 0);
    pb_path_field(&c->path, "typed_config");
    const Google__Protobuf__Any *any = chain->filters[0]->typed_config;
    if (!str_is(pb_type_name(str_from(any->type_url)), hcm))
        return FAIL(c, "only %s is implemented yet", hcm);
    ProtobufCMessage *message;
    r = pb_unpack(
        &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor,
        str_of(any->value.data, any->value.len), c->scratch, &message, c->err);
    return r < 0 ? r : compile_http(c, (const pb_hcm *)message, &ret->http);
}

static int add_listeners(struct compile *c, const Envoy__Config__Bootstrap__V3__Bootstrap *b)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *s = b->static_resources;
    for (size_t i = 0; s && i < s->n_listeners; i++) {
        size_t mark = pb_path_field(&c->path, "listeners");
        struct listener_config *l = NEW(struct listener_config);
        pb_path_index(&c->path, i);
        vec_push(&c->config->listeners, l);
        int r = compile_listener(c, s->listeners[i], l);
        if (r < 0)
            return r;
        pb_path_back(&c->path, mark);
    }
    return 0;
}

int proxy_config_from_bootstrap(const Envoy__Config__Bootstrap__V3__Bootstrap *b,
                                struct proxy_config **ret, struct err *reterr)
{
    struct compile c = {.config = NEW(struct proxy_config), .scratch = arena_new(0), .err = reterr};
    c.config->refs = 1;
    pb_path_field(&c.path, "static_resources");
    int r = add_clusters(&c, b);
    if (r == 0)
        r = add_listeners(&c, b);
    arena_free(c.scratch);
    if (r < 0) {
        proxy_config_unref(c.config);
        return r;
    }
    *ret = c.config;
    return 0;
}
