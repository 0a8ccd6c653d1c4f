/* Fields of requests and answers changed by a list, in its order: the filter's own, then what
 * routes say, the most specific first unless the filter wants it last. */
#include <errno.h>

#include <envoy/extensions/filters/http/header_mutation/v3/header_mutation.pb-c.h>

#include "proxy/filter_table.h"
#include "proxy/header_ops.h"
#include "proxy/string_match.h"

typedef Envoy__Extensions__Filters__Http__HeaderMutation__V3__HeaderMutation pb_filter;
typedef Envoy__Extensions__Filters__Http__HeaderMutation__V3__HeaderMutationPerRoute pb_route;
typedef Envoy__Extensions__Filters__Http__HeaderMutation__V3__Mutations pb_mutations;
typedef Envoy__Config__Common__MutationRules__V3__HeaderMutation pb_mutation;

struct mutation {
    struct header_ops ops;      /* one of them */
    struct string_match *match; /* of the names to take out; NULL: ops */
};

struct mutations {
    struct mutation *v[2]; /* of requests, of answers */
    size_t n[2];
    bool most_specific_wins;
};

static int compile_one(struct filter_compile *c, const pb_mutation *m, struct mutation *ret)
{
    switch ((int)m->action_case) {
    case ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_REMOVE:
        return header_ops_compile(NULL, 0, "", &m->remove, 1, "remove", c->a, c->path, &ret->ops,
                                  c->err);
    case ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_APPEND:
        return header_ops_compile(&m->append, 1, "append", NULL, 0, "", c->a, c->path, &ret->ops,
                                  c->err);
    case ENVOY__CONFIG__COMMON__MUTATION_RULES__V3__HEADER_MUTATION__ACTION_REMOVE_ON_MATCH:
        ret->match = arena_alloc(c->a, sizeof(*ret->match));
        if (!ret->match)
            return -ENOMEM;
        if (m->remove_on_match->key_matcher)
            return string_match_compile(m->remove_on_match->key_matcher, c->a, c->path, ret->match,
                                        c->err);
        return pb_path_fail(c->path, c->err, -EINVAL, "key_matcher must be set");
    default:
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "needs one of remove, append, remove_on_match");
    }
}

static int compile_list(struct filter_compile *c, pb_mutation *const *m, size_t n,
                        const char *field, bool answer, struct mutations *ret)
{
    struct mutation *v = arena_alloc(c->a, n * sizeof(*v));
    if (!v)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(c->path, field);
        pb_path_index(c->path, i);
        int r = compile_one(c, m[i], &v[i]);
        if (r < 0)
            return r;
        pb_path_back(c->path, mark);
    }
    ret->v[answer] = v;
    ret->n[answer] = n;
    return 0;
}

static int compile_mutations(struct filter_compile *c, const pb_mutations *m, void **ret)
{
    struct mutations *all = *ret = arena_alloc(c->a, sizeof(*all));
    if (!all)
        return -ENOMEM;
    if (!m)
        return 0;
    size_t mark = pb_path_field(c->path, "mutations");
    int r = compile_list(c, m->request_mutations, m->n_request_mutations, "request_mutations",
                         false, all);
    if (r == 0)
        r = compile_list(c, m->response_mutations, m->n_response_mutations, "response_mutations",
                         true, all);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_filter *m = (const pb_filter *)message;
    int r = compile_mutations(c, m->mutations, ret);
    if (r == 0)
        ((struct mutations *)*ret)->most_specific_wins = m->most_specific_header_mutations_wins;
    return r;
}

static int compile_route(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    return compile_mutations(c, ((const pb_route *)message)->mutations, ret);
}

static void remove_matching(const struct string_match *m, struct http_head *h)
{
    for (uint16_t i = 0; i < h->n; i++) {
        struct http_field *f = &h->fields[i];
        /* What frames or addresses the message stays, as it does for `remove`. */
        if (f->name_n && f->id != HTTP_NAME_HOST && f->id != HTTP_NAME_CONTENT_LENGTH &&
            f->id != HTTP_NAME_TRANSFER_ENCODING && string_matches(m, str_of(f->name, f->name_n)))
            f->name_n = 0;
    }
}

static void apply(const struct filter_call *c, const struct mutations *m, struct http_head *h,
                  bool answer)
{
    for (size_t i = 0; m && i < m->n[answer]; i++) {
        const struct mutation *one = &m->v[answer][i];
        if (one->match)
            remove_matching(one->match, h);
        else
            header_ops_apply(&one->ops, h, http_stream_arena(c->down), c->value, c->request);
    }
}

static void apply_all(const struct filter_call *c, struct http_head *h, bool answer)
{
    const struct mutations *own = c->config;
    apply(c, own, h, answer);
    for (size_t i = 0; i < FILTER_LEVELS; i++)
        apply(c, c->levels[own->most_specific_wins ? FILTER_LEVELS - 1 - i : i], h, answer);
}

static enum filter_result on_request(struct filter_call *c)
{
    apply_all(c, c->head, false);
    return FILTER_CONTINUE;
}

static void on_answer(struct filter_call *c, struct http_head *answer)
{
    apply_all(c, answer, true);
}

const struct filter_type filter_header_mutation = {
    .name = "envoy.filters.http.header_mutation",
    .message = &envoy__extensions__filters__http__header_mutation__v3__header_mutation__descriptor,
    .route_message =
        &envoy__extensions__filters__http__header_mutation__v3__header_mutation_per_route__descriptor,
    .compile = compile,
    .compile_route = compile_route,
    .on_request = on_request,
    .on_answer = on_answer,
};
