/* What a worker keeps for its requests: a pool of connections to each endpoint of a cluster, made
 * when it is first chosen; timers; the lines of access logs. */
#include "base/rand.h"
#include "proxy/original_dst.h"
#include "proxy/worker_priv.h"

enum { TIMERS_KEPT = 1024 };

struct loop *worker_loop(struct worker *w)
{
    return w->loop;
}

struct mirrors *worker_mirrors(struct worker *w)
{
    return &w->mirrors;
}

struct answer_cache *worker_answers(struct worker *w)
{
    return &w->answers;
}

unsigned worker_index(const struct worker *w)
{
    return w->index;
}

struct worker_config *worker_config(struct worker *w)
{
    w->config->refs++;
    return w->config;
}

void worker_config_unref(struct worker_config *c)
{
    if (!c || --c->refs)
        return;
    proxy_config_unref(c->config);
    free(c);
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
    vec_push(&w->logs, (struct worker_log){l, access_log_writer_new(
                                                  w->loop, l, stats_of(stats_server(), w->index))});
    return w->logs.v[w->logs.n - 1].writer;
}

void worker_keep_logs(struct worker *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->logs.n; i++) {
        if (access_log_writer_is_orphan(w->logs.v[i].writer))
            access_log_writer_free(w->logs.v[i].writer);
        else
            w->logs.v[kept++] = w->logs.v[i];
    }
    w->logs.n = kept;
}

/* ---- clusters ---- */

/* Pools of endpoints that are still there are kept, others retire. */
static void take_set(struct upstream_list *pools, const struct endpoint_set *old,
                     const struct endpoint_set *new)
{
    struct map kept = {0};
    void *left;
    for (size_t i = 0; i < pools->n; i++)
        if (pools->v[i])
            map_put(&kept, str_of(&old->entries.v[i].endpoint, sizeof(void *)), pools->v[i]);
    vec_clear(pools);
    VEC_FOREACH (e, &new->entries)
        vec_push(pools, map_remove(&kept, str_of(&e->endpoint, sizeof(void *))));
    for (size_t at = 0; map_next(&kept, &at, NULL, &left);)
        upstream_retire(left);
    map_done(&kept);
}

static void take_plan(void *user)
{
    struct worker_cluster *wc = user;
    if (wc->dropped)
        return;
    struct lb_plan *old = wc->plan, *new = cluster_plan(wc->cluster);
    wc->plan = new;
    vec_clear(&wc->cursors);
    for (uint32_t i = lb_plan_cursors(new); i > 0; i--)
        vec_push(&wc->cursors, (uint32_t)(rand_u64() >> 33)); /* workers do not go in step */
    if (!old || new->set != old->set)
        for (size_t i = 0; i < 1u + wc->cluster->http.as_client; i++)
            take_set(&wc->upstreams[i], old ? old->set : NULL, new->set);
    lb_plan_unref(old);
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
    wc->watch = (struct cluster_watch){.loop = w->loop, .fn = take_plan, .user = wc};
    cluster_watch(c, &wc->watch); /* first, so that none is missed */
    take_plan(wc);
    if (c->original)
        wc->original = original_dst_new(w->loop, w->index, c);
    w->clusters.v[c->id] = wc;
    return wc;
}

static void cluster_free(void *user)
{
    struct worker_cluster *wc = user;
    cluster_unref(wc->cluster);
    free(wc);
}

/* Calls to take a plan may have been posted: it stays until they have come. */
static void cluster_drop(struct worker *w, struct worker_cluster *wc,
                         void (*end)(struct upstream *u))
{
    cluster_unwatch(wc->cluster, &wc->watch);
    for (size_t i = 0; i < ARRAY_LEN(wc->upstreams); i++) {
        VEC_FOREACH (u, &wc->upstreams[i])
            if (*u)
                end(*u);
        vec_done(&wc->upstreams[i]);
    }
    original_dst_free(TAKE(wc->original), end);
    vec_done(&wc->cursors);
    lb_plan_unref(wc->plan);
    wc->dropped = true;
    loop_post(w->loop, cluster_free, wc);
}

bool worker_has_endpoint(struct worker *w, struct cluster *c, uint64_t id)
{
    return lb_preferred(cluster_get(w, c)->plan, id) != NULL;
}

struct upstream *worker_upstream(struct worker *w, struct cluster *c, struct lb_request *q)
{
    struct worker_cluster *wc = c->id < w->clusters.n ? w->clusters.v[c->id] : NULL;
    if (!wc)
        wc = cluster_get(w, c);
    uint32_t i = lb_choose(wc->plan, wc->cursors.v, q);
    if (i == LB_NONE && wc->original) /* no plan has it */
        return original_dst_choose(wc->original, q);
    if (i == LB_NONE) {
        stats_inc(stats_of(c->stats, w->index), CLUSTER_STAT_CX_NONE_HEALTHY);
        return NULL;
    }
    q->entry = &wc->plan->set->entries.v[i];
    struct upstream **u = &wc->upstreams[q->version == 2].v[i];
    if (!*u)
        *u = upstream_new(w->loop, w->index, c, q->entry->endpoint, q->version);
    return *u;
}

void worker_keep_clusters(struct worker *w)
{
    VEC_FOREACH (at, &w->clusters) {
        struct worker_cluster *wc = *at;
        if (!wc ||
            proxy_config_cluster(w->config->config, str_from(wc->cluster->name)) == wc->cluster)
            continue;
        *at = NULL;
        cluster_drop(w, wc, upstream_retire);
    }
}

struct cluster *worker_find_cluster(struct worker *w, struct str name)
{
    return proxy_config_cluster(w->config->config, name);
}

struct endpoint *worker_choose_endpoint(struct worker *w, struct cluster *c,
                                        const struct conn *client)
{
    struct upstream *u =
        worker_upstream(w, c, &(struct lb_request){.random = rand_u64(), .client = client});
    return u ? upstream_endpoint(u) : NULL;
}

void worker_drop_kept(struct worker *w)
{
    if (w->mirrors.end)
        w->mirrors.end(&w->mirrors);
    VEC_FOREACH (wc, &w->clusters)
        if (*wc)
            cluster_drop(w, *wc, upstream_free);
    vec_done(&w->clusters);
    VEC_FOREACH (log, &w->logs)
        access_log_writer_free(log->writer);
    vec_done(&w->logs);
    answer_cache_done(&w->answers);
    VEC_FOREACH (t, &w->timers)
        loop_timer_free(*t);
    vec_done(&w->timers);
}
