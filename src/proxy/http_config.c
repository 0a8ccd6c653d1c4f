/* From an HttpConnectionManager to what a listener's requests are served by. */
#include "proxy/http_config.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    pb_hcm;

void http_config_free(struct http_config *h)
{
    if (!h)
        return;
    route_table_unref(h->routes);
    VEC_FOREACH (log, &h->logs)
        access_log_unref(*log);
    vec_done(&h->logs);
    free(h->stat_prefix);
    free(h);
}

/* A static table may name no cluster that is not there: nobody would bring it later. */
static int check_clusters(struct compile *c, const struct route_table *t)
{
    for (size_t h = 0; h < t->n_hosts; h++)
        for (size_t i = 0; i < t->hosts[h].n_routes; i++) {
            const struct route *r = &t->hosts[h].routes[i];
            for (size_t k = 0; r->kind == ROUTE_FORWARD && k < r->forward.n_clusters; k++) {
                struct str name = r->forward.clusters[k].name;
                if (name.n && !map_find(c->clusters, name))
                    return COMPILE_FAIL(c, "route: unknown cluster '" STR_FMT "'", STR_ARG(name));
            }
        }
    return 0;
}

static int compile_routes(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    size_t mark = pb_path_field(&c->path, "route_config");
    struct err err = {0};
    int r = route_table_compile(m->route_config, &h->routes, &err);
    if (r < 0) {
        err_prefix(&err, c->path.text, NULL);
        if (c->err)
            *c->err = err;
        return r;
    }
    if (c->clusters)
        r = check_clusters(c, h->routes);
    pb_path_back(&c->path, mark);
    return r;
}

static int compile_logs(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    for (size_t i = 0; i < m->n_access_log; i++) {
        size_t mark = pb_path_field(&c->path, "access_log");
        struct access_log *log;
        pb_path_index(&c->path, i);
        int r = access_log_compile(m->access_log[i], &c->path, &log, c->err);
        if (r < 0)
            return r;
        vec_push(&h->logs, log);
        pb_path_back(&c->path, mark);
    }
    return 0;
}

static int compile(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    if (m->route_specifier_case !=
        ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG)
        return COMPILE_FAIL(c, "only route_config is implemented yet");
    h->stat_prefix = xstrdup(m->stat_prefix);
    for (size_t i = 0; i < m->n_upgrade_configs; i++) {
        if (!str_eq_nocase(str_from(m->upgrade_configs[i]->upgrade_type), STR("websocket")))
            return COMPILE_FAIL(c, "upgrade_configs: only websocket is implemented");
        h->websocket = !m->upgrade_configs[i]->enabled || m->upgrade_configs[i]->enabled->value;
    }
    client_cert_compile(m, &h->client_cert);
    int r = compile_logs(c, m, h);
    return r < 0 ? r : compile_routes(c, m, h);
}

int http_config_compile(struct compile *c, const pb_hcm *m, struct http_config **ret)
{
    struct http_config *h = NEW(struct http_config);
    int r = compile(c, m, h);
    if (r < 0) {
        http_config_free(h);
        return r;
    }
    *ret = h;
    return 0;
}
