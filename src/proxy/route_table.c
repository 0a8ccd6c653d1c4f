/* From a RouteConfiguration to a route table: hosts, each compiled by itself, and what is around
 * them. A table that is read from the wire keeps the hosts of the one before whose bytes are the
 * same; hosts that come by themselves are joined to the table that says so.
 */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "codec/pb.h"
#include "proxy/config_source.h"
#include "proxy/route_config_priv.h"
#include "proxy/route_domains.h"
#include "xds/xds_check.h"

typedef Envoy__Config__Route__V3__VirtualHost pb_host;
typedef Envoy__Config__Route__V3__RouteConfiguration pb_table;

enum {
    BODY_MAX = 1024 * 1024,
    HOSTS_FIELD = 2, /* RouteConfiguration.virtual_hosts */
    /* A host's memory: one chunk for most, of a size by the packed one if that is known. */
    HOST_MEMORY = 1536,
    HOST_MEMORY_MIN = 896,
    HOST_MEMORY_A_BYTE = 1,
};

struct route_host *route_host_ref(struct route_host *h)
{
    atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
    return h;
}

void route_host_unref(struct route_host *h)
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
    route_domains_free(t->domains);
    for (size_t i = 0; i < t->n_hosts; i++)
        route_host_unref(t->hosts[i]);
    arena_free(t->arena);
    route_table_unref(t->outer);
    free(t);
}

/* ---- the clusters that it names ---- */

static void each_mirror(const struct mirror_policies *m, void (*fn)(struct str name, void *user),
                        void *user)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].cluster.n)
            fn(m->v[i].cluster, user);
}

void route_host_each_cluster(const struct route_host *h, void (*fn)(struct str name, void *user),
                             void *user)
{
    for (size_t i = 0; i < h->n_routes; i++) {
        const struct route_forward *f = &h->routes[i].forward;
        if (h->routes[i].kind != ROUTE_FORWARD)
            continue;
        for (size_t c = 0; c < f->n_clusters; c++)
            if (f->clusters[c].name.n)
                fn(f->clusters[c].name, user);
        each_mirror(&f->mirrors, fn, user);
    }
}

static void note_cluster(struct str name, void *user)
{
    struct route_table *t = user;
    map_put(&t->clusters, name, t);
}

/* Its hosts are there. */
static int finish(struct route_table *t, struct pb_path *path, struct err *reterr)
{
    VEC(struct route_change) changes = {0};
    struct route_clash clash;
    t->clusters.borrows = true;
    each_mirror(&t->mirrors, note_cluster, t);
    for (size_t i = 0; i < t->n_hosts; i++) {
        route_host_each_cluster(t->hosts[i], note_cluster, t);
        vec_push(&changes, (struct route_change){NULL, t->hosts[i]});
    }
    t->domains = route_domains_new(NULL, changes.v, changes.n, &clash);
    vec_done(&changes);
    if (t->domains)
        return 0;
    pb_path_field(path, "virtual_hosts");
    pb_path_index(path, clash.change);
    pb_path_field(path, "domains");
    pb_path_index(path, clash.domain);
    return pb_path_fail(path, reterr, -EINVAL, "domain " STR_FMT " %s",
                        STR_ARG(t->hosts[clash.change]->domains[clash.domain]), clash.text);
}

static struct str without_port(struct str host)
{
    for (size_t i = host.n; i > 0; i--) {
        char c = host.p[i - 1];
        if (c == ':')
            return str_sub(host, 0, i - 1);
        if (c < '0' || c > '9')
            break;
    }
    return host;
}

const struct route_host *route_table_host(const struct route_table *t, struct str host)
{
    return route_domains_find(t->domains, t->ignore_port ? without_port(host) : host);
}

/* ---- the table's own fields ---- */

/* Envoy's rule: hosts come by the aggregated stream (or by one that we do not have). */
static int compile_vhds(struct making *c, const pb_table *m, struct route_table *ret)
{
    struct config_source source = {0};
    size_t mark = pb_path_field(c->path, "vhds");
    pb_path_field(c->path, "config_source");
    int r = config_source_compile(m->vhds->config_source, c->path, &source, c->err);
    if (r == 0 && source.path)
        r = FAIL(c, "only ads is implemented");
    ret->hosts_come = true;
    ret->hosts_warm_ms = source.warm_ms;
    config_source_done(&source);
    pb_path_back(c->path, mark);
    return r;
}

static int compile_outer(struct making *c, const pb_table *m, struct route_table *ret)
{
    int r = 0;
    ret->name = arena_str(c->a, str_from(m->name));
    if (!ret->name.p)
        return -ENOMEM;
    ret->ignore_port = m->ignore_port_in_host_matching;
    if (m->max_direct_response_body_size_bytes)
        c->body_max = MIN(c->body_max, (size_t)m->max_direct_response_body_size_bytes->value);
    ret->body_max = c->body_max;
    ret->most_specific_wins = m->most_specific_header_mutations_wins;
    if (m->vhds)
        r = compile_vhds(c, m, ret);
    if (r == 0)
        r = MIRRORS(c, m, ret);
    if (r == 0)
        r = HEADER_OPS(c, m, ret);
    ret->keeps_fields =
        header_ops_is_empty(&ret->request_ops) && header_ops_is_empty(&ret->answer_ops);
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
        ret->n_hosts += r == 0;
    }
    if (r == 0 && ret->hosts_come)
        r = FAIL(c, "vhds: only in a table that comes by itself (rds)");
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

uint64_t route_host_hash(struct str bytes)
{
    return hash_bytes(bytes.p, bytes.n) | 1;
}

static struct str hash_key(const uint64_t *hash)
{
    return str_of((const char *)hash, sizeof(*hash));
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
    for (size_t i = 0; before && before->body_max == ret->body_max && i < before->n_hosts; i++)
        map_put(&known, hash_key(&before->hosts[i]->hash), before->hosts[i]);
    for (size_t i = 0; i < split->hosts.n && r == 0; i++) {
        uint64_t hash = route_host_hash(split->hosts.v[i]);
        struct route_host *same = map_find(&known, hash_key(&hash));
        if (same) {
            ret->hosts[ret->n_hosts++] = route_host_ref(same);
            continue;
        }
        size_t mark = step_to_host(c->path, i);
        r = read_host(c, split->hosts.v[i], report, &ret->hosts[i]);
        pb_path_back(c->path, mark);
        if (r < 0)
            break;
        ret->hosts[ret->n_hosts++]->hash = hash;
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
    if (r == 0)
        r = read_hosts(c, &split, before, report, ret);
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

/* ---- hosts that come by themselves ---- */

int route_host_read(struct str bytes, const struct route_table *outer, struct route_host **ret,
                    struct xds_report *report, struct err *reterr)
{
    struct pb_path path = {.n = 0};
    struct making c = {NULL, &path, reterr, outer->body_max};
    int r = read_host(&c, bytes, report, ret);
    if (r == 0)
        (*ret)->hash = route_host_hash(bytes);
    return r == -ENOMEM ? err_set(reterr, r, NULL, "no memory for a virtual host") : r;
}

int route_table_join(struct route_table *outer, const struct route_table *before,
                     const struct route_change *changes, size_t n, struct route_table **ret,
                     struct err *reterr)
{
    struct route_table *t = table_new();
    struct route_clash clash;
    ASSERT(!before || before->outer == outer);
    t->outer = route_table_ref(outer);
    t->name = outer->name;
    t->request_ops = outer->request_ops;
    t->answer_ops = outer->answer_ops;
    t->filters = outer->filters;
    t->mirrors = outer->mirrors;
    t->keeps_fields = outer->keeps_fields;
    t->most_specific_wins = outer->most_specific_wins;
    t->ignore_port = outer->ignore_port;
    t->body_max = outer->body_max;
    t->clusters.borrows = true;
    t->domains = route_domains_new(before ? before->domains : outer->domains, changes, n, &clash);
    if (t->domains) {
        *ret = t;
        return 0;
    }
    const struct route_host *h = changes[clash.change].after;
    err_set(reterr, -EINVAL, NULL, "virtual host " STR_FMT ": domain " STR_FMT " %s",
            STR_ARG(h->name), STR_ARG(h->domains[clash.domain]), clash.text);
    route_table_unref(t);
    return -EINVAL;
}
