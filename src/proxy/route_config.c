/* From a VirtualHost to its routes, compiled. What the table of support refuses has been refused
 * before (xds_check.h); here is what only makes sense together: weights, substitutions. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "codec/pb_time.h"
#include "proxy/data_source.h"
#include "proxy/duration.h"
#include "proxy/filter_config.h"
#include "proxy/retry_policy.h"
#include "proxy/route_config_priv.h"
#include "proxy/route_hash.h"
#include "proxy/route_index.h"
#include "proxy/route_rewrite.h"

typedef Envoy__Config__Route__V3__Route pb_route;
typedef Envoy__Config__Route__V3__RouteMatch pb_match;
typedef Envoy__Config__Route__V3__RouteAction pb_action;
typedef Envoy__Config__Route__V3__RedirectAction pb_redirect;
typedef Envoy__Config__Route__V3__DirectResponseAction pb_direct;
typedef Envoy__Config__Route__V3__WeightedCluster pb_weighted;
typedef Envoy__Config__Route__V3__VirtualHost pb_host;

enum {
    ROUTE_TIMEOUT_MS = 15000,
};

static int text(struct making *c, const char *from, struct str *ret)
{
    *ret = arena_str(c->a, str_from(from));
    return ret->p ? 0 : -ENOMEM;
}

/* ---- matches ---- */

static int compile_path(struct making *c, const pb_match *m, struct route_match *ret)
{
    size_t mark;
    int r;
    switch ((int)m->path_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PREFIX:
        ret->path_kind = ROUTE_PATH_PREFIX;
        return text(c, m->prefix, &ret->path);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH:
        ret->path_kind = ROUTE_PATH_EXACT;
        return text(c, m->path, &ret->path);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_SEPARATED_PREFIX:
        ret->path_kind = ROUTE_PATH_SEGMENTS;
        if (!*m->path_separated_prefix || m->path_separated_prefix[0] != '/' ||
            m->path_separated_prefix[strlen(m->path_separated_prefix) - 1] == '/')
            return FAIL(c, "path_separated_prefix must begin with '/' and not end in it");
        return text(c, m->path_separated_prefix, &ret->path);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_SAFE_REGEX:
        ret->path_kind = ROUTE_PATH_REGEX;
        mark = pb_path_field(c->path, "safe_regex");
        r = regex_compile(m->safe_regex, c->a, c->path, &ret->regex, c->err);
        pb_path_back(c->path, mark);
        return r;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_CONNECT_MATCHER:
        ret->path_kind = ROUTE_PATH_CONNECT;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER_PATH_MATCH_POLICY:
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_MATCH__PATH_SPECIFIER__NOT_SET:
    default:
        return FAIL(c, "needs one of prefix, path, path_separated_prefix, safe_regex, "
                       "connect_matcher");
    }
}

static int compile_match(struct making *c, const pb_match *m, struct route_match *ret)
{
    ret->ignore_case = m->case_sensitive && !m->case_sensitive->value;
    ret->grpc = m->grpc != NULL;
    struct fraction share = fraction_of_runtime(m->runtime_fraction);
    ret->fraction = (struct route_fraction){share.numerator, share.denominator};
    ret->n_fields = m->n_headers;
    ret->n_query = m->n_query_parameters;
    ret->fields = arena_alloc(c->a, m->n_headers * sizeof(*ret->fields));
    ret->query = arena_alloc(c->a, m->n_query_parameters * sizeof(*ret->query));
    if (!ret->fields || !ret->query)
        return -ENOMEM;
    int r = compile_path(c, m, ret);
    for (size_t i = 0; i < m->n_headers && r == 0; i++) {
        size_t mark = pb_path_field(c->path, "headers");
        pb_path_index(c->path, i);
        r = field_match_compile(m->headers[i], c->a, c->path, &ret->fields[i], c->err);
        pb_path_back(c->path, mark);
    }
    for (size_t i = 0; i < m->n_query_parameters && r == 0; i++) {
        size_t mark = pb_path_field(c->path, "query_parameters");
        pb_path_index(c->path, i);
        r = query_match_compile(m->query_parameters[i], c->a, c->path, &ret->query[i], c->err);
        pb_path_back(c->path, mark);
    }
    return r;
}

/* ---- actions ---- */

static int compile_rewrite(struct making *c, const char *field,
                           const Envoy__Type__Matcher__V3__RegexMatchAndSubstitute *m,
                           struct regex_rewrite *ret)
{
    return regex_rewrite_compile(m, field, c->a, c->path, ret, c->err);
}

static int compile_weight(struct making *c,
                          const Envoy__Config__Route__V3__WeightedCluster__ClusterWeight *m,
                          struct route_cluster *ret)
{
    int r = text(c, m->name, &ret->name);
    if (*m->cluster_header)
        ret->header = header_name_of(m->cluster_header, c->a);
    if (!*m->name && !*m->cluster_header)
        return FAIL(c, "needs one of name, cluster_header");
    if (!m->weight)
        return FAIL(c, "weight must be set");
    ret->weight = m->weight->value;
    if (r == 0 &&
        m->host_rewrite_specifier_case ==
            ENVOY__CONFIG__ROUTE__V3__WEIGHTED_CLUSTER__CLUSTER_WEIGHT__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL)
        r = text(c, m->host_rewrite_literal, &ret->host_rewrite);
    if (r == 0)
        r = header_ops_compile(m->request_headers_to_add, m->n_request_headers_to_add,
                               "request_headers_to_add", m->request_headers_to_remove,
                               m->n_request_headers_to_remove, "request_headers_to_remove", c->a,
                               c->path, &ret->request_ops, c->err);
    if (r == 0)
        r = header_ops_compile(m->response_headers_to_add, m->n_response_headers_to_add,
                               "response_headers_to_add", m->response_headers_to_remove,
                               m->n_response_headers_to_remove, "response_headers_to_remove", c->a,
                               c->path, &ret->answer_ops, c->err);
    return r < 0 ? r : FILTER_OVERRIDES(m, c->a, c->path, &ret->filters, c->err);
}

static int compile_weighted(struct making *c, const pb_weighted *m, struct route_forward *ret)
{
    uint64_t total = 0;
    size_t mark = pb_path_field(c->path, "weighted_clusters");
    int r = m->n_clusters ? 0 : FAIL(c, "clusters must not be empty");
    ret->n_clusters = m->n_clusters;
    ret->clusters = arena_alloc(c->a, m->n_clusters * sizeof(*ret->clusters));
    if (!ret->clusters)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_clusters && r == 0; i++) {
        size_t at = pb_path_field(c->path, "clusters");
        pb_path_index(c->path, i);
        r = compile_weight(c, m->clusters[i], &ret->clusters[i]);
        total += ret->clusters[i].weight;
        pb_path_back(c->path, at);
    }
    if (r == 0 && (total == 0 || total > UINT32_MAX))
        r = FAIL(c, "the sum of the weights must be greater than 0 and less than 2^32");
    ret->total_weight = (uint32_t)total;
    ret->cluster_by_hash = m->use_hash_policy && m->use_hash_policy->value;
    pb_path_back(c->path, mark);
    return r;
}

static int compile_clusters(struct making *c, const pb_action *m, struct route_forward *ret)
{
    if (m->cluster_specifier_case ==
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS)
        return compile_weighted(c, m->weighted_clusters, ret);
    ret->clusters = arena_alloc(c->a, sizeof(*ret->clusters));
    if (!ret->clusters)
        return -ENOMEM;
    ret->n_clusters = 1;
    ret->total_weight = ret->clusters->weight = 1;
    if (m->cluster_specifier_case ==
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER)
        return text(c, m->cluster, &ret->clusters->name);
    if (m->cluster_specifier_case ==
        ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER_HEADER) {
        ret->clusters->header = header_name_of(m->cluster_header, c->a);
        return ret->clusters->header.text.p ? 0 : -ENOMEM;
    }
    return FAIL(c, "needs one of cluster, cluster_header, weighted_clusters");
}

static int compile_host_rewrite(struct making *c, const pb_action *m, struct route_forward *ret)
{
    switch ((int)m->host_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL:
        return text(c, m->host_rewrite_literal, &ret->host_rewrite);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_HEADER:
        ret->host_rewrite_header = header_name_of(m->host_rewrite_header, c->a);
        return ret->host_rewrite_header.text.p ? 0 : -ENOMEM;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_PATH_REGEX:
        return compile_rewrite(c, "host_rewrite_path_regex", m->host_rewrite_path_regex,
                               &ret->host_rewrite_path);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE:
        ret->auto_host = m->auto_host_rewrite && m->auto_host_rewrite->value;
        return 0;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE:
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HOST_REWRITE_SPECIFIER__NOT_SET:
    default:
        return 0;
    }
}

static int compile_retries(struct making *c, const Envoy__Config__Route__V3__RetryPolicy *m,
                           struct retry_policy **ret)
{
    size_t mark = pb_path_field(c->path, "retry_policy");
    int r = m ? retry_policy_compile(m, c->a, c->path, ret, c->err) : 0;
    pb_path_back(c->path, mark);
    return r;
}

static int compile_limits(struct making *c, const pb_action *m, struct route_forward *ret)
{
    const Envoy__Config__Route__V3__RouteAction__MaxStreamDuration *d = m->max_stream_duration;
    if (!d && !m->max_grpc_timeout)
        return 0;
    struct route_limits *l = arena_alloc(c->a, sizeof(*l));
    if (!l)
        return -ENOMEM;
    ret->limits = l;
    if (!d) {
        l->has_grpc_timeout = true;
        l->grpc_timeout_max_ms = duration_ms(m->max_grpc_timeout, 0);
        l->grpc_timeout_offset_ms = duration_ms(m->grpc_timeout_offset, 0);
        return 0;
    }
    l->has_stream_max = d->max_stream_duration;
    l->stream_max_ms = duration_ms(d->max_stream_duration, 0);
    l->has_grpc_stream_max = d->grpc_timeout_header_max;
    l->grpc_stream_max_ms = duration_ms(d->grpc_timeout_header_max, 0);
    l->grpc_stream_offset_ms = duration_ms(d->grpc_timeout_header_offset, 0);
    ret->timeout_ms = 0; /* as Envoy: it takes the place of timeout */
    return 0;
}

static int compile_timeout(struct making *c, struct route_forward *f)
{
    char digits[24];
    if (!f->timeout_ms)
        return 0;
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)f->timeout_ms);
    return text(c, digits, &f->timeout_text);
}

static int compile_forward(struct making *c, const pb_action *m, struct route_forward *ret)
{
    static const uint16_t not_found[] = {503, 404, 500};
    unsigned code = (unsigned)m->cluster_not_found_response_code;
    ret->cluster_not_found_status = not_found[code < ARRAY_LEN(not_found) ? code : 0];
    ret->timeout_ms = duration_ms(m->timeout, ROUTE_TIMEOUT_MS);
    ret->has_idle_timeout = m->idle_timeout != NULL;
    ret->idle_timeout_ms = duration_ms(m->idle_timeout, 0);
    ret->high_priority = m->priority == ENVOY__CONFIG__CORE__V3__ROUTING_PRIORITY__HIGH;
    ret->append_forwarded_host = m->append_x_forwarded_host;
    if (*m->prefix_rewrite && m->regex_rewrite)
        return FAIL(c, "specify only one of prefix_rewrite, regex_rewrite");
    int r = compile_clusters(c, m, ret);
    if (r == 0)
        r = compile_limits(c, m, ret);
    if (r == 0)
        r = compile_timeout(c, ret);
    if (r == 0 && *m->prefix_rewrite)
        r = text(c, m->prefix_rewrite, &ret->prefix_rewrite);
    if (r == 0)
        r = compile_rewrite(c, "regex_rewrite", m->regex_rewrite, &ret->path_rewrite);
    if (r == 0)
        r = compile_retries(c, m->retry_policy, &ret->retry);
    ret->n_hashes = m->n_hash_policy;
    if (r == 0 && m->n_hash_policy)
        r = route_hash_compile(m->hash_policy, m->n_hash_policy, c->a, c->path, &ret->hashes,
                               c->err);
    if (r == 0)
        r = MIRRORS(c, m, ret);
    return r < 0 ? r : compile_host_rewrite(c, m, ret);
}

static int compile_redirect(struct making *c, const pb_redirect *m, struct route_redirect *ret)
{
    static const uint16_t codes[] = {301, 302, 303, 307, 308};
    unsigned code = (unsigned)m->response_code;
    int r = 0;
    ret->status = codes[code < ARRAY_LEN(codes) ? code : 0];
    ret->port = m->port_redirect;
    ret->strip_query = m->strip_query;
    if (m->scheme_rewrite_specifier_case ==
            ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT &&
        m->https_redirect)
        ret->scheme = STR("https");
    else if (m->scheme_rewrite_specifier_case ==
             ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_SCHEME_REDIRECT)
        r = text(c, m->scheme_redirect, &ret->scheme);
    if (r == 0 && *m->host_redirect)
        r = text(c, m->host_redirect, &ret->host);
    if (r < 0)
        return r;
    switch ((int)m->path_rewrite_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT:
        return text(c, m->path_redirect, &ret->path);
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE:
        return text(c, m->prefix_rewrite, &ret->prefix);
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE:
        return compile_rewrite(c, "regex_rewrite", m->regex_rewrite, &ret->rewrite);
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REWRITE:
    case ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER__NOT_SET:
    default:
        return 0;
    }
}

static int compile_direct(struct making *c, const pb_direct *m, struct route_direct *ret)
{
    if (m->status < 200 || m->status > 599)
        return FAIL(c, "status %u: expected 200 to 599", m->status);
    ret->status = (uint16_t)m->status;
    if (!m->body)
        return 0;
    AUTO(arena) struct arena *scratch = arena_new(DATA_SOURCE_BYTES_MAX + 4096);
    struct compile reading = {.scratch = scratch, .path = *c->path, .err = c->err};
    struct str body;
    pb_path_field(&reading.path, "body");
    int r = data_source_read(&reading, m->body, &body);
    if (r == 0 && body.n > c->body_max)
        r = pb_path_fail(&reading.path, c->err, -EINVAL, "%zu bytes: at most %zu", body.n,
                         (size_t)c->body_max);
    if (r == 0) {
        ret->body = arena_str(c->a, body);
        r = ret->body.p ? 0 : -ENOMEM;
    }
    return r;
}

static int compile_action(struct making *c, const pb_route *m, struct route *ret)
{
    size_t mark;
    int r;
    switch ((int)m->action_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_ROUTE:
        ret->kind = ROUTE_FORWARD;
        mark = pb_path_field(c->path, "route");
        r = compile_forward(c, m->route, &ret->forward);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_REDIRECT:
        ret->kind = ROUTE_REDIRECT;
        mark = pb_path_field(c->path, "redirect");
        r = compile_redirect(c, m->redirect, &ret->redirect);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_DIRECT_RESPONSE:
        ret->kind = ROUTE_DIRECT;
        mark = pb_path_field(c->path, "direct_response");
        r = compile_direct(c, m->direct_response, &ret->direct);
        break;
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_FILTER_ACTION:
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION_NON_FORWARDING_ACTION:
    case ENVOY__CONFIG__ROUTE__V3__ROUTE__ACTION__NOT_SET:
    default:
        return FAIL(c, "needs one of route, redirect, direct_response");
    }
    pb_path_back(c->path, mark);
    return r;
}

/* ---- routes, hosts ---- */

static int compile_route(struct making *c, const pb_route *m, struct route *ret)
{
    int r = text(c, m->name, &ret->name);
    size_t mark = pb_path_field(c->path, "match");
    if (r == 0)
        r = m->match ? compile_match(c, m->match, &ret->match) : FAIL(c, "must be set");
    pb_path_back(c->path, mark);
    if (r == 0)
        r = compile_action(c, m, ret);
    if (r == 0)
        r = HEADER_OPS(c, m, ret);
    return r < 0 ? r : FILTER_OVERRIDES(m, c->a, c->path, &ret->filters, c->err);
}

static void lower(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
}

static int compile_domains(struct making *c, const pb_host *m, struct route_host *ret)
{
    if (!m->n_domains)
        return FAIL(c, "domains must not be empty");
    ret->n_domains = m->n_domains;
    ret->domains = arena_alloc(c->a, m->n_domains * sizeof(*ret->domains));
    if (!ret->domains)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_domains; i++) {
        int r = text(c, m->domains[i], &ret->domains[i]);
        if (r < 0)
            return r;
        lower((char *)(uintptr_t)ret->domains[i].p, ret->domains[i].n);
    }
    return 0;
}

static int compile_host(struct making *c, const pb_host *m, struct route_host *ret)
{
    int r = text(c, m->name, &ret->name);
    ret->require_tls =
        m->require_tls != ENVOY__CONFIG__ROUTE__V3__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__NONE;
    ret->counts_attempts = m->include_request_attempt_count;
    ret->answers_attempts = m->include_attempt_count_in_response;
    ret->tells_timeout_retry = m->include_is_timeout_retry_header;
    ret->n_routes = m->n_routes;
    ret->routes = arena_alloc(c->a, m->n_routes * sizeof(*ret->routes));
    if (!ret->routes)
        return -ENOMEM;
    if (r == 0)
        r = compile_domains(c, m, ret);
    if (r == 0)
        r = compile_retries(c, m->retry_policy, &ret->retry);
    if (r == 0)
        r = MIRRORS(c, m, ret);
    for (size_t i = 0; i < m->n_routes && r == 0; i++) {
        size_t mark = pb_path_field(c->path, "routes");
        pb_path_index(c->path, i);
        r = compile_route(c, m->routes[i], &ret->routes[i]);
        pb_path_back(c->path, mark);
    }
    if (r == 0)
        r = HEADER_OPS(c, m, ret);
    if (r == 0)
        r = FILTER_OVERRIDES(m, c->a, c->path, &ret->filters, c->err);
    return r < 0 ? r : route_index_build(ret, c->a);
}

/* ---- what the fast path asks first ---- */

static bool keeps_fields(const struct header_ops *request, const struct header_ops *answer)
{
    return header_ops_is_empty(request) && header_ops_is_empty(answer);
}

/* What a route does not say its host does; and what is off. */
static void complete(const struct route_host *h, struct route *r)
{
    r->keeps_fields = keeps_fields(&h->request_ops, &h->answer_ops) &&
                      keeps_fields(&r->request_ops, &r->answer_ops);
    if (r->kind != ROUTE_FORWARD)
        return;
    struct route_forward *f = &r->forward;
    if (!f->mirrors.n)
        f->mirrors = h->mirrors;
    f->rewrites = f->prefix_rewrite.p || f->path_rewrite.regex || f->host_rewrite.p ||
                  f->host_rewrite_header.text.p || f->host_rewrite_path.regex;
    for (size_t i = 0; i < f->n_clusters; i++) {
        const struct route_cluster *c = &f->clusters[i];
        r->keeps_fields = r->keeps_fields && keeps_fields(&c->request_ops, &c->answer_ops);
        f->rewrites = f->rewrites || c->host_rewrite.p;
    }
}

int route_host_compile(const struct making *under, const pb_host *m, size_t memory,
                       struct route_host **ret)
{
    struct arena *a = arena_new_first(0, memory);
    struct route_host *h = arena_alloc(a, sizeof(*h));
    struct making c = *under;
    c.a = a;
    int r = -ENOMEM;
    if (h) {
        h->refs = 1;
        h->arena = a;
        r = compile_host(&c, m, h);
    }
    for (size_t i = 0; r == 0 && i < h->n_routes; i++)
        complete(h, &h->routes[i]);
    if (r < 0)
        arena_free(a);
    else
        *ret = h;
    return r;
}
