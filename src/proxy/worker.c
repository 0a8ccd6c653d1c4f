/* Workers. Everything here but worker_drain and worker_join runs on the worker's own thread once it
 * is started; a drain is posted to its loop. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/log.h"
#include "codec/regex.h"
#include "proxy/downstream.h"
#include "proxy/worker_priv.h"

/* ---- the worker itself ---- */

/* How long clients of a listener that has changed may go on by its old configuration. */
enum { STALE_MS = 600 * 1000 };
/* Who is to end, and has not been asked anything for so long, is not asked any more. */
enum { QUIET_MS = 1000 };

static void stop_listening(struct worker *w)
{
    VEC_FOREACH (l, &w->listeners)
        downstream_unlisten(*l);
    vec_done(&w->listeners);
}

static int listen_for(struct worker *w, struct listener_config *c, struct err *reterr)
{
    struct worker_listener *l;
    int r = downstream_listen(w, c, &l, reterr);
    if (r == 0)
        vec_push(&w->listeners, l);
    stats_inc(stats_of(stats_server(), w->index),
              r == 0 ? SERVER_STAT_LISTENER_OPENED : SERVER_STAT_LISTENER_FAILED);
    return r;
}

/* ---- another snapshot ---- */

static bool is_closed(const struct worker *w, const struct listener_config *c)
{
    return w->closed || (w->closed_inbound && c->inbound);
}

/* A listener on the same address takes its new configuration and goes on; its clients keep the old
 * one for a while. */
static void take_listeners(struct worker *w, struct proxy_config *c)
{
    struct map there = {.borrows = true};
    size_t kept = 0;
    for (size_t i = 0; i < w->listeners.n; i++) {
        struct worker_listener *l = w->listeners.v[i];
        struct listener_config *now = map_find_cstr(&c->by_name, l->config->name);
        if (!now || !listener_config_listens_alike(now, l->config)) {
            downstream_unlisten(l);
            continue;
        }
        listener_config_ref(now);
        listener_config_unref(l->config);
        l->config = now;
        map_put_cstr(&there, now->name, now);
        w->listeners.v[kept++] = l;
    }
    w->listeners.n = kept;
    for (size_t i = 0; kept < c->listeners.n && i < c->listeners.n; i++) {
        struct listener_config *l = c->listeners.v[i];
        struct err err = {0};
        if (!is_closed(w, l) && !map_find_cstr(&there, l->name) && listen_for(w, l, &err) < 0)
            log_error("cannot listen", kv_s("listener", l->name), kv_s("error", err_text(&err)));
    }
    map_done(&there);
}

static struct worker_config *worker_config_new(struct proxy_config *c)
{
    struct worker_config *wc = NEW(struct worker_config);
    wc->refs = 1;
    wc->config = c;
    return wc;
}

struct config_post {
    struct worker *worker;
    struct proxy_config *config;
};

static void take_config(void *user)
{
    struct config_post *p = user;
    struct worker *w = p->worker;
    struct worker_config *before = w->config;
    struct proxy_config *config = p->config;
    free(p);
    if (w->ended) {
        proxy_config_unref(config);
        return;
    }
    w->config = worker_config_new(config);
    if (!w->draining)
        take_listeners(w, w->config->config);
    if (before->config->clusters != config->clusters)
        worker_keep_clusters(w);
    worker_config_unref(before);
    worker_keep_logs(w);
    if (!loop_timer_is_started(w->stale))
        loop_timer_start(w->stale, STALE_MS);
}

void worker_set_config(struct worker *w, struct proxy_config *c)
{
    struct config_post *p = NEW(struct config_post);
    *p = (struct config_post){w, c};
    loop_post(w->loop, take_config, p);
}

static void on_stale(void *user)
{
    downstreams_drain_stale(user);
}

static void on_drain_over(void *user)
{
    struct worker *w = user;
    loop_stop(w->loop, 0);
}

static void drain(void *user)
{
    struct worker *w = user;
    if (w->ended)
        return;
    w->draining = true;
    stop_listening(w);
    downstreams_drain(w);
    loop_timer_start(w->drain, w->drain_ms);
    if (!w->n_downstreams)
        loop_stop(w->loop, 0);
}

void worker_drain(struct worker *w, uint64_t drain_ms)
{
    w->drain_ms = drain_ms;
    loop_post(w->loop, drain, w);
}

static void on_leave(void *user)
{
    struct worker *w = user;
    uint64_t now_ms = loop_now_ms(w->loop);
    if (w->draining)
        return;
    if (w->busy == w->busy_then || now_ms >= w->leave_by_ms) {
        w->drain_ms = w->drain_by_ms - MIN(w->drain_by_ms, now_ms);
        drain(w);
        return;
    }
    w->busy_then = w->busy;
    loop_timer_start(w->leave, MIN((uint64_t)QUIET_MS, w->leave_by_ms - now_ms));
}

struct leaving {
    struct worker *worker;
    uint64_t linger_ms;
};

static void leave(void *user)
{
    struct leaving l = *(struct leaving *)user;
    struct worker *w = l.worker;
    free(user);
    if (w->ended || w->draining)
        return;
    w->telling = true;
    w->leave_by_ms = loop_now_ms(w->loop) + l.linger_ms;
    w->drain_by_ms = loop_now_ms(w->loop) + w->drain_ms;
    w->busy_then = w->busy;
    loop_timer_start(w->leave, MIN((uint64_t)QUIET_MS, l.linger_ms));
}

void worker_leave(struct worker *w, uint64_t linger_ms, uint64_t drain_ms)
{
    struct leaving *l = NEW(struct leaving);
    *l = (struct leaving){w, linger_ms};
    w->drain_ms = drain_ms;
    loop_post(w->loop, leave, l);
}

/* ---- orders ---- */

struct order {
    struct worker *worker;
    bool flag;
};

static void order(struct worker *w, loop_timer_fn *fn, bool flag)
{
    struct order *o = NEW(struct order);
    *o = (struct order){w, flag};
    loop_post(w->loop, fn, o);
}

static void tell_clients(void *user)
{
    struct order o = *(struct order *)user;
    free(user);
    o.worker->telling = o.flag;
}

void worker_tell_clients(struct worker *w, bool go)
{
    order(w, tell_clients, go);
}

static void close_listeners(void *user)
{
    struct order o = *(struct order *)user;
    struct worker *w = o.worker;
    size_t kept = 0;
    free(user);
    w->closed |= !o.flag;
    w->closed_inbound = true;
    for (size_t i = 0; i < w->listeners.n; i++) {
        struct worker_listener *l = w->listeners.v[i];
        if (is_closed(w, l->config))
            downstream_unlisten(l);
        else
            w->listeners.v[kept++] = l;
    }
    w->listeners.n = kept;
}

void worker_close_listeners(struct worker *w, bool inbound_only)
{
    order(w, close_listeners, inbound_only);
}

static void *run(void *user)
{
    struct worker *w = user;
    loop_run(w->loop);
    chain_pool_trim();
    regex_thread_done();
    loop_post(w->main, w->on_end, w->end_user);
    return NULL;
}

int worker_start(struct worker *w, struct loop *main, loop_timer_fn *fn, void *user)
{
    w->main = main;
    w->on_end = fn;
    w->end_user = user;
    return -pthread_create(&w->thread, NULL, run, w);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}

int worker_new(struct proxy_config *c, unsigned index, unsigned of, struct worker **ret,
               struct err *reterr)
{
    struct worker *w = NEW(struct worker);
    ASSERT(index < of && of <= WORKERS_MAX);
    w->config = worker_config_new(proxy_config_ref(c));
    w->index = index;
    list_init(&w->downstreams);
    int r = loop_new(&w->loop, reterr);
    if (r == 0)
        w->drain = loop_timer_new(w->loop, on_drain_over, w);
    if (r == 0)
        w->stale = loop_timer_new(w->loop, on_stale, w);
    if (r == 0)
        w->leave = loop_timer_new(w->loop, on_leave, w);
    for (size_t i = 0; i < c->listeners.n && r == 0; i++)
        r = listen_for(w, c->listeners.v[i], reterr);
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
    w->ended = true; /* what is posted from now on changes nothing */
    downstreams_free(w);
    worker_drop_kept(w);
    stop_listening(w);
    loop_timer_free(w->drain);
    loop_timer_free(w->stale);
    loop_timer_free(w->leave);
    if (w->loop)
        loop_turn(w->loop, 0); /* what ended in this turn is freed */
    loop_free(w->loop);
    worker_config_unref(w->config);
    free(w);
}
