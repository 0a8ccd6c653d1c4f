/* From a Cluster message to a cluster. */
#include <errno.h>

#include "proxy/dns.h"
#include "proxy/duration.h"
#include "proxy/health.h"
#include "proxy/metadata.h"
#include "proxy/original_dst_config.h"
#include "proxy/outlier.h"
#include "proxy/socket_match.h"

typedef Envoy__Config__Cluster__V3__Cluster pb_cluster;

struct making {
    struct cluster *cluster;
    struct pb_path *path;
    struct err *err;
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

/* ---- type ---- */

static int compile_type(struct making *c, const pb_cluster *m)
{
    struct cluster *cluster = c->cluster;
    if (m->cluster_discovery_type_case ==
        ENVOY__CONFIG__CLUSTER__V3__CLUSTER__CLUSTER_DISCOVERY_TYPE_CLUSTER_TYPE)
        return FAIL(c, "cluster_type: is not implemented");
    switch ((unsigned)m->type) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STATIC:
        break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__EDS:
        cluster->type = CLUSTER_EDS;
        if (m->load_assignment)
            return FAIL(c, "load_assignment: an EDS cluster is told its endpoints");
        if (!m->eds_cluster_config)
            return FAIL(c, "cannot create an EDS cluster without an EDS config");
        cluster->eds_name = xstrdup(
            *m->eds_cluster_config->service_name ? m->eds_cluster_config->service_name : m->name);
        return 0;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__STRICT_DNS:
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__LOGICAL_DNS:
        cluster->type = CLUSTER_DNS;
        break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__DISCOVERY_TYPE__ORIGINAL_DST:
        cluster->type = CLUSTER_ORIGINAL_DST;
        break;
    default:
        return FAIL(c, "type: is not implemented");
    }
    return m->eds_cluster_config ? FAIL(c, "eds_cluster_config set in a non-EDS cluster") : 0;
}

/* ---- circuit breakers ---- */

static void limit(const Google__Protobuf__UInt32Value *m, struct breaker *b)
{
    if (m)
        b->max = m->value;
}

static void
set_budget(const Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds__RetryBudget *m,
           struct breaker_of *b)
{
    enum { PERCENT = 20, RETRIES_MIN = 3 };
    b->has_budget = true;
    b->budget_percent = m->budget_percent ? m->budget_percent->value : PERCENT;
    b->retries_min = m->min_retry_concurrency ? m->min_retry_concurrency->value : RETRIES_MIN;
}

static int compile_breakers(struct making *c, const Envoy__Config__Cluster__V3__CircuitBreakers *m)
{
    for (size_t i = 0; m && i < m->n_thresholds; i++) {
        const Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds *t = m->thresholds[i];
        if ((unsigned)t->priority >= BREAKER_PRIORITIES)
            return FAIL(c, "circuit_breakers.thresholds[%zu].priority: is none", i);
        if (t->retry_budget && t->retry_budget->budget_interval)
            return FAIL(c,
                        "circuit_breakers.thresholds[%zu].retry_budget.budget_interval: is not "
                        "implemented: what runs now counts",
                        i);
        struct breaker_of *b = &c->cluster->breakers.of[t->priority];
        limit(t->max_connections, &b->connections);
        limit(t->max_pending_requests, &b->pending);
        limit(t->max_requests, &b->requests);
        limit(t->max_retries, &b->retries);
        if (t->retry_budget)
            set_budget(t->retry_budget, b);
    }
    for (size_t i = 0; m && i < m->n_per_host_thresholds; i++) {
        const Envoy__Config__Cluster__V3__CircuitBreakers__Thresholds *t =
            m->per_host_thresholds[i];
        if (t->priority || t->max_pending_requests || t->max_requests || t->max_retries ||
            t->retry_budget)
            return FAIL(c,
                        "circuit_breakers.per_host_thresholds[%zu]: only max_connections of the "
                        "default priority can be set",
                        i);
        if (t->max_connections)
            c->cluster->host_connections_max = t->max_connections->value;
    }
    return 0;
}

/* ---- health ---- */

static int compile_health(struct making *c, const pb_cluster *m)
{
    if (m->n_health_checks > 1)
        return FAIL(c, "health_checks: multiple health checks are not supported");
    if (!m->n_health_checks)
        return 0;
    size_t mark = pb_path_field(c->path, "health_checks");
    pb_path_index(c->path, 0);
    int r = health_compile(m->health_checks[0], c->path, &c->cluster->health, c->err);
    if (r < 0)
        return r;
    pb_path_back(c->path, mark);
    c->cluster->health->hold_new =
        m->common_lb_config && m->common_lb_config->ignore_new_hosts_until_first_hc;
    return 0;
}

/* ---- the whole ---- */

static int compile_names(struct making *c, const pb_cluster *m)
{
    int r = dns_compile(m, c->path, &c->cluster->dns, c->err);
    if (r < 0)
        return r;
    VEC_FOREACH (e, &c->cluster->dns->names->entries)
        c->cluster->ready = c->cluster->ready && e->endpoint;
    return 0;
}

static int compile_endpoints(struct making *c, const pb_cluster *m)
{
    if (c->cluster->type == CLUSTER_DNS)
        return compile_names(c, m);
    size_t mark = pb_path_field(c->path, "load_assignment");
    if (m->load_assignment) {
        int r = cluster_set_endpoints(c->cluster, m->load_assignment, c->path, c->err);
        if (r < 0)
            return r;
    }
    pb_path_back(c->path, mark);
    return 0;
}

static int compile_source(struct making *c, const Envoy__Config__Core__V3__SocketAddress *m,
                          struct ip *ret)
{
    if (ip_parse(str_from(m->address), ret) < 0)
        return FAIL(c, "upstream_bind_config.source_address.address must be an IP address");
    if (m->port_specifier_case ==
            ENVOY__CONFIG__CORE__V3__SOCKET_ADDRESS__PORT_SPECIFIER_PORT_VALUE &&
        m->port_value)
        return FAIL(c, "upstream_bind_config.source_address.port_value must be 0");
    return 0;
}

/* One of each family, at most. */
static int compile_bind(struct making *c, const pb_cluster *m)
{
    const Envoy__Config__Core__V3__BindConfig *b = m->upstream_bind_config;
    struct ip *from = c->cluster->from;
    if (!b || !b->source_address)
        return 0;
    int r = compile_source(c, b->source_address, &from[0]);
    if (r < 0 || !b->n_extra_source_addresses)
        return r;
    if (b->n_extra_source_addresses > 1)
        return FAIL(c, "upstream_bind_config.extra_source_addresses: at most one, of the other "
                       "family");
    r = compile_source(c, b->extra_source_addresses[0]->address, &from[1]);
    if (r == 0 && from[0].family == from[1].family)
        return FAIL(c, "upstream_bind_config.extra_source_addresses[0] must be of the other "
                       "family than source_address");
    return r;
}

static void compile_keepalive(struct making *c,
                              const Envoy__Config__Cluster__V3__UpstreamConnectionOptions *m)
{
    const Envoy__Config__Core__V3__TcpKeepalive *k = m ? m->tcp_keepalive : NULL;
    if (!k)
        return;
    c->cluster->keeps_alive = true;
    c->cluster->keepalive = (struct conn_keepalive){
        .idle_s = k->keepalive_time ? k->keepalive_time->value : 0,
        .interval_s = k->keepalive_interval ? k->keepalive_interval->value : 0,
        .probes = k->keepalive_probes ? k->keepalive_probes->value : 0};
}

static int compile_sockets(struct compile *compile, const pb_cluster *m, struct making *c)
{
    struct cluster *cluster = c->cluster;
    if (m->transport_socket) {
        size_t mark = pb_path_field(c->path, "transport_socket");
        int r = upstream_tls_compile(compile, m->transport_socket, &cluster->tls,
                                     &cluster->proxy_version);
        if (r < 0)
            return r;
        pb_path_back(c->path, mark);
    }
    int r = socket_matches_compile(compile, m, &cluster->matches);
    if (r < 0 || !cluster->matches)
        return r;
    int version = socket_matches_proxy(cluster->matches);
    if (version < 0 || (m->transport_socket && version != cluster->proxy_version))
        return FAIL(c, "transport_socket_matches: the PROXY protocol goes before all of them, and "
                       "before transport_socket, in one version, or before none");
    cluster->proxy_version = (uint8_t)version;
    return 0;
}

int cluster_compile(struct compile *compile, const pb_cluster *m, struct cluster **ret)
{
    struct pb_path *path = &compile->path;
    struct err *reterr = compile->err;
    struct making c = {.cluster = cluster_new(str_from(m->name)), .path = path, .err = reterr};
    if (m->connect_timeout)
        c.cluster->connect_timeout_ms = duration_ms(m->connect_timeout, 0);
    if (*m->alt_stat_name) {
        stats_unref(c.cluster->stats);
        c.cluster->stats = stats_get(STATS_CLUSTER, str_from(m->alt_stat_name), STR(""));
    }
    c.cluster->mesh_service = metadata_service(m->metadata, m->name);
    int r = compile_type(&c, m);
    if (r == 0)
        r = compile_bind(&c, m);
    if (r == 0)
        r = http_protocol_read_cluster(m, path, &c.cluster->http, reterr);
    if (r == 0)
        r = c.cluster->type == CLUSTER_ORIGINAL_DST
                ? original_dst_compile(m, path, &c.cluster->original, reterr)
                : lb_config_compile(m, path, &c.cluster->lb, reterr);
    if (r == 0)
        r = compile_breakers(&c, m->circuit_breakers);
    if (r == 0 && m->outlier_detection)
        r = outlier_compile(m->outlier_detection, path, &c.cluster->outlier, reterr);
    if (r == 0)
        r = compile_health(&c, m);
    if (r == 0)
        r = compile_endpoints(&c, m); /* by the policy that is known by now */
    if (r == 0)
        r = compile_sockets(compile, m, &c);
    compile_keepalive(&c, m->upstream_connection_options);
    c.cluster->asks_for_client = c.cluster->original || c.cluster->http.as_client;
    if (r == 0 && !c.cluster->http.version && !(c.cluster->tls && c.cluster->tls->has_alpn))
        r = FAIL(&c, "auto_config: needs a TLS transport_socket with alpn_protocols");
    if (r == 0 && (c.cluster->tls || c.cluster->matches || c.cluster->proxy_version) &&
        c.cluster->health && c.cluster->health->kind == HEALTH_HTTP)
        r = FAIL(&c, "health_checks: http_health_check of a cluster with TLS, or with the PROXY "
                     "protocol, is not implemented yet");
    if (r < 0) {
        cluster_unref(c.cluster);
        return r;
    }
    *ret = c.cluster;
    return 0;
}
