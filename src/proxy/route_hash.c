/* Hashes: XXH64 of each text, joined by a rotation, as Envoy joins them. */
#include "proxy/route_hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "proxy/cookie.h"
#include "proxy/route_rewrite.h"

typedef Envoy__Config__Route__V3__RouteAction__HashPolicy pb_policy;
typedef Envoy__Config__Route__V3__RouteAction__HashPolicy__Cookie pb_cookie;

enum { VALUES_MAX = 16 };

/* ---- configuration ---- */

struct making {
    struct arena *a;
    struct pb_path *path;
    struct err *err;
};

#define FAIL(c, ...) pb_path_fail((c)->path, (c)->err, -EINVAL, __VA_ARGS__)

static int compile_cookie(struct making *c, const pb_cookie *m, struct route_hash *ret)
{
    struct cookie_attribute *attributes = xcalloc(m->n_attributes + 1, sizeof(*attributes));
    struct str tail = {NULL, 0};
    for (size_t i = 0; i < m->n_attributes; i++)
        attributes[i] = (struct cookie_attribute){m->attributes[i]->name, m->attributes[i]->value};
    const struct cookie_config config = {m->name, m->path, m->ttl, attributes, m->n_attributes};
    int r = cookie_compile(&config, c->a, c->path, &ret->name, &tail, c->err);
    ret->kind = ROUTE_HASH_COOKIE;
    if (m->ttl)
        ret->cookie_tail = tail;
    free(attributes);
    return r;
}

static int compile_one(struct making *c, const pb_policy *m, struct route_hash *ret)
{
    ret->terminal = m->terminal;
    switch ((unsigned)m->policy_specifier_case) {
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_HEADER:
        ret->kind = ROUTE_HASH_HEADER;
        ret->header = header_name_of(m->header->header_name, c->a);
        if (!ret->header.text.p)
            return -ENOMEM;
        return regex_rewrite_compile(m->header->regex_rewrite, "header.regex_rewrite", c->a,
                                     c->path, &ret->rewrite, c->err);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_COOKIE:
        return compile_cookie(c, m->cookie, ret);
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_CONNECTION_PROPERTIES:
        ret->kind = ROUTE_HASH_SOURCE_IP;
        return m->connection_properties->source_ip
                   ? 0
                   : FAIL(c, "connection_properties.source_ip: must be true");
    case ENVOY__CONFIG__ROUTE__V3__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_QUERY_PARAMETER:
        ret->kind = ROUTE_HASH_QUERY;
        ret->name = arena_str(c->a, str_from(m->query_parameter->name));
        return ret->name.p ? 0 : -ENOMEM;
    default:
        return FAIL(c, "needs one of header, cookie, connection_properties, query_parameter");
    }
}

int route_hash_compile(pb_policy *const *m, size_t n, struct arena *a, struct pb_path *path,
                       struct route_hash **ret, struct err *reterr)
{
    struct making c = {a, path, reterr};
    size_t mark = pb_path_field(path, "hash_policy");
    struct route_hash *v = arena_alloc(a, n * sizeof(*v));
    int r = n > ROUTE_HASHES_MAX ? FAIL(&c, "more than %d", ROUTE_HASHES_MAX) : v ? 0 : -ENOMEM;
    for (size_t i = 0; i < n && r == 0; i++) {
        size_t at = pb_path_index(path, i);
        r = compile_one(&c, m[i], &v[i]);
        pb_path_back(path, at);
    }
    pb_path_back(path, mark);
    if (r == 0)
        *ret = v;
    return r;
}

/* ---- requests ---- */

/* Something is there to be hashed. */
struct hashed {
    bool has;
    uint64_t hash;
};

static struct hashed hash_text(struct str s)
{
    return (struct hashed){true, hash_xxh64(s.p, s.n, 0)};
}

static int by_text(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    size_t n = MIN(x->n, y->n);
    int r = n ? memcmp(x->p, y->p, n) : 0;
    return r ? r : (x->n > y->n) - (x->n < y->n);
}

static struct str rewritten(const struct route_hash *p, struct str value, struct arena *a)
{
    AUTO_DONE(buf) struct buf b = {.cap = REGEX_TEXT_MAX};
    if (!p->rewrite.regex ||
        regex_replace(p->rewrite.regex, value, p->rewrite.substitution, &b) < 0)
        return value;
    struct str s = arena_str(a, buf_str(&b));
    return s.p ? s : value;
}

/* All of its values, in an order that does not depend on theirs. */
static struct hashed hash_header(const struct route_hash *p, const struct http_head *h,
                                 struct arena *a)
{
    struct str values[VALUES_MAX];
    size_t n = 0;
    struct hashed ret = {0};
    for (uint16_t i = 0; i < h->n && n < VALUES_MAX; i++) {
        const struct http_field *f = &h->fields[i];
        if (f->name_n && f->id == p->header.id &&
            (f->id != HTTP_NAME_OTHER || str_eq_nocase(str_of(f->name, f->name_n), p->header.text)))
            values[n++] = rewritten(p, http_field_value(f), a);
    }
    if (!n && p->header.text.n && p->header.text.p[0] == ':') {
        struct str value = pseudo_value(p->header.text, h);
        if (value.p)
            values[n++] = rewritten(p, value, a);
    }
    if (n > 1)
        qsort(values, n, sizeof(values[0]), by_text);
    for (size_t i = 0; i < n; i++)
        ret = (struct hashed){true, hash_xxh64(values[i].p, values[i].n, ret.hash)};
    return ret;
}

/* Who asks, and where: the same for a client as long as its connection. */
static uint64_t hash_connection(const struct conn *client)
{
    char text[2 * (IP_TEXT_BYTES + 8)] = "", address[IP_TEXT_BYTES];
    size_t n = 0;
    struct ip ip;
    uint16_t port;
    if (client && conn_peer_addr(client, &ip, &port) == 0)
        n += (size_t)snprintf(text, sizeof(text), "%s:%u", ip_format(&ip, address), port);
    if (client && conn_local_addr(client, &ip, &port) == 0)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s:%u", ip_format(&ip, address), port);
    return hash_xxh64(text, n, 0);
}

static struct hashed hash_cookie(const struct route_hash *p, const struct http_head *h,
                                 const struct conn *client, struct arena *a, struct affinity *ret)
{
    struct str value = cookie_find(h, p->name);
    if (value.n)
        return hash_text(value);
    if (!p->cookie_tail.p)
        return (struct hashed){0};
    char made[17];
    snprintf(made, sizeof(made), "%016llx", (unsigned long long)hash_connection(client));
    struct str line = {NULL, 0};
    if (ret->n_cookies < AFFINITY_COOKIES_MAX)
        line = cookie_line(p->name, str_of(made, 16), p->cookie_tail, a);
    if (line.p)
        ret->cookies[ret->n_cookies++] = line;
    return hash_text(str_of(made, 16));
}

static struct hashed hash_source(const struct http_edits *edits, const struct http_head *head,
                                 const struct conn *client)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;
    uint16_t port;
    struct http_head h = *head;
    if (!client || http_edits_client(edits, &h, client, &ip, &port) < 0)
        return (struct hashed){0};
    ip = ip_unmapped(&ip);
    return hash_text(str_from(ip_format(&ip, text)));
}

static struct hashed hash_query(const struct route_hash *p, struct str query)
{
    while (query.p) {
        struct str value, pair = str_cut(query, '&', &query);
        struct str name = str_cut(pair, '=', &value);
        if (str_eq(name, p->name))
            return hash_text(value.p ? value : STR(""));
    }
    return (struct hashed){0};
}

void route_hash_of(const struct route_hash *policies, size_t n, const struct route_query *q,
                   const struct http_edits *edits, const struct conn *client, struct arena *a,
                   struct affinity *ret)
{
    for (size_t i = 0; i < n; i++) {
        const struct route_hash *p = &policies[i];
        struct hashed one = {0};
        switch ((enum route_hash_kind)p->kind) {
        case ROUTE_HASH_HEADER:
            one = hash_header(p, q->head, a);
            break;
        case ROUTE_HASH_COOKIE:
            one = hash_cookie(p, q->head, client, a, ret);
            break;
        case ROUTE_HASH_SOURCE_IP:
            one = hash_source(edits, q->head, client);
            break;
        case ROUTE_HASH_QUERY:
            one = hash_query(p, q->query);
            break;
        }
        if (one.has)
            ret->hash = (ret->has_hash ? ret->hash << 1 | ret->hash >> 63 : 0) ^ one.hash;
        ret->has_hash = ret->has_hash || one.has;
        if (p->terminal && ret->has_hash)
            break;
    }
}
