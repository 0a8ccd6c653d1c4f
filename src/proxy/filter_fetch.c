/* Questions of filters: what a call knows of them, and its way back to the filter. */
#include "proxy/filter_fetch.h"

#include "proxy/fetch.h"
#include "proxy/filter_run.h"

struct filter_fetch {
    struct filter_call *call;
    struct filter_question question;
    struct chain message;
    struct fetch fetch;
};

void filter_fetch_cancel(struct filter_fetch *f)
{
    if (!f)
        return;
    fetch_cancel(&f->fetch);
    chain_done(&f->message);
}

static void on_answer(const struct http_head *answer, struct str body, void *user)
{
    struct filter_fetch *f = user;
    struct filter_call *c = f->call;
    chain_done(&f->message);
    c->trailers = f->fetch.trailers;
    f->question.on_answer(c, answer, body);
}

struct filter_fetch *filter_fetch_start(struct filter_call *c, const struct filter_question *q)
{
    struct request *r = c->request;
    struct cluster *cluster = proxy_config_cluster(r->config->config, str_from(q->cluster));
    struct filter_fetch *f = cluster ? arena_alloc(http_stream_arena(r->down), sizeof(*f)) : NULL;
    if (!f)
        return NULL;
    f->call = c;
    f->question = *q;
    f->fetch.head = &f->question.head;
    f->fetch.body = q->message ? &f->message : q->with_body ? &r->filters->body : NULL;
    if (q->message)
        chain_move_all(&f->message, q->message);
    f->fetch.timeout_ms = q->timeout_ms;
    f->fetch.on_answer = on_answer;
    f->fetch.user = f;
    f->question.head.content_length = f->fetch.body ? (int64_t)f->fetch.body->n : 0;
    if (fetch_start(&f->fetch, r->worker, cluster) == 0)
        return f;
    chain_done(&f->message);
    return NULL;
}
