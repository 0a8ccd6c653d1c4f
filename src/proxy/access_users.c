/* Names and passwords (RFC 7617) against a file of htpasswd. */
#include <errno.h>

#include "codec/base64.h"
#include "proxy/access.h"

struct access_user {
    struct str hash;
    enum htpasswd_kind kind;
};

/* ---- configuration ---- */

static void users_done(void *users)
{
    map_done(users);
}

static int add_user(struct filter_compile *c, const struct htpasswd_line *line,
                    struct access_users *ret)
{
    struct access_user *u = arena_alloc(c->a, sizeof(*u));
    struct str name = arena_str(c->a, line->name);
    if (!u || !name.p || !(u->hash = arena_str(c->a, line->hash)).p)
        return -ENOMEM;
    u->kind = line->kind;
    if (map_find(&ret->users, name))
        return 0; /* the first one counts */
    map_put(&ret->users, name, u);
    if (!ret->some)
        ret->some = u;
    return 0;
}

int access_users_compile(struct filter_compile *c,
                         const Fairlead__Filters__Http__V1__Access__Basic *m,
                         struct access_users *ret)
{
    struct str rest = str_from(m->users);
    struct htpasswd_line line = {0};
    ret->realm = arena_str(c->a, str_from(m->realm));
    if (!ret->realm.p)
        return -ENOMEM;
    if (!http_is_value(ret->realm) || str_contains(ret->realm, STR("\"")) ||
        str_contains(ret->realm, STR("\\")))
        return pb_path_fail(c->path, c->err, -EINVAL, "basic.realm: may not stand in a field");
    ret->users.borrows = true;
    if (arena_defer(c->a, users_done, &ret->users) < 0)
        return -ENOMEM;
    while (htpasswd_next(&rest, &line)) {
        if (line.why)
            return pb_path_fail(c->path, c->err, -EINVAL, "basic.users: line %u: %s", line.number,
                                line.why);
        int r = add_user(c, &line, ret);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- requests ---- */

/* False: there are none, or they are no credentials. Texts lie in clear. */
static bool find_credentials(struct filter_call *c, struct buf *clear, struct str *ret_name,
                             struct str *ret_password)
{
    static const struct str scheme = STR("basic ");
    struct str value = http_field_value(http_head_find(c->head, HTTP_NAME_AUTHORIZATION));
    if (value.n < scheme.n || !str_eq_nocase(str_sub(value, 0, scheme.n), scheme) ||
        base64_decode(str_trim(str_sub(value, scheme.n, value.n)), clear) < 0)
        return false;
    *ret_name = str_cut(buf_str(clear), ':', ret_password);
    return ret_password->p;
}

static void on_checked(bool right, void *user)
{
    struct filter_call *c = user;
    struct access_login *l = &((struct access_state *)c->state)->login;
    l->asked = NULL;
    l->then(c, right && !l->unknown ? PASSWORD_RIGHT : PASSWORD_WRONG);
}

enum password_answer access_login_begin(const struct access_users *u, struct filter_call *c,
                                        struct access_login *l)
{
    AUTO_DONE(buf) struct buf clear = {.cap = 16 * 1024};
    struct str name, password;
    if (!u->some || !find_credentials(c, &clear, &name, &password))
        return PASSWORD_WRONG;
    const struct access_user *found = map_find(&u->users, name), *user = found ? found : u->some;
    l->unknown = !found;
    enum password_answer a =
        password_ask(c->loop, user->kind, user->hash, password, on_checked, c, &l->asked);
    explicit_bzero(clear.p, clear.n);
    return a == PASSWORD_RIGHT && l->unknown ? PASSWORD_WRONG : a;
}
