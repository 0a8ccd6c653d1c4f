/* Cross-origin requests: preflights of origins that may are answered here, other answers to them
 * are marked. Each property is what the most specific policy with one says; whether there is
 * anything to do at all, the most specific policy alone. */
#include <errno.h>

#include <envoy/extensions/filters/http/cors/v3/cors.pb-c.h>

#include "base/rand.h"
#include "proxy/filter_table.h"
#include "proxy/fraction.h"
#include "proxy/header_ops.h"
#include "proxy/string_match.h"

typedef Envoy__Extensions__Filters__Http__Cors__V3__CorsPolicy pb_policy;

enum cors_text {
    CORS_METHODS,
    CORS_HEADERS,
    CORS_EXPOSE,
    CORS_MAX_AGE,
    _CORS_TEXTS,
};

enum cors_flag {
    CORS_CREDENTIALS,
    CORS_PRIVATE,
    CORS_FORWARD,
    _CORS_FLAGS,
};

struct cors_policy {
    struct string_match *origins;
    size_t n_origins;
    struct str texts[_CORS_TEXTS]; /* empty: not said */
    int8_t flags[_CORS_FLAGS];     /* -1: not said */
    struct fraction enabled, shadow;
};

struct cors_state {
    struct str origin; /* may have the answer; .p NULL: nothing to do */
    struct http_header fields[4];
};

static int compile_route(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_policy *m = (const pb_policy *)message;
    const char *const texts[_CORS_TEXTS] = {m->allow_methods, m->allow_headers, m->expose_headers,
                                            m->max_age};
    const Google__Protobuf__BoolValue *const flags[_CORS_FLAGS] = {
        m->allow_credentials, m->allow_private_network_access, m->forward_not_matching_preflights};
    struct cors_policy *p = arena_alloc(c->a, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->enabled = fraction_of_runtime(m->filter_enabled);
    p->shadow = fraction_of_runtime(m->shadow_enabled);
    for (size_t i = 0; i < _CORS_TEXTS; i++) {
        p->texts[i] = arena_str(c->a, str_from(texts[i]));
        if (!p->texts[i].p)
            return -ENOMEM;
        if (!http_is_value(p->texts[i]))
            return pb_path_fail(c->path, c->err, -EINVAL, "a text that may not stand in a field");
    }
    for (size_t i = 0; i < _CORS_FLAGS; i++)
        p->flags[i] = flags[i] ? (int8_t)flags[i]->value : -1;
    p->n_origins = m->n_allow_origin_string_match;
    p->origins = arena_alloc(c->a, p->n_origins * sizeof(*p->origins));
    if (!p->origins)
        return -ENOMEM;
    for (size_t i = 0; i < p->n_origins; i++) {
        size_t mark = pb_path_field(c->path, "allow_origin_string_match");
        pb_path_index(c->path, i);
        int r = string_match_compile(m->allow_origin_string_match[i], c->a, c->path, &p->origins[i],
                                     c->err);
        if (r < 0)
            return r;
        pb_path_back(c->path, mark);
    }
    *ret = p;
    return 0;
}

static struct str text_of(const struct filter_call *c, enum cors_text which)
{
    for (size_t i = 0; i < FILTER_LEVELS; i++) {
        const struct cors_policy *p = c->levels[i];
        if (p && p->texts[which].n)
            return p->texts[which];
    }
    return (struct str){NULL, 0};
}

static bool flag_of(const struct filter_call *c, enum cors_flag which, bool otherwise)
{
    for (size_t i = 0; i < FILTER_LEVELS; i++) {
        const struct cors_policy *p = c->levels[i];
        if (p && p->flags[which] >= 0)
            return p->flags[which];
    }
    return otherwise;
}

static bool may(const struct filter_call *c, struct str origin)
{
    const struct cors_policy *p = NULL;
    for (size_t i = 0; i < FILTER_LEVELS && !(p && p->n_origins); i++)
        p = c->levels[i];
    for (size_t i = 0; p && i < p->n_origins; i++)
        if (string_matches(&p->origins[i], STR("*")) || string_matches(&p->origins[i], origin))
            return true;
    return false;
}

static void add(struct filter_call *c, const char *name, struct str value)
{
    struct cors_state *state = c->state;
    if (value.n)
        state->fields[c->answer.n_fields++] = (struct http_header){str_from(name), value};
}

/* What on_answer() says of every answer stands in this one, too. */
static enum filter_result answer_preflight(struct filter_call *c, bool allowed)
{
    static const struct str name = STR("access-control-request-private-network");
    struct filter_answer *a = &c->answer;
    a->reason = REASON_CORS;
    a->fields = ((struct cors_state *)c->state)->fields;
    if (!allowed)
        return FILTER_ANSWERED;
    add(c, "access-control-allow-methods", text_of(c, CORS_METHODS));
    add(c, "access-control-allow-headers", text_of(c, CORS_HEADERS));
    add(c, "access-control-max-age", text_of(c, CORS_MAX_AGE));
    if (flag_of(c, CORS_PRIVATE, false) &&
        str_is(http_field_value(http_head_find_text(c->head, name)), "true"))
        add(c, "access-control-allow-private-network", STR("true"));
    return FILTER_ANSWERED;
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct cors_policy *p = c->route;
    struct cors_state *state = c->state;
    struct str origin = http_field_value(http_head_find_text(c->head, STR("origin")));
    if (!p || !origin.n || !fraction_hits(p->enabled, rand_u64(), true))
        return FILTER_CONTINUE;
    bool allowed = may(c, origin);
    stats_inc(c->stats, allowed ? HTTP_STAT_CORS_VALID : HTTP_STAT_CORS_INVALID);
    if (allowed)
        state->origin = arena_str(http_stream_arena(c->down), origin);
    bool preflight =
        str_is(c->head->method, "OPTIONS") &&
        http_field_value(http_head_find_text(c->head, STR("access-control-request-method"))).n;
    if (!preflight || (!allowed && flag_of(c, CORS_FORWARD, true)))
        return FILTER_CONTINUE;
    return answer_preflight(c, allowed);
}

static void set(struct filter_call *c, struct http_head *h, struct str name, struct str value)
{
    struct header_name n = {(uint16_t)http_name_find(name), name};
    for (struct http_field *f; (f = head_find(h, n));)
        f->name_n = 0;
    IGNORE_RESULT(
        head_add(h, http_stream_arena(c->down), n, value)); /* over its memory: left out */
}

static void on_answer(struct filter_call *c, struct http_head *answer)
{
    const struct cors_state *state = c->state;
    struct str expose = text_of(c, CORS_EXPOSE);
    if (!state->origin.p)
        return;
    set(c, answer, STR("access-control-allow-origin"), state->origin);
    if (flag_of(c, CORS_CREDENTIALS, false))
        set(c, answer, STR("access-control-allow-credentials"), STR("true"));
    if (expose.n)
        set(c, answer, STR("access-control-expose-headers"), expose);
}

const struct filter_type filter_cors = {
    .name = "envoy.filters.http.cors",
    .message = &envoy__extensions__filters__http__cors__v3__cors__descriptor,
    .route_message = &envoy__extensions__filters__http__cors__v3__cors_policy__descriptor,
    .compile_route = compile_route,
    .state_bytes = sizeof(struct cors_state),
    .on_request = on_request,
    .on_answer = on_answer,
};
