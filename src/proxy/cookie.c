/* Cookies. Pure; any thread. */
#include "proxy/cookie.h"

#include <errno.h>

#include "base/buf.h"
#include "proxy/duration.h"

enum { COOKIE_MAX = 4096 }; /* bytes of a tail */

/* Is it fit to stand in a set-cookie? */
static bool is_clean(const char *s)
{
    return http_is_value(str_from(s)) && !strchr(s, ';');
}

int cookie_compile(const struct cookie_config *c, struct arena *a, struct pb_path *path,
                   struct str *ret_name, struct str *ret_tail, struct err *reterr)
{
    AUTO_DONE(buf) struct buf b = {.cap = COOKIE_MAX};
    if (!http_is_token(str_from(c->name)))
        return pb_path_fail(path, reterr, -EINVAL, "cookie.name: is no name of a cookie");
    if (c->ttl && c->ttl->seconds)
        buf_addf(&b, "; Max-Age=%llu", (unsigned long long)(duration_ms(c->ttl, 0) / 1000));
    if (*c->path)
        buf_addf(&b, "; Path=%s", c->path);
    if (!is_clean(c->path))
        return pb_path_fail(path, reterr, -EINVAL,
                            "cookie.path: must not have ';' or control characters");
    for (size_t i = 0; i < c->n_attributes; i++) {
        const char *name = c->attributes[i].name, *value = c->attributes[i].value;
        if (!http_is_token(str_from(name)) || !is_clean(value))
            return pb_path_fail(path, reterr, -EINVAL,
                                "cookie.attributes[%zu]: is no attribute of a cookie", i);
        buf_addf(&b, "; %s%s%s", name, *value ? "=" : "", value);
    }
    buf_add_cstr(&b, "; HttpOnly");
    if (b.failed)
        return pb_path_fail(path, reterr, -EINVAL, "cookie: is too long");
    *ret_name = arena_str(a, str_from(c->name));
    *ret_tail = arena_str(a, buf_str(&b));
    return ret_name->p && ret_tail->p ? 0 : -ENOMEM;
}

static struct str unquoted(struct str s)
{
    return s.n > 1 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? str_sub(s, 1, s.n - 1) : s;
}

struct str cookie_find(const struct http_head *h, struct str name)
{
    for (uint16_t i = 0; i < h->n; i++) {
        if (h->fields[i].id != HTTP_NAME_COOKIE || !h->fields[i].name_n)
            continue;
        struct str rest = http_field_value(&h->fields[i]);
        while (rest.p) {
            struct str value, pair = str_trim(str_cut(rest, ';', &rest));
            struct str this = str_cut(pair, '=', &value);
            if (value.p && str_eq(str_trim(this), name))
                return unquoted(str_trim(value));
        }
    }
    return (struct str){NULL, 0};
}

struct str cookie_line(struct str name, struct str value, struct str tail, struct arena *a)
{
    size_t n = name.n + 3 + value.n + tail.n, at = 0;
    char *p = arena_alloc_raw(a, n);
    const struct str parts[] = {name, STR("=\""), value, STR("\""), tail};
    for (size_t i = 0; p && i < ARRAY_LEN(parts); i++)
        if (parts[i].n) {
            memcpy(p + at, parts[i].p, parts[i].n);
            at += parts[i].n;
        }
    return str_of(p, p ? n : 0);
}
