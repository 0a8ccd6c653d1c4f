/* Listeners: few, so made as JSON and read by the protobuf mapping. */
#include <stdio.h>

#include "control/translate_guard.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/translate_telemetry.h"

/* An endpoint that cannot be asked, or breaks off: 502, as gateways say (RFC 9110 section 15.6.3).
 */
static json_t *local_replies(void)
{
    return json_pack("{s:[{s:{s:{s:[s,s,s]}},s:i}]}", "mappers", "filter", "response_flag_filter",
                     "flags", "UF", "UC", "UR", "status_code", 502);
}

static json_t *setting(const char *name, const char *value)
{
    return json_pack("{s:{s:{s:s,s:s},s:s}}", "append", "header", "key", name, "value", value,
                     "append_action", "OVERWRITE_IF_EXISTS_OR_ADD");
}

static json_t *removal(const char *name)
{
    return json_pack("{s:s}", "remove", name);
}

/* An empty value takes the field out. */
static void add_mutations(const struct route_fields *f, json_t *list)
{
    for (uint32_t i = 0; f && i < f->n; i++)
        json_array_append_new(list, *f->v[i].value ? setting(f->v[i].name, f->v[i].value)
                                                   : removal(f->v[i].name));
}

/* What ingress-nginx says of a client in place of what the client says itself: endpoints believe
 * it. Who is before us, where that is believed, says the rest. */
static void add_client(const struct translate_listener *l, json_t *requests)
{
    static const char address[] = "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                      proto[] = "%REQ(X-FORWARDED-PROTO)%";
    json_array_append_new(requests, setting("x-real-ip", address));
    json_array_append_new(requests, setting("x-forwarded-scheme", proto));
    json_array_append_new(requests, setting("x-scheme", proto));
    if (l->settings && l->settings->forwarded)
        return;
    json_array_append_new(requests, setting("x-forwarded-for", address));
    json_array_append_new(requests, setting("x-forwarded-host", "%REQ(:AUTHORITY)%"));
    json_array_append_new(requests, setting("x-forwarded-port", l->n_chains ? "443" : "80"));
}

/* Fields of all requests and answers. */
static json_t *mutations(const struct translate_listener *l)
{
    json_t *requests = json_array(), *answers = json_array();
    for (uint32_t i = 0; l->settings && i < l->settings->n_hidden; i++)
        json_array_append_new(answers, removal(l->settings->hidden[i]));
    if (l->settings && l->settings->server == INGRESS_SERVER_NONE)
        json_array_append_new(answers, removal("server"));
    add_mutations(l->answer_fields, answers);
    json_array_append_new(requests,
                          removal("proxy")); /* CGI: HTTP_PROXY is not a client's to set */
    add_client(l, requests);
    add_mutations(l->request_fields, requests);
    return json_pack(
        "{s:s,s:o}", "name", "envoy.filters.http.header_mutation", "typed_config",
        translate_typed("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                        json_pack("{s:{s:o,s:o}}", "mutations", "request_mutations", requests,
                                  "response_mutations", answers)));
}

/* What settings say of connections. */
static void apply_settings(const struct ingress_settings *s, json_t *hcm)
{
    json_t *common = json_object_get(hcm, "common_http_protocol_options");
    if (s->forwarded)
        json_object_set_new(hcm, "use_remote_address", json_false());
    if (s->server == INGRESS_SERVER_NONE)
        json_object_set_new(hcm, "server_header_transformation", json_string("PASS_THROUGH"));
    else if (s->server == INGRESS_SERVER_OURS)
        json_object_set_new(hcm, "server_name", json_string("fairlead"));
    if (s->says_keep_alive && s->keep_alive_s)
        json_object_set_new(common, "idle_timeout", json_sprintf("%us", s->keep_alive_s));
    if (s->keep_alive_requests || (s->says_keep_alive && !s->keep_alive_s))
        json_object_set_new(
            common, "max_requests_per_connection",
            json_integer(s->says_keep_alive && !s->keep_alive_s ? 1 : s->keep_alive_requests));
    if (s->underscores)
        json_object_del(common, "headers_with_underscores_action");
}

/* One that does nothing but where a route speaks of it. */
static json_t *route_filter(const char *name, const char *prefix, const char *type, json_t *config)
{
    json_t *filter =
        json_pack("{s:s,s:o,s:b}", "name", name, "typed_config", config, "disabled", 1);
    AUTO_CHARS char *url = xasprintf("%s%s", prefix, type);
    json_object_set_new(config, "@type", json_string(url));
    return filter;
}

/* Of every request. */
static json_t *own_filter(const char *name, const char *type)
{
    return json_pack("{s:s,s:{s:s}}", "name", name, "typed_config", "@type", type);
}

/* In the order in which ingress-nginx asks. */
static json_t *http_filters(const struct translate_listener *l)
{
    enum translate_peer peer = l->peer;
    json_t *list = json_array();
    json_array_append_new(list, mutations(l));
    if (peer != TRANSLATE_FOREIGN)
        json_array_append_new(list, route_filter(ANSWER_NAME, "", ANSWER_TYPE, json_object()));
    if (peer != TRANSLATE_FOREIGN)
        json_array_append_new(list, own_filter(ESCAPED_SLASHES_NAME, ESCAPED_SLASHES_TYPE));
    if (peer != TRANSLATE_FOREIGN)
        json_array_append_new(list, route_filter(CLIENT_CERTIFICATE_NAME, "",
                                                 CLIENT_CERTIFICATE_TYPE, json_object()));
    json_array_append_new(list, route_filter("envoy.filters.http.cors", XDS_TYPE_PREFIX,
                                             "envoy.extensions.filters.http.cors.v3.Cors",
                                             json_object()));
    json_array_append_new(
        list, route_filter("envoy.filters.http.custom_response", XDS_TYPE_PREFIX,
                           "envoy.extensions.filters.http.custom_response.v3.CustomResponse",
                           json_object()));
    if (peer == TRANSLATE_FOREIGN)
        json_array_append_new(list, route_filter(BUFFER_NAME, XDS_TYPE_PREFIX,
                                                 "envoy.extensions.filters.http.buffer.v3.Buffer",
                                                 json_pack("{s:i}", "max_request_bytes", 1 << 20)));
    if (peer != TRANSLATE_FOREIGN) {
        json_array_append_new(list,
                              route_filter(BODY_LIMIT_NAME, "", BODY_LIMIT_TYPE, json_object()));
        json_array_append_new(
            list, route_filter(CLIENT_LIMIT_NAME, "", CLIENT_LIMIT_TYPE, json_object()));
    }
    json_array_append_new(list, route_filter(RBAC_NAME, XDS_TYPE_PREFIX,
                                             "envoy.extensions.filters.http.rbac.v3.RBAC",
                                             json_object()));
    if (peer != TRANSLATE_FOREIGN)
        json_array_append_new(list, route_filter(ACCESS_NAME, "", ACCESS_TYPE, json_object()));
    json_array_append_new(
        list, route_filter("envoy.filters.http.stateful_session", XDS_TYPE_PREFIX,
                           "envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
                           json_object()));
    if (l->told)
        json_array_append_new(list, translate_mesh_request_stats(true));
    json_array_append_new(list,
                          translate_http_filter("envoy.filters.http.router",
                                                "envoy.extensions.filters.http.router.v3.Router"));
    return list;
}

static json_t *connection_manager(const struct translate_listener *l)
{
    json_t *filters = http_filters(l);
    json_t *log =
        json_pack("{s:s,s:o}", "name", "envoy.access_loggers.stdout", "typed_config",
                  translate_typed("envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                                  json_object()));
    json_t *hcm = json_pack("{s:s,s:b,s:b,s:b,s:{s:s,s:o},s:o,s:[{s:s}],s:[o]}", "stat_prefix",
                            l->name, "use_remote_address", 1, "normalize_path", 1, "merge_slashes",
                            1, "rds", "route_config_name", l->routes, "config_source",
                            translate_ads_json(), "http_filters", filters, "upgrade_configs",
                            "upgrade_type", "websocket", "access_log", log);
    json_object_set_new(hcm, "local_reply_config", local_replies());
    /* To many backends X_User is X-User: what we say of a client is not for it to say so. */
    json_object_set_new(hcm, "common_http_protocol_options",
                        json_pack("{s:s}", "headers_with_underscores_action", "DROP_HEADER"));
    if (l->settings)
        apply_settings(l->settings, hcm);
    translate_typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", hcm);
    return json_pack("{s:s,s:o}", "name", "envoy.filters.network.http_connection_manager",
                     "typed_config", hcm);
}

/* What a certificate is worth is said to each request, behind the handshake. */
static json_t *validation(const struct translate_chain *c)
{
    json_t *v = json_pack("{s:o,s:s,s:i}", "trusted_ca", translate_bytes(str_from(c->ca->ca)),
                          "trust_chain_verification", "ACCEPT_UNTRUSTED", "max_verify_depth",
                          (int)c->verify_depth);
    if (*c->ca->crl)
        json_object_set_new(v, "crl", translate_bytes(str_from(c->ca->crl)));
    return v;
}

static void set_versions(const struct ingress_settings *s, json_t *context)
{
    if (!s || !s->tls_min)
        return;
    json_object_set_new(json_object_get(context, "common_tls_context"), "tls_params",
                        json_pack("{s:s,s:s}", "tls_minimum_protocol_version",
                                  s->tls_min == 13 ? "TLSv1_3" : "TLSv1_2",
                                  "tls_maximum_protocol_version",
                                  s->tls_max == 13 ? "TLSv1_3" : "TLSv1_2"));
}

static json_t *tls_socket(const struct translate_chain *c, const struct ingress_settings *s)
{
    json_t *context =
        json_pack("{s:{s:[s,s],s:[{s:s,s:o}]}}", "common_tls_context", "alpn_protocols", "h2",
                  "http/1.1", "tls_certificate_sds_secret_configs", "name", c->secret, "sds_config",
                  translate_ads_json());
    set_versions(s, context);
    if (c->ca)
        json_object_set_new(json_object_get(context, "common_tls_context"), "validation_context",
                            validation(c));
    return json_pack(
        "{s:s,s:o}", "name", "envoy.transport_sockets.tls", "typed_config",
        translate_typed("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", context));
}

static json_t *filter_chain(const struct translate_listener *l, const struct translate_chain *c)
{
    json_t *filter =
        c && c->cluster ? translate_tcp_proxy(l->name, c->cluster) : connection_manager(l);
    json_t *chain = json_pack("{s:[o]}", "filters", filter);
    if (!c)
        return chain;
    json_object_set_new(chain, "name", json_string(c->server_name ? c->server_name : "default"));
    if (c->secret)
        json_object_set_new(chain, "transport_socket", tls_socket(c, l->settings));
    if (c->server_name)
        json_object_set_new(chain, "filter_chain_match",
                            json_pack("{s:[s]}", "server_names", c->server_name));
    return chain;
}

static json_t *proxy_protocol(void)
{
    return translate_http_filter(
        "envoy.filters.listener.proxy_protocol",
        "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol");
}

/* The same port of the other family. */
static void listen_v6(json_t *listener, uint16_t port)
{
    json_object_set_new(listener, "additional_addresses",
                        json_pack("[{s:{s:{s:s,s:i}}}]", "address", "socket_address", "address",
                                  "::", "port_value", (int)port));
}

struct xds_entry *translate_listener(const struct translate_listener *l)
{
    json_t *chains = json_array();
    for (size_t i = 0; i < l->n_chains; i++)
        json_array_append_new(chains, filter_chain(l, &l->chains[i]));
    if (!l->n_chains)
        json_array_append_new(chains, filter_chain(l, NULL));
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:{s:{s:s,s:i}},s:o}", "name", l->name, "address", "socket_address",
                  "address", l->address, "port_value", (int)l->port, "filter_chains", chains);
    if (l->peer != TRANSLATE_FOREIGN) /* who could fail where there is no IPv6 */
        listen_v6(j, l->port);
    json_t *before = json_array(); /* in their order */
    if (l->settings && l->settings->proxy_protocol)
        json_array_append_new(before, proxy_protocol());
    if (l->n_chains)
        json_array_append_new(
            before, translate_http_filter("envoy.filters.listener.tls_inspector",
                                          "envoy.extensions.filters.listener.tls_inspector.v3."
                                          "TlsInspector"));
    if (json_array_size(before))
        json_object_set(j, "listener_filters", before);
    json_decref(before);
    if (l->told) {
        translate_mesh_count_connections(j);
        translate_tell(j, l->told);
    }
    return translate_json(XDS_LISTENER, l->name, j);
}

const char *translate_grpc_name(const char *service, uint16_t port, char ret[CLUSTER_NAME_MAX])
{
    struct str name, ns = str_cut(str_from(service), '/', &name);
    snprintf(ret, CLUSTER_NAME_MAX, STR_FMT "." STR_FMT ".svc.cluster.local:%u", STR_ARG(name),
             STR_ARG(ns), port);
    return ret;
}

struct xds_entry *translate_grpc_listener(const char *service, uint16_t port)
{
    char name[CLUSTER_NAME_MAX], cluster[CLUSTER_NAME_MAX];
    translate_grpc_name(service, port, name);
    translate_cluster_name(service, port, NULL, cluster);
    json_t *hcm = json_pack("{s:s,s:[o],s:{s:s,s:[{s:s,s:[s],s:[{s:{s:s},s:{s:s}}]}]}}",
                            "stat_prefix", name, "http_filters",
                            translate_http_filter("envoy.filters.http.router",
                                                  "envoy.extensions.filters.http.router.v3.Router"),
                            "route_config", "name", name, "virtual_hosts", "name", name, "domains",
                            "*", "routes", "match", "prefix", "", "route", "cluster", cluster);
    translate_typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", hcm);
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:{s:o}}", "name", name, "api_listener", "api_listener", hcm);
    return translate_json(XDS_LISTENER, name, j);
}

struct xds_entry *translate_stream(const char *name, const char *address, uint16_t port,
                                   const char *cluster, bool proxied)
{
    AUTO_JSON json_t *j = json_pack("{s:s,s:{s:{s:s,s:i}},s:[{s:[o]}]}", "name", name, "address",
                                    "socket_address", "address", address, "port_value", (int)port,
                                    "filter_chains", "filters", translate_tcp_proxy(name, cluster));
    if (proxied)
        json_object_set_new(j, "listener_filters", json_pack("[o]", proxy_protocol()));
    return translate_json(XDS_LISTENER, name, j);
}

struct xds_entry *translate_passage(const char *name, const char *address, uint16_t port,
                                    const char *const *clusters, size_t n)
{
    json_t *chains = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(chains,
                              json_pack("{s:s,s:{s:[s],s:[s,s,s,s,s]},s:[o]}", "name", clusters[i],
                                        "filter_chain_match", "server_names", clusters[i],
                                        "application_protocols", "istio", "istio-peer-exchange",
                                        "istio-http/1.0", "istio-http/1.1", "istio-h2", "filters",
                                        translate_tcp_proxy(clusters[i], clusters[i])));
    AUTO_JSON json_t *j = json_pack(
        "{s:s,s:{s:{s:s,s:i}},s:o,s:[o]}", "name", name, "address", "socket_address", "address",
        address, "port_value", (int)port, "filter_chains", chains, "listener_filters",
        translate_http_filter("envoy.filters.listener.tls_inspector",
                              "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"));
    listen_v6(j, port);
    return translate_json(XDS_LISTENER, name, j);
}
