/* A path with an escaped slash (%2F, %5C) is matched and forwarded as it came; many endpoints read
 * it as a slash. Where that leads to another route, the one that was found says nothing of what the
 * endpoint will do, and what protects the other one has not been asked: 400. ingress-nginx matches
 * the path that it has decoded. */
#include "proxy/filter_table.h"

#include <errno.h>

#include <fairlead/filters/http/v1/escaped_slashes.pb-c.h>

#include "codec/url_path.h"
#include "proxy/request_priv.h"

static int compile(struct filter_compile *c, const ProtobufCMessage *m, void **ret)
{
    (void)m;
    *ret = arena_alloc(c->a, 1);
    return *ret ? 0 : -ENOMEM;
}

static bool has_escaped_slash(struct str path)
{
    const char *end = path.p + path.n, *p = path.p;
    while (p < end && (p = memchr(p, '%', (size_t)(end - p)))) {
        bool slash = end - p > 2 &&
                     ((p[1] == '2' && (p[2] | 32) == 'f') || (p[1] == '5' && (p[2] | 32) == 'c'));
        if (slash)
            return true;
        p++;
    }
    return false;
}

static bool leads_elsewhere(const struct filter_call *c)
{
    static const struct url_path_rules rules = {
        .normalize = true, .merge_slashes = true, .escaped_slashes = URL_SLASHES_FORWARD};
    const struct request *r = c->request;
    struct route_query q;
    size_t n = 0;
    char *to =
        arena_alloc_raw(http_stream_arena(c->down), url_path_room(&rules, c->head->path) + 1);
    if (!to || url_path_canonical(&rules, c->head->path, to, &n) != URL_PATH_CHANGED)
        return true;
    route_query_init(&q, c->head, r->random);
    q.path = str_cut(str_of(to, n), '?', &q.query);
    return route_host_find(r->host, &q) != r->route;
}

static enum filter_result on_request(struct filter_call *c)
{
    const struct request *r = c->request;
    struct str query, path = str_cut(c->head->path, '?', &query);
    if (!r->host || !has_escaped_slash(path) || !leads_elsewhere(c))
        return FILTER_CONTINUE;
    c->answer.reason = REASON_PATH_REFUSED;
    return FILTER_ANSWERED;
}

const struct filter_type filter_escaped_slashes = {
    .name = "fairlead.filters.http.escaped_slashes",
    .message = &fairlead__filters__http__v1__escaped_slashes__descriptor,
    .compile = compile,
    .on_request = on_request,
};
