/* Endpoints of Services: which of them a client is told of, where they are, and by which gateways
 * it reaches those of another network. */
#include <netinet/in.h>

#include "base/assert.h"
#include "base/vec.h"
#include "control/translate_mesh.h"
#include "control/translate_priv.h"
#include "control/xds_fields.h"
#include "model/istio_object.h"
#include "model/locality.h"

struct address {
    struct ip ip;
    uint16_t port, cluster;
};
struct addresses {
    VEC(struct address) v;
};

static const char *port_name(const struct joined_service *s, uint16_t port)
{
    const struct service_object *o = s ? s->object : NULL;
    for (uint16_t i = 0; o && i < o->n_ports; i++)
        if (o->ports[i].port == port && o->ports[i].proto == IPPROTO_TCP)
            return o->ports[i].name;
    return NULL;
}

/* Of all endpoints those that are meant. */
struct choice {
    const char *port;                    /* its name */
    uint8_t family;                      /* 0: any */
    const struct translate_peers *peers; /* NULL: those of our own cluster alone */
    struct str ns;                       /* of pods with: */
    const json_t *labels;                /* NULL: whoever it is */
};

const struct workload *translate_peer_find(const struct translate_peers *p, uint16_t cluster,
                                           struct str ns, const struct ip *ip,
                                           const struct workloads **ret)
{
    const struct cluster *c = p->clusters ? clusters_at(p->clusters, cluster) : NULL;
    *ret = c ? c->pods : p->pods;
    return workloads_find_ip(*ret, ns, ip);
}

static bool is_chosen(const struct choice *c, const struct slice_object *slice, const struct ip *ip)
{
    const struct workloads *pods;
    if (!c->labels)
        return true;
    const struct workload *pod = translate_peer_find(c->peers, slice->cluster, c->ns, ip, &pods);
    return pod && workload_has_labels(pods, pod, c->labels);
}

static void gather(const struct slice_object *slice, const struct choice *c, bool ready,
                   struct addresses *to)
{
    uint16_t number = 0;
    if ((c->family && slice->family != c->family) || (slice->cluster && !c->peers) ||
        (slice->cluster && c->peers->own_cluster_only))
        return;
    for (uint32_t i = 0; i < slice->n_ports; i++)
        if (streq(slice->ports[i].name, c->port) && slice->ports[i].proto == IPPROTO_TCP)
            number = slice->ports[i].port;
    for (uint32_t i = 0; number && slice->family && i < slice->n_endpoints; i++) {
        const struct slice_endpoint *e = &slice->endpoints[i];
        const struct ip ip = slice_object_ip(slice, i);
        if (!e->further && (ready ? e->ready : e->serving && e->terminating) &&
            is_chosen(c, slice, &ip))
            vec_push(&to->v, (struct address){ip, number, slice->cluster});
    }
}

static int compare(const void *a, const void *b)
{
    const struct address *x = a, *y = b;
    int d = ip_cmp(&x->ip, &y->ip);
    d = d ? d : (x->port > y->port) - (x->port < y->port);
    return d ? d : (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

void translate_add_endpoint(struct buf *b, const char *host, uint16_t port,
                            const struct translate_peer_facts *facts)
{
    size_t lb = pb_begin(b, F_LOCALITY_LB_ENDPOINTS),
           endpoint = pb_begin(b, F_LB_ENDPOINT_ENDPOINT),
           address = pb_begin(b, F_ENDPOINT_ADDRESS),
           socket = pb_begin(b, F_ADDRESS_SOCKET_ADDRESS);
    pb_add_text(b, F_SOCKET_ADDRESS_ADDRESS, host);
    pb_add_uint(b, F_SOCKET_ADDRESS_PORT_VALUE, port);
    pb_end(b, socket);
    pb_end(b, address);
    pb_end(b, endpoint);
    if (facts)
        translate_mesh_endpoint(b, facts);
    if (facts && facts->weight) {
        size_t weight = pb_begin(b, F_LB_ENDPOINT_WEIGHT);
        pb_add_uint(b, F_UINT32_VALUE, facts->weight);
        pb_end(b, weight);
    }
    pb_end(b, lb);
}

/* Those of its slices; nothing else if it has none. In one order: it is the same set in whatever
 * order slices come. */
static void gather_all(const struct joined_service *s, struct choice c, struct addresses *to)
{
    size_t kept = 0;
    /* A pod of two families is one endpoint: that of the Service's first family. */
    c.family = s->object->n_cluster_ips ? s->object->cluster_ips[0].family : 0;
    for (int ready = 1; ready >= 0 && !to->v.n; ready--)
        for (size_t i = 0; i < s->slices.n; i++)
            gather(s->slices.v[i], &c, ready, to);
    if (to->v.n)
        qsort(to->v.v, to->v.n, sizeof(*to->v.v), compare);
    for (size_t i = 0; i < to->v.n; i++)
        if (!kept || compare(&to->v.v[kept - 1], &to->v.v[i]) != 0)
            to->v.v[kept++] = to->v.v[i];
    to->v.n = kept;
}

/* ---- what is known of them ---- */

struct met {
    struct ip ip;
    uint16_t port;
    bool gone;           /* it is reached by a gateway, or not at all */
    struct str locality; /* "": not known */
    struct translate_peer_facts facts;
};
struct mets {
    VEC(struct met) v;
};

static void meet(const struct addresses *found, const struct translate_peers *peers,
                 struct mets *ret)
{
    VEC_FOREACH (a, &found->v) {
        struct met m = {.ip = a->ip, .port = a->port, .locality = STR("")};
        peers->look(a->cluster, &a->ip, a->port, &m.facts, peers->user);
        if (m.facts.pod)
            m.locality = workload_locality(m.facts.pods, m.facts.pod);
        vec_push(&ret->v, m);
    }
}

static void mets_done(struct mets *m)
{
    VEC_FOREACH (one, &m->v)
        buf_done(&one->facts.workload);
    vec_done(&m->v);
}

/* ---- other networks ---- */

/* Of whoever has not said where it is, nobody knows better. */
static bool is_same_network(struct str a, struct str b)
{
    return !a.n || !b.n || str_eq(a, b);
}

/* NULL: it is reached as it is. */
static const struct network_gateway *gateways_to(const struct translate_peers *p,
                                                 const struct met *m, size_t *ret_n)
{
    *ret_n = 0;
    if (!p->clusters || !m->facts.network.p || is_same_network(p->network, m->facts.network))
        return NULL;
    return clusters_gateways(p->clusters, m->facts.network, ret_n);
}

static size_t common_multiple(size_t a, size_t b)
{
    size_t x = a, y = b, rest;
    while (y) {
        rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* So that shares of gateways are whole numbers; 0: nobody is elsewhere. */
static uint32_t scale_of(const struct translate_peers *p, const struct mets *all)
{
    enum { SCALE_MAX = 1000 };
    size_t scale = 0, n;
    VEC_FOREACH (m, &all->v)
        if (gateways_to(p, m, &n) && n)
            scale = scale ? common_multiple(scale, n) : n;
    return (uint32_t)MIN(scale, (size_t)SCALE_MAX);
}

/* A share of what is in a locality. */
static void add_share(struct mets *to, const struct network_gateway *g, struct str locality,
                      uint32_t weight)
{
    VEC_FOREACH (m, &to->v)
        if (ip_eq(&m->ip, &g->ip) && m->port == g->port && str_eq(m->locality, locality)) {
            m->facts.weight += weight;
            return;
        }
    vec_push(&to->v, (struct met){.ip = g->ip,
                                  .port = g->port,
                                  .locality = locality,
                                  .facts = {.in_mesh = true, .weight = weight}});
}

/* Gateways stand for what is behind them; it is spoken to with the TLS of the mesh, or not at all.
 */
static void put_gateways(const struct translate_peers *p, struct mets *all)
{
    struct mets shares = {0};
    uint32_t scale = scale_of(p, all);
    if (!scale)
        return;
    VEC_FOREACH (m, &all->v) {
        size_t n;
        const struct network_gateway *g = gateways_to(p, m, &n);
        uint32_t weight = MAX(m->facts.weight, (uint32_t)1) * scale;
        m->facts.weight = weight;
        m->gone = n > 0;
        for (size_t i = 0; i < n && m->facts.in_mesh; i++)
            add_share(&shares, &g[i], m->locality, MAX(weight / (uint32_t)n, (uint32_t)1));
    }
    VEC_FOREACH (m, &shares.v)
        vec_push(&all->v, *m);
    vec_done(&shares.v);
}

/* ---- by where they are ---- */

static void add_part(struct buf *b, unsigned field, struct str text)
{
    if (text.n)
        pb_add_bytes(b, field, text);
}

static void add_place(struct buf *b, struct str locality)
{
    struct str parts[LOCALITY_PARTS];
    size_t at = pb_begin(b, F_LOCALITY_LOCALITY);
    locality_split(locality, parts);
    add_part(b, F_PLACE_REGION, parts[LOCALITY_REGION]);
    add_part(b, F_PLACE_ZONE, parts[LOCALITY_ZONE]);
    add_part(b, F_PLACE_SUBZONE, parts[LOCALITY_SUBZONE]);
    pb_end(b, at);
}

static void add_met(struct buf *b, const struct met *m)
{
    char text[IP_TEXT_BYTES];
    translate_add_endpoint(b, ip_format(&m->ip, text), m->port, &m->facts);
}

static void add_group(struct buf *b, const struct locality_group *g, uint32_t number,
                      const struct locality_item *items, size_t n)
{
    size_t at = pb_begin(b, F_ASSIGNMENT_ENDPOINTS), weight;
    add_place(b, g->locality);
    for (size_t i = 0; i < n; i++)
        if (items[i].group == number)
            add_met(b, items[i].who);
    weight = pb_begin(b, F_LOCALITY_WEIGHT);
    pb_add_uint(b, F_UINT32_VALUE, g->weight);
    pb_end(b, weight);
    if (g->priority)
        pb_add_uint(b, F_LOCALITY_PRIORITY, g->priority);
    pb_end(b, at);
}

/* Those of topology are where it is. who: a struct met. */
static struct str label_of(const void *who, const char *key, void *user)
{
    static const char *const parts[] = {"topology.kubernetes.io/region",
                                        "topology.kubernetes.io/zone", "topology.istio.io/subzone"};
    const struct met *m = who;
    const struct translate_peer_facts *f = &m->facts;
    struct str place[LOCALITY_PARTS];
    (void)user;
    locality_split(m->locality, place);
    for (int i = 0; i < LOCALITY_PARTS; i++)
        if (streq(key, parts[i]))
            return place[i];
    if (streq(key, NETWORK_LABEL))
        return f->network.p ? f->network : STR("");
    if (streq(key, "topology.istio.io/cluster"))
        return str_from(f->cluster ? f->cluster : "");
    if (!f->pod)
        return STR("");
    if (streq(key, "kubernetes.io/hostname"))
        return workload_node(f->pods, f->pod);
    const char *value = workload_label(f->pods, f->pod, key);
    return str_from(value ? value : "");
}

static void add_localities(struct buf *b, const struct mets *found,
                           const struct translate_peers *peers,
                           const struct translate_localities *by)
{
    struct locality_item *items = xcalloc(MAX(found->v.n, (size_t)1), sizeof(*items));
    struct locality_groups groups = {0};
    const bool somewhere = by->client->locality.p;
    const struct met self = {.locality = somewhere ? by->client->locality : STR(""),
                             .facts = {.pod = by->client->pod,
                                       .pods = peers->pods,
                                       .network = peers->network,
                                       .cluster = peers->cluster}};
    const struct locality_caller caller = {
        .locality = self.locality, .who = by->client->pod ? &self : NULL, .label = label_of};
    size_t n = 0;
    VEC_FOREACH (m, &found->v)
        if (!m->gone)
            items[n++] = (struct locality_item){
                .locality = somewhere ? m->locality : STR(""), .weight = m->facts.weight, .who = m};
    /* Whoever it is: all in one. */
    locality_sort(&caller, somewhere ? by->setting : NULL, by->fails_over && somewhere, items, n,
                  &groups);
    for (uint32_t g = 0; g < groups.v.n; g++)
        add_group(b, &groups.v.v[g], g, items, n);
    vec_done(&groups.v);
    free(items);
}

/* All in one place. */
static void add_together(struct buf *b, const struct mets *found)
{
    size_t left = 0;
    VEC_FOREACH (m, &found->v)
        left += !m->gone;
    if (!left)
        return;
    size_t locality = pb_begin(b, F_ASSIGNMENT_ENDPOINTS);
    VEC_FOREACH (m, &found->v)
        if (!m->gone)
            add_met(b, m);
    pb_end(b, locality);
}

/* ---- the whole ---- */

/* for_grpc: its clients pass over a locality without a name or without a weight. */
static struct xds_entry *plain_assignment(const char *name, const struct addresses *found,
                                          bool for_grpc)
{
    AUTO_DONE(buf) struct buf b = {0};
    char text[IP_TEXT_BYTES];
    pb_add_text(&b, F_ASSIGNMENT_CLUSTER_NAME, name);
    if (found->v.n) {
        size_t locality = pb_begin(&b, F_ASSIGNMENT_ENDPOINTS);
        if (for_grpc)
            pb_add_bytes(&b, F_LOCALITY_LOCALITY, STR(""));
        VEC_FOREACH (a, &found->v)
            translate_add_endpoint(&b, ip_format(&a->ip, text), a->port, NULL);
        if (for_grpc) {
            size_t weight = pb_begin(&b, F_LOCALITY_WEIGHT);
            pb_add_uint(&b, F_UINT32_VALUE, 1);
            pb_end(&b, weight);
        }
        pb_end(&b, locality);
    }
    ASSERT(!b.failed);
    return xds_entry_new(XDS_ENDPOINT, str_from(name), buf_str(&b), STR(""));
}

struct xds_entry *translate_endpoints(const char *service, uint16_t port, bool to_service,
                                      const struct joined_service *s)
{
    struct addresses found = {0};
    char name[CLUSTER_NAME_MAX];
    const char *of = port_name(s, port);
    translate_endpoints_name(service, port, to_service, name);
    if (of && to_service && s->object->n_cluster_ips)
        vec_push(&found.v, (struct address){s->object->cluster_ips[0], port, 0});
    else if (of)
        gather_all(s, (struct choice){.port = of}, &found);
    struct xds_entry *e = plain_assignment(name, &found, false);
    vec_done(&found.v);
    return e;
}

struct xds_entry *translate_grpc_endpoints(const char *service, uint16_t port,
                                           const struct joined_service *s)
{
    struct addresses found = {0};
    char name[CLUSTER_NAME_MAX];
    const char *of = port_name(s, port);
    translate_endpoints_name(service, port, false, name);
    if (of)
        gather_all(s, (struct choice){.port = of}, &found);
    struct xds_entry *e = plain_assignment(name, &found, true);
    vec_done(&found.v);
    return e;
}

static void meet_all(const char *service, uint16_t port, const json_t *labels,
                     const struct joined_service *s, const struct translate_peers *peers,
                     struct mets *ret)
{
    struct addresses found = {0};
    const char *of = port_name(s, port);
    struct choice c = {.port = of, .peers = peers, .labels = labels};
    struct str rest;
    c.ns = str_cut(str_from(service), '/', &rest);
    if (of)
        gather_all(s, c, &found);
    meet(&found, peers, ret);
    vec_done(&found.v);
}

/* Takes them. */
static struct xds_entry *met_assignment(const char *name, struct mets *met,
                                        const struct translate_peers *peers,
                                        const struct translate_localities *by)
{
    AUTO_DONE(buf) struct buf b = {0};
    pb_add_text(&b, F_ASSIGNMENT_CLUSTER_NAME, name);
    if (by)
        add_localities(&b, met, peers, by);
    else
        add_together(&b, met);
    ASSERT(!b.failed);
    mets_done(met);
    return xds_entry_new(XDS_ENDPOINT, str_from(name), buf_str(&b), STR(""));
}

struct xds_entry *translate_mesh_endpoints(const char *name, const char *service, uint16_t port,
                                           const json_t *labels, const struct joined_service *s,
                                           const struct translate_peers *peers,
                                           const struct translate_localities *by)
{
    struct mets met = {0};
    meet_all(service, port, labels, s, peers, &met);
    put_gateways(peers, &met);
    return met_assignment(name, &met, peers, by);
}

struct xds_entry *translate_passage_endpoints(const char *name, const char *service, uint16_t port,
                                              const json_t *labels, const struct joined_service *s,
                                              const struct translate_peers *peers)
{
    struct mets met = {0};
    meet_all(service, port, labels, s, peers, &met);
    VEC_FOREACH (m, &met.v)
        m->gone = !m->facts.in_mesh ||
                  (m->facts.network.p && !is_same_network(peers->network, m->facts.network));
    return met_assignment(name, &met, peers, NULL);
}
