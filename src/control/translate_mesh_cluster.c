/* Clusters of Services as sidecars call them: what DestinationRules say, and Istio's defaults. Made
 * by the thousand, so written straight to the wire. */
#include <stdio.h>

#include "base/assert.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"

#define OPTIONS_NAME "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

enum {
    TYPE_STATIC = 0,
    TYPE_STRICT_DNS = 1, /* Cluster.DiscoveryType */
    TYPE_LOGICAL_DNS = 2,
    TYPE_EDS = 3,
    TYPE_ORIGINAL_DST = 4,
    DNS_V4_ONLY = 1, /* Cluster.DnsLookupFamily */
    DNS_REFRESH_MS = 60000,
    LB_CLUSTER_PROVIDED = 6, /* Cluster.LbPolicy */
};

static void add_number(struct buf *b, unsigned field, uint64_t n)
{
    size_t at = pb_begin(b, field);
    pb_add_uint(b, F_UINT32_VALUE, n);
    pb_end(b, at);
}

/* ---- how an endpoint is spoken to ---- */

static void add_http2(struct buf *b, unsigned number, const struct traffic_policy *p)
{
    size_t at = pb_begin(b, number);
    if (p->max_concurrent_streams)
        add_number(b, F_HTTP2_MAX_STREAMS, (uint64_t)p->max_concurrent_streams);
    if (p->ping_interval_ms) {
        size_t pings = pb_begin(b, F_HTTP2_KEEPALIVE);
        translate_duration(b, F_KEEPALIVE_INTERVAL, p->ping_interval_ms);
        translate_duration(b, F_KEEPALIVE_TIMEOUT, p->ping_timeout_ms);
        pb_end(b, pings);
    }
    pb_end(b, at);
}

static void add_common(struct buf *b, const struct traffic_policy *p)
{
    size_t common = pb_begin(b, F_OPTIONS_COMMON);
    if (p->http_idle_ms >= 0)
        translate_duration(b, F_HTTP_IDLE_TIMEOUT, (uint64_t)p->http_idle_ms);
    if (p->connection_ms >= 0)
        translate_duration(b, F_HTTP_MAX_DURATION, (uint64_t)p->connection_ms);
    if (p->requests_per_connection)
        add_number(b, F_HTTP_MAX_REQUESTS, (uint64_t)p->requests_per_connection);
    pb_end(b, common);
}

/* Whom TLS speaks to is what requests say, where no rule does. */
static bool has_auto_sni(const struct traffic_tls *t)
{
    return (t->mode == TRAFFIC_TLS_SIMPLE || t->mode == TRAFFIC_TLS_MUTUAL) && !t->sni;
}

static void add_auto_sni(struct buf *b, const struct traffic_tls *t)
{
    size_t at = pb_begin(b, F_OPTIONS_UPSTREAM);
    pb_add_uint(b, F_UPSTREAM_AUTO_SNI, 1);
    if (!t->n_names && !t->unverified)
        pb_add_uint(b, F_UPSTREAM_AUTO_SAN, 1);
    pb_end(b, at);
}

static bool is_http2(enum port_protocol protocol, const struct traffic_policy *p)
{
    return protocol == PORT_HTTP2 || (p->upgrade_to_http2 && protocol == PORT_HTTP);
}

/* What nobody has said is as the client speaks. */
static void add_options(struct buf *b, enum port_protocol protocol, const struct traffic_policy *p)
{
    AUTO_DONE(buf) struct buf options = {0};
    bool common = p->http_idle_ms >= 0 || p->connection_ms >= 0 || p->requests_per_connection,
         as_client = protocol == PORT_SNIFFED || p->as_client_speaks, http2 = is_http2(protocol, p),
         auto_sni = has_auto_sni(&p->tls);
    size_t way, entry, any;
    if (protocol == PORT_TCP || protocol == PORT_TLS ||
        (!as_client && !http2 && !common && !auto_sni))
        return;
    if (common)
        add_common(&options, p);
    if (auto_sni)
        add_auto_sni(&options, &p->tls);
    way = pb_begin(&options, as_client ? F_OPTIONS_AS_CLIENT : F_OPTIONS_EXPLICIT);
    if (as_client)
        pb_add_bytes(&options, F_AS_CLIENT_HTTP1, STR(""));
    if (as_client || http2)
        add_http2(&options, as_client ? F_AS_CLIENT_HTTP2 : F_EXPLICIT_HTTP2, p);
    else
        pb_add_bytes(&options, F_EXPLICIT_HTTP1, STR(""));
    pb_end(&options, way);
    entry = pb_begin(b, F_CLUSTER_TYPED_EXTENSION_PROTOCOL_OPTIONS);
    pb_add_text(b, F_MAP_KEY, OPTIONS_NAME);
    any = pb_begin(b, F_MAP_VALUE);
    pb_add_text(b, F_ANY_TYPE_URL, XDS_TYPE_PREFIX OPTIONS_NAME);
    pb_add_bytes(b, F_ANY_VALUE, buf_str(&options));
    pb_end(b, any);
    pb_end(b, entry);
}

/* ---- limits ---- */

/* They are somebody's to set, not there by themselves. */
static void add_limits(struct buf *b, const struct traffic_policy *p)
{
    const struct {
        unsigned field;
        int64_t n;
    } limits[] = {{F_THRESHOLDS_CONNECTIONS, p->max_connections},
                  {F_THRESHOLDS_PENDING, p->max_pending},
                  {F_THRESHOLDS_REQUESTS, p->max_requests},
                  {F_THRESHOLDS_RETRIES, p->max_retries}};
    size_t breakers = pb_begin(b, F_CLUSTER_CIRCUIT_BREAKERS),
           thresholds = pb_begin(b, F_BREAKERS_THRESHOLDS);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        add_number(b, limits[i].field, limits[i].n < 0 ? UINT32_MAX : (uint64_t)limits[i].n);
    if (p->budget) {
        size_t budget = pb_begin(b, F_THRESHOLDS_BUDGET), percent = pb_begin(b, F_BUDGET_PERCENT);
        pb_add_double(b, F_PERCENT_VALUE, p->budget_percent);
        pb_end(b, percent);
        add_number(b, F_BUDGET_MINIMUM, (uint64_t)p->budget_min);
        pb_end(b, budget);
    }
    pb_end(b, thresholds);
    pb_end(b, breakers);
}

static void add_keepalive(struct buf *b, const struct traffic_policy *p)
{
    const struct {
        unsigned field;
        int64_t n;
    } all[] = {{F_TCP_KEEPALIVE_PROBES, p->keepalive_probes},
               {F_TCP_KEEPALIVE_TIME, p->keepalive_idle_s},
               {F_TCP_KEEPALIVE_INTERVAL, p->keepalive_interval_s}};
    if (!p->keepalive)
        return;
    size_t at = pb_begin(b, F_CLUSTER_CONNECTIONS),
           keepalive = pb_begin(b, F_CONNECTIONS_KEEPALIVE);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].n)
            add_number(b, all[i].field, (uint64_t)all[i].n);
    pb_end(b, keepalive);
    pb_end(b, at);
}

/* ---- who is asked ---- */

static void add_slow_start(struct buf *b, unsigned config, unsigned number,
                           const struct traffic_policy *p)
{
    size_t at = pb_begin(b, config), start = pb_begin(b, number), part;
    translate_duration(b, F_SLOW_START_WINDOW, p->warmup_ms);
    if (p->warmup_aggression > 1) {
        part = pb_begin(b, F_SLOW_START_AGGRESSION);
        pb_add_double(b, F_RUNTIME_DOUBLE_DEFAULT, p->warmup_aggression);
        pb_add_text(b, F_RUNTIME_DOUBLE_KEY, "warmup.aggression"); /* Envoy wants one */
        pb_end(b, part);
    }
    part = pb_begin(b, F_SLOW_START_MINIMUM);
    pb_add_double(b, F_PERCENT_VALUE, p->warmup_min_percent);
    pb_end(b, part);
    pb_end(b, start);
    pb_end(b, at);
}

static void add_size(struct buf *b, unsigned config, unsigned number, int64_t n)
{
    size_t at = pb_begin(b, config), value = pb_begin(b, number);
    pb_add_uint(b, F_UINT64_VALUE, (uint64_t)n);
    pb_end(b, value);
    pb_end(b, at);
}

static void add_balance(struct buf *b, const struct traffic_policy *p, unsigned type)
{
    static const unsigned policies[] = {
        [TRAFFIC_LEAST_REQUEST] = 1, [TRAFFIC_ROUND_ROBIN] = 0,
        [TRAFFIC_RANDOM] = 3,        [TRAFFIC_PASSTHROUGH] = LB_CLUSTER_PROVIDED,
        [TRAFFIC_RING_HASH] = 2,     [TRAFFIC_MAGLEV] = 5};
    if (type == TYPE_ORIGINAL_DST) {
        pb_add_uint(b, F_CLUSTER_LB_POLICY, LB_CLUSTER_PROVIDED);
        return;
    }
    pb_add_uint(b, F_CLUSTER_LB_POLICY, policies[p->balance]);
    if (p->balance == TRAFFIC_RING_HASH)
        add_size(b, F_CLUSTER_RING, F_RING_MINIMUM, p->ring_size);
    if (p->balance == TRAFFIC_MAGLEV)
        add_size(b, F_CLUSTER_MAGLEV, F_MAGLEV_TABLE_SIZE, p->table_size);
    if (p->warmup_ms && p->balance == TRAFFIC_LEAST_REQUEST)
        add_slow_start(b, F_CLUSTER_LEAST_REQUEST, F_LEAST_REQUEST_SLOW_START, p);
    if (p->warmup_ms && p->balance == TRAFFIC_ROUND_ROBIN)
        add_slow_start(b, F_CLUSTER_ROUND_ROBIN, F_ROUND_ROBIN_SLOW_START, p);
}

/* The panic threshold of outliers, and whether localities have weights. */
static void add_common_lb(struct buf *b, const struct traffic_outliers *o, bool local)
{
    size_t at, part;
    if (!o->on && !local)
        return;
    at = pb_begin(b, F_CLUSTER_COMMON_LB);
    if (o->on) {
        part = pb_begin(b, F_COMMON_LB_PANIC);
        pb_add_double(b, F_PERCENT_VALUE, o->min_health_percent);
        pb_end(b, part);
    }
    if (local)
        pb_add_bytes(b, F_COMMON_LB_LOCALITY, STR(""));
    pb_end(b, at);
}

static void add_outliers(struct buf *b, const struct traffic_outliers *o)
{
    size_t at;
    if (!o->on)
        return;
    at = pb_begin(b, F_CLUSTER_OUTLIERS);
    add_number(b, F_OUTLIERS_5XX, (uint64_t)o->consecutive_5xx);
    add_number(b, F_OUTLIERS_ENFORCE_5XX, o->consecutive_5xx ? 100 : 0);
    add_number(b, F_OUTLIERS_ENFORCE_RATE, 0);
    if (o->consecutive_gateway >= 0) {
        add_number(b, F_OUTLIERS_GATEWAY, (uint64_t)o->consecutive_gateway);
        add_number(b, F_OUTLIERS_ENFORCE_GATEWAY, o->consecutive_gateway ? 100 : 0);
    }
    translate_duration(b, F_OUTLIERS_INTERVAL, o->interval_ms);
    translate_duration(b, F_OUTLIERS_EJECTION, o->ejection_ms);
    add_number(b, F_OUTLIERS_PERCENT, o->max_ejection_percent);
    if (o->split_local) {
        pb_add_uint(b, F_OUTLIERS_SPLIT, 1);
        add_number(b, F_OUTLIERS_LOCAL, (uint64_t)o->consecutive_local);
        add_number(b, F_OUTLIERS_ENFORCE_LOCAL, o->consecutive_local ? 100 : 0);
    }
    pb_end(b, at);
}

/* ---- as whom it is counted ---- */

static void add_text(struct buf *b, const char *key, struct str text)
{
    size_t entry = pb_begin(b, F_STRUCT_FIELDS), value;
    pb_add_text(b, F_MAP_KEY, key);
    value = pb_begin(b, F_MAP_VALUE);
    pb_add_bytes(b, F_VALUE_STRING_VALUE, text);
    pb_end(b, value);
    pb_end(b, entry);
}

/* istio: {services: [{host, name, namespace}]} */
static void add_services(struct buf *b, const char *service)
{
    char host[CLUSTER_NAME_MAX];
    size_t metadata = pb_begin(b, F_CLUSTER_METADATA),
           entry = pb_begin(b, F_METADATA_FILTER_METADATA), of, field, value, list, one, fields;
    pb_add_text(b, F_MAP_KEY, "istio");
    of = pb_begin(b, F_MAP_VALUE);
    field = pb_begin(b, F_STRUCT_FIELDS);
    pb_add_text(b, F_MAP_KEY, "services");
    value = pb_begin(b, F_MAP_VALUE);
    list = pb_begin(b, F_VALUE_LIST_VALUE);
    one = pb_begin(b, F_LIST_VALUES);
    fields = pb_begin(b, F_VALUE_STRUCT_VALUE);
    add_text(b, "host", str_from(translate_mesh_service_host(service, host)));
    add_text(b, "name", translate_mesh_service_name(service));
    add_text(b, "namespace", service_key_namespace(service));
    pb_end(b, fields);
    pb_end(b, one);
    pb_end(b, list);
    pb_end(b, value);
    pb_end(b, field);
    pb_end(b, of);
    pb_end(b, entry);
    pb_end(b, metadata);
}

/* ---- hosts of ServiceEntries ---- */

static void add_named_endpoint(struct buf *b, const char *address, uint16_t port, uint32_t weight)
{
    size_t lb = pb_begin(b, F_LOCALITY_LB_ENDPOINTS),
           endpoint = pb_begin(b, F_LB_ENDPOINT_ENDPOINT), at = pb_begin(b, F_ENDPOINT_ADDRESS),
           socket = pb_begin(b, F_ADDRESS_SOCKET_ADDRESS);
    pb_add_text(b, F_SOCKET_ADDRESS_ADDRESS, address);
    pb_add_uint(b, F_SOCKET_ADDRESS_PORT_VALUE, port);
    pb_end(b, socket);
    pb_end(b, at);
    pb_end(b, endpoint);
    if (weight)
        add_number(b, F_LB_ENDPOINT_WEIGHT, weight);
    pb_end(b, lb);
}

static bool is_of_subset(const struct entry_endpoint *e, const json_t *labels)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)labels, key,
                        value) if (!streq(json_key_str(json_object_get(e->spec, "labels"), key),
                                          json_string_value(value))) return false;
    return true;
}

/* Names that the proxy asks DNS for; an entry without endpoints is its own host. */
static void add_names(struct buf *b, const char *cluster, const char *service, uint16_t port,
                      const struct mesh_entry *entry)
{
    const struct service_entry *e = entry->of;
    const struct entry_port *p = NULL;
    AUTO_CHARS char *host = service_key_host(service);
    size_t assignment = pb_begin(b, F_CLUSTER_LOAD_ASSIGNMENT), locality;
    for (size_t i = 0; i < e->n_ports; i++)
        p = e->ports[i].number == port ? &e->ports[i] : p;
    pb_add_text(b, F_ASSIGNMENT_CLUSTER_NAME, cluster);
    locality = pb_begin(b, F_ASSIGNMENT_ENDPOINTS);
    for (size_t i = 0; p && i < e->n_endpoints; i++)
        if (is_of_subset(&e->endpoints[i], entry->labels))
            add_named_endpoint(b, e->endpoints[i].address,
                               service_entry_target(p, e->endpoints[i].spec),
                               e->endpoints[i].weight);
    if (p && !json_array_size(json_object_get(e->o.spec, "endpoints")) &&
        !json_object_size(entry->labels))
        add_named_endpoint(b, host, p->target, 0);
    pb_end(b, locality);
    pb_end(b, assignment);
    translate_duration(b, F_CLUSTER_DNS_REFRESH_RATE, DNS_REFRESH_MS);
    pb_add_uint(b, F_CLUSTER_RESPECT_DNS_TTL, 1);
    pb_add_uint(b, F_CLUSTER_DNS_LOOKUP_FAMILY, DNS_V4_ONLY);
}

static unsigned type_of(const struct mesh_cluster *c)
{
    static const unsigned types[] = {[ENTRY_NONE] = TYPE_ORIGINAL_DST,
                                     [ENTRY_STATIC] = TYPE_EDS,
                                     [ENTRY_DNS] = TYPE_STRICT_DNS,
                                     [ENTRY_DNS_ROUND_ROBIN] = TYPE_LOGICAL_DNS};
    if (c->policy->tls.mode == TRAFFIC_TLS_CLOSED || (c->credentials && c->credentials->closed))
        return TYPE_STATIC;
    if (c->policy->balance == TRAFFIC_PASSTHROUGH)
        return TYPE_ORIGINAL_DST;
    return c->entry ? types[c->entry->of->resolution] : TYPE_EDS;
}

/* ---- the whole ---- */

static void add_where(struct buf *b, const char *name, unsigned type, const struct mesh_cluster *c)
{
    size_t at;
    if (type == TYPE_EDS) {
        at = pb_begin(b, F_CLUSTER_EDS_CLUSTER_CONFIG);
        translate_ads(b, F_EDS_EDS_CONFIG);
        pb_add_text(b, F_EDS_SERVICE_NAME, name);
        pb_end(b, at);
    }
    if (type == TYPE_STRICT_DNS || type == TYPE_LOGICAL_DNS)
        add_names(b, name, c->service, c->port->port, c->entry);
    if (type == TYPE_STATIC) { /* nobody */
        at = pb_begin(b, F_CLUSTER_LOAD_ASSIGNMENT);
        pb_add_text(b, F_ASSIGNMENT_CLUSTER_NAME, name);
        pb_end(b, at);
    }
}

static void add_tls(struct buf *b, const char *name, unsigned type, const struct mesh_cluster *c)
{
    const unsigned proxy = c->policy->proxy_version;
    switch (c->policy->tls.mode) {
    case TRAFFIC_TLS_AUTO:
        if (type == TYPE_EDS && !(c->entry && c->entry->of->external) && c->who->n)
            translate_mesh_sockets(b, c->service, c->subset, c->port, c->who, proxy);
        else if (proxy && type != TYPE_STATIC)
            translate_raw_socket(b, F_CLUSTER_TRANSPORT_SOCKET, proxy);
        return;
    case TRAFFIC_TLS_ISTIO_MUTUAL:
        translate_mesh_socket(b, c->service, c->subset, c->port, c->who, proxy);
        return;
    case TRAFFIC_TLS_SIMPLE:
    case TRAFFIC_TLS_MUTUAL:
        if (type != TYPE_STATIC)
            translate_origination(b, name, c, is_http2(port_protocol(c->port), c->policy));
        return;
    case TRAFFIC_TLS_DISABLE:
        if (proxy && type != TYPE_STATIC)
            translate_raw_socket(b, F_CLUSTER_TRANSPORT_SOCKET, proxy);
        return;
    case TRAFFIC_TLS_CLOSED:
        return;
    }
}

static const char *name_of(const struct mesh_cluster *c, char ret[CLUSTER_NAME_MAX])
{
    const struct route_backend to = {.service = (char *)(uintptr_t)c->service,
                                     .subset = (char *)(uintptr_t)c->subset,
                                     .port = c->port->port};
    if (!c->name)
        return translate_backend_name(&to, NULL, ret);
    snprintf(ret, CLUSTER_NAME_MAX, "%s", c->name);
    return ret;
}

struct xds_entry *translate_mesh_cluster(const struct mesh_cluster *c)
{
    const struct traffic_policy *policy = c->policy;
    const unsigned type = type_of(c);
    AUTO_DONE(buf) struct buf b = {0};
    char name[CLUSTER_NAME_MAX];
    name_of(c, name);
    pb_add_text(&b, F_CLUSTER_NAME, name);
    pb_add_uint(&b, F_CLUSTER_TYPE, type);
    add_where(&b, name, type, c);
    translate_duration(&b, F_CLUSTER_CONNECT_TIMEOUT, policy->connect_timeout_ms);
    add_balance(&b, policy, type);
    add_limits(&b, policy);
    add_keepalive(&b, policy);
    add_outliers(&b, &policy->outliers);
    add_common_lb(&b, &policy->outliers, c->local && type == TYPE_EDS);
    add_options(&b, port_protocol(c->port), policy);
    add_services(&b, c->service);
    add_tls(&b, name, type, c);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_CLUSTER, str_from(name), buf_str(&b),
                         str_from(type == TYPE_EDS ? name : ""));
}

struct xds_entry *translate_mesh_credential(const struct mesh_cluster *c,
                                            enum translate_secret_part part)
{
    const struct auth_secret *s = !c->credentials           ? NULL
                                  : part == TRANSLATE_SHOWN ? c->credentials->shown
                                                            : c->credentials->trusted;
    char cluster[CLUSTER_NAME_MAX], name[MESH_CREDENTIAL_NAME_MAX];
    if (!s || c->credentials->closed)
        return NULL;
    translate_mesh_credential_name(name_of(c, cluster), part, name);
    return translate_secret_named(name, part, s);
}
