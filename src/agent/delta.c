/* From Services to frontends: which addresses a Service has, who may claim them, and the difference
 * between two states of one Service. Pure but for the book, which belongs to the decision thread.
 */
#include "agent/delta.h"

#include "base/assert.h"

struct agent_delta *agent_delta_new(bool full)
{
    struct agent_delta *d = NEW(struct agent_delta);
    d->full = full;
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
    free(d);
}

bool agent_delta_is_empty(const struct agent_delta *d)
{
    return !d->full && d->frontends.n == 0 && d->addresses.n == 0;
}

void delta_book_done(struct delta_book *b)
{
    void *value;
    for (size_t at = 0; map_next(&b->owners, &at, NULL, &value);)
        free(value);
    map_done(&b->owners);
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++)
        map_done(&b->counts[l]);
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
        vec_push(&d->addresses, (struct address_change){list, !add, *ip});
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
};

typedef void each_fn(const struct view *v, void *user);

static enum dataplane_policy policy_of(const struct model_service *m, bool internal)
{
    if (internal)
        return m->internal_local ? DATAPLANE_CLUSTER_LOCAL : DATAPLANE_CLUSTER;
    return m->external_local ? DATAPLANE_EXTERNAL_LOCAL : DATAPLANE_EXTERNAL;
}

static void each_frontend(const struct model_service *m, const struct delta_options *o, each_fn *fn,
                          void *user)
{
    for (size_t i = 0; i < m->n_ports; i++) {
        const struct model_port *p = &m->ports[i];
        bool families[2] = {false, false};
        for (size_t a = 0; a < m->n_addresses; a++) {
            const struct model_address *addr = &m->addresses[a];
            unsigned f = addr->ip.family == AF_INET6;
            struct view v = {.key = {.family = addr->ip.family, .proto = p->proto, .port = p->port},
                             .policy = policy_of(m, addr->kind == MODEL_CLUSTER_IP),
                             .endpoints = &p->endpoints[f],
                             .local = &p->local[f]};
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
                             .local = &p->local[f]};
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

static bool is_unchanged(const struct adding *a, const struct view *v)
{
    struct finding f = {.key = &v->key};
    if (!a->before)
        return false;
    each_frontend(a->before, a->o, on_find, &f);
    return f.found.endpoints && f.found.policy == v->policy &&
           endpoints_eq(f.found.endpoints, v->endpoints) && endpoints_eq(f.found.local, v->local);
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

static void push_frontend(struct agent_delta *d, const struct view *v)
{
    struct dataplane_endpoint *e = copy_endpoints(d, v->endpoints);
    struct frontend f = {.key = v->key,
                         .policy = v->policy,
                         .endpoints = e,
                         .n_endpoints = v->endpoints->n,
                         .draining = e + v->endpoints->n,
                         .n_draining = v->endpoints->n_draining};
    if (dataplane_policy_is_local(v->policy)) {
        f.local = copy_endpoints(d, v->local);
        f.n_local = v->local->n;
    }
    vec_push(&d->frontends, f);
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
        map_put(&a->b->owners, key, xstrdup(a->owner));
    push_frontend(a->d, v);
}

static void on_remove(const struct view *v, void *user)
{
    struct adding *a = user;
    struct str key = str_of(&v->key, sizeof(v->key));
    const char *owner = map_find(&a->b->owners, key);
    if (map_find(&a->seen, key) || !owner || !streq(owner, a->owner))
        return;
    free(map_remove(&a->b->owners, key));
    vec_push(&a->d->frontends, (struct frontend){.key = v->key, .removed = true});
    a->released = true;
}

bool agent_delta_add(struct agent_delta *d, struct delta_book *b, const struct delta_options *o,
                     const struct model_service *before, const struct model_service *after)
{
    struct adding a = {.d = d,
                       .b = b,
                       .owner = after    ? after->key
                                : before ? before->key
                                         : NULL,
                       .before = before,
                       .o = o};
    if (!before && !after)
        return false;
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
