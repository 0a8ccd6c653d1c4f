/* Requests that may not pass are refused: by the route's rules where it has some, else by the
 * filter's own. Rules in the shadow decide nothing: what they would do is counted. */
#include <errno.h>

#include <envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h>

#include "proxy/filter_table.h"
#include "proxy/rbac_rules.h"

typedef Envoy__Extensions__Filters__Http__Rbac__V3__RBAC pb_filter;
typedef Envoy__Extensions__Filters__Http__Rbac__V3__RBACPerRoute pb_route;

struct rbac {
    struct rbac_rules *rules;  /* NULL: everything may pass */
    struct rbac_rules *shadow; /* NULL: none */
};

static int compile_one(struct filter_compile *c, const char *field,
                       const Envoy__Config__Rbac__V3__RBAC *m, struct rbac_rules **ret)
{
    if (!m)
        return 0;
    size_t mark = pb_path_field(c->path, field);
    int r = rbac_rules_compile(m, c->a, c->path, ret, c->err);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int compile_rules(struct filter_compile *c, const pb_filter *m, struct rbac *ret)
{
    int r = compile_one(c, "rules", m->rules, &ret->rules);
    return r < 0 ? r : compile_one(c, "shadow_rules", m->shadow_rules, &ret->shadow);
}

static int compile(struct filter_compile *c, const ProtobufCMessage *m, void **ret)
{
    struct rbac *b = *ret = arena_alloc(c->a, sizeof(*b));
    return b ? compile_rules(c, (const pb_filter *)m, b) : -ENOMEM;
}

static int compile_route(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_route *m = (const pb_route *)message;
    struct rbac *b = *ret = arena_alloc(c->a, sizeof(*b));
    if (!b)
        return -ENOMEM;
    if (!m->rbac)
        return 0;
    size_t mark = pb_path_field(c->path, "rbac");
    int r = compile_rules(c, m->rbac, b);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

/* rbac_access_denied_matched_policy[NAME], without blanks. */
static struct str details(struct arena *a, struct str policy)
{
    static const struct str intro = STR("rbac_access_denied_matched_policy[");
    char *p = policy.p ? arena_alloc_raw(a, intro.n + policy.n + 1) : NULL;
    if (!p)
        return (struct str){NULL, 0}; /* "none": the reason's own */
    memcpy(p, intro.p, intro.n);
    for (size_t i = 0; i < policy.n; i++) {
        unsigned char byte = (unsigned char)policy.p[i];
        p[intro.n + i] = byte <= ' ' || byte == 127 ? '_' : (char)byte;
    }
    p[intro.n + policy.n] = ']';
    return str_of(p, intro.n + policy.n + 1);
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct rbac *b = c->route ? c->route : c->config;
    const struct conn *conn = http_conn_conn(http_stream_conn(c->down));
    struct rbac_request q = {.head = c->head, .tls = conn_tls(conn), .metadata = *c->metadata};
    struct str policy;
    uint16_t port;
    if (!b->rules && !b->shadow)
        return FILTER_CONTINUE;
    if (q.tls)
        q.server_name = tls_session_server_name(q.tls);
    /* What has no address (a Unix socket) is in no prefix. */
    if (c->client(c, &q.client) == 0)
        q.client = ip_unmapped(&q.client);
    if (conn_peer_addr(conn, &q.peer, &port) == 0)
        q.peer = ip_unmapped(&q.peer);
    if (conn_local_addr(conn, &q.local, &q.local_port) == 0)
        q.local = ip_unmapped(&q.local);
    if (b->shadow)
        stats_inc(c->stats, rbac_rules_allow(b->shadow, &q, &policy)
                                ? HTTP_STAT_RBAC_SHADOW_ALLOWED
                                : HTTP_STAT_RBAC_SHADOW_DENIED);
    if (!b->rules)
        return FILTER_CONTINUE;
    bool allowed = rbac_rules_allow(b->rules, &q, &policy);
    stats_inc(c->stats, allowed ? HTTP_STAT_RBAC_ALLOWED : HTTP_STAT_RBAC_DENIED);
    if (allowed)
        return FILTER_CONTINUE;
    c->answer.reason = REASON_RBAC_DENIED;
    c->answer.details = details(http_stream_arena(c->down), policy);
    return FILTER_ANSWERED;
}

const struct filter_type filter_rbac = {
    .name = "envoy.filters.http.rbac",
    .message = &envoy__extensions__filters__http__rbac__v3__rbac__descriptor,
    .route_message = &envoy__extensions__filters__http__rbac__v3__rbacper_route__descriptor,
    .compile = compile,
    .compile_route = compile_route,
    .on_request = on_request,
};
