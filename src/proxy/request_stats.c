/* A request's statistics of its connection manager and listener. */
#include "proxy/request_stats.h"

void request_count_begin(struct request *r)
{
    struct stats_cell *s = stats_of(r->http->stats, worker_index(r->worker));
    r->stats = s;
    r->begin_ms = loop_now_ms(worker_loop(r->worker));
    stats_inc(s, HTTP_STAT_RQ_TOTAL);
    stats_inc(s, HTTP_STAT_RQ_ACTIVE);
    stats_inc(s, http_conn_version(http_stream_conn(r->down)) == 2 ? HTTP_STAT_RQ_HTTP2
                                                                   : HTTP_STAT_RQ_HTTP1);
}

/* What has a counter of its own. */
static void count_reason(const struct request *r)
{
    static const uint16_t counters[_REASON_MAX] = {
        [REASON_ROUTE_NOT_FOUND] = HTTP_STAT_NO_ROUTE,
        [REASON_CLUSTER_NOT_FOUND] = HTTP_STAT_NO_CLUSTER,
        [REASON_STREAM_IDLE] = HTTP_STAT_RQ_IDLE_TIMEOUT,
        [REASON_REQUEST_IDLE] = HTTP_STAT_RQ_IDLE_TIMEOUT,
        [REASON_BODY_TOO_LARGE] = HTTP_STAT_RQ_TOO_LARGE,
        [REASON_CLIENT_GONE] = HTTP_STAT_RQ_RX_RESET,
        [REASON_REQUEST_BROKEN] = HTTP_STAT_CX_PROTOCOL_ERROR,
        [REASON_UPSTREAM_CUT] = HTTP_STAT_RQ_CUT,
    };
    unsigned at = counters[r->reason];
    if (r->reason == REASON_DIRECT_RESPONSE)
        at = !r->route || r->route->kind == ROUTE_REDIRECT ? HTTP_STAT_RQ_REDIRECT
                                                           : HTTP_STAT_RQ_DIRECT;
    if (at)
        stats_inc(r->stats, at);
}

void request_count_end(struct request *r)
{
    struct stats_cell *s = r->stats;
    stats_dec(s, HTTP_STAT_RQ_ACTIVE);
    stats_record_ms(s, HTTP_STAT_RQ_TIME, loop_now_ms(worker_loop(r->worker)) - r->begin_ms);
    if (r->reason != REASON_VIA_UPSTREAM)
        count_reason(r);
    if (r->answering && !r->answered && r->reason != REASON_CLIENT_GONE)
        stats_inc(s, HTTP_STAT_RQ_TX_RESET);
    if (r->upgrade && r->status == 101)
        stats_dec(s, HTTP_STAT_CX_UPGRADES_ACTIVE);
    if (r->http->mesh.reporter != MESH_NOBODY)
        mesh_stats_request(r);
    if (!r->status)
        return;
    stats_count_class(s, HTTP_STAT_RQ_COMPLETED, r->status);
    if (r->http->listener_stats) /* of a table that no listener has: tests */
        stats_count_class(stats_of(r->http->listener_stats, worker_index(r->worker)),
                          LISTENER_HTTP_STAT_RQ_COMPLETED, r->status);
}
