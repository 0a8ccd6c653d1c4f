/* Names of a cluster's endpoints. Each is asked for on its own timer; whenever the addresses of one
 * have changed, the cluster gets a new set of all that are known. */
#include "proxy/dns.h"

#include "base/assert.h"
#include "base/rand.h"
#include "net/resolver.h"
#include "proxy/cluster_stats.h"

struct dns_name {
    struct dns *dns;
    const struct endpoint_entry *entry; /* of the configuration */
    struct loop_timer *timer;
    struct resolver_query *query;
    VEC(struct ip) ips; /* the last that were found */
    unsigned failures;  /* since */
    bool answered;
};

struct dns {
    struct loop *loop;
    struct cluster *cluster; /* borrowed: it stops this before it goes */
    const struct dns_config *config;
    struct resolver *resolver; /* borrowed unless own */
    bool own;
    struct dns_name *names; /* as many as entries; .dns NULL: an address */
    size_t n_unanswered;
};

/* One for all clusters that have no servers of their own: the main thread's. */
static struct resolver *shared;
static unsigned n_sharing;

/* ---- pure ---- */

static int by_ip(const void *a, const void *b)
{
    return ip_cmp(a, b);
}

size_t dns_choose(const struct dns_config *c, struct ip *ips, size_t n, const struct ip *now)
{
    size_t kept = 0, preferred = 0, at = 0;
    for (size_t i = 0; i < n; i++)
        preferred += ips[i].family == c->prefer;
    for (size_t i = 0; i < n; i++)
        if (!preferred || ips[i].family == c->prefer)
            ips[kept++] = ips[i];
    if (c->logical && kept) {
        for (size_t i = 0; now && i < kept; i++)
            if (ip_eq(&ips[i], now))
                at = i; /* connections to it live on */
        ips[0] = ips[at];
        return 1;
    }
    if (kept)
        qsort(ips, kept, sizeof(ips[0]), by_ip);
    n = kept;
    kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!kept || !ip_eq(&ips[kept - 1], &ips[i]))
            ips[kept++] = ips[i];
    return kept;
}

uint64_t dns_next_ms(const struct dns_config *c, unsigned failures, uint32_t ttl_s, uint64_t random)
{
    if (!failures)
        return c->respect_ttl && ttl_s ? ttl_s * 1000ull : c->refresh_ms;
    uint64_t ms = MIN(c->failure_ms << MIN(failures - 1, 16u), c->failure_max_ms);
    return ms - (ms > c->failure_ms ? random % (ms / 2 + 1) : 0);
}

/* ---- sets ---- */

static void add_address(struct endpoint_maker *m, const struct endpoint_entry *from,
                        const struct ip *ip, uint16_t port)
{
    struct str labels = from->endpoint ? str_of(from->endpoint->labels, from->endpoint->labels_n)
                                       : buf_str(&from->labels);
    struct endpoint_entry *e = endpoint_maker_add(m, ip, port, labels);
    if (!e)
        return; /* two names, one address */
    e->weight = from->weight;
    e->status = from->status;
    e->unchecked = from->unchecked;
    e->check = from->check;
    e->check.hostname = from->check.hostname ? xstrdup(from->check.hostname) : NULL;
    if (from->hostname || from->name)
        e->hostname = xstrdup(from->hostname ? from->hostname : from->name);
}

static void add_entry(struct endpoint_maker *m, const struct dns_name *name,
                      const struct endpoint_entry *e)
{
    if (e->endpoint) {
        struct ip ip;
        uint16_t port;
        int r = ip_from_sockaddr((const struct sockaddr *)&e->endpoint->address, &ip, &port);
        ASSERT(r == 0); /* it was made of one */
        add_address(m, e, &ip, port);
        return;
    }
    for (size_t i = 0; i < name->ips.n && m->set->entries.n < ENDPOINTS_MAX; i++)
        add_address(m, e, &name->ips.v[i], e->name_port);
}

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

static void publish(struct dns *d)
{
    const struct endpoint_set *names = d->config->names;
    struct endpoint_maker m;
    endpoint_maker_init(&m, d->cluster->plan->set);
    m.set->overprovisioning_percent = names->overprovisioning_percent;
    VEC_FOREACH (l, &names->localities) {
        endpoint_maker_locality(&m, l->priority, l->weight);
        struct endpoint_locality *to = &m.set->localities.v[m.set->localities.n - 1];
        to->region = copy(l->region);
        to->zone = copy(l->zone);
        to->sub_zone = copy(l->sub_zone);
        for (uint32_t i = l->first; i < l->first + l->n; i++)
            add_entry(&m, &d->names[i], &names->entries.v[i]);
    }
    struct endpoint_set *s = endpoint_maker_take(&m);
    endpoint_maker_done(&m);
    cluster_put_endpoints(d->cluster, s);
    endpoint_set_unref(s);
}

/* ---- asking ---- */

static bool same(const struct dns_name *n, const struct ip *ips, size_t count)
{
    if (n->ips.n != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!ip_eq(&n->ips.v[i], &ips[i]))
            return false;
    return true;
}

static void take(struct dns_name *n, const struct ip *ips, size_t count)
{
    struct ip *mine = try_malloc(count * sizeof(*mine));
    if (!mine)
        return; /* those of before stay */
    memcpy(mine, ips, count * sizeof(*mine));
    count = dns_choose(n->dns->config, mine, count, n->ips.n ? &n->ips.v[0] : NULL);
    bool changed = !same(n, mine, count);
    vec_clear(&n->ips);
    for (size_t i = 0; i < count; i++)
        vec_push(&n->ips, mine[i]);
    free(mine);
    if (changed)
        publish(n->dns);
}

static void on_answer(int code, const struct ip *ips, size_t count, const char *text, void *user)
{
    struct dns_name *n = user;
    struct dns *d = n->dns;
    uint32_t ttl_s = resolver_query_ttl_s(n->query);
    (void)text;
    n->query = NULL;
    n->failures = code < 0 ? n->failures + 1 : 0;
    cluster_count(d->cluster, CLUSTER_STAT_UPDATE_ATTEMPT);
    cluster_count(d->cluster, code < 0 ? CLUSTER_STAT_UPDATE_FAILURE : CLUSTER_STAT_UPDATE_SUCCESS);
    loop_timer_start(n->timer, dns_next_ms(d->config, n->failures, ttl_s, rand_u64()));
    if (code == 0)
        take(n, ips, count);
    if (!n->answered)
        d->n_unanswered--;
    n->answered = true;
    if (!d->n_unanswered)
        cluster_is_ready(d->cluster);
}

static void on_timer(void *user)
{
    struct dns_name *n = user;
    n->query =
        resolver_lookup_all(n->dns->resolver, n->entry->name, n->dns->config->family, on_answer, n);
}

/* ---- life ---- */

static int get_resolver(struct dns *d)
{
    int r = 0;
    d->own = d->config->has_server;
    if (d->own) {
        r = resolver_new(d->loop, &d->resolver, NULL);
        return r < 0 ? r
                     : resolver_set_server(d->resolver, &d->config->server, d->config->server_port);
    }
    if (!shared)
        r = resolver_new(d->loop, &shared, NULL);
    if (r < 0)
        return r;
    d->resolver = shared;
    n_sharing++;
    return 0;
}

int dns_new(struct loop *l, struct cluster *c, struct dns **ret)
{
    struct dns *d = NEW(struct dns);
    const struct endpoint_set *names = c->dns->names;
    d->loop = l;
    d->cluster = c;
    d->config = c->dns;
    int r = get_resolver(d);
    if (r < 0) {
        dns_free(d);
        return r;
    }
    d->names = xcalloc(names->entries.n + 1, sizeof(*d->names));
    for (size_t i = 0; i < names->entries.n; i++) {
        struct dns_name *n = &d->names[i];
        if (names->entries.v[i].endpoint)
            continue;
        n->dns = d;
        n->entry = &names->entries.v[i];
        n->timer = loop_timer_new(l, on_timer, n);
        loop_timer_start(n->timer, 0);
        d->n_unanswered++;
    }
    publish(d);
    *ret = d;
    return 0;
}

void dns_free(struct dns *d)
{
    if (!d)
        return;
    for (size_t i = 0; d->names && i < d->config->names->entries.n; i++) {
        resolver_cancel(d->names[i].query);
        loop_timer_free(d->names[i].timer);
        vec_done(&d->names[i].ips);
    }
    free(d->names);
    if (d->own)
        resolver_free(d->resolver);
    else if (d->resolver && !--n_sharing)
        resolver_free(TAKE(shared));
    free(d);
}
