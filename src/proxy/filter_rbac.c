/* Requests that may not pass are refused: by the route's rules where it has some, else by the
 * filter's own. Rules in the shadow decide nothing: what they would do is counted, and told to the
 * filters behind (dynamic metadata), some of which act by that. */
#include <errno.h>

#include <envoy/extensions/filters/http/rbac/v3/rbac.pb-c.h>

#include "proxy/filter_table.h"
#include "proxy/rbac_rules.h"

#define FILTER_NAME "envoy.filters.http.rbac"

typedef Envoy__Extensions__Filters__Http__Rbac__V3__RBAC pb_filter;
typedef Envoy__Extensions__Filters__Http__Rbac__V3__RBACPerRoute pb_route;

struct rbac {
    struct rbac_rules *rules;            /* NULL: everything may pass */
    struct rbac_rules *shadow;           /* NULL: none */
    const char *policy_key, *result_key; /* under which it is told what these would do */
    bool counts;
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

/* What the shadow's rules say is told by. */
static int compile_keys(struct filter_compile *c, const char *prefix, struct rbac *ret)
{
    AUTO_CHARS char *policy = xasprintf("%sshadow_effective_policy_id", prefix),
                    *result = xasprintf("%sshadow_engine_result", prefix);
    ret->policy_key = arena_str(c->a, str_from(policy)).p;
    ret->result_key = arena_str(c->a, str_from(result)).p;
    ret->counts = !*prefix;
    return ret->policy_key && ret->result_key ? 0 : -ENOMEM;
}

static int compile_rules(struct filter_compile *c, const pb_filter *m, struct rbac *ret)
{
    if (m->shadow_rules && compile_keys(c, m->shadow_rules_stat_prefix, ret) < 0)
        return -ENOMEM;
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

/* False: no memory; who acts by it would let everybody pass. */
static bool tell(struct filter_call *c, const struct rbac *b, bool allowed, struct str policy)
{
    if (!*c->metadata)
        *c->metadata = json_object();
    json_t *own = json_object_get(*c->metadata, FILTER_NAME);
    if (!own) {
        own = json_object();
        if (json_object_set_new(*c->metadata, FILTER_NAME, own) < 0)
            return false;
    }
    if (!policy.p)
        json_object_del(own, b->policy_key);
    return json_object_set_new(own, b->result_key, json_string(allowed ? "allowed" : "denied")) ==
               0 &&
           (!policy.p ||
            json_object_set_new(own, b->policy_key, json_stringn(policy.p, policy.n)) == 0);
}

/* False: it is not to go on. */
static bool ask_shadow(struct filter_call *c, const struct rbac *b, const struct rbac_request *q)
{
    struct str policy;
    bool allowed = rbac_rules_allow(b->shadow, q, &policy);
    if (b->counts)
        stats_inc(c->stats, allowed ? HTTP_STAT_RBAC_SHADOW_ALLOWED : HTTP_STAT_RBAC_SHADOW_DENIED);
    return tell(c, b, allowed, policy);
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
    if (b->shadow && !ask_shadow(c, b, &q)) {
        c->answer.reason = REASON_RBAC_DENIED;
        return FILTER_ANSWERED;
    }
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
    .name = FILTER_NAME,
    .message = &envoy__extensions__filters__http__rbac__v3__rbac__descriptor,
    .route_message = &envoy__extensions__filters__http__rbac__v3__rbacper_route__descriptor,
    .compile = compile,
    .compile_route = compile_route,
    .on_request = on_request,
};
