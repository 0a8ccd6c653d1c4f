/* What is sent to a pod: a chain for each port, way to speak it, and whether it is the mesh's TLS
 * (Istio's table: docs/mesh.md "Identity"). The mesh's TLS is told from an app's own by the names
 * that its client offers (ALPN). */
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/translate_telemetry.h"

#include <stdio.h>

#define INBOUND_PASSTHROUGH "InboundPassthroughCluster"
#define BLACK_HOLE          "BlackHoleCluster"

enum transport { ANY, RAW, TLS };

/* What chains of a listener need of the listener. */
struct making {
    json_t *chains;
    const char *trust_domain;
    const struct mesh_access *access;
    bool looks_for_tls, looks_for_http;
};

static json_t *alpn_http(void)
{
    return json_pack("[s,s,s]", "istio-http/1.0", "istio-http/1.1", "istio-h2");
}

static json_t *alpn_mesh(void)
{
    return json_pack("[s,s,s,s,s]", "istio", "istio-peer-exchange", "istio-http/1.0",
                     "istio-http/1.1", "istio-h2");
}

static json_t *alpn_bytes(void)
{
    return json_pack("[s,s]", "istio-peer-exchange", "istio");
}

static json_t *plain_http(void)
{
    return json_pack("[s,s,s]", "http/1.0", "http/1.1", "h2c");
}

/* port 0: whichever is none of the others. Takes filters and protocols (NULL: whatever).
 */
static json_t *add_chain(struct making *m, uint16_t port, enum transport transport,
                         json_t *protocols, json_t *filters)
{
    json_t *match = json_object(), *chain = json_pack("{s:o}", "filters", filters);
    if (port)
        json_object_set_new(match, "destination_port", json_integer(port));
    if (transport != ANY)
        json_object_set_new(match, "transport_protocol",
                            json_string(transport == TLS ? "tls" : "raw_buffer"));
    if (protocols)
        json_object_set_new(match, "application_protocols", protocols);
    json_object_set_new(chain, "filter_chain_match", match);
    json_array_append_new(m->chains, chain);
    m->looks_for_tls = m->looks_for_tls || transport != ANY;
    return chain;
}

/* The same, and the mesh's TLS is taken off. */
static json_t *add_mesh_chain(struct making *m, uint16_t port, json_t *protocols, json_t *filters,
                              bool http)
{
    json_t *chain = add_chain(m, port, TLS, protocols, filters);
    json_object_set_new(chain, "transport_socket", translate_mesh_server(m->trust_domain, http));
    return chain;
}

static void name_chain(json_t *chain, const char *what, uint16_t port)
{
    json_object_set_new(chain, "name", json_sprintf("0.0.0.0_%u%s", port, what));
}

/* In front of what serves. */
static void put_before(json_t *filters, const json_t *more)
{
    for (size_t i = 0; i < json_array_size(more); i++)
        json_array_insert(filters, i, json_array_get(more, i));
}

/* Filters of a chain of bytes: who may, and the proxy. */
static json_t *bytes_to(const struct making *m, const char *cluster)
{
    json_t *filters = json_pack("[o]", translate_tcp_proxy(cluster, cluster));
    put_before(filters, m->access->tcp);
    return filters;
}

static json_t *http_of(const struct making *m, const struct mesh_inbound *in)
{
    char name[CLUSTER_NAME_MAX], stat[32];
    translate_mesh_inbound_name(in->port, name);
    snprintf(stat, sizeof(stat), "inbound_0.0.0.0_%u", in->port);
    AUTO_CHARS char *host = xasprintf("inbound|http|%u", in->port);
    json_t *routes =
        json_pack("{s:s,s:[{s:s,s:[s],s:[{s:s,s:{s:s},s:{s:s,s:s}}]}]}", "name", name,
                  "virtual_hosts", "name", host, "domains", "*", "routes", "name", "default",
                  "match", "prefix", "/", "route", "cluster", name, "timeout", "0s");
    json_t *hcm = translate_mesh_http(stat, NULL, routes);
    put_before(json_object_get(json_object_get(hcm, "typed_config"), "http_filters"),
               m->access->http);
    return json_pack("[o]", hcm);
}

static json_t *bytes_of(const struct making *m, const struct mesh_inbound *in)
{
    char name[CLUSTER_NAME_MAX];
    translate_mesh_inbound_name(in->port, name);
    return bytes_to(m, name);
}

static json_t *nowhere(void)
{
    return json_pack("[o]", translate_tcp_proxy(BLACK_HOLE, BLACK_HOLE));
}

/* Plain text, which would else be of the chain of whatever is none of the others. */
static void add_refusal(struct making *m, uint16_t port)
{
    name_chain(add_chain(m, port, RAW, NULL, nowhere()), "_refused", port);
}

/* As it comes, in plain text or over an app's own TLS. Two chains, since one of any transport is
 * never looked at behind one of TLS. */
static void add_as_it_is(struct making *m, const struct mesh_inbound *in)
{
    if (in->mode == MTLS_DISABLE) {
        name_chain(add_chain(m, in->port, ANY, NULL, bytes_of(m, in)), "", in->port);
        return;
    }
    name_chain(add_chain(m, in->port, RAW, NULL, bytes_of(m, in)), "", in->port);
    name_chain(add_chain(m, in->port, TLS, NULL, bytes_of(m, in)), "_tls", in->port);
}

static void add_http(struct making *m, const struct mesh_inbound *in)
{
    if (in->mode != MTLS_DISABLE)
        name_chain(add_mesh_chain(m, in->port, in->mode == MTLS_STRICT ? NULL : alpn_mesh(),
                                  http_of(m, in), true),
                   "_mtls_http", in->port);
    if (in->mode == MTLS_STRICT)
        add_refusal(m, in->port);
    else
        name_chain(
            add_chain(m, in->port, in->mode == MTLS_DISABLE ? ANY : RAW, NULL, http_of(m, in)),
            "_http", in->port);
}

static void add_bytes(struct making *m, const struct mesh_inbound *in)
{
    if (in->mode != MTLS_DISABLE)
        name_chain(add_mesh_chain(m, in->port, in->mode == MTLS_STRICT ? NULL : alpn_mesh(),
                                  bytes_of(m, in), false),
                   "_mtls", in->port);
    if (in->mode == MTLS_STRICT)
        add_refusal(m, in->port);
    else
        add_as_it_is(m, in);
}

static void add_sniffed(struct making *m, const struct mesh_inbound *in)
{
    if (in->mode != MTLS_DISABLE) {
        name_chain(add_mesh_chain(m, in->port, alpn_http(), http_of(m, in), true), "_mtls_http",
                   in->port);
        name_chain(add_mesh_chain(m, in->port, in->mode == MTLS_STRICT ? NULL : alpn_bytes(),
                                  bytes_of(m, in), false),
                   "_mtls", in->port);
    }
    if (in->mode == MTLS_STRICT) {
        add_refusal(m, in->port);
        return;
    }
    name_chain(
        add_chain(m, in->port, in->mode == MTLS_DISABLE ? ANY : RAW, plain_http(), http_of(m, in)),
        "_http", in->port);
    add_as_it_is(m, in);
    m->looks_for_http = true;
}

static void add_port(struct making *m, const struct mesh_inbound *in)
{
    switch (in->protocol) {
    case PORT_HTTP:
    case PORT_HTTP2:
        add_http(m, in);
        break;
    case PORT_SNIFFED:
        add_sniffed(m, in);
        break;
    case PORT_TLS:
    case PORT_TCP:
    case PORT_OTHER:
        add_bytes(m, in);
        break;
    }
}

static json_t *listener_filters(const struct making *m)
{
    json_t *all = json_pack(
        "[o]",
        translate_http_filter("envoy.filters.listener.original_dst",
                              "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"));
    if (m->looks_for_tls)
        json_array_append_new(
            all, translate_http_filter(
                     "envoy.filters.listener.tls_inspector",
                     "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"));
    if (m->looks_for_http)
        json_array_append_new(
            all, translate_http_filter(
                     "envoy.filters.listener.http_inspector",
                     "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"));
    return all;
}

struct xds_entry *translate_mesh_inbound(const struct mesh_inbound *ports, size_t n,
                                         enum mtls_mode mode, unsigned families,
                                         const struct mesh_access *access, const char *trust_domain,
                                         const struct mesh_told *told)
{
    struct making m = {.chains = json_array(), .trust_domain = trust_domain, .access = access};
    json_t *loop = add_chain(&m, MESH_INBOUND_PORT, ANY, NULL, nowhere());
    json_object_set_new(loop, "name", json_string("virtualInbound-blackhole"));
    for (size_t i = 0; i < n; i++)
        add_port(&m, &ports[i]);
    if (mode != MTLS_DISABLE)
        json_object_set_new(add_mesh_chain(&m, 0, mode == MTLS_STRICT ? NULL : alpn_mesh(),
                                           bytes_to(&m, INBOUND_PASSTHROUGH), false),
                            "name", json_string("virtualInbound-mtls"));
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:s,s:o,s:o}", "name", "virtualInbound", "traffic_direction", "INBOUND",
                  "listener_filters", listener_filters(&m), "filter_chains", m.chains);
    translate_mesh_listen(j, MESH_INBOUND_PORT, families);
    if (mode != MTLS_STRICT)
        json_object_set_new(j, "default_filter_chain",
                            json_pack("{s:o}", "filters", bytes_to(&m, INBOUND_PASSTHROUGH)));
    /* A client that says nothing for that long is one of a server that speaks first. */
    if (m.looks_for_tls || m.looks_for_http) {
        json_object_set_new(j, "listener_filters_timeout", json_string("5s"));
        json_object_set_new(j, "continue_on_listener_filters_timeout", json_true());
    }
    translate_mesh_count_connections(j);
    translate_tell(j, told);
    return translate_json(XDS_LISTENER, "virtualInbound", j);
}
