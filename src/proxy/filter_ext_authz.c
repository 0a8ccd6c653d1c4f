/* Requests go on when another server says so: it is asked over HTTP, with the request's method,
 * path, host and chosen fields, and with the body where that is wanted. 200 lets it pass; what else
 * it says is the client's answer; when it says nothing, or 5xx, the filter's own rule counts. */
#include <errno.h>

#include <envoy/extensions/filters/http/ext_authz/v3/ext_authz.pb-c.h>

#include "base/rand.h"
#include "proxy/duration.h"
#include "proxy/ext_authz_priv.h"
#include "proxy/filter_field.h"
#include "proxy/filter_table.h"
#include "proxy/metadata_match.h"

typedef Envoy__Extensions__Filters__Http__ExtAuthz__V3__ExtAuthz pb_authz;
typedef Envoy__Extensions__Filters__Http__ExtAuthz__V3__ExtAuthzPerRoute pb_route;
typedef Envoy__Extensions__Filters__Http__ExtAuthz__V3__HttpService pb_service;
typedef Envoy__Extensions__Filters__Http__ExtAuthz__V3__BufferSettings pb_buffer;
typedef Envoy__Type__Matcher__V3__ListStringMatcher pb_names;

struct authz_route {
    bool disabled, says_body;
    struct body_rule body;
};

/* ---- configuration ---- */

static int compile_names(struct filter_compile *c, const char *field, const pb_names *m,
                         struct names *ret)
{
    size_t n = m ? m->n_patterns : 0;
    if (!n)
        return 0;
    struct string_match *v = arena_alloc(c->a, n * sizeof(*v));
    if (!v)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(c->path, field);
        pb_path_field(c->path, "patterns");
        pb_path_index(c->path, i);
        int r = string_match_compile(m->patterns[i], c->a, c->path, &v[i], c->err);
        if (r < 0)
            return r;
        pb_path_back(c->path, mark);
        v[i].ignore_case = true; /* names have no case */
    }
    *ret = (struct names){v, n};
    return 0;
}

static int compile_body(struct filter_compile *c, const pb_buffer *m, struct body_rule *ret)
{
    if (!m)
        return 0;
    if (!m->max_request_bytes)
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "with_request_body.max_request_bytes must be greater than 0");
    *ret = (struct body_rule){true, m->pack_as_bytes, m->max_request_bytes};
    return 0;
}

static int compile_added(struct filter_compile *c, Envoy__Config__Core__V3__HeaderValue *const *m,
                         size_t n, struct authz *ret)
{
    ret->n_add = n;
    ret->add = arena_alloc(c->a, n * sizeof(*ret->add));
    ret->add_values = arena_alloc(c->a, n * sizeof(*ret->add_values));
    if (!ret->add || !ret->add_values)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        struct str name = arena_str(c->a, str_from(m[i]->key));
        ret->add_values[i] = arena_str(c->a, str_from(m[i]->value));
        if (!name.p || !ret->add_values[i].p)
            return -ENOMEM;
        if (!http_is_token(name) || !http_is_value(ret->add_values[i]))
            return pb_path_fail(c->path, c->err, -EINVAL, "headers_to_add[%zu]: no field", i);
        ret->add[i] = (struct header_name){(uint16_t)http_name_find(name), name};
    }
    return 0;
}

static int compile_service(struct filter_compile *c, const pb_service *m, struct authz *ret)
{
    const Envoy__Extensions__Filters__Http__ExtAuthz__V3__AuthorizationRequest *ask =
        m->authorization_request;
    const Envoy__Extensions__Filters__Http__ExtAuthz__V3__AuthorizationResponse *answer =
        m->authorization_response;
    if (!m->server_uri)
        return pb_path_fail(c->path, c->err, -EINVAL, "server_uri must be set");
    const Google__Protobuf__Duration *d = m->server_uri->timeout;
    ret->cluster = arena_str(c->a, str_from(m->server_uri->cluster));
    ret->prefix = arena_str(c->a, str_from(m->path_prefix));
    ret->instead = arena_str(c->a, str_from(m->path_override));
    if (!ret->cluster.p || !ret->prefix.p || !ret->instead.p)
        return -ENOMEM;
    ret->timeout_ms = duration_ms(d, ret->timeout_ms);
    if ((ret->prefix.n && ret->prefix.p[0] != '/') || (ret->instead.n && ret->instead.p[0] != '/'))
        return pb_path_fail(c->path, c->err, -EINVAL, "a path must begin with '/'");
    int r = 0;
    if (ask && !ret->allowed.n)
        r = compile_names(c, "authorization_request.allowed_headers", ask->allowed_headers,
                          &ret->allowed);
    if (r == 0 && ask)
        r = compile_added(c, ask->headers_to_add, ask->n_headers_to_add, ret);
    if (r == 0 && answer)
        r = compile_names(c, "authorization_response.allowed_upstream_headers",
                          answer->allowed_upstream_headers, &ret->upstream);
    if (r == 0 && answer)
        r = compile_names(c, "authorization_response.allowed_upstream_headers_to_append",
                          answer->allowed_upstream_headers_to_append, &ret->upstream_append);
    if (r == 0 && answer)
        r = compile_names(c, "authorization_response.allowed_client_headers",
                          answer->allowed_client_headers, &ret->client);
    if (r == 0 && answer)
        r = compile_names(c, "authorization_response.allowed_client_headers_on_success",
                          answer->allowed_client_headers_on_success, &ret->client_on_success);
    return r;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_authz *m = (const pb_authz *)message;
    struct authz *z = *ret = arena_alloc(c->a, sizeof(*z));
    if (!z)
        return -ENOMEM;
    z->grpc = m->services_case ==
              ENVOY__EXTENSIONS__FILTERS__HTTP__EXT_AUTHZ__V3__EXT_AUTHZ__SERVICES_GRPC_SERVICE;
    if (m->services_case ==
        ENVOY__EXTENSIONS__FILTERS__HTTP__EXT_AUTHZ__V3__EXT_AUTHZ__SERVICES__NOT_SET)
        return pb_path_fail(c->path, c->err, -EINVAL, "http_service or grpc_service must be set");
    z->enabled = fraction_of_runtime(m->filter_enabled);
    z->deny_at_disable = m->deny_at_disable && m->deny_at_disable->default_value &&
                         m->deny_at_disable->default_value->value;
    z->failure_allows = m->failure_mode_allow;
    z->failure_tells = m->failure_mode_allow_header_add;
    z->status_on_error =
        m->status_on_error && m->status_on_error->code ? (uint16_t)m->status_on_error->code : 403;
    if (z->status_on_error < 200 || z->status_on_error > 599)
        return pb_path_fail(c->path, c->err, -EINVAL, "status_on_error: expected 200 to 599");
    int r = compile_names(c, "allowed_headers", m->allowed_headers, &z->allowed);
    if (r == 0)
        r = compile_names(c, "disallowed_headers", m->disallowed_headers, &z->forbidden);
    if (r == 0)
        r = compile_body(c, m->with_request_body, &z->body);
    if (r == 0 && m->filter_enabled_metadata) {
        size_t at = pb_path_field(c->path, "filter_enabled_metadata");
        r = metadata_match_compile(m->filter_enabled_metadata, c->a, c->path, &z->only, c->err);
        if (r == 0)
            pb_path_back(c->path, at);
    }
    size_t mark = pb_path_field(c->path, z->grpc ? "grpc_service" : "http_service");
    if (r == 0)
        r = z->grpc ? ext_authz_compile_grpc(c, m->grpc_service, z)
                    : compile_service(c, m->http_service, z);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int compile_route(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_route *m = (const pb_route *)message;
    struct authz_route *z = *ret = arena_alloc(c->a, sizeof(*z));
    if (!z)
        return -ENOMEM;
    if (m->override_case ==
        ENVOY__EXTENSIONS__FILTERS__HTTP__EXT_AUTHZ__V3__EXT_AUTHZ_PER_ROUTE__OVERRIDE_DISABLED) {
        z->disabled = m->disabled;
        return 0;
    }
    if (m->override_case !=
        ENVOY__EXTENSIONS__FILTERS__HTTP__EXT_AUTHZ__V3__EXT_AUTHZ_PER_ROUTE__OVERRIDE_CHECK_SETTINGS)
        return pb_path_fail(c->path, c->err, -EINVAL, "needs one of disabled, check_settings");
    z->says_body =
        m->check_settings->disable_request_body_buffering || m->check_settings->with_request_body;
    if (m->check_settings->disable_request_body_buffering && m->check_settings->with_request_body)
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "disable_request_body_buffering beside with_request_body");
    return compile_body(c, m->check_settings->with_request_body, &z->body);
}

/* ---- the question ---- */

static bool is_among(const struct names *names, const struct http_field *f)
{
    return ext_authz_is_among(names, str_of(f->name, f->name_n));
}

static bool add(struct http_head *h, struct arena *a, const struct http_field *f)
{
    struct header_name name = {f->id, str_of(f->name, f->name_n)};
    return head_add(h, a, name, http_field_value(f));
}

static bool make_question(const struct filter_call *c, const struct authz *z,
                          struct filter_question *q)
{
    static const struct str host = STR("host");
    struct arena *a = http_stream_arena(c->down);
    const struct http_head *from = c->head;
    struct http_head *h = &q->head;
    bool ok = true;
    h->method = from->method;
    h->minor = 1;
    h->path = z->instead.n ? z->instead : from->path;
    if (z->prefix.n && !z->instead.n) {
        char *p = arena_alloc_raw(a, z->prefix.n + from->path.n);
        if (!p)
            return false;
        memcpy(p, z->prefix.p, z->prefix.n);
        memcpy(p + z->prefix.n, from->path.p, from->path.n);
        h->path = str_of(p, z->prefix.n + from->path.n);
    }
    h->target = h->path;
    if (from->authority.p)
        ok = head_add(h, a, (struct header_name){HTTP_NAME_HOST, host}, from->authority);
    for (uint16_t i = 0; i < from->n && ok; i++) {
        const struct http_field *f = &from->fields[i];
        bool is_host = f->id == HTTP_NAME_HOST;
        if (filter_field_is_of_one_hop(f) || (is_host && from->authority.p))
            continue;
        if (is_host || ((f->id == HTTP_NAME_AUTHORIZATION || is_among(&z->allowed, f)) &&
                        !is_among(&z->forbidden, f)))
            ok = add(h, a, f);
    }
    for (size_t i = 0; i < z->n_add && ok; i++) {
        for (struct http_field *f; (f = head_find(h, z->add[i]));)
            f->name_n = 0; /* the client does not say it */
        ok = head_add(h, a, z->add[i], z->add_values[i]);
    }
    q->cluster = z->cluster.p;
    q->timeout_ms = z->timeout_ms;
    return ok;
}

/* ---- the answer ---- */

static bool always_goes(uint16_t id)
{
    return id == HTTP_NAME_WWW_AUTHENTICATE || id == HTTP_NAME_LOCATION;
}

static enum filter_result deny(struct filter_call *c, const struct http_head *answer,
                               struct str body)
{
    const struct authz *z = c->config;
    struct arena *a = http_stream_arena(c->down);
    struct http_header *fields = arena_alloc(a, answer->n * sizeof(*fields));
    size_t n = 0;
    for (uint16_t i = 0; i < answer->n && fields; i++) {
        const struct http_field *f = &answer->fields[i];
        bool goes = !z->client.n || always_goes(f->id) || is_among(&z->client, f);
        if (!filter_field_is_of_one_hop(f) && goes && filter_field_keep(f, a, &fields[n]))
            n++;
    }
    stats_inc(c->stats, HTTP_STAT_AUTHZ_DENIED);
    c->answer.reason = REASON_AUTHZ_DENIED;
    c->answer.status = answer->status;
    c->answer.body = body;
    c->answer.fields = fields;
    c->answer.n_fields = n;
    return FILTER_ANSWERED;
}

static bool set_upstream(struct filter_call *c, const struct http_header *kept, bool append)
{
    struct header_name name = {(uint16_t)http_name_find(kept->name), kept->name};
    for (struct http_field *f; !append && (f = head_find(c->head, name));)
        f->name_n = 0;
    return head_add(c->head, http_stream_arena(c->down), name, kept->value);
}

static enum filter_result allow(struct filter_call *c, const struct http_head *answer)
{
    const struct authz *z = c->config;
    struct authz_state *s = c->state;
    struct arena *a = http_stream_arena(c->down);
    bool ok = true;
    s->told = z->client_on_success.n ? arena_alloc(a, answer->n * sizeof(*s->told)) : NULL;
    for (uint16_t i = 0; i < answer->n && ok; i++) {
        const struct http_field *f = &answer->fields[i];
        struct http_header kept;
        bool set = is_among(&z->upstream, f), append = is_among(&z->upstream_append, f);
        if (filter_field_is_of_one_hop(f) || f->id == HTTP_NAME_HOST)
            continue;
        if (set || append)
            ok = filter_field_keep(f, a, &kept) && set_upstream(c, &kept, !set);
        if (s->told && is_among(&z->client_on_success, f))
            s->n_told += filter_field_keep(f, a, &s->told[s->n_told]);
    }
    /* An endpoint that is to be told who asks must not be asked without. */
    if (!ok)
        return ext_authz_on_error(c);
    stats_inc(c->stats, HTTP_STAT_AUTHZ_OK);
    return FILTER_CONTINUE;
}

static void on_answer_of_server(struct filter_call *c, const struct http_head *answer,
                                struct str body)
{
    struct authz_state *s = c->state;
    s->asked = NULL;
    if (!answer || answer->status >= 500)
        c->go_on(c, ext_authz_on_error(c));
    else if (answer->status == 200)
        c->go_on(c, allow(c, answer));
    else
        c->go_on(c, deny(c, answer, body));
}

/* ---- requests ---- */

static const struct body_rule *body_of(const struct filter_call *c)
{
    const struct authz *z = c->config;
    const struct authz_route *route = c->route;
    return route && route->says_body ? &route->body : &z->body;
}

static enum filter_result ask(struct filter_call *c, bool with_body)
{
    const struct authz *z = c->config;
    struct authz_state *s = c->state;
    AUTO_DONE(chain) struct chain message = {0};
    struct filter_question q = {.with_body = with_body, .on_answer = on_answer_of_server};
    if (z->grpc)
        q.message = &message;
    bool can = !str_is(c->head->method, "CONNECT") &&
               (z->grpc ? ext_authz_make_check(c, z, with_body ? body_of(c) : NULL, &q)
                        : make_question(c, z, &q));
    s->asked = can ? c->ask(c, &q) : NULL;
    return s->asked ? FILTER_WAIT : ext_authz_on_error(c);
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct authz *z = c->config;
    const struct authz_route *route = c->route;
    const struct body_rule *body = body_of(c);
    if (route && route->disabled)
        return FILTER_CONTINUE;
    if (!fraction_hits(z->enabled, rand_u64(), true) ||
        (z->only && !metadata_matches(z->only, *c->metadata))) {
        if (!z->deny_at_disable)
            return FILTER_CONTINUE;
        c->answer.reason = REASON_AUTHZ_ERROR;
        c->answer.status = z->status_on_error;
        return FILTER_ANSWERED;
    }
    if (!body->wanted)
        return ask(c, false);
    c->collect_max = body->max;
    return FILTER_COLLECT;
}

static enum filter_result on_body(struct filter_call *c)
{
    return ask(c, true);
}

static void on_answer(struct filter_call *c, struct http_head *answer)
{
    const struct authz_state *s = c->state;
    ext_authz_change_answer(c, answer);
    for (size_t i = 0; i < s->n_told; i++) {
        struct header_name name = {(uint16_t)http_name_find(s->told[i].name), s->told[i].name};
        for (struct http_field *f; (f = head_find(answer, name));)
            f->name_n = 0;
        IGNORE_RESULT(head_add(answer, http_stream_arena(c->down), name, s->told[i].value));
    }
}

static void on_done(struct filter_call *c)
{
    struct authz_state *s = c->state;
    c->ask_no_more(TAKE(s->asked));
}

static struct str asked_cluster(const void *config)
{
    return str_from(((const struct authz *)config)->cluster.p);
}

const struct filter_type filter_ext_authz = {
    .name = "envoy.filters.http.ext_authz",
    .message = &envoy__extensions__filters__http__ext_authz__v3__ext_authz__descriptor,
    .route_message =
        &envoy__extensions__filters__http__ext_authz__v3__ext_authz_per_route__descriptor,
    .compile = compile,
    .compile_route = compile_route,
    .state_bytes = sizeof(struct authz_state),
    .cluster = asked_cluster,
    .on_request = on_request,
    .on_body = on_body,
    .on_answer = on_answer,
    .on_done = on_done,
};
