/* The connection table against the frontends. Only those that changed are looked at, or all of them
 * once after a start (a killed predecessor may have left what it had not got to) and a repair; the
 * kernel walks its whole table for each request, so there is one request per family, narrowed where
 * one frontend changed. */
#include "dataplane/udp_flows.h"

#include <errno.h>

#include "base/time.h"
#include "nl/rtnl.h"

struct drain_list {
    size_t n;
    struct dataplane_endpoint v[];
};

int udp_flows_init(struct udp_flows *u, struct err *reterr)
{
    *u = (struct udp_flows){0};
    return conntrack_new(&u->conntrack, reterr);
}

void udp_flows_done(struct udp_flows *u)
{
    void *value;
    for (size_t at = 0; map_next(&u->draining, &at, NULL, &value);)
        free(value);
    map_done(&u->draining);
    vec_done(&u->changed);
    conntrack_free(u->conntrack);
}

void udp_flows_note_changed(struct udp_flows *u, const struct frontend_key *k)
{
    if (k->proto == IPPROTO_UDP)
        vec_push(&u->changed, *k);
}

void udp_flows_note_all(struct udp_flows *u)
{
    u->all = true;
}

static bool list_has(const struct drain_list *l, const struct dataplane_endpoint *e)
{
    for (size_t i = 0; i < l->n; i++)
        if (endpoint_eq(&l->v[i], e))
            return true;
    return false;
}

void udp_flows_note_draining(struct udp_flows *u, const struct frontend *f)
{
    struct str key = str_of(&f->key, sizeof(f->key));
    struct drain_list *l = NULL;
    bool gone = false;
    if (f->key.proto != IPPROTO_UDP)
        return;
    if (f->n_draining) {
        l = xmalloc(sizeof(*l) + f->n_draining * sizeof(l->v[0]));
        l->n = f->n_draining;
        memcpy(l->v, f->draining, f->n_draining * sizeof(l->v[0]));
    }
    struct drain_list *old = l ? map_put(&u->draining, key, l) : map_remove(&u->draining, key);
    for (size_t i = 0; old && i < old->n; i++)
        gone = gone || !l || !list_has(l, &old->v[i]);
    if (gone)
        udp_flows_note_changed(u, &f->key);
    free(old);
}

void udp_flows_note_removed(struct udp_flows *u, const struct frontend_key *k)
{
    free(map_remove(&u->draining, str_of(k, sizeof(*k))));
    udp_flows_note_changed(u, k);
}

const struct dataplane_endpoint *udp_flows_draining(const struct udp_flows *u,
                                                    const struct frontend_key *k, size_t *ret_n)
{
    const struct drain_list *l = map_find(&u->draining, str_of(k, sizeof(*k)));
    *ret_n = l ? l->n : 0;
    return l ? l->v : NULL;
}

struct stale {
    const struct udp_flows *flows;
    const struct frontend_table *table;
    struct map keys;   /* the frontends that changed */
    struct map locals; /* addresses of this node: where node ports are */
    bool locals_known;
};

static int on_local(const struct prefix *p, unsigned index, void *user)
{
    struct stale *st = user;
    (void)index;
    map_put(&st->locals, str_of(&p->ip, sizeof(p->ip)), st);
    return 0;
}

static void read_locals(struct stale *st)
{
    struct nl_socket *s;
    struct err ignored;
    if (nl_socket_new(NETLINK_ROUTE, &s, &ignored) < 0)
        return;
    st->locals_known = rtnl_addr_each(s, on_local, st, &ignored) == 0;
    COUNT_IF(!st->locals_known, "the node's addresses cannot be read");
    nl_socket_free(s);
}

static bool is_local(const struct stale *st, const struct ip *ip)
{
    return !st->locals_known || map_find(&st->locals, str_of(ip, sizeof(*ip)));
}

static bool is_looked_at(const struct stale *st, const struct frontend_key *k)
{
    return map_find(&st->keys, str_of(k, sizeof(*k))) ||
           (st->flows->all && frontend_table_find(st->table, k));
}

/* A flow to a changed frontend whose answers do not come from one of its endpoints, be it gone or
 * never rewritten. */
static bool flow_is_stale(const struct conntrack_flow *flow, void *user)
{
    const struct stale *st = user;
    struct frontend_key k = {
        .family = flow->dst.family, .proto = IPPROTO_UDP, .port = flow->dst_port};
    memcpy(k.ip, flow->dst.bytes, 16);
    if (!is_looked_at(st, &k)) {
        memset(k.ip, 0, sizeof(k.ip));
        k.node_port = 1;
        /* A node port's number may be any server's elsewhere. */
        if (!is_looked_at(st, &k) || !is_local(st, &flow->dst))
            return false;
        /* And of this node, when there is no frontend: only flows that were rewritten. */
        if (ip_eq(&flow->dst, &flow->reply_src) && flow->reply_src_port == flow->dst_port &&
            !frontend_table_find(st->table, &k))
            return false;
    }
    struct dataplane_endpoint e = {.port = flow->reply_src_port};
    memcpy(e.ip, flow->reply_src.bytes, 16);
    const struct frontend_state *s = frontend_table_find(st->table, &k);
    const struct drain_list *l = map_find(&st->flows->draining, str_of(&k, sizeof(k)));
    return !(s && (endpoint_slots_have(&s->slots[SCOPE_CLUSTER], &e) ||
                   endpoint_slots_have(&s->slots[SCOPE_LOCAL], &e))) &&
           !(l && list_has(l, &e));
}

static int settle_family(struct udp_flows *u, struct stale *st, uint8_t family,
                         struct dataplane_counters *c)
{
    unsigned index = family == AF_INET6;
    uint64_t start = time_mono_us();
    struct conntrack_filter f = {.family = family};
    const struct frontend_key *only = NULL;
    struct err ignored;
    size_t n = 0, changed = 0;
    VEC_FOREACH (k, &u->changed)
        if (k->family == family) {
            only = k;
            changed++;
        }
    if (!changed && !u->all)
        return 0;
    if (changed == 1 && !u->all) {
        f.dst_port = only->port;
        f.dst.family = only->node_port ? 0 : family;
        memcpy(f.dst.bytes, only->ip, sizeof(only->ip));
    }
    int r = conntrack_delete_udp(u->conntrack, &f, flow_is_stale, st, &n, &ignored);
    c->conntrack_removed[index] += n;
    durations_add(&c->conntrack[index], time_mono_us() - start);
    return r;
}

int udp_flows_settle(struct udp_flows *u, const struct frontend_table *t,
                     struct dataplane_counters *c)
{
    struct stale st = {.flows = u, .table = t};
    ASSERT(u->conntrack && t);
    bool node_ports = u->all;
    VEC_FOREACH (k, &u->changed) {
        map_put(&st.keys, str_of(k, sizeof(*k)), k);
        node_ports = node_ports || k->node_port;
    }
    if (node_ports)
        read_locals(&st);
    int v4 = settle_family(u, &st, AF_INET, c), v6 = settle_family(u, &st, AF_INET6, c);
    map_done(&st.keys);
    map_done(&st.locals);
    vec_clear(&u->changed);
    u->all = u->all && (v4 < 0 || v6 < 0);
    return v4 < 0 ? v4 : v6;
}
