/* A question to a cluster: one try, one answer, gathered whole or dropped. */
#include "proxy/fetch.h"

#include <errno.h>

#include "base/rand.h"

static void clear(struct fetch *f)
{
    worker_timer_give(f->worker, TAKE(f->timer));
    if (f->stream)
        http_stream_abort(TAKE(f->stream));
    upstream_cancel(&f->wait);
    upstream_ended(&f->wait);
    upstream_leave(&f->wait);
    chain_done(&f->got);
}

void fetch_cancel(struct fetch *f)
{
    if (f->worker)
        clear(f);
}

static void fail(struct fetch *f, enum reason why)
{
    upstream_failed(&f->wait, why);
    clear(f);
    f->on_answer(NULL, STR(""), f->user);
}

/* ---- its stream ---- */

static void on_head(struct http_stream *s, struct http_head *h, bool end, void *user)
{
    struct fetch *f = user;
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
    struct fetch *f = user;
    (void)s;
    (void)end;
    if (f->drops_answer)
        return;
    if (f->got.n + data->n > FETCH_ANSWER_MAX)
        fail(f, REASON_UPSTREAM_PROTOCOL);
    else
        chain_move_all(&f->got, data);
}

static void on_trailers(struct http_stream *s, struct http_head *trailers, void *user)
{
    struct fetch *f = user;
    (void)s;
    f->trailers = trailers;
}

static void on_over(struct http_stream *s, enum http_end end, int code, const char *text,
                    void *user)
{
    struct fetch *f = user;
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
    struct chain body = f->got;
    struct str whole = body.n ? chain_linear(&body, body.n) : STR("");
    const struct http_head *answer = whole.p ? f->answer : NULL; /* NULL: out of memory */
    f->got = (struct chain){0};
    clear(f);
    f->on_answer(answer, whole, f->user);
    chain_done(&body);
}

static const struct http_stream_ops ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_trailers = on_trailers,
    .on_over = on_over,
};

/* ---- the way there ---- */

static void send_question(struct fetch *f)
{
    size_t n = f->body ? f->body->n : 0;
    http_stream_send_head(f->stream, f->head, !n);
    if (!n)
        return;
    struct chain copy = {0};
    chain_share(&copy, f->body, n);
    http_stream_send_data(f->stream, &copy, true);
    chain_done(&copy);
}

static void on_ready(struct http_stream *s, void *user)
{
    struct fetch *f = user;
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

int fetch_start(struct fetch *f, struct worker *w, struct cluster *c)
{
    struct lb_request which = {.random = rand_u64()};
    struct upstream *u = worker_upstream(w, c, &which);
    if (!u)
        return -EHOSTUNREACH;
    f->worker = w;
    f->wait.ops = &ops;
    f->wait.user = f;
    f->wait.on_ready = on_ready;
    f->wait.on_failed = on_failed;
    upstream_enter(u, &f->wait);
    upstream_name(&f->wait, c, f->head);
    int got = upstream_take(&f->wait, false, &f->stream);
    f->reused = got == 0;
    if (got == -EBUSY) {
        clear(f);
        return -EBUSY;
    }
    if (f->timeout_ms) {
        f->timer = worker_timer_take(w, on_late, f);
        loop_timer_start(f->timer, f->timeout_ms);
    }
    if (got == 0)
        send_question(f);
    return 0;
}
