/* Outlier detection. What workers find in their counting they post to the main thread, which alone
 * sets and clears ENDPOINT_EJECTED. */
#include "proxy/outlier.h"

#include <math.h>

#include "base/assert.h"
#include "base/rand.h"
#include "proxy/cluster_stats.h"

enum found { /* in the order of the counters in stats.def */
             FOUND_5XX,
             FOUND_GATEWAY,
             FOUND_LOCAL,
             FOUND_RATE,
             FOUND_LOCAL_RATE,
             FOUND_FAILURES,
             FOUND_LOCAL_FAILURES,
};

struct outlier {
    struct loop *loop;
    struct cluster *cluster; /* borrowed: it stops this before it goes */
    const struct outlier_config *config;
    struct cluster_follower follower;
    struct loop_timer *timer;
};

/* ---- pure ---- */

double outlier_rate_threshold(const double *rates, size_t n, uint32_t stdev_factor)
{
    double sum = 0, squares = 0;
    ASSERT(n);
    for (size_t i = 0; i < n; i++)
        sum += rates[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (rates[i] - mean) * (rates[i] - mean);
    return mean - stdev_factor / 1000.0 * sqrt(squares / (double)n);
}

bool outlier_may_eject(const struct outlier_config *c, size_t n_ejected, size_t n)
{
    if (c->always_eject_one && !n_ejected)
        return true;
    return 100 * (n_ejected + 1) <= (uint64_t)c->max_ejection_percent * n;
}

uint64_t outlier_ejection_ms(const struct outlier_config *c, uint32_t backoff)
{
    return MIN(c->base_ejection_ms * backoff, c->max_ejection_ms);
}

/* ---- throwing out ---- */

static void eject(struct outlier *o, struct endpoint *e, enum found found)
{
    const struct outlier_config *c = o->config;
    const uint8_t enforcing[] = {
        [FOUND_5XX] = c->enforcing_5xx,
        [FOUND_GATEWAY] = c->enforcing_gateway,
        [FOUND_LOCAL] = c->enforcing_local,
        [FOUND_RATE] = c->enforcing_rate,
        [FOUND_LOCAL_RATE] = c->enforcing_local_rate,
        [FOUND_FAILURES] = c->enforcing_failures,
        [FOUND_LOCAL_FAILURES] = c->enforcing_local_failures,
    };
    const struct endpoint_set *s = o->cluster->plan->set;
    struct outlier_host *h = e->outlier;
    size_t ejected = 0;
    bool here = false;
    VEC_FOREACH (entry, &s->entries) {
        ejected += (atomic_load(&entry->endpoint->flags) & ENDPOINT_EJECTED) != 0;
        here = here || entry->endpoint == e;
    }
    if (!here || (atomic_load(&e->flags) & ENDPOINT_EJECTED))
        return;
    cluster_count(o->cluster, CLUSTER_STAT_OUTLIER_FOUND_5XX + found);
    if (!outlier_may_eject(c, ejected, s->entries.n)) {
        cluster_count(o->cluster, CLUSTER_STAT_OUTLIER_OVERFLOW);
        return;
    }
    if (rand_below(100) >= enforcing[found])
        return;
    cluster_count(o->cluster, CLUSTER_STAT_OUTLIER_OUT_5XX + found);
    cluster_count(o->cluster, CLUSTER_STAT_OUTLIER_TOTAL);
    if (c->base_ejection_ms * h->backoff < c->max_ejection_ms + c->base_ejection_ms)
        h->backoff++;
    h->ejected_ms = loop_now_ms(o->loop);
    h->jitter_ms = c->jitter_ms ? rand_below(c->jitter_ms + 1) : 0;
    atomic_fetch_or(&e->flags, ENDPOINT_EJECTED);
    cluster_replan_soon(o->cluster);
}

static void take_back(struct cluster *c, struct endpoint *e)
{
    atomic_fetch_and(&e->flags, ~(unsigned)ENDPOINT_EJECTED);
    atomic_store(&e->outlier->row_5xx, 0);
    atomic_store(&e->outlier->row_gateway, 0);
    atomic_store(&e->outlier->row_local, 0);
    cluster_replan_soon(c);
}

void outlier_checked(struct cluster *c, struct endpoint *e)
{
    if (c->outlier && c->outlier->check_unejects && e->outlier &&
        (atomic_load(&e->flags) & ENDPOINT_EJECTED))
        take_back(c, e);
}

/* ---- what workers find ---- */

struct outlier_found {
    struct cluster *cluster;
    struct endpoint *endpoint;
    enum found found;
};

static void on_found(void *user)
{
    struct outlier_found *f = user;
    struct outlier_host *h = f->endpoint->outlier;
    if (f->cluster->outlier_run && !(atomic_load(&f->endpoint->flags) & ENDPOINT_EJECTED)) {
        eject(f->cluster->outlier_run, f->endpoint, f->found);
        /* So that another row is found even if nothing good comes in between. */
        atomic_store(f->found == FOUND_5XX       ? &h->row_5xx
                     : f->found == FOUND_GATEWAY ? &h->row_gateway
                                                 : &h->row_local,
                     0);
    }
    endpoint_unref(f->endpoint);
    cluster_unref(f->cluster);
    free(f);
}

static void count_row(struct cluster *c, struct endpoint *e, atomic_uint *row, uint32_t max,
                      enum found found)
{
    struct loop *l = atomic_load_explicit(&c->main_loop, memory_order_acquire);
    if (atomic_fetch_add_explicit(row, 1, memory_order_relaxed) + 1 != max || !l)
        return;
    struct outlier_found *f = NEW(struct outlier_found);
    *f = (struct outlier_found){cluster_ref(c), endpoint_ref(e), found};
    loop_post(l, on_found, f);
}

static void row_ends(atomic_uint *row)
{
    if (atomic_load_explicit(row, memory_order_relaxed))
        atomic_store_explicit(row, 0, memory_order_relaxed);
}

/* Nobody else writes these. */
static void count(atomic_uint *total, atomic_uint *ok, bool good)
{
    unsigned n = atomic_load_explicit(total, memory_order_relaxed);
    atomic_store_explicit(total, n + 1, memory_order_relaxed);
    if (!good)
        return;
    n = atomic_load_explicit(ok, memory_order_relaxed);
    atomic_store_explicit(ok, n + 1, memory_order_relaxed);
}

static void count_status(struct cluster *c, struct endpoint *e, struct endpoint_load *mine,
                         unsigned status)
{
    const struct outlier_config *o = c->outlier;
    struct outlier_host *h = e->outlier;
    count(&mine->total, &mine->ok, status < 500);
    if (status < 500) {
        row_ends(&h->row_5xx);
        row_ends(&h->row_gateway);
        return;
    }
    if (status >= 502 && status <= 504)
        count_row(c, e, &h->row_gateway, o->consecutive_gateway, FOUND_GATEWAY);
    else
        row_ends(&h->row_gateway);
    count_row(c, e, &h->row_5xx, o->consecutive_5xx, FOUND_5XX);
}

void outlier_answered(struct cluster *c, struct endpoint *e, struct endpoint_load *mine,
                      unsigned status)
{
    if (!e->outlier)
        return;
    if (c->outlier->split_local) {
        count(&mine->local_total, &mine->local_ok, true);
        row_ends(&e->outlier->row_local);
    }
    count_status(c, e, mine, status);
}

void outlier_failed(struct cluster *c, struct endpoint *e, struct endpoint_load *mine,
                    unsigned status)
{
    if (!e->outlier)
        return;
    if (!c->outlier->split_local) {
        count_status(c, e, mine, status);
        return;
    }
    count(&mine->local_total, &mine->local_ok, false);
    count_row(c, e, &e->outlier->row_local, c->outlier->consecutive_local, FOUND_LOCAL);
}

/* ---- at the end of an interval ---- */

static void maybe_take_back(struct outlier *o, struct endpoint *e, uint64_t now)
{
    struct outlier_host *h = e->outlier;
    if (!(atomic_load(&e->flags) & ENDPOINT_EJECTED)) {
        if (h->backoff)
            h->backoff--;
        return;
    }
    if (outlier_ejection_ms(o->config, h->backoff) + h->jitter_ms <= now - h->ejected_ms)
        take_back(o->cluster, e);
}

/* What has been counted since the last time. */
static struct outlier_count since(const struct endpoint *e, bool local)
{
    const struct endpoint_load *l = atomic_load_explicit(&e->loads, memory_order_acquire);
    struct outlier_count *seen = local ? &e->outlier->seen_local : &e->outlier->seen, now = {0};
    for (unsigned i = 0; l && i < endpoint_workers(); i++) {
        const atomic_uint *total = local ? &l[i].local_total : &l[i].total;
        const atomic_uint *ok = local ? &l[i].local_ok : &l[i].ok;
        now.total += atomic_load_explicit(total, memory_order_relaxed);
        now.ok += atomic_load_explicit(ok, memory_order_relaxed);
    }
    struct outlier_count got = {now.total - seen->total, now.ok - seen->ok};
    *seen = now;
    got.ok = MIN(got.ok, got.total); /* the two are not read at one moment */
    return got;
}

static void compare(struct outlier *o, bool local)
{
    const struct outlier_config *c = o->config;
    const struct endpoint_set *s = o->cluster->plan->set;
    struct host {
        struct endpoint *endpoint;
        double rate;
        uint32_t volume;
    } *hosts = try_malloc((s->entries.n + 1) * sizeof(*hosts));
    double *rates = try_malloc((s->entries.n + 1) * sizeof(*rates));
    size_t n = 0, n_rates = 0, n_failures = 0;
    for (size_t i = 0; hosts && rates && i < s->entries.n; i++) {
        struct endpoint *e = s->entries.v[i].endpoint;
        struct outlier_count got = since(e, local);
        if ((atomic_load(&e->flags) & ENDPOINT_EJECTED) || !got.total)
            continue;
        hosts[n] = (struct host){e, 100.0 * got.ok / got.total, got.total};
        if (got.total >= c->rate_volume)
            rates[n_rates++] = hosts[n].rate;
        n_failures += got.total >= c->failures_volume;
        n++;
    }
    if (n_rates && n_rates >= c->rate_min_hosts) {
        double threshold = outlier_rate_threshold(rates, n_rates, c->rate_stdev_factor);
        for (size_t i = 0; i < n; i++)
            if (hosts[i].volume >= c->rate_volume && hosts[i].rate < threshold)
                eject(o, hosts[i].endpoint, local ? FOUND_LOCAL_RATE : FOUND_RATE);
    }
    if (n_failures && n_failures >= c->failures_min_hosts)
        for (size_t i = 0; i < n; i++)
            if (hosts[i].volume >= c->failures_volume && 100 - hosts[i].rate >= c->failures_percent)
                eject(o, hosts[i].endpoint, local ? FOUND_LOCAL_FAILURES : FOUND_FAILURES);
    free(hosts);
    free(rates);
}

static void on_interval(void *user)
{
    struct outlier *o = user;
    uint64_t now = loop_now_ms(o->loop);
    VEC_FOREACH (e, &o->cluster->plan->set->entries)
        maybe_take_back(o, e->endpoint, now);
    compare(o, false);
    if (o->config->split_local)
        compare(o, true);
    loop_timer_start(o->timer, o->config->interval_ms);
}

/* ---- life ---- */

/* Endpoints get what is counted before the plan that names them is there. */
static void on_endpoints(const struct endpoint_set *s, void *user)
{
    (void)user;
    VEC_FOREACH (e, &s->entries)
        if (!e->endpoint->outlier)
            e->endpoint->outlier = NEW(struct outlier_host);
}

struct outlier *outlier_new(struct loop *l, struct cluster *c)
{
    struct outlier *o = NEW(struct outlier);
    o->loop = l;
    o->cluster = c;
    o->config = c->outlier;
    o->follower = (struct cluster_follower){.on_endpoints = on_endpoints, .user = o};
    on_endpoints(c->plan->set, o);
    cluster_follow(c, &o->follower);
    o->timer = loop_timer_new(l, on_interval, o);
    loop_timer_start(o->timer, o->config->interval_ms);
    return o;
}

void outlier_free(struct outlier *o)
{
    if (!o)
        return;
    list_remove(&o->follower.node);
    loop_timer_free(o->timer);
    free(o);
}
