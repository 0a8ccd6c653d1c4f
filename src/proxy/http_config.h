#pragma once
/* What an HTTP connection manager does. */

#include <envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h>

#include "base/vec.h"
#include "proxy/access_log.h"
#include "proxy/client_cert.h"
#include "proxy/compile.h"
#include "proxy/filter_config.h"
#include "proxy/http_canonical.h"
#include "proxy/http_edits.h"
#include "proxy/local_reply.h"
#include "proxy/mesh_stats.h"
#include "proxy/protocol_config.h"
#include "proxy/route.h"
#include "proxy/route_slot.h"
#include "proxy/stats.h"
#include "proxy/trace_config.h"

struct http_config {
    char *stat_prefix;
    struct stats_set *stats;          /* of the prefix */
    struct stats_set *listener_stats; /* of the prefix at its listener */
    struct route_table *routes;       /* written in place; NULL: the slot's */
    struct route_slot *slot;          /* NULL: in place */
    struct route_seat *seat;          /* where requests look; NULL: routes or slot, for ever */
    struct access_logs logs;
    struct trace_config *trace;    /* NULL: none */
    struct local_replies *replies; /* NULL: answers of our own go as they are */
    struct http_filters *filters;  /* NULL: the router alone */
    struct mesh_watch mesh;
    bool inbound;    /* of a listener for what comes to the app beside us */
    bool websocket;  /* upgrades to it go through */
    uint8_t version; /* of HTTP: 1, 2; 0: the connection chooses */
    struct client_cert_config client_cert;
    struct http_canonical canonical;
    struct http_edits edits;
    struct http_protocol protocol;   /* of clients' connections */
    uint64_t stream_idle_timeout_ms; /* 0: none */
    uint64_t request_timeout_ms;     /* until a request is whole; 0: none */
    bool has_limits;                 /* request_timeout, or of whole streams */
    bool envoy_headers;              /* x-envoy-… tell of time-outs, times and rewrites */
};

/* c->path stands at the message. -EINVAL with the path of what is wrong. */
int http_config_compile(
    struct compile *c,
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct http_config **ret) NODISCARD;
void http_config_free(struct http_config *h); /* NULL is allowed */
