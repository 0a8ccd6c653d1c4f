/* Services to clusters and their endpoints. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/vec.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"
#include "model/istio_object.h"
#include "model/locality.h"
#include "model/service_key.h"

#define TLS_TYPE     XDS_TYPE_PREFIX "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
#define OPTIONS_NAME "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

enum {
    CONNECT_TIMEOUT_S = 5, /* to a server that is asked who may */
    TYPE_STRICT_DNS = 1,   /* Cluster.DiscoveryType */
    TYPE_EDS = 3,
    API_V3 = 2,           /* core.v3.ApiVersion */
    LB_LEAST_REQUEST = 1, /* Cluster.LbPolicy */
    LB_RING_HASH = 2,
    NAME_DNS = 2, /* SubjectAltNameMatcher.SanType */
};

static void add_any(struct buf *b, unsigned number, const char *type_url, struct str message)
{
    size_t any = pb_begin(b, number);
    pb_add_text(b, F_ANY_TYPE_URL, type_url);
    pb_add_bytes(b, F_ANY_VALUE, message);
    pb_end(b, any);
}

/* ---- TLS ---- */

static void add_sds(struct buf *b, unsigned number, const char *secret,
                    enum translate_secret_part part)
{
    char name[CLUSTER_NAME_MAX];
    size_t at = pb_begin(b, number);
    pb_add_text(b, F_SDS_NAME, translate_secret_name(secret, part, name));
    translate_ads(b, F_SDS_CONFIG);
    pb_end(b, at);
}

static void add_verification(struct buf *b, const struct route_backend_tls *t, const char *name)
{
    size_t combined = pb_begin(b, F_COMMON_TLS_COMBINED), at = pb_begin(b, F_COMBINED_DEFAULT),
           match, matcher, depth;
    match = pb_begin(b, F_VALIDATION_NAMES);
    pb_add_uint(b, F_NAME_KIND, NAME_DNS);
    matcher = pb_begin(b, F_NAME_MATCHER);
    pb_add_text(b, F_STRING_EXACT, name);
    pb_end(b, matcher);
    pb_end(b, match);
    depth = pb_begin(b, F_VALIDATION_DEPTH);
    pb_add_uint(b, F_UINT32_VALUE, t->depth);
    pb_end(b, depth);
    pb_end(b, at);
    add_sds(b, F_COMBINED_SDS, t->secret, TRANSLATE_TRUSTED);
    pb_end(b, combined);
}

static void add_parameters(struct buf *b, const struct route_backend_tls *t)
{
    size_t at = pb_begin(b, F_COMMON_TLS_PARAMS);
    struct str rest = str_from(t->ciphers ? t->ciphers : "");
    if (t->tls_min) { /* TlsParameters.TlsProtocol */
        pb_add_uint(b, F_TLS_PARAMS_MIN, t->tls_min == 12 ? 3 : 4);
        pb_add_uint(b, F_TLS_PARAMS_MAX, t->tls_max == 12 ? 3 : 4);
    }
    while (t->ciphers && rest.p)
        pb_add_bytes(b, F_TLS_PARAMS_CIPHERS, str_cut(rest, ':', &rest));
    pb_end(b, at);
}

/* What stands in its CommonTlsContext. */
static void add_with(struct buf *b, const struct route_backend_tls *t, const char *name,
                     const struct auth_objects *objects)
{
    const struct auth_secret *s =
        t->secret ? auth_objects_backend(objects, t->secret, t->verify) : NULL;
    if (t->tls_min || t->ciphers)
        add_parameters(b, t);
    /* One that is not there is asked for, too: nothing is sent until it comes. */
    if (t->secret && (!s || *s->cert))
        add_sds(b, F_COMMON_TLS_CERTIFICATE_SDS, t->secret, TRANSLATE_SHOWN);
    if (t->verify)
        add_verification(b, t, name);
}

/* How endpoints are spoken to over TLS. */
struct way {
    bool http2;
    const char *sni;                      /* NULL: none */
    const struct route_backend_tls *with; /* NULL: not verified, nothing is shown */
    const char *name;                     /* whose certificate is expected */
    const struct auth_objects *objects;
};

static void add_tls(struct buf *b, const struct way *w)
{
    AUTO_DONE(buf) struct buf context = {0};
    size_t common = pb_begin(&context, F_UPSTREAM_TLS_COMMON);
    if (w->http2)
        pb_add_text(&context, F_COMMON_TLS_ALPN, "h2");
    if (w->with)
        add_with(&context, w->with, w->name, w->objects);
    pb_end(&context, common);
    if (w->sni)
        pb_add_text(&context, F_UPSTREAM_TLS_SNI, w->sni);
    size_t socket = pb_begin(b, F_CLUSTER_TRANSPORT_SOCKET);
    pb_add_text(b, F_TRANSPORT_SOCKET_NAME, "envoy.transport_sockets.tls");
    add_any(b, F_TRANSPORT_SOCKET_TYPED_CONFIG, TLS_TYPE, buf_str(&context));
    pb_end(b, socket);
}

static void add_service_tls(struct buf *b, const char *service, const struct route_upstream *up,
                            const struct auth_objects *objects)
{
    struct str name, ns = str_cut(str_from(service), '/', &name);
    AUTO_CHARS char *of_service = xasprintf(STR_FMT "." STR_FMT ".svc", STR_ARG(name), STR_ARG(ns));
    const struct route_backend_tls *t = up->with;
    struct way w = {.http2 = up->protocol == ROUTE_HTTP2, .with = t, .objects = objects};
    w.name = t && t->name ? t->name : of_service;
    w.sni = t && t->server_name ? w.name : NULL;
    add_tls(b, &w);
}

static void add_http2(struct buf *b)
{
    AUTO_DONE(buf) struct buf options = {0};
    size_t explicit = pb_begin(&options, F_OPTIONS_EXPLICIT);
    pb_add_bytes(&options, F_EXPLICIT_HTTP2, STR(""));
    pb_end(&options, explicit);
    size_t entry = pb_begin(b, F_CLUSTER_TYPED_EXTENSION_PROTOCOL_OPTIONS);
    pb_add_text(b, F_MAP_KEY, OPTIONS_NAME);
    add_any(b, F_MAP_VALUE, XDS_TYPE_PREFIX OPTIONS_NAME, buf_str(&options));
    pb_end(b, entry);
}

bool translate_is_for_mesh(const struct route_upstream *up)
{
    return !up || (!up->tls && !up->to_service);
}

struct xds_entry *translate_cluster(const char *service, uint16_t port,
                                    const struct route_upstream *up,
                                    const struct auth_objects *objects,
                                    const struct mesh_identities *who)
{
    bool http2 = up && up->protocol == ROUTE_HTTP2;
    const struct service_port as = {
        .name = (char *)(uintptr_t)(http2 ? "http2" : "http"), .proto = IPPROTO_TCP, .port = port};
    AUTO_DONE(buf) struct buf b = {0};
    char name[CLUSTER_NAME_MAX], endpoints[CLUSTER_NAME_MAX];
    size_t at;
    translate_cluster_name(service, port, up, name);
    translate_endpoints_name(service, port, up && up->to_service, endpoints);
    pb_add_text(&b, F_CLUSTER_NAME, name);
    pb_add_uint(&b, F_CLUSTER_TYPE, TYPE_EDS);
    at = pb_begin(&b, F_CLUSTER_EDS_CLUSTER_CONFIG);
    translate_ads(&b, F_EDS_EDS_CONFIG);
    pb_add_text(&b, F_EDS_SERVICE_NAME, endpoints);
    pb_end(&b, at);
    at = pb_begin(&b, F_CLUSTER_CONNECT_TIMEOUT);
    pb_add_uint(&b, F_DURATION_SECONDS, translate_connect_timeout_s(up));
    pb_end(&b, at);
    if (up && up->balance != ROUTE_BALANCE_TURN)
        pb_add_uint(&b, F_CLUSTER_LB_POLICY,
                    up->balance == ROUTE_BALANCE_LOAD ? LB_LEAST_REQUEST : LB_RING_HASH);
    if (up && up->tls)
        add_service_tls(&b, service, up, objects);
    if (who && translate_is_for_mesh(up))
        translate_mesh_sockets(&b, service, NULL, &as, who, 0);
    if (http2)
        add_http2(&b);
    ASSERT(!b.failed);
    return xds_entry_new(XDS_CLUSTER, str_from(name), buf_str(&b), str_from(endpoints));
}

/* ---- hosts outside ---- */

struct xds_entry *translate_host_cluster(const char *host, uint16_t port, bool tls)
{
    AUTO_DONE(buf) struct buf b = {0};
    char name[CLUSTER_NAME_MAX];
    size_t at, locality;
    translate_host_cluster_name(host, port, tls, name);
    pb_add_text(&b, F_CLUSTER_NAME, name);
    pb_add_uint(&b, F_CLUSTER_TYPE, TYPE_STRICT_DNS);
    at = pb_begin(&b, F_CLUSTER_CONNECT_TIMEOUT);
    pb_add_uint(&b, F_DURATION_SECONDS, CONNECT_TIMEOUT_S);
    pb_end(&b, at);
    at = pb_begin(&b, F_CLUSTER_LOAD_ASSIGNMENT);
    pb_add_text(&b, F_ASSIGNMENT_CLUSTER_NAME, name);
    locality = pb_begin(&b, F_ASSIGNMENT_ENDPOINTS);
    translate_add_endpoint(&b, host, port, NULL);
    pb_end(&b, locality);
    pb_end(&b, at);
    if (tls)
        add_tls(&b, &(struct way){.sni = host});
    ASSERT(!b.failed);
    return xds_entry_new(XDS_CLUSTER, str_from(name), buf_str(&b), STR(""));
}
