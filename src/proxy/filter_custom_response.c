/* Answers of certain statuses are replaced by those to another request, through the same table of
 * routes. The most specific configuration that has the status decides. */
#include <errno.h>

#include <envoy/extensions/filters/http/custom_response/v3/custom_response.pb-c.h>
#include <envoy/extensions/http/custom_response/redirect_policy/v3/redirect_policy.pb-c.h>
#include <envoy/type/matcher/v3/http_inputs.pb-c.h>

#include "proxy/filter_table.h"
#include "proxy/header_ops.h"
#include "xds/xds_check.h"

typedef Envoy__Extensions__Filters__Http__CustomResponse__V3__CustomResponse pb_filter;
typedef Envoy__Extensions__Http__CustomResponse__RedirectPolicy__V3__RedirectPolicy pb_policy;
typedef Xds__Core__V3__TypedExtensionConfig pb_extension;
typedef Xds__Type__Matcher__V3__Matcher__MatcherTree pb_tree;

struct detour {
    uint16_t status;
    struct filter_detour to;
    struct header_ops ops;
};

struct detours {
    struct detour *v;
    size_t n;
};

/* ---- configuration ---- */

/* The message of an extension, which must be of that type. */
static int unpack(struct filter_compile *c, const pb_extension *m, const char *field,
                  const ProtobufCMessageDescriptor *want, struct arena *scratch,
                  ProtobufCMessage **ret)
{
    struct err err = {0};
    if (!m || !m->typed_config)
        return pb_path_fail(c->path, c->err, -EINVAL, "%s must be set", field);
    int r = xds_any_unpack(m->typed_config, scratch, ret, &err);
    if (r < 0)
        return pb_path_fail(c->path, c->err, r, "%s: %s", field, err_text(&err));
    return (*ret)->descriptor == want
               ? 0
               : pb_path_fail(c->path, c->err, -EINVAL, "%s: %s is not implemented here", field,
                              (*ret)->descriptor->name);
}

static int compile_policy(struct filter_compile *c, const pb_policy *m, struct detour *ret)
{
    const Envoy__Config__Route__V3__RedirectAction *to =
        m->redirect_action_specifier_case ==
                ENVOY__EXTENSIONS__HTTP__CUSTOM_RESPONSE__REDIRECT_POLICY__V3__REDIRECT_POLICY__REDIRECT_ACTION_SPECIFIER_REDIRECT_ACTION
            ? m->redirect_action
            : NULL;
    if (!to || !*to->host_redirect)
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "redirect_action with host_redirect must be set");
    ret->to.host = arena_str(c->a, str_from(to->host_redirect));
    ret->to.strip_query = to->strip_query;
    if (to->path_rewrite_specifier_case ==
        ENVOY__CONFIG__ROUTE__V3__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT) {
        if (*to->path_redirect != '/' || strpbrk(to->path_redirect, "?#"))
            return pb_path_fail(c->path, c->err, -EINVAL, "path_redirect must be a path");
        ret->to.path = arena_str(c->a, str_from(to->path_redirect));
        if (!ret->to.path.p)
            return -ENOMEM;
    } else if (to->path_rewrite_specifier_case) {
        return pb_path_fail(c->path, c->err, -EINVAL, "only path_redirect is implemented here");
    }
    ret->to.request_ops = &ret->ops;
    return !ret->to.host.p
               ? -ENOMEM
               : header_ops_compile(m->request_headers_to_add, m->n_request_headers_to_add,
                                    "request_headers_to_add", NULL, 0, "", c->a, c->path, &ret->ops,
                                    c->err);
}

static int compile_one(struct filter_compile *c, const char *status,
                       const Xds__Type__Matcher__V3__Matcher__OnMatch *m, struct detour *ret)
{
    AUTO(arena) struct arena *scratch = arena_new(XDS_CHECK_MEMORY_MAX);
    ProtobufCMessage *policy;
    uint64_t code;
    if (str_to_u64(str_from(status), &code) < 0 || code < 200 || code > 599)
        return pb_path_fail(c->path, c->err, -EINVAL, "\"%s\" is no status", status);
    ret->status = (uint16_t)code;
    int r = unpack(
        c, m ? m->action : NULL, "action",
        &envoy__extensions__http__custom_response__redirect_policy__v3__redirect_policy__descriptor,
        scratch, &policy);
    return r < 0 ? r : compile_policy(c, (const pb_policy *)policy, ret);
}

static int compile_tree(struct filter_compile *c, const pb_tree *m, struct detours *ret)
{
    AUTO(arena) struct arena *scratch = arena_new(XDS_CHECK_MEMORY_MAX);
    ProtobufCMessage *input;
    int r = unpack(c, m->input, "input",
                   &envoy__type__matcher__v3__http_response_status_code_match_input__descriptor,
                   scratch, &input);
    if (r < 0)
        return r;
    if (m->tree_type_case !=
        XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TREE__TREE_TYPE_EXACT_MATCH_MAP)
        return pb_path_fail(c->path, c->err, -EINVAL, "exact_match_map must be set");
    ret->v = arena_alloc(c->a, m->exact_match_map->n_map * sizeof(*ret->v));
    if (!ret->v)
        return -ENOMEM;
    size_t mark = pb_path_field(c->path, "exact_match_map");
    for (; ret->n < m->exact_match_map->n_map && r == 0; ret->n += r == 0)
        r = compile_one(c, m->exact_match_map->map[ret->n]->key,
                        m->exact_match_map->map[ret->n]->value, &ret->v[ret->n]);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_filter *m = (const pb_filter *)message;
    struct detours *d = *ret = arena_alloc(c->a, sizeof(*d));
    if (!d)
        return -ENOMEM;
    if (!m->custom_response_matcher)
        return 0;
    size_t mark = pb_path_field(c->path, "custom_response_matcher");
    if (m->custom_response_matcher->matcher_type_case !=
        XDS__TYPE__MATCHER__V3__MATCHER__MATCHER_TYPE_MATCHER_TREE)
        return pb_path_fail(c->path, c->err, -EINVAL, "matcher_tree must be set");
    pb_path_field(c->path, "matcher_tree");
    int r = compile_tree(c, m->custom_response_matcher->matcher_tree, d);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

/* ---- answers ---- */

static const struct filter_detour *find(const struct detours *d, uint16_t status)
{
    for (size_t i = 0; d && i < d->n; i++)
        if (d->v[i].status == status)
            return &d->v[i].to;
    return NULL;
}

static const struct filter_detour *detour(const struct filter_call *c, uint16_t status)
{
    const struct filter_detour *to = NULL;
    for (size_t i = 0; i < FILTER_LEVELS && !to; i++)
        to = find(c->levels[i], status);
    return to ? to : find(c->config, status);
}

const struct filter_type filter_custom_response = {
    .name = "envoy.filters.http.custom_response",
    .message = &envoy__extensions__filters__http__custom_response__v3__custom_response__descriptor,
    .route_message =
        &envoy__extensions__filters__http__custom_response__v3__custom_response__descriptor,
    .compile = compile,
    .compile_route = compile,
    .detour = detour,
};
