/* From a RouteConfiguration to a route table: hosts, each compiled by itself, and what binds them
 * together. A table that is read from the wire keeps the hosts of the one before whose bytes are
 * the same: with thousands of hosts a change costs as much as what has changed, and a comparison.
 */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "codec/pb.h"
#include "proxy/route_config_priv.h"
#include "proxy/route_index.h"
#include "xds/xds_check.h"

typedef Envoy__Config__Route__V3__VirtualHost pb_host;
typedef Envoy__Config__Route__V3__RouteConfiguration pb_table;

enum {
    BODY_MAX = 1024 * 1024,
    HOSTS_FIELD = 2, /* RouteConfiguration.virtual_hosts */
    /* A host's memory: one chunk for most, of a size by the packed one if that is known. */
    HOST_MEMORY = 1536,
    HOST_MEMORY_MIN = 896,
    HOST_MEMORY_A_BYTE = 2,
};

static void host_unref(struct route_host *h)
{
    if (h && atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) == 1)
        arena_free(h->arena);
}

struct route_table *route_table_ref(struct route_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void route_table_unref(struct route_table *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    map_done(&t->clusters);
    for (size_t i = 0; i < t->n_hosts; i++)
        host_unref(t->hosts[i]);
    arena_free(t->arena);
    free(t);
}

/* ---- what binds a host to its table ---- */

/* What a route does not say its host does, or its table. */
static void inherit(const struct route_table *t, struct route_host *h, struct route *r)
{
    if (r->kind == ROUTE_FORWARD && !r->forward.mirrors.n)
        r->forward.mirrors = h->mirrors.n ? h->mirrors : t->mirrors;
}

static bool keeps_fields(const struct header_ops *request, const struct header_ops *answer)
{
    return header_ops_is_empty(request) && header_ops_is_empty(answer);
}

/* What the fast path asks first. */
static void note_what_is_off(const struct route_table *t, const struct route_host *h,
                             struct route *r)
{
    r->keeps_fields = keeps_fields(&t->request_ops, &t->answer_ops) &&
                      keeps_fields(&h->request_ops, &h->answer_ops) &&
                      keeps_fields(&r->request_ops, &r->answer_ops);
    if (r->kind != ROUTE_FORWARD)
        return;
    struct route_forward *f = &r->forward;
    f->rewrites = f->prefix_rewrite.p || f->path_rewrite.regex || f->host_rewrite.p ||
                  f->host_rewrite_header.text.p || f->host_rewrite_path.regex;
    for (size_t i = 0; i < f->n_clusters; i++) {
        const struct route_cluster *c = &f->clusters[i];
        r->keeps_fields = r->keeps_fields && keeps_fields(&c->request_ops, &c->answer_ops);
        f->rewrites = f->rewrites || c->host_rewrite.p;
    }
}

static void bind_host(const struct route_table *t, struct route_host *h)
{
    for (size_t i = 0; i < h->n_routes; i++) {
        inherit(t, h, &h->routes[i]);
        note_what_is_off(t, h, &h->routes[i]);
    }
}

static void note_cluster(struct route_table *t, struct str name)
{
    if (name.n)
        map_put(&t->clusters, name, t);
}

static void note_clusters(struct route_table *t, const struct route_forward *f)
{
    for (size_t i = 0; i < f->n_clusters; i++)
        note_cluster(t, f->clusters[i].name);
    for (size_t i = 0; i < f->mirrors.n; i++)
        note_cluster(t, f->mirrors.v[i].cluster);
}

/* Its hosts are there. */
static int finish(struct route_table *t, struct pb_path *path, struct err *reterr)
{
    t->clusters.borrows = true;
    for (size_t h = 0; h < t->n_hosts; h++)
        for (size_t i = 0; i < t->hosts[h]->n_routes; i++)
            if (t->hosts[h]->routes[i].kind == ROUTE_FORWARD)
                note_clusters(t, &t->hosts[h]->routes[i].forward);
    return route_domains_build(t, path, reterr);
}

/* ---- the table's own fields ---- */

static int compile_outer(struct making *c, const pb_table *m, struct route_table *ret)
{
    ret->name = arena_str(c->a, str_from(m->name));
    if (!ret->name.p)
        return -ENOMEM;
    ret->ignore_port = m->ignore_port_in_host_matching;
    if (m->max_direct_response_body_size_bytes)
        c->body_max = MIN(c->body_max, (size_t)m->max_direct_response_body_size_bytes->value);
    ret->most_specific_wins = m->most_specific_header_mutations_wins;
    int r = MIRRORS(c, m, ret);
    if (r == 0)
        r = HEADER_OPS(c, m, ret);
    return r < 0 ? r : FILTER_OVERRIDES(m, c->a, c->path, &ret->filters, c->err);
}

static int make_room(struct route_table *t, size_t n)
{
    t->hosts = arena_alloc(t->arena, n * sizeof(struct route_host *));
    return t->hosts ? 0 : -ENOMEM;
}

static struct route_table *table_new(void)
{
    struct route_table *t = NEW(struct route_table);
    t->refs = 1;
    t->arena = arena_new(0);
    return t;
}

static int end(struct route_table *t, int r, struct route_table **ret, struct err *reterr)
{
    if (r == -ENOMEM)
        err_set(reterr, r, NULL, "no memory for route table " STR_FMT, STR_ARG(t->name));
    if (r < 0)
        route_table_unref(t);
    else
        *ret = t;
    return r;
}

/* ---- from a message ---- */

static size_t step_to_host(struct pb_path *path, size_t i)
{
    size_t mark = pb_path_field(path, "virtual_hosts");
    pb_path_index(path, i);
    return mark;
}

static int compile_table(struct making *c, const pb_table *m, struct route_table *ret)
{
    int r = compile_outer(c, m, ret);
    if (r == 0)
        r = make_room(ret, m->n_virtual_hosts);
    for (size_t i = 0; i < m->n_virtual_hosts && r == 0; i++) {
        size_t mark = step_to_host(c->path, i);
        r = route_host_compile(c, m->virtual_hosts[i], HOST_MEMORY, &ret->hosts[i]);
        pb_path_back(c->path, mark);
        if (r == 0)
            bind_host(ret, ret->hosts[ret->n_hosts++]);
    }
    return r < 0 ? r : finish(ret, c->path, c->err);
}

int route_table_compile(const pb_table *m, struct route_table **ret, struct err *reterr)
{
    struct pb_path path = {.n = 0};
    struct route_table *t = table_new();
    struct making c = {t->arena, &path, reterr, BODY_MAX};
    return end(t, compile_table(&c, m, t), ret, reterr);
}

/* ---- from the wire ---- */

/* A packed RouteConfiguration in two: what is not hosts, and each host's bytes. */
struct split {
    struct buf outer;
    VEC(struct str) hosts;
};

static int split_bytes(struct str bytes, struct split *ret, struct err *reterr)
{
    struct pb_field f;
    int r;
    for (struct str rest = bytes; (r = pb_next(&rest, &f)) == 1;
         bytes = str_sub(bytes, bytes.n - rest.n, bytes.n)) {
        if (f.number == HOSTS_FIELD && f.wire == PB_BYTES)
            vec_push(&ret->hosts, f.bytes);
        else
            buf_add(&ret->outer, bytes.p, bytes.n - rest.n);
    }
    if (r == 0 && ret->outer.failed)
        return -ENOMEM;
    return r < 0 ? err_set(reterr, r, NULL, "malformed protobuf (%s)",
                           envoy__config__route__v3__route_configuration__descriptor.name)
                 : 0;
}

/* Never 0. */
static uint64_t hash_of(struct str bytes)
{
    return hash_bytes(bytes.p, bytes.n) | 1;
}

static struct str hash_key(const uint64_t *hash)
{
    return str_of((const char *)hash, sizeof(*hash));
}

/* Whose hosts may be in another table too: mirrors of the table are in its own memory. */
static bool lends_hosts(const struct route_table *before, uint64_t hash)
{
    return before && before->hash == hash && !before->mirrors.n;
}

static int read_host(struct making *c, struct str bytes, struct xds_report *report,
                     struct route_host **ret)
{
    AUTO(arena) struct arena *scratch = arena_new(XDS_CHECK_MEMORY_MAX);
    ProtobufCMessage *m;
    int r = xds_part_unpack(&envoy__config__route__v3__virtual_host__descriptor, bytes, c->path,
                            scratch, &m, report, c->err);
    return r < 0 ? r
                 : route_host_compile(c, (const pb_host *)(const void *)m,
                                      HOST_MEMORY_MIN + HOST_MEMORY_A_BYTE * bytes.n, ret);
}

static int read_hosts(struct making *c, const struct split *split, const struct route_table *before,
                      struct xds_report *report, struct route_table *ret)
{
    AUTO_DONE(map) struct map known = {.borrows = true};
    int r = make_room(ret, split->hosts.n);
    for (size_t i = 0; lends_hosts(before, ret->hash) && i < before->n_hosts; i++)
        map_put(&known, hash_key(&before->hosts[i]->hash), before->hosts[i]);
    for (size_t i = 0; i < split->hosts.n && r == 0; i++) {
        uint64_t hash = hash_of(split->hosts.v[i]);
        struct route_host *same = map_find(&known, hash_key(&hash));
        if (same) {
            atomic_fetch_add_explicit(&same->refs, 1, memory_order_relaxed);
            ret->hosts[ret->n_hosts++] = same;
            continue;
        }
        size_t mark = step_to_host(c->path, i);
        r = read_host(c, split->hosts.v[i], report, &ret->hosts[i]);
        pb_path_back(c->path, mark);
        if (r < 0)
            break;
        ret->hosts[i]->hash = hash;
        bind_host(ret, ret->hosts[ret->n_hosts++]);
    }
    return r < 0 ? r : finish(ret, c->path, c->err);
}

static int read_table(struct making *c, struct str bytes, const struct route_table *before,
                      struct xds_report *report, struct route_table *ret)
{
    AUTO(arena) struct arena *scratch = arena_new(XDS_CHECK_MEMORY_MAX);
    struct split split = {0};
    ProtobufCMessage *m;
    int r = split_bytes(bytes, &split, c->err);
    if (r == 0)
        r = xds_part_unpack(&envoy__config__route__v3__route_configuration__descriptor,
                            buf_str(&split.outer), c->path, scratch, &m, report, c->err);
    if (r == 0)
        r = compile_outer(c, (const pb_table *)(const void *)m, ret);
    if (r == 0) {
        ret->hash = hash_of(buf_str(&split.outer));
        r = read_hosts(c, &split, before, report, ret);
    }
    buf_done(&split.outer);
    vec_done(&split.hosts);
    return r;
}

int route_table_read(struct str bytes, const struct route_table *before, struct route_table **ret,
                     struct xds_report *report, struct err *reterr)
{
    struct pb_path path = {.n = 0};
    struct route_table *t = table_new();
    struct making c = {t->arena, &path, reterr, BODY_MAX};
    return end(t, read_table(&c, bytes, before, report, t), ret, reterr);
}
