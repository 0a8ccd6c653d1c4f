/* A request and the endpoint that answers it: chosen, asked, and asked again where the route's
 * policy says so; bytes both ways by reference.
 *
 * Each side is held back while the other has more than QUEUE_HIGH bytes queued, and goes on when
 * they have gone. Once an answer has begun, its end is never made up: what breaks then cuts the
 * client's message too. */
#include "proxy/router.h"

#include <errno.h>

#include "base/rand.h"
#include "proxy/filter_run.h"
#include "proxy/forward.h"
#include "proxy/route_rewrite.h"
#include "proxy/trace.h"

enum { QUEUE_HIGH = 64 * 1024 };

/* ---- clocks ---- */

static uint64_t now_ms(const struct request *r)
{
    return loop_now_ms(worker_loop(r->worker));
}

static void heard(struct request *r)
{
    uint64_t idle_ms = r->http->stream_idle_timeout_ms;
    r->idle_deadline_ms = idle_ms ? now_ms(r) + idle_ms : UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return b && b < a ? b : a; /* 0: none */
}

static void start_timer(struct request *r)
{
    uint64_t now = now_ms(r), due = earlier(r->idle_deadline_ms, r->deadline_ms);
    if (r->retry)
        due = earlier(earlier(due, r->retry->at_ms), r->retry->try_deadline_ms);
    loop_timer_start(r->timer, due > now ? due - now : 0);
}

/* The answer's time runs from the end of the request: a slow upload does not eat it. */
static void request_is_whole(struct request *r)
{
    uint64_t timeout_ms = r->route->forward.timeout_ms;
    if (r->answered)
        return;
    if (timeout_ms)
        r->deadline_ms = now_ms(r) + timeout_ms;
    if (r->retry && r->retry->policy->per_try_timeout_ms)
        r->retry->try_deadline_ms = now_ms(r) + r->retry->policy->per_try_timeout_ms;
    if (r->deadline_ms || r->retry)
        start_timer(r);
}

static void drop_try(struct request *r)
{
    upstream_cancel(&r->wait);
    if (r->up)
        http_stream_abort(TAKE(r->up));
}

static void give_up(struct request *r, enum reason why)
{
    upstream_failed(&r->wait, why);
    request_fail(r, why);
}

static void try_failed(struct request *r, enum reason why);
static void try_again(struct request *r);

static void on_timer(void *user)
{
    struct request *r = user;
    uint64_t now = now_ms(r);
    bool late = r->deadline_ms && now >= r->deadline_ms;
    if (!late && r->retry && r->retry->at_ms && now >= r->retry->at_ms) {
        try_again(r);
        return;
    }
    bool try_late = r->retry && r->retry->try_deadline_ms && now >= r->retry->try_deadline_ms;
    if (!late && !try_late && now < r->idle_deadline_ms) {
        start_timer(r);
        return;
    }
    drop_try(r);
    if (late && r->retry)
        r->retry->at_ms = 0;
    if (try_late && !late)
        try_failed(r, REASON_PER_TRY_TIMEOUT);
    else
        give_up(r, late                               ? REASON_RESPONSE_TIMEOUT
                   : http_stream_is_received(r->down) ? REASON_STREAM_IDLE
                                                      : REASON_REQUEST_IDLE);
}

/* ---- once more ---- */

/* The policy wants another try: is there to be one? It begins when its time has come. */
static bool plan_retry(struct request *r)
{
    uint64_t wait_ms;
    if (r->answering || !retry_state_again(r->retry, rand_u64(), &wait_ms))
        return false;
    /* The endpoint may be gone before the log is written. */
    r->upstream_host = arena_str(http_stream_arena(r->down), r->upstream_host);
    upstream_leave(&r->wait);
    r->retry->at_ms = now_ms(r) + MAX(wait_ms, (uint64_t)1);
    r->retry->try_deadline_ms = 0;
    http_stream_pause(r->down);
    start_timer(r);
    return true;
}

static void try_failed(struct request *r, enum reason why)
{
    upstream_failed(&r->wait, why);
    if (r->retry && !r->answering &&
        retry_policy_wants_failure(r->retry->policy, why, r->retry->sent) && plan_retry(r))
        return;
    request_fail(r, why);
}

/* ---- the endpoint's stream ---- */

/* True: this answer is not the one that goes on. */
static bool retry_answer(struct request *r, const struct http_head *h)
{
    if (!retry_policy_wants_answer(r->retry->policy, h) || !plan_retry(r))
        return false;
    if (r->up)
        http_stream_abort(TAKE(r->up));
    return true;
}

static void on_up_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct request *r = user;
    (void)s;
    if (h->status < 200 && h->status != 101)
        return; /* the client has had its own 100 */
    heard(r);
    if (h->status == 101 && !r->upgrade) {
        http_stream_abort(TAKE(r->up)); /* nobody asked for it */
        try_failed(r, REASON_UPSTREAM_PROTOCOL);
        return;
    }
    upstream_answered(&r->wait, h->status);
    if (r->retry && retry_answer(r, h))
        return;
    if (r->retry)
        retry_state_taken(r->retry);
    if (h->status == 101) {
        r->deadline_ms = 0; /* what follows has no end of its own */
        stats_inc(r->stats, HTTP_STAT_CX_UPGRADES);
        stats_inc(r->stats, HTTP_STAT_CX_UPGRADES_ACTIVE);
        start_timer(r);
    }
    forward_answer(h, h->status == 101);
    request_change_fields(r, h, true);
    if (r->filters)
        filter_run_answer(r->filters, h);
    http_edit_answer(&r->http->edits, http_stream_head(r->down), h, http_stream_arena(r->down));
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
    if (r->http->logs.wants_grpc)
        request_keep_grpc(r, trailers);
    http_stream_send_trailers(r->down, trailers);
}

static void on_up_drain(struct http_stream *s, void *user)
{
    struct request *r = user;
    (void)s;
    heard(r);
    http_stream_resume(r->down);
}

/* An idle connection that the endpoint was closing while the request went out: nobody has looked at
 * it (RFC 9112 section 9.3.1), and so it goes out once more, on a connection of its own. */
static bool was_stale(const struct request *r)
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
    (void)code;
    (void)text;
    bool nothing_came = !http_stream_head(s)->status;
    r->up = NULL;
    if (end == HTTP_END_CLOSED && nothing_came && was_stale(r)) {
        r->again = true;
        if (upstream_take(&r->wait, true, &r->up) == -EBUSY)
            try_failed(r, REASON_OVERFLOW);
    } else if (end == HTTP_END_DONE) {
        upstream_ended(&r->wait);
    } else if (r->answering) {
        give_up(r, REASON_UPSTREAM_CUT);
    } else {
        try_failed(r, reasons[end]);
    }
}

static const struct http_stream_ops up_ops = {
    .on_head = on_up_head,
    .on_data = on_up_data,
    .on_trailers = on_up_trailers,
    .on_drain = on_up_drain,
    .on_over = on_up_over,
};

/* ---- the way there ---- */

/* What was sent of the body before goes first. */
static void send_replay(struct request *r, bool end)
{
    struct chain again = {0};
    chain_share(&again, &r->retry->replay, r->retry->replay.n);
    http_stream_send_data(r->up, &again, end);
    chain_done(&again);
}

/* What filters have gathered of it. */
static void send_gathered(struct request *r)
{
    if (r->retry)
        retry_state_keep(r->retry, &r->filters->body);
    http_stream_send_data(r->up, &r->filters->body, true);
}

static void keep_local(struct request *r)
{
    const struct conn *c = http_conn_conn(http_stream_conn(r->up));
    if (conn_local_addr(c, &r->up_ip, &r->up_port) < 0)
        r->up_port = 0; /* a Unix socket */
}

static void send_request(struct request *r)
{
    struct http_head *head = http_stream_head(r->down);
    bool whole = http_stream_is_received(r->down);
    bool replay = r->retry && r->retry->replay.n;
    bool gathered = r->filters && r->filters->body.n;
    if (r->http->logs.wants_local)
        keep_local(r);
    http_stream_send_head(r->up, head, whole && !replay && !gathered);
    if (r->retry) {
        r->retry->sent = true;
        if (whole && r->retry->policy->per_try_timeout_ms) {
            r->retry->try_deadline_ms = now_ms(r) + r->retry->policy->per_try_timeout_ms;
            start_timer(r);
        }
    }
    if (replay)
        send_replay(r, whole);
    else if (gathered)
        send_gathered(r);
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
    struct request *r = user;
    if (why == REASON_CONNECT_FAILED && r->http->logs.n)
        r->up_failure = arena_str(http_stream_arena(r->down), str_from(text));
    try_failed(r, why);
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
        cert = client_cert_value(&r->http->client_cert, head,
                                 conn_tls(http_conn_conn(http_stream_conn(r->down))), a);
    forward_request(head, r->upgrade);
    if (cert.n)
        IGNORE_RESULT(http_head_add(head, HTTP_NAME_X_FORWARDED_CLIENT_CERT, cert));
    request_change_fields(r, head, false);
    if (r->trace)
        trace_inject(r, head);
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
    return name.n ? proxy_config_cluster(r->config->config, name) : NULL;
}

/* An endpoint for this try; NULL: the cluster has none. */
static struct upstream *choose(struct request *r, struct cluster *c, uint64_t random)
{
    struct lb_request which = {.random = random};
    if (r->retry && r->retry->policy->other_hosts) {
        which.tried = r->retry->tried;
        which.n_tried = r->retry->n_tried;
        which.tries_max = r->retry->policy->tries_max;
    }
    return worker_upstream(r->worker, c, &which);
}

static void ask(struct request *r, struct upstream *u)
{
    upstream_enter(u, &r->wait);
    r->upstream_host = str_from(upstream_endpoint(u)->text);
    if (r->retry && !r->retry->stats)
        r->retry->stats = upstream_stats(u);
    if (r->retry)
        retry_state_tried(r->retry, upstream_endpoint(u));
    int got = upstream_take(&r->wait, false, &r->up);
    r->reused = got == 0;
    if (got == 0)
        send_request(r);
    else if (got == -EAGAIN)
        http_stream_pause(r->down); /* the body waits, too */
    else
        try_failed(r, REASON_OVERFLOW);
}

static void try_again(struct request *r)
{
    struct retry_state *s = r->retry;
    s->at_ms = 0;
    s->sent = false;
    r->up_failure.p = NULL;
    r->again = false;
    heard(r);
    start_timer(r);
    struct upstream *u = choose(r, s->cluster, rand_u64());
    if (u)
        ask(r, u);
    else
        request_fail(r, REASON_NO_HEALTHY_UPSTREAM);
}

static void plan_retries(struct request *r, struct cluster *c)
{
    const struct retry_policy *p =
        r->route->forward.retry ? r->route->forward.retry : r->host->retry;
    if (p && !r->upgrade && retry_policy_takes_request(p, http_stream_head(r->down)))
        r->retry = retry_state_new(p, c, r->wait.priority, http_stream_arena(r->down));
}

void router_begin(struct request *r, const struct route_query *q)
{
    r->cluster = route_choose_cluster(&r->route->forward, q->random);
    stats_inc(r->stats, HTTP_STAT_RQ_ROUTED);
    struct cluster *c = find_cluster(r);
    if (!c) {
        r->reason = REASON_CLUSTER_NOT_FOUND;
        request_answer(r, r->route->forward.cluster_not_found_status, STR(""),
                       (struct str){NULL, 0});
        return;
    }
    struct upstream *u = choose(r, c, q->random);
    if (!u) {
        request_reply(r, REASON_NO_HEALTHY_UPSTREAM);
        return;
    }
    r->wait.priority = r->route->forward.high_priority;
    r->wait.ops = &up_ops;
    r->wait.user = r;
    r->wait.on_ready = on_ready;
    r->wait.on_failed = on_failed;
    if (r->route->forward.retry || r->host->retry)
        plan_retries(r, c);
    change_request(r, q);
    r->timer = worker_timer_take(r->worker, on_timer, r);
    heard(r);
    if (http_stream_is_received(r->down))
        request_is_whole(r);
    else
        start_timer(r);
    ask(r, u);
}

/* ---- the client's stream ---- */

void router_data(struct request *r, struct chain *data, bool end)
{
    if (!r->up)
        return; /* answered by ourselves: nobody wants the rest */
    heard(r);
    if (r->retry)
        retry_state_keep(r->retry, data);
    http_stream_send_data(r->up, data, end);
    if (end)
        request_is_whole(r);
    if (r->up && http_stream_queued(r->up) > QUEUE_HIGH)
        http_stream_pause(r->down);
}

void router_trailers(struct request *r, struct http_head *trailers)
{
    if (!r->up)
        return;
    if (r->retry)
        r->retry->no_replay = true; /* they are not kept */
    http_stream_send_trailers(r->up, trailers);
    request_is_whole(r);
}

void router_drained(struct request *r)
{
    heard(r); /* a slow reader is not idle */
    if (r->up)
        http_stream_resume(r->up);
}
