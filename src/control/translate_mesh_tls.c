/* The TLS between sidecars: what a client shows and whom it takes, what a server shows and whom it
 * lets in. Certificates are the proxy's own identity: the secrets `default` and `ROOTCA` of Istio's
 * `sds-grpc`, which no control plane sends. */
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"

#include <stdio.h>

#define TLS_TYPE   "envoy.extensions.transport_sockets.tls.v3."
#define MATCH_NAME "envoy.transport_socket_match"
#define OWN        "default"
#define TRUSTED    "ROOTCA"

enum {
    NAME_URI = 3, /* SubjectAltNameMatcher.SanType */
    TLS_1_2 = 3,  /* TlsParameters.TlsProtocol */
    TLS_1_3 = 4,
    NAMES_MAX = 1000 /* that a proxy takes */
};

/* {KEY: VALUE}, a Struct as a field of that number. */
static void add_struct(struct buf *b, unsigned number, const char *key, const char *value)
{
    size_t at = pb_begin(b, number), entry = pb_begin(b, F_STRUCT_FIELDS), v;
    pb_add_text(b, F_MAP_KEY, key);
    v = pb_begin(b, F_MAP_VALUE);
    pb_add_text(b, F_VALUE_STRING_VALUE, value);
    pb_end(b, v);
    pb_end(b, entry);
    pb_end(b, at);
}

static void add_metadata(struct buf *b, const char *name, const char *key, const char *value)
{
    size_t entry = pb_begin(b, F_METADATA_FILTER_METADATA);
    pb_add_text(b, F_MAP_KEY, name);
    add_struct(b, F_MAP_VALUE, key, value);
    pb_end(b, entry);
}

void translate_mesh_endpoint(struct buf *b, const struct translate_peer_facts *facts)
{
    if (!facts->in_mesh && !facts->workload.n)
        return;
    size_t metadata = pb_begin(b, F_LB_ENDPOINT_METADATA);
    if (facts->in_mesh)
        add_metadata(b, MATCH_NAME, "tlsMode", "istio");
    if (facts->workload.n) {
        AUTO_CHARS char *text = str_dup(buf_str(&facts->workload));
        add_metadata(b, "istio", "workload", text);
    }
    pb_end(b, metadata);
}

/* ---- a client ---- */

static void add_sds(struct buf *b, unsigned number, const char *secret)
{
    translate_sds(b, number, secret, true, 0);
}

static void add_names(struct buf *b, const struct mesh_identities *who)
{
    size_t at = pb_begin(b, F_COMBINED_DEFAULT);
    static const char *const nobody[] = {"spiffe://nobody"}; /* no name would be any name */
    const char *const *uris = who->n ? who->uris : nobody;
    for (size_t i = 0; i < MAX(who->n, (size_t)1) && i < NAMES_MAX; i++) {
        size_t match = pb_begin(b, F_VALIDATION_NAMES), matcher;
        pb_add_uint(b, F_NAME_KIND, NAME_URI);
        matcher = pb_begin(b, F_NAME_MATCHER);
        pb_add_text(b, F_STRING_EXACT, uris[i]);
        pb_end(b, matcher);
        pb_end(b, match);
    }
    pb_end(b, at);
}

/* An UpstreamTlsContext. What is no HTTP offers "istio"; requests of HTTP are told by the proxy
 * that sends them (proxy/transport_config.h). Istio's peer exchange is not offered: nobody would
 * speak it. */
static void add_context(struct buf *b, const char *service, const char *subset,
                        const struct service_port *p, const struct mesh_identities *who)
{
    char sni[CLUSTER_NAME_MAX];
    size_t common = pb_begin(b, F_UPSTREAM_TLS_COMMON), params = pb_begin(b, F_COMMON_TLS_PARAMS),
           combined;
    translate_mesh_sni(service, p->port, subset, sni);
    pb_add_uint(b, F_TLS_PARAMS_MIN, TLS_1_2);
    pb_add_uint(b, F_TLS_PARAMS_MAX, TLS_1_3);
    pb_end(b, params);
    pb_add_text(b, F_COMMON_TLS_ALPN, "istio");
    if (port_protocol(p) == PORT_HTTP2)
        pb_add_text(b, F_COMMON_TLS_ALPN, "h2");
    add_sds(b, F_COMMON_TLS_CERTIFICATE_SDS, OWN);
    combined = pb_begin(b, F_COMMON_TLS_COMBINED);
    add_names(b, who);
    add_sds(b, F_COMBINED_SDS, TRUSTED);
    pb_end(b, combined);
    pb_end(b, common);
    pb_add_text(b, F_UPSTREAM_TLS_SNI, sni);
}

/* The UpstreamTlsContext as a transport socket. */
static void add_socket(struct buf *b, unsigned number, const char *service, const char *subset,
                       const struct service_port *p, const struct mesh_identities *who,
                       unsigned proxy)
{
    AUTO_DONE(buf) struct buf context = {0};
    add_context(&context, service, subset, p, who);
    translate_socket(b, number, proxy, "envoy.transport_sockets.tls", TLS_TYPE "UpstreamTlsContext",
                     buf_str(&context));
}

void translate_mesh_socket(struct buf *b, const char *service, const char *subset,
                           const struct service_port *p, const struct mesh_identities *who,
                           unsigned proxy)
{
    add_socket(b, F_CLUSTER_TRANSPORT_SOCKET, service, subset, p, who, proxy);
}

void translate_mesh_sockets(struct buf *b, const char *service, const char *subset,
                            const struct service_port *p, const struct mesh_identities *who,
                            unsigned proxy)
{
    size_t match;
    if (!who->n)
        return;
    match = pb_begin(b, F_CLUSTER_TRANSPORT_SOCKET_MATCHES);
    pb_add_text(b, F_SOCKET_MATCH_NAME, "tlsMode-istio");
    add_struct(b, F_SOCKET_MATCH_MATCH, "tlsMode", "istio");
    add_socket(b, F_SOCKET_MATCH_TRANSPORT_SOCKET, service, subset, p, who, proxy);
    pb_end(b, match);
    match = pb_begin(b, F_CLUSTER_TRANSPORT_SOCKET_MATCHES);
    pb_add_text(b, F_SOCKET_MATCH_NAME, "tlsMode-disabled");
    pb_add_bytes(b, F_SOCKET_MATCH_MATCH, STR(""));
    translate_raw_socket(b, F_SOCKET_MATCH_TRANSPORT_SOCKET, proxy);
    pb_end(b, match);
}

/* ---- a server ---- */

static json_t *sds(const char *secret)
{
    json_t *source = json_pack("{s:{s:s,s:s,s:[{s:{s:s}}]},s:s}", "api_config_source", "api_type",
                               "GRPC", "transport_api_version", "V3", "grpc_services", "envoy_grpc",
                               "cluster_name", TRANSLATE_AGENT, "resource_api_version", "V3");
    return json_pack("{s:s,s:o}", "name", secret, "sds_config", source);
}

json_t *translate_mesh_server(const char *trust_domain, bool http)
{
    AUTO_CHARS char *prefix = xasprintf("spiffe://%s/", trust_domain);
    json_t *names = json_pack("{s:[{s:s,s:{s:s}}]}", "match_typed_subject_alt_names", "san_type",
                              "URI", "matcher", "prefix", prefix);
    json_t *common = json_pack(
        "{s:{s:s,s:s},s:[o],s:{s:o,s:o}}", "tls_params", "tls_minimum_protocol_version", "TLSv1_2",
        "tls_maximum_protocol_version", "TLSv1_3", "tls_certificate_sds_secret_configs", sds(OWN),
        "combined_validation_context", "default_validation_context", names,
        "validation_context_sds_secret_config", sds(TRUSTED));
    if (http)
        json_object_set_new(common, "alpn_protocols", json_pack("[s,s]", "h2", "http/1.1"));
    json_t *context =
        json_pack("{s:o,s:b}", "common_tls_context", common, "require_client_certificate", 1);
    return json_pack("{s:s,s:o}", "name", "envoy.transport_sockets.tls", "typed_config",
                     translate_typed(TLS_TYPE "DownstreamTlsContext", context));
}
