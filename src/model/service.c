/* Services as traffic sees them. Pure: no clock, no socket; slices in any order give the same
 * value, because everything is sorted before it is kept. Rows 1 to 12 and 28 to 31 of the
 * acceptance list are decided here. The value is immutable after model_service_new. */
#include "model/service.h"

#include <netinet/in.h>

#include "base/assert.h"
#include "base/pack.h"
#include "base/vec.h"

/* How good an endpoint is; what neither is ready nor serves gets nothing. */
enum condition {
    CONDITION_NONE,
    CONDITION_SERVING,  /* not ready, not going either */
    CONDITION_FALLBACK, /* serves while it terminates (row 29) */
    CONDITION_READY,
};

struct candidate {
    struct model_endpoint endpoint;
    enum condition condition;
    unsigned topology; /* answers of topology_ask */
};

struct candidates {
    struct candidate *v;
    size_t n;
    size_t cap;
};

static int endpoint_cmp(const struct model_endpoint *a, const struct model_endpoint *b)
{
    int r = memcmp(a->ip, b->ip, sizeof(a->ip));
    return r ? r : (a->port > b->port) - (a->port < b->port);
}

static enum condition condition_of(const struct slice_endpoint *e)
{
    if (e->ready)
        return CONDITION_READY;
    if (!e->serving)
        return CONDITION_NONE;
    return e->terminating ? CONDITION_FALLBACK : CONDITION_SERVING;
}

/* Among duplicates the one in the better condition first, then the local one (row 5). */
static int candidate_cmp(const void *pa, const void *pb)
{
    const struct candidate *a = pa, *b = pb;
    int r = endpoint_cmp(&a->endpoint, &b->endpoint);
    if (r)
        return r;
    if (a->condition != b->condition)
        return a->condition > b->condition ? -1 : 1;
    int here = (int)(a->topology & TOPOLOGY_HERE) - (int)(b->topology & TOPOLOGY_HERE);
    if (here)
        return here > 0 ? -1 : 1;
    return (a->topology < b->topology) - (a->topology > b->topology);
}

static void collect_slice(struct candidates *c, const struct slice_object *s,
                          const struct model_port *p, const struct place *place)
{
    for (uint32_t i = 0; i < s->n_ports; i++) {
        const struct slice_port *sp = &s->ports[i];
        if (sp->proto != p->proto || !streq(sp->name, p->name))
            continue;
        vec_reserve(c, c->n + s->n_endpoints);
        for (uint32_t k = 0; k < s->n_endpoints; k++) {
            struct ip ip = slice_object_ip(s, k);
            struct candidate x = {.condition = condition_of(&s->endpoints[k]),
                                  .topology = topology_ask(slice_object_topology(s, k), place)};
            if (s->endpoints[k].further)
                continue;
            memcpy(x.endpoint.ip, ip.bytes, sizeof(ip.bytes));
            x.endpoint.port = sp->port;
            x.endpoint.local = x.topology & (TOPOLOGY_HERE | TOPOLOGY_NO_NODE);
            vec_push(c, x);
        }
    }
}

static void sort_unique(struct candidates *c)
{
    size_t n = 0;
    DASSERT(c->n <= c->cap);
    if (c->n)
        qsort(c->v, c->n, sizeof(*c->v), candidate_cmp);
    for (size_t i = 0; i < c->n; i++)
        if (n == 0 || endpoint_cmp(&c->v[i].endpoint, &c->v[n - 1].endpoint) != 0)
            c->v[n++] = c->v[i];
    c->n = n;
}

/* Row 31: hints count only if every ready endpoint has one and some name this place. Returns the
 * flag an endpoint must carry, or 0. */
static unsigned topology_flag(const struct candidates *c)
{
    unsigned all = TOPOLOGY_HINTS, any = 0;
    VEC_FOREACH (x, c)
        if (x->condition == CONDITION_READY) {
            all &= x->topology;
            any |= x->topology;
        }
    if ((all & TOPOLOGY_NODE_HINTS) && (any & TOPOLOGY_NODE_HINT_HERE))
        return TOPOLOGY_NODE_HINT_HERE;
    return (all & TOPOLOGY_ZONE_HINTS) ? any & TOPOLOGY_ZONE_HINT_HERE : 0;
}

/* What the best of them are, those without `also` left out. */
static enum condition best_condition(const struct candidates *c, unsigned also)
{
    enum condition best = CONDITION_NONE;
    VEC_FOREACH (x, c)
        if ((x->topology & also) == also)
            best = MAX(best, x->condition);
    return best;
}

/* Row 29: ready ones; if there are none, those that still serve while they terminate. */
static void choose(const struct candidates *c, struct model_endpoints *ret)
{
    unsigned hint = topology_flag(c);
    enum condition best = best_condition(c, 0);
    ret->v = c->n ? xcalloc(c->n, sizeof(*ret->v)) : NULL;
    for (int pass = 0; pass < 2; pass++)
        VEC_FOREACH (x, c) {
            bool chosen = best >= CONDITION_FALLBACK && x->condition == best &&
                          (best == CONDITION_FALLBACK || (x->topology & hint) == hint);
            if (pass == 0 && chosen)
                ret->v[ret->n++] = x->endpoint;
            else if (pass == 1 && !chosen && x->condition > CONDITION_NONE)
                ret->v[ret->n + ret->n_draining++] = x->endpoint;
        }
}

/* Rows 22, 24, 29, 30: the same among those of this node alone; hints do not count. */
static void choose_local(const struct candidates *c, struct model_endpoints *ret)
{
    enum condition best = best_condition(c, TOPOLOGY_HERE);
    ret->v = c->n ? xcalloc(c->n, sizeof(*ret->v)) : NULL;
    VEC_FOREACH (x, c)
        if ((x->topology & TOPOLOGY_HERE) && best >= CONDITION_FALLBACK && x->condition == best)
            ret->v[ret->n++] = x->endpoint;
}

static void port_fill(struct model_port *p, const struct slice_object *const *slices, size_t n,
                      const struct place *place, bool local)
{
    for (unsigned f = 0; f < 2; f++) {
        struct candidates c = {0};
        for (size_t i = 0; i < n; i++)
            if (slices[i]->family == (f ? AF_INET6 : AF_INET))
                collect_slice(&c, slices[i], p, place);
        sort_unique(&c);
        choose(&c, &p->endpoints[f]);
        if (local)
            choose_local(&c, &p->local[f]);
        vec_done(&c);
    }
}

static int port_cmp(const void *pa, const void *pb)
{
    const struct model_port *a = pa, *b = pb;
    if (a->proto != b->proto)
        return a->proto < b->proto ? -1 : 1;
    if (a->port != b->port)
        return a->port < b->port ? -1 : 1;
    return strcmp(a->name, b->name);
}

static int address_cmp(const void *pa, const void *pb)
{
    const struct model_address *a = pa, *b = pb;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return ip_cmp(&a->ip, &b->ip);
}

static void addresses_add(struct model_service *m, enum model_address_kind kind, const struct ip *v,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        m->addresses[m->n_addresses++] = (struct model_address){kind, v[i]};
}

static int prefix_cmp(const void *pa, const void *pb)
{
    const struct prefix *a = pa, *b = pb;
    int r = ip_cmp(&a->ip, &b->ip);
    return r ? r : (a->len > b->len) - (a->len < b->len);
}

/* Row 21. What is unreadable restricts both families and allows nobody: better closed than open. */
static void sources_fill(struct model_service *m, const struct service_object *s)
{
    m->sources = xcalloc(s->n_source_ranges + 1u, sizeof(*m->sources));
    m->restricted[0] = m->restricted[1] = s->source_ranges_unreadable;
    for (uint16_t i = 0; i < s->n_source_ranges; i++) {
        struct prefix *p = &m->sources[i];
        *p = s->source_ranges[i];
        p->ip = prefix_network(p);
        m->restricted[p->ip.family == AF_INET6] = true;
    }
    qsort(m->sources, s->n_source_ranges, sizeof(*m->sources), prefix_cmp);
    for (uint16_t i = 0; i < s->n_source_ranges; i++)
        if (m->n_sources == 0 || !prefix_contains(&m->sources[m->n_sources - 1], &m->sources[i].ip))
            m->sources[m->n_sources++] = m->sources[i];
}

static int ip_key_cmp(const void *a, const void *b)
{
    return ip_cmp(a, b);
}

/* Row 41: ready pods of this node, not what the terminating ones still carry. A pod with both
 * families is one. */
static uint32_t count_local_ready(const struct slice_object *const *slices, size_t n,
                                  const struct place *place)
{
    VEC(struct ip) ips = {0};
    uint32_t count[2] = {0, 0};
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < slices[i]->n_endpoints; k++) {
            const struct slice_endpoint *e = &slices[i]->endpoints[k];
            if (e->ready && !e->further &&
                (topology_ask(slice_object_topology(slices[i], k), place) & TOPOLOGY_HERE))
                vec_push(&ips, slice_object_ip(slices[i], k));
        }
    if (ips.n)
        qsort(ips.v, ips.n, sizeof(*ips.v), ip_key_cmp);
    for (size_t i = 0; i < ips.n; i++)
        if (i == 0 || !ip_eq(&ips.v[i], &ips.v[i - 1]))
            count[ips.v[i].family == AF_INET6]++;
    vec_done(&ips);
    return MAX(count[0], count[1]);
}

static void endpoints_layout(const struct model_endpoints *from, struct pack *p,
                             struct model_endpoints *ret)
{
    struct model_endpoint *v = pack_array(p, from->v, from->n + from->n_draining);
    if (ret)
        ret->v = v;
}

/* A model lives as long as its Service, and there is one of each: one block. */
static struct model_service *service_layout(const struct model_service *from, struct pack *p)
{
    struct model_service *m = pack_add(p, from, sizeof(*from), _Alignof(struct model_service)),
                         o = *from;
    o.ports = pack_array(p, from->ports, from->n_ports);
    o.addresses = pack_array(p, from->addresses, from->n_addresses);
    o.sources = pack_array(p, from->sources, from->n_sources);
    for (size_t i = 0; i < from->n_ports; i++)
        for (unsigned f = 0; f < 2; f++) {
            struct model_port *port = m ? &o.ports[i] : NULL;
            endpoints_layout(&from->ports[i].endpoints[f], p, port ? &port->endpoints[f] : NULL);
            endpoints_layout(&from->ports[i].local[f], p, port ? &port->local[f] : NULL);
        }
    o.key = pack_text(p, from->key);
    for (size_t i = 0; i < from->n_ports; i++) {
        char *name = pack_text(p, from->ports[i].name);
        if (m)
            o.ports[i].name = name;
    }
    if (m)
        *m = o;
    return m;
}

static void loose_free(struct model_service *m)
{
    for (size_t i = 0; i < m->n_ports; i++) {
        free(m->ports[i].name);
        for (unsigned f = 0; f < 2; f++) {
            free(m->ports[i].endpoints[f].v);
            free(m->ports[i].local[f].v);
        }
    }
    free(m->key);
    free(m->addresses);
    free(m->sources);
    free(m->ports);
    free(m);
}

struct model_service *model_service_new(const struct service_object *s,
                                        const struct slice_object *const *slices, size_t n,
                                        const struct place *place)
{
    ASSERT(place && (slices || n == 0));
    for (size_t i = 0; i < n; i++)
        ASSERT(streq(slices[i]->service_key, s->key));
    if (s->dns_only)
        return NULL;
    struct model_service *m = NEW(struct model_service);
    size_t addresses = (size_t)s->n_cluster_ips + s->n_external_ips + s->n_balancer_ips;
    m->refs = 1;
    m->key = xstrdup(s->key);
    m->external_local = s->external_local;
    m->internal_local = s->internal_local;
    m->affinity_s = s->affinity_s;
    m->health_port = s->health_port;
    m->local_ready = s->health_port ? count_local_ready(slices, n, place) : 0;
    m->addresses = xcalloc(addresses + 1, sizeof(*m->addresses));
    addresses_add(m, MODEL_CLUSTER_IP, s->cluster_ips, s->n_cluster_ips);
    addresses_add(m, MODEL_EXTERNAL_IP, s->external_ips, s->n_external_ips);
    addresses_add(m, MODEL_BALANCER_IP, s->balancer_ips, s->n_balancer_ips);
    qsort(m->addresses, m->n_addresses, sizeof(*m->addresses), address_cmp);
    sources_fill(m, s);
    m->ports = xcalloc(s->n_ports + 1u, sizeof(*m->ports));
    for (uint16_t i = 0; i < s->n_ports; i++) {
        struct model_port *p = &m->ports[m->n_ports++];
        p->name = xstrdup(s->ports[i].name);
        p->proto = s->ports[i].proto;
        p->port = s->ports[i].port;
        p->node_port = s->ports[i].node_port;
        port_fill(p, slices, n, place, s->external_local || s->internal_local);
    }
    qsort(m->ports, m->n_ports, sizeof(*m->ports), port_cmp);
    struct model_service *packed = pack_new(service_layout, m);
    loose_free(m);
    return packed;
}

unsigned model_service_without_local(const struct model_service *m, unsigned family, bool external)
{
    unsigned n = 0;
    ASSERT(family < 2);
    if (!(external ? m->external_local : m->internal_local))
        return 0;
    for (size_t i = 0; i < m->n_ports; i++)
        n += m->ports[i].endpoints[family].n > 0 && m->ports[i].local[family].n == 0;
    return n;
}

struct model_service *model_service_ref(struct model_service *m)
{
    ASSERT(m->refs > 0);
    m->refs++;
    return m;
}

void model_service_unref(struct model_service *m)
{
    if (!m)
        return;
    ASSERT(m->refs > 0);
    if (--m->refs == 0)
        free(m);
}

/* ---- golden form ---- */

static void endpoints_format(const struct model_endpoints *e, const char *prefix, uint8_t family,
                             struct buf *out)
{
    for (uint32_t i = 0; i < e->n + e->n_draining; i++) {
        char text[IP_TEXT_BYTES];
        struct ip ip = {.family = family};
        memcpy(ip.bytes, e->v[i].ip, sizeof(ip.bytes));
        buf_addf(out, "    %s%s %s %u%s\n", prefix, i < e->n ? "endpoint" : "draining",
                 ip_format(&ip, text), e->v[i].port, e->v[i].local ? " local" : "");
    }
}

void model_service_format(const struct model_service *m, struct buf *out)
{
    static const char *const kinds[] = {"cluster-ip", "external-ip", "balancer-ip"};
    buf_addf(out, "service %s%s%s", m->key, m->external_local ? " external-local" : "",
             m->internal_local ? " internal-local" : "");
    if (m->affinity_s)
        buf_addf(out, " affinity %us", m->affinity_s);
    if (m->health_port)
        buf_addf(out, " health-port %u local-ready %u", m->health_port, m->local_ready);
    buf_add_char(out, '\n');
    for (size_t i = 0; i < m->n_addresses; i++) {
        char text[IP_TEXT_BYTES];
        buf_addf(out, "  %s %s\n", kinds[m->addresses[i].kind],
                 ip_format(&m->addresses[i].ip, text));
    }
    for (unsigned f = 0; f < 2; f++) {
        char text[PREFIX_TEXT_BYTES];
        if (m->restricted[f])
            buf_addf(out, "  restricted IPv%d\n", f ? 6 : 4);
        for (size_t i = 0; i < m->n_sources; i++)
            if (m->sources[i].ip.family == (f ? AF_INET6 : AF_INET))
                buf_addf(out, "    source %s\n", prefix_format(&m->sources[i], text));
    }
    for (size_t i = 0; i < m->n_ports; i++) {
        const struct model_port *p = &m->ports[i];
        buf_addf(out, "  port %s %u/%u", *p->name ? p->name : "-", p->proto, p->port);
        if (p->node_port)
            buf_addf(out, " node-port %u", p->node_port);
        buf_add_char(out, '\n');
        for (unsigned f = 0; f < 2; f++) {
            endpoints_format(&p->endpoints[f], "", f ? AF_INET6 : AF_INET, out);
            endpoints_format(&p->local[f], "for-local ", f ? AF_INET6 : AF_INET, out);
        }
    }
}
