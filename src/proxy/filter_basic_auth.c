/* Names and passwords of users (RFC 7617) against a list in htpasswd's {SHA} form. */
#include <errno.h>

#include <envoy/extensions/filters/http/basic_auth/v3/basic_auth.pb-c.h>

#include "base/map.h"
#include "codec/base64.h"
#include "codec/sha1.h"
#include "proxy/filter_table.h"
#include "proxy/header_ops.h"

typedef Envoy__Extensions__Filters__Http__BasicAuth__V3__BasicAuth pb_filter;
typedef Envoy__Extensions__Filters__Http__BasicAuth__V3__BasicAuthPerRoute pb_route;
typedef Envoy__Config__Core__V3__DataSource pb_source;

struct user {
    unsigned char digest[SHA1_BYTES]; /* of the password */
};

struct basic_auth {
    struct map users;
    struct str realm;              /* empty: the request's own address */
    struct header_name credential; /* where it stands */
    struct header_name forward;    /* .text.n 0: the name is not told */
    bool allow_missing;
};

/* ---- configuration ---- */

static void users_done(void *p)
{
    map_done(p);
}

static int add_user(struct filter_compile *c, struct str line, unsigned number,
                    struct basic_auth *ret)
{
    AUTO_DONE(buf) struct buf digest = {0};
    struct str secret, name = str_cut(line, ':', &secret);
    struct user *u = arena_alloc(c->a, sizeof(*u));
    struct str key = arena_str(c->a, name);
    if (!u || !key.p)
        return -ENOMEM;
    /* What stands there is a secret: the message does not repeat it. */
    if (!name.n || !secret.p)
        return pb_path_fail(c->path, c->err, -EINVAL, "line %u: expected NAME:{SHA}DIGEST", number);
    if (!str_starts(secret, STR("{SHA}")))
        return pb_path_fail(c->path, c->err, -EINVAL, "line %u: only {SHA} is implemented", number);
    if (base64_decode(str_sub(secret, 5, secret.n), &digest) < 0 || digest.n != SHA1_BYTES)
        return pb_path_fail(c->path, c->err, -EINVAL, "line %u: not a SHA-1 digest", number);
    if (map_find(&ret->users, name))
        return pb_path_fail(c->path, c->err, -EINVAL, "line %u: a user that was there before",
                            number);
    memcpy(u->digest, digest.p, SHA1_BYTES);
    map_put(&ret->users, key, u);
    return 0;
}

static int compile_users(struct filter_compile *c, const pb_source *m, struct basic_auth *ret)
{
    struct str rest = {NULL, 0};
    size_t mark = pb_path_field(c->path, "users");
    ret->users.borrows = true;
    if (arena_defer(c->a, users_done, &ret->users) < 0)
        return -ENOMEM;
    if (m && m->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING)
        rest = str_from(m->inline_string);
    else if (m && m->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES)
        rest = str_of(m->inline_bytes.data, m->inline_bytes.len);
    else
        return pb_path_fail(c->path, c->err, -EINVAL, "needs one of inline_string, inline_bytes");
    for (unsigned number = 1; rest.p; number++) {
        struct str line = str_trim(str_cut(rest, '\n', &rest));
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        int r = line.n && line.p[0] != '#' ? add_user(c, line, number, ret) : 0;
        if (r < 0)
            return r;
    }
    pb_path_back(c->path, mark);
    return 0;
}

static struct header_name name_of(struct filter_compile *c, const char *text)
{
    struct str s = arena_str(c->a, str_from(text));
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            ((char *)(uintptr_t)s.p)[i] = (char)(s.p[i] + 32);
    return (struct header_name){(uint16_t)(s.n ? http_name_find(s) : HTTP_NAME_OTHER), s};
}

static int compile_realm(struct filter_compile *c, const char *realm, struct basic_auth *ret)
{
    ret->realm = arena_str(c->a, str_from(realm));
    if (!ret->realm.p)
        return -ENOMEM;
    if (!http_is_value(ret->realm) || str_contains(ret->realm, STR("\"")))
        return pb_path_fail(c->path, c->err, -EINVAL, "realm: may not stand in a field");
    return 0;
}

static int compile(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_filter *m = (const pb_filter *)message;
    struct basic_auth *b = *ret = arena_alloc(c->a, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->allow_missing = m->allow_missing;
    b->credential =
        name_of(c, *m->authentication_header ? m->authentication_header : "authorization");
    b->forward = name_of(c, m->forward_username_header);
    int r = compile_realm(c, m->realm, b);
    return r < 0 ? r : compile_users(c, m->users, b);
}

static int compile_route(struct filter_compile *c, const ProtobufCMessage *message, void **ret)
{
    const pb_route *m = (const pb_route *)message;
    struct basic_auth *b = *ret = arena_alloc(c->a, sizeof(*b));
    if (!b)
        return -ENOMEM;
    int r = compile_realm(c, m->realm, b);
    return r < 0 ? r : compile_users(c, m->users, b);
}

/* ---- requests ---- */

static enum filter_result refuse(struct filter_call *c, struct str realm, const char *details,
                                 const char *why)
{
    stats_inc(c->stats, HTTP_STAT_BASIC_AUTH_DENIED);
    AUTO_DONE(buf) struct buf b = {.cap = 16 * 1024};
    struct filter_answer *a = &c->answer;
    struct str host = c->head->authority.p
                          ? c->head->authority
                          : http_field_value(http_head_find(c->head, HTTP_NAME_HOST));
    buf_addf(&b, "Basic realm=\"");
    if (realm.n)
        buf_add_str(&b, realm);
    else
        buf_addf(&b, "http://" STR_FMT STR_FMT, STR_ARG(host), STR_ARG(c->head->path));
    buf_add_char(&b, '"');
    struct str value = b.failed ? STR("Basic") : buf_str(&b);
    value = arena_str(http_stream_arena(c->down), value);
    a->reason = REASON_BASIC_AUTH;
    a->details = str_from(details);
    a->body = str_from(why);
    struct http_header *field = c->state;
    *field = (struct http_header){STR("www-authenticate"), value.p ? value : STR("Basic")};
    a->fields = field;
    a->n_fields = 1;
    return FILTER_ANSWERED;
}

/* Takes the same time wherever they differ. */
static bool same(const unsigned char *a, const unsigned char *b)
{
    unsigned differ = 0;
    for (size_t i = 0; i < SHA1_BYTES; i++)
        differ |= a[i] ^ b[i];
    return differ == 0;
}

static bool is_right(const struct basic_auth *b, struct str name, struct str password)
{
    static const unsigned char nobody[SHA1_BYTES];
    unsigned char digest[SHA1_BYTES];
    const struct user *u = map_find(&b->users, name);
    sha1(password, digest);
    return same(digest, u ? u->digest : nobody) && u;
}

static void forward_name(struct filter_call *c, struct header_name to, struct str name)
{
    struct str kept = arena_str(http_stream_arena(c->down), name);
    for (struct http_field *f; (f = head_find(c->head, to));)
        f->name_n = 0;
    if (kept.p && http_is_value(kept))
        IGNORE_RESULT(head_add(c->head, http_stream_arena(c->down), to, kept)); /* left out */
}

static enum filter_result on_request(struct filter_call *c)
{
    static const struct str scheme = STR("basic ");
    const struct basic_auth *own = c->config, *b = c->route ? c->route : own;
    AUTO_DONE(buf) struct buf clear = {.cap = 16 * 1024};
    struct str value = http_field_value(head_find(c->head, own->credential));
    if (!value.n && own->allow_missing)
        return FILTER_CONTINUE;
    if (!value.n)
        return refuse(c, b->realm, "no_credential_for_basic_auth",
                      "User authentication failed. Missing username and password.");
    if (value.n < scheme.n || !str_eq_nocase(str_sub(value, 0, scheme.n), scheme))
        return refuse(c, b->realm, "invalid_scheme_for_basic_auth",
                      "User authentication failed. Expected 'Basic' authentication scheme.");
    struct str password, name = {NULL, 0};
    if (base64_decode(str_trim(str_sub(value, scheme.n, value.n)), &clear) == 0)
        name = str_cut(buf_str(&clear), ':', &password);
    if (!name.p || !password.p)
        return refuse(c, b->realm, "invalid_format_for_basic_auth",
                      "User authentication failed. Invalid basic credential format.");
    if (!is_right(b, name, password))
        return refuse(c, b->realm, "invalid_credential_for_basic_auth",
                      "User authentication failed. Invalid username/password combination.");
    stats_inc(c->stats, HTTP_STAT_BASIC_AUTH_ALLOWED);
    if (own->forward.text.n)
        forward_name(c, own->forward, name);
    return FILTER_CONTINUE;
}

const struct filter_type filter_basic_auth = {
    .name = "envoy.filters.http.basic_auth",
    .message = &envoy__extensions__filters__http__basic_auth__v3__basic_auth__descriptor,
    .route_message =
        &envoy__extensions__filters__http__basic_auth__v3__basic_auth_per_route__descriptor,
    .compile = compile,
    .compile_route = compile_route,
    .state_bytes = sizeof(struct http_header),
    .on_request = on_request,
};
