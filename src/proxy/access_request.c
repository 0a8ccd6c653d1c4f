/* A question to another server, as ingress-nginx asks it: all of the client's fields, no body, and
 * what the request was in fields of their own. 2xx lets it pass, 401 and 403 do not; all else is a
 * failure. */
#include <errno.h>

#include "codec/url.h"
#include "proxy/access.h"
#include "proxy/duration.h"
#include "proxy/filter_field.h"

typedef Fairlead__Filters__Http__V1__Access__Request pb_request;

enum { TIMEOUT_MS = 60 * 1000, TEXT_MAX = 16 * 1024 };

struct set_header {
    struct header_name name;
    struct access_text value;
};

struct access_request {
    struct str cluster; /* ends in NUL */
    struct str method;
    struct access_text host, path, sign_in, redirect;
    uint64_t timeout_ms;
    struct header_name *copied; /* of an answer that allows, for the endpoint */
    size_t n_copied;
    struct set_header *set;
    size_t n_set;
    bool always_set_cookie;
    struct access_memory *memory; /* NULL: nothing is remembered */
};

/* ---- texts ---- */

int access_text_compile(struct filter_compile *c, const Fairlead__Filters__Http__V1__Text *m,
                        struct access_text *ret)
{
    size_t n = m ? m->n_pieces : 0;
    ret->pieces = arena_alloc(c->a, n * sizeof(*ret->pieces));
    if (!ret->pieces)
        return -ENOMEM;
    for (; ret->n < n; ret->n++) {
        struct access_piece *p = &ret->pieces[ret->n];
        p->literal = arena_str(c->a, str_from(m->pieces[ret->n]->literal));
        p->variable = (uint8_t)m->pieces[ret->n]->variable;
        if (!p->literal.p)
            return -ENOMEM;
    }
    return 0;
}

static struct str host_of(const struct http_head *h)
{
    return h->authority.p ? h->authority : http_field_value(http_head_find(h, HTTP_NAME_HOST));
}

static struct str without_port(struct str host)
{
    const char *end = host.n && *host.p == '[' ? memchr(host.p, ']', host.n) : host.p;
    const char *colon = end ? memchr(end, ':', host.n - (size_t)(end - host.p)) : NULL;
    return colon ? str_sub(host, 0, (size_t)(colon - host.p)) : host;
}

static void add_variable(uint8_t variable, const struct http_head *h, struct buf *b)
{
    struct str proto = http_field_value(http_head_find(h, HTTP_NAME_X_FORWARDED_PROTO));
    switch (variable) {
    case FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__SCHEME:
        buf_add_str(b, proto.n ? proto : STR("http"));
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__HOST:
        buf_add_str(b, without_port(host_of(h)));
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__HTTP_HOST:
        buf_add_str(b, host_of(h));
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__REQUEST_URI:
        buf_add_str(b, h->path);
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__ESCAPED_REQUEST_URI:
        url_encode(h->path, b);
        break;
    default:
        break;
    }
}

struct str access_text_make(const struct access_text *t, struct filter_call *c)
{
    AUTO_DONE(buf) struct buf b = {.cap = TEXT_MAX};
    buf_add_cstr(&b, "");
    for (size_t i = 0; i < t->n; i++) {
        buf_add_str(&b, t->pieces[i].literal);
        add_variable(t->pieces[i].variable, c->head, &b);
    }
    if (b.failed || !http_is_value(buf_str(&b)))
        return (struct str){NULL, 0};
    return arena_str(http_stream_arena(c->down), buf_str(&b));
}

/* ---- configuration ---- */

static int compile_headers(struct filter_compile *c, const pb_request *m, struct access_request *r)
{
    r->copied = arena_alloc(c->a, m->n_response_headers * sizeof(*r->copied));
    r->set = arena_alloc(c->a, m->n_set_headers * sizeof(*r->set));
    if (!r->copied || !r->set)
        return -ENOMEM;
    for (; r->n_copied < m->n_response_headers; r->n_copied++) {
        r->copied[r->n_copied] = header_name_of(m->response_headers[r->n_copied], c->a);
        if (!r->copied[r->n_copied].text.p)
            return -ENOMEM;
        if (!http_is_token(r->copied[r->n_copied].text))
            return pb_path_fail(c->path, c->err, -EINVAL, "request.response_headers[%zu]: no field",
                                r->n_copied);
    }
    for (; r->n_set < m->n_set_headers; r->n_set++) {
        struct set_header *s = &r->set[r->n_set];
        s->name = header_name_of(m->set_headers[r->n_set]->name, c->a);
        if (!s->name.text.p)
            return -ENOMEM;
        if (!http_is_token(s->name.text))
            return pb_path_fail(c->path, c->err, -EINVAL, "request.set_headers[%zu]: no field",
                                r->n_set);
        int made = access_text_compile(c, m->set_headers[r->n_set]->value, &s->value);
        if (made < 0)
            return made;
    }
    return 0;
}

int access_request_compile(struct filter_compile *c, const pb_request *m,
                           struct access_request **ret)
{
    struct access_request *r = *ret = arena_alloc(c->a, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->cluster = arena_str(c->a, str_from(m->cluster));
    r->method = arena_str(c->a, *m->method ? str_from(m->method) : STR("GET"));
    r->timeout_ms = duration_ms(m->timeout, TIMEOUT_MS);
    r->always_set_cookie = m->always_set_cookie;
    if (!r->cluster.p || !r->method.p)
        return -ENOMEM;
    if (!r->cluster.n || !http_is_token(r->method))
        return pb_path_fail(c->path, c->err, -EINVAL, "request: needs a cluster and a method");
    int made = access_text_compile(c, m->path, &r->path);
    if (made == 0 && (!r->path.n || !str_starts(r->path.pieces[0].literal, STR("/"))))
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "request.path: expected one that begins with /");
    made = made < 0 ? made : access_text_compile(c, m->host, &r->host);
    made = made < 0 ? made : access_text_compile(c, m->sign_in, &r->sign_in);
    made = made < 0 ? made : access_text_compile(c, m->redirect, &r->redirect);
    made = made < 0 || !m->cache ? made : access_memory_compile(c, m, &r->memory);
    return made < 0 ? made : compile_headers(c, m, r);
}

/* ---- the question ---- */

/* The client's own is not believed. */
static bool set(struct http_head *h, struct arena *a, struct header_name name, struct str value)
{
    for (struct http_field *f; (f = head_find(h, name));)
        f->name_n = 0;
    return value.p && (!value.n || head_add(h, a, name, value));
}

static bool set_named(struct http_head *h, struct arena *a, const char *name, struct str value)
{
    struct str text = str_from(name);
    return set(h, a, (struct header_name){(uint16_t)http_name_find(text), text}, value);
}

static struct str original_url(struct filter_call *c)
{
    struct access_piece pieces[] = {
        {STR(""), FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__SCHEME},
        {STR("://"), FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__HTTP_HOST},
        {STR(""), FAIRLEAD__FILTERS__HTTP__V1__TEXT__VARIABLE__REQUEST_URI},
    };
    return access_text_make(&(struct access_text){pieces, ARRAY_LEN(pieces)}, c);
}

static struct str client_address(struct filter_call *c)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;
    if (c->client(c, &ip) < 0)
        return STR("");
    ip = ip_unmapped(&ip);
    return arena_str(http_stream_arena(c->down), str_from(ip_format(&ip, text)));
}

static bool make_question(const struct access_request *r, struct filter_call *c,
                          struct filter_question *q)
{
    struct arena *a = http_stream_arena(c->down);
    struct http_head *h = &q->head;
    h->method = r->method;
    h->minor = 1;
    h->path = h->target = access_text_make(&r->path, c);
    bool ok = h->path.p && !memchr(h->path.p, ' ', h->path.n) &&
              set_named(h, a, "host", access_text_make(&r->host, c));
    for (uint16_t i = 0; i < c->head->n && ok; i++) {
        const struct http_field *f = &c->head->fields[i];
        const struct header_name name = {f->id, str_of(f->name, f->name_n)};
        if (!filter_field_is_of_one_hop(f) && f->id != HTTP_NAME_HOST)
            ok = head_add(h, a, name, http_field_value(f));
    }
    ok = ok && set_named(h, a, "x-original-url", original_url(c)) &&
         set_named(h, a, "x-original-method", c->head->method) &&
         set_named(h, a, "x-sent-from", STR("nginx-ingress-controller")) &&
         set_named(h, a, "x-real-ip", client_address(c)) &&
         set_named(h, a, "x-auth-request-redirect",
                   r->redirect.n ? access_text_make(&r->redirect, c) : c->head->path);
    for (size_t i = 0; i < r->n_set && ok; i++)
        ok = set(h, a, r->set[i].name, access_text_make(&r->set[i].value, c));
    q->cluster = r->cluster.p;
    q->timeout_ms = r->timeout_ms;
    return ok;
}

/* ---- the answer ---- */

static bool keep_cookies(struct access_asked *s, const struct http_head *answer, struct arena *a)
{
    s->n_cookies = 0;
    s->cookies = arena_alloc(a, answer->n * sizeof(*s->cookies));
    if (!s->cookies)
        return false;
    for (uint16_t i = 0; i < answer->n; i++)
        if (answer->fields[i].name_n && answer->fields[i].id == HTTP_NAME_SET_COOKIE)
            s->n_cookies += filter_field_keep(&answer->fields[i], a, &s->cookies[s->n_cookies]);
    return true;
}

/* What the endpoint is told is the server's word or nothing, never the client's. */
static bool copy_headers(const struct access_request *r, struct filter_call *c,
                         const struct http_head *answer)
{
    struct arena *a = http_stream_arena(c->down);
    bool ok = true;
    for (size_t i = 0; i < r->n_copied && ok; i++) {
        const struct http_field *f = head_find((struct http_head *)(uintptr_t)answer, r->copied[i]);
        ok = set(c->head, a, r->copied[i], f ? arena_str(a, http_field_value(f)) : STR(""));
    }
    return ok;
}

void access_request_skip(const struct access_request *r, struct filter_call *c)
{
    for (size_t i = 0; i < r->n_copied; i++)
        IGNORE_RESULT(set(c->head, http_stream_arena(c->down), r->copied[i], STR("")));
}

static void refuse(const struct access_request *r, struct filter_call *c,
                   const struct http_head *answer)
{
    static const struct str location = STR("location"), challenge = STR("www-authenticate");
    struct arena *a = http_stream_arena(c->down);
    struct http_header *field = arena_alloc(a, sizeof(*field));
    const struct http_field *said = http_head_find(answer, HTTP_NAME_WWW_AUTHENTICATE);
    struct str to = {NULL, 0};
    c->answer.reason = REASON_AUTHZ_DENIED;
    c->answer.status = answer->status;
    if (answer->status == 401 && r->sign_in.n)
        to = access_text_make(&r->sign_in, c);
    if (to.p && field) {
        c->answer.status = 302;
        *field = (struct http_header){location, to};
    } else if (!said || !field || !filter_field_keep(said, a, field)) {
        return;
    } else {
        field->name = challenge;
    }
    c->answer.fields = field;
    c->answer.n_fields = 1;
}

/* What it says, now or some time ago. */
static enum access_verdict take_answer(struct access_asked *s, struct filter_call *c,
                                       const struct http_head *answer)
{
    const struct access_request *r = s->request;
    unsigned status = answer ? answer->status : 0;
    enum access_verdict v = ACCESS_FAILED;
    if (status >= 200 && status < 300)
        v = keep_cookies(s, answer, http_stream_arena(c->down)) && copy_headers(r, c, answer)
                ? ACCESS_ALLOWED
                : ACCESS_FAILED;
    else if (status == 401 || status == 403)
        v = ACCESS_DENIED;
    if (v == ACCESS_DENIED) {
        refuse(r, c, answer);
        if (r->always_set_cookie || c->answer.status == 302)
            IGNORE_RESULT(keep_cookies(s, answer, http_stream_arena(c->down)));
    }
    s->always = r->always_set_cookie || v == ACCESS_DENIED;
    stats_inc(c->stats, v == ACCESS_ALLOWED  ? HTTP_STAT_AUTHZ_OK
                        : v == ACCESS_DENIED ? HTTP_STAT_AUTHZ_DENIED
                                             : HTTP_STAT_AUTHZ_ERROR);
    return v;
}

static void on_answer(struct filter_call *c, const struct http_head *answer, struct str body)
{
    struct access_asked *s = &((struct access_state *)c->state)->asked;
    (void)body;
    s->fetch = NULL;
    if (answer && s->key.p)
        access_memory_keep(s->request->memory, c, s->key, answer);
    s->then(c, take_answer(s, c, answer));
}

/* NULL: nothing is remembered of it. */
static const struct http_head *recall(const struct access_request *r, struct filter_call *c,
                                      struct access_asked *s)
{
    if (!r->memory)
        return NULL;
    s->key = access_memory_key(r->memory, c);
    return s->key.p ? answer_cache_find(c->answers, s->key, loop_now_ms(c->loop)) : NULL;
}

enum access_verdict access_request_begin(const struct access_request *r, struct filter_call *c,
                                         struct access_asked *s)
{
    struct filter_question q = {.on_answer = on_answer};
    s->request = r;
    bool can = !str_is(c->head->method, "CONNECT");
    const struct http_head *known = can ? recall(r, c, s) : NULL;
    if (known)
        return take_answer(s, c, known);
    s->fetch = can && make_question(r, c, &q) ? c->ask(c, &q) : NULL;
    if (!s->fetch)
        stats_inc(c->stats, HTTP_STAT_AUTHZ_ERROR);
    return s->fetch ? ACCESS_LATER : ACCESS_FAILED;
}

void access_request_answer(const struct access_asked *s, struct filter_call *c,
                           struct http_head *answer)
{
    static const struct header_name name = {HTTP_NAME_SET_COOKIE, STR("set-cookie")};
    if (!s->always && answer->status >= 400)
        return;
    for (size_t i = 0; i < s->n_cookies; i++)
        IGNORE_RESULT(head_add(answer, http_stream_arena(c->down), name, s->cookies[i].value));
}
