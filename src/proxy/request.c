/* A request at the client's side: its route, what is done about it, what the client sends.
 *
 * It lives in the arena of the client's stream and ends with it. */
#include "base/assert.h"
#include "base/rand.h"
#include "base/time.h"
#include "proxy/filter_start.h"
#include "proxy/forward.h"
#include "proxy/request_stats.h"
#include "proxy/route_rewrite.h"
#include "proxy/router.h"
#include "proxy/trace.h"

/* ---- the client's stream ---- */

static void on_down_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct request *r = user;
    r->received_bytes += data->n;
    (void)s;
    if (r->filters && filter_start_data(r, data, end))
        return;
    if (r->body_max && r->received_bytes > r->body_max)
        router_refuse_body(r);
    else
        router_data(r, data, end);
}

static void on_down_trailers(struct http_stream *s, struct http_head *trailers, void *user)
{
    struct request *r = user;
    struct chain none = {0};
    (void)s;
    if (!r->filters || !filter_start_data(r, &none, true))
        router_trailers(r, trailers);
}

static void on_down_drain(struct http_stream *s, void *user)
{
    struct request *r = user;
    (void)s;
    router_drained(r);
}

static void on_client_end(struct http_stream *s, void *user)
{
    struct request *r = user;
    r->reason = REASON_CLIENT_GONE;
    r->details = (struct str){NULL, 0};
    request_done(user);
    http_stream_abort(s);
}

static void on_down_over(struct http_stream *s, enum http_end end, int code, const char *text,
                         void *user)
{
    struct request *r = user;
    (void)s;
    (void)code;
    (void)text;
    if (end == HTTP_END_PROTOCOL)
        r->reason = REASON_REQUEST_BROKEN;
    else if (end != HTTP_END_DONE)
        r->reason = REASON_CLIENT_GONE;
    if (end != HTTP_END_DONE)
        r->details = (struct str){NULL, 0};
    request_done(r);
}

static const struct http_stream_ops down_ops = {
    .on_data = on_down_data,
    .on_trailers = on_down_trailers,
    .on_drain = on_down_drain,
    .on_client_end = on_client_end,
    .on_over = on_down_over,
};

/* NULL: the client came in plain. */
static struct tls_session *client_tls(const struct request *r)
{
    return conn_tls(http_conn_conn(http_stream_conn(r->down)));
}

static void redirect(struct request *r, const struct route_query *q)
{
    struct str location = route_redirect_location(
        r->route, q, client_tls(r) ? STR("https") : STR("http"), http_stream_arena(r->down));
    r->reason = REASON_DIRECT_RESPONSE;
    request_answer(r, location.p ? r->route->redirect.status : 500, STR(""), location);
}

/* False: answered. */
static bool look_at_upgrade(struct request *r, struct http_head *head)
{
    struct str to = http_field_value(http_head_find(head, HTTP_NAME_UPGRADE));
    if (!to.p || !head->upgrade || http_has_token(to, "h2c"))
        return true; /* a hint that need not be followed */
    r->upgrade = r->http->websocket && str_eq_nocase(to, STR("websocket")) &&
                 http_stream_is_received(r->down);
    if (!r->upgrade)
        request_reply(r, REASON_UPGRADE_FAILED);
    return r->upgrade;
}

/* An authority of RFC 3986 section 3.2 without user information: what could be read as another host
 * by somebody behind us is refused (row 16 of the hostile inputs). */
static bool host_is_valid(struct str host)
{
    static const bool good[256] = {
        ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true,
        ['.'] = true,         ['_'] = true,         ['~'] = true,         ['!'] = true,
        ['$'] = true,         ['&'] = true,         ['\''] = true,        ['('] = true,
        [')'] = true,         ['*'] = true,         ['+'] = true,         [','] = true,
        [';'] = true,         ['='] = true,         [':'] = true,         ['['] = true,
        [']'] = true,         ['%'] = true,
    };
    for (size_t i = 0; i < host.n; i++)
        if (!good[(uint8_t)host.p[i]])
            return false;
    return true;
}

static void follow_route(struct request *r, const struct route_query *q)
{
    if (!r->route) {
        request_reply(r, REASON_ROUTE_NOT_FOUND);
        return;
    }
    switch ((enum route_kind)r->route->kind) {
    case ROUTE_FORWARD:
        router_begin(r, q);
        break;
    case ROUTE_REDIRECT:
        redirect(r, q);
        break;
    case ROUTE_DIRECT:
        r->reason = REASON_DIRECT_RESPONSE;
        request_answer(r, r->route->direct.status, r->route->direct.body, (struct str){NULL, 0});
        break;
    }
}

/* Filters have let it go on, and may have changed its head. */
static void on_filtered(struct request *r)
{
    struct route_query q;
    route_query_init(&q, http_stream_head(r->down), r->random);
    follow_route(r, &q);
}

static bool is_https(const struct http_head *head)
{
    return str_is(http_field_value(http_head_find(head, HTTP_NAME_X_FORWARDED_PROTO)), "https");
}

static void redirect_to_tls(struct request *r, const struct route_query *q)
{
    struct str scheme = STR("https://"), path = q->head->path;
    size_t n = scheme.n + q->host.n + path.n;
    char *p = arena_alloc_raw(http_stream_arena(r->down), n);
    if (p) {
        memcpy(p, scheme.p, scheme.n);
        memcpy(p + scheme.n, q->host.p, q->host.n);
        memcpy(p + scheme.n + q->host.n, path.p, path.n);
    }
    r->reason = REASON_DIRECT_RESPONSE;
    request_answer(r, p ? 301 : 500, STR(""), str_of(p, p ? n : 0));
}

/* False: answered. */
static bool make_canonical(struct request *r, struct http_head *head)
{
    struct str location = {NULL, 0};
    enum reason why =
        http_canonical_apply(&r->http->canonical, head, http_conn_conn(http_stream_conn(r->down)),
                             http_stream_arena(r->down), &location);
    if (why == REASON_VIA_UPSTREAM)
        return true;
    r->reason = (uint8_t)why;
    if (location.p)
        request_answer(r, 307, STR(""), location);
    else
        request_reply(r, why);
    return false;
}

static void find_route(struct request *r)
{
    struct http_head *head = http_stream_head(r->down);
    struct route_query q;
    if (r->http->canonical.on && !make_canonical(r, head))
        return;
    if (!look_at_upgrade(r, head))
        return;
    route_query_init(&q, head, rand_u64());
    if (!host_is_valid(q.host)) {
        request_reply(r, REASON_BAD_HOST);
        return;
    }
    r->host = r->routes ? route_table_host(r->routes, q.host) : NULL;
    if (r->host && r->host->require_tls && !is_https(head)) {
        redirect_to_tls(r, &q);
        return;
    }
    r->route = r->host ? route_host_find(r->host, &q) : NULL;
    if (!r->http->filters) {
        follow_route(r, &q);
        return;
    }
    if (r->route && r->route->kind == ROUTE_FORWARD)
        r->cluster = router_choose_cluster(r, &q);
    r->random = q.random;
    r->detour = router_detour;
    filter_start(r, on_filtered);
}

void request_begin(struct worker *w, const struct http_config *http, struct http_stream *s,
                   const struct mesh_client *client)
{
    struct http_head *head = http_stream_head(s);
    struct request *r = arena_alloc(http_stream_arena(s), sizeof(*r));
    ASSERT(r); /* of a head that has just been read: there is room */
    r->worker = w;
    r->client = client;
    r->down = s;
    r->config = worker_config(w);
    if (http->seat) /* what has changed since the connection came counts for it, too */
        http = proxy_config_http(r->config->config, http);
    r->http = http;
    r->routes = proxy_config_routes(r->config->config, http);
    r->begin_us = time_mono_us();
    r->begin_real_us = http->logs.n ? time_real_us() : 0;
    request_count_begin(r);
    forward_drop_named(head);
    if (http->trace)
        r->trace = trace_begin(r);
    http_stream_set_ops(s, &down_ops, r);
    if (head->expect_continue && !http_stream_is_received(s)) {
        struct http_head go_on = {.status = 100};
        http_stream_send_head(s, &go_on, false);
    }
    http_edit_request(&http->edits, head, http_conn_conn(http_stream_conn(s)),
                      http_stream_arena(s));
    find_route(r);
}

void request_log_bad(struct worker *w, const struct http_config *http, unsigned status)
{
    struct request r = {.worker = w, .http = http, .status = (uint16_t)status};
    r.reason = REASON_REQUEST_BROKEN;
    r.begin_us = time_mono_us();
    r.begin_real_us = time_real_us();
    request_log(&r);
}
