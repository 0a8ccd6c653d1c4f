/* Requests counted by buckets of tokens that all workers share: one for all, and one for each
 * descriptor that is listed. A route's configuration has buckets of its own. */
#include <errno.h>
#include <stdio.h>

#include <envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb-c.h>

#include "base/rand.h"
#include "base/time.h"
#include "proxy/filter_table.h"
#include "proxy/fraction.h"
#include "proxy/header_ops.h"
#include "proxy/rate_descriptor.h"
#include "proxy/token_bucket.h"

typedef Envoy__Extensions__Filters__Http__LocalRatelimit__V3__LocalRateLimit pb_limit;
typedef Envoy__Extensions__Common__Ratelimit__V3__LocalRateLimitDescriptor pb_descriptor;

struct descriptor {
    struct rate_entry *entries;
    size_t n;
    bool shadow; /* counts, and forbids nothing */
    struct token_bucket bucket;
};

struct local_limit {
    struct stats_set *stats; /* of its prefix */
    struct token_bucket bucket;
    bool has_bucket; /* without one nothing is limited */
    bool always;     /* the bucket of all counts requests that have a descriptor too */
    bool headers;    /* x-ratelimit-… */
    uint16_t status;
    struct fraction enabled, enforced;
    struct header_ops answer_ops, request_ops;
    struct descriptor *descriptors;
    size_t n_descriptors;
    struct rate_actions **actions;
    size_t n_actions;
};

struct limit_state {
    const struct token_bucket *told; /* by x-ratelimit-…; NULL: none */
    bool limited;
};

static int64_t now_ns(void)
{
    return (int64_t)time_mono_us() * 1000;
}

/* ---- configuration ---- */

static int compile_descriptor(struct filter_compile *c, const pb_descriptor *m,
                              struct descriptor *ret)
{
    ret->n = m->n_entries;
    ret->shadow = m->shadow_mode;
    ret->entries = arena_alloc(c->a, m->n_entries * sizeof(*ret->entries));
    if (!ret->entries)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_entries; i++) {
        if (!*m->entries[i]->value)
            return pb_path_fail(c->path, c->err, -EINVAL,
                                "entries[%zu].value: descriptors for any value are not implemented",
                                i);
        ret->entries[i].key = arena_str(c->a, str_from(m->entries[i]->key));
        ret->entries[i].value = arena_str(c->a, str_from(m->entries[i]->value));
        if (!ret->entries[i].key.p || !ret->entries[i].value.p)
            return -ENOMEM;
    }
    token_bucket_init(&ret->bucket, m->token_bucket, now_ns());
    return 0;
}

static int compile_lists(struct filter_compile *c, const pb_limit *m, struct local_limit *l)
{
    l->descriptors = arena_alloc(c->a, m->n_descriptors * sizeof(*l->descriptors));
    l->actions = arena_alloc(c->a, m->n_rate_limits * sizeof(*l->actions));
    l->n_descriptors = m->n_descriptors;
    l->n_actions = m->n_rate_limits;
    int r = l->descriptors && l->actions ? 0 : -ENOMEM;
    for (size_t i = 0; i < m->n_descriptors && r == 0; i++) {
        size_t mark = pb_path_field(c->path, "descriptors");
        pb_path_index(c->path, i);
        r = compile_descriptor(c, m->descriptors[i], &l->descriptors[i]);
        pb_path_back(c->path, mark);
    }
    for (size_t i = 0; i < m->n_rate_limits && r == 0; i++) {
        size_t mark = pb_path_field(c->path, "rate_limits");
        pb_path_index(c->path, i);
        r = rate_actions_compile(m->rate_limits[i], c->a, c->path, &l->actions[i], c->err);
        pb_path_back(c->path, mark);
    }
    return r;
}

static void drop_stats(void *stats)
{
    stats_unref(stats);
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_limit *m = (const pb_limit *)message;
    struct local_limit *l = *ret = arena_alloc(c->a, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->stats = stats_get(STATS_RATE_LIMIT, str_from(m->stat_prefix), STR(""));
    if (arena_defer(c->a, drop_stats, l->stats) < 0) {
        stats_unref(l->stats);
        return -ENOMEM;
    }
    l->status = m->status && m->status->code >= 400 ? (uint16_t)m->status->code : 0;
    l->always =
        !m->always_consume_default_token_bucket || m->always_consume_default_token_bucket->value;
    l->headers =
        m->enable_x_ratelimit_headers ==
        ENVOY__EXTENSIONS__COMMON__RATELIMIT__V3__XRATE_LIMIT_HEADERS_RFCVERSION__DRAFT_VERSION_03;
    l->enabled = fraction_of_runtime(m->filter_enabled);
    l->enforced = fraction_of_runtime(m->filter_enforced);
    l->has_bucket = m->token_bucket;
    if (m->token_bucket)
        token_bucket_init(&l->bucket, m->token_bucket, now_ns());
    else if (m->n_descriptors)
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "descriptors need a token_bucket beside them");
    int r = header_ops_compile(m->response_headers_to_add, m->n_response_headers_to_add,
                               "response_headers_to_add", NULL, 0, "", c->a, c->path,
                               &l->answer_ops, c->err);
    if (r == 0)
        r = header_ops_compile(m->request_headers_to_add_when_not_enforced,
                               m->n_request_headers_to_add_when_not_enforced,
                               "request_headers_to_add_when_not_enforced", NULL, 0, "", c->a,
                               c->path, &l->request_ops, c->err);
    return r < 0 ? r : compile_lists(c, m, l);
}

/* ---- requests ---- */

static bool is_of(const struct descriptor *d, const struct rate_entry *entries, size_t n)
{
    for (size_t i = 0; i < n && d->n == n; i++)
        if (!str_eq(d->entries[i].key, entries[i].key) ||
            !str_eq(d->entries[i].value, entries[i].value))
            return false;
    return d->n == n;
}

/* Of those that a request falls under, the slower one is the one that is told. */
static void tell(struct limit_state *s, const struct token_bucket *b)
{
    if (!s->told || b->token_ns > s->told->token_ns)
        s->told = b;
}

/* Has one descriptor had enough? */
static bool take_of_descriptor(struct local_limit *l, const struct rate_entry *entries, size_t n,
                               struct limit_state *s, bool *ret_any)
{
    bool limited = false;
    for (size_t i = 0; i < l->n_descriptors && !limited; i++) {
        struct descriptor *d = &l->descriptors[i];
        if (!is_of(d, entries, n))
            continue;
        *ret_any = true;
        tell(s, &d->bucket);
        limited = !token_bucket_take(&d->bucket, now_ns()) && !d->shadow;
        if (limited)
            s->told = &d->bucket;
    }
    return limited;
}

static bool is_limited(struct local_limit *l, struct filter_call *c, struct limit_state *s)
{
    struct rate_entry entries[RATE_ENTRIES_MAX];
    struct rate_request q = {.head = c->head, .cluster = c->cluster};
    char text[IP_TEXT_BYTES];
    struct ip ip;
    bool any = false;
    if (l->n_actions && c->client(c, &ip) == 0) {
        ip = ip_unmapped(&ip);
        q.address = str_from(ip_format(&ip, text));
    }
    for (size_t i = 0; i < l->n_actions; i++) {
        size_t n = rate_actions_entries(l->actions[i], &q, entries);
        if (n && take_of_descriptor(l, entries, n, s, &any))
            return true;
    }
    if (any && !l->always)
        return false;
    if (token_bucket_take(&l->bucket, now_ns())) {
        tell(s, &l->bucket);
        return false;
    }
    s->told = &l->bucket;
    return true;
}

static struct local_limit *limit_of(const struct filter_call *c)
{
    /* Shared by all workers, and but for the buckets never changed. */
    return (struct local_limit *)(uintptr_t)(c->route ? c->route : c->config);
}

static enum filter_result on_request(struct filter_call *c)
{
    struct local_limit *l = limit_of(c);
    struct limit_state *s = c->state;
    if (!l->has_bucket || !fraction_hits(l->enabled, rand_u64(), false))
        return FILTER_CONTINUE;
    struct stats_cell *stats = stats_of(l->stats, c->worker);
    bool limited = is_limited(l, c, s);
    stats_inc(stats, RATE_LIMIT_STAT_ENABLED);
    stats_inc(stats, limited ? RATE_LIMIT_STAT_LIMITED : RATE_LIMIT_STAT_OK);
    if (!limited)
        return FILTER_CONTINUE;
    if (!fraction_hits(l->enforced, rand_u64(), false)) {
        header_ops_apply(&l->request_ops, c->head, http_stream_arena(c->down), c->value,
                         c->request);
        return FILTER_CONTINUE;
    }
    s->limited = true;
    stats_inc(stats, RATE_LIMIT_STAT_ENFORCED);
    c->answer.reason = REASON_RATE_LIMITED;
    c->answer.status = l->status;
    return FILTER_ANSWERED;
}

static void add_number(struct filter_call *c, struct http_head *h, struct str name, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    struct str value = arena_str(http_stream_arena(c->down), str_of(digits, (size_t)len));
    if (value.p) /* over the stream's memory: left out */
        IGNORE_RESULT(head_add(h, http_stream_arena(c->down),
                               (struct header_name){(uint16_t)http_name_find(name), name}, value));
}

static void on_answer(struct filter_call *c, struct http_head *answer)
{
    struct local_limit *l = limit_of(c);
    const struct limit_state *s = c->state;
    if (s->limited)
        header_ops_apply(&l->answer_ops, answer, http_stream_arena(c->down), c->value, c->request);
    if (!s->told || !l->headers)
        return;
    add_number(c, answer, STR("x-ratelimit-limit"), s->told->max);
    add_number(c, answer, STR("x-ratelimit-remaining"), token_bucket_left(s->told, now_ns()));
    add_number(c, answer, STR("x-ratelimit-reset"), token_bucket_wait_s(s->told, now_ns()));
}

const struct filter_type filter_local_ratelimit = {
    .name = "envoy.filters.http.local_ratelimit",
    .message = &envoy__extensions__filters__http__local_ratelimit__v3__local_rate_limit__descriptor,
    .route_message =
        &envoy__extensions__filters__http__local_ratelimit__v3__local_rate_limit__descriptor,
    .compile = compile,
    .compile_route = compile,
    .state_bytes = sizeof(struct limit_state),
    .on_request = on_request,
    .on_answer = on_answer,
};
