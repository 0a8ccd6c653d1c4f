/* Sessions that keep their endpoint: a cookie names it, and is given when another has answered. The
 * cookie's value is a hash of the endpoint's address, the same in every proxy; it tells a client
 * nothing of the address (Envoy writes the address itself). */
#include <errno.h>
#include <stdio.h>

#include <envoy/extensions/filters/http/stateful_session/v3/stateful_session.pb-c.h>
#include <envoy/extensions/http/stateful_session/cookie/v3/cookie.pb-c.h>

#include "base/hash.h"
#include "proxy/cookie.h"
#include "proxy/filter_table.h"
#include "proxy/header_ops.h"
#include "xds/xds_check.h"

typedef Envoy__Extensions__Filters__Http__StatefulSession__V3__StatefulSession pb_filter;
typedef Envoy__Extensions__Filters__Http__StatefulSession__V3__StatefulSessionPerRoute pb_route;
typedef Envoy__Extensions__Http__StatefulSession__Cookie__V3__CookieBasedSessionState pb_state;

enum { ID_DIGITS = 16 };

struct session {
    bool disabled; /* or nothing is said of a cookie */
    struct str name, tail, path;
};

/* Of one request. */
struct state {
    bool brought;   /* the cookie names an endpoint */
    bool elsewhere; /* the cookie is not for this path */
    uint64_t id;
};

/* ---- configuration ---- */

static int compile_cookie(struct filter_compile *c, const Envoy__Type__Http__V3__Cookie *m,
                          struct session *ret)
{
    if (!m)
        return pb_path_fail(c->path, c->err, -EINVAL, "cookie must be set");
    struct cookie_attribute *attributes = xcalloc(m->n_attributes + 1, sizeof(*attributes));
    for (size_t i = 0; i < m->n_attributes; i++)
        attributes[i] = (struct cookie_attribute){m->attributes[i]->name, m->attributes[i]->value};
    const struct cookie_config config = {m->name, m->path, m->ttl, attributes, m->n_attributes};
    int r = cookie_compile(&config, c->a, c->path, &ret->name, &ret->tail, c->err);
    free(attributes);
    ret->path = arena_str(c->a, str_from(m->path));
    return r == 0 && !ret->path.p ? -ENOMEM : r;
}

static int compile_session(struct filter_compile *c, const pb_filter *m, struct session *ret)
{
    AUTO(arena) struct arena *scratch = arena_new(XDS_CHECK_MEMORY_MAX);
    ProtobufCMessage *state;
    struct err err = {0};
    if (!m->session_state || !m->session_state->typed_config) {
        ret->disabled = true;
        return 0;
    }
    size_t mark = pb_path_field(c->path, "session_state");
    int r = xds_any_unpack(m->session_state->typed_config, scratch, &state, &err);
    if (r < 0)
        return pb_path_fail(c->path, c->err, r, "%s", err_text(&err));
    if (state->descriptor !=
        &envoy__extensions__http__stateful_session__cookie__v3__cookie_based_session_state__descriptor)
        return pb_path_fail(c->path, c->err, -EINVAL, "%s is not implemented here",
                            state->descriptor->name);
    r = compile_cookie(c, ((const pb_state *)state)->cookie, ret);
    if (r == 0)
        pb_path_back(c->path, mark);
    return r;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *m, void **ret)
{
    struct session *s = *ret = arena_alloc(c->a, sizeof(*s));
    return s ? compile_session(c, (const pb_filter *)m, s) : -ENOMEM;
}

static int compile_route(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_route *m = (const pb_route *)message;
    struct session *s = *ret = arena_alloc(c->a, sizeof(*s));
    if (!s)
        return -ENOMEM;
    switch ((int)m->override_case) {
    case ENVOY__EXTENSIONS__FILTERS__HTTP__STATEFUL_SESSION__V3__STATEFUL_SESSION_PER_ROUTE__OVERRIDE_DISABLED:
        s->disabled = m->disabled;
        return m->disabled ? 0 : pb_path_fail(c->path, c->err, -EINVAL, "disabled must be true");
    case ENVOY__EXTENSIONS__FILTERS__HTTP__STATEFUL_SESSION__V3__STATEFUL_SESSION_PER_ROUTE__OVERRIDE_STATEFUL_SESSION:
        return compile_session(c, m->stateful_session, s);
    default:
        return pb_path_fail(c->path, c->err, -EINVAL, "needs one of disabled, stateful_session");
    }
}

/* ---- requests ---- */

static const struct session *session_of(const struct filter_call *c)
{
    return c->route ? c->route : c->config;
}

/* RFC 6265 section 5.1.4; the path has a query, or none. */
static bool path_is_within(struct str path, struct str of)
{
    if (!of.n || !str_starts(path, of))
        return !of.n;
    return path.n == of.n || of.p[of.n - 1] == '/' || path.p[of.n] == '/' || path.p[of.n] == '?';
}

/* False: it is no value of ours. */
static bool read_id(struct str s, uint64_t *ret)
{
    uint64_t id = 0;
    if (s.n != ID_DIGITS)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool letter = s.p[i] >= 'a' && s.p[i] <= 'f';
        if (!letter && !(s.p[i] >= '0' && s.p[i] <= '9'))
            return false;
        id = id << 4 | (uint64_t)(letter ? s.p[i] - 'a' + 10 : s.p[i] - '0');
    }
    *ret = id;
    return true;
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct session *s = session_of(c);
    struct state *state = c->state;
    state->elsewhere = s->disabled || !path_is_within(c->head->path, s->path);
    if (state->elsewhere)
        return FILTER_CONTINUE;
    struct str value = cookie_find(c->head, s->name);
    state->brought = value.p && read_id(value, &state->id);
    if (state->brought)
        c->prefer(c, state->id);
    return FILTER_CONTINUE;
}

/* The endpoint that was asked last; false: none was. */
static bool answered_by(const struct filter_call *c, uint64_t *ret)
{
    const struct format_piece host = {.op = FORMAT_UPSTREAM_HOST};
    AUTO_DONE(buf) struct buf text = {0};
    if (!c->value(&host, &text, c->request))
        return false;
    *ret = hash_xxh64(text.p, text.n, 0);
    return true;
}

static void on_answer(struct filter_call *c, struct http_head *answer)
{
    static const struct header_name set_cookie = {HTTP_NAME_SET_COOKIE, STR("set-cookie")};
    const struct session *s = session_of(c);
    const struct state *state = c->state;
    struct arena *a = http_stream_arena(c->down);
    char text[ID_DIGITS + 1];
    uint64_t id;
    if (state->elsewhere || s->disabled || !answered_by(c, &id) ||
        (state->brought && state->id == id))
        return;
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
    struct str line = cookie_line(s->name, str_of(text, ID_DIGITS), s->tail, a);
    if (line.p) /* no memory: the client comes without it */
        IGNORE_RESULT(head_add(answer, a, set_cookie, line));
}

const struct filter_type filter_stateful_session = {
    .name = "envoy.filters.http.stateful_session",
    .message =
        &envoy__extensions__filters__http__stateful_session__v3__stateful_session__descriptor,
    .route_message =
        &envoy__extensions__filters__http__stateful_session__v3__stateful_session_per_route__descriptor,
    .compile = compile,
    .compile_route = compile_route,
    .state_bytes = sizeof(struct state),
    .on_request = on_request,
    .on_answer = on_answer,
};
