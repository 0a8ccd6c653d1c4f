/* What one request does: route, endpoint, a stream to it, and bytes both ways by reference.
 *
 * It lives in the arena of the client's stream and ends with it. Each side is held back while the
 * other has more than QUEUE_HIGH bytes queued, and goes on when they have gone. Once an answer has
 * begun, its end is never made up: what breaks then cuts the client's message too. */
#include <errno.h>

#include "base/assert.h"
#include "base/rand.h"
#include "base/time.h"
#include "proxy/forward.h"
#include "proxy/request_priv.h"
#include "proxy/route_rewrite.h"

enum {
    QUEUE_HIGH = 64 * 1024,
    STREAM_IDLE_MS = 300 * 1000,
};

static void request_done(struct request *r)
{
    if (!r->config)
        return;
    request_log(r);
    worker_timer_give(r->worker, TAKE(r->timer));
    upstream_cancel(&r->wait);
    if (r->up)
        http_stream_abort(TAKE(r->up));
    proxy_config_unref(TAKE(r->config));
}

/* ---- fields ---- */

/* From the route outwards, or the other way round where the most specific is to win. */
static void change_fields(struct request *r, struct http_head *h, bool answer)
{
    const struct route_table *t = r->http->routes;
    const struct header_ops *ops[4];
    size_t n = 0;
    if (r->cluster)
        ops[n++] = answer ? &r->cluster->answer_ops : &r->cluster->request_ops;
    ops[n++] = answer ? &r->route->answer_ops : &r->route->request_ops;
    ops[n++] = answer ? &r->host->answer_ops : &r->host->request_ops;
    ops[n++] = answer ? &t->answer_ops : &t->request_ops;
    for (size_t i = 0; i < n; i++) {
        const struct header_ops *o = ops[t->most_specific_wins ? n - 1 - i : i];
        if (!header_ops_is_empty(o))
            header_ops_apply(o, h, http_stream_arena(r->down), request_value, r);
    }
}

/* ---- answers of our own ---- */

static void answer(struct request *r, unsigned status, struct str body, struct str location)
{
    struct http_field fields[8];
    struct http_head head = {.fields = fields,
                             .cap = ARRAY_LEN(fields),
                             .status = (uint16_t)status,
                             .content_length = (int64_t)body.n};
    ASSERT(!r->answering && status >= 200);
    if (status == 204 || status == 304)
        body.n = 0;
    if (location.p)
        IGNORE_RESULT(http_head_add(&head, HTTP_NAME_LOCATION, location)); /* these fit */
    if (body.n)
        IGNORE_RESULT(http_head_add(&head, HTTP_NAME_CONTENT_TYPE, STR("text/plain")));
    if (r->route)
        change_fields(r, &head, true);
    request_keep_answer(r, &head);
    r->status = (uint16_t)status;
    r->sent_bytes += body.n;
    r->answering = r->answered = true;
    http_stream_resume(r->down);
    http_stream_send_head(r->down, &head, !body.n);
    if (body.n)
        http_stream_send_text(r->down, body, true);
}

static void reply(struct request *r, enum reason why)
{
    const struct reason_row *row = reason_row(why);
    r->reason = (uint8_t)why;
    answer(r, row->status, row->body, (struct str){NULL, 0});
}

/* ---- clocks ---- */

static void fail(struct request *r, enum reason why);

static void heard(struct request *r)
{
    r->idle_deadline_ms = loop_now_ms(worker_loop(r->worker)) + STREAM_IDLE_MS;
}

static void start_timer(struct request *r)
{
    uint64_t now = loop_now_ms(worker_loop(r->worker)), due = r->idle_deadline_ms;
    if (r->deadline_ms && r->deadline_ms < due)
        due = r->deadline_ms;
    loop_timer_start(r->timer, due > now ? due - now : 0);
}

static void on_timer(void *user)
{
    struct request *r = user;
    uint64_t now = loop_now_ms(worker_loop(r->worker));
    bool late = r->deadline_ms && now >= r->deadline_ms;
    if (!late && now < r->idle_deadline_ms) {
        start_timer(r);
        return;
    }
    upstream_cancel(&r->wait);
    if (r->up)
        http_stream_abort(TAKE(r->up));
    fail(r, late                               ? REASON_RESPONSE_TIMEOUT
            : http_stream_is_received(r->down) ? REASON_STREAM_IDLE
                                               : REASON_REQUEST_IDLE);
}

/* The answer's time runs from the end of the request: a slow upload does not eat it. */
static void request_is_whole(struct request *r)
{
    uint64_t timeout_ms = r->route->forward.timeout_ms;
    if (!timeout_ms || r->answered)
        return;
    r->deadline_ms = loop_now_ms(worker_loop(r->worker)) + timeout_ms;
    start_timer(r);
}

/* The endpoint's side has failed. */
static void fail(struct request *r, enum reason why)
{
    if (!r->answering) {
        reply(r, why);
    } else if (!r->answered) {
        r->reason = (uint8_t)why;
        http_stream_abort(r->down);
        request_done(r);
    }
}

/* ---- the endpoint's stream ---- */

static void on_up_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct request *r = user;
    (void)s;
    if (h->status < 200 && h->status != 101)
        return; /* the client has had its own 100 */
    heard(r);
    if (h->status == 101 && !r->upgrade) {
        http_stream_abort(TAKE(r->up)); /* nobody asked for it */
        fail(r, REASON_UPSTREAM_PROTOCOL);
        return;
    }
    if (h->status == 101) {
        r->deadline_ms = 0; /* what follows has no end of its own */
        start_timer(r);
    }
    forward_answer(h, h->status == 101);
    change_fields(r, h, true);
    request_keep_answer(r, h);
    r->status = h->status;
    r->answering = true;
    r->answered = end;
    http_stream_send_head(r->down, h, end);
}

static void on_up_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct request *r = user;
    heard(r);
    r->answered = end;
    r->sent_bytes += data->n;
    http_stream_send_data(r->down, data, end);
    if (http_stream_queued(r->down) > QUEUE_HIGH)
        http_stream_pause(s);
}

static void on_up_trailers(struct http_stream *s, struct http_head *trailers, void *user)
{
    struct request *r = user;
    (void)s;
    r->answered = true;
    http_stream_send_trailers(r->down, trailers);
}

static void on_up_drain(struct http_stream *s, void *user)
{
    struct request *r = user;
    (void)s;
    heard(r);
    http_stream_resume(r->down);
}

static void ask_again(struct request *r);

/* An idle connection that the endpoint was closing while the request went out: nobody has looked at
 * it (RFC 9112 section 9.3.1), and so it goes out once more, on a connection of its own. */
static bool may_ask_again(const struct request *r)
{
    static const char *const methods[] = {"GET", "HEAD", "OPTIONS", "DELETE", "PUT"};
    if (!r->reused || r->again || r->received_bytes || !http_stream_is_received(r->down))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++)
        if (str_is(http_stream_head(r->down)->method, methods[i]))
            return true;
    return false;
}

static void on_up_over(struct http_stream *s, enum http_end end, int code, const char *text,
                       void *user)
{
    static const enum reason reasons[] = {
        [HTTP_END_DONE] = REASON_VIA_UPSTREAM,
        [HTTP_END_CLOSED] = REASON_UPSTREAM_CLOSED,
        [HTTP_END_RESET] = REASON_UPSTREAM_RESET,
        [HTTP_END_REFUSED] = REASON_UPSTREAM_REFUSED,
        [HTTP_END_PROTOCOL] = REASON_UPSTREAM_PROTOCOL,
    };
    struct request *r = user;
    (void)s;
    (void)code;
    (void)text;
    bool nothing_came = !http_stream_head(s)->status;
    r->up = NULL;
    if (end == HTTP_END_CLOSED && nothing_came && may_ask_again(r))
        ask_again(r);
    else if (end != HTTP_END_DONE)
        fail(r, r->answering ? REASON_UPSTREAM_CUT : reasons[end]);
}

static const struct http_stream_ops up_ops = {
    .on_head = on_up_head,
    .on_data = on_up_data,
    .on_trailers = on_up_trailers,
    .on_drain = on_up_drain,
    .on_over = on_up_over,
};

/* ---- the client's stream ---- */

static void on_down_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct request *r = user;
    r->received_bytes += data->n;
    if (!r->up)
        return; /* answered by ourselves: nobody wants the rest */
    heard(r);
    http_stream_send_data(r->up, data, end);
    if (end)
        request_is_whole(r);
    if (http_stream_queued(r->up) > QUEUE_HIGH)
        http_stream_pause(s);
}

static void on_down_trailers(struct http_stream *s, struct http_head *trailers, void *user)
{
    struct request *r = user;
    (void)s;
    if (!r->up)
        return;
    http_stream_send_trailers(r->up, trailers);
    request_is_whole(r);
}

static void on_down_drain(struct http_stream *s, void *user)
{
    struct request *r = user;
    (void)s;
    heard(r); /* a slow reader is not idle */
    if (r->up)
        http_stream_resume(r->up);
}

static void on_client_end(struct http_stream *s, void *user)
{
    struct request *r = user;
    r->reason = REASON_CLIENT_GONE;
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
    request_done(r);
}

static const struct http_stream_ops down_ops = {
    .on_data = on_down_data,
    .on_trailers = on_down_trailers,
    .on_drain = on_down_drain,
    .on_client_end = on_client_end,
    .on_over = on_down_over,
};

/* ---- the way there ---- */

static void send_request(struct request *r)
{
    struct http_head *head = http_stream_head(r->down);
    http_stream_send_head(r->up, head, http_stream_is_received(r->down));
    http_stream_resume(r->down);
}

static void on_ready(struct http_stream *s, void *user)
{
    struct request *r = user;
    r->up = s;
    send_request(r);
}

static void on_failed(enum reason why, const char *text, void *user)
{
    (void)text;
    fail(user, why);
}

/* NULL: the client came in plain. */
static struct tls_session *client_tls(const struct request *r)
{
    return conn_tls(http_conn_conn(http_stream_conn(r->down)));
}

/* What goes out is what was matched and changed, once: path, host, fields. */
static void change_request(struct request *r, const struct route_query *q)
{
    struct http_head *head = http_stream_head(r->down);
    struct arena *a = http_stream_arena(r->down);
    struct str path = route_rewrite_path(r->route, q, a);
    struct str host = route_rewrite_host(r->route, r->cluster, q, a);
    struct str cert = {NULL, 0};
    if (r->http->client_cert.mode != CLIENT_CERT_SANITIZE)
        cert = client_cert_value(&r->http->client_cert, head, client_tls(r), a);
    forward_request(head, r->upgrade);
    if (cert.n)
        IGNORE_RESULT(http_head_add(head, HTTP_NAME_X_FORWARDED_CLIENT_CERT, cert));
    change_fields(r, head, false);
    if (path.p && path.p != head->path.p)
        head->path = head->target = path;
    if (host.p)
        forward_set_host(head, host);
}

static struct cluster *find_cluster(struct request *r)
{
    struct str name = r->cluster->name;
    if (!name.n && r->cluster->header.text.p)
        name = http_field_value(head_find(http_stream_head(r->down), r->cluster->header));
    return name.n ? proxy_config_cluster(r->config, name) : NULL;
}

static void forward(struct request *r, const struct route_query *q)
{
    r->cluster = route_choose_cluster(&r->route->forward, q->random);
    struct cluster *c = find_cluster(r);
    if (!c) {
        r->reason = REASON_CLUSTER_NOT_FOUND;
        answer(r, r->route->forward.cluster_not_found_status, STR(""), (struct str){NULL, 0});
        return;
    }
    struct upstream *u = worker_upstream(r->worker, c);
    if (!u) {
        reply(r, REASON_NO_HEALTHY_UPSTREAM);
        return;
    }
    if (upstream_is_full(u)) {
        reply(r, REASON_OVERFLOW);
        return;
    }
    change_request(r, q);
    r->timer = worker_timer_take(r->worker, on_timer, r);
    heard(r);
    if (http_stream_is_received(r->down))
        request_is_whole(r);
    else
        start_timer(r);
    r->upstream_host = str_from(upstream_endpoint(u)->text);
    r->wait.ops = &up_ops;
    r->wait.user = r;
    r->wait.on_ready = on_ready;
    r->wait.on_failed = on_failed;
    r->upstream = u;
    r->up = upstream_take(u, &r->wait, false);
    r->reused = r->up != NULL;
    if (r->up)
        send_request(r);
    else
        http_stream_pause(r->down); /* the body waits, too */
}

static void ask_again(struct request *r)
{
    r->again = true;
    r->up = upstream_take(r->upstream, &r->wait, true);
}

static void redirect(struct request *r, const struct route_query *q)
{
    struct str location = route_redirect_location(
        r->route, q, client_tls(r) ? STR("https") : STR("http"), http_stream_arena(r->down));
    r->reason = REASON_DIRECT_RESPONSE;
    answer(r, location.p ? r->route->redirect.status : 500, STR(""), location);
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
        reply(r, REASON_UPGRADE_FAILED);
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

static void follow_route(struct request *r)
{
    struct http_head *head = http_stream_head(r->down);
    struct route_query q;
    if (!look_at_upgrade(r, head))
        return;
    route_query_init(&q, head, rand_u64());
    if (!host_is_valid(q.host)) {
        reply(r, REASON_BAD_HOST);
        return;
    }
    r->host = route_table_host(r->http->routes, q.host);
    r->route = r->host ? route_host_find(r->host, &q) : NULL;
    if (!r->route) {
        reply(r, REASON_ROUTE_NOT_FOUND);
        return;
    }
    switch ((enum route_kind)r->route->kind) {
    case ROUTE_FORWARD:
        forward(r, &q);
        break;
    case ROUTE_REDIRECT:
        redirect(r, &q);
        break;
    case ROUTE_DIRECT:
        r->reason = REASON_DIRECT_RESPONSE;
        answer(r, r->route->direct.status, r->route->direct.body, (struct str){NULL, 0});
        break;
    }
}

void request_begin(struct worker *w, const struct http_config *http, struct http_stream *s)
{
    struct http_head *head = http_stream_head(s);
    struct request *r = arena_alloc(http_stream_arena(s), sizeof(*r));
    ASSERT(r); /* of a head that has just been read: there is room */
    r->worker = w;
    r->down = s;
    r->http = http;
    r->config = proxy_config_ref(worker_config(w));
    r->begin_us = time_mono_us();
    r->begin_real_us = http->logs.n ? time_real_us() : 0;
    http_stream_set_ops(s, &down_ops, r);
    if (head->expect_continue && !http_stream_is_received(s)) {
        struct http_head go_on = {.status = 100};
        http_stream_send_head(s, &go_on, false);
    }
    follow_route(r);
}

void request_log_bad(struct worker *w, const struct http_config *http, unsigned status)
{
    struct request r = {.worker = w, .http = http, .status = (uint16_t)status};
    r.reason = REASON_REQUEST_BROKEN;
    r.begin_us = time_mono_us();
    r.begin_real_us = time_real_us();
    request_log(&r);
}
