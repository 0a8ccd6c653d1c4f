/* Limits for each client address: requests at a time, and as time goes by. Whoever has the same key
 * and the same limits counts together, through changes of configuration. */
#include <errno.h>

#include <fairlead/filters/http/v1/client_limit.pb-c.h>

#include "base/time.h"
#include "proxy/client_table.h"
#include "proxy/filter_prefixes.h"
#include "proxy/filter_table.h"

typedef Fairlead__Filters__Http__V1__ClientLimit pb_limit;

struct client_limit {
    struct client_table *table; /* NULL: nothing is limited */
    struct stats_set *stats;
    struct filter_prefixes exempt;
    uint16_t status, busy_status; /* 0: the reason's */
};

struct limit_state {
    bool counted;
    struct ip ip;
};

static void limit_done(void *p)
{
    struct client_limit *l = p;
    client_table_unref(l->table);
    stats_unref(l->stats);
}

static int compile_rates(struct filter_compile *c, const pb_limit *m, struct client_limits *ret)
{
    if (m->n_rates > CLIENT_RATES_MAX)
        return pb_path_fail(c->path, c->err, -EINVAL, "rates: at most %d", CLIENT_RATES_MAX);
    for (; ret->n_rates < m->n_rates; ret->n_rates++) {
        const Fairlead__Filters__Http__V1__ClientLimit__Rate *r = m->rates[ret->n_rates];
        if (!r->requests || !r->seconds)
            return pb_path_fail(c->path, c->err, -EINVAL,
                                "rates[%u]: requests and seconds must be greater than 0",
                                ret->n_rates);
        ret->rates[ret->n_rates] = (struct client_rate){
            MAX(r->burst, 1u), MAX((int64_t)r->seconds * 1000000000 / r->requests, INT64_C(1))};
    }
    return 0;
}

static uint16_t status_of(uint32_t said, uint16_t otherwise)
{
    return said >= 400 && said <= 599 ? (uint16_t)said : otherwise;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_limit *m = (const pb_limit *)message;
    struct client_limit *l = *ret = arena_alloc(c->a, sizeof(*l));
    struct client_limits limits = {.concurrent = m->concurrent_requests};
    if (!l)
        return -ENOMEM;
    l->status = status_of(m->status, 0);
    l->busy_status = status_of(m->concurrent_status, l->status);
    int r = compile_rates(c, m, &limits);
    r = r < 0 ? r : filter_prefixes_compile(c, "exempt", m->exempt, m->n_exempt, &l->exempt);
    if (r < 0 || (!limits.concurrent && !limits.n_rates))
        return r;
    l->table = client_table_get(str_from(m->key), &limits);
    l->stats = stats_get(STATS_RATE_LIMIT, str_from(m->key), STR(""));
    r = arena_defer(c->a, limit_done, l);
    if (r < 0)
        limit_done(l);
    return r;
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct client_limit *l = c->route ? c->route : c->config;
    struct limit_state *s = c->state;
    if (!l->table || c->client(c, &s->ip) < 0) /* what has no address is no client of the network */
        return FILTER_CONTINUE;
    s->ip = ip_unmapped(&s->ip);
    if (filter_prefixes_have(&l->exempt, &s->ip))
        return FILTER_CONTINUE;
    struct stats_cell *stats = stats_of(l->stats, c->worker);
    bool busy;
    s->counted = client_table_enter(l->table, &s->ip, (int64_t)time_mono_us() * 1000, &busy);
    stats_inc(stats, RATE_LIMIT_STAT_ENABLED);
    stats_inc(stats, s->counted ? RATE_LIMIT_STAT_OK : RATE_LIMIT_STAT_LIMITED);
    if (s->counted)
        return FILTER_CONTINUE;
    stats_inc(stats, RATE_LIMIT_STAT_ENFORCED);
    c->answer.reason = REASON_RATE_LIMITED;
    c->answer.status = busy ? l->busy_status : l->status;
    return FILTER_ANSWERED;
}

static void on_done(struct filter_call *c)
{
    const struct client_limit *l = c->route ? c->route : c->config;
    struct limit_state *s = c->state;
    if (s->counted)
        client_table_leave(l->table, &s->ip);
    s->counted = false;
}

const struct filter_type filter_client_limit = {
    .name = "fairlead.filters.http.client_limit",
    .message = &fairlead__filters__http__v1__client_limit__descriptor,
    .route_message = &fairlead__filters__http__v1__client_limit__descriptor,
    .compile = compile,
    .compile_route = compile,
    .state_bytes = sizeof(struct limit_state),
    .on_request = on_request,
    .on_done = on_done,
};
