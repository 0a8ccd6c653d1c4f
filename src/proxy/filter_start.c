/* A request on its way through the filters: asked in turn, held up, answered. */
#include "proxy/filter_start.h"

#include "base/assert.h"
#include "base/time.h"
#include "proxy/filter_fetch.h"
#include "proxy/filter_run.h"
#include "proxy/router_pace.h"

enum { BODY_IDLE_MS = 300 * 1000 };

static void answer(struct filter_run *f, const struct filter_call *c)
{
    struct request *r = f->request;
    const struct filter_answer *a = &c->answer;
    const struct reason_row *row = reason_row((enum reason)a->reason);
    f->collecting = false;
    r->reason = a->reason;
    r->details = a->details;
    r->own_grpc = a->grpc;
    request_answer_with(r, a->status ? a->status : row->status, a->body.p ? a->body : row->body,
                        a->fields, a->n_fields);
}

/* Until the whole request must be here; UINT64_MAX: whenever. */
static uint64_t time_left_ms(const struct request *r)
{
    uint64_t max = r->http->request_timeout_ms, spent = (time_mono_us() - r->begin_us) / 1000;
    return !max ? UINT64_MAX : max > spent ? max - spent : 0;
}

static uint64_t wait_ms(const struct request *r)
{
    uint64_t left = time_left_ms(r);
    r->filters->last_wait = left < BODY_IDLE_MS;
    return MIN((uint64_t)BODY_IDLE_MS, left);
}

/* The client is not heard of while its body is waited for, or takes too long with it. */
static void on_idle(void *user)
{
    struct request *r = user;
    r->filters->collecting = false;
    worker_timer_give(r->worker, TAKE(r->timer));
    request_reply(r, r->filters->last_wait ? REASON_REQUEST_TIMEOUT : REASON_REQUEST_IDLE);
}

static void refuse_body(struct filter_run *f)
{
    struct request *r = f->request;
    f->collecting = false;
    chain_done(&f->body);
    worker_timer_give(r->worker, TAKE(r->timer));
    request_reply(r, REASON_BODY_TOO_LARGE);
}

/* True: wait for the rest. */
static bool collect(struct filter_run *f, uint64_t max)
{
    struct request *r = f->request;
    if (http_stream_is_received(r->down))
        return false;
    f->collecting = true;
    f->collect_max = r->body_max ? MIN(max, r->body_max) : max;
    r->timer = worker_timer_take(r->worker, on_idle, r);
    loop_timer_start(r->timer, wait_ms(r));
    http_stream_resume(r->down);
    return true;
}

/* What a filter has said. True: the next one is asked. */
static bool follow(struct filter_run *f, const struct filter_type *type, struct filter_call *c,
                   enum filter_result result)
{
    f->request->delayed |= c->delayed;
    if (c->body_max)
        f->request->body_max = c->body_max;
    f->request->unlogged |= c->unlogged;
    if (c->bytes_per_s && !f->request->pace)
        router_pace_begin(f->request, c->bytes_per_s, c->bytes_before);
    switch (result) {
    case FILTER_CONTINUE:
        return true;
    case FILTER_WAIT:
        http_stream_pause(f->request->down);
        return false;
    case FILTER_COLLECT:
        if (f->body.n > c->collect_max) { /* gathered for a filter that takes more */
            refuse_body(f);
            return false;
        }
        if (collect(f, c->collect_max))
            return false;
        return !type->on_body || follow(f, type, c, type->on_body(c));
    case FILTER_ANSWERED:
        answer(f, c);
        return false;
    }
    return false;
}

static void run(struct filter_run *f)
{
    while (f->at < f->n) {
        struct filter_call *c = f->calls[f->at];
        f->at++;
        if (c->type->on_request && !follow(f, c->type, c, c->type->on_request(c)))
            return;
    }
    f->then(f->request);
}

static void on_go_on(struct filter_call *c, enum filter_result result)
{
    struct request *r = c->request;
    struct filter_run *f = r->filters;
    r->delayed |= c->delayed;
    if (r->answering)
        return;
    if (result == FILTER_ANSWERED) {
        answer(f, c);
        return;
    }
    run(f); /* the client is let go on by whoever wants its body, or answers */
}

static int client_of(const struct filter_call *c, struct ip *ret)
{
    const struct request *r = c->request;
    uint16_t port;
    return http_edits_client(&r->http->edits, http_stream_head(r->down),
                             http_conn_conn(http_stream_conn(r->down)), ret, &port);
}

static void prefer(struct filter_call *c, uint64_t id)
{
    struct request *r = c->request;
    r->prefers = true;
    r->preferred = id;
}

static void fill(struct filter_call *c, struct request *r, struct filter_run *f)
{
    c->metadata = &f->metadata;
    c->body = &f->body;
    c->down = r->down;
    c->head = http_stream_head(r->down);
    c->loop = worker_loop(r->worker);
    c->client = client_of;
    c->value = request_value;
    c->request = r;
    c->cluster = r->cluster && r->cluster->name.n ? r->cluster->name.p : NULL;
    c->stats = r->stats;
    c->worker = worker_index(r->worker);
    c->answers = worker_answers(r->worker);
    c->go_on = on_go_on;
    c->prefer = prefer;
    c->ask = filter_fetch_start;
    c->ask_no_more = filter_fetch_cancel;
}

/* Of a filter that is on. False: no memory. */
static bool add_call(struct filter_run *f, const struct filter_call *resolved, struct arena *a)
{
    struct filter_call *c = arena_alloc_raw(a, sizeof(*c));
    size_t n = resolved->type->state_bytes;
    if (!c)
        return false;
    *c = *resolved;
    c->state = n ? arena_alloc(a, n) : NULL;
    f->calls[f->n++] = c;
    return !n || c->state;
}

/* Most requests of a gateway have no filter that is on. */
static bool is_on(const struct http_filters *chain, const struct filter_overrides *const places[])
{
    bool on = chain->on;
    for (size_t i = 0; i < FILTER_LEVELS; i++)
        on = on || (places[i] && places[i]->n);
    return on;
}

void filter_start(struct request *r, void (*then)(struct request *r))
{
    const struct http_filters *chain = r->http->filters;
    const struct filter_overrides *const places[FILTER_LEVELS] = {
        r->cluster ? &r->cluster->filters : NULL,
        r->route ? &r->route->filters : NULL,
        r->host ? &r->host->filters : NULL,
        r->routes ? &r->routes->filters : NULL,
    };
    struct arena *a = http_stream_arena(r->down);
    if (!is_on(chain, places)) {
        then(r);
        return;
    }
    struct filter_run *f = arena_alloc(a, sizeof(*f) + chain->n * sizeof(struct filter_call *));
    bool full = !f;
    for (size_t i = 0; i < chain->n && !full; i++) {
        struct filter_call c;
        if (!filter_resolve(&chain->filters[i], places, &c))
            continue;
        fill(&c, r, f);
        full = !add_call(f, &c, a);
    }
    if (full) { /* a filter that is not asked might be one that forbids */
        request_reply(r, REASON_NO_MEMORY);
        return;
    }
    f->request = r;
    f->then = then;
    r->filters = f;
    run(f);
}

/* Framed anew: its length is known now, and trailers are not kept. */
static void collected(struct filter_run *f)
{
    struct request *r = f->request;
    struct http_head *head = http_stream_head(r->down);
    f->collecting = false;
    worker_timer_give(r->worker, TAKE(r->timer));
    if (head->content_length == HTTP_LENGTH_NONE)
        head->content_length = (int64_t)f->body.n;
    head->chunked = false;
    struct filter_call *c = f->calls[f->at - 1];
    if (!c->type->on_body || follow(f, c->type, c, c->type->on_body(c)))
        run(f);
}

bool filter_start_data(struct request *r, struct chain *data, bool end)
{
    struct filter_run *f = r->filters;
    if (!f->collecting)
        return false;
    if (f->body.n + data->n > f->collect_max) {
        refuse_body(f);
        return true;
    }
    chain_move_all(&f->body, data);
    if (end)
        collected(f);
    else
        loop_timer_start(r->timer, wait_ms(r));
    return true;
}
