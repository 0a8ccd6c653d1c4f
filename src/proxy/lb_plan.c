/* Plans: sorts the endpoints of a set by priority, health and locality, and writes their weights
 * out. Runs on the main thread; a plan for 10,000 endpoints takes a few milliseconds. */
#include <math.h>

#include "base/assert.h"
#include "base/time.h"
#include "proxy/lb.h"
#include "proxy/lb_schedule.h"

enum kind {
    KIND_HEALTHY,
    KIND_DEGRADED,
    KIND_UNHEALTHY,
    KIND_ALL, /* in panic */
};

struct plan_maker {
    struct lb_plan *plan;
    const struct endpoint_set *set;
    uint8_t *kinds; /* of each entry, enum kind */
    bool *excluded;
    uint64_t now_ms;
    bool failed; /* no memory */
};

static uint8_t kind_of(const struct endpoint_entry *e)
{
    unsigned flags = atomic_load_explicit(&e->endpoint->flags, memory_order_acquire);
    if (e->status == ENDPOINT_UNHEALTHY || e->status == ENDPOINT_DRAINING ||
        (flags & (ENDPOINT_FAILED_CHECK | ENDPOINT_EJECTED)))
        return KIND_UNHEALTHY;
    return e->status == ENDPOINT_DEGRADED ? KIND_DEGRADED : KIND_HEALTHY;
}

bool lb_is_usable(const struct endpoint_entry *e)
{
    return kind_of(e) == KIND_HEALTHY;
}

static bool is_excluded(const struct endpoint_entry *e)
{
    return e->status == ENDPOINT_DRAINING ||
           (atomic_load_explicit(&e->endpoint->flags, memory_order_acquire) &
            ENDPOINT_PENDING_CHECK);
}

static bool is_in(const struct plan_maker *m, uint32_t entry, enum kind kind)
{
    return kind == KIND_ALL || m->kinds[entry] == (uint8_t)kind;
}

/* ---- lists ---- */

uint32_t lb_warm_percent(const struct lb_config *c, uint64_t usable_ms)
{
    if (usable_ms >= c->warm_ms)
        return 100;
    double part = (double)MAX(usable_ms, (uint64_t)1) / (double)c->warm_ms;
    if (c->warm_aggression != 1.0)
        part = pow(part, 1.0 / c->warm_aggression);
    double percent = MAX(part * 100, c->warm_min_percent);
    return percent < 1 ? 1 : percent > 100 ? 100 : (uint32_t)percent;
}

static uint32_t weight_of(struct plan_maker *m, const struct endpoint_entry *e)
{
    if (!m->plan->config.warm_ms || !e->endpoint->usable_ms)
        return e->weight;
    uint32_t percent =
        lb_warm_percent(&m->plan->config, m->now_ms - MIN(m->now_ms, e->endpoint->usable_ms));
    m->plan->warming = m->plan->warming || percent < 100;
    return (uint32_t)MIN((uint64_t)e->weight * percent, (uint64_t)UINT32_MAX);
}

/* Written out by weight, unless all are the same or the policy has another use of weights. */
static void weigh(struct plan_maker *m, struct lb_list *l)
{
    uint32_t *weights = try_malloc(MAX(l->n, 1u) * sizeof(*weights)), n;
    bool differ = false;
    if (!weights) {
        m->failed = true;
        return;
    }
    for (uint32_t i = 0; i < l->n; i++) {
        weights[i] = weight_of(m, &m->set->entries.v[l->order[i]]);
        differ = differ || weights[i] != weights[0];
    }
    if (differ) {
        uint32_t *places = lb_schedule_new(weights, l->n, &n);
        m->failed = m->failed || !places;
        for (uint32_t i = 0; i < n; i++)
            places[i] = l->order[places[i]];
        if (places) {
            free(l->order);
            l->order = places;
            l->n = n;
        }
    }
    free(weights);
}

static void make_table(struct plan_maker *m, struct lb_list *l, const struct lb_ring_item *items,
                       uint32_t n)
{
    const struct lb_config *c = &m->plan->config;
    if (c->policy == LB_MAGLEV)
        l->maglev = lb_maglev_new(items, n, c->table_size);
    else
        l->ring = lb_ring_new(items, n, c->ring_min, c->ring_max);
    m->failed = !l->maglev && !l->ring;
}

/* What an entry's locality takes of the priority's traffic; 0..1. Without weights of localities:
 * what its endpoints weigh. */
static void make_hashed(struct plan_maker *m, struct lb_list *l)
{
    const struct endpoint_set *s = m->set;
    bool by_locality = false;
    double *sums = NULL, all = 0;
    struct lb_ring_item *items = try_malloc(MAX(l->n, 1u) * sizeof(*items));
    sums = try_malloc(MAX(s->localities.n, (size_t)1) * sizeof(*sums));
    m->failed = m->failed || !items || !sums;
    for (size_t i = 0; sums && i < s->localities.n; i++)
        sums[i] = 0;
    for (uint32_t i = 0; !m->failed && i < l->n; i++) {
        const struct endpoint_entry *e = &s->entries.v[l->order[i]];
        const struct endpoint_locality *at = &s->localities.v[e->locality];
        by_locality = by_locality || (m->plan->config.locality_weighted && at->weight);
        if (sums[e->locality] == 0)
            all += at->weight;
        sums[e->locality] += e->weight;
    }
    if (!m->failed && !by_locality) {
        all = 0;
        for (uint32_t i = 0; i < l->n; i++)
            all += s->entries.v[l->order[i]].weight;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; !m->failed && i < l->n; i++) {
        const struct endpoint_entry *e = &s->entries.v[l->order[i]];
        double share =
            by_locality ? s->localities.v[e->locality].weight / all / sums[e->locality] : 1 / all;
        if (share <= 0)
            continue; /* of a locality without weight */
        bool by_name = m->plan->config.hashes_hostname && e->hostname;
        const char *key = by_name ? e->hostname : e->endpoint->text;
        items[n] = (struct lb_ring_item){str_from(key), share * e->weight};
        l->order[n++] = l->order[i];
    }
    l->n = n;
    if (!m->failed && n)
        make_table(m, l, items, n);
    free(items);
    free(sums);
}

/* The endpoints of a kind in localities [from, to). */
static void add_list(struct plan_maker *m, uint32_t from, uint32_t to, enum kind kind)
{
    const struct endpoint_set *s = m->set;
    struct lb_list *l = vec_add(&m->plan->lists);
    size_t room = 0;
    for (uint32_t k = from; k < to; k++)
        room += s->localities.v[k].n;
    l->order = try_malloc(MAX(room, (size_t)1) * sizeof(*l->order));
    if (!l->order) {
        m->failed = true;
        return;
    }
    for (uint32_t k = from; k < to; k++) {
        const struct endpoint_locality *at = &s->localities.v[k];
        for (uint32_t i = at->first; i < at->first + at->n; i++)
            if (is_in(m, i, kind))
                l->order[l->n++] = i;
    }
    if (lb_by_hash(&m->plan->config))
        make_hashed(m, l);
    else if (m->plan->config.policy != LB_RANDOM)
        weigh(m, l);
}

/* ---- groups ---- */

/* The weight of a locality goes down once too few of its endpoints are of that kind. */
static uint32_t locality_weight(const struct plan_maker *m, const struct endpoint_locality *at,
                                enum kind kind)
{
    uint64_t n = 0, counted = at->n;
    for (uint32_t i = at->first; i < at->first + at->n; i++) {
        n += is_in(m, i, kind);
        counted -= m->excluded[i];
    }
    if (!counted)
        return 0;
    uint64_t percent =
        MIN((uint64_t)10000, m->set->overprovisioning_percent * 100ull * n / counted);
    uint64_t weight = at->weight * percent / 100; /* a hundredth at least */
    return (uint32_t)MIN(weight, (uint64_t)UINT32_MAX);
}

/* False: no locality has a weight, they do not count. */
static bool by_locality(struct plan_maker *m, uint32_t from, uint32_t to, enum kind kind,
                        struct lb_group *g)
{
    uint32_t *weights = try_malloc((to - from) * sizeof(*weights));
    m->failed = m->failed || !weights;
    for (uint32_t k = from; weights && k < to; k++)
        weights[k - from] = locality_weight(m, &m->set->localities.v[k], kind);
    if (weights)
        g->localities = lb_schedule_new(weights, to - from, &g->n_localities);
    free(weights);
    for (uint32_t k = from; g->localities && k < to; k++)
        add_list(m, k, k + 1, kind);
    return g->localities;
}

static uint8_t add_group(struct plan_maker *m, uint32_t from, uint32_t to, enum kind kind)
{
    struct lb_plan *p = m->plan;
    struct lb_group g = {.first_list = (uint32_t)p->lists.n};
    bool weighted = p->config.locality_weighted && !lb_by_hash(&p->config);
    if (!weighted || kind == KIND_ALL || !by_locality(m, from, to, kind, &g))
        add_list(m, from, to, kind);
    vec_push(&p->groups, g);
    return (uint8_t)(p->groups.n - 1);
}

static void count(struct plan_maker *m, uint32_t from, uint32_t to, struct lb_priority *ret)
{
    for (uint32_t k = from; k < to; k++) {
        const struct endpoint_locality *at = &m->set->localities.v[k];
        for (uint32_t i = at->first; i < at->first + at->n; i++) {
            ret->hosts++;
            ret->excluded += m->excluded[i];
            ret->healthy += m->kinds[i] == KIND_HEALTHY;
            ret->degraded += m->kinds[i] == KIND_DEGRADED;
        }
    }
}

static uint32_t end_of_priority(const struct endpoint_set *s, uint32_t from)
{
    uint32_t to = from;
    while (to < s->localities.n && s->localities.v[to].priority == s->localities.v[from].priority)
        to++;
    return to;
}

static uint32_t fill(struct lb_plan *p, uint32_t at, uint32_t n, uint8_t group)
{
    for (uint32_t i = 0; i < n && at < LB_SLOTS; i++)
        p->group_of[at++] = group;
    return at;
}

static void add_groups(struct plan_maker *m)
{
    struct lb_plan *p = m->plan;
    uint32_t slot = 0, from = 0;
    for (uint32_t i = 0; i < p->n_priorities; i++) {
        const struct lb_priority *at = &p->priorities[i];
        uint32_t to = end_of_priority(m->set, from), healthy = at->healthy_load,
                 degraded = at->degraded_load;
        if (at->panic) {
            if (healthy + degraded)
                slot = fill(p, slot, healthy + degraded, add_group(m, from, to, KIND_ALL));
            from = to;
            continue;
        }
        if (lb_by_hash(&p->config) && at->healthy) { /* the table is of the healthy ones */
            healthy += degraded;
            degraded = 0;
        }
        if (healthy)
            slot = fill(p, slot, healthy, add_group(m, from, to, KIND_HEALTHY));
        if (degraded)
            slot = fill(p, slot, degraded, add_group(m, from, to, KIND_DEGRADED));
        from = to;
    }
    p->empty = slot < LB_SLOTS || !m->set->entries.n;
    p->plain = p->config.policy == LB_ROUND_ROBIN && p->groups.n == 1 && p->lists.n == 1 &&
               p->lists.v[0].n;
}

struct lb_plan *lb_plan_new(struct endpoint_set *s, const struct lb_config *c)
{
    struct lb_plan *p = NEW(struct lb_plan);
    struct plan_maker m = {.plan = p, .set = s};
    m.now_ms = c->warm_ms ? time_mono_us() / 1000 : 0;
    p->refs = 1;
    p->set = endpoint_set_ref(s);
    p->config = *c;
    p->n_priorities = s->n_priorities;
    p->priorities = xcalloc(MAX(s->n_priorities, 1u), sizeof(*p->priorities));
    m.kinds = try_malloc(s->entries.n + 1);
    m.excluded = try_malloc((s->entries.n + 1) * sizeof(bool));
    m.failed = !m.kinds || !m.excluded;
    for (size_t i = 0; !m.failed && i < s->entries.n; i++) {
        m.kinds[i] = kind_of(&s->entries.v[i]);
        m.excluded[i] = is_excluded(&s->entries.v[i]);
    }
    for (uint32_t i = 0, from = 0; !m.failed && i < p->n_priorities; i++) {
        uint32_t to = end_of_priority(s, from);
        count(&m, from, to, &p->priorities[i]);
        from = to;
    }
    if (!m.failed) {
        lb_priority_loads(p->priorities, p->n_priorities, s->overprovisioning_percent,
                          c->panic_percent);
        add_groups(&m);
    }
    vec_fit(&p->lists);
    vec_fit(&p->groups);
    free(m.kinds);
    free(m.excluded);
    if (m.failed) {
        lb_plan_unref(p);
        return NULL;
    }
    return p;
}

struct lb_plan *lb_plan_ref(struct lb_plan *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void lb_plan_unref(struct lb_plan *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    VEC_FOREACH (l, &p->lists) {
        free(l->order);
        free(l->ring);
        free(l->maglev);
    }
    VEC_FOREACH (g, &p->groups)
        free(g->localities);
    vec_done(&p->lists);
    vec_done(&p->groups);
    free(p->priorities);
    endpoint_set_unref(p->set);
    free(p);
}
