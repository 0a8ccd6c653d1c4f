/* Clusters: made by the main thread, shared by reference. Their plan is exchanged under a lock that
 * a worker takes when it first meets the cluster and when it is told of a newer plan. */
#include "proxy/cluster.h"

#include "base/assert.h"
#include "base/time.h"
#include "proxy/cluster_stats.h"
#include "proxy/dns.h"
#include "proxy/health.h"
#include "proxy/original_dst_config.h"
#include "proxy/socket_match.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
    IDLE_TIMEOUT_MS = 3600 * 1000,
    PANIC_PERCENT = 50,
    CHOICES = 2,
    WARM_STEPS = 50, /* of warming up */
};
#define WARM_STEP_MS_MIN ((uint64_t)20)
#define WARM_STEP_MS_MAX ((uint64_t)1000)

void cluster_replan(void *user)
{
    struct cluster *c = user;
    cluster_put_endpoints(c, c->plan->set);
}

/* Numbers of clusters that have gone are given again: workers keep a place for each number. */
static pthread_mutex_t ids_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the next two */
static VEC(uint32_t) free_ids;
static uint32_t n_ids;

static uint32_t take_id(void)
{
    pthread_mutex_lock(&ids_lock);
    uint32_t id = free_ids.n ? vec_pop(&free_ids) : n_ids++;
    pthread_mutex_unlock(&ids_lock);
    return id;
}

static void give_id(uint32_t id)
{
    pthread_mutex_lock(&ids_lock);
    vec_push(&free_ids, id);
    pthread_mutex_unlock(&ids_lock);
}

struct cluster *cluster_new(struct str name)
{
    struct cluster *c = NEW(struct cluster);
    c->refs = 1;
    c->id = take_id();
    c->name = str_dup(name);
    c->stats = stats_get(STATS_CLUSTER, name, STR(""));
    c->ready = true;
    c->connect_timeout_ms = CONNECT_TIMEOUT_MS;
    c->http.conn.idle_timeout_ms = IDLE_TIMEOUT_MS;
    c->http.version = 1;
    c->lb = (struct lb_config){.panic_percent = PANIC_PERCENT,
                               .choices = CHOICES,
                               .ring_min = LB_RING_MIN,
                               .ring_max = LB_RING_MAX,
                               .table_size = LB_MAGLEV_SIZE};
    breakers_init(&c->breakers);
    pthread_mutex_init(&c->lock, NULL);
    list_init(&c->watchers);
    list_init(&c->followers);
    loop_call_init(&c->replan, cluster_replan, c);
    struct endpoint_set *none = endpoint_set_new();
    cluster_put_endpoints(c, none);
    endpoint_set_unref(none);
    return c;
}

struct cluster *cluster_ref(struct cluster *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

const struct ip *cluster_source(const struct cluster *c, int family)
{
    for (size_t i = 0; i < ARRAY_LEN(c->from); i++)
        if (c->from[i].family && c->from[i].family == family)
            return &c->from[i];
    return NULL;
}

void cluster_unref(struct cluster *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    ASSERT(list_is_empty(&c->watchers) && !c->main_loop);
    lb_plan_unref(c->plan);
    breakers_done(&c->breakers);
    pthread_mutex_destroy(&c->lock);
    free(c->outlier);
    health_config_free(c->health);
    dns_config_free(c->dns);
    original_dst_config_free(c->original);
    give_id(c->id);
    free(c->eds_name);
    upstream_tls_free(c->tls);
    socket_matches_free(c->matches);
    free(c->name);
    stats_unref(c->stats);
    free(c);
}

const struct upstream_tls *cluster_tls(const struct cluster *c, const struct endpoint *e)
{
    struct upstream_tls *t;
    if (c->matches && socket_matches_find(c->matches, str_of(e->labels, e->labels_n), &t))
        return t;
    return c->tls;
}

bool cluster_next_tls(const struct cluster *c, size_t *at, const struct upstream_tls **ret)
{
    struct upstream_tls *t = c->tls;
    if (*at == 0) {
        (*at)++;
        *ret = t;
        if (t)
            return true;
    }
    size_t of_matches = *at - 1;
    while (socket_matches_next(c->matches, &of_matches, &t)) {
        *at = of_matches + 1;
        *ret = t;
        if (t)
            return true;
    }
    return false;
}

struct lb_plan *cluster_plan(struct cluster *c)
{
    pthread_mutex_lock(&c->lock);
    struct lb_plan *p = lb_plan_ref(c->plan);
    pthread_mutex_unlock(&c->lock);
    return p;
}

void cluster_watch(struct cluster *c, struct cluster_watch *w)
{
    pthread_mutex_lock(&c->lock);
    list_add_tail(&c->watchers, &w->node);
    pthread_mutex_unlock(&c->lock);
}

void cluster_unwatch(struct cluster *c, struct cluster_watch *w)
{
    pthread_mutex_lock(&c->lock);
    list_remove(&w->node);
    pthread_mutex_unlock(&c->lock);
}

/* From when on an endpoint warms up. */
static void note_usable(const struct endpoint_set *s)
{
    uint64_t now = MAX(time_mono_us() / 1000, (uint64_t)1);
    VEC_FOREACH (e, &s->entries)
        if (!lb_is_usable(e))
            e->endpoint->usable_ms = 0;
        else if (!e->endpoint->usable_ms)
            e->endpoint->usable_ms = now;
}

void cluster_put_endpoints(struct cluster *c, struct endpoint_set *s)
{
    if (!c->plan || s != c->plan->set)
        LIST_FOREACH (node, &c->followers) {
            struct cluster_follower *f = CONTAINER_OF(node, struct cluster_follower, node);
            f->on_endpoints(s, f->user);
        }
    if (c->lb.warm_ms)
        note_usable(s);
    struct lb_plan *p = lb_plan_new(s, &c->lb);
    ASSERT(p || c->plan); /* the first one is of no endpoints */
    if (!p) {
        COUNT_IF(true, "no memory for the plan of a cluster: the old one stays");
        return;
    }
    pthread_mutex_lock(&c->lock);
    struct lb_plan *old = c->plan;
    c->plan = p;
    LIST_FOREACH (node, &c->watchers) {
        struct cluster_watch *w = CONTAINER_OF(node, struct cluster_watch, node);
        loop_post(w->loop, w->fn, w->user);
    }
    pthread_mutex_unlock(&c->lock);
    if (old && old->set->entries.n && old->set != s)
        cluster_count(c, CLUSTER_STAT_MEMBERSHIP_CHANGE);
    lb_plan_unref(old);
    if (p->warming && c->warm)
        loop_timer_start(c->warm,
                         MIN(MAX(c->lb.warm_ms / WARM_STEPS, WARM_STEP_MS_MIN), WARM_STEP_MS_MAX));
}

int cluster_set_endpoints(struct cluster *c,
                          const Envoy__Config__Endpoint__V3__ClusterLoadAssignment *m,
                          struct pb_path *path, struct err *reterr)
{
    struct endpoint_set *s;
    int r = endpoint_set_compile(m, c->plan->set, path, &s, reterr);
    if (r < 0)
        return r;
    cluster_put_endpoints(c, s);
    endpoint_set_unref(s);
    return 0;
}

void cluster_follow(struct cluster *c, struct cluster_follower *f)
{
    list_add_tail(&c->followers, &f->node);
}

void cluster_replan_soon(struct cluster *c)
{
    if (c->main_loop && !loop_call_is_queued(&c->replan))
        loop_defer(c->main_loop, &c->replan);
}

void cluster_is_ready(struct cluster *c)
{
    if (c->ready)
        return;
    c->ready = true;
    if (c->on_ready)
        c->on_ready(c, c->ready_user);
}
