/* Matching, as Envoy decides: see reference/observed-l7.md 1. */
#include "proxy/route.h"

#include "base/assert.h"

bool route_table_names_cluster(const struct route_table *t, struct str name)
{
    return map_find(&t->clusters, name) || (t->outer && map_find(&t->outer->clusters, name));
}

void route_query_init(struct route_query *q, const struct http_head *head, uint64_t random)
{
    struct str path = head->path;
    const char *mark = path.n ? memchr(path.p, '?', path.n) : NULL;
    *q = (struct route_query){.head = head, .path = path, .random = random};
    if (mark) {
        q->path.n = (size_t)(mark - path.p);
        q->query = str_of(mark + 1, path.n - q->path.n - 1);
    }
    q->host = head->authority.p ? head->authority
                                : http_field_value(http_head_find(head, HTTP_NAME_HOST));
}

static bool path_matches(const struct route_match *m, const struct route_query *q)
{
    struct str path = q->path, want = m->path;
    struct str begin = path.n >= want.n ? str_sub(path, 0, want.n) : path;
    switch ((enum route_path_kind)m->path_kind) {
    case ROUTE_PATH_CONNECT:
        return str_is(q->head->method, "CONNECT");
    case ROUTE_PATH_REGEX:
        return regex_matches_all(m->regex, path);
    case ROUTE_PATH_EXACT:
        return m->ignore_case ? str_eq_nocase(path, want) : str_eq(path, want);
    case ROUTE_PATH_SEGMENTS:
        if (path.n > want.n && path.p[want.n] != '/')
            return false;
        break;
    case ROUTE_PATH_PREFIX:
        break;
    }
    return m->ignore_case ? str_eq_nocase(begin, want) : str_eq(begin, want);
}

bool route_fraction_hits(struct route_fraction f, uint64_t random)
{
    return !f.denominator || random % f.denominator < f.numerator;
}

bool route_is_grpc(const struct http_head *head)
{
    struct str type = http_field_value(http_head_find(head, HTTP_NAME_CONTENT_TYPE));
    if (type.n < 16 || !str_eq_nocase(str_sub(type, 0, 16), STR("application/grpc")))
        return false;
    return type.n == 16 || type.p[16] == '+' || type.p[16] == ';';
}

bool route_matches(const struct route_match *m, const struct route_query *q)
{
    if (!path_matches(m, q) || !route_fraction_hits(m->fraction, q->random))
        return false;
    if (m->grpc && !route_is_grpc(q->head))
        return false;
    for (size_t i = 0; i < m->n_fields; i++)
        if (!field_matches(&m->fields[i], q->head))
            return false;
    for (size_t i = 0; i < m->n_query; i++)
        if (!query_matches(&m->query[i], q->query))
            return false;
    return true;
}

const struct route_cluster *route_choose_cluster(const struct route_forward *f, uint64_t random)
{
    ASSERT(f->n_clusters > 0);
    if (f->n_clusters == 1)
        return &f->clusters[0];
    uint64_t at = random % f->total_weight;
    for (size_t i = 0; i < f->n_clusters; i++) {
        if (at < f->clusters[i].weight)
            return &f->clusters[i];
        at -= f->clusters[i].weight;
    }
    return &f->clusters[f->n_clusters - 1];
}
