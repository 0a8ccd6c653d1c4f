/* Virtual hosts are made by the thousand, so written straight to the wire; listeners are JSON
 * first. */
#include "control/translate_mesh.h"

#include <stdio.h>

#include "base/assert.h"
#include "control/translate_priv.h"
#include "control/translate_telemetry.h"
#include "control/xds_fields.h"
#include "xds/xds_types.h"

#define PASSTHROUGH         "PassthroughCluster"
#define BLACK_HOLE          "BlackHoleCluster"
#define INBOUND_PASSTHROUGH "InboundPassthroughCluster"
/* Whence what is sent to the pod is handed to it: the redirection lets that through. */
#define CONTROL_CLUSTER  "xds-grpc" /* as Istio's agents name it, and we do */
#define INBOUND_SOURCE   "127.0.0.6"
#define INBOUND_SOURCE_6 "::6"
#define OPTIONS_NAME     "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

/* ---- clusters ---- */

static json_t *no_limits(void)
{
    return json_pack("{s:[{s:I,s:I,s:I,s:I}]}", "thresholds", "max_connections",
                     (json_int_t)UINT32_MAX, "max_pending_requests", (json_int_t)UINT32_MAX,
                     "max_requests", (json_int_t)UINT32_MAX, "max_retries", (json_int_t)UINT32_MAX);
}

/* HTTP as the client speaks it. */
static json_t *as_client(void)
{
    return json_pack("{s:o}", OPTIONS_NAME,
                     translate_typed(OPTIONS_NAME,
                                     json_pack("{s:{s:{},s:{}}}", "use_downstream_protocol_config",
                                               "http_protocol_options", "http2_protocol_options")));
}

static json_t *address(const char *ip, uint16_t port)
{
    return json_pack("{s:{s:s,s:i}}", "socket_address", "address", ip, "port_value", (int)port);
}

/* Where a connection was going to. */
static json_t *to_original(const char *name)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:o,s:o}", "name", name, "type", "ORIGINAL_DST", "lb_policy",
                     "CLUSTER_PROVIDED", "connect_timeout", "10s", "circuit_breakers", no_limits(),
                     "typed_extension_protocol_options", as_client());
}

static json_t *to_pod(const char *name)
{
    json_t *j = to_original(name);
    json_object_set_new(j, "upstream_bind_config",
                        json_pack("{s:{s:s,s:i},s:[{s:{s:s,s:i}}]}", "source_address", "address",
                                  INBOUND_SOURCE, "port_value", 0, "extra_source_addresses",
                                  "address", "address", INBOUND_SOURCE_6, "port_value", 0));
    return j;
}

/* ---- what is counted ---- */

static json_t *services(const char *service)
{
    char host[CLUSTER_NAME_MAX];
    const struct str name = translate_mesh_service_name(service),
                     ns = service_key_namespace(service);
    return json_pack("{s:{s:{s:[{s:s,s:s%,s:s%}]}}}", "filter_metadata", "istio", "services",
                     "host", translate_mesh_service_host(service, host), "name", name.p, name.n,
                     "namespace", ns.p, ns.n);
}

json_t *translate_mesh_request_stats(bool no_host)
{
    json_t *config = translate_typed("stats.PluginConfig", json_object());
    if (no_host)
        json_object_set_new(config, "disable_host_header_fallback", json_true());
    return json_pack("{s:s,s:b,s:o}", "name", "istio.stats", "is_optional", 1, "typed_config",
                     config);
}

void translate_mesh_count_connections(json_t *listener)
{
    json_object_set_new(
        listener, "metadata",
        json_pack("{s:{s:{s:b}}}", "filter_metadata", XDS_LISTENER_METADATA, "istio_stats", 1));
}

const char *translate_mesh_workload_name(const struct ip *ip, char ret[IP_TEXT_BYTES + 1])
{
    ret[0] = '/';
    ip_format(ip, ret + 1);
    return ret;
}

struct xds_entry *translate_mesh_workload(const struct ip *ip, const struct translate_workload *w)
{
    AUTO_DONE(buf) struct buf b = {0};
    char name[IP_TEXT_BYTES + 1];
    translate_mesh_workload_name(ip, name);
    size_t at = pb_begin(&b, F_ADDRESS_WORKLOAD);
    pb_add_bytes(&b, F_WORKLOAD_NAMESPACE, w->ns);
    pb_add_bytes(&b, F_WORKLOAD_CANONICAL_NAME, w->canonical);
    pb_add_bytes(&b, F_WORKLOAD_CANONICAL_REVISION, w->revision);
    pb_add_bytes(&b, F_WORKLOAD_WORKLOAD_NAME, w->name);
    pb_add_bytes(&b, F_WORKLOAD_CLUSTER_ID, w->cluster);
    pb_end(&b, at);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_WORKLOAD, str_from(name), buf_str(&b), STR(""));
}

struct xds_entry *translate_mesh_names(const char *host, const struct ip *ips, size_t n)
{
    AUTO_DONE(buf) struct buf b = {0};
    char text[IP_TEXT_BYTES];
    size_t entry = pb_begin(&b, F_NAME_TABLE_TABLE);
    pb_add_text(&b, F_MAP_KEY, host);
    size_t info = pb_begin(&b, F_MAP_VALUE);
    for (size_t i = 0; i < n; i++)
        pb_add_text(&b, F_NAME_INFO_IPS, ip_format(&ips[i], text));
    pb_end(&b, info);
    pb_end(&b, entry);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_NAMES, str_from(host), buf_str(&b), STR(""));
}

/* ---- clusters that go where a connection was going ---- */

struct xds_entry *translate_mesh_passthrough(void)
{
    AUTO_JSON json_t *j = to_original(PASSTHROUGH);
    return translate_json(XDS_CLUSTER, PASSTHROUGH, j);
}

struct xds_entry *translate_mesh_inbound_passthrough(void)
{
    AUTO_JSON json_t *j = to_pod(INBOUND_PASSTHROUGH);
    return translate_json(XDS_CLUSTER, INBOUND_PASSTHROUGH, j);
}

struct xds_entry *translate_mesh_black_hole(void)
{
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:s,s:s}", "name", BLACK_HOLE, "type", "STATIC", "connect_timeout", "10s");
    return translate_json(XDS_CLUSTER, BLACK_HOLE, j);
}

const char *translate_mesh_inbound_name(uint16_t port, char ret[CLUSTER_NAME_MAX])
{
    snprintf(ret, CLUSTER_NAME_MAX, "inbound|%u||", port);
    return ret;
}

static json_t *to_loopback(const char *name, uint16_t port)
{
    json_t *j = to_original(name);
    json_object_set_new(j, "type", json_string("STATIC"));
    json_object_set_new(j, "lb_policy", json_string("ROUND_ROBIN"));
    json_object_set_new(j, "load_assignment",
                        json_pack("{s:s,s:[{s:[{s:{s:o}}]}]}", "cluster_name", name, "endpoints",
                                  "lb_endpoints", "endpoint", "address",
                                  address("127.0.0.1", port)));
    return j;
}

struct xds_entry *translate_mesh_inbound_cluster(const struct mesh_inbound *in)
{
    char name[CLUSTER_NAME_MAX];
    translate_mesh_inbound_name(in->port, name);
    AUTO_JSON json_t *j = in->loopback ? to_loopback(name, in->target) : to_pod(name);
    if (!in->loopback && in->target)
        json_object_set_new(j, "original_dst_lb_config",
                            json_pack("{s:i}", "upstream_port_override", (int)in->target));
    if (in->service)
        json_object_set_new(j, "metadata", services(in->service));
    return translate_json(XDS_CLUSTER, name, j);
}

/* ---- virtual hosts ---- */

const char *translate_mesh_own_routes_name(const char *service, uint16_t port,
                                           char ret[CLUSTER_NAME_MAX])
{
    translate_mesh_service_host(service, ret);
    size_t n = strlen(ret);
    snprintf(ret + n, CLUSTER_NAME_MAX - n, ":%u", port);
    return ret;
}

const char *translate_mesh_host_name(const char *service, uint16_t port, char ret[CLUSTER_NAME_MAX])
{
    char name[CLUSTER_NAME_MAX];
    snprintf(ret, CLUSTER_NAME_MAX, "%u/%s", port,
             translate_mesh_own_routes_name(service, port, name));
    return ret;
}

/* The host of an entry, also as DNS writes names in full. */
static void add_entry_names(struct buf *b, const char *key)
{
    AUTO_CHARS char *host = service_key_host(key);
    AUTO_CHARS char *full = xasprintf("%s.", host);
    pb_add_text(b, F_HOST_DOMAINS, host);
    if (*host != '*')
        pb_add_text(b, F_HOST_DOMAINS, full);
}

static void add_names(struct buf *b, const char *key, bool short_name)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    static const char *const forms[] = {"", ".svc", ".svc.cluster.local", ".svc.cluster.local."};
    if (short_name)
        pb_add_bytes(b, F_HOST_DOMAINS, name);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        AUTO_CHARS char *domain =
            xasprintf(STR_FMT "." STR_FMT "%s", STR_ARG(name), STR_ARG(ns), forms[i]);
        pb_add_text(b, F_HOST_DOMAINS, domain);
    }
}

static void add_domains(struct buf *b, const struct service_object *s, bool short_name)
{
    char text[IP_TEXT_BYTES];
    if (service_key_is_entry(s->key)) { /* whose addresses others may have, too */
        add_entry_names(b, s->key);
        return;
    }
    add_names(b, s->key, short_name);
    for (uint16_t i = 0; i < s->n_cluster_ips; i++) {
        const struct ip *ip = &s->cluster_ips[i];
        AUTO_CHARS char *domain =
            xasprintf(ip->family == AF_INET6 ? "[%s]" : "%s", ip_format(ip, text));
        pb_add_text(b, F_HOST_DOMAINS, domain);
    }
}

static const struct translate_view as_sidecars = {.side = TRANSLATE_PLAIN,
                                                  .peer = TRANSLATE_FOREIGN};

/* Routes that do not fit are no routes: 503. */
static void add_routes(const struct route_host *routes, struct buf *b)
{
    size_t before = b->n;
    translate_host_routes(routes, &as_sidecars, b);
    if (b->n - before <= TRANSLATE_HOST_BYTES_MAX)
        return;
    b->n = before;
    translate_closed_route(b);
}

struct xds_entry *translate_mesh_host(const struct service_object *s, uint16_t port,
                                      bool short_name, const struct route_host *routes)
{
    AUTO_DONE(buf) struct buf b = {0};
    char name[CLUSTER_NAME_MAX], resource[CLUSTER_NAME_MAX];
    pb_add_text(&b, F_HOST_NAME, translate_mesh_own_routes_name(s->key, port, name));
    add_domains(&b, s, short_name);
    add_routes(routes, &b);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_HOST, str_from(translate_mesh_host_name(s->key, port, resource)),
                         buf_str(&b), STR(""));
}

/* What is for none of them goes on as it is. */
static void add_any_host(struct buf *b, bool registry_only)
{
    const char *name = registry_only ? "block_all" : "allow_any";
    size_t host = pb_begin(b, F_CONFIGURATION_VIRTUAL_HOSTS), route, at;
    pb_add_text(b, F_HOST_NAME, name);
    pb_add_text(b, F_HOST_DOMAINS, "*");
    route = pb_begin(b, F_HOST_ROUTES);
    pb_add_text(b, F_ROUTE_NAME, name);
    at = pb_begin(b, F_ROUTE_MATCH);
    pb_add_text(b, F_MATCH_PREFIX, "/");
    pb_end(b, at);
    at = pb_begin(b, registry_only ? F_ROUTE_DIRECT_RESPONSE : F_ROUTE_ROUTE);
    if (registry_only) {
        pb_add_uint(b, F_ANSWER_STATUS, 502);
    } else {
        pb_add_text(b, F_ACTION_CLUSTER, PASSTHROUGH);
        pb_add_bytes(b, F_ACTION_TIMEOUT, STR("")); /* none */
    }
    pb_end(b, at);
    pb_end(b, route);
    pb_end(b, host);
}

struct xds_entry *translate_mesh_port_routes(uint16_t port, bool registry_only)
{
    AUTO_DONE(buf) struct buf b = {0};
    char name[8];
    snprintf(name, sizeof(name), "%u", port);
    pb_add_text(&b, F_CONFIGURATION_NAME, name);
    add_any_host(&b, registry_only);
    size_t vhds = pb_begin(&b, F_CONFIGURATION_VHDS);
    translate_ads(&b, F_VHDS_CONFIG_SOURCE);
    pb_end(&b, vhds);
    pb_add_uint(&b, F_CONFIGURATION_IGNORE_PORT_IN_HOST_MATCHING, 1);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_ROUTE, str_from(name), buf_str(&b), STR(""));
}

struct xds_entry *translate_mesh_own_routes(const char *service, uint16_t port,
                                            const struct route_host *routes)
{
    AUTO_DONE(buf) struct buf b = {0};
    char name[CLUSTER_NAME_MAX];
    translate_mesh_own_routes_name(service, port, name);
    pb_add_text(&b, F_CONFIGURATION_NAME, name);
    size_t host = pb_begin(&b, F_CONFIGURATION_VIRTUAL_HOSTS);
    pb_add_text(&b, F_HOST_NAME, name);
    pb_add_text(&b, F_HOST_DOMAINS, "*");
    add_routes(routes, &b);
    pb_end(&b, host);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_ROUTE, str_from(name), buf_str(&b), STR(""));
}

/* ---- listeners ---- */

/* Routes that come by themselves, and the filters that they may speak to. */
static void add_steered(json_t *hcm, const char *rds)
{
    json_t *filters = json_object_get(hcm, "http_filters");
    json_object_set_new(
        hcm, "rds",
        json_pack("{s:s,s:o}", "route_config_name", rds, "config_source", translate_ads_json()));
    json_array_insert_new(filters, 0,
                          translate_http_filter("envoy.filters.http.cors",
                                                "envoy.extensions.filters.http.cors.v3.Cors"));
    json_array_insert_new(
        filters, 0,
        translate_http_filter("envoy.filters.http.fault",
                              "envoy.extensions.filters.http.fault.v3.HTTPFault"));
}

/* One request in a hundred, and what its caller has decided on, to us: a sidecar whose control
 * plane that cluster is tells of it on its own way. Both forms of context are read and written. */
static json_t *tracing(void)
{
    json_t *zipkin = translate_typed(
        "envoy.config.trace.v3.ZipkinConfig",
        json_pack("{s:s,s:s,s:s,s:b,s:s}", "collector_cluster", CONTROL_CLUSTER,
                  "collector_endpoint", "/api/v2/spans", "collector_endpoint_version", "HTTP_JSON",
                  "trace_id_128bit", 1, "trace_context_option", "USE_B3_WITH_W3C_PROPAGATION"));
    return json_pack("{s:{s:f},s:{s:f},s:{s:f},s:{s:s,s:o}}", "client_sampling", "value", 100.0,
                     "random_sampling", "value", 1.0, "overall_sampling", "value", 100.0,
                     "provider", "name", "envoy.tracers.zipkin", "typed_config", zipkin);
}

/* The app's own words pass: whoever stands beside it adds the id that joins what belongs together,
 * and takes nothing away. routes: a RouteConfiguration in place, or NULL: rds of that name. */
json_t *translate_mesh_http(const char *stat_prefix, const char *rds, json_t *routes)
{
    json_t *hcm = json_pack("{s:s,s:b,s:s,s:s,s:b,s:[o,o],s:[{s:s}]}", "stat_prefix", stat_prefix,
                            "use_remote_address", 0, "server_header_transformation", "PASS_THROUGH",
                            "stream_idle_timeout", "0s", "normalize_path", 1, "http_filters",
                            translate_mesh_request_stats(routes != NULL),
                            translate_http_filter("envoy.filters.http.router",
                                                  "envoy.extensions.filters.http.router.v3.Router"),
                            "upgrade_configs", "upgrade_type", "websocket");
    json_object_set_new(hcm, "tracing", tracing());
    if (routes)
        json_object_set_new(hcm, "route_config", routes);
    else
        add_steered(hcm, rds);
    translate_typed("envoy.extensions.filters.network.http_connection_manager.v3."
                    "HttpConnectionManager",
                    hcm);
    return json_pack("{s:s,s:o}", "name", "envoy.filters.network.http_connection_manager",
                     "typed_config", hcm);
}

static json_t *chain_of(json_t *filter)
{
    return json_pack("{s:[o]}", "filters", filter);
}

static json_t *duration(int64_t ms)
{
    return json_sprintf("%lld.%03llds", (long long)ms / 1000, (long long)ms % 1000);
}

/* Found by where a connection was going to: nobody listens there. */
static json_t *listener(const char *name, const char *ip, uint16_t port)
{
    json_t *j = json_pack("{s:s,s:o,s:b,s:s}", "name", name, "address", address(ip, port),
                          "bind_to_port", 0, "traffic_direction", "OUTBOUND");
    translate_mesh_count_connections(j);
    return j;
}

/* A chain for what looks like HTTP. */
static json_t *http_chain(json_t *filter, uint16_t port)
{
    json_t *chain = chain_of(filter), *match = json_pack("{s:[s,s,s]}", "application_protocols",
                                                         "http/1.0", "http/1.1", "h2c");
    if (port)
        json_object_set_new(match, "destination_port", json_integer(port));
    json_object_set_new(chain, "filter_chain_match", match);
    return chain;
}

/* A client that says nothing for that long is one of a server that speaks first. */
static void wait_for_first_bytes(json_t *listener)
{
    json_object_set_new(listener, "listener_filters_timeout", json_string("5s"));
    json_object_set_new(listener, "continue_on_listener_filters_timeout", json_true());
}

static void look_at_first_bytes(json_t *listener)
{
    json_array_append_new(
        json_object_get(listener, "listener_filters"),
        translate_http_filter("envoy.filters.listener.http_inspector",
                              "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"));
    wait_for_first_bytes(listener);
}

/* What a client of TLS says of whom it wants. */
static void look_at_server_name(json_t *listener)
{
    json_array_append_new(
        json_object_get(listener, "listener_filters"),
        translate_http_filter("envoy.filters.listener.tls_inspector",
                              "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"));
    wait_for_first_bytes(listener);
}

static json_t *rest_of(bool registry_only)
{
    const char *to = registry_only ? BLACK_HOLE : PASSTHROUGH;
    return chain_of(translate_tcp_proxy(to, to));
}

void translate_mesh_listen(json_t *listener, uint16_t port, unsigned families)
{
    static const char *const any[] = {"0.0.0.0", "::"};
    bool only_v6 = families == MESH_V6;
    json_object_set_new(listener, "address", address(any[only_v6], port));
    if ((families & MESH_V6) && !only_v6)
        json_object_set_new(listener, "additional_addresses",
                            json_pack("[{s:o}]", "address", address(any[1], port)));
}

struct xds_entry *translate_mesh_outbound(bool registry_only, unsigned families,
                                          const struct mesh_told *told)
{
    json_t *loop = chain_of(translate_tcp_proxy(BLACK_HOLE, BLACK_HOLE));
    json_object_set_new(loop, "filter_chain_match",
                        json_pack("{s:i}", "destination_port", MESH_OUTBOUND_PORT));
    json_object_set_new(loop, "name", json_string("virtualOutbound-blackhole"));
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:b,s:s,s:[o],s:o}", "name", "virtualOutbound", "use_original_dst", 1,
                  "traffic_direction", "OUTBOUND", "filter_chains", loop, "default_filter_chain",
                  rest_of(registry_only));
    translate_mesh_listen(j, MESH_OUTBOUND_PORT, families);
    translate_mesh_count_connections(j);
    translate_tell(j, told);
    return translate_json(XDS_LISTENER, "virtualOutbound", j);
}

const char *translate_mesh_port_name(uint16_t port, char ret[CLUSTER_NAME_MAX])
{
    snprintf(ret, CLUSTER_NAME_MAX, "0.0.0.0_%u", port);
    return ret;
}

const char *translate_mesh_address_name(const struct ip *ip, uint16_t port,
                                        char ret[CLUSTER_NAME_MAX])
{
    char text[IP_TEXT_BYTES];
    snprintf(ret, CLUSTER_NAME_MAX, "%s_%u", ip_format(ip, text), port);
    return ret;
}

struct xds_entry *translate_mesh_headless(const struct ip *ip, uint16_t port,
                                          const struct mesh_told *told)
{
    char name[CLUSTER_NAME_MAX], text[IP_TEXT_BYTES];
    translate_mesh_address_name(ip, port, name);
    AUTO_JSON json_t *j = listener(name, ip_format(ip, text), port);
    json_object_set_new(j, "default_filter_chain", rest_of(false));
    translate_tell(j, told);
    return translate_json(XDS_LISTENER, name, j);
}

/* A connection's own limits. Istio's default of silence is an hour. */
static json_t *tcp_filter(const char *stat, const struct route_backend *backends, uint32_t n,
                          const struct traffic_policy *policy)
{
    char name[CLUSTER_NAME_MAX];
    json_t *filter = translate_tcp_proxy(stat, translate_backend_name(&backends[0], NULL, name)),
           *config = json_object_get(filter, "typed_config"), *clusters = json_array();
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(clusters, json_pack("{s:s,s:I}", "name",
                                                  translate_backend_name(&backends[i], NULL, name),
                                                  "weight", (json_int_t)backends[i].weight));
    if (n > 1) {
        json_object_del(config, "cluster");
        json_object_set_new(config, "weighted_clusters", json_pack("{s:O}", "clusters", clusters));
    }
    json_decref(clusters);
    json_object_set_new(config, "idle_timeout",
                        duration(policy->tcp_idle_ms >= 0 ? policy->tcp_idle_ms : 3600000));
    if (policy->connection_ms >= 0)
        json_object_set_new(config, "max_downstream_connection_duration",
                            duration(policy->connection_ms));
    return filter;
}

static bool is_named(const json_t *chains, const char *server_name)
{
    const json_t *chain;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)chains, i, chain)
    {
        AUTO_JSON json_t *name = json_string(server_name);
        if (json_array_has(json_at(chain, "filter_chain_match.server_names"), name))
            return true;
    }
    return false;
}

/* Chains of those that say a server's name: the first that has it. The others' stream, of which
 * there is one; NULL: there is none. */
static const struct route_stream *add_streams(const struct route_host *h, const char *stat,
                                              const struct traffic_policy *policy, json_t *chains)
{
    const struct route_stream *rest = NULL;
    for (uint32_t i = 0; i < h->n_streams && !rest; i++) {
        const struct route_stream *s = &h->streams[i];
        json_t *names = json_array();
        for (uint32_t k = 0; k < s->n_server_names; k++)
            if (!is_named(chains, s->server_names[k]))
                json_array_append_new(names, json_string(s->server_names[k]));
        if (json_array_size(names)) {
            json_t *chain = chain_of(tcp_filter(stat, s->backends, s->n_backends, policy));
            json_object_set_new(chain, "filter_chain_match",
                                json_pack("{s:O}", "server_names", names));
            json_array_append_new(chains, chain);
        }
        json_decref(names);
        rest = s->n_server_names ? NULL : s;
    }
    return rest;
}

/* What is for a host by the name that a client of TLS says, or by its addresses; without either it
 * is whatever is for nobody else, which the first such has. */
static void add_port_chain(const struct mesh_port_chain *c, json_t *listener, json_t *chains)
{
    char cluster[CLUSTER_NAME_MAX], text[IP_TEXT_BYTES];
    const struct route_backend own = {.service = (char *)(uintptr_t)c->service,
                                      .port = c->port->port};
    translate_cluster_name(c->service, c->port->port, NULL, cluster);
    const struct route_stream *rest = add_streams(c->streams, cluster, c->policy, chains);
    json_t *filter = rest ? tcp_filter(cluster, rest->backends, rest->n_backends, c->policy)
                          : tcp_filter(cluster, &own, 1, c->policy),
           *chain = chain_of(filter), *match = json_object(), *ranges = json_array();
    for (size_t i = 0; i < c->n_networks; i++)
        json_array_append_new(ranges, json_pack("{s:s,s:i}", "address_prefix",
                                                ip_format(&c->networks[i].ip, text), "prefix_len",
                                                (int)c->networks[i].len));
    if (c->server_name)
        json_object_set_new(match, "server_names", json_pack("[s]", c->server_name));
    if (c->n_networks)
        json_object_set(match, "prefix_ranges", ranges);
    if (c->server_name && is_named(chains, c->server_name))
        json_decref(chain);
    else if (!json_object_size(match) && json_object_get(listener, "default_filter_chain"))
        json_decref(chain);
    else if (!json_object_size(match))
        json_object_set_new(listener, "default_filter_chain", chain);
    else {
        json_object_set(chain, "filter_chain_match", match);
        json_array_append_new(chains, chain);
    }
    json_decref(ranges);
    json_decref(match);
}

static bool has_server_names(const json_t *chains)
{
    const json_t *chain;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)chains, i,
                       chain) if (json_at(chain, "filter_chain_match.server_names")) return true;
    return false;
}

struct xds_entry *translate_mesh_port(const struct mesh_port *p)
{
    char name[CLUSTER_NAME_MAX], stat[CLUSTER_NAME_MAX + 16], routes[8], text[IP_TEXT_BYTES];
    if (p->ip)
        translate_mesh_address_name(p->ip, p->port, name);
    else
        translate_mesh_port_name(p->port, name);
    snprintf(stat, sizeof(stat), "outbound_%s", name);
    snprintf(routes, sizeof(routes), "%u", p->port);
    AUTO_JSON json_t *j = listener(name, p->ip ? ip_format(p->ip, text) : "0.0.0.0", p->port);
    json_t *filters = json_array(), *chains = json_array();
    for (size_t i = 0; i < p->n_chains; i++)
        add_port_chain(&p->chains[i], j, chains);
    json_object_set_new(j, "listener_filters", filters);
    if (has_server_names(chains))
        look_at_server_name(j);
    if (p->http) {
        json_array_append_new(chains, http_chain(translate_mesh_http(stat, routes, NULL), 0));
        look_at_first_bytes(j);
    }
    if (!json_object_get(j, "default_filter_chain"))
        json_object_set_new(j, "default_filter_chain", rest_of(p->registry_only));
    json_object_set_new(j, "filter_chains", chains);
    translate_tell(j, p->told);
    return translate_json(XDS_LISTENER, name, j);
}

struct xds_entry *translate_mesh_address(const char *service, const struct service_port *p,
                                         const struct ip *ip, const struct traffic_policy *policy,
                                         const struct route_host *streams,
                                         const struct mesh_told *told)
{
    char name[CLUSTER_NAME_MAX], cluster[CLUSTER_NAME_MAX], routes[CLUSTER_NAME_MAX],
        text[IP_TEXT_BYTES];
    const struct route_backend own = {.service = (char *)(uintptr_t)service, .port = p->port};
    translate_mesh_address_name(ip, p->port, name);
    translate_cluster_name(service, p->port, NULL, cluster);
    json_t *chains = json_array(), *filters = json_array();
    const struct route_stream *rest = add_streams(streams, cluster, policy, chains);
    AUTO_JSON json_t *j = listener(name, ip_format(ip, text), p->port);
    json_object_set_new(j, "listener_filters", filters);
    if (json_array_size(chains))
        look_at_server_name(j);
    json_object_set_new(j, "default_filter_chain",
                        chain_of(rest
                                     ? tcp_filter(cluster, rest->backends, rest->n_backends, policy)
                                     : tcp_filter(cluster, &own, 1, policy)));
    if (port_protocol(p) == PORT_SNIFFED) {
        AUTO_CHARS char *stat = xasprintf("outbound_%s", name);
        translate_mesh_own_routes_name(service, p->port, routes);
        json_array_append_new(chains, http_chain(translate_mesh_http(stat, routes, NULL), 0));
        look_at_first_bytes(j);
    }
    json_object_set_new(j, "filter_chains", chains);
    translate_tell(j, told);
    return translate_json(XDS_LISTENER, name, j);
}
