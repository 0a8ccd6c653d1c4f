/* Workers. Everything here but worker_drain and worker_join runs on the worker's own thread once it
 * is started; a drain is posted to its loop. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "net/http1_conn.h"
#include "net/listener.h"
#include "proxy/request.h"
#include "proxy/worker_priv.h"

/* A client's connection. */
struct downstream {
    struct list_node node;
    struct worker *worker;
    struct http_conn *hc;
    size_t listener;
};

enum { DOWNSTREAMS_MAX = 50000 };

/* ---- downstream ---- */

static void downstream_free(struct downstream *d)
{
    struct worker *w = d->worker;
    list_remove(&d->node);
    w->n_downstreams--;
    free(d);
    if (w->draining && !w->n_downstreams)
        loop_stop(w->loop, 0);
}

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    struct downstream *d = user;
    (void)hc;
    request_begin(d->worker, d->worker->config->listeners.v[d->listener], s);
}

static void on_bad_request(struct http_conn *hc, const struct http_bad_request *bad,
                           struct buf *body, const char **ret_type, void *user)
{
    struct downstream *d = user;
    (void)hc;
    if (!bad->begun) /* else its request has logged itself */
        request_log_bad(d->worker, d->worker->config->listeners.v[d->listener],
                        (unsigned)bad->status);
    buf_add_cstr(body, bad->status == 431   ? "Request Header Fields Too Large"
                       : bad->status == 501 ? "Not Implemented"
                       : bad->status == 505 ? "HTTP Version Not Supported"
                       : bad->status == 408 ? "Request Timeout"
                                            : "Bad Request");
    *ret_type = "text/plain";
}

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc;
    (void)code;
    (void)text;
    downstream_free(user);
}

static void on_accept(int fd, void *user)
{
    static const struct http_conn_config config = {.idle_timeout_ms = 3600 * 1000};
    static const struct http_conn_ops ops = {
        .on_request = on_request, .on_bad_request = on_bad_request, .on_close = on_close};
    struct worker_listener *l = user;
    struct worker *w = l->worker;
    if (w->n_downstreams >= DOWNSTREAMS_MAX) {
        close(fd);
        return;
    }
    struct downstream *d = NEW(struct downstream);
    d->worker = w;
    d->listener = l->index;
    list_add_tail(&w->downstreams, &d->node);
    w->n_downstreams++;
    d->hc = http1_conn_new_server(conn_new_accepted(w->loop, fd, NULL, &conn_no_ops, NULL), &config,
                                  &ops, d);
}

/* ---- the worker itself ---- */

static void stop_listening(struct worker *w)
{
    VEC_FOREACH (l, &w->listeners)
        listener_free(l->listener);
    vec_done(&w->listeners);
}

static void on_drain_over(void *user)
{
    struct worker *w = user;
    loop_stop(w->loop, 0);
}

static void drain(void *user)
{
    struct worker *w = user;
    w->draining = true;
    stop_listening(w);
    LIST_FOREACH_SAFE (node, &w->downstreams)
        http_conn_shutdown(CONTAINER_OF(node, struct downstream, node)->hc);
    loop_timer_start(w->drain, w->drain_ms);
    if (!w->n_downstreams)
        loop_stop(w->loop, 0);
}

void worker_drain(struct worker *w, uint64_t drain_ms)
{
    w->drain_ms = drain_ms;
    loop_post(w->loop, drain, w);
}

static void *run(void *user)
{
    struct worker *w = user;
    loop_run(w->loop);
    chain_pool_trim();
    return NULL;
}

int worker_start(struct worker *w)
{
    return -pthread_create(&w->thread, NULL, run, w);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}

uint16_t worker_port(const struct worker *w, size_t listener)
{
    return listener_port(w->listeners.v[listener].listener);
}

int worker_new(struct proxy_config *c, unsigned index, unsigned of, struct worker **ret,
               struct err *reterr)
{
    static const struct listener_options o = {.reuse_port = true};
    struct worker *w = NEW(struct worker);
    ASSERT(index < of && of <= WORKERS_MAX);
    w->config = proxy_config_ref(c);
    w->index = index;
    list_init(&w->downstreams);
    int r = loop_new(&w->loop, reterr);
    if (r == 0)
        w->drain = loop_timer_new(w->loop, on_drain_over, w);
    vec_reserve(&w->listeners, c->listeners.n + 1); /* what listens points into it */
    for (size_t i = 0; i < c->listeners.n && r == 0; i++) {
        const struct listener_config *lc = c->listeners.v[i];
        struct worker_listener *l = vec_add(&w->listeners);
        l->worker = w;
        l->index = i;
        r = listener_new(w->loop, &lc->ip, lc->port, &o, on_accept, l, &l->listener, reterr);
    }
    if (r < 0) {
        worker_free(w);
        return r;
    }
    *ret = w;
    return 0;
}

void worker_free(struct worker *w)
{
    if (!w)
        return;
    w->draining = false;
    LIST_FOREACH_SAFE (node, &w->downstreams) {
        struct downstream *d = CONTAINER_OF(node, struct downstream, node);
        http_conn_free(d->hc);
        downstream_free(d);
    }
    worker_drop_kept(w);
    stop_listening(w);
    loop_timer_free(w->drain);
    if (w->loop)
        loop_turn(w->loop, 0); /* what ended in this turn is freed */
    loop_free(w->loop);
    proxy_config_unref(w->config);
    free(w);
}
