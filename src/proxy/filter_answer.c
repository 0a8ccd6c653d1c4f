/* What becomes of a route's answers: where endpoints' cookies count and where they send clients to
 * are said in the client's terms; a body goes no faster than it may; logs may be told nothing. What
 * is rewritten is what endpoints say, before anything of our own is added to it. */
#include <errno.h>
#include <strings.h>

#include <fairlead/filters/http/v1/answer.pb-c.h>

#include "proxy/filter_table.h"
#include "proxy/header_ops.h"

typedef Fairlead__Filters__Http__V1__Answer pb_answer;
typedef Fairlead__Filters__Http__V1__Answer__Pair pb_pair;

#define RATE_MAX (UINT64_C(1) << 42)
enum { VALUE_MAX = 16 * 1024 };

struct pair {
    struct str from, to; /* from empty: none */
};

struct answer_rules {
    struct pair domain, path, redirect;
    bool relative, unlogged;
    uint64_t bytes_per_s, bytes_before;
};

/* ---- configuration ---- */

static int compile_pair(struct filter_compile *c, const char *field, const pb_pair *m,
                        const char *forbidden, struct pair *ret)
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

/* ---- values ---- */

/* What stands at `at` of the field, n bytes, is replaced. Without memory it stays. */
static void replace(const struct filter_call *c, struct http_field *f, size_t at, size_t n,
                    struct str by)
{
    struct str old = http_field_value(f);
    size_t size = old.n - n + by.n;
    char *p = size <= VALUE_MAX ? arena_alloc_raw(http_stream_arena(c->down), size + 1) : NULL;
    if (!p)
        return;
    memcpy(p, old.p, at);
    memcpy(p + at, by.p, by.n);
    memcpy(p + at + by.n, old.p + at + n, old.n - at - n);
    f->value = p;
    f->value_n = (uint32_t)size;
}

/* True: it was there. */
static bool rewrite_beginning(const struct filter_call *c, const struct pair *p,
                              struct http_field *f, size_t at)
{
    struct str value = http_field_value(f);
    if (!p->from.n || !str_starts(str_sub(value, at, value.n), p->from))
        return false;
    replace(c, f, at, p->from.n, p->to);
    return true;
}

/* A dot before the domain says nothing (RFC 6265 section 5.2.3). */
static bool rewrite_domain(const struct filter_call *c, const struct pair *p, struct http_field *f,
                           size_t at, size_t n)
{
    struct str domain = str_sub(http_field_value(f), at, at + n);
    struct str bare = domain.n && *domain.p == '.' ? str_sub(domain, 1, domain.n) : domain;
    if (!p->from.n || !str_eq_nocase(bare, p->from))
        return false;
    replace(c, f, at, n, p->to);
    return true;
}

/* Attributes stand behind the first semicolon: what is rewritten moves those behind it. */
static void rewrite_cookie(const struct filter_call *c, const struct answer_rules *a,
                           struct http_field *f)
{
    const char *end = memchr(f->value, ';', f->value_n);
    size_t at = end ? (size_t)(end - f->value) + 1 : f->value_n;
    while (at < f->value_n) {
        struct str all = http_field_value(f), value;
        const char *next = memchr(all.p + at, ';', all.n - at);
        size_t to = next ? (size_t)(next - all.p) : all.n;
        struct str name = str_trim(str_cut(str_sub(all, at, to), '=', &value));
        struct str text = value.p ? str_trim(value) : STR("");
        size_t from = value.p && text.n ? (size_t)(text.p - all.p) : to;
        if (str_eq_nocase(name, STR("domain")))
            rewrite_domain(c, &a->domain, f, from, text.n);
        else if (str_eq_nocase(name, STR("path")))
            rewrite_beginning(c, &a->path, f, from);
        at = f->value_n - (all.n - to) + 1;
    }
}

/* "5; url=/there" */
static void rewrite_refresh(const struct filter_call *c, const struct answer_rules *a,
                            struct http_field *f)
{
    for (size_t i = 0; i + 4 <= f->value_n; i++)
        if (strncasecmp(f->value + i, "url=", 4) == 0) {
            rewrite_beginning(c, &a->redirect, f, i + 4);
            return;
        }
}

/* Of an endpoint. */
static void on_received(struct filter_call *c, struct http_head *answer)
{
    const struct answer_rules *a = rules_of(c);
    bool cookies = a->domain.from.n || a->path.from.n;
    for (uint16_t i = 0; i < answer->n; i++) {
        struct http_field *f = &answer->fields[i];
        if (cookies && f->id == HTTP_NAME_SET_COOKIE && f->name_n)
            rewrite_cookie(c, a, f);
        else if (a->redirect.from.n && f->id == HTTP_NAME_LOCATION && f->name_n)
            rewrite_beginning(c, &a->redirect, f, 0);
        else if (a->redirect.from.n && f->id == HTTP_NAME_REFRESH && f->name_n)
            rewrite_refresh(c, a, f);
    }
}

/* ---- of all answers ---- */

/* "https://host/path" to "/path". */
static void make_relative(struct http_head *answer)
{
    for (uint16_t i = 0; i < answer->n; i++) {
        struct http_field *f = &answer->fields[i];
        struct str value = http_field_value(f);
        size_t scheme = str_starts(value, STR("https://"))  ? 8
                        : str_starts(value, STR("http://")) ? 7
                                                            : 0;
        const char *slash =
            scheme && f->id == HTTP_NAME_LOCATION && f->name_n
                ? memchr(value.p + scheme, '/', value.n - scheme)
                : NULL;
        if (!slash)
            continue;
        f->value = slash;
        f->value_n = (uint32_t)(value.n - (size_t)(slash - value.p));
    }
}

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
    if (rules_of(c)->relative)
        make_relative(answer);
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
