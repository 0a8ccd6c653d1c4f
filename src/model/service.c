/* Services as traffic sees them. Pure: no clock, no socket; slices in any order give the same
 * value, because everything is sorted before it is kept. Rows 1 to 12 and 28 to 31 of the
 * acceptance list are decided here. The value is immutable after model_service_new. */
#include "model/service.h"

#include <netinet/in.h>

#include "base/assert.h"
#include "base/vec.h"

struct candidate {
    struct model_endpoint endpoint;
    uint16_t flags;
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

/* Among duplicates the local copy first, then the better condition (row 5). */
static int candidate_cmp(const void *pa, const void *pb)
{
    const struct candidate *a = pa, *b = pb;
    int r = endpoint_cmp(&a->endpoint, &b->endpoint);
    if (r)
        return r;
    int local = (a->flags & SLICE_LOCAL) - (b->flags & SLICE_LOCAL);
    if (local)
        return local > 0 ? -1 : 1;
    int ready = (a->flags & SLICE_READY) - (b->flags & SLICE_READY);
    if (ready)
        return ready > 0 ? -1 : 1;
    return (a->flags < b->flags) - (a->flags > b->flags);
}

static void collect_slice(struct candidates *c, const struct slice_object *s,
                          const struct model_port *p)
{
    for (uint32_t i = 0; i < s->n_ports; i++) {
        const struct slice_port *sp = &s->ports[i];
        if (sp->proto != p->proto || !streq(sp->name, p->name))
            continue;
        for (uint32_t k = 0; k < s->n_endpoints; k++) {
            const struct slice_endpoint *e = &s->endpoints[k];
            struct candidate x = {.flags = e->flags};
            memcpy(x.endpoint.ip, e->ip, sizeof(e->ip));
            x.endpoint.port = sp->port;
            x.endpoint.local = e->flags & (SLICE_LOCAL | SLICE_UNKNOWN);
            vec_push(c, x);
        }
    }
}

static void sort_unique(struct candidates *c)
{
    size_t n = 0;
    if (c->n)
        qsort(c->v, c->n, sizeof(*c->v), candidate_cmp);
    for (size_t i = 0; i < c->n; i++)
        if (n == 0 || endpoint_cmp(&c->v[i].endpoint, &c->v[n - 1].endpoint) != 0)
            c->v[n++] = c->v[i];
    c->n = n;
}

/* Row 31: hints count only if every ready endpoint has one and some name this place. Returns the
 * flag an endpoint must carry, or 0. */
static uint16_t topology_flag(const struct candidates *c)
{
    bool all_node = true, any_node = false, all_zone = true, any_zone = false;
    VEC_FOREACH (x, c) {
        if (!(x->flags & SLICE_READY))
            continue;
        all_node = all_node && (x->flags & SLICE_NODE_HINTS);
        any_node = any_node || (x->flags & SLICE_NODE_HINT_HERE);
        all_zone = all_zone && (x->flags & SLICE_ZONE_HINTS);
        any_zone = any_zone || (x->flags & SLICE_ZONE_HINT_HERE);
    }
    if (all_node && any_node)
        return SLICE_NODE_HINT_HERE;
    return all_zone && any_zone ? SLICE_ZONE_HINT_HERE : 0;
}

static bool any_ready(const struct candidates *c, uint16_t also)
{
    VEC_FOREACH (x, c)
        if ((x->flags & SLICE_READY) && (x->flags & also) == also)
            return true;
    return false;
}

/* Row 29: ready ones; if there are none, those that still serve while they terminate. */
static void choose(const struct candidates *c, struct model_endpoints *ret)
{
    uint16_t here = topology_flag(c);
    bool ready = any_ready(c, 0);
    ret->v = c->n ? xcalloc(c->n, sizeof(*ret->v)) : NULL;
    for (int pass = 0; pass < 2; pass++)
        VEC_FOREACH (x, c) {
            bool fallback = (x->flags & SLICE_SERVING) && (x->flags & SLICE_TERMINATING);
            bool chosen =
                ready ? (x->flags & SLICE_READY) && (!here || (x->flags & here)) : fallback;
            bool serves = x->flags & (SLICE_SERVING | SLICE_READY);
            if (pass == 0 && chosen)
                ret->v[ret->n++] = x->endpoint;
            else if (pass == 1 && !chosen && serves)
                ret->v[ret->n + ret->n_draining++] = x->endpoint;
        }
}

/* Rows 22, 24, 29, 30: the same among those of this node alone; hints do not count. */
static void choose_local(const struct candidates *c, struct model_endpoints *ret)
{
    bool ready = any_ready(c, SLICE_LOCAL);
    ret->v = c->n ? xcalloc(c->n, sizeof(*ret->v)) : NULL;
    VEC_FOREACH (x, c) {
        bool fallback = (x->flags & SLICE_SERVING) && (x->flags & SLICE_TERMINATING);
        if ((x->flags & SLICE_LOCAL) && (ready ? x->flags & SLICE_READY : fallback))
            ret->v[ret->n++] = x->endpoint;
    }
}

static void port_fill(struct model_port *p, const struct slice_object *const *slices, size_t n,
                      bool local)
{
    for (unsigned f = 0; f < 2; f++) {
        struct candidates c = {0};
        for (size_t i = 0; i < n; i++)
            if (slices[i]->family == (f ? AF_INET6 : AF_INET))
                collect_slice(&c, slices[i], p);
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

struct model_service *model_service_new(const struct service_object *s,
                                        const struct slice_object *const *slices, size_t n)
{
    if (s->headless)
        return NULL;
    struct model_service *m = NEW(struct model_service);
    size_t addresses = (size_t)s->n_cluster_ips + s->n_external_ips + s->n_balancer_ips;
    m->refs = 1;
    m->key = xstrdup(s->key);
    m->external_local = s->external_local;
    m->internal_local = s->internal_local;
    m->affinity_s = s->affinity_s;
    m->addresses = xcalloc(addresses + 1, sizeof(*m->addresses));
    addresses_add(m, MODEL_CLUSTER_IP, s->cluster_ips, s->n_cluster_ips);
    addresses_add(m, MODEL_EXTERNAL_IP, s->external_ips, s->n_external_ips);
    addresses_add(m, MODEL_BALANCER_IP, s->balancer_ips, s->n_balancer_ips);
    qsort(m->addresses, m->n_addresses, sizeof(*m->addresses), address_cmp);
    m->ports = xcalloc(s->n_ports + 1u, sizeof(*m->ports));
    for (uint16_t i = 0; i < s->n_ports; i++) {
        struct model_port *p = &m->ports[m->n_ports++];
        p->name = xstrdup(s->ports[i].name);
        p->proto = s->ports[i].proto;
        p->port = s->ports[i].port;
        p->node_port = s->ports[i].node_port;
        port_fill(p, slices, n, s->external_local || s->internal_local);
    }
    qsort(m->ports, m->n_ports, sizeof(*m->ports), port_cmp);
    return m;
}

struct model_service *model_service_ref(struct model_service *m)
{
    ASSERT(m->refs > 0);
    m->refs++;
    return m;
}

void model_service_unref(struct model_service *m)
{
    if (!m || --m->refs)
        return;
    for (size_t i = 0; i < m->n_ports; i++) {
        free(m->ports[i].name);
        for (unsigned f = 0; f < 2; f++) {
            free(m->ports[i].endpoints[f].v);
            free(m->ports[i].local[f].v);
        }
    }
    free(m->key);
    free(m->addresses);
    free(m->ports);
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
    buf_add_char(out, '\n');
    for (size_t i = 0; i < m->n_addresses; i++) {
        char text[IP_TEXT_BYTES];
        buf_addf(out, "  %s %s\n", kinds[m->addresses[i].kind],
                 ip_format(&m->addresses[i].ip, text));
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

bool model_service_eq(const struct model_service *a, const struct model_service *b)
{
    struct buf x = {0}, y = {0};
    if (!a || !b)
        return a == b;
    model_service_format(a, &x);
    model_service_format(b, &y);
    bool eq = str_eq(buf_str(&x), buf_str(&y));
    buf_done(&x);
    buf_done(&y);
    return eq;
}
