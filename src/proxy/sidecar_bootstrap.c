#include "proxy/sidecar_bootstrap.h"

#include <errno.h>

#include "base/addr.h"
#include "codec/json.h"
#include "net/listener.h"
#include "proxy/config_source.h"
#include "proxy/identity.h"
#include "xds/xds_types.h"

enum { ADMIN_PORT = 15000, READY_PORT = 15021, CONTROL_PORT = 15012 };
enum { PROXY_CONFIG_BYTES_MAX = 256 * 1024 };

#define HTTP_OPTIONS "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

static json_t *typed(const char *type, json_t *fields)
{
    AUTO_CHARS char *url = xasprintf(XDS_TYPE_PREFIX "%s", type);
    json_object_set_new(fields, "@type", json_string(url));
    return fields;
}

static json_t *address(const char *host, uint16_t port)
{
    return json_pack("{s:{s:s,s:i}}", "socket_address", "address", host, "port_value", (int)port);
}

static json_t *assignment(const char *cluster, const char *host, uint16_t port)
{
    return json_pack("{s:s,s:[{s:[{s:{s:o}}]}]}", "cluster_name", cluster, "endpoints",
                     "lb_endpoints", "endpoint", "address", address(host, port));
}

/* Roots that may be exchanged while it runs. */
static json_t *trust_of_identity(json_t *names)
{
    json_t *source =
        json_pack("{s:{s:s,s:s,s:[{s:{s:s}}]},s:s}", "api_config_source", "api_type", "GRPC",
                  "transport_api_version", "V3", "grpc_services", "envoy_grpc", "cluster_name",
                  CONFIG_SOURCE_IDENTITY, "resource_api_version", "V3");
    return json_pack("{s:o,s:{s:s,s:o}}", "default_validation_context", names,
                     "validation_context_sds_secret_config", "name", IDENTITY_TRUST, "sds_config",
                     source);
}

/* TLS 1.3, and nobody else than who bears the name. */
static json_t *control_tls(const struct sidecar_bootstrap *s, const char *host)
{
    json_t *names = json_pack("{s:[{s:s,s:{s:s}}]}", "match_typed_subject_alt_names", "san_type",
                              "DNS", "matcher", "exact", host);
    json_t *common = json_pack("{s:[s],s:{s:s}}", "alpn_protocols", "h2", "tls_params",
                               "tls_minimum_protocol_version", "TLSv1_3");
    if (s->identity) {
        json_object_set_new(common, "combined_validation_context", trust_of_identity(names));
    } else {
        json_object_set_new(names, "trusted_ca", json_pack("{s:s}", "filename", s->root_file));
        json_object_set_new(common, "validation_context", names);
    }
    return json_pack("{s:s,s:o}", "name", "envoy.transport_sockets.tls", "typed_config",
                     typed("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                           json_pack("{s:s,s:o}", "sni", host, "common_tls_context", common)));
}

static json_t *control_cluster(const struct sidecar_bootstrap *s, const char *host, uint16_t port)
{
    json_t *http2 = typed(
        HTTP_OPTIONS, json_pack("{s:{s:{}}}", "explicit_http_config", "http2_protocol_options"));
    return json_pack("{s:s,s:s,s:s,s:{s:s,s:s},s:{s:o},s:o,s:o}", "name", "xds-grpc", "type",
                     "STRICT_DNS", "connect_timeout", "1s", "dns_failure_refresh_rate",
                     "base_interval", "0.1s", "max_interval", "2s",
                     "typed_extension_protocol_options", HTTP_OPTIONS, http2, "load_assignment",
                     assignment("xds-grpc", host, port), "transport_socket", control_tls(s, host));
}

/* A port on which others get one page of the admin interface. */
static json_t *page(const char *name, uint16_t port, const char *path, const char *of_admin)
{
    json_t *routes =
        json_pack("{s:s,s:[{s:s,s:[s],s:[{s:{s:s},s:{s:s,s:s}}]}]}", "name", name, "virtual_hosts",
                  "name", name, "domains", "*", "routes", "match", "path", path, "route", "cluster",
                  "admin", "prefix_rewrite", of_admin);
    json_t *router =
        json_pack("{s:s,s:o}", "name", "envoy.filters.http.router", "typed_config",
                  typed("envoy.extensions.filters.http.router.v3.Router", json_object()));
    json_t *hcm = typed("envoy.extensions.filters.network.http_connection_manager.v3."
                        "HttpConnectionManager",
                        json_pack("{s:s,s:o,s:[o]}", "stat_prefix", name, "route_config", routes,
                                  "http_filters", router));
    const bool v6 = listener_any().family == AF_INET6;
    json_t *at = address(v6 ? "::" : "0.0.0.0", port);
    if (v6)
        json_object_set_new(json_object_get(at, "socket_address"), "ipv4_compat", json_true());
    return json_pack("{s:s,s:o,s:[{s:[{s:s,s:o}]}]}", "name", name, "address", at, "filter_chains",
                     "filters", "name", "envoy.filters.network.http_connection_manager",
                     "typed_config", hcm);
}

/* Texts as they are; what is none is left out. */
static void add_own_words(char *const *environment, json_t *metadata)
{
    struct str prefix = STR("ISTIO_META_"), value;
    for (; environment && *environment; environment++) {
        struct str name = str_cut(str_from(*environment), '=', &value);
        if (!str_starts(name, prefix) || name.n == prefix.n || !value.p || !json_is_utf8(name))
            continue;
        AUTO_CHARS char *key = str_dup(str_sub(name, prefix.n, name.n));
        json_object_set_new(metadata, key, json_text(value));
    }
}

/* Of PROXY_CONFIG whether the workload is asked how it is: so its entry says. */
static void add_probe(char *const *environment, json_t *metadata)
{
    struct str value;
    for (; environment && *environment; environment++) {
        AUTO_JSON json_t *config = NULL;
        if (!str_is(str_cut(str_from(*environment), '=', &value), "PROXY_CONFIG") || !value.p ||
            json_parse(value, PROXY_CONFIG_BYTES_MAX, NULL, &config, NULL) < 0)
            continue;
        json_t *probe = json_object_get(config, "readinessProbe");
        if (json_is_object(probe))
            json_object_set_new(metadata, "PROXY_CONFIG",
                                json_pack("{s:O}", "readinessProbe", probe));
    }
}

/* What istiod asks for, too: it gives a node nothing whose metadata it cannot read. */
static json_t *node(const struct sidecar_bootstrap *s)
{
    AUTO_CHARS char *id = xasprintf("sidecar~%s~%s.%s~%s.svc.cluster.local", s->ip, s->pod,
                                    s->namespace_, s->namespace_);
    AUTO_CHARS char *cluster =
        xasprintf("%s.%s", s->workload ? s->workload : s->pod, s->namespace_);
    json_t *metadata = json_pack("{s:s,s:s,s:s,s:s,s:s}", "NAME", s->pod, "NAMESPACE",
                                 s->namespace_, "INSTANCE_IPS", s->ip, "CLUSTER_ID", "Kubernetes",
                                 "INTERCEPTION_MODE", "REDIRECT");
    add_own_words(s->environment, metadata);
    add_probe(s->environment, metadata);
    return json_pack("{s:s,s:s,s:o}", "id", id, "cluster", cluster, "metadata", metadata);
}

static int check(const struct sidecar_bootstrap *s, struct err *reterr)
{
    const struct {
        const char *value, *name;
    } all[] = {{s->pod, "POD_NAME"}, {s->namespace_, "POD_NAMESPACE"}, {s->ip, "POD_IP"}};
    struct ip ip;
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (str_empty(all[i].value))
            return err_set(reterr, -EINVAL, NULL,
                           "a sidecar needs the variable %s (the downward API has it)",
                           all[i].name);
    if (ip_parse(str_from(s->ip), &ip) < 0)
        return err_set(reterr, -EINVAL, NULL, "POD_IP: '%.100s' is no address", s->ip);
    return 0;
}

static json_t *whole(const struct sidecar_bootstrap *s, const char *host, uint16_t port)
{
    json_t *grpc =
        json_pack("{s:s,s:s,s:[{s:{s:s}}]}", "api_type", "DELTA_GRPC", "transport_api_version",
                  "V3", "grpc_services", "envoy_grpc", "cluster_name", "xds-grpc");
    json_t *dynamic =
        json_pack("{s:o,s:{s:{},s:s},s:{s:{},s:s}}", "ads_config", grpc, "cds_config", "ads",
                  "resource_api_version", "V3", "lds_config", "ads", "resource_api_version", "V3");
    json_t *admin = json_pack("{s:s,s:s,s:o}", "name", "admin", "type", "STATIC", "load_assignment",
                              assignment("admin", "127.0.0.1", ADMIN_PORT));
    json_t *fixed =
        json_pack("{s:[o,o],s:[o,o]}", "clusters", control_cluster(s, host, port), admin,
                  "listeners", page("ready", READY_PORT, "/healthz/ready", "/ready"),
                  page("stats", SIDECAR_STATS_PORT, "/stats/prometheus", "/stats/prometheus"));
    return json_pack("{s:o,s:{s:o},s:o,s:o}", "node", node(s), "admin", "address",
                     address("127.0.0.1", ADMIN_PORT), "dynamic_resources", dynamic,
                     "static_resources", fixed);
}

int sidecar_bootstrap_json(const struct sidecar_bootstrap *s, struct buf *ret, struct err *reterr)
{
    struct str rest, host = str_cut(str_from(s->control), ':', &rest);
    uint64_t port = CONTROL_PORT;
    int r = check(s, reterr);
    if (r < 0)
        return r;
    if (!host.n || (rest.p && (str_to_u64(rest, &port) < 0 || port < 1 || port > 65535)))
        return err_set(reterr, -EINVAL, NULL, "--control: '%.100s' is not HOST:PORT", s->control);
    AUTO_CHARS char *name = str_dup(host);
    AUTO_JSON json_t *j = whole(s, name, (uint16_t)port);
    if (!j)
        return err_set(reterr, -EINVAL, NULL,
                       "a name of the pod or of its control plane is no text");
    json_write(ret, j);
    return 0;
}
