/* From an HttpConnectionManager to what a listener's requests are served by. */
#include "proxy/http_config.h"
#include "proxy/duration.h"

#include <envoy/extensions/filters/http/router/v3/router.pb-c.h>

#include "codec/pb_msg.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    pb_hcm;

typedef Envoy__Extensions__Filters__Http__Router__V3__Router pb_router;

enum {
    IDLE_TIMEOUT_MS = 3600 * 1000,
    STREAM_IDLE_MS = 300 * 1000,
};

void http_config_free(struct http_config *h)
{
    if (!h)
        return;
    route_table_unref(h->routes);
    route_slot_unref(h->slot);
    route_seat_unref(h->seat);
    access_logs_done(&h->logs);
    http_filters_free(h->filters);
    trace_config_free(h->trace);
    local_replies_free(h->replies);
    free(h->stat_prefix);
    stats_unref(h->stats);
    stats_unref(h->listener_stats);
    free(h);
}

/* A table in place may name no cluster that is not there: nobody would bring it later. */
static int check_clusters(struct compile *c, const struct route_table *t)
{
    struct str name;
    for (size_t at = 0; map_next(&t->clusters, &at, &name, NULL);)
        if (!map_find(c->clusters, name))
            return COMPILE_FAIL(c, "route: unknown cluster '" STR_FMT "'", STR_ARG(name));
    return 0;
}

static int compile_rds(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    size_t mark = pb_path_field(&c->path, "rds");
    struct config_source source;
    if (!*m->rds->route_config_name || !m->rds->config_source)
        return COMPILE_FAIL(c, "needs route_config_name and config_source");
    int r = config_source_compile(m->rds->config_source, &c->path, &source, c->err);
    if (r < 0)
        return r;
    h->slot = route_slots_get(c->route_slots, str_from(m->rds->route_config_name), &source);
    config_source_done(&source);
    pb_path_back(&c->path, mark);
    return 0;
}

static int compile_table(struct compile *c, const pb_hcm *m, struct http_config *h)
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

static int compile_routes(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    switch ((unsigned)m->route_specifier_case) {
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG:
        return compile_table(c, m, h);
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS:
        return compile_rds(c, m, h);
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_SCOPED_ROUTES:
    case ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER__NOT_SET:
    default:
        return COMPILE_FAIL(c, "needs one of rds, route_config");
    }
}

/* The router's own options; what it is has been looked at. */
static int compile_router(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    const Google__Protobuf__Any *any =
        m->n_http_filters ? m->http_filters[m->n_http_filters - 1]->typed_config : NULL;
    ProtobufCMessage *router;
    h->envoy_headers = true;
    if (!any)
        return 0;
    int r = pb_unpack(&envoy__extensions__filters__http__router__v3__router__descriptor,
                      str_of(any->value.data, any->value.len), c->scratch, &router, c->err);
    if (r == 0)
        h->envoy_headers = !((const pb_router *)(const void *)router)->suppress_envoy_headers;
    return r;
}

static int compile_protocol(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    struct http_protocol *p = &h->protocol;
    p->conn.idle_timeout_ms = IDLE_TIMEOUT_MS;
    p->conn.http2 = &p->http2;
    p->conn.head_timeout_ms = duration_ms(m->request_headers_timeout, 0);
    h->request_timeout_ms = duration_ms(m->request_timeout, 0);
    if (h->request_timeout_ms &&
        (!p->conn.head_timeout_ms || h->request_timeout_ms < p->conn.head_timeout_ms))
        p->conn.head_timeout_ms = h->request_timeout_ms;
    h->stream_idle_timeout_ms = duration_ms(m->stream_idle_timeout, STREAM_IDLE_MS);
    if (m->max_request_headers_kb) {
        p->conn.head_bytes_max = (size_t)m->max_request_headers_kb->value * 1024;
        p->http2.head_bytes_max = m->max_request_headers_kb->value * 1024;
    }
    size_t mark = pb_path_field(&c->path, "http2_protocol_options");
    int r = http_protocol_read_http2(m->http2_protocol_options, &c->path, p, c->err);
    if (r < 0)
        return r;
    pb_path_back(&c->path, mark);
    pb_path_field(&c->path, "common_http_protocol_options");
    r = http_protocol_read_common(m->common_http_protocol_options, &c->path, p, c->err);
    pb_path_back(&c->path, mark);
    h->has_limits = h->request_timeout_ms || p->stream_max_ms;
    return r;
}

static int compile(struct compile *c, const pb_hcm *m, struct http_config *h)
{
    struct filter_watch watch = {0};
    h->stat_prefix = xstrdup(m->stat_prefix);
    h->stats = stats_get(STATS_HTTP, str_from(m->stat_prefix), STR(""));
    h->version =
        m->codec_type ==
                ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__CODEC_TYPE__HTTP1
            ? 1
        : m->codec_type ==
                ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__CODEC_TYPE__HTTP2
            ? 2
            : 0;
    for (size_t i = 0; i < m->n_upgrade_configs; i++) {
        if (!str_eq_nocase(str_from(m->upgrade_configs[i]->upgrade_type), STR("websocket")))
            return COMPILE_FAIL(c, "upgrade_configs: only websocket is implemented");
        h->websocket = !m->upgrade_configs[i]->enabled || m->upgrade_configs[i]->enabled->value;
    }
    h->inbound = c->inbound;
    client_cert_compile(m, &h->client_cert);
    http_canonical_compile(m, &h->canonical);
    if (http_edits_compile(m, &h->edits) < 0)
        return COMPILE_FAIL(c, "server_name: at most %d bytes, on one line", HTTP_SERVER_NAME_MAX);
    int r = compile_protocol(c, m, h);
    if (r == 0)
        r = http_filters_compile(m, &c->path, &h->filters, &watch, c->err);
    if (watch.counts)
        h->mesh = (struct mesh_watch){c->inbound ? MESH_DESTINATION : MESH_SOURCE, watch.no_host,
                                      watch.edits};
    if (r == 0)
        r = compile_router(c, m, h);
    if (r == 0)
        r = local_replies_compile(c, m, &h->replies);
    if (r == 0)
        r = access_logs_compile(m->access_log, m->n_access_log, &c->path, &h->logs, c->err);
    if (r == 0 && m->tracing && m->tracing->provider) {
        size_t mark = pb_path_field(&c->path, "tracing");
        r = trace_config_compile(c, m->tracing, &h->trace);
        if (r == 0)
            pb_path_back(&c->path, mark);
    }
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
