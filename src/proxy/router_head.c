/* Fields that the router itself writes: x-envoy-…, x-forwarded-host, the host. */
#include "proxy/router_head.h"

#include "proxy/forward.h"
#include "proxy/route_rewrite.h"
#include "proxy/trace.h"

/* In place of all that there are. What does not fit into the stream's memory is left out. */
static void set(struct request *r, struct http_head *h, enum http_name id, struct str value)
{
    struct header_name name = {(uint16_t)id, http_name_text(id)};
    if (!value.p)
        return;
    http_head_remove(h, id);
    IGNORE_RESULT(head_add(h, http_stream_arena(r->down), name, value));
}

static struct str number(struct request *r, uint64_t n)
{
    enum { DIGITS = 20 };
    char *p = arena_alloc_raw(http_stream_arena(r->down), DIGITS);
    size_t at = DIGITS;
    if (!p)
        return (struct str){NULL, 0};
    do
        p[--at] = (char)('0' + n % 10);
    while (n /= 10);
    return str_of(p + at, DIGITS - at);
}

/* ---- requests ---- */

static struct str host_of(const struct http_head *h)
{
    return http_field_value(http_head_find(h, HTTP_NAME_HOST));
}

/* Behind those that are there. */
static void add_forwarded_host(struct request *r, struct http_head *h, struct str host)
{
    struct str old = http_field_value(http_head_find(h, HTTP_NAME_X_FORWARDED_HOST));
    if (!old.n) {
        set(r, h, HTTP_NAME_X_FORWARDED_HOST, host);
        return;
    }
    char *p = arena_alloc_raw(http_stream_arena(r->down), old.n + 1 + host.n);
    if (!p)
        return;
    memcpy(p, old.p, old.n);
    p[old.n] = ',';
    memcpy(p + old.n + 1, host.p, host.n);
    set(r, h, HTTP_NAME_X_FORWARDED_HOST, str_of(p, old.n + 1 + host.n));
}

/* The endpoint gets another host than the client asked for. */
static void change_host(struct request *r, struct http_head *h, struct str host)
{
    struct str old = host_of(h);
    if (old.p && r->route->forward.append_forwarded_host)
        add_forwarded_host(r, h, old);
    if (old.p)
        set(r, h, HTTP_NAME_X_ENVOY_ORIGINAL_HOST, old);
    forward_set_host(h, host);
}

static void tell_timeout(struct request *r, struct http_head *h)
{
    static const struct header_name expected = {HTTP_NAME_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
                                                STR("x-envoy-expected-rq-timeout-ms")};
    const struct route_forward *f = &r->route->forward;
    uint64_t per_try = r->retry ? r->retry->policy->per_try_timeout_ms : 0;
    struct str text = f->timeout_text;
    if (per_try || r->timeout_ms != f->timeout_ms) {
        uint64_t ms =
            per_try && (!r->timeout_ms || per_try < r->timeout_ms) ? per_try : r->timeout_ms;
        text = ms ? number(r, ms) : (struct str){NULL, 0};
    }
    if (text.p) /* what the client said of it has been taken out */
        IGNORE_RESULT(head_add(h, http_stream_arena(r->down), expected, text));
}

void router_change_request(struct request *r, const struct route_query *q)
{
    struct http_head *head = http_stream_head(r->down);
    struct arena *a = http_stream_arena(r->down);
    struct str path = head->path, old_path = path, host = {NULL, 0}, cert = {NULL, 0};
    if (r->route->forward.rewrites) {
        path = route_rewrite_path(r->route, q, a);
        host = route_rewrite_host(r->route, r->cluster, q, a);
    }
    if (r->http->client_cert.mode != CLIENT_CERT_SANITIZE)
        cert = client_cert_value(&r->http->client_cert, head,
                                 conn_tls(http_conn_conn(http_stream_conn(r->down))), a);
    forward_request(head, r->upgrade);
    if (cert.n)
        IGNORE_RESULT(http_head_add(head, HTTP_NAME_X_FORWARDED_CLIENT_CERT, cert));
    if (r->http->envoy_headers)
        tell_timeout(r, head);
    request_change_fields(r, head, false);
    if (r->trace)
        trace_inject(r, head);
    if (path.p && path.p != old_path.p) {
        if (r->http->envoy_headers)
            set(r, head, HTTP_NAME_X_ENVOY_ORIGINAL_PATH, old_path);
        head->path = head->target = path;
    }
    if (host.p)
        change_host(r, head, host);
}

static uint64_t time_left(const struct request *r)
{
    uint64_t now = loop_now_ms(worker_loop(r->worker));
    return r->deadline_ms > now ? r->deadline_ms - now : 1;
}

/* Not the first: what has changed since. */
static void change_retry(struct request *r, struct http_head *h)
{
    const struct retry_state *s = r->retry;
    uint64_t left = r->deadline_ms ? time_left(r) : 0, per_try = s->policy->per_try_timeout_ms;
    if (r->http->envoy_headers && r->deadline_ms)
        set(r, h, HTTP_NAME_X_ENVOY_EXPECTED_RQ_TIMEOUT_MS,
            number(r, per_try && per_try < left ? per_try : left));
    if (r->host->tells_timeout_retry) {
        static const struct header_name late = {HTTP_NAME_OTHER, STR("x-envoy-is-timeout-retry")};
        struct http_field *f = head_find(h, late);
        if (f)
            f->name_n = 0;
        IGNORE_RESULT(head_add(h, http_stream_arena(r->down), late,
                               s->was_late ? STR("true") : STR("false")));
    }
}

void router_change_try(struct request *r, const struct endpoint_entry *e)
{
    struct http_head *h = http_stream_head(r->down);
    unsigned retries = r->retry ? r->retry->n_retries : 0;
    if (r->host->counts_attempts)
        set(r, h, HTTP_NAME_X_ENVOY_ATTEMPT_COUNT, number(r, retries + 1));
    if (retries)
        change_retry(r, h);
    if (!r->route->forward.auto_host || !e || !e->hostname)
        return;
    /* The set that has the name may be exchanged before the request is over. */
    struct str host = arena_str(http_stream_arena(r->down), str_from(e->hostname));
    if (host.p && retries)
        forward_set_host(h, host);
    else if (host.p)
        change_host(r, h, host);
}

/* ---- answers ---- */

static void give_cookies(struct request *r, struct http_head *h)
{
    static const struct header_name set_cookie = {HTTP_NAME_SET_COOKIE, STR("set-cookie")};
    for (size_t i = 0; i < r->affinity->n_cookies; i++)
        IGNORE_RESULT(head_add(h, http_stream_arena(r->down), set_cookie, r->affinity->cookies[i]));
}

void router_change_answer(struct request *r, struct http_head *h)
{
    if (r->affinity)
        give_cookies(r, h);
    if (r->http->envoy_headers && r->whole_ms) {
        uint64_t now = loop_now_ms(worker_loop(r->worker));
        set(r, h, HTTP_NAME_X_ENVOY_UPSTREAM_SERVICE_TIME, number(r, now - MIN(now, r->whole_ms)));
    }
    if (r->host->answers_attempts)
        set(r, h, HTTP_NAME_X_ENVOY_ATTEMPT_COUNT,
            number(r, (r->retry ? r->retry->n_retries : 0) + 1));
}
