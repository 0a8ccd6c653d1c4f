#pragma once
/* Options of HTTP's versions, of listeners and of clusters. */

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/core/v3/protocol.pb-c.h>

#include "codec/http2.h"
#include "codec/pb_path.h"
#include "net/http_stream.h"

/* A connection's configuration and what it points at. Zeroed: all defaults. */
struct http_protocol {
    struct http_conn_config conn; /* .http2 is for whoever uses it to set */
    struct http2_limits http2;
    uint8_t version; /* of a cluster: 1, 2; 0: ALPN says */
    bool as_client;  /* of a cluster: as the client speaks it, whatever version says */
    /* Of a cluster over TLS: as whom the endpoint is spoken to is the request's host; whose
     * certificate is expected, too. */
    bool auto_sni, auto_san;
    uint64_t stream_max_ms;     /* the longest life of a stream; 0: no limit */
    uint64_t connection_max_ms; /* of a connection: then it takes no more streams */
};

/* Each adds to what is there; m may be NULL. path stands at the message. */
int http_protocol_read_common(const Envoy__Config__Core__V3__HttpProtocolOptions *m,
                              struct pb_path *path, struct http_protocol *p, struct err *reterr)
    NODISCARD;
int http_protocol_read_http2(const Envoy__Config__Core__V3__Http2ProtocolOptions *m,
                             struct pb_path *path, struct http_protocol *p, struct err *reterr)
    NODISCARD;
/* path stands at the cluster. */
int http_protocol_read_cluster(const Envoy__Config__Cluster__V3__Cluster *m, struct pb_path *path,
                               struct http_protocol *p, struct err *reterr) NODISCARD;
