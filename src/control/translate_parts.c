/* What resources of all kinds are put together from. */
#include "control/translate_priv.h"
#include "control/xds_fields.h"

#define PROXY_TYPE                                                                                 \
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport"
#define RAW_TYPE "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"

enum {
    API_V3 = 2, /* core.v3.ApiVersion */
    API_TYPE_GRPC = 2,
};

void translate_duration(struct buf *b, unsigned number, uint64_t ms)
{
    size_t at = pb_begin(b, number);
    if (ms / 1000)
        pb_add_uint(b, F_DURATION_SECONDS, ms / 1000);
    if (ms % 1000)
        pb_add_uint(b, F_DURATION_NANOS, ms % 1000 * 1000000);
    pb_end(b, at);
}

void translate_any(struct buf *b, unsigned number, const char *type, struct str message)
{
    AUTO_CHARS char *url = xasprintf(XDS_TYPE_PREFIX "%s", type);
    size_t any = pb_begin(b, number);
    pb_add_text(b, F_ANY_TYPE_URL, url);
    pb_add_bytes(b, F_ANY_VALUE, message);
    pb_end(b, any);
}

void translate_socket(struct buf *b, unsigned number, unsigned proxy, const char *name,
                      const char *type, struct str config)
{
    if (proxy) {
        AUTO_DONE(buf) struct buf whole = {0};
        size_t part = pb_begin(&whole, F_PROXY_TRANSPORT_CONFIG);
        if (proxy == 2)
            pb_add_uint(&whole, F_PROXY_CONFIG_VERSION, 1); /* V2 */
        pb_end(&whole, part);
        translate_socket(&whole, F_PROXY_TRANSPORT_SOCKET, 0, name, type, config);
        translate_socket(b, number, 0, "envoy.transport_sockets.upstream_proxy_protocol",
                         PROXY_TYPE, buf_str(&whole));
        return;
    }
    size_t socket = pb_begin(b, number);
    pb_add_text(b, F_TRANSPORT_SOCKET_NAME, name);
    translate_any(b, F_TRANSPORT_SOCKET_TYPED_CONFIG, type, config);
    pb_end(b, socket);
}

void translate_raw_socket(struct buf *b, unsigned number, unsigned proxy)
{
    translate_socket(b, number, proxy, "envoy.transport_sockets.raw_buffer", RAW_TYPE, STR(""));
}

void translate_ads(struct buf *b, unsigned number)
{
    size_t source = pb_begin(b, number);
    pb_add_bytes(b, F_CONFIG_SOURCE_ADS, STR(""));
    pb_add_uint(b, F_CONFIG_SOURCE_RESOURCE_API_VERSION, API_V3);
    pb_end(b, source);
}

void translate_sds(struct buf *b, unsigned number, const char *secret, bool by_proxy,
                   unsigned wait_s)
{
    size_t at = pb_begin(b, number), source, api, service, envoy;
    pb_add_text(b, F_SDS_NAME, secret);
    if (!by_proxy) {
        translate_ads(b, F_SDS_CONFIG);
        pb_end(b, at);
        return;
    }
    source = pb_begin(b, F_SDS_CONFIG);
    api = pb_begin(b, F_CONFIG_SOURCE_API);
    pb_add_uint(b, F_API_SOURCE_TYPE, API_TYPE_GRPC);
    service = pb_begin(b, F_API_SOURCE_GRPC_SERVICES);
    envoy = pb_begin(b, F_GRPC_ENVOY);
    pb_add_text(b, F_ENVOY_GRPC_CLUSTER, TRANSLATE_AGENT);
    pb_end(b, envoy);
    pb_end(b, service);
    pb_add_uint(b, F_API_SOURCE_TRANSPORT_VERSION, API_V3);
    pb_end(b, api);
    if (wait_s)
        translate_duration(b, F_CONFIG_SOURCE_INITIAL_FETCH_TIMEOUT, wait_s * 1000ull);
    pb_add_uint(b, F_CONFIG_SOURCE_RESOURCE_API_VERSION, API_V3);
    pb_end(b, source);
    pb_end(b, at);
}
