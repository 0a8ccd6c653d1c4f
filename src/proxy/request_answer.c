/* What the proxy itself says to a client, what is changed in every answer, and the end of a
 * request. */
#include "base/assert.h"
#include "proxy/filter_run.h"
#include "proxy/mirror.h"
#include "proxy/request_stats.h"
#include "proxy/router_pace.h"
#include "proxy/trace.h"

void request_done(struct request *r)
{
    if (!r->config)
        return;
    request_log(r);
    request_count_end(r);
    if (r->trace)
        trace_end(r);
    if (r->filters)
        filter_run_done(TAKE(r->filters));
    worker_timer_give(r->worker, TAKE(r->timer));
    if (r->up)
        http_stream_abort(TAKE(r->up));
    upstream_leave(&r->wait);
    if (r->retry)
        retry_state_done(r->retry);
    if (r->mirrors)
        mirror_plan_done(r->mirrors);
    if (r->pace)
        router_pace_done(r);
    worker_config_unref(TAKE(r->config));
}

/* ---- fields ---- */

/* From the route outwards, or the other way round where the most specific is to win. */
void request_change_fields(struct request *r, struct http_head *h, bool answer)
{
    const struct route_table *t = r->routes;
    if (r->route->keeps_fields && t->keeps_fields)
        return;
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

/* What a status of HTTP means to gRPC (its http-grpc-status-mapping), where that says. */
static unsigned grpc_status(const struct request *r, unsigned status)
{
    static const struct {
        uint16_t status;
        uint8_t grpc;
    } table[] = {{400, 13}, {401, 16}, {403, 7},  {404, 12},
                 {429, 14}, {502, 14}, {503, 14}, {504, 14}};
    if (r->own_grpc)
        return r->own_grpc - 1u;
    if (r->reason == REASON_MAX_DURATION || r->reason == REASON_REQUEST_MAX_DURATION)
        return 4; /* DEADLINE_EXCEEDED */
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (table[i].status == status)
            return table[i].grpc;
    return 2; /* UNKNOWN */
}

/* Percent-encoded, as a field can carry it. .p NULL: no memory. */
static struct str grpc_message(struct str body, struct arena *a)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = arena_alloc_raw(a, 3 * body.n + 1);
    size_t n = 0;
    for (size_t i = 0; p && i < body.n; i++) {
        uint8_t c = (uint8_t)body.p[i];
        if (c >= ' ' && c <= '~' && c != '%') {
            p[n++] = (char)c;
            continue;
        }
        p[n++] = '%';
        p[n++] = hex[c >> 4];
        p[n++] = hex[c & 15];
    }
    return str_of(p, n);
}

/* A client of gRPC reads its own status alone: in the head, with 200 and no body. */
static void answer_grpc(struct request *r, struct http_head *head, struct str *body)
{
    static const struct header_name type = {HTTP_NAME_CONTENT_TYPE, STR("content-type")},
                                    code = {HTTP_NAME_GRPC_STATUS, STR("grpc-status")},
                                    text = {HTTP_NAME_GRPC_MESSAGE, STR("grpc-message")};
    static const char digits[] = "012345678910111213141516";
    struct arena *a = http_stream_arena(r->down);
    unsigned n = grpc_status(r, head->status);
    struct str value = n < 10 ? str_of(digits + n, 1) : str_of(digits + 10 + 2 * (n - 10), 2);
    struct str message = body->n ? grpc_message(*body, a) : (struct str){NULL, 0};
    http_head_remove(head, HTTP_NAME_CONTENT_TYPE);
    IGNORE_RESULT(head_add(head, a, type, STR("application/grpc")));
    IGNORE_RESULT(head_add(head, a, code, value));
    if (message.p)
        IGNORE_RESULT(head_add(head, a, text, message));
    head->status = 200;
    head->content_length = 0;
    *body = STR("");
}

/* As the listener wants its own answers to look. */
static void rewrite(struct request *r, struct http_head *head, struct str *body)
{
    static const struct header_name type = {HTTP_NAME_CONTENT_TYPE, STR("content-type")};
    struct arena *a = http_stream_arena(r->down);
    struct local_reply l = {.request = http_stream_head(r->down),
                            .a = a,
                            .value = request_value,
                            .user = r,
                            .status = head->status,
                            .body = *body};
    local_reply_map(r->http->replies, &l);
    r->status = head->status = l.status;
    local_reply_format(&l);
    if (l.status == 204 || l.status == 304)
        l.body.n = 0;
    *body = l.body;
    head->content_length = (int64_t)l.body.n;
    if (l.content_type.p) {
        http_head_remove(head, HTTP_NAME_CONTENT_TYPE);
        IGNORE_RESULT(head_add(head, a, type, l.content_type));
    }
    if (l.ops)
        header_ops_apply(l.ops, head, a, request_value, r);
}

/* An app that ends takes no connections any more before all callers know: what it has not seen may
 * be sent elsewhere, which this tells them of an answer that else could come from behind it. */
static bool is_unseen(const struct request *r)
{
    return r->http->inbound &&
           (r->reason == REASON_CONNECT_FAILED || r->reason == REASON_CONNECT_TIMEOUT);
}

void request_answer_with(struct request *r, unsigned status, struct str body,
                         const struct http_header *fields, size_t n)
{
    static const struct header_name content_type = {HTTP_NAME_CONTENT_TYPE, STR("content-type")};
    static const struct header_name overloaded = {HTTP_NAME_OTHER, STR("x-envoy-overloaded")},
                                    unseen = {HTTP_NAME_OTHER, STR("x-fairlead-unseen")};
    struct http_field room[8];
    struct http_head head = {.fields = room,
                             .cap = ARRAY_LEN(room),
                             .status = (uint16_t)status,
                             .content_length = (int64_t)body.n};
    ASSERT(!r->answering && status >= 200);
    if (r->filters && r->detour(r, (uint16_t)status))
        return;
    if (status == 204 || status == 304)
        body.n = 0;
    for (size_t i = 0; i < n; i++) {
        struct header_name name = {(uint16_t)http_name_find(fields[i].name), fields[i].name};
        IGNORE_RESULT(head_add(&head, http_stream_arena(r->down), name, fields[i].value));
    } /* over the stream's memory: left out */
    if (r->http->replies)
        rewrite(r, &head, &body);
    if (route_is_grpc(http_stream_head(r->down)))
        answer_grpc(r, &head, &body);
    if (body.n && !http_head_find(&head, HTTP_NAME_CONTENT_TYPE))
        IGNORE_RESULT(head_add(&head, http_stream_arena(r->down), content_type, STR("text/plain")));
    if (r->reason == REASON_OVERFLOW)
        IGNORE_RESULT(head_add(&head, http_stream_arena(r->down), overloaded, STR("true")));
    if (is_unseen(r))
        IGNORE_RESULT(head_add(&head, http_stream_arena(r->down), unseen, STR("true")));
    if (r->route)
        request_change_fields(r, &head, true);
    if (r->filters && !r->detoured)
        filter_run_answer(r->filters, &head);
    http_edit_answer(&r->http->edits, http_stream_head(r->down), &head,
                     loop_now_ms(worker_loop(r->worker)), http_stream_arena(r->down));
    request_keep_answer(r, &head);
    r->status = head.status;
    r->sent_bytes += body.n;
    r->answering = r->answered = true;
    http_stream_resume(r->down);
    http_stream_send_head(r->down, &head, !body.n);
    if (body.n)
        http_stream_send_text(r->down, body, true);
}

void request_answer(struct request *r, unsigned status, struct str body, struct str location)
{
    struct http_header field = {STR("location"), location};
    request_answer_with(r, status, body, &field, location.p ? 1 : 0);
}

/* Envoy's words; they tell of retries. */
static struct str request_body(struct request *r, const struct reason_row *row)
{
    static const struct str intro =
        STR("upstream connect error or disconnect/reset before headers. ");
    static const struct str again = STR("retried and the latest ");
    if (!r->retry || !r->retry->n_retries || !str_starts(row->body, intro))
        return row->body;
    char *p = arena_alloc_raw(http_stream_arena(r->down), row->body.n + again.n);
    if (!p)
        return row->body;
    memcpy(p, intro.p, intro.n);
    memcpy(p + intro.n, again.p, again.n);
    memcpy(p + intro.n + again.n, row->body.p + intro.n, row->body.n - intro.n);
    return str_of(p, row->body.n + again.n);
}

void request_reply(struct request *r, enum reason why)
{
    const struct reason_row *row = reason_row(why);
    r->reason = (uint8_t)why;
    request_answer(r, row->status, request_body(r, row), (struct str){NULL, 0});
}

/* The endpoint's side has failed for good. */
void request_fail(struct request *r, enum reason why)
{
    if (!r->answering) {
        request_reply(r, why);
    } else if (!r->answered) {
        r->reason = (uint8_t)why;
        http_stream_abort(r->down);
        request_done(r);
    }
}
