/* A question of a filter to a cluster: one try, one answer, gathered whole. */
#include "proxy/filter_fetch.h"

#include <errno.h>

#include "base/rand.h"
#include "proxy/filter_run.h"

enum { ANSWER_MAX = 1024 * 1024 };

struct filter_fetch {
    struct request *request;
    struct filter_call *call;
    struct filter_question question;
    struct upstream_wait wait;
    struct http_stream *stream; /* NULL: not yet, or no more */
    struct loop_timer *timer;
    struct http_head *answer; /* the stream's */
    struct chain body;
    bool reused; /* its stream is on a connection that has carried others */
};

static void clear(struct filter_fetch *f)
{
    worker_timer_give(f->request->worker, TAKE(f->timer));
    if (f->stream)
        http_stream_abort(TAKE(f->stream));
    upstream_cancel(&f->wait);
    upstream_ended(&f->wait);
    upstream_leave(&f->wait);
    chain_done(&f->body);
}

void filter_fetch_cancel(struct filter_fetch *f)
{
    if (f)
        clear(f);
}

static void fail(struct filter_fetch *f, enum reason why)
{
    upstream_failed(&f->wait, why);
    clear(f);
    f->question.on_answer(f->call, NULL, STR(""));
}

/* ---- its stream ---- */

static void on_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct filter_fetch *f = user;
    (void)s;
    (void)end;
    if (h->status < 200 && h->status != 101)
        return;
    if (h->status == 101) { /* nobody asked for it */
        fail(f, REASON_UPSTREAM_PROTOCOL);
        return;
    }
    f->answer = h;
    upstream_answered(&f->wait, h->status);
}

static void on_data(struct http_stream *s, struct chain *data, bool end, void *user)
{
    struct filter_fetch *f = user;
    (void)s;
    (void)end;
    if (f->body.n + data->n > ANSWER_MAX)
        fail(f, REASON_UPSTREAM_PROTOCOL);
    else
        chain_move_all(&f->body, data);
}

static void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user)
{
    struct filter_fetch *f = user;
    (void)s;
    (void)code;
    (void)text;
    f->stream = NULL;
    if (end == HTTP_END_CLOSED && !f->answer && f->reused) {
        /* The connection was being closed while the question went out: once more, on its own. */
        f->reused = false;
        if (upstream_take(&f->wait, true, &f->stream) == -EBUSY)
            fail(f, REASON_OVERFLOW);
        return;
    }
    if (end != HTTP_END_DONE || !f->answer) {
        fail(f, end == HTTP_END_PROTOCOL ? REASON_UPSTREAM_PROTOCOL : REASON_UPSTREAM_CLOSED);
        return;
    }
    struct chain body = f->body;
    struct str whole = body.n ? chain_linear(&body, body.n) : STR("");
    const struct http_head *answer = whole.p ? f->answer : NULL; /* NULL: out of memory */
    f->body = (struct chain){0};
    clear(f);
    f->question.on_answer(f->call, answer, whole);
    chain_done(&body);
}

static const struct http_stream_ops ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_over = on_over,
};

/* ---- the way there ---- */

static void send_question(struct filter_fetch *f)
{
    struct chain *gathered = &f->request->filters->body;
    bool with_body = f->question.with_body && gathered->n;
    f->question.head.content_length = with_body ? (int64_t)gathered->n : 0;
    http_stream_send_head(f->stream, &f->question.head, !with_body);
    if (!with_body)
        return;
    struct chain copy = {0};
    chain_share(&copy, gathered, gathered->n);
    http_stream_send_data(f->stream, &copy, true);
    chain_done(&copy);
}

static void on_ready(struct http_stream *s, void *user)
{
    struct filter_fetch *f = user;
    f->stream = s;
    send_question(f);
}

static void on_failed(enum reason why, const char *text, void *user)
{
    (void)text;
    fail(user, why);
}

static void on_late(void *user)
{
    fail(user, REASON_RESPONSE_TIMEOUT);
}

struct filter_fetch *filter_fetch_start(struct filter_call *c, const struct filter_question *q)
{
    struct request *r = c->request;
    struct lb_request which = {.random = rand_u64()};
    struct cluster *cluster = proxy_config_cluster(r->config->config, str_from(q->cluster));
    struct upstream *u = cluster ? worker_upstream(r->worker, cluster, &which) : NULL;
    struct filter_fetch *f = u ? arena_alloc(http_stream_arena(r->down), sizeof(*f)) : NULL;
    if (!f)
        return NULL;
    f->request = r;
    f->call = c;
    f->question = *q;
    f->wait.ops = &ops;
    f->wait.user = f;
    f->wait.on_ready = on_ready;
    f->wait.on_failed = on_failed;
    upstream_enter(u, &f->wait);
    int got = upstream_take(&f->wait, false, &f->stream);
    f->reused = got == 0;
    if (got == -EBUSY) {
        clear(f);
        return NULL;
    }
    if (q->timeout_ms) {
        f->timer = worker_timer_take(r->worker, on_late, f);
        loop_timer_start(f->timer, q->timeout_ms);
    }
    if (got == 0)
        send_question(f);
    return f;
}
