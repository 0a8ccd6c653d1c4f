/* Statistics worked out of the snapshot in force and of the program. */
#include "proxy/stats_values.h"

#include <malloc.h>
#include <stdio.h>

#include "base/assert.h"
#include "proxy/lb_priority.h"

static struct str key_of(const struct stats_set *const *s)
{
    return str_of(s, sizeof(*s));
}

void stats_values_init(struct stats_values *v, struct proxy_config *c,
                       const struct stats_program *p)
{
    void *cluster;
    *v = (struct stats_values){.config = proxy_config_ref(c), .program = *p};
    for (size_t at = 0; map_next(&c->clusters->by_name, &at, NULL, &cluster);) {
        const struct stats_set *set = ((struct cluster *)cluster)->stats;
        map_put(&v->clusters, key_of(&set), cluster);
    }
}

void stats_values_done(struct stats_values *v)
{
    map_done(&v->clusters);
    proxy_config_unref(v->config);
}

/* ---- clusters ---- */

static bool is_open(const struct breaker *b)
{
    return atomic_load_explicit(&b->used, memory_order_relaxed) >= b->max;
}

static uint64_t breaker_value(const struct cluster *c, unsigned at)
{
    unsigned priority = at >= CLUSTER_STAT_HIGH_CX_OPEN;
    const struct breaker_of *of = &c->breakers.of[priority];
    switch (at) {
    case CLUSTER_STAT_DEFAULT_CX_OPEN:
    case CLUSTER_STAT_HIGH_CX_OPEN:
        return is_open(&of->connections);
    case CLUSTER_STAT_DEFAULT_PENDING_OPEN:
    case CLUSTER_STAT_HIGH_PENDING_OPEN:
        return is_open(&of->pending);
    case CLUSTER_STAT_DEFAULT_RETRY_OPEN:
    case CLUSTER_STAT_HIGH_RETRY_OPEN:
        return is_open(&of->retries);
    default: /* what workers keep is free */
        return breakers_requests(&c->breakers, priority) >= of->requests.max;
    }
}

static uint64_t count_flagged(const struct endpoint_set *s, unsigned flags)
{
    uint64_t n = 0;
    VEC_FOREACH (e, &s->entries)
        n += e->endpoint &&
             (atomic_load_explicit(&e->endpoint->flags, memory_order_relaxed) & flags) != 0;
    return n;
}

/* The newest plan is this thread's to change. */
static uint64_t cluster_value(const struct cluster *c, unsigned at)
{
    const struct lb_plan *p = c->plan;
    uint64_t n = 0;
    switch (at) {
    case CLUSTER_STAT_MEMBERS:
        return p->set->entries.n;
    case CLUSTER_STAT_MEMBERS_HEALTHY:
        for (uint32_t i = 0; i < p->n_priorities; i++)
            n += p->priorities[i].healthy;
        return n;
    case CLUSTER_STAT_MEMBERS_DEGRADED:
        for (uint32_t i = 0; i < p->n_priorities; i++)
            n += p->priorities[i].degraded;
        return n;
    case CLUSTER_STAT_MEMBERS_EXCLUDED:
        for (uint32_t i = 0; i < p->n_priorities; i++)
            n += p->priorities[i].excluded;
        return n;
    case CLUSTER_STAT_OUTLIER_ACTIVE:
        return c->outlier ? count_flagged(p->set, ENDPOINT_EJECTED) : 0;
    case CLUSTER_STAT_CHECK_HEALTHY:
        return c->health ? p->set->entries.n -
                               count_flagged(p->set, ENDPOINT_FAILED_CHECK | ENDPOINT_PENDING_CHECK)
                         : 0;
    default:
        return breaker_value(c, at);
    }
}

/* ---- the program ---- */

static uint64_t odd_things(void)
{
    uint64_t n = 0;
    for (const struct odd_counter *c = odd_counter_list(); c; c = c->next)
        n += __atomic_load_n(&c->count, __ATOMIC_RELAXED);
    return n;
}

static uint64_t version_number(void)
{
    unsigned major = 0, minor = 0, patch = 0;
    return sscanf(FAIRLEAD_VERSION, "%u.%u.%u", &major, &minor, &patch) >= 1
               ? major * 10000u + minor * 100u + patch
               : 0;
}

static uint64_t open_connections(const struct proxy_config *c)
{
    uint64_t n = 0;
    VEC_FOREACH (l, &c->listeners)
        n += stats_sum((*l)->stats, LISTENER_STAT_CX_ACTIVE);
    return n;
}

static uint64_t server_value(const struct stats_values *v, unsigned at)
{
    const struct stats_program *p = &v->program;
    switch (at) {
    case SERVER_STAT_LIVE:
        return p->live;
    case SERVER_STAT_STATE:
        return p->state;
    case SERVER_STAT_UPTIME:
        return p->uptime_s;
    case SERVER_STAT_CONCURRENCY:
        return p->workers;
    case SERVER_STAT_ALLOCATED:
        return mallinfo2().uordblks;
    case SERVER_STAT_HEAP:
        return mallinfo2().arena;
    case SERVER_STAT_VERSION:
        return version_number();
    case SERVER_STAT_CONNECTIONS:
        return open_connections(v->config);
    case SERVER_STAT_CLUSTERS:
        return v->config->clusters->by_name.used;
    case SERVER_STAT_CLUSTERS_WARMING:
        return p->clusters_warming;
    case SERVER_STAT_LISTENERS:
        return v->config->listeners.n;
    case SERVER_STAT_LISTENERS_WARMING:
        return p->listeners_warming;
    case SERVER_STAT_WORKERS_STARTED:
        return p->running;
    default:
        ASSERT(at == SERVER_STAT_ODD); /* else: a VALUE that nobody works out */
        return odd_things();
    }
}

uint64_t stats_value(const struct stats_values *v, const struct stats_set *s, unsigned at)
{
    if (s->kind == STATS_SERVER)
        return server_value(v, at);
    const struct cluster *c = map_find(&v->clusters, key_of(&(const struct stats_set *){s}));
    return c ? cluster_value(c, at) : 0; /* of a cluster that warms, or leaves */
}
