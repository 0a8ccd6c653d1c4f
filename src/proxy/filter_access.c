/* Who may: by address, by name and password, by what another server says; all of them that are
 * asked for, or any one. The order is ingress-nginx's, and what it hides from the endpoint is
 * hidden. */
#include <errno.h>

#include "proxy/access.h"
#include "proxy/filter_prefixes.h"
#include "proxy/filter_table.h"

typedef Fairlead__Filters__Http__V1__Access pb_access;

struct access {
    struct filter_prefixes allow, deny;
    bool any, has_users;
    struct access_users users;
    struct access_request *request; /* NULL: nobody is asked */
};

/* ---- configuration ---- */

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_access *m = (const pb_access *)message;
    struct access *x = *ret = arena_alloc(c->a, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->any = m->any;
    x->has_users = m->basic;
    int r = filter_prefixes_compile(c, "allow", m->allow, m->n_allow, &x->allow);
    r = r < 0 ? r : filter_prefixes_compile(c, "deny", m->deny, m->n_deny, &x->deny);
    if (r == 0 && m->basic)
        r = access_users_compile(c, m->basic, &x->users);
    if (r == 0 && m->request)
        r = access_request_compile(c, m->request, &x->request);
    return r;
}

/* ---- requests ---- */

static const struct access *access_of(const struct filter_call *c)
{
    return c->route ? c->route : c->config;
}

/* One of those that are named, and not of those that are denied. */
static bool address_is_good(const struct access *x, const struct filter_call *c, bool unless_named)
{
    struct ip ip;
    if (!x->allow.n && !x->deny.n)
        return unless_named;
    if (c->client(c, &ip) < 0)
        return false;
    ip = ip_unmapped(&ip);
    return !filter_prefixes_have(&x->deny, &ip) &&
           (x->allow.n ? filter_prefixes_have(&x->allow, &ip) : unless_named);
}

static enum filter_result say(struct filter_call *c, enum reason reason, uint16_t status)
{
    c->answer.reason = (uint8_t)reason;
    c->answer.status = status;
    return FILTER_ANSWERED;
}

static enum filter_result challenge(struct filter_call *c)
{
    const struct access *x = access_of(c);
    struct access_state *s = c->state;
    AUTO_DONE(buf) struct buf b = {0};
    buf_addf(&b, "Basic realm=\"" STR_FMT "\"", STR_ARG(x->users.realm));
    struct str value = arena_str(http_stream_arena(c->down), buf_str(&b));
    s->challenge = (struct http_header){STR("www-authenticate"), value.p ? value : STR("Basic")};
    c->answer.fields = &s->challenge;
    c->answer.n_fields = 1;
    return say(c, REASON_BASIC_AUTH, 401);
}

/* It has let in somebody whom the endpoint is not to take for its own. */
static enum filter_result let_in(struct filter_call *c)
{
    if (access_of(c)->has_users)
        http_head_remove(c->head, HTTP_NAME_AUTHORIZATION);
    return FILTER_CONTINUE;
}

static enum filter_result let_in_unasked(struct filter_call *c)
{
    if (access_of(c)->request)
        access_request_skip(access_of(c)->request, c);
    return let_in(c);
}

static enum filter_result after_request(struct filter_call *c, enum access_verdict v)
{
    const struct access_state *s = c->state;
    if (v == ACCESS_ALLOWED)
        return let_in(c);
    if (v == ACCESS_FAILED)
        return say(c, REASON_AUTHZ_ERROR, 500);
    bool to_sign_in = c->answer.status == 302;
    return s->refused && !to_sign_in ? challenge(c) : FILTER_ANSWERED; /* by what it has put down */
}

static void on_verdict(struct filter_call *c, enum access_verdict v)
{
    c->go_on(c, after_request(c, v));
}

static enum filter_result ask(struct filter_call *c)
{
    struct access_asked *s = &((struct access_state *)c->state)->asked;
    s->then = on_verdict;
    enum access_verdict v = access_request_begin(access_of(c)->request, c, s);
    return v == ACCESS_LATER ? FILTER_WAIT : after_request(c, v);
}

static enum filter_result after_login(struct filter_call *c, enum password_answer a)
{
    const struct access *x = access_of(c);
    struct access_state *s = c->state;
    s->refused = a != PASSWORD_RIGHT;
    if (a == PASSWORD_BUSY)
        return say(c, REASON_AUTH_BUSY, 0);
    stats_inc(c->stats, s->refused ? HTTP_STAT_BASIC_AUTH_DENIED : HTTP_STAT_BASIC_AUTH_ALLOWED);
    if (s->refused ? !(x->any && x->request) : (x->any || !x->request))
        return s->refused ? challenge(c) : let_in_unasked(c);
    return ask(c);
}

static void on_login(struct filter_call *c, enum password_answer a)
{
    enum filter_result r = after_login(c, a);
    if (r != FILTER_WAIT)
        c->go_on(c, r);
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct access *x = access_of(c);
    struct access_state *s = c->state;
    bool asks = x->has_users || x->request;
    if (x->any && asks && address_is_good(x, c, false))
        return let_in_unasked(c);
    if (!(x->any && asks) && !address_is_good(x, c, true))
        return say(c, REASON_RBAC_DENIED, 0);
    if (!x->has_users)
        return x->request ? ask(c) : FILTER_CONTINUE;
    s->login.then = on_login;
    enum password_answer a = access_login_begin(&x->users, c, &s->login);
    return a == PASSWORD_LATER ? FILTER_WAIT : after_login(c, a);
}

static void on_answer(struct filter_call *c, struct http_head *answer)
{
    access_request_answer(&((struct access_state *)c->state)->asked, c, answer);
}

static void on_done(struct filter_call *c)
{
    struct access_state *s = c->state;
    password_cancel(TAKE(s->login.asked));
    c->ask_no_more(TAKE(s->asked.fetch));
}

const struct filter_type filter_access = {
    .name = "fairlead.filters.http.access",
    .message = &fairlead__filters__http__v1__access__descriptor,
    .route_message = &fairlead__filters__http__v1__access__descriptor,
    .compile = compile,
    .compile_route = compile,
    .state_bytes = sizeof(struct access_state),
    .on_request = on_request,
    .on_answer = on_answer,
    .on_done = on_done,
};
