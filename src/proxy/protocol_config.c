/* HTTP's options: from messages to limits of connections. */
#include "proxy/protocol_config.h"
#include "proxy/duration.h"

#include <envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h>
#include <errno.h>

#include "base/mem.h"
#include "codec/http_head.h"
#include "codec/pb_msg.h"

typedef Envoy__Extensions__Upstreams__Http__V3__HttpProtocolOptions pb_options;
typedef Envoy__Config__Cluster__V3__Cluster pb_cluster;

static const char options_name[] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

int http_protocol_read_common(const Envoy__Config__Core__V3__HttpProtocolOptions *m,
                              struct pb_path *path, struct http_protocol *p, struct err *reterr)
{
    if (!m)
        return 0;
    p->conn.idle_timeout_ms = duration_ms(m->idle_timeout, p->conn.idle_timeout_ms);
    p->stream_max_ms = duration_ms(m->max_stream_duration, p->stream_max_ms);
    p->connection_max_ms = duration_ms(m->max_connection_duration, p->connection_max_ms);
    if (m->max_headers_count) {
        if (!m->max_headers_count->value || m->max_headers_count->value > HTTP_FIELDS_MAX)
            return pb_path_fail(path, reterr, -EINVAL, "max_headers_count: 1 to %d",
                                HTTP_FIELDS_MAX);
        p->conn.fields_max = p->http2.fields_max = m->max_headers_count->value;
    }
    if (m->max_response_headers_kb) {
        if (!m->max_response_headers_kb->value || m->max_response_headers_kb->value > 8192)
            return pb_path_fail(path, reterr, -EINVAL, "max_response_headers_kb: 1 to 8192");
        p->conn.head_bytes_max = (size_t)m->max_response_headers_kb->value * 1024;
        p->http2.head_bytes_max = m->max_response_headers_kb->value * 1024;
    }
    if (m->max_requests_per_connection)
        p->conn.requests_max = m->max_requests_per_connection->value;
    return 0;
}

static int read_pings(const Envoy__Config__Core__V3__KeepaliveSettings *m, struct pb_path *path,
                      struct http_protocol *p, struct err *reterr)
{
    enum { JITTER_PERCENT = 15 };
    p->conn.ping_interval_ms = duration_ms(m->interval, 0);
    p->conn.ping_timeout_ms = duration_ms(m->timeout, 0);
    p->conn.ping_jitter_percent = JITTER_PERCENT;
    if (m->interval_jitter)
        p->conn.ping_jitter_percent =
            m->interval_jitter->value > 0 ? (uint32_t)MIN(m->interval_jitter->value, 100.0) : 0;
    if (!p->conn.ping_timeout_ms)
        return pb_path_fail(path, reterr, -EINVAL,
                            "connection_keepalive.timeout must be at least 1 ms");
    return 0;
}

int http_protocol_read_http2(const Envoy__Config__Core__V3__Http2ProtocolOptions *m,
                             struct pb_path *path, struct http_protocol *p, struct err *reterr)
{
    if (!m)
        return 0;
    const struct {
        const Google__Protobuf__UInt32Value *from;
        uint32_t *to;
    } values[] = {
        {m->max_concurrent_streams, &p->http2.streams_max},
        {m->initial_stream_window_size, &p->http2.stream_window},
        {m->initial_connection_window_size, &p->http2.connection_window},
        {m->max_outbound_control_frames, &p->http2.frames_queued_max},
        {m->max_consecutive_inbound_frames_with_empty_payload, &p->http2.empty_data_max},
        {m->max_inbound_priority_frames_per_stream, &p->http2.priorities_max},
        {m->max_inbound_window_update_frames_per_data_frame_sent, &p->http2.window_updates_max},
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (values[i].from)
            *values[i].to = values[i].from->value;
    return m->connection_keepalive ? read_pings(m->connection_keepalive, path, p, reterr) : 0;
}

static int read_options(const pb_options *m, struct pb_path *path, struct http_protocol *p,
                        struct err *reterr)
{
    size_t mark = pb_path_field(path, "common_http_protocol_options");
    int r = http_protocol_read_common(m->common_http_protocol_options, path, p, reterr);
    if (r < 0)
        return r;
    pb_path_back(path, mark);
    if (m->upstream_http_protocol_options) {
        p->auto_sni = m->upstream_http_protocol_options->auto_sni;
        p->auto_san = m->upstream_http_protocol_options->auto_san_validation;
    }
    switch ((unsigned)m->upstream_protocol_options_case) {
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG:
        if (m->explicit_http_config->protocol_config_case !=
            ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS)
            return 0; /* HTTP/1; the members are a union */
        p->version = 2;
        pb_path_field(path, "explicit_http_config.http2_protocol_options");
        return http_protocol_read_http2(m->explicit_http_config->http2_protocol_options, path, p,
                                        reterr);
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS__NOT_SET:
        return 0;
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG:
        p->as_client = true;
        pb_path_field(path, "use_downstream_protocol_config.http2_protocol_options");
        return http_protocol_read_http2(m->use_downstream_protocol_config->http2_protocol_options,
                                        path, p, reterr);
    case ENVOY__EXTENSIONS__UPSTREAMS__HTTP__V3__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_AUTO_CONFIG:
        p->version = 0;
        pb_path_field(path, "auto_config.http2_protocol_options");
        return http_protocol_read_http2(m->auto_config->http2_protocol_options, path, p, reterr);
    default:
        return pb_path_fail(path, reterr, -EINVAL, "upstream_protocol_options: is none");
    }
}

int http_protocol_read_cluster(const pb_cluster *m, struct pb_path *path, struct http_protocol *p,
                               struct err *reterr)
{
    p->version = m->http2_protocol_options ? 2 : 1;
    size_t mark = pb_path_field(path, "http2_protocol_options");
    int r = http_protocol_read_http2(m->http2_protocol_options, path, p, reterr);
    if (r < 0)
        return r;
    pb_path_back(path, mark);
    if (m->max_requests_per_connection)
        p->conn.requests_max = m->max_requests_per_connection->value;
    pb_path_field(path, "common_http_protocol_options");
    r = http_protocol_read_common(m->common_http_protocol_options, path, p, reterr);
    pb_path_back(path, mark);
    for (size_t i = 0; i < m->n_typed_extension_protocol_options && r == 0; i++) {
        AUTO(arena) struct arena *a = arena_new(0);
        const Google__Protobuf__Any *any = m->typed_extension_protocol_options[i]->value;
        ProtobufCMessage *options;
        pb_path_field(path, "typed_extension_protocol_options");
        pb_path_key(path, str_from(m->typed_extension_protocol_options[i]->key));
        if (!any || !str_is(pb_type_name(str_from(any->type_url)), options_name))
            return pb_path_fail(path, reterr, -EINVAL, "only %s is implemented", options_name);
        r = pb_unpack(&envoy__extensions__upstreams__http__v3__http_protocol_options__descriptor,
                      str_of(any->value.data, any->value.len), a, &options, reterr);
        if (r == 0)
            r = read_options((const pb_options *)(const void *)options, path, p, reterr);
        if (r == 0)
            pb_path_back(path, mark);
    }
    return r;
}
