/* A request and the endpoint that answers it: chosen, asked, and asked again where the route's
 * policy says so; bytes both ways by reference.
 *
 * Each side is held back while the other has more than QUEUE_HIGH bytes queued, and goes on when
 * they have gone. Once an answer has begun, its end is never made up: what breaks then cuts the
 * client's message too. */
#include "proxy/router.h"

#include <errno.h>

#include "base/rand.h"
#include "base/time.h"
#include "codec/grpc.h"
#include "proxy/filter_run.h"
#include "proxy/forward.h"
#include "proxy/mirror.h"
#include "proxy/router_head.h"
#include "proxy/router_pace.h"

enum { QUEUE_HIGH = 64 * 1024 };

/* ---- clocks ---- */

static uint64_t now_ms(const struct request *r)
{
    return loop_now_ms(worker_loop(r->worker));
}

static void heard(struct request *r)
{
    r->idle_deadline_ms = r->idle_ms ? now_ms(r) + r->idle_ms : UINT64_MAX;
}

/* Is the endpoint waited for, and nobody else? */
static bool is_whole(const struct request *r)
{
    return http_stream_is_received(r->down) || r->detoured;
}

/* From now on the endpoint may be quiet for so long. */
static void wait_for_endpoint(struct request *r)
{
    if (r->retry && r->retry->policy->per_try_idle_ms)
        r->retry->try_idle_ms = now_ms(r) + r->retry->policy->per_try_idle_ms;
}

/* Of the endpoint. While the client still sends, its silence says nothing. */
static void heard_up(struct request *r)
{
    heard(r);
    if (is_whole(r))
        wait_for_endpoint(r);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return b && b < a ? b : a; /* 0: none */
}

static void start_timer(struct request *r)
{
    uint64_t now = now_ms(r), due = earlier(r->idle_deadline_ms, r->deadline_ms);
    due = earlier(due, r->limit_ms);
    if (r->retry)
        due = earlier(earlier(earlier(due, r->retry->at_ms), r->retry->try_deadline_ms),
                      r->retry->try_idle_ms);
    loop_timer_start(r->timer, due > now ? due - now : 0);
}

static void note_limit(struct request *r)
{
    uint64_t limit =
        earlier(earlier(earlier(UINT64_MAX, r->over_ms), r->try_over_ms), r->whole_by_ms);
    r->limit_ms = limit == UINT64_MAX ? 0 : limit;
}

/* What grpc-timeout says; 0: nothing. */
static uint64_t grpc_timeout(const struct request *r)
{
    uint64_t ms;
    struct str s =
        http_field_value(http_head_find(http_stream_head(r->down), HTTP_NAME_GRPC_TIMEOUT));
    return s.p && grpc_timeout_parse(s, &ms) == 0 ? ms : 0;
}

/* Of the whole stream; 0: none. */
static uint64_t stream_max(const struct request *r)
{
    const struct route_limits *l = r->route->forward.limits;
    uint64_t ms = l && l->has_grpc_stream_max ? grpc_timeout(r) : 0;
    if (!ms)
        return l && l->has_stream_max ? l->stream_max_ms : r->http->protocol.stream_max_ms;
    if (l->grpc_stream_max_ms && ms > l->grpc_stream_max_ms)
        ms = l->grpc_stream_max_ms;
    return ms - MIN(ms - 1, l->grpc_stream_offset_ms);
}

static void note_limits(struct request *r)
{
    const struct route_limits *l = r->route->forward.limits;
    uint64_t now = now_ms(r), spent = (time_mono_us() - r->begin_us) / 1000, ms = stream_max(r);
    if (ms)
        r->over_ms = now + MAX(ms, spent + 1) - spent;
    if (r->http->request_timeout_ms && !http_stream_is_received(r->down))
        r->whole_by_ms = now + MAX(r->http->request_timeout_ms, spent + 1) - spent;
    note_limit(r);
    if (!l || !l->has_grpc_timeout || !route_is_grpc(http_stream_head(r->down)))
        return;
    ms = grpc_timeout(r);
    if (l->grpc_timeout_offset_ms < ms)
        ms -= l->grpc_timeout_offset_ms;
    r->timeout_ms = l->grpc_timeout_max_ms && (!ms || ms > l->grpc_timeout_max_ms)
                        ? l->grpc_timeout_max_ms
                        : ms;
}

static void begin_clocks(struct request *r)
{
    const struct route_forward *f = &r->route->forward;
    r->idle_ms = f->has_idle_timeout ? f->idle_timeout_ms : r->http->stream_idle_timeout_ms;
    r->timeout_ms = f->timeout_ms;
    if (f->limits || r->http->has_limits)
        note_limits(r);
}

/* The answer's time runs from the end of the request: a slow upload does not eat it. */
static void request_is_whole(struct request *r)
{
    if (r->mirrors)
        mirror_plan_go(r->mirrors);
    if (r->answered)
        return;
    r->whole_ms = now_ms(r);
    if (r->retry && !r->retry->at_ms)
        wait_for_endpoint(r);
    if (r->timeout_ms)
        r->deadline_ms = r->whole_ms + r->timeout_ms;
    if (r->retry && r->retry->policy->per_try_timeout_ms)
        r->retry->try_deadline_ms = r->whole_ms + r->retry->policy->per_try_timeout_ms;
    if (r->whole_by_ms) {
        r->whole_by_ms = 0;
        note_limit(r);
    }
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

/* What has run out; _REASON_MAX: nothing. */
static enum reason overdue(const struct request *r, uint64_t now)
{
    bool whole = http_stream_is_received(r->down);
    if (r->deadline_ms && now >= r->deadline_ms)
        return REASON_RESPONSE_TIMEOUT;
    if (r->over_ms && now >= r->over_ms)
        return whole ? REASON_MAX_DURATION : REASON_REQUEST_MAX_DURATION;
    if (r->whole_by_ms && now >= r->whole_by_ms)
        return REASON_REQUEST_TIMEOUT;
    if (r->try_over_ms && now >= r->try_over_ms)
        return REASON_UPSTREAM_MAX_DURATION;
    if (now >= r->idle_deadline_ms)
        return whole ? REASON_STREAM_IDLE : REASON_REQUEST_IDLE;
    return _REASON_MAX;
}

/* True: it was one of the times of a try. */
static bool on_try_timer(struct request *r, uint64_t now)
{
    struct retry_state *s = r->retry;
    if (s->at_ms && now >= s->at_ms) {
        try_again(r);
        return true;
    }
    bool late = s->try_deadline_ms && now >= s->try_deadline_ms;
    if (!late && !(s->try_idle_ms && now >= s->try_idle_ms))
        return false;
    drop_try(r);
    s->try_idle_ms = 0;
    s->was_late = late;
    try_failed(r, late ? REASON_PER_TRY_TIMEOUT : REASON_PER_TRY_IDLE);
    return true;
}

static void on_timer(void *user)
{
    struct request *r = user;
    uint64_t now = now_ms(r);
    enum reason why = overdue(r, now);
    if (why == _REASON_MAX) {
        if (!r->retry || !on_try_timer(r, now))
            start_timer(r);
        return;
    }
    drop_try(r);
    if (r->retry)
        r->retry->at_ms = 0;
    give_up(r, why);
}

/* ---- once more ---- */

/* The policy wants another try: is there to be one? It begins when its time has come. */
static bool plan_retry(struct request *r)
{
    uint64_t wait_ms, within_ms = r->retry->policy->within_ms;
    if (within_ms && now_ms(r) - r->begin_ms >= within_ms)
        return false;
    if (r->answering || !retry_state_again(r->retry, rand_u64(), &wait_ms))
        return false;
    /* The endpoint may be gone before the log is written. */
    r->upstream_host = arena_str(http_stream_arena(r->down), r->upstream_host);
    upstream_leave(&r->wait);
    r->retry->at_ms = now_ms(r) + MAX(wait_ms, (uint64_t)1);
    r->retry->try_deadline_ms = r->retry->try_idle_ms = 0;
    http_stream_pause(r->down);
    start_timer(r);
    return true;
}

static void try_failed(struct request *r, enum reason why)
{
    upstream_failed(&r->wait, why);
    if (r->retry && !r->answering &&
        retry_policy_wants_failure(r->retry->on, why, r->retry->sent) && plan_retry(r))
        return;
    request_fail(r, why);
}

/* ---- the endpoint's stream ---- */

/* True: this answer is not the one that goes on. */
static bool retry_answer(struct request *r, const struct http_head *h)
{
    if (!retry_policy_wants_answer(r->retry->policy, r->retry->on, h) || !plan_retry(r))
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
    heard_up(r);
    if (h->status == 101 && !r->upgrade) {
        http_stream_abort(TAKE(r->up)); /* nobody asked for it */
        try_failed(r, REASON_UPSTREAM_PROTOCOL);
        return;
    }
    upstream_answered(&r->wait, h->status);
    if (r->retry && retry_answer(r, h))
        return;
    if (r->filters && router_detour(r, h->status))
        return;
    if (r->retry)
        retry_state_taken(r->retry);
    if (h->status == 101) {
        r->deadline_ms = 0; /* what follows has no end of its own, and is no body */
        r->body_max = 0;
        if (r->pace)
            router_pace_done(r);
        stats_inc(r->stats, HTTP_STAT_CX_UPGRADES);
        stats_inc(r->stats, HTTP_STAT_CX_UPGRADES_ACTIVE);
        start_timer(r);
    }
    forward_answer(h, h->status == 101);
    if (r->filters && !r->detoured)
        filter_run_received(r->filters, h);
    if (r->affinity || r->http->envoy_headers || r->host->answers_attempts)
        router_change_answer(r, h);
    request_change_fields(r, h, true);
    if (r->filters && !r->detoured)
        filter_run_answer(r->filters, h);
    http_edit_answer(&r->http->edits, http_stream_head(r->down), h, now_ms(r),
                     http_stream_arena(r->down));
    request_keep_answer(r, h);
    r->status = h->status;
    r->answering = true;
    r->answered = end;
    http_stream_send_head(r->down, h, end);
}

static void on_up_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct request *r = user;
    heard_up(r);
    r->answered = end;
    if (r->pace) {
        router_pace_data(r, data, end, heard_up);
        return;
    }
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
    if (r->pace)
        router_pace_flush(r);
    http_stream_send_trailers(r->down, trailers);
}

static void on_up_drain(struct http_stream *s, void *user)
{
    struct request *r = user;
    (void)s;
    heard(r);
    if (r->retry && !is_whole(r))
        r->retry->try_idle_ms = 0; /* it has taken what there was: the client is waited for */
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
    bool whole = is_whole(r);
    bool replay = r->retry && r->retry->replay.n;
    bool gathered = r->filters && r->filters->body.n;
    if (r->http->logs.wants_local)
        keep_local(r);
    r->principal =
        atomic_load_explicit(&upstream_endpoint(r->wait.at)->principal, memory_order_relaxed);
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

static struct cluster *find_cluster(struct request *r)
{
    struct str name = r->cluster->name;
    if (!name.n && r->cluster->header.text.p)
        name = http_field_value(head_find(http_stream_head(r->down), r->cluster->header));
    return name.n ? proxy_config_cluster(r->config->config, name) : NULL;
}

static void tell_of_client(struct request *r, const struct cluster *c, struct lb_request *which)
{
    which->client = http_conn_conn(http_stream_conn(r->down));
    which->head = http_stream_head(r->down);
    if (c->http.as_client)
        which->version = http_conn_version(http_stream_conn(r->down)) == 2 ? 2 : 1;
}

/* An endpoint for this try; NULL: the cluster has none. */
static struct upstream *choose(struct request *r, struct cluster *c, uint64_t random,
                               const struct endpoint_entry **ret_entry)
{
    struct lb_request which = {.random = random};
    if (c->asks_for_client)
        tell_of_client(r, c, &which);
    if (r->affinity) {
        which.hash = r->affinity->hash;
        which.has_hash = r->affinity->has_hash;
    }
    which.prefers = r->prefers && !(r->retry && r->retry->n_tried); /* once: else another */
    which.preferred = r->preferred;
    if (r->retry && r->retry->policy->other_hosts) {
        which.tried = r->retry->tried;
        which.n_tried = r->retry->n_tried;
        which.tries_max = r->retry->policy->tries_max;
    }
    struct upstream *u = worker_upstream(r->worker, c, &which);
    *ret_entry = which.entry;
    return u;
}

static void begin_try_clocks(struct request *r, uint64_t stream_max_ms)
{
    uint64_t idle_ms = r->retry ? r->retry->policy->per_try_idle_ms : 0;
    if (!stream_max_ms && !idle_ms)
        return;
    if (stream_max_ms)
        r->try_over_ms = now_ms(r) + stream_max_ms;
    if (idle_ms && is_whole(r))
        wait_for_endpoint(r);
    note_limit(r);
    start_timer(r);
}

static void ask(struct request *r, const struct cluster *c, struct upstream *u)
{
    upstream_enter(u, &r->wait);
    r->upstream_host = str_from(upstream_endpoint(u)->text);
    r->peer = atomic_load_explicit(&upstream_endpoint(u)->peer, memory_order_relaxed);
    if (r->retry && !r->retry->stats)
        r->retry->stats = upstream_stats(u);
    if (r->retry)
        retry_state_tried(r->retry, upstream_endpoint(u));
    if (c->http.stream_max_ms || r->retry)
        begin_try_clocks(r, c->http.stream_max_ms);
    upstream_name(&r->wait, c, http_stream_head(r->down));
    if (c->proxy_version)
        upstream_speak_for(&r->wait, c, http_conn_conn(http_stream_conn(r->down)),
                           http_stream_arena(r->down));
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
    r->up_failure = (struct str){NULL, 0};
    r->again = false;
    heard(r);
    start_timer(r);
    const struct endpoint_entry *entry;
    struct upstream *u = choose(r, s->cluster, rand_u64(), &entry);
    if (!u) {
        request_fail(r, REASON_NO_HEALTHY_UPSTREAM);
        return;
    }
    router_change_try(r, entry);
    ask(r, s->cluster, u);
}

static void plan_retries(struct request *r, struct cluster *c)
{
    const struct retry_policy *p =
        r->route->forward.retry ? r->route->forward.retry : r->host->retry;
    if (p && !r->upgrade && retry_policy_takes_request(p, http_stream_head(r->down)))
        r->retry = retry_state_new(p, http_stream_head(r->down), c, r->wait.priority,
                                   http_stream_arena(r->down));
}

/* Once: filters may have changed the head since. */
static void note_affinity(struct request *r, const struct route_query *q)
{
    const struct route_forward *f = &r->route->forward;
    struct arena *a = http_stream_arena(r->down);
    if (r->affinity)
        return;
    r->affinity = arena_alloc(a, sizeof(*r->affinity));
    if (r->affinity)
        route_hash_of(f->hashes, f->n_hashes, q, &r->http->edits,
                      http_conn_conn(http_stream_conn(r->down)), a, r->affinity);
}

/* Of several the one that has the endpoint of the session: where clients were sent by weight they
 * stay, as long as that cluster has a weight. NULL: none. */
static const struct route_cluster *cluster_of_session(struct request *r)
{
    const struct route_forward *f = &r->route->forward;
    for (size_t i = 0; i < f->n_clusters; i++) {
        const struct route_cluster *c = &f->clusters[i];
        struct cluster *known =
            c->weight && c->name.n ? proxy_config_cluster(r->config->config, c->name) : NULL;
        if (known && worker_has_endpoint(r->worker, known, r->preferred))
            return c;
    }
    return NULL;
}

const struct route_cluster *router_choose_cluster(struct request *r, const struct route_query *q)
{
    const struct route_forward *f = &r->route->forward;
    const struct route_cluster *kept =
        r->prefers && f->n_clusters > 1 ? cluster_of_session(r) : NULL;
    if (kept)
        return kept;
    if (!f->cluster_by_hash)
        return route_choose_cluster(f, q->random);
    note_affinity(r, q);
    bool has = r->affinity && r->affinity->has_hash;
    return route_choose_cluster(f, has ? r->affinity->hash : q->random);
}

static void plan_mirrors(struct request *r)
{
    r->mirrors =
        mirror_plan_new(r->worker, r->config->config, &r->route->forward, &r->routes->mirrors,
                        http_stream_head(r->down), http_conn_conn(http_stream_conn(r->down)),
                        http_stream_arena(r->down));
    if (r->mirrors && r->filters && r->filters->body.n)
        mirror_plan_keep(r->mirrors, &r->filters->body);
}

void router_begin(struct request *r, const struct route_query *q)
{
    r->cluster = router_choose_cluster(r, q);
    if (r->route->forward.n_hashes)
        note_affinity(r, q);
    stats_inc(r->stats, HTTP_STAT_RQ_ROUTED);
    struct cluster *c = find_cluster(r);
    if (!c) {
        r->reason = REASON_CLUSTER_NOT_FOUND;
        request_answer(r, r->route->forward.cluster_not_found_status, STR(""),
                       (struct str){NULL, 0});
        return;
    }
    r->service = c->mesh_service;
    const struct endpoint_entry *entry;
    struct upstream *u = choose(r, c, q->random, &entry);
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
    begin_clocks(r);
    router_change_request(r, q);
    if (router_changes_try(r))
        router_change_try(r, entry);
    if ((r->route->forward.mirrors.n || r->routes->mirrors.n) && !r->upgrade)
        plan_mirrors(r);
    r->timer = worker_timer_take(r->worker, on_timer, r);
    heard(r);
    if (http_stream_is_received(r->down) || r->detoured)
        request_is_whole(r);
    else
        start_timer(r);
    ask(r, c, u);
}

/* ---- another request's answer ---- */

/* Nothing of the first request is left, but what its client sent as its head. */
static void leave_first(struct request *r)
{
    struct arena *a = http_stream_arena(r->down);
    if (r->upstream_host.p) /* the endpoint may be gone before the log is written */
        r->upstream_host = arena_str(a, r->upstream_host);
    upstream_leave(&r->wait);
    drop_try(r);
    if (r->retry)
        retry_state_done(TAKE(r->retry));
    if (r->mirrors)
        mirror_plan_done(TAKE(r->mirrors));
    if (r->pace)
        router_pace_done(r);
    worker_timer_give(r->worker, TAKE(r->timer));
    r->filters->collecting = false;
    chain_done(&r->filters->body);
    r->affinity = NULL;
    r->prefers = r->again = r->reused = false;
    r->deadline_ms = r->limit_ms = r->over_ms = r->try_over_ms = r->whole_by_ms = r->whole_ms = 0;
    r->reason = 0;
    r->details = (struct str){NULL, 0};
}

/* With the client's query, unless that is not wanted. .p NULL: no memory. */
static struct str detour_path(const struct filter_detour *to, struct str path, struct arena *a)
{
    const char *mark = memchr(path.p, '?', path.n);
    size_t end = mark ? (size_t)(mark - path.p) : path.n;
    struct str first = to->path.p ? to->path : str_sub(path, 0, end);
    struct str query = to->strip_query ? STR("") : str_sub(path, end, path.n);
    char *p = arena_alloc_raw(a, first.n + query.n + 1);
    if (!p)
        return (struct str){NULL, 0};
    memcpy(p, first.p, first.n);
    if (query.n)
        memcpy(p + first.n, query.p, query.n);
    return str_of(p, first.n + query.n);
}

static struct str host_of(const struct http_head *h)
{
    return http_field_value(http_head_find(h, HTTP_NAME_HOST));
}

bool router_detour(struct request *r, uint16_t status)
{
    struct http_head *head = http_stream_head(r->down);
    struct arena *a = http_stream_arena(r->down);
    const struct filter_detour *to =
        r->detoured || r->answering || r->upgrade || route_is_grpc(head)
            ? NULL
            : filter_run_detour(r->filters, status);
    struct str path = to ? detour_path(to, head->path, a) : (struct str){NULL, 0};
    if (!path.p)
        return false;
    const struct str old_path = head->path, old_target = head->target, old_host = host_of(head),
                     old_authority = head->authority;
    struct route_query q = {.head = head, .host = to->host, .random = rand_u64()};
    q.path = str_cut(path, '?', &q.query);
    header_ops_apply(to->request_ops, head, a, request_value, r);
    head->path = head->target = path;
    forward_set_host(head, to->host);
    if (head->authority.p)
        head->authority = to->host;
    const struct route_host *host = route_table_host(r->routes, to->host);
    const struct route *route = host ? route_host_find(host, &q) : NULL;
    if (!route || route->kind != ROUTE_FORWARD) {
        head->path = old_path; /* logs tell of what was asked */
        head->target = old_target;
        head->authority = old_authority;
        forward_set_host(head, old_host);
        return false;
    }
    leave_first(r);
    r->detoured = true;
    r->host = host;
    r->route = route;
    r->cluster = NULL;
    if (head->chunked || head->content_length > 0)
        head->content_length = 0;
    http_head_remove(head, HTTP_NAME_CONTENT_LENGTH); /* it is written anew */
    head->chunked = false;
    router_begin(r, &q);
    return true;
}

/* ---- the client's stream ---- */

void router_data(struct request *r, struct chain *data, bool end)
{
    if (!r->up || r->detoured)
        return; /* answered by ourselves: nobody wants the rest */
    heard(r);
    if (r->retry)
        retry_state_keep(r->retry, data);
    if (r->mirrors)
        mirror_plan_keep(r->mirrors, data);
    http_stream_send_data(r->up, data, end);
    if (end)
        request_is_whole(r);
    if (r->up && http_stream_queued(r->up) > QUEUE_HIGH) {
        http_stream_pause(r->down);
        wait_for_endpoint(r); /* to take it */
        start_timer(r);
    }
}

/* An answer that has begun is cut: it would be one to something else. */
void router_refuse_body(struct request *r)
{
    if (r->answered)
        return;
    drop_try(r);
    if (r->retry)
        r->retry->at_ms = 0;
    request_fail(r, REASON_BODY_TOO_LARGE);
}

void router_trailers(struct request *r, struct http_head *trailers)
{
    if (!r->up || r->detoured)
        return;
    if (r->retry)
        r->retry->no_replay = true; /* they are not kept */
    http_stream_send_trailers(r->up, trailers);
    request_is_whole(r);
}

void router_drained(struct request *r)
{
    heard(r); /* a slow reader is not idle */
    if (r->pace)
        router_pace_drained(r);
    else if (r->up)
        http_stream_resume(r->up);
}
