/* What becomes of a route's answers: where endpoints' cookies count and where they send clients to
 * are said in the client's terms; a body goes no faster than it may; logs may be told nothing. What
 * is rewritten is what endpoints say, before anything of our own is added to it. */
#include <errno.h>

#include <fairlead/filters/http/v1/answer.pb-c.h>

#include "proxy/answer_rewrite.h"
#include "proxy/filter_table.h"

typedef Fairlead__Filters__Http__V1__Answer pb_answer;
typedef Fairlead__Filters__Http__V1__Answer__Pair pb_pair;

#define RATE_MAX (UINT64_C(1) << 42)

struct answer_rules {
    struct answer_pair domain, path, redirect;
    bool relative, unlogged;
    uint64_t bytes_per_s, bytes_before;
};

/* ---- configuration ---- */

static int compile_pair(struct filter_compile *c, const char *field, const pb_pair *m,
                        const char *forbidden, struct answer_pair *ret)
{
    if (!m)
        return 0;
    if (!*m->from || strpbrk(m->to, forbidden) || !http_is_value(str_from(m->to)))
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "%s: from must be set, and to be part of a field's value", field);
    ret->from = arena_str(c->a, str_from(m->from));
    ret->to = arena_str(c->a, str_from(m->to));
    return ret->from.p && ret->to.p ? 0 : -ENOMEM;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_answer *m = (const pb_answer *)message;
    struct answer_rules *a = *ret = arena_alloc(c->a, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->relative = m->relative;
    a->unlogged = m->unlogged;
    a->bytes_per_s = MIN(m->bytes_per_second, RATE_MAX);
    a->bytes_before = m->bytes_before;
    int r = compile_pair(c, "cookie_domain", m->cookie_domain, ";, ", &a->domain);
    r = r < 0 ? r : compile_pair(c, "cookie_path", m->cookie_path, "; ", &a->path);
    return r < 0 ? r : compile_pair(c, "redirect", m->redirect, " ", &a->redirect);
}

static const struct answer_rules *rules_of(const struct filter_call *c)
{
    return c->route ? c->route : c->config;
}

/* ---- answers ---- */

/* Of an endpoint. */
static void on_received(struct filter_call *c, struct http_head *answer)
{
    const struct answer_rules *a = rules_of(c);
    struct arena *to = http_stream_arena(c->down);
    bool cookies = a->domain.from.n || a->path.from.n;
    for (uint16_t i = 0; i < answer->n; i++) {
        struct http_field *f = &answer->fields[i];
        if (cookies && f->id == HTTP_NAME_SET_COOKIE && f->name_n)
            answer_rewrite_cookie(&a->domain, &a->path, f, to);
        else if (a->redirect.from.n && f->id == HTTP_NAME_LOCATION && f->name_n)
            answer_rewrite_location(&a->redirect, f, to);
        else if (a->redirect.from.n && f->id == HTTP_NAME_REFRESH && f->name_n)
            answer_rewrite_refresh(&a->redirect, f, to);
    }
}

/* ---- requests, and all answers ---- */

static enum filter_result on_request(struct filter_call *c)
{
    const struct answer_rules *a = rules_of(c);
    c->unlogged = a->unlogged;
    c->bytes_per_s = a->bytes_per_s;
    c->bytes_before = a->bytes_before;
    return FILTER_CONTINUE;
}

static void on_answer(struct filter_call *c, struct http_head *answer)
{
    for (uint16_t i = 0; rules_of(c)->relative && i < answer->n; i++)
        if (answer->fields[i].id == HTTP_NAME_LOCATION && answer->fields[i].name_n)
            answer_make_relative(&answer->fields[i]);
}

const struct filter_type filter_answer = {
    .name = "fairlead.filters.http.answer",
    .message = &fairlead__filters__http__v1__answer__descriptor,
    .route_message = &fairlead__filters__http__v1__answer__descriptor,
    .compile = compile,
    .compile_route = compile,
    .on_request = on_request,
    .on_received = on_received,
    .on_answer = on_answer,
};
