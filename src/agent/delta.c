/* From Services to frontends: which addresses a Service has, who may claim them, and the difference
 * between two states of one Service. Pure but for the book, which belongs to the decision thread.
 */
#include "agent/delta.h"

#include "base/assert.h"

struct agent_delta *agent_delta_new(bool full)
{
    struct agent_delta *d = NEW(struct agent_delta);
    d->full = d->families[0] = d->families[1] = full;
    return d;
}

void agent_delta_free(struct agent_delta *d)
{
    if (!d)
        return;
    VEC_FOREACH (p, &d->memory)
        free(*p);
    vec_done(&d->memory);
    vec_done(&d->frontends);
    vec_done(&d->addresses);
    vec_done(&d->pod_networks);
    vec_done(&d->service_networks);
    free(d);
}

bool agent_delta_is_empty(const struct agent_delta *d)
{
    return !d->full && !d->has_networks && d->frontends.n == 0 && d->addresses.n == 0;
}

void delta_book_done(struct delta_book *b)
{
    map_done(&b->owners);
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++)
        map_done(&b->counts[l]);
}

static void push_frontend(struct agent_delta *d, const struct frontend *f)
{
    d->families[f->key.family == AF_INET6] = true;
    vec_push(&d->frontends, *f);
}

static void push_address(struct agent_delta *d, struct address_change change)
{
    d->families[change.ip.family == AF_INET6] = true;
    vec_push(&d->addresses, change);
}

/* ---- addresses that are counted ---- */

static void count_address(struct agent_delta *d, struct delta_book *b, enum dataplane_list list,
                          const struct ip *ip, bool add)
{
    struct map *m = &b->counts[list];
    struct str key = str_of(ip, sizeof(*ip));
    uintptr_t n = (uintptr_t)map_find(m, key);
    ASSERT(add || n > 0);
    uintptr_t now = add ? n + 1 : n - 1;
    if (now)
        map_put(m, key, (void *)now);
    else
        map_remove(m, key);
    if ((n == 0) != (now == 0))
        push_address(d, (struct address_change){list, !add, *ip});
}

static void count_local(struct agent_delta *d, struct delta_book *b,
                        const struct model_endpoints *e, uint8_t family, bool add)
{
    for (uint32_t k = 0; k < e->n; k++) {
        struct ip ip = {.family = family};
        if (!e->v[k].local)
            continue;
        memcpy(ip.bytes, e->v[k].ip, sizeof(ip.bytes));
        count_address(d, b, DATAPLANE_LOCAL_ENDPOINTS, &ip, add);
    }
}

static void count_service(struct agent_delta *d, struct delta_book *b,
                          const struct model_service *m, bool add)
{
    for (size_t i = 0; i < m->n_addresses; i++)
        if (m->addresses[i].kind == MODEL_CLUSTER_IP)
            count_address(d, b, DATAPLANE_CLUSTER_IPS, &m->addresses[i].ip, add);
    for (size_t i = 0; i < m->n_ports; i++)
        for (unsigned f = 0; f < 2; f++) {
            uint8_t family = f ? AF_INET6 : AF_INET;
            count_local(d, b, &m->ports[i].endpoints[f], family, add);
            count_local(d, b, &m->ports[i].local[f], family, add);
        }
}

/* ---- frontends ---- */

/* One frontend of a Service, borrowed from its model. */
struct view {
    struct frontend_key key;
    enum dataplane_policy policy;
    const struct model_endpoints *endpoints, *local;
    const struct model_service *restricted; /* whose sources count; NULL: everybody may */
    uint32_t affinity_s;
    struct frontend_key group; /* the frontend after which the service port is named */
};

typedef void each_fn(const struct view *v, void *user);

static enum dataplane_policy policy_of(const struct model_service *m, bool internal)
{
    if (internal)
        return m->internal_local ? DATAPLANE_CLUSTER_LOCAL : DATAPLANE_CLUSTER;
    return m->external_local ? DATAPLANE_EXTERNAL_LOCAL : DATAPLANE_EXTERNAL;
}

/* What clients are remembered by, whichever frontend they use: the ClusterIP's, which a service
 * port has in every family it is served in. */
static struct frontend_key group_of(const struct model_service *m, const struct model_port *p,
                                    uint8_t family)
{
    struct frontend_key k = {.family = family, .proto = p->proto, .port = p->port};
    for (size_t a = 0; a < m->n_addresses; a++)
        if (m->addresses[a].kind == MODEL_CLUSTER_IP && m->addresses[a].ip.family == family) {
            memcpy(k.ip, m->addresses[a].ip.bytes, sizeof(k.ip));
            break;
        }
    return k;
}

static void each_frontend(const struct model_service *m, const struct delta_options *o, each_fn *fn,
                          void *user)
{
    for (size_t i = 0; i < m->n_ports; i++) {
        const struct model_port *p = &m->ports[i];
        bool families[2] = {false, false};
        struct frontend_key group[2];
        for (unsigned f = 0; f < 2; f++)
            group[f] = group_of(m, p, f ? AF_INET6 : AF_INET);
        for (size_t a = 0; a < m->n_addresses; a++) {
            const struct model_address *addr = &m->addresses[a];
            unsigned f = addr->ip.family == AF_INET6;
            struct view v = {.key = {.family = addr->ip.family, .proto = p->proto, .port = p->port},
                             .policy = policy_of(m, addr->kind == MODEL_CLUSTER_IP),
                             .endpoints = &p->endpoints[f],
                             .local = &p->local[f],
                             .restricted =
                                 addr->kind == MODEL_BALANCER_IP && m->restricted[f] ? m : NULL,
                             .affinity_s = m->affinity_s,
                             .group = group[f]};
            memcpy(v.key.ip, addr->ip.bytes, ip_bytes(&addr->ip));
            families[f] = families[f] || addr->kind == MODEL_CLUSTER_IP;
            if (addr->kind == MODEL_EXTERNAL_IP && !o->external_ips)
                continue;
            fn(&v, user);
        }
        for (unsigned f = 0; f < 2 && p->node_port; f++) {
            struct view v = {.key = {.family = f ? AF_INET6 : AF_INET,
                                     .node_port = 1,
                                     .proto = p->proto,
                                     .port = p->node_port},
                             .policy = policy_of(m, false),
                             .endpoints = &p->endpoints[f],
                             .local = &p->local[f],
                             .affinity_s = m->affinity_s,
                             .group = group[f]};
            if (families[f])
                fn(&v, user);
        }
    }
}

struct adding {
    struct agent_delta *d;
    struct delta_book *b;
    const char *owner;
    const struct model_service *before;
    const struct delta_options *o;
    bool released;
    struct map seen; /* keys of the new state */
};

struct finding {
    const struct frontend_key *key;
    struct view found;
};

static void on_find(const struct view *v, void *user)
{
    struct finding *f = user;
    if (!f->found.endpoints && memcmp(&v->key, f->key, sizeof(v->key)) == 0)
        f->found = *v;
}

static bool endpoints_eq(const struct model_endpoints *a, const struct model_endpoints *b)
{
    if (a->n != b->n || a->n_draining != b->n_draining)
        return false;
    for (uint32_t i = 0; i < a->n + a->n_draining; i++)
        if (a->v[i].port != b->v[i].port || memcmp(a->v[i].ip, b->v[i].ip, 16) != 0)
            return false;
    return true;
}

static bool sources_eq(const struct model_service *a, const struct model_service *b)
{
    if (!a || !b)
        return a == b;
    if (a->n_sources != b->n_sources)
        return false;
    for (size_t i = 0; i < a->n_sources; i++)
        if (a->sources[i].len != b->sources[i].len || !ip_eq(&a->sources[i].ip, &b->sources[i].ip))
            return false;
    return true;
}

static bool is_unchanged(const struct adding *a, const struct view *v)
{
    struct finding f = {.key = &v->key};
    if (!a->before)
        return false;
    each_frontend(a->before, a->o, on_find, &f);
    return f.found.endpoints && f.found.policy == v->policy &&
           f.found.affinity_s == v->affinity_s &&
           memcmp(&f.found.group, &v->group, sizeof(v->group)) == 0 &&
           endpoints_eq(f.found.endpoints, v->endpoints) && endpoints_eq(f.found.local, v->local) &&
           sources_eq(f.found.restricted, v->restricted) &&
           !(v->restricted && a->o->node_ips_changed);
}

static struct dataplane_endpoint *copy_endpoints(struct agent_delta *d,
                                                 const struct model_endpoints *e)
{
    uint32_t n = e->n + e->n_draining;
    struct dataplane_endpoint *v = xcalloc(n + 1u, sizeof(*v));
    for (uint32_t i = 0; i < n; i++) {
        memcpy(v[i].ip, e->v[i].ip, sizeof(v[i].ip));
        v[i].port = e->v[i].port;
    }
    vec_push(&d->memory, v);
    return v;
}

/* Row 21: where the node itself is allowed, so is the address as a source: what the node sends to
 * an address that is on one of its links has it as its own. */
static void copy_sources(struct agent_delta *d, const struct view *v, const struct delta_options *o,
                         struct frontend *f)
{
    const struct model_service *m = v->restricted;
    unsigned family = v->key.family == AF_INET6;
    struct prefix *p = xcalloc(m->n_sources + 1, sizeof(*p));
    struct prefix self = {.ip = {.family = v->key.family}, .len = family ? 128 : 32};
    bool node = false, covered = false;
    memcpy(self.ip.bytes, v->key.ip, sizeof(self.ip.bytes));
    for (size_t i = 0; i < m->n_sources; i++) {
        if (m->sources[i].ip.family != v->key.family)
            continue;
        p[f->n_sources++] = m->sources[i];
        node = node || prefix_contains(&m->sources[i], &o->node_ips[family]);
        covered = covered || prefix_contains(&m->sources[i], &self.ip);
    }
    if (node && !covered)
        p[f->n_sources++] = self;
    vec_push(&d->memory, p);
    f->restricted = true;
    f->sources = p;
}

static void push_view(struct agent_delta *d, const struct view *v, const struct delta_options *o)
{
    struct dataplane_endpoint *e = copy_endpoints(d, v->endpoints);
    struct frontend f = {.key = v->key,
                         .policy = v->policy,
                         .endpoints = e,
                         .n_endpoints = v->endpoints->n,
                         .affinity_s = v->affinity_s,
                         .affinity_group = v->group,
                         .draining = e + v->endpoints->n,
                         .n_draining = v->endpoints->n_draining};
    if (dataplane_policy_is_local(v->policy)) {
        f.local = copy_endpoints(d, v->local);
        f.n_local = v->local->n;
    }
    if (v->restricted)
        copy_sources(d, v, o, &f);
    push_frontend(d, &f);
}

static void on_add(const struct view *v, void *user)
{
    struct adding *a = user;
    struct str key = str_of(&v->key, sizeof(v->key));
    const char *owner = map_find(&a->b->owners, key);
    if (map_find(&a->seen, key))
        return; /* an address that is there twice */
    if (owner && !streq(owner, a->owner)) {
        a->b->contested = true;
        return;
    }
    map_put(&a->seen, key, a);
    if (owner && is_unchanged(a, v))
        return;
    if (!owner)
        map_put(&a->b->owners, key, (char *)(uintptr_t)a->owner);
    push_view(a->d, v, a->o);
}

static void on_remove(const struct view *v, void *user)
{
    struct adding *a = user;
    struct str key = str_of(&v->key, sizeof(v->key));
    const char *owner = map_find(&a->b->owners, key);
    if (map_find(&a->seen, key) || !owner || !streq(owner, a->owner))
        return;
    map_remove(&a->b->owners, key);
    push_frontend(a->d, &(struct frontend){.key = v->key, .removed = true});
    a->released = true;
}

bool agent_delta_add(struct agent_delta *d, struct delta_book *b, const struct delta_options *o,
                     const char *owner, const struct model_service *before,
                     const struct model_service *after)
{
    struct adding a = {.d = d, .b = b, .owner = owner, .before = before, .o = o};
    if (!before && !after)
        return false;
    ASSERT((!before || streq(before->key, owner)) && (!after || streq(after->key, owner)));
    if (after) {
        count_service(d, b, after, true);
        each_frontend(after, o, on_add, &a);
    }
    if (before) {
        each_frontend(before, o, on_remove, &a);
        count_service(d, b, before, false);
    }
    map_done(&a.seen);
    d->services++;
    return a.released && b->contested;
}
