#include "proxy/uri_template.h"

#include <errno.h>

#include "base/buf.h"

#define SEGMENT "[^/]+"
#define REST    ".*"

/* What stands at the beginning of s, * or **; *ret its bytes. NULL: neither. */
static const char *operator_of(struct str s, size_t *ret)
{
    *ret = str_starts(s, STR("**")) ? 2 : 1;
    return *ret == 2 ? REST : str_starts(s, STR("*")) ? SEGMENT : NULL;
}

/* {name}, {name=*} or {name=**}; *ret its bytes. NULL: none of these. */
static const char *variable_of(struct str s, size_t *ret)
{
    struct str rest, value, inner = str_cut(str_sub(s, 1, s.n), '}', &rest),
                            name = str_cut(inner, '=', &value);
    size_t n;
    *ret = inner.n + 2;
    if (!rest.p || !name.n || memchr(inner.p, '{', inner.n) || memchr(name.p, '*', name.n))
        return NULL;
    const char *op = value.p ? operator_of(value, &n) : SEGMENT;
    return value.p && op && n != value.n ? NULL : op;
}

static bool add_literal(char c, struct buf *to)
{
    if (strchr("}\\^`\"<> ", c) || c < ' ')
        return false;
    if (strchr(".+?()|[]$", c))
        buf_add_char(to, '\\');
    buf_add_char(to, c);
    return true;
}

/* False: it is no template. */
static bool translate(struct str text, struct buf *to)
{
    bool rest = false; /* ** has been: no other operator may follow */
    if (!text.n || text.p[0] != '/')
        return false;
    for (size_t i = 0; i < text.n;) {
        struct str s = str_sub(text, i, text.n);
        size_t n = 1;
        const char *op = s.p[0] == '{' ? variable_of(s, &n) : operator_of(s, &n);
        if (op) {
            if (rest)
                return false;
            rest = streq(op, REST);
            buf_add_cstr(to, op);
            i += n;
        } else if (s.p[0] == '{' || !add_literal(s.p[0], to)) {
            return false;
        } else {
            i++;
        }
    }
    return true;
}

static void free_regex(void *p)
{
    regex_free(p);
}

int uri_template_compile(struct str text, struct arena *a, struct pb_path *path, struct regex **ret,
                         struct err *reterr)
{
    AUTO_DONE(buf) struct buf regex = {.cap = REGEX_BYTES_MAX};
    struct err err = {0};
    if (!translate(text, &regex) || regex.failed)
        return pb_path_fail(path, reterr, -EINVAL,
                            "a template has *, {name} and one ** as its last operator");
    int r = regex_new(buf_str(&regex), ret, &err);
    if (r < 0)
        return pb_path_fail(path, reterr, r, "%s", err_text(&err));
    r = arena_defer(a, free_regex, *ret);
    if (r < 0)
        regex_free(*ret);
    return r;
}
