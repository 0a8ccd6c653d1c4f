/* Workers. Everything here but worker_drain and worker_join runs on the worker's own thread once it
 * is started; a drain is posted to its loop. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "proxy/downstream.h"
#include "proxy/worker_priv.h"

/* ---- the worker itself ---- */

static void stop_listening(struct worker *w)
{
    VEC_FOREACH (l, &w->listeners)
        downstream_unlisten(*l);
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
    return listener_port(w->listeners.v[listener]->sockets.v[0]);
}

int worker_new(struct proxy_config *c, unsigned index, unsigned of, struct worker **ret,
               struct err *reterr)
{
    struct worker *w = NEW(struct worker);
    ASSERT(index < of && of <= WORKERS_MAX);
    w->config = proxy_config_ref(c);
    w->index = index;
    list_init(&w->downstreams);
    int r = loop_new(&w->loop, reterr);
    if (r == 0)
        w->drain = loop_timer_new(w->loop, on_drain_over, w);
    for (size_t i = 0; i < c->listeners.n && r == 0; i++) {
        struct worker_listener *l;
        r = downstream_listen(w, c->listeners.v[i], &l, reterr);
        if (r == 0)
            vec_push(&w->listeners, l);
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
    downstreams_free(w);
    worker_drop_kept(w);
    stop_listening(w);
    loop_timer_free(w->drain);
    if (w->loop)
        loop_turn(w->loop, 0); /* what ended in this turn is freed */
    loop_free(w->loop);
    proxy_config_unref(w->config);
    free(w);
}
