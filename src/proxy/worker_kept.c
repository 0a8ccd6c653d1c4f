/* What a worker keeps for its requests: a pool of connections to each endpoint of a cluster, made
 * when the cluster is first asked for; timers; the lines of access logs. */
#include "proxy/worker_priv.h"

enum { TIMERS_KEPT = 1024 };

struct loop *worker_loop(struct worker *w)
{
    return w->loop;
}

struct proxy_config *worker_config(struct worker *w)
{
    return w->config;
}

static void no_timer(void *user)
{
    (void)user;
}

struct loop_timer *worker_timer_take(struct worker *w, loop_timer_fn *fn, void *user)
{
    if (!w->timers.n)
        return loop_timer_new(w->loop, fn, user);
    struct loop_timer *t = vec_pop(&w->timers);
    loop_timer_set(t, fn, user);
    return t;
}

void worker_timer_give(struct worker *w, struct loop_timer *t)
{
    if (!t)
        return;
    loop_timer_stop(t);
    if (w->timers.n >= TIMERS_KEPT) {
        loop_timer_free(t);
        return;
    }
    loop_timer_set(t, no_timer, NULL);
    vec_push(&w->timers, t);
}

struct access_log_writer *worker_log_writer(struct worker *w, struct access_log *l)
{
    VEC_FOREACH (log, &w->logs)
        if (log->log == l)
            return log->writer;
    vec_push(&w->logs, (struct worker_log){l, access_log_writer_new(w->loop, l)});
    return w->logs.v[w->logs.n - 1].writer;
}

static struct worker_cluster *cluster_get(struct worker *w, struct cluster *c)
{
    while (w->clusters.n <= c->id)
        vec_push(&w->clusters, NULL);
    struct worker_cluster *wc = w->clusters.v[c->id];
    if (wc)
        return wc;
    wc = NEW(struct worker_cluster);
    wc->cluster = cluster_ref(c);
    VEC_FOREACH (e, &c->endpoints)
        vec_push(&wc->upstreams, upstream_new(w->loop, c, *e));
    wc->next = w->index;
    w->clusters.v[c->id] = wc;
    return wc;
}

static void cluster_drop(struct worker_cluster *wc)
{
    VEC_FOREACH (u, &wc->upstreams)
        upstream_free(*u);
    vec_done(&wc->upstreams);
    cluster_unref(wc->cluster);
    free(wc);
}

struct upstream *worker_upstream(struct worker *w, struct cluster *c)
{
    struct worker_cluster *wc = c->id < w->clusters.n ? w->clusters.v[c->id] : NULL;
    if (!wc)
        wc = cluster_get(w, c);
    if (!wc->upstreams.n)
        return NULL;
    return wc->upstreams.v[wc->next++ % wc->upstreams.n];
}

struct cluster *worker_find_cluster(struct worker *w, struct str name)
{
    return proxy_config_cluster(w->config, name);
}

struct endpoint *worker_choose_endpoint(struct worker *w, struct cluster *c)
{
    struct upstream *u = worker_upstream(w, c);
    return u ? upstream_endpoint(u) : NULL;
}

void worker_drop_kept(struct worker *w)
{
    VEC_FOREACH (wc, &w->clusters)
        if (*wc)
            cluster_drop(*wc);
    vec_done(&w->clusters);
    VEC_FOREACH (log, &w->logs)
        access_log_writer_free(log->writer);
    vec_done(&w->logs);
    VEC_FOREACH (t, &w->timers)
        loop_timer_free(*t);
    vec_done(&w->timers);
}
