/* Rewrites: what a prefix match matched is replaced as it is (so /api -> / makes //foo of /api/foo,
 * as Envoy does); patterns see the path alone; the query stays. */
#include "proxy/route_rewrite.h"

#include <errno.h>

enum { PATH_MAX_BYTES = 64 * 1024 };

int regex_rewrite_compile(const Envoy__Type__Matcher__V3__RegexMatchAndSubstitute *m,
                          const char *field, struct arena *a, struct pb_path *path,
                          struct regex_rewrite *ret, struct err *reterr)
{
    struct err err = {0};
    if (!m)
        return 0;
    size_t mark = pb_path_field(path, field);
    int r = m->pattern ? regex_compile(m->pattern, a, path, &ret->regex, reterr)
                       : pb_path_fail(path, reterr, -EINVAL, "pattern must be set");
    if (r == 0) {
        ret->substitution = arena_str(a, str_from(m->substitution));
        r = ret->substitution.p ? 0 : -ENOMEM;
    }
    if (r == 0 && regex_check_substitution(ret->regex, ret->substitution, &err) < 0)
        r = pb_path_fail(path, reterr, -EINVAL, "%s", err_text(&err));
    pb_path_back(path, mark);
    return r;
}

static struct str keep(struct arena *a, struct buf *b)
{
    struct str none = {NULL, 0};
    return b->failed ? none : arena_str(a, buf_str(b));
}

static void add_query(struct buf *b, const struct route_query *q)
{
    if (!q->query.p)
        return;
    buf_add_char(b, '?');
    buf_add_str(b, q->query);
}

/* How much of the path the match has matched, for a prefix to take its place. */
static size_t matched(const struct route_match *m, const struct route_query *q)
{
    bool all = m->path_kind == ROUTE_PATH_REGEX || m->path_kind == ROUTE_PATH_EXACT;
    return all ? q->path.n : MIN(m->path.n, q->path.n);
}

static bool add_rewritten(struct buf *b, const struct route *r, struct str prefix,
                          const struct regex_rewrite *pattern, const struct route_query *q)
{
    if (prefix.p) {
        size_t n = matched(&r->match, q);
        buf_add_str(b, prefix);
        buf_add_str(b, str_sub(q->path, n, q->path.n));
        return true;
    }
    return regex_replace(pattern->regex, q->path, pattern->substitution, b) == 0;
}

struct str route_rewrite_path(const struct route *r, const struct route_query *q, struct arena *a)
{
    const struct route_forward *f = &r->forward;
    AUTO_DONE(buf) struct buf b = {.cap = PATH_MAX_BYTES};
    if (!f->prefix_rewrite.p && !f->path_rewrite.regex)
        return q->head->path;
    if (!add_rewritten(&b, r, f->prefix_rewrite, &f->path_rewrite, q))
        return q->head->path; /* over a limit: as a pattern that does not match */
    add_query(&b, q);
    return keep(a, &b);
}

struct str route_rewrite_host(const struct route *r, const struct route_cluster *cluster,
                              const struct route_query *q, struct arena *a)
{
    const struct route_forward *f = &r->forward;
    struct str none = {NULL, 0};
    if (cluster->host_rewrite.p)
        return cluster->host_rewrite;
    if (f->host_rewrite.p)
        return f->host_rewrite;
    if (f->host_rewrite_header.text.p) {
        struct http_head head = *q->head;
        const struct http_field *field = head_find(&head, f->host_rewrite_header);
        return field && field->value_n ? http_field_value(field) : none;
    }
    if (!f->host_rewrite_path.regex)
        return none;
    AUTO_DONE(buf) struct buf b = {.cap = PATH_MAX_BYTES};
    if (regex_replace(f->host_rewrite_path.regex, q->path, f->host_rewrite_path.substitution, &b) <
        0)
        return none;
    return keep(a, &b);
}

static struct str port_of(struct str host)
{
    size_t i = host.n;
    while (i && host.p[i - 1] >= '0' && host.p[i - 1] <= '9')
        i--;
    return i && host.p[i - 1] == ':' ? str_sub(host, i - 1, host.n) : (struct str){NULL, 0};
}

/* A default port is not carried into another scheme. */
static void add_host(struct buf *b, const struct route_redirect *d, struct str host,
                     struct str scheme, struct str new_scheme)
{
    struct str port = port_of(host), name = str_sub(host, 0, host.n - port.n);
    if (d->host.p)
        name = d->host;
    buf_add_str(b, name);
    if (d->port) {
        buf_addf(b, ":%u", d->port);
        return;
    }
    bool standard = (str_is(scheme, "http") && str_is(port, ":80")) ||
                    (str_is(scheme, "https") && str_is(port, ":443"));
    if (!d->host.p && !(standard && !str_eq(scheme, new_scheme)))
        buf_add_str(b, port);
}

struct str route_redirect_location(const struct route *r, const struct route_query *q,
                                   struct str scheme, struct arena *a)
{
    const struct route_redirect *d = &r->redirect;
    AUTO_DONE(buf) struct buf b = {.cap = PATH_MAX_BYTES};
    struct str new_scheme = d->scheme.p ? d->scheme : scheme;
    buf_add_str(&b, new_scheme);
    buf_add_cstr(&b, "://");
    add_host(&b, d, q->host, scheme, new_scheme);
    if (d->path.p) {
        buf_add_str(&b, d->path);
        if (memchr(d->path.p, '?', d->path.n))
            return keep(a, &b); /* it brings its own query */
    } else if (d->prefix.p || d->rewrite.regex) {
        if (!add_rewritten(&b, r, d->prefix, &d->rewrite, q))
            return (struct str){NULL, 0};
    } else {
        buf_add_str(&b, q->path);
    }
    if (!d->strip_query)
        add_query(&b, q);
    return keep(a, &b);
}
